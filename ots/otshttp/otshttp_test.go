package otshttp_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/datestone/datestone/ots"
	"github.com/datestone/datestone/ots/otshttp"
)

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func wire(t *testing.T, ts *ots.Timestamp) []byte {
	t.Helper()
	b, err := ts.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// receipt is what a calendar answers to a digest: a nonce, and its promise.
func receipt(t *testing.T, uri string) *ots.Timestamp {
	t.Helper()
	att, err := ots.PendingAttestation(uri)
	if err != nil {
		t.Fatal(err)
	}
	return ots.New(ots.Path{}.Append([]byte("nonce")).SHA256(), att)
}

func TestSubmit(t *testing.T) {
	digest := sha256.Sum256([]byte("data"))
	want := wire(t, receipt(t, "https://cal.example"))
	var got *http.Request
	var body []byte
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		w.Write(want)
	})
	for _, base := range []string{url, url + "/", url + "/deep/er", url + "/deep/er/"} {
		c := &otshttp.Client{UserAgent: "test/1"}
		ts, err := c.Submit(t.Context(), base, digest[:])
		if err != nil {
			t.Fatalf("%s: %v", base, err)
		}
		if b := wire(t, ts); !bytes.Equal(b, want) {
			t.Errorf("%s: got %x, want %x", base, b, want)
		}
		path := "/digest"
		if strings.Contains(base, "deep") {
			path = "/deep/er/digest"
		}
		if got.Method != "POST" || got.URL.Path != path || !bytes.Equal(body, digest[:]) || got.ContentLength != 32 {
			t.Errorf("%s: sent %s %s with %x", base, got.Method, got.URL.Path, body)
		}
		if got.Header.Get("User-Agent") != "test/1" || got.Header.Get("Accept") != "application/vnd.opentimestamps.v1" {
			t.Errorf("%s: headers %v", base, got.Header)
		}
	}
	c := &otshttp.Client{Authorize: func(req *http.Request, digest []byte) error {
		req.Header.Set("X-Signature", hex.EncodeToString(digest))
		return nil
	}}
	if _, err := c.Submit(t.Context(), url, digest[:]); err != nil || got.Header.Get("X-Signature") != hex.EncodeToString(digest[:]) {
		t.Errorf("authorized: %v, %v", err, got.Header)
	}
	promises := &otshttp.Client{Promises: true}
	if _, err := promises.Timestamp(t.Context(), url, digest[:]); err != nil || got.Header.Get("Accept") != "application/vnd.opentimestamps.v1, application/vnd.datestone.promises" {
		t.Errorf("asking for promises: %v, %v", err, got.Header)
	}
	if _, err := promises.Submit(t.Context(), url, digest[:]); err != nil || got.Header.Get("Accept") != "application/vnd.opentimestamps.v1" {
		t.Errorf("submitting: %v, %v", err, got.Header)
	}
	if _, err := c.Submit(t.Context(), url, make([]byte, 65)); err == nil {
		t.Error("65 bytes were sent")
	}
	if _, err := c.Submit(t.Context(), url, nil); err != nil || got.ContentLength != 0 {
		t.Errorf("an empty digest: %v, length %d", err, got.ContentLength)
	}
}

func TestTimestamp(t *testing.T) {
	want := wire(t, ots.New(ots.Path{}.SHA256(), ots.BitcoinAttestation(7)))
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/timestamp/c0ffee":
			w.Write(want)
		case "/timestamp/00":
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, "Pending\x1b confirmation in Bitcoin blockchain", strings.Repeat("!", 500))
		default:
			http.Error(w, "down", http.StatusServiceUnavailable)
		}
	})
	var c otshttp.Client
	ts, err := c.Timestamp(t.Context(), url, []byte{0xc0, 0xff, 0xee})
	if err != nil || !bytes.Equal(wire(t, ts), want) {
		t.Fatalf("got %v, %v", ts, err)
	}
	_, err = c.Timestamp(t.Context(), url, []byte{0})
	var re *otshttp.ReasonError
	if !errors.Is(err, otshttp.ErrNotFound) || !errors.As(err, &re) ||
		!strings.HasPrefix(re.Reason, "Pending_ confirmation in Bitcoin blockchain___") || len(re.Reason) != 160 || err.Error() != re.Reason {
		t.Errorf("pending: %v", err)
	}
	_, err = c.Timestamp(t.Context(), url, []byte{1})
	if errors.Is(err, otshttp.ErrNotFound) || !strings.Contains(err.Error(), "status 503: down") {
		t.Errorf("status 503: %v", err)
	}
}

