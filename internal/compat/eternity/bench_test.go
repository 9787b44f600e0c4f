package eternity

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/ots/signedmsg"
)

// BenchmarkPost is POST /digest of 64 connections, each digest new and signed before: with the signatures checked, and
// with their key known beforehand. The difference is what the checks cost.
func BenchmarkPost(b *testing.B) {
	run := func(name string, prepare func(r *rig)) {
		b.Run(name, func(b *testing.B) {
			r := newRig(b, filepath.Join(b.TempDir(), "datestone.db"))
			r.config.Plans["business"] = account.Plan{Quota: 1 << 40}
			r.change(func(*Config) {})
			prepare(r)
			server := httptest.NewServer(r.server)
			defer server.Close()
			requests := make([][]byte, b.N)
			var signing sync.WaitGroup
			for part := range runtime.GOMAXPROCS(0) {
				signing.Go(func() {
					for i := part; i < len(requests); i += runtime.GOMAXPROCS(0) {
						digest := digestOf(fmt.Sprint(name, i))
						requests[i] = fmt.Appendf(nil, "POST /digest HTTP/1.1\r\nHost: x\r\nx-signature: %v\r\nContent-Length: 32\r\n\r\n%s", r.key.Sign(signedmsg.Digest(digest)), digest)
					}
				})
			}
			signing.Wait()
			var next atomic.Int64
			var clients sync.WaitGroup
			before := processorTime(b)
			b.ResetTimer()
			for range 64 {
				clients.Go(func() {
					c, err := net.Dial("tcp", server.Listener.Addr().String())
					if err != nil {
						b.Error(err)
						return
					}
					defer c.Close()
					answers := bufio.NewReader(c)
					for i := next.Add(1) - 1; i < int64(len(requests)); i = next.Add(1) - 1 {
						if err := exchange(c, answers, requests[i]); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			clients.Wait()
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
			b.ReportMetric(float64((processorTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/req")
		})
	}
	run("checked", func(*rig) {})
	run("unchecked", func(r *rig) {
		key := r.key.Public()
		r.server.recover = func(string, signedmsg.Signature, []byte) (signedmsg.PublicKey, error) { return key, nil }
	})
}

// processorTime is what this process has used of the processors, clients included.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func exchange(c net.Conn, answers *bufio.Reader, request []byte) error {
	if _, err := c.Write(request); err != nil {
		return err
	}
	resp, err := http.ReadResponse(answers, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && (resp.StatusCode != http.StatusOK || !bytes.HasPrefix(body, []byte{0xf0, 16})) {
		err = fmt.Errorf("answered %s %q", resp.Status, body)
	}
	return err
}
