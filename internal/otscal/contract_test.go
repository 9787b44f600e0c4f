package otscal

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/calendar"
	"github.com/datestone/datestone/internal/httpkit"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/ots"
)

const testURI = "http://calendar.test:14788"

// scripted answers as the calendar would, for commitments whose last byte says in which state they are.
type scripted struct {
	submit func(ctx context.Context, digest []byte) (calendar.Receipt, error)
}

const (
	bytePending = iota + 1
	byteMined
	byteConfirmed
	byteDeep
	byteBroken
	bytePromised
	byteMinedPromised
)

// promised is what other calendars promised.
var promised = []byte("what others promised")

func commitment(last byte) string {
	e := logtree.Entry{39: last}
	return e.String()
}

func (s scripted) Submit(ctx context.Context, digest []byte) (calendar.Receipt, error) {
	if s.submit != nil {
		return s.submit(ctx, digest)
	}
	return receipt(digest), nil
}

// receipt is a short path that depends on the digest.
func receipt(digest []byte) calendar.Receipt {
	return calendar.Receipt{Path: ots.Path{}.Append(append([]byte("nonce"), digest...)).SHA256().Prepend([]byte("position")).Bytes()}
}

var confirmed = []byte("any bytes, as the calendar gave them")

func (s scripted) Proof(_ context.Context, c []byte, _ bool) (calendar.Proof, error) {
	switch c[39] {
	case bytePending:
		return calendar.Proof{State: calendar.Pending}, nil
	case byteMined:
		return calendar.Proof{State: calendar.Mined, Ref: strings.Repeat("ab", 32)}, nil
	case byteConfirmed:
		return calendar.Proof{State: calendar.Confirmed, Timestamp: confirmed}, nil
	case byteDeep:
		return calendar.Proof{State: calendar.Confirmed, Timestamp: confirmed, Deep: true}, nil
	case bytePromised:
		return calendar.Proof{State: calendar.Pending, Promises: promised}, nil
	case byteMinedPromised:
		return calendar.Proof{State: calendar.Mined, Ref: strings.Repeat("ab", 32), Promises: promised}, nil
	case byteBroken:
		return calendar.Proof{}, errors.New("the private cause")
	}
	return calendar.Proof{}, calendar.ErrUnknown
}

// serve runs the surface at a real listener and returns its address.
func serve(t testing.TB, c Calendar, store Store, l httpkit.Limits) string {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	s, err := New(c, store, Config{URI: testURI, Version: "1.2.3", Log: log})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := httpkit.NewServer(ln, s, l, log)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	return ln.Addr().String()
}

// answerTo sends raw bytes and reads one answer. half closes the sending side after them.
func answerTo(t testing.TB, addr, request string, half bool) (*http.Response, string) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	if half {
		c.(*net.TCPConn).CloseWrite()
	}
	method, _, _ := strings.Cut(request, " ")
	resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%q: %v", request[:min(len(request), 100)], err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%q: %v", request[:min(len(request), 100)], err)
	}
	return resp, string(body)
}

func post(path, digest string, more ...string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n%s\r\n%s", path, len(digest), strings.Join(more, ""), digest)
}

func get(path string, more ...string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: x\r\n" + strings.Join(more, "") + "\r\n"
}

