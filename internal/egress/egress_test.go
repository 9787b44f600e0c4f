package egress

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"code.dny.dev/ssrf"
)

// The environment names a proxy that does not answer, before anything reads it: no test here would pass through it.
func TestMain(m *testing.M) {
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"} {
		os.Setenv(name, "http://127.0.0.1:1")
	}
	var logged bytes.Buffer
	log.SetOutput(&logged)
	code := m.Run()
	// The standard library's log, in which a server's words would come.
	if logged.Len() > 0 {
		fmt.Printf("FAIL: strangers wrote into the log: %.300s\n", &logged)
		code = max(code, 1)
	}
	os.Exit(code)
}

func mustNew(t testing.TB, config Config, options ...ssrf.Option) *Client {
	t.Helper()
	c, err := newClient(config, options...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// In these tests 127.0.0.2 is the public internet and 127.0.0.1 is inside.
var loopbackIsPublic = ssrf.WithAllowedV4Prefixes(netip.MustParsePrefix("127.0.0.2/32"))

// world is a server outside and one inside at the same port.
type world struct {
	names
	port            int
	inside, outside atomic.Int64 // connections
}

func newWorld(t *testing.T, outside http.Handler) *world {
	w := &world{}
	for range 100 {
		in, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		w.port = in.Addr().(*net.TCPAddr).Port
		out, err := net.Listen("tcp", fmt.Sprintf("127.0.0.2:%d", w.port))
		if err != nil {
			in.Close()
			continue // somebody else's
		}
		w.serve(t, in, &w.inside, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, "secret") }))
		w.serve(t, out, &w.outside, outside)
		return w
	}
	t.Fatal("no port is free on two addresses")
	return nil
}

func (w *world) serve(t *testing.T, l net.Listener, count *atomic.Int64, h http.Handler) {
	s := httptest.NewUnstartedServer(h)
	s.Listener.Close()
	s.Listener = l
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			count.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
}

func (w *world) client(t *testing.T, config Config) *Client {
	config.Ports = append(config.Ports, w.port)
	config.Resolver = w.resolver(t)
	return mustNew(t, config, loopbackIsPublic)
}

func (w *world) url(host string) string {
	return fmt.Sprintf("http://%s:%d/hook?token=sesame", host, w.port)
}

func ask(t *testing.T, c *Client, url string) (Answer, error) {
	t.Helper()
	req, err := http.NewRequest("POST", url, strings.NewReader(`{"a":1}`))
	if err != nil {
		t.Fatal(err)
	}
	return c.Do(context.Background(), req)
}

func ok(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, "ok") }

// wantInside: the request was refused for its address, and the customer does not learn which.
func wantInside(t *testing.T, what string, err error) {
	t.Helper()
	e, is := errors.AsType[*Error](err)
	switch {
	case !is || !errors.Is(err, ErrInside):
		t.Errorf("%s gives %v", what, err)
	case strings.Contains(e.Message, "127.") || strings.Contains(err.Error(), "sesame"):
		t.Errorf("%s tells %q", what, err)
	}
}

// A name of a customer's resolves to any address inside.
func TestNamesOfAddressesInside(t *testing.T) {
	var n names
	c := mustNew(t, Config{Resolver: n.resolver(t)})
	hasV6 := false
	if l, err := net.Listen("tcp", "[::1]:0"); err == nil {
		hasV6 = true
		l.Close()
	}
	for i, a := range insideAddresses {
		addr := netip.MustParseAddr(a)
		if addr.Is4In6() && c.guard.SafeAddr(addr.Unmap()) == nil {
			continue // in DNS it is the public address itself
		}
		host := fmt.Sprintf("hooks%d.example.org", i)
		n.set(host, a)
		_, err := ask(t, c, "http://"+host+"/")
		if err == nil {
			t.Errorf("%s was reached", a)
		}
		if addr.Unmap().Is4() || hasV6 {
			wantInside(t, a, err)
		}
	}
}

