package store

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/notify"
	"github.com/datestone/datestone/internal/publish"
	"github.com/datestone/datestone/internal/seed"
)

// makeSeeds closes what is open and makes all trees.
func makeSeeds(t testing.TB, db *DB, now time.Time) {
	t.Helper()
	if err := seed.New(db, seed.Options{Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler)}).Step(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// seedBlock adds a block in which a transaction carries a seed.
func (c *testChain) seedBlock(ref string, h logtree.Head) {
	c.t.Helper()
	if ref != "" {
		a, err := c.db.SaveAttempt(c.t.Context(), epoch0, anchor.Attempt{Target: c.target, Purpose: seed.Purpose, Head: h, Uses: []string{"coin of " + ref}, Raw: []byte{1}, Ref: ref})
		if err == nil {
			err = c.db.MarkSent(c.t.Context(), epoch0, a.ID)
		}
		if err != nil {
			c.t.Fatal(err)
		}
	}
	c.block(map[string]logtree.Head{ref: h})
}

// toldSeeds is what is due or was sent to addresses, as the address, what it is about and how far that is.
func toldSeeds(t testing.TB, db *DB) []string {
	t.Helper()
	rows, err := db.query(t.Context(), `SELECT id, address FROM endpoint WHERE channel IN ('seed_hook', 'seed_mail')`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	lines := []string{}
	for rows.Next() {
		var id int64
		var address string
		if err := rows.Scan(&id, &address); err != nil {
			t.Fatal(err)
		}
		all, err := db.DueDeliveries(t.Context(), id, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range all {
			s, states, err := db.SeededNotice(t.Context(), d.Notice)
			if err != nil {
				t.Fatal(err)
			}
			for _, state := range states {
				if state.Target == d.Notice.Target {
					lines = append(lines, fmt.Sprint(address, " ", d.Notice.Target, " ", s.Number, " ", state.Status))
				}
			}
		}
	}
	slices.Sort(lines)
	return lines
}

func TestSeeded(t *testing.T) {
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		ctx := t.Context()
		db := open(Options{})
		c := newTestChain(t, db, "bitcoin")
		if err := db.SetOperator(ctx, epoch0, []notify.Endpoint{{Channel: notify.Mail, Address: "op@example.org"}}); err != nil {
			t.Fatal(err)
		}
		operator := func() (messages []string) {
			t.Helper()
			zero := int64(0)
			all, _, err := db.Deliveries(ctx, notify.Filter{Account: &zero}, 100)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range all {
				messages = append(messages, d.Notice.Ref+": "+d.Notice.Message)
			}
			return messages
		}
		a, b := newAccount(t, db, "a@example.org"), newAccount(t, db, "b@example.org")
		one, two := hook("bitcoin", "https://a.test/1"), hook("bitcoin", "https://a.test/2")
		mail := seed.Await{Target: "bitcoin", Channel: notify.SeedMail, Address: "a@a.test"}
		r, err := db.AppendStamps(ctx, epoch0, []account.Create{
			submitting(a.ID, 1, seed.Submission{Awaits: []seed.Await{one, two, mail, hook("publication", "https://a.test/1")}}),
			submitting(a.ID, 2, seed.Submission{Awaits: []seed.Await{one}}),
			submitting(a.ID, 3, seed.Submission{}),
		})
		if err != nil || r[0].Err != nil {
			t.Fatal(err, r)
		}
		for range 2 {
			if err := db.AwaitSeed(ctx, epoch0, b.ID, tip(1), one); err != nil {
				t.Error(err)
			}
		}
		state := func(want seed.AwaitState, wantErr error) {
			t.Helper()
			got, err := db.AwaitState(ctx, b.ID, tip(1), one)
			if got != want || !errors.Is(err, wantErr) {
				t.Errorf("await: %+v, %v, want %+v, %v", got, err, want, wantErr)
			}
		}
		state(seed.AwaitState{}, nil)
		if _, err := db.AwaitState(ctx, b.ID, tip(2), one); !errors.Is(err, seed.ErrUnknown) {
			t.Errorf("another account's: %v", err)
		}
		for _, bad := range []struct {
			hash  [32]byte
			await seed.Await
			want  error
		}{{tip(9), one, seed.ErrUnknown}, {tip(1), hook("litecoin", "https://a.test/"), seed.ErrUnknown}, {tip(1), hook("bitcoin", "a\nb"), account.ErrItem}} {
			if err := db.AwaitSeed(ctx, epoch0, b.ID, bad.hash, bad.await); !errors.Is(err, bad.want) {
				t.Errorf("awaiting %+v: %v, want %v", bad.await, err, bad.want)
			}
		}
		if all, err := db.Endpoints(ctx, a.ID, 100); err != nil || len(all) != 0 {
			t.Errorf("addresses are shown as endpoints: %+v, %v", all, err)
		}

		status := func(what string, want seed.Status, ref string) seed.State {
			t.Helper()
			s, err := db.SeedState(ctx, r[0].Seeds[0].UID)
			if err != nil || s.Status != want || s.Ref != ref || (s.Attestation.ID != 0) != (want >= seed.Mined) {
				t.Errorf("%s: status %d %q, %v, want %d %q", what, s.Status, s.Ref, err, want, ref)
			}
			return s
		}
		if heads, err := db.UnattestedSeeds(ctx, "bitcoin", 10); err != nil || len(heads) != 0 {
			t.Errorf("while it is open: %v, %v", heads, err)
		}
		makeSeeds(t, db, epoch0.Add(24*time.Hour))
		heads, err := db.UnattestedSeeds(ctx, "bitcoin", 10)
		if err != nil || len(heads) != 1 || heads[0].Size != 3 || heads[0] != status("made", seed.Queued, "").Head() {
			t.Fatalf("to attest: %+v, %v", heads, err)
		}
		late := heads[0]
		attempt, err := db.SaveAttempt(ctx, epoch0, anchor.Attempt{Target: "bitcoin", Purpose: seed.Purpose, Head: late, Uses: []string{"coin of tx"}, Raw: []byte{1}, Ref: "tx"})
		if err != nil {
			t.Fatal(err)
		}
		status("saved", seed.Queued, "")
		if err := db.MarkSent(ctx, epoch0, attempt.ID); err != nil {
			t.Fatal(err)
		}
		status("sent", seed.Sent, "")
		c.seedBlock("tx", late)
		if s := status("mined", seed.Mined, "tx"); s.Attestation.Tip == 0 || !s.Time.Equal(epoch0.Truncate(time.Microsecond)) {
			t.Errorf("mined: %+v", s)
		}
		if heads, err := db.UnattestedSeeds(ctx, "bitcoin", 10); err != nil || len(heads) != 0 {
			t.Errorf("mined, and to attest: %v, %v", heads, err)
		}
		walkAll(t, db)
		same(t, "mined", toldSeeds(t, db), []string{})
		c.block(nil)
		status("counted", seed.Final, "tx")
		walkAll(t, db)
		walkAll(t, db)
		want := []string{"a@a.test bitcoin 1 3", "https://a.test/1 bitcoin 1 3", "https://a.test/1 bitcoin 1 3", "https://a.test/1 bitcoin 2 3", "https://a.test/2 bitcoin 1 3"}
		same(t, "counted", toldSeeds(t, db), want)
		state(seed.AwaitState{}, nil)

		// Nobody sees what others are told.
		if all, _, err := db.Deliveries(ctx, notify.Filter{Account: &b.ID}, 10); err != nil || len(all) != 1 || all[0].Notice.Account != b.ID {
			t.Errorf("what the second account is told: %+v, %v", all, err)
		} else {
			if _, err := db.Stamp(ctx, all[0].Notice.Stamp); !errors.Is(err, ErrNotFound) {
				t.Errorf("its notice names the first account's stamp: %v", err)
			}
			if err := db.SaveResults(ctx, []notify.Result{{Delivery: all[0].ID, Endpoint: all[0].Endpoint, At: epoch0, Done: true, Status: 200}}); err != nil {
				t.Fatal(err)
			}
		}
		state(seed.AwaitState{Executed: true, Success: true, Tries: 1}, nil)
		want = slices.Delete(want, 1, 2)

		// After the fact it is due at once, and once.
		after := hook("bitcoin", "https://b.test/after")
		for range 2 {
			if err := db.AwaitSeed(ctx, epoch0, b.ID, tip(3), after); err != nil {
				t.Fatal(err)
			}
			if err := db.AwaitSeed(ctx, epoch0, b.ID, tip(1), one); err != nil {
				t.Fatal(err)
			}
		}
		want = append(want, "https://b.test/after bitcoin 3 3")
		same(t, "after the fact", toldSeeds(t, db), want)
		state(seed.AwaitState{Executed: true, Success: true, Tries: 1}, nil)

		// A withdrawal is told to the operator, once for each, and nothing is told to others again.
		for n := 1; n <= 2; n++ {
			c.back(2)
			status("withdrawn", seed.Sent, "")
			walkAll(t, db)
			walkAll(t, db)
			messages := operator()
			if len(messages) != n || !strings.Contains(messages[0], account.ID(r[0].Seeds[0].UID).String()) || !strings.Contains(messages[0], "with 3 hashes") || !strings.HasPrefix(messages[0], SeedWithdrawn) {
				t.Errorf("withdrawn %d times: %q", n, messages)
			}
			if heads, err := db.UnattestedSeeds(ctx, "bitcoin", 10); err != nil || len(heads) != 1 || heads[0] != late {
				t.Errorf("withdrawn, and to attest: %v, %v", heads, err)
			}
			c.seedBlock("tx", late)
			c.block(nil)
			walkAll(t, db)
			status("restored", seed.Final, "tx")
		}
		for i, line := range want {
			want[i] = strings.Replace(line, " 1 1", " 1 3", 1)
		}
		same(t, "restored", toldSeeds(t, db), want)
		if wrong, err := db.CheckNotices(ctx, 10); err != nil || len(wrong) > 0 {
			t.Errorf("%v, %v", wrong, err)
		}
		checkSeedsWhole(t, db)

		// An address that wanted no more is asked again when somebody asks for more.
		gone, err := db.DueEndpoints(ctx, epoch0.Add(time.Hour), false, 10)
		gone = slices.DeleteFunc(gone, func(e notify.Endpoint) bool { return e.Channel != notify.SeedHook })
		if err != nil || len(gone) == 0 {
			t.Fatal(gone, err)
		}
		due, err := db.DueDeliveries(ctx, gone[0].ID, 10)
		if err != nil {
			t.Fatal(err)
		}
		if err := db.SaveResults(ctx, []notify.Result{{Delivery: due[0].ID, Endpoint: gone[0].ID, At: epoch0, Gone: true, Status: 410}}); err != nil {
			t.Fatal(err)
		}
		if err := db.AwaitSeed(ctx, epoch0, gone[0].Account, tip(3), seed.Await{Target: "bitcoin", Channel: gone[0].Channel, Address: gone[0].Address}); err != nil {
			t.Fatal(err)
		}
		if e, active, err := db.ActiveEndpoint(ctx, gone[0].ID); err != nil || !active || e.Next.IsZero() {
			t.Errorf("asked again: %+v, %v, %v", e, active, err)
		}
		if wrong, err := db.CheckNotices(ctx, 10); err != nil || len(wrong) > 0 {
			t.Errorf("%v, %v", wrong, err)
		}

		// Addresses go when nothing is left of them, and not before.
		if _, err := db.ForgetNotices(ctx, epoch0.AddDate(1, 0, 0), 1000); err != nil {
			t.Fatal(err)
		}
		var left int
		if err := db.queryRow(ctx, `SELECT COUNT(*) FROM endpoint WHERE account <> 0`, nil, &left); err != nil || left != 4 {
			t.Errorf("%d addresses are left: %v", left, err)
		}
	})
}

// A seed that is printed is final with the day of its issue, until that is taken back.
func TestPrintedSeed(t *testing.T) {
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		ctx := t.Context()
		db := open(Options{})
		a := newAccount(t, db, "a@example.org")
		if err := db.SetOperator(ctx, epoch0, []notify.Endpoint{{Channel: notify.Mail, Address: "op@example.org"}}); err != nil {
			t.Fatal(err)
		}
		r, err := db.AppendStamps(ctx, epoch0, []account.Create{submitting(a.ID, 1, seed.Submission{Awaits: []seed.Await{hook("publication", "https://a.test/")}})})
		if err != nil || r[0].Err != nil {
			t.Fatal(err, r)
		}
		makeSeeds(t, db, epoch0.AddDate(0, 0, 8))
		uid := r[0].Seeds[1].UID
		is := func(what string, want seed.Status, ref string) seed.State {
			t.Helper()
			s, err := db.SeedState(ctx, uid)
			if err != nil || s.Status != want || s.Ref != ref || s.Attestation.ID != 0 {
				t.Errorf("%s: status %d %q, %v", what, s.Status, s.Ref, err)
			}
			return s
		}
		s := is("made", seed.Queued, "")
		p := publish.Publication{UID: account.NewID(), Target: "publication", Period: account.ID(uid).String(), Head: s.Head(), Created: epoch0}
		p.Notice.Root.Purpose, p.Notice.Root.Name, p.Notice.Root.Date, p.Notice.Root.Hash = seed.Purpose, "seed", "2026-01-12", s.Root
		if err := db.AddPublication(ctx, &p); err != nil {
			t.Fatal(err)
		}
		is("to be printed", seed.Sent, "")
		for n := 1; n <= 2; n++ {
			if err := db.ConfirmPublication(ctx, p.ID, publish.Place{Issue: "2026-01-13", Page: "4", By: "me", At: epoch0}); err != nil {
				t.Fatal(err)
			}
			if s := is("printed", seed.Final, "2026-01-13"); !s.Time.Equal(time.Date(2026, 1, 13, 0, 0, 0, 0, time.UTC)) {
				t.Errorf("its time is %v", s.Time)
			}
			walkAll(t, db)
			same(t, "printed", toldSeeds(t, db), []string{"https://a.test/ publication 1 3"})
			if err := db.WithdrawPublication(ctx, epoch0, p.ID, "me"); err != nil {
				t.Fatal(err)
			}
			is("taken back", seed.Sent, "")
			walkAll(t, db)
			zero := int64(0)
			if all, _, err := db.Deliveries(ctx, notify.Filter{Account: &zero}, 100); err != nil || len(all) != n {
				t.Errorf("the operator was told %d times, want %d: %v", len(all), n, err)
			}
		}
	})
}

