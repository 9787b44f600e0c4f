package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/testpg"
)

var epoch0 = time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC)

// engines are the databases that the suite runs over. open opens the same database again each time
// it is called.
var engines = map[string]func(t *testing.T) func(Options) *DB{
	"sqlite": func(t *testing.T) func(Options) *DB {
		path := filepath.Join(t.TempDir(), "datestone.db")
		return func(o Options) *DB {
			t.Helper()
			db, err := Open(t.Context(), path, o)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { db.Close() })
			return db
		}
	},
	"postgres": func(t *testing.T) func(Options) *DB {
		where := testpg.Shared(t).NewDatabase(t)
		return func(o Options) *DB {
			t.Helper()
			db, err := Open(t.Context(), where, o)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { db.Close() })
			return db
		}
	},
}

// onEach runs a test over every engine.
func onEach(t *testing.T, f func(t *testing.T, open func(Options) *DB)) {
	for name, engine := range engines {
		t.Run(name, func(t *testing.T) { f(t, engine(t)) })
	}
}

func tip(n int) [32]byte { return sha256.Sum256(fmt.Append(nil, n)) }

func appendTip(t *testing.T, db *DB, n int) logtree.Entry {
	t.Helper()
	entries, err := db.Append(t.Context(), epoch0, [][32]byte{tip(n)})
	if err != nil {
		t.Fatal(err)
	}
	return entries[0]
}

// recompute reads the whole log and fails the test unless positions are dense, every node and the
// edge recompute, and each epoch begins with the root of the one before it.
func recompute(t *testing.T, db *DB) (entries []logtree.Entry) {
	t.Helper()
	ended, head, edge, err := db.Epochs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var previous *logtree.Head
	for _, h := range append(ended, logtree.Head{Epoch: head.Epoch, Size: head.Size}) {
		from, err := logtree.At(h.Epoch, 0)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := db.Entries(t.Context(), from, int(h.Size)+1)
		if err != nil {
			t.Fatal(err)
		}
		var e logtree.Edge
		for i := range h.Size {
			if i >= int64(len(rows)) || rows[i].Entry.Position() != from+logtree.Position(i) {
				t.Fatalf("epoch %d: no entry at index %d", h.Epoch, i)
			}
			if i == 0 && previous != nil && rows[0].Entry.Tip() != previous.Root {
				t.Errorf("epoch %d does not begin with the root of epoch %d", h.Epoch, previous.Epoch)
			}
			next, nodes, err := e.Append(i, rows[i].Entry.Leaf())
			if err != nil {
				t.Fatal(err)
			}
			if string(logtree.Edge(nodes).Bytes()) != string(logtree.Edge(rows[i].Nodes).Bytes()) {
				t.Errorf("nodes of %v do not recompute", rows[i].Entry.Position())
			}
			e, entries = next, append(entries, rows[i].Entry)
		}
		if int64(len(rows)) > h.Size && rows[h.Size].Entry.Position().Epoch() == h.Epoch {
			t.Errorf("epoch %d has entries beyond its head of %d", h.Epoch, h.Size)
		}
		root, err := e.Root(h.Size)
		if err != nil {
			t.Fatal(err)
		}
		if h.Epoch != head.Epoch && root != h.Root {
			t.Errorf("epoch %d ended with root %x, and its entries give %x", h.Epoch, h.Root, root)
		}
		if h.Epoch == head.Epoch && string(e.Bytes()) != string(edge.Bytes()) {
			t.Error("the stored edge does not recompute")
		}
		previous = &logtree.Head{Epoch: h.Epoch, Size: h.Size, Root: root}
	}
	return entries
}

func TestAppendIsDenseAndLasts(t *testing.T) {
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		db := open(Options{})
		var want []logtree.Entry
		for n := range 100 {
			e := appendTip(t, db, n)
			if e.Position() != logtree.Position(n) || e.Tip() != tip(n) {
				t.Fatalf("entry %d is %v", n, e)
			}
			want = append(want, e)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		db = open(Options{})
		if got := recompute(t, db); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("after a restart the log is %v, want %v", got, want)
		}
		if e := appendTip(t, db, 100); e.Position() != 100 {
			t.Errorf("after a restart the next position is %v", e.Position())
		}
	})
}

func TestAppendFromManyGoroutines(t *testing.T) {
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		db := open(Options{})
		var wg sync.WaitGroup
		var mu sync.Mutex
		seen := map[logtree.Position]bool{}
		for n := range 64 {
			wg.Go(func() {
				entries, err := db.Append(t.Context(), epoch0, [][32]byte{tip(n), tip(-n - 1)})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				for _, e := range entries {
					if seen[e.Position()] {
						t.Errorf("position %v was given out twice", e.Position())
					}
					seen[e.Position()] = true
				}
			})
		}
		wg.Wait()
		if n := len(recompute(t, db)); n != 128 {
			t.Errorf("%d entries, want 128", n)
		}
	})
}

