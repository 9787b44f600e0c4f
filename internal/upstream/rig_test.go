package upstream

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/calendar"
	"github.com/datestone/datestone/internal/fsck"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/otscal"
	"github.com/datestone/datestone/internal/store"
	"github.com/datestone/datestone/ots"
	"github.com/datestone/datestone/ots/headers/headerstest"
)

// quiet are the loops' log lines, which no test reads.
var quiet = slog.New(slog.DiscardHandler)

// node is a calendar of ours over a store of its own.
type node struct {
	t    *testing.T
	path string
	db   *store.DB
	cal  *calendar.Calendar
}

func newNode(t *testing.T) *node {
	t.Helper()
	n := &node{t: t, path: filepath.Join(t.TempDir(), "datestone.db")}
	n.open()
	return n
}

func (n *node) open() {
	n.t.Helper()
	var err error
	if n.db, err = store.Open(n.t.Context(), n.path, store.Options{EpochEntries: 40}); err != nil {
		n.t.Fatal(err)
	}
	db := n.db
	n.t.Cleanup(func() { db.Close() })
	n.cal = calendar.New(n.db, calendar.Config{Log: quiet})
}

// add appends entries to the log and returns the last one.
func (n *node) add(count int) logtree.Entry {
	n.t.Helper()
	head, err := n.db.Head(n.t.Context())
	if err != nil {
		n.t.Fatal(err)
	}
	var last logtree.Entry
	for i := range count {
		tip := sha256.Sum256(fmt.Append(nil, head, i))
		entries, err := n.db.Append(n.t.Context(), time.Now(), [][32]byte{tip})
		if err != nil {
			n.t.Fatal(err)
		}
		last = entries[0]
	}
	return last
}

func (n *node) head() logtree.Head {
	n.t.Helper()
	h, err := n.db.Head(n.t.Context())
	if err != nil {
		n.t.Fatal(err)
	}
	return h
}

func (n *node) proof(e logtree.Entry) calendar.Proof {
	n.t.Helper()
	p, err := n.cal.Proof(n.t.Context(), e[:], false)
	if err != nil {
		n.t.Fatal(err)
	}
	return p
}

// found lists the attestations of a proof with their messages.
func (n *node) found(e logtree.Entry) map[string][]byte {
	n.t.Helper()
	all := make(map[string][]byte)
	p := n.proof(e)
	if p.Timestamp == nil {
		return all
	}
	t, err := ots.ParseTimestamp(p.Timestamp, len(e))
	if err != nil {
		n.t.Fatal(err)
	}
	if err := t.Walk(e[:], func(t *ots.Timestamp, msg []byte) error {
		for _, a := range t.Attestations() {
			all[a.String()] = bytes.Clone(msg)
		}
		return nil
	}); err != nil {
		n.t.Fatal(err)
	}
	return all
}

func (n *node) checked() {
	n.t.Helper()
	r, err := fsck.Check(n.t.Context(), n.db, fsck.Options{})
	if err != nil || !r.Clean() {
		n.t.Errorf("fsck: %v, %v", r.Problems, err)
	}
}

// parent is a real calendar that heads are given to. Its Bitcoin target is the test's.
type parent struct {
	*node
	url string

	mu        sync.Mutex // guards what follows
	requests  []string
	open, at  int // requests under way, and the most there ever were
	intercept func(w http.ResponseWriter, r *http.Request) bool
}

func newParent(t *testing.T) *parent {
	t.Helper()
	p := &parent{node: newNode(t)}
	var surface http.Handler
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.requests = append(p.requests, r.Method+" "+r.URL.Path)
		p.open++
		p.at = max(p.at, p.open)
		intercept := p.intercept
		p.mu.Unlock()
		defer func() {
			p.mu.Lock()
			p.open--
			p.mu.Unlock()
		}()
		if intercept == nil || !intercept(w, r) {
			surface.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	p.url = srv.URL
	var err error
	if surface, err = otscal.New(p.cal, p.db, otscal.Config{URI: p.url, Log: quiet}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- p.cal.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		<-done
	})
	if err := p.db.SaveStatus(t.Context(), time.Now(), anchor.Status{Target: "bitcoin", Network: "regtest", TestNetwork: true, Code: anchor.OK, Confirmations: 1}); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *parent) does(f func(w http.ResponseWriter, r *http.Request) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.intercept = f
}

func (p *parent) count(prefix string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.requests {
		if strings.HasPrefix(r, prefix) {
			n++
		}
	}
	return n
}