// The failure table of what a walk tells of seeds: each commit either did not happen or happened and was reported as failed.
// The next walk goes on, and everybody is told once.
func TestSeededFailureTable(t *testing.T) {
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
	db := engines["sqlite"](t)(Options{})
	c := newTestChain(t, db, "bitcoin")
	a := newAccount(t, db, "a@example.org")
	const hashes = walkStamps + 3
	want := []string{}
	for name, fault := range faults {
		for at, finished := 0, false; !finished; at++ {
			create := account.Create{Account: a.ID, Quota: 1 << 30, Currencies: bothCurrencies[:1]}
			address := fmt.Sprintf("https://a.test/%s/%d", name[:3], at)
			for i := range hashes {
				item := item(len(want) + i)
				item.Submission = &seed.Submission{Awaits: []seed.Await{hook("bitcoin", address)}}
				create.Items = append(create.Items, item)
			}
			now := epoch0.AddDate(0, 0, len(want)/hashes)
			r, err := db.AppendStamps(t.Context(), now, []account.Create{create})
			if err != nil || r[0].Err != nil {
				t.Fatal(err, r)
			}
			for _, s := range r[0].Submitted {
				want = append(want, fmt.Sprint(address, " bitcoin ", s.Number, " ", seed.Final))
			}
			makeSeeds(t, db, now.Add(24*time.Hour))
			heads, err := db.UnattestedSeeds(t.Context(), "bitcoin", 10)
			if err != nil || len(heads) != 1 {
				t.Fatal(heads, err)
			}
			c.seedBlock(address, heads[0])
			c.block(nil)
			commits := 0
			db.commit = func(tx transaction) error {
				if commits++; commits-1 == at {
					return fault(tx)
				}
				return tx.Commit()
			}
			more := true
			for err = nil; more && err == nil; {
				more, err = db.Walk(t.Context(), epoch0)
			}
			db.commit = transaction.Commit
			if finished = commits <= at; finished != (err == nil) || err != nil && !errors.Is(err, lost) {
				t.Fatalf("%s, commit %d of %d: %v", name, at, commits, err)
			}
			walkAll(t, db)
			checkSeedsWhole(t, db)
		}
	}
	slices.Sort(want)
	if d := cmp.Diff(want, toldSeeds(t, db)); d != "" {
		t.Error(d)
	}
}
