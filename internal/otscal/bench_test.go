package otscal

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/datestone/datestone/internal/calendar"
)

// discarding is a response that costs nothing.
type discarding struct{ header http.Header }

func (d *discarding) Header() http.Header         { return d.header }
func (d *discarding) WriteHeader(int)             {}
func (d *discarding) Write(b []byte) (int, error) { return len(b), nil }

// body is 32 bytes that can be read again.
type body struct{ read bool }

func (b *body) Read(p []byte) (int, error) {
	if b.read {
		return 0, io.EOF
	}
	b.read = true
	return min(len(p), 32), nil
}

func (b *body) Close() error { return nil }

// BenchmarkSurface is what the surface adds to net/http and to the calendar.
func BenchmarkSurface(b *testing.B) {
	fixed := receipt(make([]byte, 32))
	s, err := New(scripted{submit: func(context.Context, []byte) (calendar.Receipt, error) { return fixed, nil }}, nothing{}, Config{URI: testURI})
	if err != nil {
		b.Fatal(err)
	}
	run := func(name string, r *http.Request) {
		b.Run(name, func(b *testing.B) {
			w := &discarding{make(http.Header)}
			digest := new(body)
			if r.Method == http.MethodPost {
				r.Body = digest
			}
			b.ReportAllocs()
			for b.Loop() {
				digest.read = false
				clear(w.header)
				s.ServeHTTP(w, r)
			}
		})
	}
	post := httptest.NewRequest("POST", "/digest", nil)
	post.ContentLength = 32
	run("post", post)
	run("get", httptest.NewRequest("GET", "/timestamp/"+commitment(byteDeep), nil))
}