func TestRebinding(t *testing.T) {
	w := newWorld(t, http.HandlerFunc(ok))
	c := w.client(t, Config{})
	w.set("hooks.example.org", "127.0.0.1")
	w.first("hooks.example.org", "127.0.0.2")
	if a, err := ask(t, c, w.url("hooks.example.org")); err != nil || a.Status != 200 || string(a.Body) != "ok" {
		t.Fatalf("the first look-up gives %+v, %v", a, err)
	}
	// No connection is kept for it.
	_, err := ask(t, c, w.url("hooks.example.org"))
	wantInside(t, "the next look-up", err)
	if w.lookUps("hooks.example.org") != 2 || w.inside.Load() != 0 || w.outside.Load() != 1 {
		t.Errorf("%d look-ups, %d connections inside, %d outside", w.lookUps("hooks.example.org"), w.inside.Load(), w.outside.Load())
	}
}

// Of several addresses those inside are passed over.
func TestSeveralAddresses(t *testing.T) {
	w := newWorld(t, http.HandlerFunc(ok))
	c := w.client(t, Config{})
	for _, addresses := range [][]string{
		{"127.0.0.1", "127.0.0.2"}, {"127.0.0.2", "127.0.0.1"}, {"127.0.0.1", "10.0.0.1", "::1", "127.0.0.2", "169.254.169.254"},
	} {
		w.set("hooks.example.org", addresses...)
		if a, err := ask(t, c, w.url("hooks.example.org")); err != nil || string(a.Body) != "ok" {
			t.Errorf("%v gives %+v, %v", addresses, a, err)
		}
	}
	w.set("hooks.example.org", "127.0.0.1", "::1", "10.0.0.1")
	_, err := ask(t, c, w.url("hooks.example.org"))
	wantInside(t, "nothing but inside", err)
	if w.inside.Load() != 0 {
		t.Errorf("%d connections inside", w.inside.Load())
	}
}

func TestRedirectsAreAnswers(t *testing.T) {
	var to string
	w := newWorld(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if cookie := r.Header.Get("Cookie"); cookie != "" {
			t.Errorf("the cookie %q was kept", cookie)
		}
		var status int
		fmt.Sscanf(r.URL.Path, "/%d", &status)
		rw.Header().Set("Location", to)
		http.SetCookie(rw, &http.Cookie{Name: "a", Value: "b"})
		rw.WriteHeader(status)
	}))
	to = w.url("127.0.0.1")
	c := w.client(t, Config{Allow: []string{"127.0.0.1"}}) // even where it could go
	w.set("hooks.example.org", "127.0.0.2")
	for _, status := range []int{301, 302, 303, 307, 308} {
		a, err := ask(t, c, fmt.Sprintf("http://hooks.example.org:%d/%d", w.port, status))
		if err != nil || a.Status != status || a.Header.Get("Location") != to {
			t.Errorf("%d gives %+v, %v", status, a, err)
		}
	}
	if w.inside.Load() != 0 {
		t.Errorf("%d connections inside", w.inside.Load())
	}
}

// What the operator allows is reached by that name and port alone.
func TestAllowed(t *testing.T) {
	w := newWorld(t, http.HandlerFunc(ok))
	w.set("hooks.internal", "127.0.0.1")
	w.set("other.example.org", "127.0.0.1")
	c := w.client(t, Config{Allow: []string{fmt.Sprintf("hooks.internal:%d", w.port)}})
	if a, err := ask(t, c, w.url("hooks.internal")); err != nil || string(a.Body) != "secret" {
		t.Errorf("the allowed host gives %+v, %v", a, err)
	}
	// Not by another name of the same address.
	_, err := ask(t, c, w.url("other.example.org"))
	wantInside(t, "another name", err)
	if _, err := ask(t, c, w.url("127.0.0.1")); err == nil || !strings.Contains(err.Error(), "not allowed any more") {
		t.Errorf("its address gives %v", err)
	}
	if w.inside.Load() != 1 {
		t.Errorf("%d connections inside", w.inside.Load())
	}
	// The dialer trusts no check that came before it.
	for _, addr := range []string{"127.0.0.1:%d", "other.example.org:%d", "[::ffff:127.0.0.1]:%d", "hooks.internal:1%d", "hooks.internal.:%d"} {
		if conn, err := c.dial(t.Context(), "tcp", fmt.Sprintf(addr, w.port)); err == nil {
			conn.Close()
			t.Errorf("%s was dialled", addr)
		}
	}
	if conn, err := c.dial(t.Context(), "tcp", "127.0.0.2:22"); !errors.Is(err, ssrf.ErrProhibitedPort) {
		t.Errorf("another port gives %v, %v", conn, err)
	}
}

