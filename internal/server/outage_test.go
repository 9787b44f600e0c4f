package server

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/testpg"
)

const tryAgain = "the calendar cannot answer now; try again"

// try sends a digest, which may be refused.
func try(base, digest string) (status int, body []byte, err error) {
	resp, err := client.Post(base+"/digest", "", strings.NewReader(digest))
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}

func isReady(t *testing.T, base string) bool {
	t.Helper()
	status, _ := get(t, base+"/readyz")
	return status == http.StatusOK
}

// TestDatabaseRestartsUnderLoad: while PostgreSQL is away clients are told to try again, nothing that was
// acknowledged is lost, and service comes back by itself.
func TestDatabaseRestartsUnderLoad(t *testing.T) {
	t.Parallel()
	pg := testpg.Start(t, testpg.Options{})
	database := pg.NewDatabase(t)
	s := runServer(t, Config{Database: database})
	base := "http://" + s.Addr().String()
	loop := contend(t, database, "a", leaseLength)

	var group sync.WaitGroup
	var acknowledged, refused atomic.Int64
	var mu sync.Mutex
	var commitments [][]byte
	stop := make(chan struct{})
	for client := range 4 {
		group.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				digest := fmt.Sprintf("digest %d of client %d", i, client)
				status, body, err := try(base, digest)
				switch {
				case err != nil:
					t.Errorf("%s: %v", digest, err)
					return
				case status == http.StatusOK:
					commitment := commitmentOf(t, body, []byte(digest), benchURI)
					mu.Lock()
					commitments = append(commitments, commitment)
					mu.Unlock()
					acknowledged.Add(1)
				case status == http.StatusServiceUnavailable && string(body) == tryAgain:
					refused.Add(1)
				default:
					t.Errorf("answered %d %q", status, body)
				}
			}
		})
	}
	more := func(what string, n *atomic.Int64) {
		t.Helper()
		from := n.Load()
		until(t, what, func() bool { return n.Load() >= from+20 })
	}
	more("digests are acknowledged", &acknowledged)
	for _, down := range []func(testing.TB){pg.Stop, pg.Kill} {
		until(t, "the loop runs", loop.runs)
		down(t)
		more("clients are told to try again", &refused)
		until(t, "the node is not ready", func() bool { return !isReady(t, base) })
		pg.Start(t)
		more("digests are acknowledged again", &acknowledged)
		until(t, "the node is ready", func() bool { return isReady(t, base) })
	}
	until(t, "the loop runs at the end", loop.runs)
	close(stop)
	group.Wait()
	for _, commitment := range commitments {
		if status, body := get(t, fmt.Sprintf("%s/timestamp/%x", base, commitment)); body != "Pending confirmation in Bitcoin blockchain" {
			t.Fatalf("an acknowledged digest: %d %q", status, body)
		}
	}
	t.Logf("%d acknowledged, %d told to try again", acknowledged.Load(), refused.Load())
}

