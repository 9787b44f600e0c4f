package ethereum

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/fsck"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/store"
	"github.com/datestone/datestone/internal/testnode"
	"github.com/datestone/datestone/internal/testpg"
)

const name = "anvil"

// rig is a log, a real chain, and a target between them, stepped by hand on a clock of its own.
type rig struct {
	t      testing.TB
	chain  *testnode.Ethereum
	path   string
	db     *store.DB
	faulty *faultyStore
	config Config
	target *Target
	loop   *anchor.Loop
	now    time.Time
	tips   int
	logged bytes.Buffer
	broken bool // fsck may find the chain unreachable or another
}

func newRig(t testing.TB, change func(*Config), args ...string) *rig {
	t.Helper()
	chain := testnode.Anvil(t, args...)
	r := &rig{t: t, chain: chain, path: filepath.Join(t.TempDir(), "datestone.db"), now: time.Unix(1_790_000_000, 0).UTC()}
	if strings.HasPrefix(t.Name(), "TestOverPostgres/") {
		r.path = testpg.Shared(t).NewDatabase(t)
	}
	r.config = testConfig(t, chain)
	if change != nil {
		change(&r.config)
	}
	if r.config.Finalized {
		r.config.Confirmations = 0
	}
	r.chain.Mine(t, 1)
	r.open()
	t.Cleanup(func() { r.db.Close() })
	return r
}

func testConfig(t testing.TB, chain *testnode.Ethereum) Config {
	return Config{
		Name: name, ChainID: 31337, RPCURL: chain.URL, KeyFile: keyFile(t, testKey), Confirmations: 3,
		Interval: Duration(time.Minute), Resend: Duration(time.Second), ReplaceAfter: Duration(time.Minute),
	}
}

// newRigOn is a rig on a chain that runs already, with a database of its own.
func newRigOn(t testing.TB, chain *testnode.Ethereum) *rig {
	t.Helper()
	r := &rig{t: t, chain: chain, path: filepath.Join(t.TempDir(), "datestone.db"), now: time.Unix(1_790_000_000, 0).UTC(), config: testConfig(t, chain)}
	r.config.Currency = 1
	chain.Mine(t, 1)
	r.open()
	return r
}

// open opens the database and makes a target and its loop, as a start of the process does.
func (r *rig) open() {
	r.t.Helper()
	var err error
	if r.db, err = store.Open(r.t.Context(), r.path, store.Options{}); err != nil {
		r.t.Fatal(err)
	}
	r.faulty = &faultyStore{DB: r.db}
	r.start()
}

func (r *rig) start() {
	r.t.Helper()
	log := slog.New(slog.NewTextHandler(io.MultiWriter(testLog{r.t}, &r.logged), nil))
	var err error
	if r.target, err = New(r.config, r.faulty, log); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(r.target.Close)
	o := anchor.Options{Log: log}
	if r.config.Currency != 0 {
		o.Seeds = r.db
	}
	r.loop = anchor.New(name, r.target, r.faulty, o)
}

func (r *rig) restart() {
	r.t.Helper()
	if err := r.db.Close(); err != nil {
		r.t.Fatal(err)
	}
	r.open()
}

type testLog struct{ t testing.TB }

func (l testLog) Write(b []byte) (int, error) {
	if l.t.Name() == "TestFailureTable" {
		return len(b), nil // the same story many times
	}
	l.t.Log(string(bytes.TrimSpace(b)))
	return len(b), nil
}

// append adds an entry to the log.
func (r *rig) append() {
	r.t.Helper()
	r.tips++
	if _, err := r.db.Append(r.t.Context(), r.now, [][32]byte{sha256.Sum256(fmt.Append(nil, r.tips))}); err != nil {
		r.t.Fatal(err)
	}
}

// try makes a step a little later, and then checks all that is stored: against the node when the step was in order.
func (r *rig) try() error {
	r.t.Helper()
	r.now = r.now.Add(2 * time.Second)
	err := r.loop.Step(r.t.Context(), r.now)
	r.check(err == nil && !r.broken)
	return err
}

func (r *rig) step() {
	r.t.Helper()
	if err := r.try(); err != nil {
		r.t.Fatalf("step: %v", err)
	}
}

// want makes a step that must end in this state, in words that have these in them.
func (r *rig) want(code anchor.Code, words string) {
	r.t.Helper()
	if err := r.try(); anchor.CodeOf(err) != code {
		r.t.Fatalf("the step ended with %q (%v), want %q", anchor.CodeOf(err), err, code)
	}
	all, err := r.db.Targets(r.t.Context())
	if err != nil || len(all) != 1 {
		r.t.Fatalf("reading the status: %v %v", all, err)
	}
	if s := all[0]; s.Code != code || !strings.Contains(s.Message, words) {
		r.t.Fatalf("the stored status says %q: %q, want %q with %q", s.Code, s.Message, code, words)
	}
}

// later lets the interval between transactions pass.
func (r *rig) later() { r.now = r.now.Add(2 * time.Duration(r.config.Interval)) }