// timestampOf is the wire form of what the scripted calendar gives for the digest.
func timestampOf(t testing.TB, digest string) string {
	t.Helper()
	pending, err := ots.PendingAttestation(testURI)
	if err != nil {
		t.Fatal(err)
	}
	path, err := ots.ParsePath(receipt([]byte(digest)).Path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := ots.New(path, pending).AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestContract(t *testing.T) {
	const (
		octets = "application/octet-stream"
		text   = "text/plain"
		minute = "public, max-age=60"
		hour   = "public, max-age=3600"
		year   = "public, max-age=31536000"
	)
	addr := serve(t, scripted{}, fixed{targets: []anchor.Status{{Confirmations: 6}}}, httpkit.Limits{Request: 300 * time.Millisecond})
	d32 := strings.Repeat("d", 32)
	const both = "Accept: application/vnd.opentimestamps.v1, application/vnd.datestone.promises\r\n"
	for _, c := range []struct {
		name, request, contentType, cache, body string
		status                                  int
		half                                    bool
	}{
		{name: "digest", request: post("/digest", d32), status: 200, contentType: octets, body: timestampOf(t, d32)},
		{name: "digest of a form", request: post("/digest", d32, "Content-Type: application/x-www-form-urlencoded\r\n", "Accept: application/vnd.opentimestamps.v1\r\n"), status: 200, contentType: octets, body: timestampOf(t, d32)},
		{name: "empty digest", request: post("/digest", ""), status: 200, contentType: octets, body: timestampOf(t, "")},
		{name: "one byte", request: post("/digest", "d"), status: 200, contentType: octets, body: timestampOf(t, "d")},
		{name: "64 bytes", request: post("/digest", d32+d32), status: 200, contentType: octets, body: timestampOf(t, d32+d32)},
		{name: "HTTP/1.0", request: "POST /digest HTTP/1.0\r\nContent-Length: 1\r\n\r\nd", status: 200, contentType: octets, body: timestampOf(t, "d")},
		{name: "absolute form", request: post("http://x/digest", "d"), status: 200, contentType: octets, body: timestampOf(t, "d")},
		{name: "expect continue", request: post("/digest", strings.Repeat("d", 65), "Expect: 100-continue\r\n"), status: 400, contentType: text, body: "digest too long"},
		{name: "65 bytes", request: post("/digest", strings.Repeat("d", 65)), status: 400, contentType: text, body: "digest too long"},
		{name: "a gigabyte announced", request: "POST /digest HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\nd", status: 400, contentType: text, body: "digest too long"},
		{name: "no Content-Length", request: "POST /digest HTTP/1.1\r\nHost: x\r\n\r\n", status: 400, contentType: text, body: "invalid Content-Length"},
		{name: "no Content-Length, HTTP/1.0", request: "POST /digest HTTP/1.0\r\n\r\ndddd", status: 400, contentType: text, body: "invalid Content-Length"},
		{name: "chunked", request: "POST /digest HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nd\r\n0\r\n\r\n", status: 400, contentType: text, body: "invalid Content-Length"},
		{name: "body shorter than announced", request: "POST /digest HTTP/1.1\r\nHost: x\r\nContent-Length: 32\r\n\r\ndddd", half: true, status: 400, contentType: text, body: "invalid Content-Length"},
		{name: "body never comes", request: "POST /digest HTTP/1.1\r\nHost: x\r\nContent-Length: 32\r\n\r\ndddd", status: 400, contentType: text, body: "invalid Content-Length"},
		{name: "post to /digest/", request: post("/digest/", "d"), status: 404, contentType: text, cache: hour, body: "not found"},
		{name: "post to /digest?x", request: post("/digest?x", "d"), status: 404, contentType: text, cache: hour, body: "not found"},
		{name: "post to /digest?", request: post("/digest?", "d"), status: 404, contentType: text, cache: hour, body: "not found"},
		{name: "post to //digest", request: post("//digest", "d"), status: 404, contentType: text, cache: hour, body: "not found"},
		{name: "post to an escaped path", request: post("/%64igest", "d"), status: 404, contentType: text, cache: hour, body: "not found"},
		{name: "post to /", request: post("/", "d"), status: 404, contentType: text, cache: hour, body: "not found"},
		{name: "post a large body elsewhere", request: post("/x", strings.Repeat("d", 1<<16)), status: 404, contentType: text, cache: hour, body: "not found"},

		{name: "deep proof", request: get("/timestamp/" + commitment(byteDeep)), status: 200, contentType: octets, cache: year, body: string(confirmed)},
		{name: "deep proof, upper case", request: get("/timestamp/" + strings.ToUpper(commitment(byteDeep))), status: 200, contentType: octets, cache: year, body: string(confirmed)},
		{name: "recent proof", request: get("/timestamp/" + commitment(byteConfirmed)), status: 200, contentType: octets, cache: "public, max-age=600", body: string(confirmed)},
		{name: "pending", request: get("/timestamp/" + commitment(bytePending)), status: 404, contentType: text, cache: minute, body: "Pending confirmation in Bitcoin blockchain"},
		{name: "mined", request: get("/timestamp/" + commitment(byteMined)), status: 404, contentType: text, cache: minute, body: "Timestamped by transaction " + strings.Repeat("ab", 32) + "; waiting for 6 confirmations"},
		{name: "promised", request: get("/timestamp/"+commitment(bytePromised), both), status: 200, contentType: octets, cache: minute, body: string(promised)},
		{name: "mined and promised", request: get("/timestamp/"+commitment(byteMinedPromised), both), status: 200, contentType: octets, cache: minute, body: string(promised)},
		{name: "promised, to others", request: get("/timestamp/"+commitment(bytePromised), "Accept: application/vnd.opentimestamps.v1\r\n"), status: 404, contentType: text, cache: minute, body: "Pending confirmation in Bitcoin blockchain"},
		{name: "nothing promised", request: get("/timestamp/"+commitment(bytePending), both), status: 404, contentType: text, cache: minute, body: "Pending confirmation in Bitcoin blockchain"},
		{name: "unknown", request: get("/timestamp/" + commitment(0)), status: 404, contentType: text, cache: minute, body: "Not found"},
		{name: "empty", request: get("/timestamp/"), status: 404, contentType: text, cache: minute, body: "Not found"},
		{name: "a digest", request: get("/timestamp/" + hex.EncodeToString([]byte(d32))), status: 404, contentType: text, cache: minute, body: "Not found"},
		{name: "long hex", request: get("/timestamp/" + strings.Repeat("ab", 2000)), status: 404, contentType: text, cache: minute, body: "Not found"},
		{name: "odd length", request: get("/timestamp/abc"), status: 400, contentType: text, cache: year, body: "commitment must be hex-encoded bytes"},
		{name: "not hex", request: get("/timestamp/xy"), status: 400, contentType: text, cache: year, body: "commitment must be hex-encoded bytes"},
		{name: "query", request: get("/timestamp/" + commitment(byteDeep) + "?a=b"), status: 400, contentType: text, cache: year, body: "commitment must be hex-encoded bytes"},
		{name: "trailing slash", request: get("/timestamp/" + commitment(byteDeep) + "/"), status: 400, contentType: text, cache: year, body: "commitment must be hex-encoded bytes"},
		{name: "fault of ours", request: get("/timestamp/" + commitment(byteBroken)), status: 503, contentType: text, body: "the calendar cannot answer now; try again"},

		{name: "no tip", request: get("/tip"), status: 404, contentType: text, cache: "public, max-age=10", body: "no transaction waits for confirmation"},
		{name: "backup", request: get("/experimental/backup/0"), status: 404, contentType: text, cache: minute, body: "Not found"},
		{name: "elsewhere", request: get("/robots.txt"), status: 404, contentType: text, cache: hour, body: "Not found"},
		{name: "get /digest", request: get("/digest"), status: 404, contentType: text, cache: hour, body: "Not found"},
		{name: "get /timestamp", request: get("/timestamp"), status: 404, contentType: text, cache: hour, body: "Not found"},
		{name: "head", request: strings.Replace(get("/timestamp/"+commitment(byteDeep)), "GET", "HEAD", 1), status: 200, contentType: octets, cache: year},
		{name: "head of nothing", request: strings.Replace(get("/x"), "GET", "HEAD", 1), status: 404, contentType: text, cache: hour},
		{name: "options", request: strings.Replace(get("/digest"), "GET", "OPTIONS", 1), status: 204},
		{name: "put", request: strings.Replace(post("/digest", "d"), "POST", "PUT", 1), status: 501, contentType: text, body: "use GET or POST"},
		{name: "unheard of", request: "BREW / HTTP/1.1\r\nHost: x\r\n\r\n", status: 501, contentType: text, body: "use GET or POST"},
	} {
		t.Run(c.name, func(t *testing.T) {
			start := time.Now()
			resp, body := answerTo(t, addr, c.request, c.half)
			if took := time.Since(start); took > 2*time.Second {
				t.Errorf("answered after %v", took)
			}
			type answer struct {
				Status                           int
				ContentType, Cache, Body, Origin string
			}
			got := answer{resp.StatusCode, resp.Header.Get("Content-Type"), resp.Header.Get("Cache-Control"), body, resp.Header.Get("Access-Control-Allow-Origin")}
			want := answer{c.status, c.contentType, c.cache, c.body, "*"}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("answer (-want +got):\n%s", d)
			}
			if n := resp.ContentLength; c.status != 204 && !strings.HasPrefix(c.request, "HEAD") && n != int64(len(c.body)) {
				t.Errorf("Content-Length is %d, want %d", n, len(c.body))
			}
			if strings.Contains(c.name, "romised") && resp.Header.Get("Vary") != "Accept" {
				t.Error("a cache would give it to clients that did not ask for it")
			}
			if c.status == 503 && resp.Header.Get("Retry-After") == "" {
				t.Error("503 without Retry-After")
			}
			if len(body) > calendar.MaxProof {
				t.Errorf("%d bytes are more than clients read", len(body))
			}
		})
	}
}

// TestRefusedByTheParser: what net/http refuses by itself is a 400 as well, and ends the connection.
func TestRefusedByTheParser(t *testing.T) {
	addr := serve(t, scripted{}, nothing{}, httpkit.Limits{})
	for name, length := range map[string]string{"negative": "-1", "not a number": "abc", "two numbers": "1, 2", "hex": "0x10", "overflow": "99999999999999999999"} {
		t.Run(name, func(t *testing.T) {
			resp, _ := answerTo(t, addr, "POST /digest HTTP/1.1\r\nHost: x\r\nContent-Length: "+length+"\r\n\r\nd", false)
			if resp.StatusCode != 400 || !resp.Close {
				t.Errorf("answered %s, closed %v", resp.Status, resp.Close)
			}
		})
	}
	t.Run("huge header", func(t *testing.T) {
		resp, _ := answerTo(t, addr, get("/", "X: "+strings.Repeat("x", 1<<14)+"\r\n"), false)
		if resp.StatusCode != 431 {
			t.Errorf("answered %s", resp.Status)
		}
	})
}

// TestPipelining: what follows a body of the announced length is another request,
// and it gets an answer of its own or ends the connection; the answers keep their order.
func TestPipelining(t *testing.T) {
	addr := serve(t, scripted{}, nothing{}, httpkit.Limits{})
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(c, post("/digest", "a")+get("/timestamp/"+commitment(byteDeep))+post("/digest", "bc")+"surplus bytes\r\n\r\n")
	r := bufio.NewReader(c)
	for i, want := range []string{timestampOf(t, "a"), string(confirmed), timestampOf(t, "bc")} {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, _ := io.ReadAll(resp.Body); string(body) != want {
			t.Errorf("answer %d is %q, want %q", i, body, want)
		}
	}
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != 400 {
		t.Errorf("surplus bytes were answered with %v, %v", resp, err)
	}
}

func TestSubmissionThatFails(t *testing.T) {
	for name, cause := range map[string]error{
		"unavailable": fmt.Errorf("%w: disk is full", calendar.ErrUnavailable),
		"unexpected":  errors.New("the private cause"),
	} {
		t.Run(name, func(t *testing.T) {
			addr := serve(t, scripted{submit: func(context.Context, []byte) (calendar.Receipt, error) {
				return calendar.Receipt{}, cause
			}}, nothing{}, httpkit.Limits{})
			resp, body := answerTo(t, addr, post("/digest", "d"), false)
			if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" || resp.Header.Get("Content-Type") != "text/plain" {
				t.Errorf("answered %s %v", resp.Status, resp.Header)
			}
			if strings.Contains(body, "disk") || strings.Contains(body, "private") {
				t.Errorf("the cause went out: %q", body)
			}
		})
	}
}

