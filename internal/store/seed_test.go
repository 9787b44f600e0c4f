package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/notify"
	"github.com/datestone/datestone/internal/seed"
)

var (
	bitcoinCurrency = seed.Currency{ID: 0, Name: "BITCOIN", Target: "bitcoin", Period: 24 * time.Hour}
	printCurrency   = seed.Currency{ID: 100, Name: "PRINT", Target: "publication", Period: 7 * 24 * time.Hour}
	bothCurrencies  = []seed.Currency{bitcoinCurrency, printCurrency}
)

func hook(target, address string) seed.Await {
	return seed.Await{Target: target, Channel: notify.SeedHook, Address: address}
}

// submitting asks that tip(n) be submitted.
func submitting(owner int64, n int, s seed.Submission) account.Create {
	i := item(n)
	i.Submission = &s
	return account.Create{Account: owner, Items: []account.Item{i}, Quota: 1 << 30, Currencies: bothCurrencies}
}

func TestSubmit(t *testing.T) {
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		ctx := t.Context()
		db := open(Options{})
		a, b := newAccount(t, db, "a@example.org"), newAccount(t, db, "b@example.org")
		do := func(creates ...account.Create) []account.Result {
			t.Helper()
			r, err := db.AppendStamps(ctx, epoch0, creates)
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		used := func(id int64) int64 {
			t.Helper()
			n, err := db.QuotaUsed(ctx, id, account.Month(epoch0))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		if _, err := db.Submitted(ctx, tip(1)); !errors.Is(err, seed.ErrUnknown) {
			t.Errorf("before: %v", err)
		}
		page, other := seed.UUID(account.NewID()), seed.UUID(account.NewID())
		native := keep(t, db, a, 1, 7)

		// In one batch: a native stamp's hash, a new one, both again by another account, and what is refused.
		nul := submitting(a.ID, 3, seed.Submission{Comment: "a\x00b"})
		keyed := submitting(a.ID, 3, seed.Submission{})
		keyed.Key = "k"
		poor := submitting(b.ID, 3, seed.Submission{})
		poor.Quota = 0
		twice := submitting(a.ID, 4, seed.Submission{Preprint: &other})
		twice.Items = append(twice.Items, submitting(a.ID, 5, seed.Submission{Preprint: &other}).Items...)
		r := do(
			submitting(a.ID, 1, seed.Submission{Comment: "Grundriß Ä"}),
			submitting(a.ID, 2, seed.Submission{Comment: "two", Preprint: &page}),
			submitting(b.ID, 2, seed.Submission{Comment: "mine", Awaits: []seed.Await{hook("bitcoin", "https://b.test/")}}),
			submitting(b.ID, 7, seed.Submission{Preprint: &page}),
			nul, keyed, poor, twice,
			submitting(a.ID, 6, seed.Submission{Awaits: []seed.Await{hook("litecoin", "https://a.test/")}}),
			submitting(a.ID, 6, seed.Submission{Awaits: []seed.Await{{Target: "bitcoin", Channel: notify.SeedHook}}}),
		)
		for i, want := range []error{nil, nil, nil, seed.ErrPreprint, account.ErrItem, account.ErrItem, account.ErrQuota, seed.ErrPreprint, account.ErrItem, account.ErrItem} {
			if !errors.Is(r[i].Err, want) {
				t.Errorf("request %d: %v, want %v", i, r[i].Err, want)
			}
		}
		if s := r[0].Submitted[0]; !r[0].Fresh[0] || s.Number != 1 || s.Stamp != seed.UUID(native[0].ID) || s.Account != a.ID || !r[0].Existing[0] || r[0].Stamps[0].ID != native[0].ID {
			t.Errorf("over a native stamp: %+v", r[0])
		} else if s.Position <= native[0].Position || s.Nonce == native[0].Nonce {
			t.Errorf("the place of the native stamp is told: %+v", s)
		}
		for i := range 2 {
			s := r[i].Submitted[0]
			if leaves, err := db.BatchLeaves(ctx, s.Position); err != nil || leaves[s.Leaf] != account.Leaf(s.Hash, s.Nonce) {
				t.Errorf("submission %d is not in its batch: %v", s.Number, err)
			}
			if kept, err := db.Submitted(ctx, s.Hash); err != nil || cmp.Diff(s, kept) != "" {
				t.Errorf("it is kept as %+v, %v, and was given out as %+v", kept, err, s)
			}
		}
		if s := r[1].Submitted[0]; !r[1].Fresh[0] || s.Number != 2 || s.Stamp != seed.UUID(r[1].Stamps[0].ID) || r[1].Existing[0] || !s.Created.Equal(epoch0.Truncate(time.Microsecond)) {
			t.Errorf("a new one: %+v", r[1])
		}
		if r[2].Fresh[0] || !r[2].Existing[0] || r[2].Stamps[0].ID != (account.ID{}) || cmp.Diff(r[1].Submitted, r[2].Submitted) != "" || r[2].Seeds != nil {
			t.Errorf("by another account: %+v", r[2])
		}
		if len(r[1].Seeds) != 2 || r[1].Seeds[0].Target != "bitcoin" || r[1].Seeds[1].Target != "publication" || r[1].Seeds[0].First != 1 || r[1].Seeds[0].Number == 0 {
			t.Errorf("its seeds: %+v", r[1].Seeds)
		}
		if used(a.ID) != 3 || used(b.ID) != 0 {
			t.Errorf("used %d and %d", used(a.ID), used(b.ID))
		}
		if n, err := db.CountStamps(ctx, b.ID, nil); err != nil || n != 0 {
			t.Errorf("the other account has %d stamps: %v", n, err)
		}
		if _, err := db.AwaitState(ctx, b.ID, tip(2), hook("bitcoin", "https://b.test/")); !errors.Is(err, seed.ErrUnknown) {
			t.Errorf("what is awaited of a known hash: %v", err)
		}

		// In later transactions: the same, for good.
		r = do(
			submitting(b.ID, 1, seed.Submission{Comment: "other"}), submitting(a.ID, 2, seed.Submission{Preprint: &page}), submitting(b.ID, 2, seed.Submission{Preprint: &page}),
			submitting(b.ID, 1, seed.Submission{Preprint: &other}), submitting(a.ID, 8, seed.Submission{Preprint: &page}), submitting(a.ID, 8, seed.Submission{}),
		)
		for i, want := range []error{nil, nil, seed.ErrPreprint, nil, seed.ErrPreprint, nil} {
			if !errors.Is(r[i].Err, want) {
				t.Errorf("later request %d: %v, want %v", i, r[i].Err, want)
			}
		}
		if s := r[0].Submitted[0]; s.Comment != "Grundriß Ä" || s.Number != 1 || r[0].Fresh[0] {
			t.Errorf("later by another account: %+v", r[0])
		}
		if s := r[5].Submitted[0]; s.Number != 3 {
			t.Errorf("numbers have a gap: %+v", s)
		}
		for _, want := range []struct {
			uid    seed.UUID
			number int64
		}{{page, 2}, {other, 1}} {
			if s, err := db.PreprintOf(ctx, want.uid); err != nil || s.Number != want.number {
				t.Errorf("page: %+v, %v", s, err)
			}
		}
		if _, err := db.PreprintOf(ctx, seed.UUID(account.NewID())); !errors.Is(err, seed.ErrUnknown) {
			t.Errorf("a page that nobody asked for: %v", err)
		}

		// A native stamp of a hash that was submitted is the account's own, and the hash stays as it was submitted.
		if s := keep(t, db, b, 2)[0]; s.Account != b.ID {
			t.Errorf("a native stamp: %+v", s)
		}
		if s, err := db.Submitted(ctx, tip(2)); err != nil || s.Account != a.ID || s.Comment != "two" {
			t.Errorf("as it was: %+v, %v", s, err)
		}

		for words, want := range map[string][]int64{"grundriss": nil, "GRUNDRIß ä": {1}, "ä grund": {1}, "TWO": {2}, "o": {2}, "": nil, "%": nil, "mine": nil} {
			found, err := db.SearchComments(ctx, words, 0, 10)
			var got []int64
			for _, s := range found {
				got = append(got, s.Number)
			}
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("search for %q: %v, %v, want %v", words, got, err, want)
			}
		}
		recompute(t, db)
		checkSeedsWhole(t, db)
	})
}

