package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/datestone/datestone/internal/bitcoin"
	"github.com/datestone/datestone/internal/calendar"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/store"
	"github.com/datestone/datestone/ots"
)

func TestMain(m *testing.M) {
	// The shared PostgreSQL ends with the process.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/datestone/datestone/internal/testpg.(*program).run.func1"))
}

// client keeps no connection that a test would have to wait for.
var client = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// submit sends a digest and returns the commitment that the receipt ends in.
func submit(t *testing.T, base, digest string) []byte {
	t.Helper()
	return submitTo(t, base, digest, benchURI)
}

// submitTo is submit where the receipt names another address.
func submitTo(t *testing.T, base, digest, uri string) []byte {
	t.Helper()
	resp, err := client.Post(base+"/digest", "", strings.NewReader(digest))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("answered %s %q, %v", resp.Status, body, err)
	}
	return commitmentOf(t, body, []byte(digest), uri)
}

// commitmentOf evaluates a receipt.
func commitmentOf(t testing.TB, receipt, digest []byte, uri string) (commitment []byte) {
	t.Helper()
	stamp, err := ots.ParseTimestamp(receipt, len(digest))
	if err != nil {
		t.Fatal(err)
	}
	err = stamp.Walk(digest, func(n *ots.Timestamp, msg []byte) error {
		for _, a := range n.Attestations() {
			if a.URI() != uri {
				return fmt.Errorf("attestation %v", a)
			}
			commitment = append([]byte(nil), msg...)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return commitment
}

func TestSubmitAndLookUp(t *testing.T) {
	s := runServer(t, Config{})
	base := "http://" + s.Addr().String()
	commitment := submit(t, base, strings.Repeat("d", 32))
	if status, body := get(t, fmt.Sprintf("%s/timestamp/%X", base, commitment)); status != 404 || body != "Pending confirmation in Bitcoin blockchain" {
		t.Errorf("straight after POST: %d %q", status, body)
	}
	commitment[39]++
	if status, body := get(t, fmt.Sprintf("%s/timestamp/%x", base, commitment)); status != 404 || body != "Not found" {
		t.Errorf("a commitment that was never given out: %d %q", status, body)
	}
}

func TestOperatorPaths(t *testing.T) {
	s := runServer(t, Config{Metrics: "127.0.0.1:0"})
	public, own := "http://"+s.Addr().String(), "http://"+s.MetricsAddr().String()
	submit(t, public, "x")
	for _, base := range []string{public, own} {
		if status, body := get(t, base+"/healthz"); status != 200 || body != "alive\n" {
			t.Errorf("healthz: %d %q", status, body)
		}
		if status, body := get(t, base+"/readyz"); status != 200 || body != "ready\n" {
			t.Errorf("readyz: %d %q", status, body)
		}
	}
	if status, _ := get(t, public+"/metrics"); status != 404 {
		t.Errorf("metrics are public: %d", status)
	}
	status, body := get(t, own+"/metrics")
	if status != 200 {
		t.Fatalf("metrics: %d", status)
	}
	for _, want := range []string{
		`datestone_commit_seconds_count{result="ok"} 1`, `datestone_commit_seconds_count{result="failed"} 0`, "datestone_batch_digests_sum 1",
		"datestone_log_entries 1", "datestone_log_epoch 0", "datestone_store_up 1", "datestone_http_connections ",
		`datestone_http_requests_total{code="200",route="digest"} 1`, `datestone_http_requests_total{code="404",route="other"} 1`, "go_goroutines",
	} {
		if !strings.Contains(body, "\n"+want) {
			t.Errorf("no %s in the metrics", want)
		}
	}
	if status, _ := get(t, own+"/"); status != 404 {
		t.Errorf("the calendar is at the metrics' address: %d", status)
	}
}

func TestMetricsAtTheSameAddress(t *testing.T) {
	s := runServer(t, Config{Metrics: "same"})
	if status, body := get(t, "http://"+s.Addr().String()+"/metrics"); status != 200 || !strings.Contains(body, "datestone_log_entries 0") {
		t.Errorf("metrics: %d %.200q", status, body)
	}
}

// TestReady: a failing store makes the server not ready, and a probe finds out when that is over.
func TestReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken, probes := errors.New("disk full"), 0
		var headErr error
		h := &health{head: func(context.Context) (logtree.Head, error) { return logtree.Head{}, headErr }}
		h.submit = func(context.Context, []byte) (calendar.Receipt, error) {
			probes++
			h.committed(broken)
			return calendar.Receipt{}, broken
		}
		ready := func() string {
			if err := h.ready(t.Context(), time.Now()); err != nil {
				return err.Error()
			}
			return "ready"
		}
		if got := ready(); got != "ready" {
			t.Errorf("at the start: %s", got)
		}
		headErr = errors.New("locked")
		if got := ready(); got != "the database does not answer" {
			t.Errorf("without a database: %s", got)
		}
		headErr = nil
		h.committed(broken)
		for range 3 {
			if got := ready(); got != "the database does not commit" {
				t.Errorf("after a failed commit: %s", got)
			}
		}
		if probes != 1 {
			t.Errorf("%d probes at once, want 1", probes)
		}
		broken = nil
		time.Sleep(probeEvery)
		if got := ready(); got != "ready" || probes != 2 {
			t.Errorf("after the fault: %s, %d probes", got, probes)
		}
	})
}