func TestEpochsRollOver(t *testing.T) {
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		db := open(Options{EpochEntries: 8})
		for n := range 30 {
			appendTip(t, db, n)
		}
		// Each epoch after the first spends one entry on the head before it.
		h, err := db.Head(t.Context())
		if err != nil || h.Epoch != 4 || h.Size != 2 {
			t.Errorf("head after 30 appends in epochs of 8: %v, %v", h, err)
		}
		recompute(t, db)
		if _, err := db.BeginEpoch(t.Context(), epoch0, 4, "again"); err == nil {
			t.Error("an epoch began a second time")
		}
		if h, err = db.BeginEpoch(t.Context(), epoch0, 9, "restored"); err != nil || h.Epoch != 9 || h.Size != 1 {
			t.Errorf("begun epoch: %v, %v", h, err)
		}
		if e := appendTip(t, db, 30); e.Position().Epoch() != 9 || e.Position().Index() != 1 {
			t.Errorf("first entry of a begun epoch is at %v", e.Position())
		}
		recompute(t, db)
	})
}

// The failure table of the log: each append either did not happen or happened and was reported as
// failed; then the next is tried on the same process, and on one that was started again.
func TestAppendFailureTable(t *testing.T) {
	lost := errors.New("I/O error")
	faults := map[string]func(transaction) error{
		"did not happen": func(t transaction) error { return errors.Join(lost, t.Rollback()) },
		"happened but reported failure": func(t transaction) error {
			if err := t.Commit(); err != nil {
				return err
			}
			return lost
		},
	}
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		path := filepath.Join(t.TempDir(), "mark")
		mark, err := OpenMark(path)
		if err != nil {
			t.Fatal(err)
		}
		db := open(Options{EpochEntries: 8, Mark: mark})
		acknowledged := map[logtree.Entry]bool{}
		n := 0
		good := func() {
			t.Helper()
			e := appendTip(t, db, n)
			if acknowledged[e] {
				t.Fatalf("entry %v was given out twice", e.Position())
			}
			acknowledged[e] = true
			n++
		}
		for round := range 12 {
			for name, fault := range faults {
				for _, restart := range []bool{false, true} {
					good()
					db.commit = fault
					if _, err := db.Append(t.Context(), epoch0, [][32]byte{tip(n)}); !errors.Is(err, lost) {
						t.Fatalf("round %d, %s: %v", round, name, err)
					}
					n++
					db.commit = transaction.Commit
					if restart {
						db.Close()
						db = open(Options{EpochEntries: 8, Mark: mark})
						if err := db.CheckMark(t.Context(), mark.Head()); err != nil {
							t.Fatalf("round %d, %s: %v", round, name, err)
						}
					}
					good()
					have := map[logtree.Entry]bool{}
					for _, e := range recompute(t, db) {
						have[e] = true
					}
					for e := range acknowledged {
						if !have[e] {
							t.Fatalf("round %d, %s: acknowledged entry %v is gone", round, name, e.Position())
						}
					}
				}
			}
		}
	})
}

func TestNodesAndEntries(t *testing.T) {
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		db := open(Options{})
		var entries []logtree.Entry
		for n := range 77 {
			entries = append(entries, appendTip(t, db, n))
		}
		h, err := db.Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time from the cache
			for _, e := range entries {
				found, err := db.Find(t.Context(), e)
				if err != nil {
					t.Fatal(err)
				}
				for _, reader := range []logtree.Reader{found, db.Nodes(t.Context(), 0)} {
					path, err := reader.Inclusion(h, e)
					if err != nil {
						t.Fatal(err)
					}
					if got, err := path.Apply(e[:]); err != nil || [32]byte(got) != h.Root {
						t.Fatalf("path of %v ends at %x, %v", e.Position(), got, err)
					}
				}
			}
		}
		other := entries[5]
		other[39] ^= 1
		elsewhere, _ := logtree.At(1, 5)
		for _, e := range []logtree.Entry{other, {0: 0xff}, logtree.NewEntry(77, tip(77)), logtree.NewEntry(elsewhere, tip(5))} {
			if _, err := db.Find(t.Context(), e); !errors.Is(err, logtree.ErrUnknown) {
				t.Errorf("Find(%v): %v, want ErrUnknown", e, err)
			}
		}
		if _, err := db.Nodes(t.Context(), 0)([]logtree.Node{{Level: 3, N: 9}}); !errors.Is(err, logtree.ErrInconsistent) {
			t.Errorf("a node that is not there yet: %v", err)
		}
		rows, err := db.Entries(t.Context(), 70, 3)
		if err != nil || len(rows) != 3 || rows[0].Entry != entries[70] || !rows[0].At.Equal(epoch0) {
			t.Errorf("Entries(70, 3): %v, %v", rows, err)
		}
	})
}

