package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/bitcoin/ledger"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/notify"
)

var allKinds = notify.Set(notify.Anchored, notify.Confirmed, notify.Upgraded, notify.Withdrawn)

// testChain is the chain of a target, in which an attestation counts at a depth of two blocks.
type testChain struct {
	t      testing.TB
	db     *DB
	target string
	blocks []ledger.Observed
	forks  int
}

func newTestChain(t testing.TB, db *DB, target string) *testChain {
	t.Helper()
	c := &testChain{t: t, db: db, target: target}
	if _, err := db.PinTarget(t.Context(), epoch0, target, "genesis"); err != nil {
		t.Fatal(err)
	}
	base := ledger.Observed{Block: ledger.Block{Height: 100, Hash: [32]byte{1}}}
	if err := db.StartChain(t.Context(), epoch0, target, base.Block, nil); err != nil {
		t.Fatal(err)
	}
	c.blocks = append(c.blocks, base)
	return c
}

// block adds a block that has the transactions, which are of heads.
func (c *testChain) block(heads map[string]logtree.Head) {
	c.t.Helper()
	last := c.blocks[len(c.blocks)-1]
	height := last.Height + 1
	b := ledger.Observed{Block: ledger.Block{Height: height, Hash: [32]byte{byte(height), byte(height >> 8), byte(c.forks), 7}, Work: [32]byte{30: byte(height >> 8), 31: byte(height)}}, Prev: last.Hash}
	for _, ref := range slices.Sorted(maps.Keys(heads)) {
		h := heads[ref]
		if _, err := c.db.SaveAttempt(c.t.Context(), epoch0, anchor.Attempt{Target: c.target, Purpose: anchor.PurposeLog, Head: h, Uses: []string{"coin of " + ref}, Raw: []byte{1}, Ref: ref}); err != nil {
			c.t.Fatal(err)
		}
		b.Mined = append(b.Mined, logtree.Attestation{Target: c.target, Kind: logtree.Bitcoin, Head: h, Proof: []byte{1}, Height: height, BlockHash: b.Hash, BlockTime: epoch0, Ref: ref})
	}
	if _, err := c.db.ConnectBlock(c.t.Context(), epoch0, c.target, b, 2); err != nil {
		c.t.Fatal(err)
	}
	c.blocks = append(c.blocks, b)
}

// back takes blocks away; those that come then are of another branch.
func (c *testChain) back(n int) {
	c.t.Helper()
	for range n {
		last := c.blocks[len(c.blocks)-1]
		if _, err := c.db.DisconnectBlock(c.t.Context(), epoch0, c.target, last.Block); err != nil {
			c.t.Fatal(err)
		}
		c.blocks = c.blocks[:len(c.blocks)-1]
	}
	c.forks++
}

