package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/testpg"
)

// onPostgres opens handles of one empty database, each as another node would.
func onPostgres(t *testing.T) func(Options) *DB { return engines["postgres"](t) }

func TestLease(t *testing.T) {
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		ctx := t.Context()
		db := open(Options{})
		first, err := db.TakeLease(ctx, "loop", "a", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.TakeLease(ctx, "loop", "b", time.Minute); !errors.Is(err, ErrLeaseHeld) {
			t.Fatalf("a held lease was taken: %v", err)
		}
		if _, err := db.TakeLease(ctx, "other loop", "b", time.Minute); err != nil {
			t.Errorf("another lease: %v", err)
		}
		save := func(l Lease, ref string) error {
			_, err := db.Under(l).SaveAttempt(ctx, epoch0, anchor.Attempt{Target: "bitcoin", Purpose: anchor.PurposeLog, Ref: ref, Uses: []string{ref}, Raw: []byte{1}})
			return err
		}
		if err := save(first, "held"); err != nil {
			t.Fatalf("saving under a held lease: %v", err)
		}

		// A lease that ended, and that nobody took, is still good.
		if err := db.RenewLease(ctx, first, -time.Second); err != nil {
			t.Fatal(err)
		}
		if err := save(first, "ended"); err != nil {
			t.Errorf("saving under a lease that nobody took: %v", err)
		}
		second, err := db.TakeLease(ctx, "loop", "b", time.Minute)
		if err != nil {
			t.Fatalf("taking a lease that ended: %v", err)
		}
		for name, err := range map[string]error{
			"saving":  save(first, "late"),
			"status":  db.Under(first).SaveStatus(ctx, epoch0, anchor.Status{Target: "bitcoin"}),
			"renewal": db.RenewLease(ctx, first, time.Minute),
			"release": db.ReleaseLease(ctx, first),
		} {
			if !errors.Is(err, ErrLeaseLost) {
				t.Errorf("%s with a lost lease: %v", name, err)
			}
		}
		if _, found, err := db.LastAttempt(ctx, "bitcoin", anchor.PurposeLog); err != nil || !found {
			t.Fatal(found, err)
		} else if all, err := db.Unsettled(ctx, "bitcoin"); err != nil || len(all) != 2 {
			t.Errorf("%d attempts, want the two that were saved in time; %v", len(all), err)
		}
		if err := save(second, "new"); err != nil {
			t.Errorf("saving under the new lease: %v", err)
		}
		if err := db.ReleaseLease(ctx, second); err != nil {
			t.Fatal(err)
		}
		if _, err := db.TakeLease(ctx, "loop", "c", time.Minute); err != nil {
			t.Errorf("taking a lease that was given back: %v", err)
		}
	})
}

