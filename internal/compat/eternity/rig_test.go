package eternity

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/bitcoin/ledger"
	"github.com/datestone/datestone/internal/calendar"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/store"
	"github.com/datestone/datestone/internal/testpg"
	"github.com/datestone/datestone/ots"
	"github.com/datestone/datestone/ots/headers"
	"github.com/datestone/datestone/ots/headers/headerstest"
	"github.com/datestone/datestone/ots/signedmsg"
)

const testURI = "https://auth.calendar.test"

// onEach runs a test with a real store of each kind.
func onEach(t *testing.T, f func(t *testing.T, r *rig)) {
	t.Run("sqlite", func(t *testing.T) { f(t, newRig(t, filepath.Join(t.TempDir(), "datestone.db"))) })
	t.Run("postgres", func(t *testing.T) { f(t, newRig(t, testpg.Shared(t).NewDatabase(t))) })
}

// rig is the surface over a real store, keeper and calendar, and a chain.
type rig struct {
	t      testing.TB
	where  string
	db     *store.DB
	server *Server
	config Config
	stop   func()
	chain  *headerstest.Chain
	blocks []ledger.Observed

	owner, other       account.Account
	key, old, otherKey signedmsg.PrivateKey // old's default version is 0.2.1
}

func newRig(t testing.TB, where string) *rig {
	r := &rig{t: t, where: where, chain: headerstest.New()}
	node := httptest.NewServer(r.chain.Node(headerstest.Core, "", ""))
	t.Cleanup(node.Close)
	source, err := headers.NewNode(headers.Regtest, headers.NodeConfig{URL: node.URL})
	if err != nil {
		t.Fatal(err)
	}
	plans := account.DefaultPlans()
	plans["small"] = account.Plan{Quota: 2}
	r.config = Config{URI: testURI, Plans: plans, Headers: source, Confirmations: 6, Mail: true, Log: slog.New(slog.DiscardHandler)}
	r.start()
	t.Cleanup(func() { r.stop() })
	r.owner, r.key = r.customer("owner@example.org", "business", "0.3.0")
	r.other, r.otherKey = r.customer("other@example.org", "small", "0.3.0")
	r.old = r.signer(r.owner, "0.2.1")
	return r
}

// start opens the store and runs the keeper, as another process would after stop.
func (r *rig) start() {
	r.t.Helper()
	db, err := store.Open(context.Background(), r.where, store.Options{EpochEntries: 1000})
	if err != nil {
		r.t.Fatal(err)
	}
	keeper := calendar.NewKeeper(db, calendar.Config{Log: r.config.Log, Patience: 10 * time.Minute})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- keeper.Run(ctx) }()
	r.db = db
	r.config.Store, r.config.Keeper, r.config.Proofs = db, keeper, calendar.New(db, calendar.Config{Log: r.config.Log})
	r.change(func(*Config) {})
	r.stop = func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Error(err)
		}
		db.Close()
	}
}

// change makes the surface anew with other settings.
func (r *rig) change(f func(*Config)) {
	r.t.Helper()
	f(&r.config)
	var err error
	if r.server, err = New(r.config); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) customer(email, plan, version string) (account.Account, signedmsg.PrivateKey) {
	r.t.Helper()
	a, err := r.db.CreateAccount(r.t.Context(), time.Now(), email, plan)
	if err != nil {
		r.t.Fatal(err)
	}
	return a, r.signer(a, version)
}

func (r *rig) signer(a account.Account, version string) signedmsg.PrivateKey {
	r.t.Helper()
	key, err := signedmsg.NewPrivateKey()
	if err != nil {
		r.t.Fatal(err)
	}
	r.add(a, key.Public(), version)
	return key
}

func (r *rig) add(a account.Account, key signedmsg.PublicKey, version string) {
	r.t.Helper()
	if _, err := r.db.AddSigner(r.t.Context(), time.Now(), account.Signer{Account: a.ID, Key: key, Version: version}); err != nil {
		r.t.Fatal(err)
	}
}

type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request; more are names and values of header fields.
func (r *rig) do(method, target string, body []byte, more ...string) answer {
	req := httptest.NewRequest(method, target, bytes.NewReader(body))
	for i := 0; i+1 < len(more); i += 2 {
		req.Header.Add(more[i], more[i+1])
	}
	w := httptest.NewRecorder()
	r.server.ServeHTTP(w, req)
	return answer{w.Code, w.Result().Header, w.Body.String()}
}

// post signs a digest and sends it.
func (r *rig) post(key signedmsg.PrivateKey, query string, digest []byte, more ...string) answer {
	return r.do("POST", "/digest"+query, digest, append(more, "x-signature", key.Sign(signedmsg.Digest(digest)).String())...)
}

