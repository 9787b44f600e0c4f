package httpkit

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// plain is a surface whose errors are their message.
func plain(log *slog.Logger) *Surface {
	return &Surface{Log: log, Fail: func(w http.ResponseWriter, r *http.Request, e *Error) {
		WriteBody(w, r, e.Status, []byte(e.Message))
	}}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestHandleAnswersErrors(t *testing.T) {
	cause := errors.New("the private cause")
	for _, c := range []struct {
		name      string
		handler   Handler
		status    int
		body      string
		header    string // "Name: value" that must be there
		mustLog   string
		notLogged bool
	}{
		{name: "success", handler: func(w http.ResponseWriter, r *http.Request) error {
			return WriteBody(w, r, 200, []byte("fine"))
		}, status: 200, body: "fine", notLogged: true},
		{name: "public error", handler: func(http.ResponseWriter, *http.Request) error {
			return fmt.Errorf("asking: %w", &Error{Status: 404, Message: "no such thing", Header: []string{"Cache-Control", "no-store"}, Err: cause})
		}, status: 404, body: "no such thing", header: "Cache-Control: no-store", notLogged: true},
		{name: "ours", handler: func(http.ResponseWriter, *http.Request) error {
			return &Error{Status: 503, Message: "later", Err: cause}
		}, status: 503, body: "later", mustLog: "level=WARN"},
		{name: "unexpected", handler: func(http.ResponseWriter, *http.Request) error { return cause },
			status: 500, body: "internal error", mustLog: "the private cause"},
		{name: "panic", handler: func(http.ResponseWriter, *http.Request) error { panic("the private cause") },
			status: 500, body: "internal error", mustLog: "the private cause"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var logged bytes.Buffer
			s := plain(slog.New(slog.NewTextHandler(&logged, nil)))
			var route string
			var status int
			s.Observe = func(r string, code int, _ time.Duration) { route, status = r, code }
			w := httptest.NewRecorder()
			s.Handle("thing", c.handler).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
			if w.Code != c.status || w.Body.String() != c.body {
				t.Errorf("answered %d %q, want %d %q", w.Code, w.Body, c.status, c.body)
			}
			if route != "thing" || status != c.status {
				t.Errorf("observed %q %d, want thing %d", route, status, c.status)
			}
			if name, value, ok := strings.Cut(c.header, ": "); ok && w.Header().Get(name) != value {
				t.Errorf("%s is %q, want %q", name, w.Header().Get(name), value)
			}
			id := w.Header().Get("X-Request-Id")
			if failed := c.status != 200; soundRequestID(id) != failed {
				t.Errorf("X-Request-Id of an answer %d is %q", c.status, id)
			}
			if c.notLogged && logged.Len() > 0 {
				t.Errorf("logged %s", &logged)
			}
			if !strings.Contains(logged.String(), c.mustLog) || c.mustLog != "" && !strings.Contains(logged.String(), id) {
				t.Errorf("logged %q, want %q and the request id %s", &logged, c.mustLog, id)
			}
		})
	}
}

func TestAnAnswerThatBeganIsCutOff(t *testing.T) {
	s := plain(quiet())
	srv := httptest.NewServer(s.Handle("x", func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "half")
		return errors.New("and then it broke")
	}))
	defer srv.Close()
	resp, err := http.Get(srv.URL)
	if err == nil {
		_, err = io.ReadAll(resp.Body)
		resp.Body.Close()
	}
	if err == nil {
		t.Error("a broken answer arrived as if it were whole")
	}
}

// TestFailuresAreLoggedInBounds: a full disk is not made fuller by the log.
func TestFailuresAreLoggedInBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged bytes.Buffer
		s := plain(slog.New(slog.NewTextHandler(&logged, nil)))
		h := s.Handle("x", func(http.ResponseWriter, *http.Request) error { return &Error{Status: 503, Message: "later"} })
		for range 1000 {
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
		}
		if n := strings.Count(logged.String(), "\n"); n != linesAtOnce {
			t.Errorf("%d lines, want %d", n, linesAtOnce)
		}
		time.Sleep(time.Second)
		logged.Reset()
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
		if want := fmt.Sprintf("omitted=%d", 1000-linesAtOnce); !strings.Contains(logged.String(), want) {
			t.Errorf("logged %q, want %s", &logged, want)
		}
	})
}

