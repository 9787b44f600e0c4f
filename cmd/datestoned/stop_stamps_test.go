package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/store"
)

// TestStopUnderLoadKeepsStamps: SIGTERM while clients create stamps. Every one that was acknowledged is there, and
// the quota counts neither more nor fewer than there are.
func TestStopUnderLoadKeepsStamps(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "datestone.toml")
	// Each request comes through a proxy from an address of its own.
	if err := os.WriteFile(config, []byte(`
		trusted_proxies = ["127.0.0.1"]
		[plans.load]
		quota = 1000000
		api = true
		requests = 1000000
		creates = 1000000`), 0o600); err != nil {
		t.Fatal(err)
	}
	p := serve(t, dir, "--config="+config)
	const who = "a@example.org"
	operate := func(args ...string) string {
		t.Helper()
		code, stdout, stderr := runHere(t, append(args, "--config="+config, "--data="+dir)...)
		if code != 0 {
			t.Fatalf("%v: %d %s", args, code, stderr)
		}
		return strings.TrimSpace(stdout)
	}
	operate("account", "create", who, "--plan=load")
	key := operate("key", "rotate", who)

	var mu sync.Mutex
	var kept []string
	var number atomic.Int64
	var stopping atomic.Bool
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			client := http.Client{Timeout: time.Minute, Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for {
				n := number.Add(1)
				r, err := http.NewRequestWithContext(context.Background(), "POST", "http://"+p.addr+"/api/v1/timestamps", strings.NewReader(newStamp(int(n))))
				if err != nil {
					t.Error(err)
					return
				}
				r.Header.Set("Authorization", "Bearer "+key)
				r.Header.Set("Content-Type", "application/json")
				r.Header.Set("X-Forwarded-For", fmt.Sprintf("10.%d.%d.%d", n>>16&255, n>>8&255, n&255))
				resp, err := client.Do(r)
				if err != nil {
					if !stopping.Load() {
						t.Errorf("no answer: %v", err)
					}
					return
				}
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				var made struct{ ID string }
				switch {
				case err != nil:
					t.Errorf("a broken answer: %v", err)
					return
				case resp.StatusCode == http.StatusServiceUnavailable && stopping.Load():
					return
				case resp.StatusCode != http.StatusCreated || json.Unmarshal(body, &made) != nil:
					t.Errorf("answered %s %s", resp.Status, bytes.TrimSpace(body))
					return
				}
				mu.Lock()
				kept = append(kept, made.ID)
				mu.Unlock()
			}
		})
	}
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(kept)
	}
	for deadline := time.Now().Add(time.Minute); count() < 200 && !t.Failed(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("only %d answers\n%s", count(), p.stderr)
		}
	}
	stopping.Store(true)
	p.stop(t)
	group.Wait()

	db, err := store.Open(t.Context(), filepath.Join(dir, "datestone.db"), store.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	owner, err := db.AccountByEmail(t.Context(), who)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range kept {
		id, err := account.ParseID(text)
		if err != nil {
			t.Fatal(err)
		}
		stamp, err := db.Stamp(t.Context(), id)
		if err != nil || stamp.Account != owner.ID {
			t.Fatalf("acknowledged and lost: %s, %v", text, err)
		}
		if e, err := db.Entry(t.Context(), stamp.Position); err != nil {
			t.Fatalf("stamp %s has no entry %v: %v", text, e, err)
		}
	}
	stored, err := db.CountStamps(t.Context(), owner.ID, nil)
	if err != nil {
		t.Fatal(err)
	}
	used, err := db.Usage(t.Context(), owner.ID, 2)
	if err != nil {
		t.Fatal(err)
	}
	var sum int64
	for _, m := range used {
		sum += m.Used
	}
	if stored < int64(len(kept)) || sum != stored {
		t.Errorf("%d stamps were acknowledged, %d are stored, and the quota counts %d", len(kept), stored, sum)
	}
	t.Logf("%d stamps were acknowledged, none was lost", len(kept))
}