func head(t testing.TB, db *DB) logtree.Head {
	t.Helper()
	h, err := db.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// confirm puts the head of the log into a transaction that counts.
func (c *testChain) confirm(ref string) {
	c.t.Helper()
	c.block(map[string]logtree.Head{ref: head(c.t, c.db)})
	c.block(nil)
}

// keep makes a stamp for each number.
func keep(t testing.TB, db *DB, owner account.Account, numbers ...int) (all []account.Stamp) {
	t.Helper()
	for _, n := range numbers {
		results, err := db.AppendStamps(t.Context(), epoch0, []account.Create{{Account: owner.ID, Items: []account.Item{item(n)}, Whole: true, Quota: 1 << 30}})
		if err != nil || results[0].Err != nil {
			t.Fatal(err, results)
		}
		all = append(all, results[0].Stamps[0])
	}
	return all
}

var wideLimits = EndpointLimits{Wide: 1 << 20, Stamp: 1 << 20, All: 1 << 20}

// listen registers an endpoint, for one stamp if there is one.
func listen(t testing.TB, db *DB, owner int64, kinds notify.Kinds, only ...account.Stamp) notify.Endpoint {
	t.Helper()
	e := notify.Endpoint{UID: account.NewID(), Account: owner, Channel: notify.Webhook, Address: "https://hooks.test/", Kinds: kinds, Secret: []byte{1}}
	if len(only) > 0 {
		e.Stamp, e.Position = &only[0].ID, only[0].Position
	}
	e, err := db.AddEndpoint(t.Context(), epoch0, e, wideLimits)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func walkAll(t testing.TB, db *DB) {
	t.Helper()
	for steps := 0; ; steps++ {
		more, err := db.Walk(t.Context(), epoch0)
		if err != nil {
			t.Fatal(err)
		}
		if !more {
			return
		}
		if steps > 10_000 {
			t.Fatal("the walk does not end")
		}
	}
}

// told is what is due or was sent to an endpoint, in order, as kind and the name of the stamp's file.
func told(t testing.TB, db *DB, e notify.Endpoint) []string {
	t.Helper()
	all, _, err := db.Deliveries(t.Context(), notify.Filter{Endpoint: &e.UID}, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	lines := []string{}
	for _, d := range slices.Backward(all) {
		line := string(d.Notice.Kind)
		if st, err := db.Stamp(t.Context(), d.Notice.Stamp); err == nil {
			line += " " + st.File.Name[len("plan "):len(st.File.Name)-len(".pdf")]
		} else if !errors.Is(err, ErrNotFound) {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	return lines
}

func same(t testing.TB, what string, got, want []string) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s: %s", what, d)
	}
}

func TestNotices(t *testing.T) {
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		db := open(Options{})
		chain := newTestChain(t, db, "bitcoin")
		a, b := newAccount(t, db, "a@example.org"), newAccount(t, db, "b@example.org")
		all := listen(t, db, a.ID, allKinds)
		one := listen(t, db, a.ID, notify.Set(notify.Confirmed))
		stamps := keep(t, db, a, 1, 2)
		keep(t, db, b, 3)
		single := listen(t, db, b.ID, notify.Set(notify.Confirmed), keep(t, db, b, 4)[0])
		other := listen(t, db, b.ID, notify.Set(notify.Upgraded), keep(t, db, b, 5)[0])
		walkAll(t, db)
		same(t, "before anything is attested", told(t, db, all), []string{})
		chain.block(map[string]logtree.Head{"tx1": head(t, db)})
		walkAll(t, db)
		same(t, "in a block", told(t, db, all), []string{"anchored 1", "anchored 2"})
		same(t, "in a block, for who wants to hear of confirmations", told(t, db, one), []string{})
		chain.block(nil)
		walkAll(t, db)
		want := []string{"anchored 1", "anchored 2", "confirmed 1", "upgraded 1", "confirmed 2", "upgraded 2"}
		same(t, "deep", told(t, db, all), want)
		same(t, "confirmations", told(t, db, one), []string{"confirmed 1", "confirmed 2"})
		same(t, "of one stamp", told(t, db, single), []string{"confirmed 4"})
		same(t, "of another", told(t, db, other), []string{"upgraded 5"})
		chain.confirm("tx2")
		walkAll(t, db)
		same(t, "another transaction above says nothing new", told(t, db, all), want)

		// An endpoint that was registered after the walk gets what is walked then.
		late := listen(t, db, a.ID, allKinds)
		keep(t, db, a, 6)
		chain.confirm("tx3")
		walkAll(t, db)
		same(t, "registered late", told(t, db, late), []string{"anchored 6", "confirmed 6", "upgraded 6"})
		if err := db.DeleteEndpoint(t.Context(), b.ID, late.UID); !errors.Is(err, notify.ErrUnknown) {
			t.Errorf("another account deletes it: %v", err)
		}
		if err := db.DeleteEndpoint(t.Context(), a.ID, late.UID); err != nil {
			t.Fatal(err)
		}
		keep(t, db, a, 7)
		chain.confirm("tx4")
		walkAll(t, db)
		same(t, "deleted", told(t, db, late), []string{})
		_ = stamps
	})
}

// A target that was not there before tells of what comes after it.
func TestNoticesOfANewTarget(t *testing.T) {
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		db := open(Options{EpochEntries: 4})
		a := newAccount(t, db, "a@example.org")
		e := listen(t, db, a.ID, notify.Set(notify.Confirmed))
		keep(t, db, a, 1, 2, 3, 4, 5)
		chain := newTestChain(t, db, "bitcoin")
		if err := db.SaveStatus(t.Context(), epoch0, anchor.Status{Target: "bitcoin"}); err != nil {
			t.Fatal(err)
		}
		ended, err := db.EndedEpochs(t.Context())
		if err != nil || len(ended) != 1 {
			t.Fatal(ended, err)
		}
		chain.block(map[string]logtree.Head{"old": ended[0]})
		chain.confirm("tx1")
		walkAll(t, db)
		same(t, "of what was there before", told(t, db, e), []string{})
		keep(t, db, a, 6, 7, 8, 9) // into another epoch
		ended, err = db.EndedEpochs(t.Context())
		if err != nil || len(ended) != 2 {
			t.Fatal(ended, err)
		}
		// The newer epoch first.
		chain.confirm("tx2")
		walkAll(t, db)
		same(t, "of the newest epoch", told(t, db, e), []string{"confirmed 8", "confirmed 9"})
		chain.block(map[string]logtree.Head{"tx3": ended[1]})
		chain.block(nil)
		walkAll(t, db)
		same(t, "of the epoch before", told(t, db, e), []string{"confirmed 8", "confirmed 9", "confirmed 6", "confirmed 7"})
	})
}