// checkSeedsWhole fails the test unless numbers are dense and the seeds of each target follow each other.
func checkSeedsWhole(t testing.TB, db *DB) {
	t.Helper()
	wrong, err := db.CheckSeeds(t.Context(), 100)
	if err != nil || len(wrong) > 0 {
		t.Errorf("%v: %s", err, strings.Join(wrong, "\n"))
	}
}

// Racing requests of several accounts and nodes submit each hash once, while seeds are closed.
func TestRacingSubmissions(t *testing.T) {
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		first := open(Options{})
		nodes := []*DB{first, first}
		if first.Shared() {
			nodes[1] = open(Options{})
		}
		accounts := []account.Account{newAccount(t, first, "a@example.org"), newAccount(t, first, "b@example.org")}
		const hashes = 12
		var mu sync.Mutex
		fresh := map[[32]byte]int64{}
		var wg sync.WaitGroup
		for i := range 4 * hashes {
			wg.Go(func() {
				now := epoch0.Add(time.Duration(i%3) * 24 * time.Hour) // clocks that differ far too much
				if i%5 == 0 {
					if _, err := nodes[i%2].EndSeeds(t.Context(), now.AddDate(0, 0, 2)); err != nil {
						t.Error(err)
					}
				}
				r, err := nodes[i%2].AppendStamps(t.Context(), now, []account.Create{submitting(accounts[i/2%2].ID, i/4, seed.Submission{})})
				if err != nil || r[0].Err != nil {
					t.Error(err, r)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				s := r[0].Submitted[0]
				if known, ok := fresh[s.Hash]; ok && known != s.Number {
					t.Errorf("a hash has the numbers %d and %d", known, s.Number)
				}
				if fresh[s.Hash] = s.Number; r[0].Fresh[0] {
					fresh[[32]byte{31: byte(s.Number)}]++
				}
			})
		}
		wg.Wait()
		for n := 1; n <= hashes; n++ {
			if fresh[[32]byte{31: byte(n)}] != 1 {
				t.Errorf("number %d was given %d times", n, fresh[[32]byte{31: byte(n)}])
			}
		}
		if len(fresh) != 2*hashes {
			t.Errorf("%d hashes", len(fresh)-hashes)
		}
		checkSeedsWhole(t, first)
		recompute(t, first)
	})
}