// TestFrozenDatabase: a server that hangs makes no request wait without end.
func TestFrozenDatabase(t *testing.T) {
	t.Parallel()
	pg := testpg.Start(t, testpg.Options{NoSync: true})
	s, stop := startServer(t, Config{Database: pg.NewDatabase(t), Metrics: "same"})
	base := "http://" + s.Addr().String()
	commitment := submit(t, base, "before")
	pg.Pause(t)

	type answer struct {
		status int
		body   string
		took   time.Duration
	}
	ask := func(method, path, body string) answer {
		begun := time.Now()
		r, err := http.NewRequest(method, base+path, strings.NewReader(body))
		if err != nil {
			t.Error(err)
			return answer{}
		}
		resp, err := (&http.Client{Transport: client.Transport, Timeout: 2 * time.Minute}).Do(r)
		if err != nil {
			t.Error(err)
			return answer{}
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Error(err)
		}
		return answer{resp.StatusCode, string(text), time.Since(begun)}
	}
	var group sync.WaitGroup
	for _, c := range []struct {
		method, path, send string
		status             int
		body               string
	}{
		{"GET", "/healthz", "", 200, "alive\n"},
		{"GET", "/readyz", "", 503, "the database does not answer\n"},
		{"GET", "/metrics", "", 200, "\ndatestone_store_up 0\n"},
		{"POST", "/digest", "meanwhile", 503, tryAgain},
		{"GET", fmt.Sprintf("/timestamp/%x", commitment), "", 503, tryAgain},
		{"GET", "/", "", 503, tryAgain},
	} {
		// Three of each, for one may wait for the other.
		for range 3 {
			group.Go(func() {
				got := ask(c.method, c.path, c.send)
				if got.status != c.status || !strings.Contains(got.body, c.body) {
					t.Errorf("%s %s: %d %.300q, want %d %q", c.method, c.path, got.status, got.body, c.status, c.body)
				}
				t.Logf("%s %s took %v", c.method, c.path[:min(20, len(c.path))], got.took.Round(10*time.Millisecond))
				if got.took > time.Minute {
					t.Errorf("%s %s took %v", c.method, c.path, got.took)
				}
			})
		}
	}
	group.Wait()
	pg.Resume(t)
	until(t, "the node is ready", func() bool { return isReady(t, base) })
	submit(t, base, "after")
	if _, body := get(t, fmt.Sprintf("%s/timestamp/%x", base, commitment)); !strings.HasPrefix(body, "Pending") {
		t.Errorf("after the freeze: %q", body)
	}
	pg.Pause(t)
	begun := time.Now()
	if err := stop(); err != nil {
		t.Errorf("stopped with %v", err)
	}
	took := time.Since(begun)
	t.Logf("stopping over a frozen database took %v", took.Round(10*time.Millisecond))
	if took > time.Minute {
		t.Errorf("stopping over a frozen database took %v", took)
	}
	pg.Resume(t)
}

// TestFailoverBehind: over a log that lacks what was acknowledged nothing is accepted until the operator declares a new
// epoch on any node, and then every node goes on by itself.
func TestFailoverBehind(t *testing.T) {
	t.Parallel()
	database := testpg.Shared(t).NewDatabase(t)
	dir := t.TempDir()
	first, second := runServer(t, Config{Database: database, Data: dir}), runServer(t, Config{Database: database})
	a, b := "http://"+first.Addr().String(), "http://"+second.Addr().String()
	kept := submit(t, a, "kept")
	testpg.SQL(t, database, "CREATE TABLE standby AS SELECT * FROM head")
	lost := submit(t, a, "lost")
	until(t, "both marks know the newest entry", func() bool { return first.mark.Head().Size == 2 && second.mark.Head().Size == 2 })
	testpg.SQL(t, database, `
		BEGIN;
		SELECT * FROM head FOR UPDATE;
		UPDATE head SET epoch = s.epoch, size = s.size, edge = s.edge FROM standby s;
		DELETE FROM entry WHERE position >= (SELECT size FROM standby);
		SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid();
		COMMIT`)
	for _, node := range []string{a, b} {
		until(t, "the node says that the database is behind", func() bool {
			status, body := get(t, node+"/readyz")
			return status == 503 && body == "the database is behind what was acknowledged\n"
		})
		if status, body, err := try(node, "refused"); status != 503 || string(body) != tryAgain || err != nil {
			t.Errorf("a digest was answered with %d %q, %v", status, body, err)
		}
		if _, body := get(t, fmt.Sprintf("%s/timestamp/%x", node, kept)); !strings.HasPrefix(body, "Pending") {
			t.Errorf("what is there is answered with %q", body)
		}
	}
	config := Defaults()
	config.Database, config.Data = database, dir
	epoch, err := NewEpoch(t.Context(), config, "failover")
	if err != nil || epoch != 1 {
		t.Fatalf("epoch %d, %v", epoch, err)
	}
	for _, node := range []string{a, b} {
		until(t, "the node is ready", func() bool { return isReady(t, node) })
		commitment := submit(t, node, "in the new epoch")
		if p := logtree.Entry(commitment).Position(); p.Epoch() != 1 || p == logtree.Entry(lost).Position() {
			t.Errorf("the position %v", p)
		}
	}
}
