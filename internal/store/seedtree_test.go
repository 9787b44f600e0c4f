package store

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/notify"
	"github.com/datestone/datestone/internal/seed"
)

// fillSubmitted puts so many rows into submitted and one closed seed around them, without stamps.
func fillSubmitted(t testing.TB, db *DB, n int) seed.Seed {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	for first := 1; first <= n; first += 50_000 {
		count := min(50_000, n+1-first)
		if err := db.update(ctx, func(tx tx) error {
			_, err := tx.execEach(ctx, insertSubmitted, count, func(i int) []any {
				var b [8]byte
				binary.BigEndian.PutUint64(b[:], uint64(first+i))
				h := sha256.Sum256(b[:])
				return []any{first + i, h[:], 1, h[:16], micros(epoch0), "", h[:16], 0, 0}
			})
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	uid := seed.UUID{1}
	if err := db.update(ctx, func(tx tx) error {
		_, err := tx.exec(ctx, `INSERT INTO seed (uid, target, opened, closes, first, before, root, made, final) VALUES ($1, 'bitcoin', 0, 1, 1, $2, $3, 0, 0)`, uid[:], n+1, []byte{})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	s, err := db.SeedState(ctx, uid)
	if err != nil {
		t.Fatal(err)
	}
	return s.Seed
}

// newSeedLoop makes a loop whose clock says that every period has ended.
func newSeedLoop(db *DB) *seed.Loop {
	return seed.New(db, seed.Options{Now: func() time.Time { return epoch0.AddDate(1, 0, 0) }, Log: slog.New(slog.DiscardHandler)})
}

// The failure table of closing: each commit either did not happen or happened and was reported as failed, or the process was
// killed right after. Whoever goes on makes the same tree.
func TestSeedFailureTable(t *testing.T) {
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
	const hashes = 33*seed.TileLeaves + 5 // three transactions of tiles
	path := places["sqlite"](t)
	whole := openAt(t, path, Options{})
	s := fillSubmitted(t, whole, hashes)
	whole.Close()
	filled, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	whole = openAt(t, path, Options{})
	if err := newSeedLoop(whole).Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	want, err := whole.SeedState(t.Context(), s.UID)
	if err != nil || want.Made.IsZero() {
		t.Fatal(want, err)
	}
	check := func(t *testing.T, db *DB) {
		t.Helper()
		got, err := db.SeedState(t.Context(), s.UID)
		if err != nil || got.Root != want.Root || got.Made.IsZero() {
			t.Fatalf("made: %+v, %v, want the root %x", got, err, want.Root)
		}
		all, err := db.SubmittedHashes(t.Context(), 1, hashes+1, hashes)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(all); i += 3777 {
			b, err := db.SeedBranch(t.Context(), got.Seed, all[i])
			if err != nil || b.Root != want.Root || b.Hash != all[i] {
				t.Fatalf("branch of hash %d: %v", i, err)
			}
		}
	}
	check(t, whole)
	for name, fault := range faults {
		for at, finished := 0, false; !finished; at++ {
			path := places["sqlite"](t)
			if err := os.WriteFile(path, filled, 0o600); err != nil {
				t.Fatal(err)
			}
			db := openAt(t, path, Options{})
			commits := 0
			db.commit = func(tx transaction) error {
				if commits++; commits-1 == at {
					return fault(tx)
				}
				return tx.Commit()
			}
			loop := newSeedLoop(db)
			err := loop.Step(t.Context())
			if finished = commits <= at; finished != (err == nil) || err != nil && !errors.Is(err, lost) {
				t.Fatalf("%s, commit %d of %d: %v", name, at, commits, err)
			}
			if finished && at != 4 {
				t.Fatalf("%s: %d commits", name, at)
			}
			db.commit = transaction.Commit
			if at%2 == 0 {
				loop = newSeedLoop(db) // another process
			}
			if err := loop.Step(t.Context()); err != nil {
				t.Fatalf("%s, commit %d, again: %v", name, at, err)
			}
			check(t, db)
			db.Close()
		}
	}
}

// What was damaged is not given out.
func TestDamagedTile(t *testing.T) {
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		ctx := t.Context()
		db := open(Options{})
		s := fillSubmitted(t, db, 2*seed.TileLeaves+7)
		all, err := db.SubmittedHashes(ctx, s.First, s.Before, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.SeedBranch(ctx, s, all[0]); !errors.Is(err, seed.ErrUnknown) {
			t.Errorf("before it is made: %v", err)
		}
		if err := newSeedLoop(db).Step(ctx); err != nil {
			t.Fatal(err)
		}
		state, err := db.SeedState(ctx, s.UID)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range all[:20] {
			if b, err := db.SeedBranch(ctx, state.Seed, h); err != nil || len(b.Steps) != 12 {
				t.Fatalf("sound: %d steps, %v", len(b.Steps), err)
			}
		}
		if _, err := db.SeedBranch(ctx, state.Seed, [32]byte{7}); !errors.Is(err, logtree.ErrInconsistent) {
			t.Errorf("a hash that is not in it: %v", err)
		}
		for _, damage := range []string{
			`UPDATE seed_tile SET node = (SELECT b.node FROM seed_tile b WHERE b.tile = seed_tile.tile - 1) WHERE tile % 16777216 = 2`,
			`UPDATE seed_tile SET leaves = (SELECT b.leaves FROM seed_tile b WHERE b.tile = seed_tile.tile + 1) WHERE tile % 16777216 = 0`,
			`DELETE FROM seed_tile WHERE tile % 16777216 = 0`,
		} {
			if err := db.update(ctx, func(tx tx) error { _, err := tx.exec(ctx, damage); return err }); err != nil {
				t.Fatal(err)
			}
			for _, h := range all[:20] {
				if _, err := db.SeedBranch(ctx, state.Seed, h); !errors.Is(err, logtree.ErrInconsistent) {
					t.Errorf("%s: %v", damage, err)
				}
			}
		}
	})
}

// resident is how much memory the process has.
func resident(t testing.TB) uint64 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Error(err)
		return 0
	}
	var size, pages uint64
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		t.Error(err)
	}
	return pages * uint64(os.Getpagesize())
}

// BenchmarkSeed closes a seed of a million hashes, with what that takes against hashing as much as its tree has and against
// reading its hashes alone; and reads proofs of it.
func BenchmarkSeed(b *testing.B) {
	const n = 1_000_000
	for name, place := range places {
		b.Run(name, func(b *testing.B) {
			db := openAt(b, place(b), Options{})
			s := fillSubmitted(b, db, n)
			hashing := time.Now()
			var node [32]byte
			for range n {
				node = seed.Parent(node, node)
			}
			hashed := time.Since(hashing)
			reading := time.Now()
			for first := s.First; first < s.Before; first += 20_000 {
				if _, err := db.SubmittedHashes(b.Context(), first, s.Before, 20_000); err != nil {
					b.Fatal(err)
				}
			}
			read := time.Since(reading)
			debug.FreeOSMemory()
			stop, most := make(chan bool), make(chan uint64)
			go func() {
				var largest uint64
				for {
					largest = max(largest, resident(b))
					select {
					case <-stop:
						most <- largest
						return
					case <-time.After(20 * time.Millisecond):
					}
				}
			}()
			closing := time.Now()
			if err := newSeedLoop(db).Step(b.Context()); err != nil {
				b.Fatal(err)
			}
			took := time.Since(closing)
			close(stop)
			state, err := db.SeedState(b.Context(), s.UID)
			if err != nil {
				b.Fatal(err)
			}
			memory := <-most
			i := 0
			for b.Loop() {
				var key [8]byte
				binary.BigEndian.PutUint64(key[:], uint64(1+i*7919%n))
				if _, err := db.SeedBranch(b.Context(), state.Seed, sha256.Sum256(key[:])); err != nil {
					b.Fatal(err)
				}
				i++
			}
			// b.Loop forgets what was reported before it.
			b.ReportMetric(took.Seconds(), "s/close")
			b.ReportMetric(float64(took)/float64(hashed), "close/hash")
			b.ReportMetric(float64(took)/float64(read), "close/read")
			b.ReportMetric(float64(memory)/1e6, "MB")
			b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(hashed/n), "proof/hash")
		})
	}
}

