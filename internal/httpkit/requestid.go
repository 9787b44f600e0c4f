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

// broughtID is the X-Request-Id that the request brought, as the value of a header field, or nil when
// there is none or not a sound one.
func broughtID(r *http.Request) []string {
	if id := r.Header["X-Request-Id"]; len(id) == 1 && soundRequestID(id[0]) {
		return id
	}
	return nil
}

// requestID is the id that the request brought, else a new one.
func requestID(r *http.Request) []string {
	if id := broughtID(r); id != nil {
		return id
	}
	return []string{processID + strconv.FormatUint(requests.Add(1), 36)}
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