func TestNoticesAndReorganisations(t *testing.T) {
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		db := open(Options{})
		chain := newTestChain(t, db, "bitcoin")
		a := newAccount(t, db, "a@example.org")
		e := listen(t, db, a.ID, notify.Set(notify.Anchored, notify.Confirmed, notify.Withdrawn))
		single := listen(t, db, a.ID, notify.Set(notify.Withdrawn), keep(t, db, a, 1)[0])
		first := head(t, db)
		keep(t, db, a, 2)
		second := head(t, db)
		chain.block(map[string]logtree.Head{"tx1": first})
		chain.block(map[string]logtree.Head{"tx2": second})
		chain.block(nil)
		walkAll(t, db)
		want := []string{"anchored 1", "anchored 2", "confirmed 1", "confirmed 2"}
		same(t, "confirmed", told(t, db, e), want)

		// The upper one is withdrawn: what the lower one covers stays confirmed.
		chain.back(2)
		chain.block(nil)
		walkAll(t, db)
		want = append(want, "withdrawn 2")
		same(t, "withdrawn", told(t, db, e), want)
		walkAll(t, db)
		same(t, "withdrawn, once", told(t, db, e), want)
		// The same transaction in another block says nothing new.
		chain.block(map[string]logtree.Head{"tx2": second})
		chain.block(nil)
		walkAll(t, db)
		same(t, "restored", told(t, db, e), want)
		// That goes again, and another transaction comes in its place.
		chain.back(2)
		walkAll(t, db)
		same(t, "withdrawn again", told(t, db, e), want)
		chain.block(map[string]logtree.Head{"tx3": second})
		chain.block(nil)
		walkAll(t, db)
		want = append(want, "confirmed 2")
		same(t, "replaced", told(t, db, e), want)
		chain.back(2)
		walkAll(t, db)
		want = append(want, "withdrawn 2")
		same(t, "what came in its place is withdrawn", told(t, db, e), want)
		same(t, "of the other stamp", told(t, db, single), []string{})

		// All goes, is restored before anybody looked, and goes while somebody looks.
		chain.block(map[string]logtree.Head{"tx3": second})
		chain.block(nil)
		walkAll(t, db)
		same(t, "restored as well", told(t, db, e), want)
		n := len(chain.blocks)
		chain.back(n - 1)
		chain.block(map[string]logtree.Head{"tx4": second})
		for len(chain.blocks) <= n {
			chain.block(nil)
		}
		walkAll(t, db)
		same(t, "another one covers all", told(t, db, e), want)
		chain.back(len(chain.blocks) - 1)
		walkAll(t, db)
		got := told(t, db, e)[len(want):]
		slices.Sort(got)
		same(t, "nothing is left", got, []string{"withdrawn 1"})
		same(t, "of the other stamp", told(t, db, single), []string{"withdrawn 1"})
	})
}