// BenchmarkSubmissions compares requests of 100 hashes that are submitted with such of 100 stamps, in turn.
func BenchmarkSubmissions(b *testing.B) {
	for name, place := range places {
		b.Run(name, func(b *testing.B) {
			db := openAt(b, place(b), Options{})
			a, err := db.CreateAccount(b.Context(), epoch0, "a@example.org", "business")
			if err != nil {
				b.Fatal(err)
			}
			var took [2]time.Duration
			n := 0
			for b.Loop() {
				for kind := range took {
					create := account.Create{Account: a.ID, Quota: 1 << 40, Currencies: bothCurrencies}
					for range 100 {
						n++
						i := item(n)
						if kind == 1 {
							i.Submission = &seed.Submission{Comment: "build 17"}
						}
						create.Items = append(create.Items, i)
					}
					began := time.Now()
					r, err := db.AppendStamps(b.Context(), epoch0, []account.Create{create})
					if took[kind] += time.Since(began); err != nil || r[0].Err != nil {
						b.Fatal(err, r)
					}
				}
			}
			b.ReportMetric(float64(took[0])/float64(took[1]), "native/submitted")
		})
	}
}

// The failure table of submitting: each request either did not happen or happened and was reported as failed. The client sends
// it again, to the same process or one that was started again, and pays once.
func TestSubmitFailureTable(t *testing.T) {
	lost := errors.New("I/O error")
	faults := map[bool]func(transaction) error{
		false: func(t transaction) error { return errors.Join(lost, t.Rollback()) },
		true: func(t transaction) error {
			if err := t.Commit(); err != nil {
				return err
			}
			return lost
		},
	}
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		db := open(Options{EpochEntries: 8})
		a := newAccount(t, db, "a@example.org")
		n := 0
		for _, restart := range []bool{false, true} {
			for _, period := range []int{0, 0, 1} { // in the open seed, and in one that opens
				for happened, fault := range faults {
					n++
					page := seed.UUID(account.NewID())
					create := submitting(a.ID, n, seed.Submission{Preprint: &page, Awaits: []seed.Await{hook("bitcoin", "https://a.test/")}})
					now := epoch0.AddDate(0, 0, period*n)
					db.commit = fault
					if _, err := db.AppendStamps(t.Context(), now, []account.Create{create}); !errors.Is(err, lost) {
						t.Fatal(err)
					}
					db.commit = transaction.Commit
					if restart {
						db.Close()
						db = open(Options{EpochEntries: 8})
					}
					r, err := db.AppendStamps(t.Context(), now, []account.Create{create})
					if err != nil || r[0].Err != nil || r[0].Fresh[0] == happened || r[0].Submitted[0].Number != int64(n) {
						t.Fatalf("hash %d, happened %v: %v, %+v", n, happened, err, r)
					}
					if s, err := db.PreprintOf(t.Context(), page); err != nil || s.Hash != tip(n) {
						t.Fatalf("hash %d: its page: %v", n, err)
					}
					if _, err := db.AwaitState(t.Context(), a.ID, tip(n), hook("bitcoin", "https://a.test/")); err != nil {
						t.Fatalf("hash %d: what is awaited: %v", n, err)
					}
					if count, err := db.CountStamps(t.Context(), a.ID, nil); err != nil || count != int64(n) {
						t.Fatalf("%d stamps of %d hashes: %v", count, n, err)
					}
					checkSeedsWhole(t, db)
				}
			}
		}
		recompute(t, db)
	})
}