func TestDenied(t *testing.T) {
	c := mustNew(t, Config{Deny: []netip.Prefix{netip.MustParsePrefix("8.8.8.0/24"), netip.MustParsePrefix("2606:4700::/32")}})
	for _, url := range []string{"https://8.8.8.8/", "https://[2606:4700::1]/", "https://168.63.129.16/", "https://10.0.0.1/"} {
		if err := c.Check(url); err == nil {
			t.Errorf("%s is taken", url)
		}
	}
	if err := c.Check("https://8.8.4.4/"); err != nil {
		t.Error(err)
	}
}

func TestRequest(t *testing.T) {
	got := make(chan *http.Request, 1)
	w := newWorld(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		got <- r
		rw.Header().Set("Retry-After", "60")
		rw.WriteHeader(503)
	}))
	w.set("hooks.example.org", "127.0.0.2")
	c := w.client(t, Config{UserAgent: "Datestone/1.0"})
	req, err := http.NewRequest("POST", w.url("hooks.example.org"), strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Webhook-Id", "msg_1")
	req.Host = "metadata.internal"
	a, err := c.Do(t.Context(), req)
	if err != nil || a.Status != 503 || a.Header.Get("Retry-After") != "60" || len(a.Body) != 0 {
		t.Fatalf("%+v, %v", a, err)
	}
	r := <-got
	body, _ := io.ReadAll(r.Body)
	if r.Host != fmt.Sprintf("hooks.example.org:%d", w.port) || r.UserAgent() != "Datestone/1.0" || r.Header.Get("Webhook-Id") != "msg_1" ||
		string(body) != "body" || r.URL.RawQuery != "token=sesame" || r.Header.Get("Accept-Encoding") != "" {
		t.Errorf("the server got %+v with %q", r, body)
	}
	if req.Header.Get("User-Agent") != "" || req.Host != "metadata.internal" {
		t.Error("the request was changed")
	}
}

// raw serves each connection by a function that writes what it likes.
func (w *world) raw(t *testing.T, serve func(net.Conn)) string {
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn)
			}()
		}
	}()
	w.port = l.Addr().(*net.TCPAddr).Port
	w.set("hooks.example.org", "127.0.0.2")
	return w.url("hooks.example.org")
}

// trickle writes a text again and again until the other side is gone.
func trickle(first, again string, pause time.Duration) func(net.Conn) {
	return func(conn net.Conn) {
		_, err := io.WriteString(conn, first)
		for err == nil && again != "" {
			time.Sleep(pause)
			_, err = io.WriteString(conn, again)
		}
		io.Copy(io.Discard, conn)
	}
}

