package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/calendar"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/store"
	"github.com/datestone/datestone/internal/testpg"
)

// newOwner makes an account.
func newOwner(t *testing.T, db *store.DB) account.Account {
	t.Helper()
	a, err := db.CreateAccount(t.Context(), time.Now(), "owner@example.org", "business")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// keyed asks for one stamp with an idempotency key.
func keyed(a account.Account, n int) account.Create {
	name := fmt.Sprint(n)
	return account.Create{
		Account: a.ID, Quota: 1 << 30, Whole: true, Key: name,
		Items: []account.Item{{SHA256: account.KeyHash(name), File: account.File{Name: name, Size: 1}}},
	}
}

// TestForgetter: what has expired is forgotten, however much it is, and nothing else; a loop whose lease was
// taken ends.
func TestForgetter(t *testing.T) {
	for name, where := range map[string]string{"sqlite": filepath.Join(t.TempDir(), "datestone.db"), "postgres": testpg.Shared(t).NewDatabase(t)} {
		t.Run(name, func(t *testing.T) {
			ctx, now := t.Context(), time.Now()
			past := now.Add(-account.IdempotencyKept - time.Minute)
			db, err := store.Open(ctx, where, store.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			a := newOwner(t, db)
			var old []account.Create
			for n := range 2*forgetStep + 1 {
				old = append(old, keyed(a, n))
			}
			for some := range slices.Chunk(old, 100) {
				if _, err := db.AppendStamps(ctx, past, some); err != nil {
					t.Fatal(err)
				}
			}
			fresh := keyed(a, len(old))
			if _, err := db.AppendStamps(ctx, now, []account.Create{fresh}); err != nil {
				t.Fatal(err)
			}
			lease, err := db.TakeLease(ctx, "idempotency", "here", time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			f := forgetter{db.Under(lease), time.Millisecond, slog.New(slog.NewTextHandler(testLog{t}, nil))}
			running, stop := context.WithCancel(ctx)
			defer stop()
			done := make(chan error, 1)
			go func() { done <- f.Run(running) }()
			until(t, "the old keys are forgotten", func() bool {
				// At the time when they were in force a key that is there is replayed.
				r, err := db.AppendStamps(ctx, past, []account.Create{old[0], old[forgetStep], old[len(old)-1]})
				if err != nil {
					t.Fatal(err)
				}
				return !slices.ContainsFunc(r, func(r account.Result) bool { return !errors.Is(r.Err, account.ErrDuplicate) })
			})
			if r, err := db.AppendStamps(ctx, now, []account.Create{fresh}); err != nil || !r[0].Replayed {
				t.Errorf("a key that has not expired: %+v, %v", r, err)
			}
			if _, err := db.TakeLease(ctx, "idempotency", "here", time.Hour); err != nil {
				t.Fatal(err)
			}
			if err := <-done; !errors.Is(err, store.ErrLeaseLost) {
				t.Errorf("after the lease was taken: %v", err)
			}
		})
	}
}

// TestKeeperRuns: stamps of accounts are committed by the running server and counted, and what came in before it
// stops is committed.
func TestKeeperRuns(t *testing.T) {
	dir := t.TempDir()
	s, stop := startServer(t, Config{Data: dir, Metrics: "same"})
	a := newOwner(t, s.db)
	if _, err := s.keeper.Create(t.Context(), keyed(a, 0)); err != nil {
		t.Fatal(err)
	}
	_, text := get(t, "http://"+s.Addr().String()+"/metrics")
	for _, want := range []string{`datestone_keep_seconds_count{result="ok"} 1`, `datestone_keep_seconds_count{result="failed"} 0`, "datestone_keep_stamps_sum 1"} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("no %s in the metrics", want)
		}
	}
	for path, want := range map[string]string{"/api/v1/usage": `"AUTHENTICATION_REQUIRED"`, "/api/": `"NOT_FOUND"`, "/apiary": "Not found",
		"/cert/TS-ZZZZZZ": "<h1>There is no such certificate</h1>", "/verify/" + strings.Repeat("0", 64): "<h1>No certificate of this file</h1>", "/verify": "<h1>Certificates</h1>", "/cert/x": "<h1>Not Found</h1>", "/certainly": "Not found"} {
		if _, body := get(t, "http://"+s.Addr().String()+path); !strings.Contains(body, want) {
			t.Errorf("%s answers %q, want %s", path, body, want)
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), filepath.Join(dir, "datestone.db"), store.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.StampByDigest(t.Context(), a.ID, keyed(a, 0).Items[0].SHA256); err != nil {
		t.Error(err)
	}
}

// TestStampsThatFailAreAReasonToProbe: readiness is the calendar's to say.
func TestStampsThatFailAreAReasonToProbe(t *testing.T) {
	broken, probes := errors.New("disk full"), 0
	h := &health{head: func(context.Context) (logtree.Head, error) { return logtree.Head{}, nil }}
	h.submit = func(context.Context, []byte) (calendar.Receipt, error) {
		probes++
		h.committed(broken)
		return calendar.Receipt{}, broken
	}
	now := time.Now()
	if err := h.ready(t.Context(), now); err != nil || probes != 0 {
		t.Errorf("at the start: %v, %d probes", err, probes)
	}
	h.kept(broken)
	if err := h.ready(t.Context(), now); err == nil || probes != 1 {
		t.Errorf("while the database does not commit: %v, %d probes", err, probes)
	}
	broken = nil
	h.kept(errors.New("the rows of one account"))
	for range 3 {
		now = now.Add(probeEvery)
		if err := h.ready(t.Context(), now); err != nil || probes != 2 {
			t.Errorf("while the calendar commits: %v, %d probes", err, probes)
		}
	}
}