// What is withdrawn in the middle of a sweep is told of, and of nothing else.
func TestWithdrawnInTheMiddle(t *testing.T) {
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		db := open(Options{})
		chain := newTestChain(t, db, "bitcoin")
		a := newAccount(t, db, "a@example.org")
		e := listen(t, db, a.ID, notify.Set(notify.Confirmed, notify.Withdrawn))
		results, err := db.AppendStamps(t.Context(), epoch0, []account.Create{{Account: a.ID, Items: items(0, walkStamps+50), Quota: 1 << 30}})
		if err != nil || results[0].Err != nil {
			t.Fatal(err, results)
		}
		chain.confirm("tx1")
		for len(told(t, db, e)) == 0 {
			if _, err := db.Walk(t.Context(), epoch0); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(told(t, db, e)); n != walkStamps {
			t.Fatalf("one step told of %d stamps", n)
		}
		chain.back(2)
		walkAll(t, db)
		if n := len(told(t, db, e)); n != 2*walkStamps {
			t.Errorf("%d notices, want %d confirmations and as many withdrawals", n, walkStamps)
		}
		chain.block(map[string]logtree.Head{"tx1": head(t, db)})
		chain.block(nil)
		walkAll(t, db)
		counts := map[string]int{}
		for _, line := range told(t, db, e) {
			counts[line]++
		}
		confirmed := 0
		for line, n := range counts {
			if n != 1 {
				t.Errorf("%d times %s", n, line)
			}
			if line[0] == 'c' {
				confirmed++
			}
		}
		if confirmed != walkStamps+50 {
			t.Errorf("%d stamps were confirmed, want all %d", confirmed, walkStamps+50)
		}
	})
}

// The failure table of the walk: every commit lost, and happened but reported as failed, each then tried again on
// the same process and on one that was started again.
func TestWalkFailureTable(t *testing.T) {
	lost := errors.New("I/O error")
	faults := []func(transaction) error{
		func(t transaction) error { return errors.Join(lost, t.Rollback()) },
		func(t transaction) error {
			if err := t.Commit(); err != nil {
				return err
			}
			return lost
		},
	}
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		db := open(Options{EpochEntries: 10})
		chain := newTestChain(t, db, "bitcoin")
		a, b := newAccount(t, db, "a@example.org"), newAccount(t, db, "b@example.org")
		e := listen(t, db, a.ID, notify.Set(notify.Confirmed, notify.Withdrawn))
		other := listen(t, db, b.ID, notify.Set(notify.Confirmed))
		signer, key := newSigner(t, db, b.ID)
		signer.Callback = "https://b.test/"
		signer, err := db.AddSigner(t.Context(), epoch0, signer)
		if err != nil {
			t.Fatal(err)
		}
		// walk walks with a fault in every other commit.
		round := 0
		walk := func() {
			t.Helper()
			for steps := 0; ; steps++ {
				if steps > 1000 {
					t.Fatal("the walk does not end")
				}
				round++
				db.commit = faults[round/2%2]
				if round%2 == 0 {
					db.commit = transaction.Commit
				}
				more, err := db.Walk(t.Context(), epoch0)
				db.commit = transaction.Commit
				if err != nil && !errors.Is(err, lost) {
					t.Fatal(err)
				}
				if round%11 == 0 {
					db.Close()
					db = open(Options{EpochEntries: 10})
					chain.db = db
				}
				if err == nil && !more {
					return
				}
			}
		}
		var want, wantOther, wantCalled, wantMailed []string
		for n := range 8 {
			keep(t, db, a, 10*n, 10*n+1)
			keep(t, db, b, 10*n+2)
			var creates []account.Create
			for i := range 3 {
				c := signedCreate(signer, key, fmt.Append(nil, 10*n+i), 1000)
				if i > 0 {
					c.Signed.Email = "to@example.org"
					wantMailed = append(wantMailed, fmt.Sprintf("to@example.org complete %d ", 10*n+i))
				}
				creates = append(creates, c)
				wantCalled = append(wantCalled, fmt.Sprintf("https://b.test/ attested %d bitcoin", 10*n+i))
			}
			if _, err := db.AppendStamps(t.Context(), epoch0, creates); err != nil {
				t.Fatal(err)
			}
			// An epoch may have ended meanwhile: its last head is attested as well.
			heads := map[string]logtree.Head{fmt.Sprintf("tx%d", n): head(t, db)}
			ended, err := db.EndedEpochs(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, h := range ended {
				heads[fmt.Sprintf("end%d", h.Epoch)] = h
			}
			for ref := range heads {
				if slices.ContainsFunc(chain.blocks, func(b ledger.Observed) bool {
					return slices.ContainsFunc(b.Mined, func(a logtree.Attestation) bool { return a.Ref == ref })
				}) {
					delete(heads, ref)
				}
			}
			chain.block(heads)
			chain.block(nil)
			walk()
			want = append(want, fmt.Sprint("confirmed ", 10*n), fmt.Sprint("confirmed ", 10*n+1))
			wantOther = append(wantOther, fmt.Sprint("confirmed ", 10*n+2))
		}
		sorted := func(lines []string) []string { slices.Sort(lines); return lines }
		same(t, "confirmed", sorted(told(t, db, e)), sorted(want))
		same(t, "another account", sorted(told(t, db, other)), sorted(wantOther))
		called := func(when string) {
			t.Helper()
			same(t, when+", by callback", sorted(toldSigned(t, db, notify.Callback)), sorted(wantCalled))
			same(t, when+", by e-mail", sorted(toldSigned(t, db, notify.Receipt)), sorted(wantMailed))
		}
		called("confirmed")
		chain.back(len(chain.blocks) - 1)
		walk()
		for _, line := range slices.Clone(want) {
			want = append(want, "withdrawn"+line[len("confirmed"):])
		}
		same(t, "withdrawn", sorted(told(t, db, e)), sorted(want))
		called("withdrawn")
		if wrong, err := db.CheckNotices(t.Context(), 10); err != nil || wrong != nil {
			t.Errorf("fsck finds %v, %v", wrong, err)
		}
	})
}