func TestRequestID(t *testing.T) {
	r := httptest.NewRequest("GET", "/", nil)
	first, second := requestID(r)[0], requestID(r)[0]
	if first == second {
		t.Errorf("two requests have the id %s", first)
	}
	r.Header.Set("X-Request-Id", "mine")
	w := httptest.NewRecorder()
	if answer(plain(quiet())).ServeHTTP(w, r); w.Header().Get("X-Request-Id") != "mine" {
		t.Errorf("the client's id came back as %q", w.Header().Get("X-Request-Id"))
	}
	for id, kept := range map[string]bool{"abc-1_2.Z": true, "": false, "a b": false, "a\"b": false, strings.Repeat("x", 64): true, strings.Repeat("x", 65): false} {
		r.Header.Set("X-Request-Id", id)
		if got := requestID(r)[0]; (got == id) != kept {
			t.Errorf("id %q of the client was kept: %v, want %v", id, got == id, kept)
		}
	}
}

func TestWriteBodySaysItsLength(t *testing.T) {
	sizes := []int{0, 1, short, short + 1, 10_000}
	srv := httptest.NewServer(plain(quiet()).Handle("x", func(w http.ResponseWriter, r *http.Request) error {
		var n, status int
		if _, err := fmt.Sscanf(r.URL.Path, "/%d/%d", &status, &n); err != nil {
			return err
		}
		return WriteBody(w, r, status, make([]byte, n))
	}))
	defer srv.Close()
	for _, n := range sizes {
		for _, status := range []int{200, 404} {
			for _, method := range []string{"GET", "HEAD"} {
				r, err := http.NewRequestWithContext(t.Context(), method, fmt.Sprintf("%s/%d/%d", srv.URL, status, n), nil)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := srv.Client().Do(r)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				want := n
				if method == "HEAD" {
					want = 0
				}
				if err != nil || resp.StatusCode != status || resp.ContentLength != int64(n) || len(body) != want {
					t.Errorf("%s of %d bytes and status %d: %s, Content-Length %d, %d bytes, %v", method, n, status, resp.Status, resp.ContentLength, len(body), err)
				}
			}
		}
	}
}

// start runs a server and returns its address. It is stopped when the test ends.
func start(t *testing.T, h http.Handler, l Limits) (*Server, string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(ln, h, l, quiet())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	return s, ln.Addr().String()
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

// ask sends a request on an open connection and returns the status.
func ask(t *testing.T, c net.Conn, request string) int {
	t.Helper()
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	return resp.StatusCode
}

// closed waits until the other side has closed the connection.
func closed(c net.Conn) bool {
	_, err := c.Read(make([]byte, 1))
	var timeout net.Error
	return err != nil && !(errors.As(err, &timeout) && timeout.Timeout())
}

func (l *Listener) countWaiting() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := l.oldest; c != nil; c = c.next {
		n++
	}
	return n
}

const get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

func answer(s *Surface) http.Handler {
	return s.Handle("x", func(w http.ResponseWriter, r *http.Request) error { return WriteBody(w, r, 200, []byte("ok")) })
}

func TestNewConnectionsTakeThePlaceOfIdleOnes(t *testing.T) {
	s, addr := start(t, answer(plain(quiet())), Limits{Connections: 4})
	silent := dial(t, addr)                     // says nothing
	slow := dial(t, addr)                       // half a header
	io.WriteString(slow, "GET / HTTP/1.1\r\nX") //nolint
	idle := dial(t, addr)                       // between two requests
	last := dial(t, addr)
	for _, c := range []net.Conn{idle, last} {
		if ask(t, c, get) != 200 {
			t.Fatal("no answer below the limit")
		}
		// A connection is idle some time after its client has the answer.
		waitFor(t, func() bool { return s.listener.countWaiting() == 4 })
	}
	for i, victim := range []net.Conn{silent, slow, idle} {
		if got := ask(t, dial(t, addr), get); got != 200 {
			t.Fatalf("connection %d above the limit got %d", i, got)
		}
		if !closed(victim) {
			t.Fatalf("connection %d, the longest idle one, was not closed", i)
		}
		waitFor(t, func() bool { return s.listener.countWaiting() == 4 })
	}
	if ask(t, last, get) != 200 {
		t.Error("the youngest connection was closed")
	}
	if open, shed := s.Connections(); open != 4 || shed != 3 {
		t.Errorf("%d connections are open and %d were shed, want 4 and 3", open, shed)
	}
}

