package httpkit

import (
	"bytes"
	"net/http"
)

// refusedEnd follows the status line when net/http itself refuses what is no HTTP request. It writes all at once.
const refusedEnd = "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"

// Write gives net/http's own refusals an X-Request-Id too. Answers of handlers have other fields, and go through.
func (c *conn) Write(b []byte) (int, error) {
	end := bytes.IndexByte(b, '\r')
	if end < 0 || !bytes.HasPrefix(b, []byte("HTTP/1.")) || !bytes.HasPrefix(b[end:], []byte(refusedEnd)) {
		return c.Conn.Write(b)
	}
	refusal := bytes.Join([][]byte{b[:end], []byte("\r\nX-Request-Id: "), []byte(requestID(new(http.Request))[0]), b[end:]}, nil)
	n, err := c.Conn.Write(refusal)
	return max(0, n-(len(refusal)-len(b))), err
}