// carry is a transaction with the root of a head, and the path from the root to the Merkle root of a block of it alone.
func carry(t *testing.T, root [32]byte, lock uint32) (path ots.Path, merkle [32]byte, id string) {
	t.Helper()
	tx := wire.NewMsgTx(2)
	tx.AddTxIn(wire.NewTxIn(&wire.OutPoint{Index: lock}, nil, nil))
	tx.AddTxOut(wire.NewTxOut(0, append([]byte{0x6a, 0x20}, root[:]...)))
	tx.LockTime = lock
	var b bytes.Buffer
	if err := tx.SerializeNoWitness(&b); err != nil {
		t.Fatal(err)
	}
	i := bytes.Index(b.Bytes(), root[:])
	path = ots.Path{}.Prepend(b.Bytes()[:i]).Append(b.Bytes()[i+32:]).SHA256().SHA256()
	msg, err := path.Apply(root[:])
	if err != nil {
		t.Fatal(err)
	}
	return path, [32]byte(msg), tx.TxHash().String()
}

// mine has the parent's newest head in a block, which the parent counts at once, and returns the block's height and the
// transaction.
func (p *parent) mine(chain *headerstest.Chain) (height int64, id string) {
	p.t.Helper()
	head := p.head()
	path, merkle, id := carry(p.t, head.Root, uint32(chain.Tip()))
	height = int64(chain.Mine(merkle))
	p.attest(chain, head, path, height, id)
	return height, id
}

func (p *parent) attest(chain *headerstest.Chain, head logtree.Head, path ots.Path, height int64, id string) {
	p.t.Helper()
	proof, err := ots.New(path, ots.BitcoinAttestation(uint64(height))).AppendBinary(nil)
	if err != nil {
		p.t.Fatal(err)
	}
	h := chain.Header(uint64(min(height, int64(chain.Tip()))))
	if _, err := p.db.AttestSubmission(p.t.Context(), time.Now(), 0, logtree.Attestation{
		Target: "bitcoin", Kind: logtree.Bitcoin, Head: head, Proof: proof, Height: height, BlockHash: h.Hash(), BlockTime: h.Time, Ref: id,
	}); err != nil {
		p.t.Fatal(err)
	}
}

// deepen adds blocks.
func deepen(chain *headerstest.Chain, blocks int) {
	for range blocks {
		chain.Mine(sha256.Sum256(fmt.Append(nil, time.Now().UnixNano())))
	}
}

// rig is a node with a loop whose time the test turns.
type rig struct {
	*node
	chain    *headerstest.Chain
	explorer []*httptest.Server
	config   Config
	own      []string
	store    func(*store.DB) Store // what the loop gets
	loop     *Loop
	now      time.Time
}

func newRig(t *testing.T, calendars ...string) *rig {
	t.Helper()
	r := &rig{node: newNode(t), chain: headerstest.New(), now: time.Now().UTC().Truncate(time.Second)}
	for range 2 {
		srv := httptest.NewServer(r.chain.Esplora())
		t.Cleanup(srv.Close)
		r.explorer = append(r.explorer, srv)
	}
	r.config = Config{Calendars: calendars, Network: "regtest", Confirmations: 3, Timeout: Duration(5 * time.Second), Esplora: []string{r.explorer[0].URL, r.explorer[1].URL}}
	r.store = func(db *store.DB) Store { return db }
	r.start()
	return r
}

// start begins with a new loop, as after a restart.
func (r *rig) start() {
	r.t.Helper()
	l, err := New("upstream", r.config, r.store(r.db), Options{Log: quiet, Now: func() time.Time { return r.now }, Own: r.own})
	if err != nil {
		r.t.Fatal(err)
	}
	r.loop = l
}

// step lets everybody do what is due, and then says what failed. Errors are the store's.
func (r *rig) step() error {
	ctx := r.t.Context()
	var errs []error
	errs = append(errs, r.loop.look(ctx))
	for _, w := range r.loop.all() {
		_, err := w.turn(ctx, r.now)
		errs = append(errs, err)
	}
	_, err := r.loop.judging.round(ctx, r.now)
	return errors.Join(append(errs, err, r.loop.look(ctx))...)
}

// steps lets a time pass in so many parts.
func (r *rig) steps(parts int, all time.Duration) {
	r.t.Helper()
	for range parts {
		r.now = r.now.Add(all / time.Duration(parts))
		if err := r.step(); anchor.CodeOf(err) == anchor.StoreFailed {
			r.t.Fatal(err)
		}
	}
}

func (r *rig) status() anchor.Status {
	r.t.Helper()
	all, err := r.db.Targets(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(s anchor.Status) bool { return s.Target == "upstream" })
	if i < 0 {
		r.t.Fatal("the target has no status")
	}
	return all[i]
}

func (r *rig) calendar(url string) anchor.Calendar {
	r.t.Helper()
	for _, c := range r.status().Calendars {
		if c.URL == url {
			return c
		}
	}
	r.t.Fatalf("calendar %s has no state", url)
	return anchor.Calendar{}
}