func TestHostileReplies(t *testing.T) {
	good := wire(t, receipt(t, "https://cal.example"))
	var reached atomic.Bool
	target := serve(t, func(w http.ResponseWriter, r *http.Request) { reached.Store(true); w.Write(good) })
	write := func(b []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { w.Write(b) }
	}
	redirect := func(to string, code int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, code) }
	}
	tests := []struct {
		name    string
		handler http.HandlerFunc
		want    error // any error when nil
	}{
		{"empty", write(nil), ots.ErrTruncated},
		{"cut", write(good[:len(good)-1]), ots.ErrTruncated},
		{"more after it", write(append(bytes.Clone(good), 0)), ots.ErrTrailing},
		{"garbage", write([]byte("<html>busy</html>")), nil},
		{"a whole file", write([]byte(ots.Magic + "\x01\x08")), nil},
		{"10 MB", func(w http.ResponseWriter, r *http.Request) {
			for range 1000 {
				if _, err := w.Write(make([]byte, 10_000)); err != nil {
					return
				}
			}
		}, otshttp.ErrTooLarge},
		{"one byte too long", write(make([]byte, 10_001)), otshttp.ErrTooLarge},
		{"an operation that its message cannot take", write(append(bytes.Repeat([]byte{0xf3}, 12), good...)), nil},
		{"connection dropped", func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }, nil},
		{"dropped half way", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "500")
			w.Write(good)
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, io.ErrUnexpectedEOF},
		{"another scheme", redirect("https://127.0.0.1:1/digest", 307), nil},
		{"a file", redirect("file:///etc/passwd", 307), nil},
		{"a GET instead", redirect(target+"/digest", 302), nil},
		{"round in circles", redirect("/digest", 307), nil},
		{"201", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(201); w.Write(good) }, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			var c otshttp.Client
			ts, err := c.Submit(ctx, serve(t, tt.handler), []byte("digest"))
			if err == nil {
				t.Fatalf("took %x", wire(t, ts))
			}
			if tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
			if ctx.Err() != nil {
				t.Error("it hung")
			}
		})
	}
	if reached.Load() {
		t.Error("a redirect turned the POST into a GET")
	}
	var c otshttp.Client
	if _, err := c.Submit(t.Context(), serve(t, redirect(target+"/digest", 307)), []byte("d")); err != nil {
		t.Errorf("a plain redirect: %v", err)
	}
}

func TestSlowReply(t *testing.T) {
	release := make(chan struct{})
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		<-release
	})
	t.Cleanup(func() { close(release) })
	c := otshttp.Client{HTTP: &http.Client{Timeout: 50 * time.Millisecond}}
	if _, err := c.Submit(t.Context(), url, []byte("d")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the client's timeout: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	c = otshttp.Client{}
	if _, err := c.Submit(ctx, url, []byte("d")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the context's: %v", err)
	}
}

func TestBadCalendarURL(t *testing.T) {
	var c otshttp.Client
	for _, u := range []string{"", "cal.example", "ftp://x", "https://", "https://x?q", "https://x?", "https://x#f", "https://x\x00", "javascript:alert(1)"} {
		if _, err := c.Submit(t.Context(), u, []byte("d")); !errors.Is(err, otshttp.ErrBadURL) {
			t.Errorf("%q: %v", u, err)
		}
	}
}

func TestSubmitAll(t *testing.T) {
	release := make(chan struct{})
	fast := func(uri string) string {
		b := wire(t, receipt(t, uri))
		return serve(t, func(w http.ResponseWriter, r *http.Request) { w.Write(b) })
	}
	a, b := fast("https://a.example"), fast("https://b.example")
	broken := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", 500) })
	slow := serve(t, func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	// Registered last, so done before the servers wait for their handlers.
	t.Cleanup(func() { close(release) })
	var c otshttp.Client
	tests := []struct {
		name      string
		calendars []string
		q         otshttp.Quorum
		good      string // which replies are good, y or n, in order
		err       error
	}{
		{"all of two", []string{a, b}, otshttp.Quorum{}, "yy", nil},
		{"a slow one does not hang it", []string{slow, a, b}, otshttp.Quorum{Need: 2, Grace: time.Millisecond}, "nyy", nil},
		{"a broken one", []string{a, broken, b}, otshttp.Quorum{Need: 2}, "yny", nil},
		{"out of reach at once", []string{slow, broken, a}, otshttp.Quorum{Need: 3}, "", otshttp.ErrTooFew},
		{"all broken", []string{broken, "http://127.0.0.1:1"}, otshttp.Quorum{Need: 1}, "nn", otshttp.ErrTooFew},
		{"refused by the caller", []string{a, b}, otshttp.Quorum{Need: 1, Accept: func(cal string, _ *ots.Timestamp) error {
			if cal == a {
				return errors.New("too deep")
			}
			return nil
		}}, "ny", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			start := time.Now()
			replies, err := c.SubmitAll(t.Context(), tt.calendars, []byte("d"), tt.q)
			if !errors.Is(err, tt.err) {
				t.Fatalf("%v, want %v", err, tt.err)
			}
			if d := time.Since(start); d > 5*time.Second {
				t.Errorf("took %s", d)
			}
			good := ""
			for i, r := range replies {
				if r.Calendar != tt.calendars[i] || (r.Err == nil) == (r.Timestamp == nil) {
					t.Errorf("reply %d: %+v", i, r)
				}
				good += map[bool]string{true: "y", false: "n"}[r.Err == nil]
			}
			if tt.good != "" && good != tt.good {
				t.Errorf("good: %s, want %s", good, tt.good)
			}
		})
	}

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	replies, err := c.SubmitAll(ctx, []string{a, slow}, []byte("d"), otshttp.Quorum{Need: 2})
	if !errors.Is(err, otshttp.ErrTooFew) || replies[0].Err != nil || !errors.Is(replies[1].Err, context.DeadlineExceeded) {
		t.Errorf("timeout: %v, %v", replies, err)
	}
	for name, calendars := range map[string][]string{"none": nil, "twice": {a, a}, "not a URL": {"x"}, "too many": make([]string, 65)} {
		if _, err := c.SubmitAll(t.Context(), calendars, []byte("d"), otshttp.Quorum{}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := c.SubmitAll(t.Context(), []string{a}, []byte("d"), otshttp.Quorum{Need: 2}); err == nil {
		t.Error("two of one: accepted")
	}
}
