package server

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/store"
	"github.com/datestone/datestone/internal/upstream"
)

// BenchmarkPost measures POST /digest over real sockets at 1, 64 and 1000 connections, and a bare
// net/http handler that reads and answers as many bytes, with the clients in the same process.
func BenchmarkPost(b *testing.B) {
	for _, connections := range []int{1, 64, 1000} {
		b.Run(fmt.Sprintf("bare-%d", connections), func(b *testing.B) {
			ln := listen(b)
			reply := make([]byte, replySize(b))
			srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if _, err := io.ReadAll(r.Body); err != nil {
					return
				}
				w.Header().Set("Content-Type", "application/octet-stream")
				w.Write(reply)
			})}
			go srv.Serve(ln)
			defer srv.Close()
			load(b, ln.Addr().String(), connections, postRequest)
		})
		b.Run(fmt.Sprintf("calendar-%d", connections), func(b *testing.B) {
			s := runServer(b, Config{Burst: 1 << 30})
			load(b, s.Addr().String(), connections, postRequest)
		})
	}
	b.Run("sustained-64", func(b *testing.B) {
		// The bucket is empty from the first entry on.
		s := runServer(b, Config{Burst: 1})
		load(b, s.Addr().String(), 64, postRequest)
	})
}

// BenchmarkUpstream posts while heads are given to ten calendars that take seconds for each answer, which they send a byte
// at a time, and while they are given to nobody.
func BenchmarkUpstream(b *testing.B) {
	for _, calendars := range []int{0, 10} {
		for _, connections := range []int{1, 64} {
			b.Run(fmt.Sprintf("slow-calendars-%d-connections-%d", calendars, connections), func(b *testing.B) {
				c := Config{Burst: 1 << 30}
				var asked atomic.Int64
				for range calendars {
					slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						asked.Add(1)
						io.Copy(io.Discard, r.Body)
						for range 20 {
							select {
							case <-r.Context().Done():
								return
							case <-time.After(100 * time.Millisecond):
							}
							w.Write([]byte{8})
							w.(http.Flusher).Flush()
						}
					}))
					defer slow.Close()
					c.Upstream.Calendars = append(c.Upstream.Calendars, slow.URL)
				}
				if calendars > 0 {
					c.Targets, c.Upstream.Network, c.Upstream.Interval = "configured", "regtest", upstream.Duration(time.Second)
					c.Upstream.RPCURL = "http://" + listen(b).Addr().String() // which never answers
				}
				s := runServer(b, c)
				load(b, s.Addr().String(), connections, postRequest)
				if asked.Load() < int64(calendars) && b.Elapsed() > 5*time.Second {
					b.Errorf("%d calendars were asked %d times", calendars, asked.Load())
				}
				b.ReportMetric(float64(asked.Load()), "heads")
			})
		}
	}
}

// BenchmarkCommit is what a single client cannot be faster than: one durable append.
func BenchmarkCommit(b *testing.B) {
	db, err := store.Open(b.Context(), filepath.Join(b.TempDir(), "datestone.db"), store.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	for b.Loop() {
		if _, err := db.Append(b.Context(), time.Now(), [][32]byte{{1}}); err != nil {
			b.Fatal(err)
		}
	}
}

var postRequest = []byte("POST /digest HTTP/1.1\r\nHost: calendar.test\r\nUser-Agent: OpenTimestamps-Client/0.7.2\r\n" +
	"Accept: application/vnd.opentimestamps.v1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 32\r\n\r\n" +
	"0123456789abcdef0123456789abcdef")

// replySize is the length of an answer in the middle of a batch of 64.
func replySize(b *testing.B) int {
	const nonce, sibling, position, pending = 18 + 1, 6 * (34 + 1), 10, 1 + 8 + 1 + 1 + len(benchURI)
	return nonce + sibling + position + pending
}

const benchURI = "http://calendar.test:14788"

func listen(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// runServer runs a server without targets until the test ends. What c leaves out is the default.
func runServer(t testing.TB, c Config) *Server {
	t.Helper()
	s, stop := startServer(t, c)
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	return s
}

// startServer is runServer for tests that stop the server themselves.
func startServer(t testing.TB, c Config) (s *Server, stop func() error) {
	t.Helper()
	d := Defaults()
	d.Listen, d.URI, d.Targets, d.LogLevel = "127.0.0.1:0", benchURI, "none", "error"
	d.Data, d.Database, d.Metrics = c.Data, c.Database, c.Metrics
	if d.Data == "" {
		d.Data = t.TempDir()
	}
	if c.Burst != 0 {
		d.Burst = c.Burst
	}
	if c.Calendars != "" {
		d.Calendars, d.AuthenticatedURI = c.Calendars, c.AuthenticatedURI
	}
	if c.OriginStamp.Enabled {
		d.OriginStamp.Enabled, d.Publication.Name, d.Publication.Folder = true, c.Publication.Name, c.Publication.Folder
	}
	if c.Targets != "" {
		d.Targets, d.Bitcoin, d.Ethereum, d.Upstream = c.Targets, c.Bitcoin, c.Ethereum, c.Upstream
	}
	s, err := Open(context.Background(), d, Options{Version: "test", Log: testLog{t}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return s, sync.OnceValue(func() error {
		cancel()
		return <-done
	})
}

// testLog passes log lines on to the test.
type testLog struct{ testing.TB }

func (l testLog) Write(b []byte) (int, error) {
	l.Log(string(bytes.TrimSpace(b)))
	return len(b), nil
}

// load sends b.N requests over so many connections, each as soon as the one before it is answered.
func load(b *testing.B, addr string, connections int, request []byte) {
	var left atomic.Int64
	left.Store(int64(b.N))
	conns := make([]net.Conn, connections)
	for i := range conns {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		conns[i] = c
	}
	before := processorTime(b)
	b.ResetTimer()
	var group sync.WaitGroup
	for _, c := range conns {
		group.Go(func() {
			r := bufio.NewReaderSize(c, 1024)
			for left.Add(-1) >= 0 {
				if _, err := c.Write(request); err != nil {
					b.Error(err)
					return
				}
				if err := readAnswer(r); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
	b.ReportMetric(float64((processorTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/req")
}

// processorTime is what this process has used of the processors, clients included. Unlike the rate it
// does not depend on who else uses the machine.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// readAnswer reads an answer with status 200 and passes over its body.
func readAnswer(r *bufio.Reader) error {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")) {
		return fmt.Errorf("answered %q", line)
	}
	length := -1
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) == 2 {
			break
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
	}
	if length < 0 {
		return fmt.Errorf("no Content-Length")
	}
	_, err = r.Discard(length)
	return err
}