func (r *rig) attempts() []anchor.Attempt {
	r.t.Helper()
	all, err := r.db.Attempts(r.t.Context(), name, time.Time{})
	if err != nil {
		r.t.Fatal(err)
	}
	return all
}

// last is the newest of so many attempts.
func (r *rig) last(count int) anchor.Attempt {
	r.t.Helper()
	all := r.attempts()
	if len(all) != count {
		r.t.Fatalf("there are %d attempts, want %d", len(all), count)
	}
	return all[count-1]
}

func (r *rig) wantState(ref string, state logtree.AttestationState) logtree.Attestation {
	r.t.Helper()
	a, err := r.db.AttestationOf(r.t.Context(), name, ref)
	if err != nil || a.State != state {
		r.t.Fatalf("the attestation of %s is in state %d, %v; want %d", ref, a.State, err, state)
	}
	return a
}

// pending says whether the node has the transaction, in no block.
func (r *rig) pending(ref string) bool {
	r.t.Helper()
	var tx *struct{ BlockHash *string }
	r.chain.Must(r.t, &tx, "eth_getTransactionByHash", ref)
	return tx != nil && tx.BlockHash == nil
}

// check recomputes everything that is stored, and compares it with the node's chain.
func (r *rig) check(online bool) {
	r.t.Helper()
	o := fsck.Options{}
	if online {
		audit, err := NewAudit(r.config)
		if err != nil {
			r.t.Fatal(err)
		}
		defer audit.Close()
		o.Chains = map[string]fsck.Chain{name: audit}
	}
	report, err := fsck.Check(r.t.Context(), r.db, o)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, p := range report.Problems {
		r.t.Errorf("fsck: %v", p)
	}
	mined := map[string]int{}
	for _, a := range r.attempts() {
		if a.State == anchor.Mined || a.State == anchor.Settled {
			mined[a.Set()]++
		}
		tx, from, err := parseTransaction(a.Raw)
		if err != nil || from != r.target.from || tx.to != r.target.to {
			r.t.Errorf("attempt %d is from %v to %v, %v", a.ID, from, tx.to, err)
		}
		if most := cost(tx.gas, tx.offer.price); most > r.target.config.MaxFee {
			r.t.Errorf("attempt %d may cost %d gwei, above the cap of %d", a.ID, most, r.target.config.MaxFee)
		}
	}
	for set, n := range mined {
		if n > 1 {
			r.t.Errorf("%d attempts of the set %s are mined", n, set)
		}
	}
}

// faultyStore is a store of which one writing verb fails once: before it happens, or after.
type faultyStore struct {
	*store.DB
	verb    string
	happens bool // the verb happens, and fails all the same
	skip    int  // so often it works first
	hits    int
}

var errInjected = errors.New("injected: the disk is full")

func (s *faultyStore) inject(verb string, f func() error) error {
	if s.verb != verb || s.hits > 0 {
		return f()
	}
	if s.skip > 0 {
		s.skip--
		return f()
	}
	s.hits++
	if s.happens {
		if err := f(); err != nil {
			return err
		}
	}
	return errInjected
}

func (s *faultyStore) SaveAttempt(ctx context.Context, now time.Time, a anchor.Attempt) (out anchor.Attempt, err error) {
	err = s.inject("SaveAttempt", func() error { out, err = s.DB.SaveAttempt(ctx, now, a); return err })
	return out, err
}

func (s *faultyStore) SaveStatus(ctx context.Context, now time.Time, st anchor.Status) error {
	return s.inject("SaveStatus", func() error { return s.DB.SaveStatus(ctx, now, st) })
}

func (s *faultyStore) MarkSent(ctx context.Context, now time.Time, id int64) error {
	return s.inject("MarkSent", func() error { return s.DB.MarkSent(ctx, now, id) })
}

func (s *faultyStore) PinTarget(ctx context.Context, now time.Time, target, chain string) (out string, err error) {
	err = s.inject("PinTarget", func() error { out, err = s.DB.PinTarget(ctx, now, target, chain); return err })
	return out, err
}

func (s *faultyStore) Confirm(ctx context.Context, now time.Time, target string, a logtree.Attestation, fee int64) error {
	return s.inject("Confirm", func() error { return s.DB.Confirm(ctx, now, target, a, fee) })
}

func (s *faultyStore) Settle(ctx context.Context, now time.Time, target string, tip, deep int64) (out []logtree.Attestation, err error) {
	err = s.inject("Settle", func() error { out, err = s.DB.Settle(ctx, now, target, tip, deep); return err })
	return out, err
}

func (s *faultyStore) Withdraw(ctx context.Context, now time.Time, target string, height int64, block [32]byte) (out []logtree.Attestation, err error) {
	err = s.inject("Withdraw", func() error { out, err = s.DB.Withdraw(ctx, now, target, height, block); return err })
	return out, err
}

func (s *faultyStore) Abandon(ctx context.Context, now time.Time, target, set string, height int64) error {
	return s.inject("Abandon", func() error { return s.DB.Abandon(ctx, now, target, set, height) })
}