// A lease cannot be taken while a transaction under it is being committed.
func TestFenceHoldsUntilTheCommit(t *testing.T) {
	open := onPostgres(t)
	a, b := open(Options{}), open(Options{})
	ctx := t.Context()
	lease, err := a.TakeLease(ctx, "loop", "a", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.RenewLease(ctx, lease, -time.Second); err != nil {
		t.Fatal(err)
	}
	taken := make(chan error, 1)
	var committed atomic.Bool
	a.commit = func(t transaction) error {
		go func() {
			_, err := b.TakeLease(ctx, "loop", "b", time.Minute)
			if err == nil && !committed.Load() {
				err = errors.New("the lease was taken before the commit")
			}
			taken <- err
		}()
		time.Sleep(300 * time.Millisecond)
		committed.Store(true)
		return t.Commit()
	}
	if err := a.Under(lease).SaveStatus(ctx, epoch0, anchor.Status{Target: "bitcoin"}); err != nil {
		t.Error(err)
	}
	if err := <-taken; err != nil {
		t.Error(err)
	}
}

// Several nodes over one database give out dense positions, in order, whatever the interleaving.
func TestAppendFromManyNodes(t *testing.T) {
	open := onPostgres(t)
	const nodes, each = 4, 60
	var mu sync.Mutex
	seen := map[logtree.Entry]bool{}
	var wg sync.WaitGroup
	for node := range nodes {
		mark, err := OpenMark(filepath.Join(t.TempDir(), "mark"))
		if err != nil {
			t.Fatal(err)
		}
		defer mark.Close()
		db := open(Options{EpochEntries: 50, Mark: mark})
		wg.Go(func() {
			var last logtree.Position = -1
			for i := range each {
				entries, err := db.Append(t.Context(), epoch0, [][32]byte{tip(node*each + i)})
				if err != nil {
					t.Error(err)
					return
				}
				p := entries[0].Position()
				if p <= last {
					t.Errorf("position %v came after %v", p, last)
				}
				last = p
				// What this node was told must be there for every reader, with all before it.
				if _, err := db.Find(t.Context(), entries[0]); err != nil {
					t.Errorf("entry %v: %v", p, err)
				}
				mu.Lock()
				if seen[entries[0]] {
					t.Errorf("position %v was given out twice", p)
				}
				seen[entries[0]] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	have := map[logtree.Entry]bool{}
	for _, e := range recompute(t, open(Options{})) {
		have[e] = true
	}
	for e := range seen {
		if !have[e] {
			t.Errorf("entry %v is gone", e.Position())
		}
	}
	if len(seen) != nodes*each {
		t.Errorf("%d entries were acknowledged, want %d", len(seen), nodes*each)
	}
}

// What one node confirms, another node answers at once.
func TestAttestationsOfAnotherNode(t *testing.T) {
	open := onPostgres(t)
	a, b := open(Options{}), open(Options{})
	ctx := t.Context()
	appendTip(t, a, 0)
	for round := range 3 {
		for _, db := range []*DB{a, b} {
			if all, err := db.Attestations(ctx, 0); err != nil || len(all) != round {
				t.Fatalf("round %d: %d attestations, %v", round, len(all), err)
			}
		}
		for _, text := range []string{
			fmt.Sprintf(`INSERT INTO target (name, genesis, height, status, updated) VALUES ('t%d', '', 10, '{}', 0)`, round),
			fmt.Sprintf(`INSERT INTO attestation (target, purpose, epoch, size, root, proof, height, block, block_time, ref, state, changed)
				VALUES ('t%d', 'log', 0, 1, decode(repeat('00', 32), 'hex'), '', 5, decode(repeat('00', 32), 'hex'), 0, 'r', 1, 0)`, round),
		} {
			if err := b.update(ctx, func(tx tx) error { _, err := tx.exec(ctx, text); return err }); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Transactions that lock rows in different orders: the database ends one of them, and it is run again.
func TestDeadlockIsRunAgain(t *testing.T) {
	open := onPostgres(t)
	a, b := open(Options{}), open(Options{})
	ctx := t.Context()
	for _, name := range []string{"x", "y"} {
		if err := a.SaveStatus(ctx, epoch0, anchor.Status{Target: name}); err != nil {
			t.Fatal(err)
		}
	}
	var tries atomic.Int64
	var both sync.WaitGroup
	both.Add(2)
	var once [2]sync.Once
	var wg sync.WaitGroup
	for i, names := range [][2]string{{"x", "y"}, {"y", "x"}} {
		db := []*DB{a, b}[i]
		wg.Go(func() {
			err := db.update(ctx, func(tx tx) error {
				tries.Add(1)
				if _, err := tx.exec(ctx, `UPDATE target SET height = height + 1 WHERE name = $1`, names[0]); err != nil {
					return err
				}
				once[i].Do(func() { both.Done(); both.Wait() })
				_, err := tx.exec(ctx, `UPDATE target SET height = height + 1 WHERE name = $1`, names[1])
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if tries.Load() < 3 {
		t.Errorf("%d tries: there was no deadlock", tries.Load())
	}
	for _, name := range []string{"x", "y"} {
		var height int
		if err := a.queryRow(ctx, `SELECT height FROM target WHERE name = $1`, []any{name}, &height); err != nil || height != 2 {
			t.Errorf("%s was changed %d times, want 2; %v", name, height, err)
		}
	}
}

// The mark of a running node is held against the database whenever that may be another one.
func TestMarkAfterReconnecting(t *testing.T) {
	server := testpg.Start(t, testpg.Options{NoSync: true})
	where := server.NewDatabase(t)
	ctx := t.Context()
	mark, err := OpenMark(filepath.Join(t.TempDir(), "mark"))
	if err != nil {
		t.Fatal(err)
	}
	defer mark.Close()
	db, err := Open(ctx, where, Options{Mark: mark})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	eventually := func(what string, f func() error) {
		t.Helper()
		var err error
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
			if err = f(); err == nil {
				return
			}
		}
		t.Fatalf("%s: %v", what, err)
	}
	appendOne := func(n int) func() error {
		return func() error { _, err := db.Append(ctx, epoch0, [][32]byte{tip(n)}); return err }
	}
	for n := range 5 {
		appendTip(t, db, n)
	}
	server.Restart(t)
	eventually("after a restart", appendOne(5))

	// Another node writes; this one's mark follows.
	other, err := Open(ctx, where, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	appendTip(t, other, 6)
	head, err := other.Head(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Observe(ctx); err != nil || mark.Head() != head {
		t.Fatalf("mark at %v after observing %v: %v", mark.Head(), head, err)
	}

	// The database loses its last entries, and others grow in their place.
	lose := func() {
		t.Helper()
		if err := other.update(ctx, func(tx tx) error {
			h, _, err := tx.lockHead(ctx)
			if err != nil {
				return err
			}
			edge, err := tx.nodes(ctx, h.Epoch).Edge(3)
			if err != nil {
				return err
			}
			if _, err := tx.exec(ctx, `DELETE FROM entry WHERE position >= 3`); err != nil {
				return err
			}
			h.Size = 3
			return tx.setHead(ctx, &h, edge)
		}); err != nil {
			t.Fatal(err)
		}
	}
	lose()
	if err := appendOne(7)(); !errors.Is(err, ErrBehind) {
		t.Fatalf("an append to a log that is behind: %v", err)
	}
	if err := db.Observe(ctx); !errors.Is(err, ErrBehind) {
		t.Errorf("observing a log that is behind: %v", err)
	}
	for n := range 20 {
		appendTip(t, other, 100+n)
	}
	server.Restart(t)
	eventually("the database answers", func() error { return db.Ping(ctx) })
	eventually("a log that lacks what was acknowledged and grew", func() error {
		err := appendOne(8)()
		if err == nil {
			t.Fatal("an entry was appended to a log that lacks what was acknowledged")
		}
		if !errors.Is(err, ErrBehind) {
			return err
		}
		return nil
	})

	// The operator begins a new epoch elsewhere, and this node goes on.
	if _, err := other.BeginEpoch(ctx, epoch0, 1, "restored"); err != nil {
		t.Fatal(err)
	}
	eventually("after a new epoch", appendOne(9))
	if h := mark.Head(); h.Epoch != 1 {
		t.Errorf("the mark is at %v", h)
	}
}

// A node that stops in the middle of a transaction does not stop the others for long.
func TestStoppedNodeLosesTheHead(t *testing.T) {
	open := onPostgres(t)
	a, b := open(Options{}), open(Options{})
	ctx := t.Context()
	stopped := make(chan struct{})
	held := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- a.append(ctx, func(tx tx) error {
			if _, _, err := tx.lockHead(ctx); err != nil {
				return err
			}
			close(held)
			<-stopped
			_, err := tx.exec(ctx, `UPDATE head SET size = 99`)
			return err
		})
	}()
	<-held
	deadline := time.Now().Add(time.Minute)
	for {
		_, err := b.Append(ctx, epoch0, [][32]byte{tip(1)})
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	close(stopped)
	if err := <-done; err == nil {
		t.Error("a transaction that had lost its lock was committed")
	}
	if h, err := b.Head(ctx); err != nil || h.Size != 1 {
		t.Errorf("head %v, %v", h, err)
	}
}

// What is asked while no server runs is refused as such, and answered once one runs.
func TestNoServer(t *testing.T) {
	server := testpg.Start(t, testpg.Options{NoSync: true})
	db, err := Open(t.Context(), server.NewDatabase(t), Options{Connections: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ask := func() []error {
		_, one := db.Head(t.Context())
		_, many := db.Confirmed(t.Context())
		return []error{one, many}
	}
	server.Stop(t)
	for range 2 { // with connections that broke, then with none
		for i, err := range ask() {
			if !errors.Is(err, ErrUnreachable) {
				t.Errorf("question %d: %v", i, err)
			}
		}
	}
	server.Start(t)
	for i, err := range ask() {
		if err != nil {
			t.Errorf("question %d, once it runs: %v", i, err)
		}
	}
}

// When all connections wait, questions are refused instead of collected.
func TestTooManyQuestions(t *testing.T) {
	server := testpg.Start(t, testpg.Options{NoSync: true})
	db, err := Open(t.Context(), server.NewDatabase(t), Options{Connections: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	server.Pause(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	var busy, late atomic.Int64
	var wg sync.WaitGroup
	for range 1000 {
		wg.Go(func() {
			switch _, err := db.Head(ctx); {
			case errors.Is(err, ErrBusy):
				busy.Add(1)
			case err != nil:
				late.Add(1)
			}
		})
	}
	wg.Wait()
	if busy.Load() < 500 || late.Load() > 200 || busy.Load()+late.Load() != 1000 {
		t.Errorf("%d refused at once, %d in the end", busy.Load(), late.Load())
	}
	server.Resume(t)
	deadline := time.Now().Add(time.Minute)
	for {
		_, err := db.Head(t.Context())
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// Many nodes that start at once over an empty database make one schema.
func TestStartAtOnce(t *testing.T) {
	where := testpg.Shared(t).NewDatabase(t)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			db, err := Open(t.Context(), where, Options{})
			if err != nil {
				t.Error(err)
				return
			}
			defer db.Close()
			if _, err := db.Append(t.Context(), epoch0, [][32]byte{tip(1)}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	db, err := Open(t.Context(), where, Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if h, err := db.Head(t.Context()); err != nil || h.Size != 6 {
		t.Errorf("head %v, %v", h, err)
	}
	if have, known, err := db.Schema(t.Context()); err != nil || have != known {
		t.Errorf("schema %d of %d, %v", have, known, err)
	}
}

// What ends start-up says what to do.
func TestOpenSays(t *testing.T) {
	server := testpg.Shared(t)
	good := server.NewDatabase(t)
	at := strings.LastIndex(good, "/")
	_, tail, _ := strings.Cut(good[at:], "?")
	for name, c := range map[string]struct{ where, says string }{
		"unreachable":   {"postgres://u:secret@127.0.0.1:1/datestone?sslmode=disable", "not reachable"},
		"no database":   {good[:at] + "/missing?" + tail, "createdb"},
		"wrong address": {"postgres://u:secret@127.0.0.1:port/datestone", "database"},
	} {
		db, err := Open(t.Context(), c.where, Options{})
		if err == nil {
			db.Close()
			t.Errorf("%s: opened", name)
		} else if !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
	db, err := Open(t.Context(), good, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for version, says := range map[string]string{"9999": "newer datestoned", "1": "migrate up"} {
		for _, text := range []string{`DELETE FROM migration`, `INSERT INTO migration (version, name, at) VALUES (` + version + `, 'x', 0)`} {
			if _, err := db.write.ExecContext(t.Context(), text); err != nil {
				t.Fatal(err)
			}
		}
		if other, err := Open(t.Context(), good, Options{Migrate: MigrateNever}); err == nil {
			other.Close()
			t.Errorf("schema version %s was opened", version)
		} else if !errors.Is(err, ErrSchema) || !strings.Contains(err.Error(), says) {
			t.Errorf("schema version %s: %v", version, err)
		}
	}
}

// A commit that does not wait for the synchronous standby is not acknowledged, though the server reports success.
func TestNotReplicated(t *testing.T) {
	server := testpg.Start(t, testpg.Options{NoSync: true, Synchronous: true})
	where := server.NewDatabase(t)
	standby := server.Standby(t)
	db, err := Open(t.Context(), where, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	appendTip(t, db, 0)
	if _, err := Open(t.Context(), strings.Replace(where, fmt.Sprint(server.Port), fmt.Sprint(standby.Port), 1), Options{}); err == nil || !strings.Contains(err.Error(), "read-only standby") {
		t.Errorf("opening the standby: %v", err)
	}
	standby.Stop(t)
	result := make(chan error, 1)
	go func() {
		_, err := db.Append(t.Context(), epoch0, [][32]byte{tip(1)})
		result <- err
	}()
	deadline := time.Now().Add(time.Minute)
	for server.Exec(t, `SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'`) == "0" {
		if time.Now().After(deadline) {
			t.Fatal("no commit waits for the standby")
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err := <-result; !errors.Is(err, ErrNotReplicated) {
		t.Errorf("a commit that was not replicated: %v", err)
	}
	standby.Start(t)
	appendTip(t, db, 2)
	recompute(t, db)
}

// A pooler that gives each transaction a session of its choice is refused; one that keeps sessions is not.
func TestPooler(t *testing.T) {
	server := testpg.Start(t, testpg.Options{NoSync: true})
	where := server.NewDatabase(t)
	db, err := Open(t.Context(), server.Bouncer(t, where, "session"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	appendTip(t, db, 0)
	if _, err := Open(t.Context(), server.Bouncer(t, where, "transaction"), Options{}); err == nil || !strings.Contains(err.Error(), "pool_mode") {
		t.Errorf("a pooler in transaction mode: %v", err)
	}
}

// A user who may not make tables can run a node over a schema that is there.
func TestWithoutTheRightToMakeTables(t *testing.T) {
	server := testpg.Shared(t)
	where := server.NewDatabase(t)
	if _, err := Open(t.Context(), server.Role(t, where), Options{}); err == nil || !strings.Contains(err.Error(), "right to create tables") {
		t.Errorf("an empty database: %v", err)
	}
	owner, err := Open(t.Context(), where, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer owner.Close()
	db, err := Open(t.Context(), server.Role(t, where), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	appendTip(t, db, 0)
}

// A walk of a database that is new to the planner takes no longer than one that it knows: nothing is compiled.
func TestNothingIsCompiled(t *testing.T) {
	db := onPostgres(t)(Options{})
	for _, pool := range []*sql.DB{db.read, db.write} {
		var jit string
		if err := pool.QueryRowContext(t.Context(), `SHOW jit`).Scan(&jit); err != nil || jit != "off" {
			t.Errorf("jit is %s: %v", jit, err)
		}
	}
}
