package e2e

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/datestone/datestone/internal/testnode"
)

// dial opens a connection that the test closes at its end, and sends some bytes.
func dial(t *testing.T, s *service, send string) net.Conn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", strings.TrimPrefix(s.URL, "http://"), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, send); err != nil {
		t.Fatal(err)
	}
	return conn
}

// polite stamps n digests one after another, each over a connection of its own, and
// looks each up. It ends the test when one of them takes longer than limit.
func polite(t *testing.T, s *service, n int, limit time.Duration) *acks {
	t.Helper()
	a := &acks{all: make(map[uint64]string)}
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: limit}
	for i := range n {
		digest := sha256.Sum256(fmt.Appendf(nil, "polite %d %d", i, time.Now().UnixNano()))
		began := time.Now()
		status, reply, err := post(t.Context(), c, s.URL, digest[:])
		if err != nil || status != http.StatusOK {
			t.Fatalf("a polite client's digest %d of %d after %v: %d %.200s %v", i+1, n, time.Since(began), status, reply, err)
		}
		if err := a.add(digest[:], reply); err != nil {
			t.Fatal(err)
		}
	}
	known(t, s.URL, a.since(0))
	return a
}

// memory returns the most memory that the process has had resident, in bytes.
func (s *service) memory(t *testing.T) int64 {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.PID()))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kb << 10
		}
	}
	t.Fatal("no VmHWM")
	return 0
}