func TestConnectionsAtWorkAreNotClosed(t *testing.T) {
	release := make(chan struct{})
	var working atomic.Int32
	s := plain(quiet())
	_, addr := start(t, s.Handle("x", func(w http.ResponseWriter, r *http.Request) error {
		if err := ReadBody(r, make([]byte, r.ContentLength)); err != nil {
			return err
		}
		working.Add(1)
		<-release
		return WriteBody(w, r, 200, nil)
	}), Limits{Connections: 2})

	post := "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi"
	results := make(chan int, 3)
	for range 2 {
		c := dial(t, addr)
		go func() { results <- ask(t, c, post) }()
	}
	waitFor(t, func() bool { return working.Load() == 2 })
	c := dial(t, addr)
	go func() { results <- ask(t, c, post) }()
	select {
	case status := <-results:
		t.Fatalf("an answer %d came while all were at work", status)
	case <-time.After(50 * time.Millisecond):
	}
	if working.Load() != 2 {
		t.Fatalf("%d requests are at work, want 2", working.Load())
	}
	close(release)
	for range 3 {
		if status := <-results; status != 200 {
			t.Errorf("got %d", status)
		}
	}
}

// waitFor polls until the condition holds.
func waitFor(t *testing.T, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !condition(); {
		if time.Now().After(deadline) {
			t.Fatal("the condition was not met in time")
		}
		time.Sleep(time.Millisecond)
	}
}

func TestASlowBodyIsClosedToMakeRoom(t *testing.T) {
	s := plain(quiet())
	srv, addr := start(t, s.Handle("x", func(w http.ResponseWriter, r *http.Request) error {
		if err := ReadBody(r, make([]byte, r.ContentLength)); err != nil {
			return &Error{Status: 400, Message: err.Error()}
		}
		return WriteBody(w, r, 200, nil)
	}), Limits{Connections: 2})
	slow := dial(t, addr)
	io.WriteString(slow, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhi")
	other := dial(t, addr)
	post := "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi"
	if ask(t, other, post) != 200 {
		t.Fatal("no answer beside a slow body")
	}
	waitFor(t, func() bool { return srv.listener.countWaiting() == 2 })
	if ask(t, dial(t, addr), post) != 200 {
		t.Fatal("no answer beside a slow body")
	}
	if !closed(slow) {
		t.Error("the slow body kept its place")
	}
}

func TestSlowClientsAreBounded(t *testing.T) {
	s := plain(quiet())
	_, addr := start(t, s.Handle("x", func(w http.ResponseWriter, r *http.Request) error {
		if err := ReadBody(r, make([]byte, r.ContentLength)); err != nil {
			return &Error{Status: 400, Message: "short"}
		}
		return WriteBody(w, r, 200, nil)
	}), Limits{Header: 200 * time.Millisecond, Request: 300 * time.Millisecond, Idle: 200 * time.Millisecond})
	for name, sent := range map[string]string{
		"silent":      "",
		"half header": "GET / HTTP/1.1\r\nHost",
		"idle":        get,
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, addr)
			io.WriteString(c, sent)
			rest, err := io.ReadAll(c)
			if err != nil {
				t.Errorf("the connection ended with %v after %q", err, rest)
			}
		})
	}
	t.Run("half body", func(t *testing.T) {
		if got := ask(t, dial(t, addr), "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhi"); got != 400 {
			t.Errorf("got %d, want 400", got)
		}
	})
	t.Run("huge header", func(t *testing.T) {
		if got := ask(t, dial(t, addr), "GET / HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("x", 16<<10)+"\r\n\r\n"); got != 431 {
			t.Errorf("got %d, want 431", got)
		}
	})
}

func TestStopAnswersWhatArrived(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	arrived, release := make(chan struct{}), make(chan struct{})
	s := plain(quiet())
	srv := NewServer(ln, s.Handle("x", func(w http.ResponseWriter, r *http.Request) error {
		close(arrived)
		<-release
		return WriteBody(w, r, 200, nil)
	}), Limits{}, quiet())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()

	silent := dial(t, ln.Addr().String())
	c := dial(t, ln.Addr().String())
	status := make(chan int, 1)
	go func() { status <- ask(t, c, get) }()
	<-arrived
	cancel()
	waitFor(t, func() bool {
		probe, err := net.Dial("tcp", ln.Addr().String())
		if err == nil {
			probe.Close()
		}
		return err != nil
	})
	if !closed(silent) {
		t.Error("a silent connection held the server up")
	}
	close(release)
	if got := <-status; got != 200 {
		t.Errorf("the request that had arrived got %d", got)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestStopCutsOffWhatTakesTooLong(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	arrived := make(chan struct{})
	srv := NewServer(ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
	}), Limits{Grace: 50 * time.Millisecond}, quiet())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	c := dial(t, ln.Addr().String())
	io.WriteString(c, get)
	<-arrived
	cancel()
	if err := <-done; err == nil || !strings.Contains(err.Error(), "50ms") {
		t.Errorf("stopped with %v, want an error that names the grace", err)
	}
}
