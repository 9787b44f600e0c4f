package httpkit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"unicode/utf8"
)

// ErrTooLarge says that a body is longer than may be.
var ErrTooLarge = errors.New("the body is too large")

// ReadAll reads a body of at most limit bytes, whether its length was announced or not. From here on the
// connection is at work and is not closed to make room.
func ReadAll(r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength > limit {
		return nil, ErrTooLarge
	}
	var b bytes.Buffer
	if r.ContentLength > 0 {
		b.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	n, err := b.ReadFrom(io.LimitReader(r.Body, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrBody, err)
	case n > limit:
		return nil, ErrTooLarge
	}
	Busy(r)
	return b.Bytes(), nil
}

// Discard reads what is left of a body, unless it has more than limit bytes. A client that sends all before it reads
// would find its connection broken instead of the answer; one that asked first (Expect) sends nothing more.
func Discard(r *http.Request, limit int64) {
	if r.ContentLength <= limit && r.Header.Get("Expect") == "" {
		io.CopyN(io.Discard, r.Body, limit) // an error here is the client's connection
	}
}

// IsJSON says whether a request calls its body JSON.
func IsJSON(r *http.Request) bool {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && media == "application/json"
}

const maxNesting = 32

// ErrJSON says that a text is not JSON that everybody reads in the same way.
var ErrJSON = errors.New("not valid JSON")

// ParseJSON reads one JSON value as map[string]any, []any, string, json.Number, bool or nil. It refuses what
// parsers disagree about: names that are there twice, text that is not Unicode, numbers that no float64 holds, more
// after the value, and depth without end.
func ParseJSON(b []byte) (any, error) {
	// The tokens below have U+FFFD in place of what is not Unicode.
	if !utf8.Valid(b) || !json.Valid(b) || loneSurrogate(b) {
		return nil, ErrJSON
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	return parseValue(d, 0)
}

func parseValue(d *json.Decoder, depth int) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrJSON, err)
	}
	if depth > maxNesting {
		return nil, fmt.Errorf("%w: nested too deeply", ErrJSON)
	}
	switch token {
	case json.Delim('{'):
		object := make(map[string]any)
		for d.More() {
			token, err := d.Token()
			if err != nil {
				return nil, fmt.Errorf("%w: %w", ErrJSON, err)
			}
			name := token.(string)
			if _, twice := object[name]; twice {
				return nil, fmt.Errorf("%w: a name is there twice", ErrJSON)
			}
			if object[name], err = parseValue(d, depth+1); err != nil {
				return nil, err
			}
		}
		_, err = d.Token()
		return object, err
	case json.Delim('['):
		list := []any{}
		for d.More() {
			value, err := parseValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		_, err = d.Token()
		return list, err
	}
	if n, is := token.(json.Number); is {
		if _, err := n.Float64(); err != nil {
			return nil, fmt.Errorf("%w: a number is too large", ErrJSON)
		}
	}
	return token, nil
}

// loneSurrogate finds half of a surrogate pair among the escapes of a valid JSON text.
func loneSurrogate(b []byte) bool {
	unit := func(i int) uint64 { // of an escape at i, else 0
		if i+6 > len(b) || b[i] != '\\' || b[i+1] != 'u' {
			return 0
		}
		u, _ := strconv.ParseUint(string(b[i+2:i+6]), 16, 16)
		return u
	}
	for i := bytes.IndexByte(b, '\\'); i >= 0 && i < len(b); i++ {
		if b[i] != '\\' {
			continue
		}
		switch u := unit(i); {
		case u >= 0xdc00 && u < 0xe000:
			return true
		case u >= 0xd800 && u < 0xdc00:
			if low := unit(i + 6); low < 0xdc00 || low >= 0xe000 {
				return true
			}
			i += 11
		default:
			i++ // \\ is one escape
		}
	}
	return false
}