// An account has so many addresses and no more; those that it has go on.
func TestAddressesAreBounded(t *testing.T) {
	ctx := t.Context()
	db := engines["sqlite"](t)(Options{})
	a, b := newAccount(t, db, "a@example.org"), newAccount(t, db, "b@example.org")
	own := hook("bitcoin", "https://a.test/own")
	r, err := db.AppendStamps(ctx, epoch0, []account.Create{submitting(a.ID, 1, seed.Submission{Awaits: []seed.Await{own}})})
	if err != nil || r[0].Err != nil {
		t.Fatal(err, r)
	}
	if err := db.update(ctx, func(tx tx) error {
		_, err := tx.exec(ctx, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $2)
			INSERT INTO endpoint (uid, account, channel, address, kinds, secret, old_secret, old_until, state, created, slow, next, failures, failing)
			SELECT randomblob(16), $1, 'seed_hook', 'x' || i, 0, zeroblob(0), zeroblob(0), 0, 0, 0, 0, 0, 0, 0 FROM n`, a.ID, maxAddresses-2)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	other := hook("bitcoin", "https://a.test/other")
	r, err = db.AppendStamps(ctx, epoch0, []account.Create{
		submitting(a.ID, 2, seed.Submission{Awaits: []seed.Await{other, own, other}}),
		submitting(a.ID, 3, seed.Submission{Awaits: []seed.Await{hook("bitcoin", "https://a.test/more")}}),
		submitting(a.ID, 4, seed.Submission{Awaits: []seed.Await{own, other}}),
		submitting(b.ID, 5, seed.Submission{Awaits: []seed.Await{other}}),
	})
	if err != nil || r[0].Err != nil || !errors.Is(r[1].Err, notify.ErrLimit) || r[2].Err != nil || r[3].Err != nil {
		t.Errorf("%v, %+v", err, r)
	}
	if err := db.AwaitSeed(ctx, epoch0, a.ID, tip(1), other); err != nil {
		t.Errorf("one that it has: %v", err)
	}
	if err := db.AwaitSeed(ctx, epoch0, a.ID, tip(1), hook("bitcoin", "https://a.test/more")); !errors.Is(err, notify.ErrLimit) {
		t.Errorf("one too many: %v", err)
	}
	if forgotten, err := db.ForgetNotices(ctx, epoch0, 1<<20); err != nil || forgotten < maxAddresses-2 {
		t.Errorf("forgotten %d: %v", forgotten, err)
	}
	if err := db.AwaitSeed(ctx, epoch0, a.ID, tip(1), hook("bitcoin", "https://a.test/more")); err != nil {
		t.Errorf("after that: %v", err)
	}
}