// must is the body of an answer that is a success.
func (r *rig) must(a answer) []byte {
	r.t.Helper()
	if a.status != 200 || a.header.Get("Content-Type") != "application/octet-stream" || a.header.Get("Cache-Control") != "no-store" {
		r.t.Fatalf("answered %d %v %s", a.status, a.header, a.body)
	}
	return []byte(a.body)
}

// get is the timestamp of a digest.
func (r *rig) get(digest []byte, query string, more ...string) *ots.Timestamp {
	r.t.Helper()
	t, err := ots.ParseTimestamp(r.must(r.do("GET", "/timestamp/"+hex.EncodeToString(digest)+query, nil, more...)), len(digest))
	if err != nil {
		r.t.Fatal(err)
	}
	return t
}

// file is the detached proof of a digest.
func (r *rig) file(digest []byte, query string, more ...string) *ots.File {
	r.t.Helper()
	f, err := ots.ParseFile(r.must(r.do("GET", "/timestamp/"+hex.EncodeToString(digest)+query, nil, more...)))
	if err != nil {
		r.t.Fatal(err)
	}
	return f
}

// kinds are the attestations in a timestamp, in the order of the walk.
func kinds(t *ots.Timestamp) (all []string) {
	t.Walk(make([]byte, 32), func(n *ots.Timestamp, _ []byte) error {
		for _, a := range n.Attestations() {
			all = append(all, a.String())
		}
		return nil
	})
	return all
}

// standing is the message under the attestation of a kind.
func standing(t *testing.T, ts *ots.Timestamp, digest []byte, kind ots.Kind) (message []byte) {
	t.Helper()
	err := ts.Walk(digest, func(n *ots.Timestamp, m []byte) error {
		for _, a := range n.Attestations() {
			if a.Kind() == kind {
				message = bytes.Clone(m)
			}
		}
		return nil
	})
	if err != nil || message == nil {
		t.Fatalf("no %v in %v: %v", kind, kinds(ts), err)
	}
	return message
}

// confirm puts the head of the log into a block that counts at once, with other attestations beside its own, and
// returns the block's height. The chain that headers come from has it six deep.
func (r *rig) confirm(beside ...ots.Attestation) uint64 {
	r.t.Helper()
	ctx, now := r.t.Context(), time.Now()
	if len(r.blocks) == 0 {
		if _, err := r.db.PinTarget(ctx, now, "bitcoin", "genesis"); err != nil {
			r.t.Fatal(err)
		}
		base := ledger.Observed{Block: ledger.Block{Height: 0, Hash: [32]byte{1}}}
		if err := r.db.StartChain(ctx, now, "bitcoin", base.Block, nil); err != nil {
			r.t.Fatal(err)
		}
		r.blocks = append(r.blocks, base)
	}
	head, err := r.db.Head(ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	path := ots.Path{}.Append(fmt.Append(nil, "rest of block ", len(r.blocks))).SHA256()
	root, err := path.Apply(head.Root[:])
	if err != nil {
		r.t.Fatal(err)
	}
	height := r.chain.Mine([32]byte(root))
	for len(r.blocks) < int(height) {
		r.connect(nil)
	}
	proof, err := ots.New(path, append(beside, ots.BitcoinAttestation(height))...).AppendBinary(nil)
	if err != nil {
		r.t.Fatal(err)
	}
	ref := fmt.Sprintf("%064x", height)
	if _, err := r.db.SaveAttempt(ctx, now, anchor.Attempt{Target: "bitcoin", Purpose: anchor.PurposeLog, Head: head, Uses: []string{ref + ":0"}, Raw: []byte{1}, Ref: ref}); err != nil {
		r.t.Fatal(err)
	}
	r.connect([]logtree.Attestation{{Target: "bitcoin", Kind: logtree.Bitcoin, Head: head, Proof: proof, Height: int64(height), BlockHash: [32]byte{byte(height) + 1}, BlockTime: now, Ref: ref}})
	for range 5 {
		r.chain.Mine([32]byte{})
	}
	return height
}

// connect adds a block to what the store follows.
func (r *rig) connect(mined []logtree.Attestation) {
	r.t.Helper()
	last := r.blocks[len(r.blocks)-1]
	n := len(r.blocks)
	block := ledger.Observed{Block: ledger.Block{Height: last.Height + 1, Hash: [32]byte{byte(n) + 1}, Work: [32]byte{31: byte(n)}}, Prev: last.Hash, Mined: mined}
	if _, err := r.db.ConnectBlock(r.t.Context(), time.Now(), "bitcoin", block, 1); err != nil {
		r.t.Fatal(err)
	}
	r.blocks = append(r.blocks, block)
}