// The periods of seeds, with clocks that are ahead and behind.
func TestSeedPeriods(t *testing.T) {
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		ctx := t.Context()
		db := open(Options{})
		a := newAccount(t, db, "a@example.org")
		day := func(n int) time.Time { return time.Date(2026, 1, n, 0, 0, 0, 0, time.UTC) }
		n := 0
		submit := func(now time.Time, c seed.Currency) seed.Seed {
			t.Helper()
			n++
			create := submitting(a.ID, n, seed.Submission{})
			create.Currencies = []seed.Currency{c}
			r, err := db.AppendStamps(ctx, now, []account.Create{create})
			if err != nil || r[0].Err != nil {
				t.Fatal(err, r)
			}
			got, ok, err := db.OpenSeed(ctx, c.Target)
			if err != nil || !ok || cmp.Diff(got, r[0].Seeds[0]) != "" {
				t.Fatalf("open: %+v, %v, %v, and it was submitted to %+v", got, ok, err, r[0].Seeds)
			}
			return got
		}
		is := func(what string, s seed.Seed, first int64, opened, closes time.Time) {
			t.Helper()
			if s.First != first || !s.Opened.Equal(opened) || !s.Closes.Equal(closes) || s.Before != 0 {
				t.Errorf("%s: %+v, want first %d, %v to %v", what, s, first, opened, closes)
			}
		}
		if _, ok, err := db.OpenSeed(ctx, "bitcoin"); err != nil || ok {
			t.Errorf("before the first hash: %v, %v", ok, err)
		}
		one := submit(day(3).Add(time.Hour), bitcoinCurrency)
		is("the first", one, 1, day(3), day(4))
		is("on the same day", submit(day(4).Add(-1), bitcoinCurrency), 1, day(3), day(4))
		is("a clock behind", submit(day(3).Add(-time.Hour), bitcoinCurrency), 1, day(3), day(4))
		if closed, err := db.EndSeeds(ctx, day(4).Add(-1)); err != nil || closed != 0 {
			t.Errorf("ended too early: %d, %v", closed, err)
		}
		is("after its end", submit(day(4), bitcoinCurrency), 4, day(4), day(5))
		is("a clock behind, after that", submit(day(4).Add(-time.Minute), bitcoinCurrency), 4, day(4), day(5))
		if closed, err := db.EndSeeds(ctx, day(5)); err != nil || closed != 1 {
			t.Errorf("ended: %d, %v", closed, err)
		}
		if _, ok, err := db.OpenSeed(ctx, "bitcoin"); err != nil || ok {
			t.Errorf("after its end: %v, %v", ok, err)
		}
		is("a clock behind, after the end", submit(day(5).Add(-time.Minute), bitcoinCurrency), 6, day(5), day(6))
		hourly := bitcoinCurrency
		hourly.Period = time.Hour
		is("another period", submit(day(5).Add(time.Hour), hourly), 6, day(5), day(6))
		is("and its first", submit(day(6).Add(90*time.Minute), hourly), 8, day(6).Add(time.Hour), day(6).Add(2*time.Hour))
		is("and back", submit(day(6).Add(3*time.Hour), bitcoinCurrency), 9, day(6).Add(2*time.Hour), day(7))
		is("a clock a year ahead", submit(day(6).AddDate(1, 0, 0), bitcoinCurrency), 10, day(6).AddDate(1, 0, 0), day(7).AddDate(1, 0, 0))
		is("and the right one", submit(day(7), bitcoinCurrency), 11, day(7), day(8))
		is("another target", submit(day(7), printCurrency), 12, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), day(8))
		// What was submitted while no seed of a target was open is in its next one.
		if closed, err := db.EndSeeds(ctx, day(8)); err != nil || closed != 2 {
			t.Errorf("ended: %d, %v", closed, err)
		}
		submit(day(8), printCurrency)
		is("after a rest", submit(day(8), bitcoinCurrency), 13, day(8), day(9))

		unmade, err := db.UnmadeSeeds(ctx, 2)
		if err != nil || len(unmade) != 2 || unmade[0].UID != one.UID || unmade[0].Before != 4 {
			t.Errorf("unmade: %+v, %v", unmade, err)
		}
		for number, want := range map[int64]string{1: "1", 3: "1", 4: "4", 5: "4", 12: "11 12", 13: "13 13"} {
			states, err := db.SeedStates(ctx, number)
			var got []string
			for _, s := range states {
				got = append(got, fmt.Sprint(s.First))
				same, err := db.SeedState(ctx, s.UID)
				if err != nil || cmp.Diff(s, same) != "" {
					t.Errorf("by its id: %+v, %v", same, err)
				}
			}
			if err != nil || strings.Join(got, " ") != want {
				t.Errorf("seeds of %d: %v, %v, want %s", number, got, err, want)
			}
		}
		if _, err := db.SeedState(ctx, seed.UUID(account.NewID())); !errors.Is(err, seed.ErrUnknown) {
			t.Errorf("a seed that is not there: %v", err)
		}
		checkSeedsWhole(t, db)
	})
}
