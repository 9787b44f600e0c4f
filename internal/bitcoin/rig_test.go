package bitcoin_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/bitcoin"
	"github.com/datestone/datestone/internal/bitcoin/ledger"
	"github.com/datestone/datestone/internal/devchain"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/store"
	"github.com/datestone/datestone/internal/testpg"
	"github.com/datestone/datestone/ots"
)

// rig is a log, a chain, and a target between them, stepped by hand on a clock of its own.
type rig struct {
	promisedFee int64 // that a kept promise may cost
	promises    bitcoin.Promises
	seeds       *seeds // that the target carries; nil for none
	t           testing.TB
	chain       *devchain.Chain
	db          *store.DB
	faulty      *faultyStore
	config      bitcoin.Config
	epochs      int64
	path        string
	target      *bitcoin.Target
	loop        *anchor.Loop
	now         time.Time
	asking      atomic.Bool // the rig itself asks the chain
	logged      bytes.Buffer

	// cut, when set, is asked of each call whether the connection breaks before or after it is done.
	cut atomic.Pointer[func(method string) (before, after bool)]
}

// cutting is the chain's RPC on a line that breaks as cut says.
func (r *rig) cutting(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		cut := r.cut.Load()
		if cut == nil {
			next.ServeHTTP(w, request)
			return
		}
		body, err := io.ReadAll(request.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		var call struct{ Method string }
		before, after := false, false
		if json.Unmarshal(body, &call) == nil {
			before, after = (*cut)(call.Method)
		}
		if before {
			panic(http.ErrAbortHandler)
		}
		request.Body = io.NopCloser(bytes.NewReader(body))
		done := httptest.NewRecorder()
		next.ServeHTTP(done, request)
		if after {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(done.Code)
		w.Write(done.Body.Bytes())
	})
}

const name = "bitcoin"

// overPostgres begins the names of tests whose store is PostgreSQL.
const overPostgres = "TestOverPostgres/"

// place is where the store of a test is.
func place(t testing.TB, file string) string {
	if strings.HasPrefix(t.Name(), overPostgres) {
		return testpg.Shared(t).NewDatabase(t)
	}
	return file
}

// TestOverPostgres runs what is hard on the store over PostgreSQL as well.
func TestOverPostgres(t *testing.T) {
	for name, test := range map[string]func(*testing.T){
		"GenerationsReturn":  TestGenerationsReturn,
		"ReplacedOneIsMined": TestReplacedOneIsMined, "ForeignConflict": TestForeignConflict, "BehindAndStaleFork": TestBehindAndStaleFork,
		"Recovery": TestRecovery, "Epochs": TestEpochs, "FeeCaps": TestFeeCaps, "ReorgBelowTheBeginning": TestReorgBelowTheBeginning,
	} {
		t.Run(name, test)
	}
	for seed := range uint64(2) {
		t.Run(fmt.Sprintf("Storm/%d", seed), func(t *testing.T) {
			t.Parallel()
			storm(t, rand.New(rand.NewPCG(seed, 7)))
		})
	}
}

