package httpkit

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"strconv"
	"sync/atomic"
)

const maxRequestID = 64

// processID sets the ids of one run of the program apart from those of another.
var processID = func() string {
	var b [5]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:]) + "-"
}()

var requests atomic.Uint64

// requestID is the X-Request-Id of the request if it brought a sound one, else a new one, as the
// value of a header field.
func requestID(r *http.Request) []string {
	if id := r.Header["X-Request-Id"]; len(id) == 1 && soundRequestID(id[0]) {
		return id
	}
	var room [32]byte
	b := append(room[:0], processID...)
	return []string{string(strconv.AppendUint(b, requests.Add(1), 36))}
}

// soundRequestID accepts what cannot confuse a log or a header.
func soundRequestID(id string) bool {
	if id == "" || len(id) > maxRequestID {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}