func TestServersThatBehaveBadly(t *testing.T) {
	const short, long = time.Second, time.Minute
	for _, c := range []struct {
		name    string
		timeout time.Duration
		serve   func(net.Conn)
		want    string // of the message; empty is an answer
		body    int    // bytes at least
	}{
		{"says nothing", short, trickle("", "", 0), "there was no answer within 1s", 0},
		{"says its status byte by byte", short, trickle("HTTP/1.1 200 ", "O", 10*time.Millisecond), "no answer within", 0},
		{"never ends its header, slowly", short, trickle("HTTP/1.1 200 OK\r\n", "A: b\r\n", 10*time.Millisecond), "no answer within", 0},
		{"never ends its header", long, trickle("HTTP/1.1 200 OK\r\n", strings.Repeat("A: b\r\n", 1000), 0), "the connection broke", 0},
		{"never ends a line", long, trickle("HTTP/1.1 200 OK\r\nA: ", strings.Repeat("b", 1000), 0), "the connection broke", 0},
		{"never ends its promises", long, trickle("", strings.Repeat("HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n", 100), 0), "the connection broke", 0},
		{"never ends its body", long, trickle("HTTP/1.1 200 OK\r\n\r\n", strings.Repeat("b", 1000), 0), "", MaxBody},
		{"never ends its body, slowly", long, trickle("HTTP/1.1 200 OK\r\n\r\nabc", "d", 100*time.Millisecond), "", 3},
		{"begins no body", long, trickle("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", "", 0), "", 0},
		{"breaks off its body", long, func(conn net.Conn) {
			io.ReadAtLeast(conn, make([]byte, 100), 100)
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
		}, "", 3},
		{"a body in an unknown coding", long, trickle("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", "", 0), "", 3},
		{"closes", long, func(net.Conn) {}, "the connection broke", 0},
		{"speaks SSH", long, func(conn net.Conn) { io.WriteString(conn, "SSH-2.0-OpenSSH_9.6\r\n") }, "the connection broke", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := &world{}
			url := w.raw(t, c.serve)
			a, err := ask(t, w.client(t, Config{Timeout: c.timeout}), url)
			if c.want == "" {
				if err != nil || a.Status != 200 || len(a.Body) < c.body || len(a.Body) > MaxBody {
					t.Errorf("%d with %d bytes, %v", a.Status, len(a.Body), err)
				}
				return
			}
			if e, is := errors.AsType[*Error](err); !is || !strings.Contains(e.Message, c.want) || strings.Contains(err.Error(), "sesame") {
				t.Errorf("it gives %v, not %q", err, c.want)
			}
		})
	}
}

func TestMessages(t *testing.T) {
	w := newWorld(t, http.HandlerFunc(ok))
	c := w.client(t, Config{})
	message := func(url string) string {
		t.Helper()
		_, err := ask(t, c, url)
		e, is := errors.AsType[*Error](err)
		if !is {
			t.Fatalf("%s gives %v", url, err)
		}
		return e.Message
	}
	if m := message(w.url("nobody.example.org")); m != "the host's name has no address" {
		t.Error(m)
	}
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().(*net.TCPAddr).Port
	l.Close()
	c = mustNew(t, Config{Ports: []int{closed}, Resolver: w.resolver(t)}, loopbackIsPublic)
	w.set("hooks.example.org", "127.0.0.2")
	if m := message(fmt.Sprintf("http://hooks.example.org:%d/", closed)); m != "the connection was refused" {
		t.Error(m)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	req, err := http.NewRequest("GET", w.url("hooks.example.org"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.client(t, Config{}).Do(ctx, req); err != context.Canceled {
		t.Errorf("a stopped request gives %v", err)
	}
}

func TestCertificates(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(ok))
	s.Listener.Close()
	s.Listener = l
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS() // its certificate is for example.com
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	w := &world{port: l.Addr().(*net.TCPAddr).Port}
	w.set("example.com", "127.0.0.2")
	w.set("hooks.example.org", "127.0.0.2")
	c := w.client(t, Config{RootCAs: roots})
	secure := func(host string) string { return fmt.Sprintf("https://%s:%d/", host, w.port) }
	if a, err := ask(t, c, secure("example.com")); err != nil || string(a.Body) != "ok" {
		t.Errorf("%+v, %v", a, err)
	}
	conn, err := c.dialTLS(t.Context(), "tcp", fmt.Sprintf("example.com:%d", w.port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, is := conn.(*patient); !is {
		t.Errorf("dialTLS gives a %T", conn)
	}
	for url, c := range map[string]*Client{
		secure("hooks.example.org"): c,                     // another name
		secure("example.com"):       w.client(t, Config{}), // another authority
	} {
		_, err := ask(t, c, url)
		if e, is := errors.AsType[*Error](err); !is || !strings.HasPrefix(e.Message, "the server's certificate is not good: x509: ") {
			t.Errorf("%s gives %v", url, err)
		}
	}
}
