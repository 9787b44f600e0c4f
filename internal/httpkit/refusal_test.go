package httpkit

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
)

// Answers that net/http gives without a handler have an id as well, and handlers' answers one.
func TestRefusalsHaveAnID(t *testing.T) {
	h := Identified(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Connection", "close")
		io.WriteString(w, "handled "+r.Method)
	}))
	_, addr := start(t, h, Limits{})
	for request, want := range map[string]struct {
		status int
		body   string
	}{
		"GET / HTTP/1.1\r\n\r\n":                                      {400, "400 Bad Request: missing required Host header"},
		"nonsense\r\n\r\n":                                            {400, "400 Bad Request"},
		"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n":                        {400, "400 Bad Request"},
		"GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("a", 1e5): {431, "431 Request Header Fields Too Large"},
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x\r\n\r\n":  {501, "Unsupported transfer encoding"},
		"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n":                       {200, "handled OPTIONS"},
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n":                           {200, "handled GET"},
	} {
		conn := dial(t, addr)
		io.WriteString(conn, request)
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("%.40q: %v", request, err)
		}
		body, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != want.status || string(body) != want.body || len(res.Header["X-Request-Id"]) != 1 {
			t.Errorf("%.40q: %d %q, %v, %v", request, res.StatusCode, body, res.Header, err)
		}
	}
}