// Two nodes walk at the same time, one of which has lost the lease: nothing is told twice.
func TestWalkWithAStaleLease(t *testing.T) {
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		ctx := t.Context()
		db := open(Options{})
		chain := newTestChain(t, db, "bitcoin")
		a := newAccount(t, db, "a@example.org")
		e := listen(t, db, a.ID, notify.Set(notify.Confirmed))
		keep(t, db, a, 1, 2, 3)
		chain.confirm("tx1")
		stale, err := db.TakeLease(ctx, "notices", "a", -time.Second)
		if err != nil {
			t.Fatal(err)
		}
		good, err := db.TakeLease(ctx, "notices", "b", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Under(stale).Walk(ctx, epoch0); !errors.Is(err, ErrLeaseLost) {
			t.Errorf("a stale lease: %v", err)
		}
		same(t, "by a stale lease", told(t, db, e), []string{})
		done := make(chan error)
		go func() { _, err := db.Under(stale).Walk(ctx, epoch0); done <- err }()
		walkAll(t, db.Under(good))
		if err := <-done; err != nil && !errors.Is(err, ErrLeaseLost) {
			t.Error(err)
		}
		same(t, "by a good lease", told(t, db, e), []string{"confirmed 1", "confirmed 2", "confirmed 3"})
		result := notify.Result{Delivery: 1, Endpoint: e.ID, At: epoch0, Done: true}
		if err := db.Under(stale).SaveResults(ctx, []notify.Result{result}); !errors.Is(err, ErrLeaseLost) {
			t.Errorf("results under a stale lease: %v", err)
		}
	})
}

// Without a lease two walks at the same time tell nothing twice either.
func TestRacingWalks(t *testing.T) {
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		db := open(Options{})
		chain := newTestChain(t, db, "bitcoin")
		a := newAccount(t, db, "a@example.org")
		e := listen(t, db, a.ID, notify.Set(notify.Confirmed, notify.Upgraded))
		var want []string
		for n := range 10 {
			keep(t, db, a, n)
			want = append(want, fmt.Sprint("confirmed ", n), fmt.Sprint("upgraded ", n))
		}
		chain.confirm("tx1")
		errs := make(chan error)
		for range 4 {
			go func() {
				for range 10 {
					if _, err := db.Walk(context.WithoutCancel(t.Context()), epoch0); err != nil {
						errs <- err
						return
					}
				}
				errs <- nil
			}()
		}
		for range 4 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		walkAll(t, db)
		same(t, "racing", told(t, db, e), want)
	})
}