// TestTheClientHangsUp: a submission whose client is gone is committed with its batch, and disturbs nobody.
func TestTheClientHangsUp(t *testing.T) {
	started, hungUp, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	addr := serve(t, scripted{submit: func(ctx context.Context, digest []byte) (calendar.Receipt, error) {
		if string(digest) == "gone" {
			close(started)
			<-hungUp
			ended <- ctx.Err()
		}
		return receipt(digest), nil
	}}, nothing{}, httpkit.Limits{Connections: 1})
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, post("/digest", "gone"))
	<-started
	c.Close()
	close(hungUp)
	if err := <-ended; err != nil {
		t.Errorf("the submission was given up: %v", err)
	}
	if resp, body := answerTo(t, addr, post("/digest", "d"), false); resp.StatusCode != 200 || body != timestampOf(t, "d") {
		t.Errorf("the next client was answered %s %q", resp.Status, body)
	}
}

func TestURIThatCannotBeAttested(t *testing.T) {
	for _, uri := range []string{"http://x/ y", strings.Repeat("x", 1001)} {
		if _, err := New(scripted{}, nothing{}, Config{URI: uri}); err == nil {
			t.Errorf("URI %.20q was taken", uri)
		}
	}
}

// TestReplyIsCanonical: the reply that is put together by hand is what the library would write.
func TestReplyIsCanonical(t *testing.T) {
	addr := serve(t, scripted{}, nothing{}, httpkit.Limits{})
	_, body := answerTo(t, addr, post("/digest", "abc"), false)
	stamp, err := ots.ParseTimestamp([]byte(body), 3)
	if err != nil {
		t.Fatal(err)
	}
	again, err := stamp.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(again, []byte(body)) {
		t.Errorf("got %x, want %x", body, again)
	}
}