func TestRestartKeepsTheLog(t *testing.T) {
	dir := t.TempDir()
	s, stop := startServer(t, Config{Data: dir})
	commitment := submit(t, "http://"+s.Addr().String(), "digest")
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	s = runServer(t, Config{Data: dir})
	if _, body := get(t, fmt.Sprintf("http://%s/timestamp/%x", s.Addr(), commitment)); !strings.HasPrefix(body, "Pending") {
		t.Errorf("after a restart: %q", body)
	}
}

// TestAnOlderDatabaseIsRefused: after a restored backup nothing starts until a new epoch begins, and
// then no position is given out twice.
func TestAnOlderDatabaseIsRefused(t *testing.T) {
	dir, backup := t.TempDir(), t.TempDir()
	s, stop := startServer(t, Config{Data: dir})
	submit(t, "http://"+s.Addr().String(), "in the backup")
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(backup, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	s, stop = startServer(t, Config{Data: dir})
	lost := submit(t, "http://"+s.Addr().String(), "not in the backup")
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	restore(t, backup, dir, "datestone.db")

	c := Defaults()
	c.Listen, c.URI, c.Targets, c.Data = "127.0.0.1:0", benchURI, "none", dir
	_, err := Open(t.Context(), c, Options{Log: testLog{t}})
	if !errors.Is(err, store.ErrBehind) || !strings.Contains(err.Error(), "datestoned epoch new --reason") {
		t.Fatalf("an older database was opened: %v", err)
	}
	epoch, err := NewEpoch(t.Context(), c, "restored from backup")
	if err != nil || epoch != 1 {
		t.Fatalf("epoch %d, %v", epoch, err)
	}
	s = runServer(t, Config{Data: dir})
	commitment := submit(t, "http://"+s.Addr().String(), "after the restore")
	if p := logtree.Entry(commitment).Position(); p.Epoch() != 1 || p == logtree.Entry(lost).Position() {
		t.Errorf("the next position is %v", p)
	}
}

// restore puts a database back and leaves the high-water mark, which is not in backups.
func restore(t *testing.T, from, to, name string) {
	t.Helper()
	for _, more := range []string{"-wal", "-shm"} {
		os.Remove(filepath.Join(to, name+more))
	}
	b, err := os.ReadFile(filepath.Join(from, name))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(to, name), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestNewEpochBeyondALostDatabase(t *testing.T) {
	dir := t.TempDir()
	c := Defaults()
	c.Data = dir
	for want := 1; want <= 2; want++ {
		if epoch, err := NewEpoch(t.Context(), c, "test"); err != nil || epoch != want {
			t.Fatalf("epoch %d, %v, want %d", epoch, err, want)
		}
	}
	if err := os.Remove(filepath.Join(dir, "datestone.db")); err != nil {
		t.Fatal(err)
	}
	if epoch, err := NewEpoch(t.Context(), c, "the disk died"); err != nil || epoch != 3 {
		t.Errorf("epoch %d, %v, want 3: the mark remembers", epoch, err)
	}
}

func TestTwoServersOverOneDatabase(t *testing.T) {
	dir := t.TempDir()
	runServer(t, Config{Data: dir})
	c := Defaults()
	c.Listen, c.URI, c.Targets, c.Data = "127.0.0.1:0", benchURI, "none", dir
	if _, err := Open(t.Context(), c, Options{Log: testLog{t}}); !errors.Is(err, store.ErrInUse) {
		t.Errorf("a second server opened the database: %v", err)
	}
}

func TestOccupiedAddress(t *testing.T) {
	ln := listen(t)
	defer ln.Close()
	dir := t.TempDir()
	c := Defaults()
	c.Listen, c.URI, c.Targets, c.Data = ln.Addr().String(), benchURI, "none", dir
	if _, err := Open(t.Context(), c, Options{Log: testLog{t}}); err == nil || !strings.Contains(err.Error(), "listening for the calendar") {
		t.Fatalf("got %v", err)
	}
	// Nothing stayed open.
	runServer(t, Config{Data: dir})
}

// A node that never answered is a state that the status page names, under the network's mark, from the
// first request on.
func TestANodeThatNeverAnswered(t *testing.T) {
	ln := listen(t)
	ln.Close()
	dir := t.TempDir()
	key := filepath.Join(dir, "wallet.key")
	if err := bitcoin.GenerateKeyFile(key); err != nil {
		t.Fatal(err)
	}
	s := runServer(t, Config{Data: dir, Targets: "configured", Bitcoin: bitcoin.Config{
		Network: "regtest", RPCURL: "http://" + ln.Addr().String(), RPCUser: "u", RPCPassword: "p", KeyFile: key,
	}})
	base := "http://" + s.Addr().String()
	if _, page := get(t, base+"/"); !strings.Contains(page, "TEST NETWORK") {
		t.Errorf("the first page does not name the network: %s", page)
	}
	submit(t, base, "digest")
	deadline := time.Now().Add(20 * time.Second)
	for {
		_, page := get(t, base+"/")
		if strings.Contains(page, "TEST NETWORK") && strings.Contains(page, "does not answer") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the page does not say that the node is down: %s", page)
		}
	}
}

// failing is a target that ends at once.
type failing struct{ err error }

func (f failing) Run(context.Context) error    { return f.err }
func (failing) Announce(context.Context) error { return nil }

func TestAPartThatEndsEndsTheServer(t *testing.T) {
	c := Defaults()
	c.Listen, c.URI, c.Targets, c.Data, c.LogLevel = "127.0.0.1:0", benchURI, "none", t.TempDir(), "error"
	s, err := Open(t.Context(), c, Options{Log: testLog{t}})
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("beyond repair")
	s.targets = map[string]loop{"broken": failing{broken}}
	if err := s.Run(t.Context()); !errors.Is(err, broken) {
		t.Errorf("ended with %v, want %v", err, broken)
	}
	if c, err := net.Dial("tcp", s.Addr().String()); err == nil {
		c.Close()
		t.Error("the server still listens")
	}
}

// lineCount counts the lines that are written to it.
type lineCount struct{ atomic.Int64 }

func (c *lineCount) Write(b []byte) (int, error) {
	c.Add(1)
	return len(b), nil
}

// TestSyncMark: a disk that refuses the mark is a warning, and the loop goes on until its end.
func TestSyncMark(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mark")
	synctest.Test(t, func(t *testing.T) {
		mark, err := store.OpenMark(path)
		if err != nil {
			t.Fatal(err)
		}
		var logged lineCount
		s := &Server{mark: mark, log: slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelWarn}))}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.syncMark(ctx) }()
		warnings := func() int64 {
			time.Sleep(markEvery + time.Millisecond)
			synctest.Wait()
			return logged.Load()
		}
		if err := mark.Advance(logtree.Head{Size: 1}); err != nil {
			t.Fatal(err)
		}
		if n := warnings(); n != 0 {
			t.Errorf("%d warnings of a sound disk", n)
		}
		if err := mark.Advance(logtree.Head{Size: 2}); err != nil {
			t.Fatal(err)
		}
		mark.Close()
		for want := range int64(3) {
			if n := warnings(); n != want+1 {
				t.Errorf("%d warnings, want %d", n, want+1)
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