// Thousands of connections that say nothing, and hundreds that stop in the middle
// of a request, stop nobody else, cost little, and are shown out in the end.
func TestIdleAndHalfSent(t *testing.T) {
	s := serve(t, nil, "", "")
	var idle errgroup.Group
	conns := make([]net.Conn, 4000)
	idle.SetLimit(64)
	for i := range conns {
		idle.Go(func() (err error) {
			conns[i], err = net.DialTimeout("tcp", strings.TrimPrefix(s.URL, "http://"), 20*time.Second)
			return err
		})
	}
	err := idle.Wait()
	t.Cleanup(func() {
		for _, conn := range conns {
			if conn != nil {
				conn.Close()
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	polite(t, s, 100, 5*time.Second)

	var half []net.Conn
	for i := range 300 {
		half = append(half, dial(t, s, []string{
			"POST /dig",
			"POST /digest HTTP/1.1\r\nHost: x\r\nContent-Le",
			"POST /digest HTTP/1.1\r\nHost: x\r\nContent-Length: 32\r\n\r\n",
			"POST /digest HTTP/1.1\r\nHost: x\r\nContent-Length: 32\r\n\r\nhalf of a digest",
			"GET /timestamp/00",
		}[i%5]))
	}
	polite(t, s, 100, 5*time.Second)
	if used := s.memory(t); used > 256<<20 {
		t.Errorf("%d MB resident with 4300 connections", used>>20)
	}
	// None of the half-sent ones is waited for without end.
	for i, conn := range half {
		if err := conn.SetReadDeadline(time.Now().Add(60 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("half-sent request %d is still held", i)
		}
	}
	polite(t, s, 10, 5*time.Second)
}

// A request as it comes over the wire, and the status that it gets; 0 where the
// connection may be cut without one.
func TestRawRequests(t *testing.T) {
	s := serve(t, nil, "", "")
	digest := strings.Repeat("d", 32)
	for _, c := range []struct {
		name, send string
		status     []int
	}{
		{"well-formed", "POST /digest HTTP/1.1\r\nHost: x\r\nContent-Length: 32\r\n\r\n" + digest, []int{200}},
		{"HTTP/1.0", "POST /digest HTTP/1.0\r\nContent-Length: 32\r\n\r\n" + digest, []int{200}},
		{"no length", "POST /digest HTTP/1.1\r\nHost: x\r\n\r\n", []int{400}},
		{"chunked", "POST /digest HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n" + digest + "\r\n0\r\n\r\n", []int{400}},
		{"length that is negative", "POST /digest HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", []int{400}},
		{"length that is no number", "POST /digest HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n", []int{400}},
		{"two lengths", "POST /digest HTTP/1.1\r\nHost: x\r\nContent-Length: 32\r\nContent-Length: 31\r\n\r\n" + digest, []int{400}},
		{"length of a terabyte", "POST /digest HTTP/1.1\r\nHost: x\r\nContent-Length: 1099511627776\r\n\r\n" + digest, []int{400, 413}},
		{"length beyond all numbers", "POST /digest HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n", []int{400, 413}},
		{"65 bytes", "POST /digest HTTP/1.1\r\nHost: x\r\nContent-Length: 65\r\n\r\n" + strings.Repeat("d", 65), []int{400}},
		{"header of 4 MB", "GET / HTTP/1.1\r\nHost: x\r\nX-Big: " + strings.Repeat("a", 4<<20) + "\r\n\r\n", []int{431, 0}},
		{"request line of 4 MB", "GET /" + strings.Repeat("a", 4<<20) + " HTTP/1.1\r\nHost: x\r\n\r\n", []int{431, 414, 400, 0}},
		{"hundred thousand headers", "GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("a: b\r\n", 100_000) + "\r\n", []int{431, 400, 0}},
		{"commitment of 1 KB", "GET /timestamp/" + strings.Repeat("00", 1024) + " HTTP/1.1\r\nHost: x\r\n\r\n", []int{404}},
		{"not hex", "GET /timestamp/zz HTTP/1.1\r\nHost: x\r\n\r\n", []int{400}},
		{"no HTTP", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", []int{400, 0}},
	} {
		conn, err := net.DialTimeout("tcp", strings.TrimPrefix(s.URL, "http://"), 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		status := 0
		// What the server does not read it may refuse to take.
		go io.WriteString(conn, c.send)
		if res, err := http.ReadResponse(bufio.NewReader(conn), nil); err == nil {
			status = res.StatusCode
			res.Body.Close()
		} else if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: no answer", c.name)
		}
		conn.Close()
		ok := false
		for _, want := range c.status {
			ok = ok || status == want
		}
		if !ok {
			t.Errorf("%s: status %d, want one of %v", c.name, status, c.status)
		}
	}
	polite(t, s, 10, 5*time.Second)
	if used := s.memory(t); used > 256<<20 {
		t.Errorf("%d MB resident", used>>20)
	}
}

// With far fewer file descriptors than connections, polite clients are served all
// the same: idle connections make room.
func TestFileDescriptors(t *testing.T) {
	s := newService(t, nil, "", "")
	s.argv = []string{"prlimit", "--nofile=128:128", "--"}
	s.start(t)
	polite(t, s, 20, 5*time.Second)
	// They outnumber the descriptors. Those that the server shows out come back, as a
	// crowd does.
	ctx, stop := context.WithCancel(t.Context())
	var crowd errgroup.Group
	var came atomic.Int32
	for range 600 {
		crowd.Go(func() error {
			for round := 0; ctx.Err() == nil; round++ {
				if round == 1 {
					came.Add(1)
				}
				conn, err := net.DialTimeout("tcp", strings.TrimPrefix(s.URL, "http://"), time.Second)
				if err != nil {
					continue
				}
				gone := context.AfterFunc(ctx, func() { conn.Close() })
				io.Copy(io.Discard, conn)
				gone()
				conn.Close()
				pause(ctx, 2*time.Second)
			}
			return nil
		})
	}
	testnode.Eventually(t, 60*time.Second, "three quarters were shown out once", func() bool { return came.Load() >= 450 })
	a := polite(t, s, 50, 15*time.Second)
	stop()
	if err := crowd.Wait(); err != nil {
		t.Fatal(err)
	}
	polite(t, s, 50, 5*time.Second)
	s.Kill()
	s.start(t)
	known(t, s.URL, a.since(0))
	s.fsck(t)
}

// The part of TestFullDisk that has a small disk of its own is run in a mount
// namespace, which needs no root.
const inNamespace = "DATESTONE_TEST_IN_NAMESPACE"

// On a full disk nothing is acknowledged that is not kept, what was acknowledged
// stays known, and the service goes on by itself when there is room again.
func TestFullDisk(t *testing.T) {
	if os.Getenv(inNamespace) == "" {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), "unshare", "--user", "--map-root-user", "--mount", self, "-test.run=^TestFullDisk$", "-test.v", "-test.timeout=5m")
		cmd.Env = append(os.Environ(), inNamespace+"=1")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		t.Logf("%s", out)
		return
	}

	s := newService(t, nil, "burst = 100000", "")
	disk := s.Dir + "/data"
	if err := os.Mkdir(disk, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", disk).CombinedOutput(); err != nil {
		t.Fatalf("mounting a small disk: %v %s", err, out)
	}
	t.Cleanup(func() { exec.Command("umount", "--lazy", disk).Run() })
	// The ballast is what the operator will delete to make room.
	ballast := disk + "/ballast"
	fill := func(bytes int) {
		t.Helper()
		err := os.WriteFile(ballast, make([]byte, bytes), 0o600)
		if err != nil && !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
	fill(8 << 20)
	s.start(t)

	a := &acks{all: make(map[uint64]string)}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.load(ctx, s.URL, 32) }()
	digest := sha256.Sum256([]byte("does it still take any"))
	refused := func() bool {
		status, _, err := post(ctx, httpClient, s.URL, digest[:])
		return err == nil && status == http.StatusServiceUnavailable
	}
	testnode.Eventually(t, 120*time.Second, "the disk is full", refused)
	full := a.total()
	t.Logf("%d digests in %d entries until the disk was full", full, len(a.since(0)))
	if full < 100 {
		t.Fatal("the disk was full before the test began")
	}
	known(t, s.URL, a.since(0))
	if status, body := get(s.URL + "/readyz"); status != http.StatusServiceUnavailable {
		t.Errorf("/readyz with a full disk: %d %s", status, body)
	}

	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	testnode.Eventually(t, 60*time.Second, "digests are taken again once there is room", func() bool { return a.total() > full+100 })
	s.ready(t)
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	known(t, s.URL, a.since(0))

	// Killed on a full disk, and started again once there is room.
	fill(12 << 20) // all that there is
	ctx, stop = context.WithCancel(t.Context())
	go func() { done <- a.load(ctx, s.URL, 32) }()
	testnode.Eventually(t, 120*time.Second, "the disk is full again", refused)
	s.Kill()
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	s.start(t)
	known(t, s.URL, a.since(0))
	s.fsck(t)
}
