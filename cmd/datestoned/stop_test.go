package main

import (
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/store"
	"github.com/datestone/datestone/ots"
)

// TestStopUnderLoad: SIGTERM under load. Every answer that began is whole, every acknowledged digest is
// in the log, and the process ends well.
func TestStopUnderLoad(t *testing.T) {
	dir := t.TempDir()
	p := serve(t, dir)
	const clients = 32
	var mu sync.Mutex
	var acknowledged []logtree.Entry
	var answered atomic.Int64
	var group sync.WaitGroup
	for i := range clients {
		group.Go(func() {
			c, err := dial(p.addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			for n := 0; ; n++ {
				digest := fmt.Sprintf("%032d", i*1_000_000+n)
				status, body, err := c.post(digest)
				switch {
				case errors.Is(err, errNoAnswer):
					return // stopped between two requests
				case err != nil:
					t.Errorf("a broken answer: %v", err)
					return
				case status == http.StatusServiceUnavailable:
					return
				case status != http.StatusOK:
					t.Errorf("answered %d %q", status, body)
					return
				}
				e, err := entryOf(body, []byte(digest))
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				acknowledged = append(acknowledged, e)
				mu.Unlock()
				answered.Add(1)
			}
		})
	}
	for deadline := time.Now().Add(30 * time.Second); answered.Load() < 500; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("only %d answers\n%s", answered.Load(), p.stderr)
		}
	}
	p.stop(t)
	group.Wait()

	db, err := store.Open(t.Context(), filepath.Join(dir, "datestone.db"), store.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, e := range acknowledged {
		if stored, err := db.Entry(t.Context(), e.Position()); err != nil || stored != e {
			t.Fatalf("acknowledged and lost: %v, %v", e, err)
		}
	}
	t.Logf("%d digests were acknowledged, none was lost", len(acknowledged))
}

// entryOf evaluates a receipt.
func entryOf(receipt, digest []byte) (e logtree.Entry, err error) {
	stamp, err := ots.ParseTimestamp(receipt, len(digest))
	if err != nil {
		return e, err
	}
	err = stamp.Walk(digest, func(n *ots.Timestamp, msg []byte) error {
		for _, a := range n.Attestations() {
			if a.URI() != testURI || len(msg) != logtree.EntrySize {
				return fmt.Errorf("%v on %x", a, msg)
			}
			e = logtree.Entry(msg)
		}
		return nil
	})
	if err == nil && e == (logtree.Entry{}) {
		err = errors.New("no pending attestation")
	}
	return e, err
}

// TestSecondSignal: somebody who does not want to wait is not made to.
func TestSecondSignal(t *testing.T) {
	p := serve(t, t.TempDir())
	// A request whose body never comes holds the server up.
	c, err := dial(p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "POST /digest HTTP/1.1\r\nHost: x\r\nContent-Length: 32\r\n\r\nhalf")
	if status, _, err := post(t, p.addr, "x"); err != nil || status != 200 {
		t.Fatalf("%d %v", status, err)
	}
	p.Process.Signal(syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.Wait()
	}()
	for {
		select {
		case <-done:
			return
		case <-time.After(20 * time.Millisecond):
			p.Process.Signal(syscall.SIGTERM)
		}
	}
}

func post(t *testing.T, addr, digest string) (int, []byte, error) {
	t.Helper()
	c, err := dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.post(digest)
}

// TestIdleConnections: 4000 clients that say nothing, and 4000 that stop in the middle of a request,
// do not keep others out, with room for all of them and without.
func TestIdleConnections(t *testing.T) {
	for _, connections := range []int{8192, 500} { // the default, and fewer
		for name, said := range map[string]string{"silent": "", "half": "POST /digest HTTP/1.1\r\nHost: x\r\nContent-Length: 32\r\n\r\nhalf"} {
			t.Run(fmt.Sprintf("%s-%d", name, connections), func(t *testing.T) {
				p := serve(t, t.TempDir(), fmt.Sprintf("--connections=%d", connections))
				for range 4000 {
					c, err := dial(p.addr)
					if err != nil {
						t.Fatal(err)
					}
					defer c.Close()
					fmt.Fprint(c, said) // fails when the place was given to another meanwhile
				}
				for range 20 {
					start := time.Now()
					if status, body, err := post(t, p.addr, "digest"); err != nil || status != 200 {
						t.Fatalf("%d %q %v\n%s", status, body, err, p.stderr)
					}
					if took := time.Since(start); took > time.Minute {
						t.Errorf("answered after %v", took)
					}
				}
				p.stop(t)
			})
		}
	}
}

// TestFewFiles: the same with fewer file descriptors than clients.
func TestFewFiles(t *testing.T) {
	p := startCommand(t, exec.Command("sh", "-c", `ulimit -n 200; exec datestoned "$@"`, "sh",
		"serve", "--listen=127.0.0.1:0", "--uri="+testURI, "--targets=none", "--data="+t.TempDir(), "--json"))
	for range 1000 {
		c, err := dial(p.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	for range 20 {
		if status, body, err := post(t, p.addr, "digest"); err != nil || status != 200 {
			t.Fatalf("%d %q %v\n%s", status, body, err, p.stderr)
		}
	}
	p.stop(t)
}