func TestTroubles(t *testing.T) {
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		ctx := t.Context()
		db := open(Options{})
		operator := notify.Endpoint{Channel: notify.Webhook, Address: "https://operator.test/"}
		for range 2 { // the second time nothing changes
			if err := db.SetOperator(ctx, epoch0, []notify.Endpoint{operator}); err != nil {
				t.Fatal(err)
			}
		}
		listening, err := db.Endpoints(ctx, 0, 10)
		if err != nil || len(listening) != 1 {
			t.Fatal(listening, err)
		}
		now := epoch0
		poll := func(code anchor.Code, after time.Duration) {
			t.Helper()
			now = now.Add(after)
			if err := db.SaveStatus(ctx, now, anchor.Status{Target: "bitcoin", Code: code, Message: "A sentence about " + string(code) + "."}); err != nil {
				t.Fatal(err)
			}
			if err := db.WalkTroubles(ctx, now, 2*time.Minute); err != nil {
				t.Fatal(err)
			}
		}
		check := func(want ...string) {
			t.Helper()
			all, _, err := db.Deliveries(ctx, notify.Filter{}, 100)
			if err != nil {
				t.Fatal(err)
			}
			got := []string{}
			for _, d := range slices.Backward(all) {
				got = append(got, d.Notice.Target+" "+d.Notice.Ref)
				if d.Notice.Message != "A sentence about "+d.Notice.Ref+"." {
					t.Errorf("message %q", d.Notice.Message)
				}
			}
			same(t, "troubles", got, append([]string{}, want...))
		}
		poll(anchor.OK, 0)
		poll(anchor.OK, time.Hour)
		check()
		poll(anchor.NodeDown, time.Second)
		poll(anchor.OK, time.Minute) // it did not last
		poll(anchor.OK, time.Hour)
		check()
		poll(anchor.NoFunds, time.Second)
		for range 10 {
			poll(anchor.NoFunds, time.Minute)
		}
		check("bitcoin no_funds")
		poll(anchor.OK, time.Second)
		check("bitcoin no_funds")
		poll(anchor.OK, 2*time.Minute)
		check("bitcoin no_funds", "bitcoin ok")
		// The operator names another address.
		operator.Address = "https://other.test/"
		if err := db.SetOperator(ctx, now, []notify.Endpoint{operator}); err != nil {
			t.Fatal(err)
		}
		check()
	})
}

// However many register at the same time, the limit holds.
func TestRacingRegistrations(t *testing.T) {
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		db := open(Options{})
		a := newAccount(t, db, "a@example.org")
		const limit = 3
		errs := make(chan error)
		for range 3 * limit {
			go func() {
				e := notify.Endpoint{UID: account.NewID(), Account: a.ID, Channel: notify.Webhook, Address: "https://hooks.test/", Kinds: allKinds, Secret: []byte{1}}
				_, err := db.AddEndpoint(context.WithoutCancel(t.Context()), epoch0, e, EndpointLimits{Wide: limit, Stamp: 1, All: 10})
				errs <- err
			}()
		}
		made := 0
		for range 3 * limit {
			if err := <-errs; err == nil {
				made++
			} else if !errors.Is(err, notify.ErrLimit) {
				t.Error(err)
			}
		}
		all, err := db.Endpoints(t.Context(), a.ID, 100)
		if err != nil || made != limit || len(all) != limit {
			t.Errorf("%d were registered and %d are there, want %d; %v", made, len(all), limit, err)
		}
		if err := db.DeleteEndpoint(t.Context(), a.ID, all[0].UID); err != nil {
			t.Fatal(err)
		}
		if _, err := db.AddEndpoint(t.Context(), epoch0, all[0], EndpointLimits{Wide: limit, Stamp: 1, All: 10}); err == nil {
			t.Error("an id was given out twice")
		}
		all[0].UID = account.NewID()
		if _, err := db.AddEndpoint(t.Context(), epoch0, all[0], EndpointLimits{Wide: limit, Stamp: 1, All: 10}); err != nil {
			t.Errorf("after one was deleted: %v", err)
		}
	})
}