// newRig makes a rig with an empty wallet on a chain of 110 blocks.
func newRig(t testing.TB, change func(*rig)) *rig {
	t.Helper()
	chain, err := devchain.Open("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { chain.Close() })
	dir := t.TempDir()
	r := &rig{t: t, chain: chain, path: place(t, filepath.Join(dir, "datestone.db")), now: time.Unix(1_800_000_000, 0).UTC()}
	server := httptest.NewServer(r.cutting(chain.Handler("user", "secret")))
	t.Cleanup(server.Close)
	r.config = bitcoin.Config{
		Network: "regtest", RPCURL: server.URL, RPCUser: "user", RPCPassword: "secret", KeyFile: filepath.Join(dir, "key"),
		Interval: bitcoin.Duration(time.Minute), Resend: bitcoin.Duration(time.Second), Confirmations: 6,
	}
	if change != nil {
		change(r)
	}
	if err := bitcoin.GenerateKeyFile(r.config.KeyFile); err != nil {
		t.Fatal(err)
	}
	r.mine(110)
	r.open()
	t.Cleanup(func() { r.db.Close() })
	return r
}

// open opens the database and makes a target and its loop, as a start of the process does.
func (r *rig) open() {
	r.t.Helper()
	var err error
	if r.db, err = store.Open(r.t.Context(), r.path, store.Options{EpochEntries: r.epochs}); err != nil {
		r.t.Fatal(err)
	}
	r.faulty = &faultyStore{DB: r.db}
	r.start()
}

func (r *rig) start() {
	r.t.Helper()
	log := slog.New(slog.NewTextHandler(io.MultiWriter(testLog{r.t}, &r.logged), nil))
	var err error
	if r.target, err = bitcoin.New(name, r.config, r.faulty, log); err != nil {
		r.t.Fatal(err)
	}
	r.target.Keep(r.promises)
	r.t.Cleanup(r.target.Close)
	o := anchor.Options{Log: log}
	if r.seeds != nil {
		r.target.CarrySeeds()
		r.seeds.db = r.db
		o.Seeds = r.seeds
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

// newTwin is a rig with the same chain and key and a database of its own.
func newTwin(r *rig) *rig {
	r.t.Helper()
	twin := &rig{t: r.t, chain: r.chain, path: place(r.t, filepath.Join(r.t.TempDir(), "twin.db")), now: r.now, config: r.config}
	twin.open()
	r.t.Cleanup(func() { twin.db.Close() })
	return twin
}

type testLog struct{ t testing.TB }

func (l testLog) Write(b []byte) (int, error) {
	l.t.Log(string(bytes.TrimSpace(b)))
	return len(b), nil
}

// append adds entries to the log.
func (r *rig) append(n int) {
	r.t.Helper()
	for range n {
		var tip [32]byte
		for i := range tip {
			tip[i] = byte(rand.Uint32())
		}
		if _, err := r.db.Append(r.t.Context(), r.now, [][32]byte{tip}); err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r *rig) mine(n int) {
	r.t.Helper()
	if _, err := r.chain.Mine(n); err != nil {
		r.t.Fatal(err)
	}
}

// try makes a step a little later and checks all promises. A step that had no time to read all blocks,
// as on a slow machine, goes on at once, as in Loop.Run.
func (r *rig) try() error {
	r.t.Helper()
	r.now = r.now.Add(2 * time.Second)
	err := r.loop.Step(r.t.Context(), r.now)
	r.check()
	for range 100 {
		if anchor.CodeOf(err) != anchor.Scanning {
			break
		}
		err = r.loop.Step(r.t.Context(), r.now)
		r.check()
	}
	return err
}

// step makes a step that must be in order.
func (r *rig) step() {
	r.t.Helper()
	if err := r.try(); err != nil {
		r.t.Fatalf("step: %v", err)
	}
}

// want makes a step that must end in this state.
func (r *rig) want(code anchor.Code) {
	r.t.Helper()
	if err := r.try(); anchor.CodeOf(err) != code {
		r.t.Fatalf("the step ended with %q (%v), want %q", anchor.CodeOf(err), err, code)
	}
	if s := r.status(); s.Code != code || s.Message == "" {
		r.t.Fatalf("the stored status says %q: %q, want %q", s.Code, s.Message, code)
	}
}

// later lets the interval between transactions pass.
func (r *rig) later() { r.now = r.now.Add(2 * time.Duration(r.config.Interval)) }

func (r *rig) status() anchor.Status {
	r.t.Helper()
	all, err := r.db.Targets(r.t.Context())
	if err != nil || len(all) != 1 {
		r.t.Fatalf("reading the status: %v %v", all, err)
	}
	return all[0]
}

// fund pays to the wallet and confirms it.
func (r *rig) fund(amount int64) {
	r.t.Helper()
	if r.target == nil {
		r.t.Fatal("no target")
	}
	s, err := r.target.Status(r.t.Context(), r.now)
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.chain.Faucet(s.Address, amount); err != nil {
		r.t.Fatal(err)
	}
	r.mine(1)
}

func (r *rig) attempts() []anchor.Attempt {
	r.t.Helper()
	all, err := r.db.Attempts(r.t.Context(), name, time.Time{})
	if err != nil {
		r.t.Fatal(err)
	}
	return all
}

// only is the one attempt that there is.
func (r *rig) only() anchor.Attempt {
	r.t.Helper()
	all := r.attempts()
	if len(all) != 1 {
		r.t.Fatalf("there are %d attempts, want 1", len(all))
	}
	return all[0]
}

func (r *rig) attestations() map[string]logtree.Attestation {
	r.t.Helper()
	all, err := r.db.AllAttestations(r.t.Context(), 0, 10_000)
	if err != nil {
		r.t.Fatal(err)
	}
	byRef := make(map[string]logtree.Attestation)
	for _, a := range all {
		byRef[a.Ref] = a
	}
	return byRef
}

// counted wants the attestation of this transaction to be in this state.
func (r *rig) wantState(ref string, state logtree.AttestationState) logtree.Attestation {
	r.t.Helper()
	a, ok := r.attestations()[ref]
	if !ok || a.State != state {
		r.t.Fatalf("the attestation of %s is %+v (found: %v), want state %d", ref, a.State, ok, state)
	}
	return a
}

func (r *rig) mempool() []string {
	r.t.Helper()
	var ids []string
	r.call(&ids, "getrawmempool")
	return ids
}

func (r *rig) inMempool(ref string) bool {
	for _, id := range r.mempool() {
		if id == ref {
			return true
		}
	}
	return false
}

// call asks the chain itself, past any fault that is injected into its RPC.
func (r *rig) call(out any, method string, params ...any) {
	r.t.Helper()
	in, err := json.Marshal(params)
	if err != nil {
		r.t.Fatal(err)
	}
	if params == nil {
		in = []byte("[]")
	}
	r.asking.Store(true)
	defer r.asking.Store(false)
	reply, err := r.chain.Call(context.Background(), method, in)
	if err != nil {
		r.t.Fatalf("%s: %v", method, err)
	}
	b, err := json.Marshal(reply)
	if err == nil {
		err = json.Unmarshal(b, out)
	}
	if err != nil {
		r.t.Fatalf("%s: %v", method, err)
	}
}

// intercept lets hook answer the target's calls; nil ends that.
func (r *rig) intercept(hook func(method string) error) {
	r.chain.Intercept(func(method string) error {
		if hook == nil || r.asking.Load() {
			return nil
		}
		return hook(method)
	})
}

func decodeTx(t testing.TB, raw []byte) *wire.MsgTx {
	t.Helper()
	tx := new(wire.MsgTx)
	if err := tx.Deserialize(bytes.NewReader(raw)); err != nil {
		t.Fatal(err)
	}
	return tx
}

// check recomputes what must be true after every step, whatever happened.
func (r *rig) check() {
	r.t.Helper()
	ctx := r.t.Context()
	stored, err := r.db.Chain(ctx, name)
	if err != nil {
		r.t.Fatal(err)
	}
	mined := make(map[string]int) // by set
	sets := make(map[string]string)
	attempts := make(map[string]anchor.Attempt)
	for _, a := range r.attempts() {
		attempts[a.Ref] = a
		tx := decodeTx(r.t, a.Raw)
		r.checkAttempt(a, tx)
		r.checkApart(a, attempts)
		sets[a.Ref] = a.Set()
		if a.State == anchor.Mined || a.State == anchor.Settled {
			mined[a.Set()]++
		}
	}
	for set, n := range mined {
		if n > 1 {
			r.t.Errorf("%d attempts of the set %s are mined", n, set)
		}
	}
	// An attempt is stored before it is sent: whoever else pays here spends no coin of ours.
	for _, id := range r.mempool() {
		r.checkOurs(id, attempts)
	}
	for ref, a := range r.attestations() {
		r.checkAttestation(ref, a, stored)
	}
}

func (r *rig) checkAttempt(a anchor.Attempt, tx *wire.MsgTx) {
	r.t.Helper()
	data := append([]byte{0x6a, 32}, a.Head.Root[:]...)
	if tx.TxID() != a.Ref || !bytes.Equal(tx.TxOut[0].PkScript, data) || tx.TxOut[0].Value != 0 || len(tx.TxOut) > 3 || len(tx.TxOut) == 3 && r.seeds == nil {
		r.t.Errorf("attempt %d is not a transaction with its head", a.ID)
	}
	for i, in := range tx.TxIn {
		if outpoint := ledger.Outpoint(in.PreviousOutPoint.Hash.String(), in.PreviousOutPoint.Index); i == 0 && outpoint != a.Set() {
			r.t.Errorf("attempt %d spends %s first, and its set is %s", a.ID, outpoint, a.Set())
		}
		if in.Sequence >= wire.MaxTxInSequenceNum-1 {
			r.t.Errorf("attempt %d cannot be replaced", a.ID)
		}
	}
	if len(tx.TxIn) != len(a.Uses) {
		r.t.Errorf("attempt %d has %d inputs and uses %d coins", a.ID, len(tx.TxIn), len(a.Uses))
	}
	if a.Purpose == anchor.PurposeSeed {
		if !slices.Contains(r.seeds.made, a.Head) {
			r.t.Errorf("attempt %d carries what is no seed", a.ID)
		}
	} else if root, err := r.db.Nodes(r.t.Context(), a.Head.Epoch).Root(a.Head.Size); err != nil || root != a.Head.Root {
		r.t.Errorf("attempt %d carries what is no head: %v", a.ID, err)
	}
	most := r.config.MaxFee
	if most == 0 {
		most = 20_000
	}
	most = max(most, r.promisedFee)
	if a.Fee <= 0 || a.Fee > most {
		r.t.Errorf("attempt %d costs %d satoshi, and %d is the most", a.ID, a.Fee, most)
	}
}

func (r *rig) checkOurs(id string, attempts map[string]anchor.Attempt) {
	r.t.Helper()
	for _, out := range r.raw(id).TxOut {
		if len(out.PkScript) == 34 && out.PkScript[0] == 0x6a {
			if _, ok := attempts[id]; !ok {
				r.t.Errorf("transaction %s was sent and is not stored", id)
			}
		}
	}
}

// checkAttestation checks that the path of an attestation recomputes, and that one that is not
// withdrawn is in the chain as it was followed, at the depth that its state says.
func (r *rig) checkAttestation(ref string, a logtree.Attestation, stored ledger.Chain) {
	r.t.Helper()
	var text string
	r.call(&text, "getblockheader", chainhash.Hash(a.BlockHash).String(), false)
	raw, err := hex.DecodeString(text)
	if err != nil {
		r.t.Fatal(err)
	}
	header, err := ots.ParseHeader(raw)
	if err != nil {
		r.t.Fatal(err)
	}
	ts, err := ots.ParseTimestamp(a.Proof, 32)
	if err != nil {
		r.t.Errorf("the proof of %s: %v", ref, err)
		return
	}
	found := 0
	err = ts.Walk(a.Head.Root[:], func(n *ots.Timestamp, msg []byte) error {
		for _, att := range n.Attestations() {
			found++
			at, err := att.VerifyHeader(msg, header)
			if err != nil {
				return err
			}
			if height, ok := att.Height(); !ok || int64(height) != a.Height || !at.Equal(a.BlockTime) {
				return fmt.Errorf("height %d and time %v, want %d and %v", height, at, a.Height, a.BlockTime)
			}
		}
		return nil
	})
	if err != nil || found != 1 {
		r.t.Errorf("the proof of %s: %d attestations, %v", ref, found, err)
	}
	if a.State == logtree.Withdrawn {
		return
	}
	b, err := r.db.BlockAt(r.t.Context(), name, a.Height)
	if err != nil || b.Hash != a.BlockHash {
		r.t.Errorf("the attestation of %s is in state %d and its block is not in the followed chain: %v", ref, a.State, err)
	}
	depth := stored.Best.Height - a.Height + 1
	if a.State == logtree.Mined && depth >= int64(r.config.Confirmations) && stored.Best.Work == stored.MostWork {
		r.t.Errorf("the attestation of %s is %d deep and does not count", ref, depth)
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

func (s *faultyStore) PinTarget(ctx context.Context, now time.Time, target, genesis string) (out string, err error) {
	err = s.inject("PinTarget", func() error { out, err = s.DB.PinTarget(ctx, now, target, genesis); return err })
	return out, err
}

func (s *faultyStore) StartChain(ctx context.Context, now time.Time, target string, base ledger.Block, coins []ledger.Coin) error {
	return s.inject("StartChain", func() error { return s.DB.StartChain(ctx, now, target, base, coins) })
}

func (s *faultyStore) ConnectBlock(ctx context.Context, now time.Time, target string, b ledger.Observed, depth int64) (out []logtree.Attestation, err error) {
	err = s.inject("ConnectBlock", func() error { out, err = s.DB.ConnectBlock(ctx, now, target, b, depth); return err })
	return out, err
}

func (s *faultyStore) DisconnectBlock(ctx context.Context, now time.Time, target string, b ledger.Block) (out []logtree.Attestation, err error) {
	err = s.inject("DisconnectBlock", func() error { out, err = s.DB.DisconnectBlock(ctx, now, target, b); return err })
	return out, err
}

// raw is a transaction that the chain knows.
func (r *rig) raw(id string) *wire.MsgTx {
	r.t.Helper()
	var text string
	r.call(&text, "getrawtransaction", id)
	b, err := hex.DecodeString(text)
	if err != nil {
		r.t.Fatal(err)
	}
	return decodeTx(r.t, b)
}

// script is the output script of an address.
func (r *rig) script(to string) []byte {
	r.t.Helper()
	a, err := address.DecodeAddress(to, &chaincfg.RegressionNetParams)
	if err != nil {
		r.t.Fatal(err)
	}
	script, err := txscript.PayToAddrScript(a)
	if err != nil {
		r.t.Fatal(err)
	}
	return script
}