func TestMark(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mark")
	mark, err := OpenMark(path)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	ctx := t.Context()
	db, err := Open(ctx, filepath.Join(dir, "a.db"), Options{Mark: mark})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 10 {
		appendTip(t, db, n)
	}
	copied := filepath.Join(dir, "b.db")
	if _, err := db.write.ExecContext(ctx, `VACUUM INTO $1`, copied); err != nil {
		t.Fatal(err)
	}
	for n := range 10 {
		appendTip(t, db, n)
	}
	if err := db.CheckMark(ctx, mark.Head()); err != nil {
		t.Errorf("the current database: %v", err)
	}
	db.Close()
	if err := mark.Close(); err != nil {
		t.Fatal(err)
	}

	if mark, err = OpenMark(path); err != nil {
		t.Fatal(err)
	}
	if h := mark.Head(); h.Size != 20 {
		t.Fatalf("after a restart the mark is at %v", h)
	}
	old, err := Open(ctx, copied, Options{Mark: mark})
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if err := old.CheckMark(ctx, mark.Head()); !errors.Is(err, ErrBehind) {
		t.Errorf("an older copy: %v, want ErrBehind", err)
	}
	// Grown past the mark with other entries it is still not the log that was acknowledged.
	old.mark = nil
	for n := range 15 {
		appendTip(t, old, 100+n)
	}
	if err := old.CheckMark(ctx, mark.Head()); !errors.Is(err, ErrBehind) {
		t.Errorf("an older copy that grew: %v, want ErrBehind", err)
	}

	if err := os.WriteFile(path, []byte("datestone high-water mark: rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenMark(path); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a damaged mark: %v", err)
	}
}

func TestOneWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "datestone.db")
	db, err := Open(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := Open(t.Context(), path, Options{}); !errors.Is(err, ErrInUse) {
		t.Errorf("a second writer: %v, want ErrInUse", err)
	}
	appendTip(t, db, 0)
	reader, err := Open(t.Context(), path, Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if h, err := reader.Head(t.Context()); err != nil || h.Size != 1 {
		t.Errorf("a reader beside the writer: %v, %v", h, err)
	}
	if _, err := reader.Append(t.Context(), epoch0, [][32]byte{tip(1)}); !errors.Is(err, ErrReadOnly) {
		t.Errorf("a reader that writes: %v", err)
	}
}

func TestSchemaVersions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "datestone.db")
	ctx := context.Background()
	db, err := Open(ctx, path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.write.ExecContext(ctx, `INSERT INTO migration (version, name, at) VALUES (9999, 'later', 0)`); err != nil {
		t.Fatal(err)
	}
	db.Close()
	for _, o := range []Options{{}, {ReadOnly: true}} {
		if _, err := Open(ctx, path, o); !errors.Is(err, ErrSchema) || !strings.Contains(err.Error(), "newer datestoned") {
			t.Errorf("a newer schema, read only %v: %v", o.ReadOnly, err)
		}
	}
	if _, err := Open(ctx, filepath.Join(t.TempDir(), "none.db"), Options{ReadOnly: true}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("reading a database that is not there: %v", err)
	}
}

// A closed SQLite database is one file, that can be copied.
func TestClosedIsOneFile(t *testing.T) {
	path := places["sqlite"](t)
	db := openAt(t, path, Options{})
	appendTip(t, db, 1)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for _, more := range []string{"-wal", "-shm"} {
		if _, err := os.Stat(path + more); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left: %v", more, err)
		}
	}
}

// A transaction that a fault left open costs one request, which is told, and nothing that comes after it.
func TestTransactionLeftOpen(t *testing.T) {
	db := openAt(t, places["sqlite"](t), Options{})
	first := appendTip(t, db, 1)
	if _, err := db.writer.begin.ExecContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := db.writer.conn.ExecContext(t.Context(), `DELETE FROM entry`); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Append(t.Context(), epoch0, [][32]byte{tip(2)}); err == nil {
		t.Fatal("an append joined the transaction")
	}
	if e := appendTip(t, db, 3); e.Position() != first.Position()+1 {
		t.Errorf("the next entry is at %v", e.Position())
	}
	recompute(t, db)
}
