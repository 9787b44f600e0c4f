package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/datestone/datestone/api"
	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/bitcoin/ledger"
	"github.com/datestone/datestone/internal/calendar"
	"github.com/datestone/datestone/internal/certificate"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/mail"
	"github.com/datestone/datestone/internal/store"
	"github.com/datestone/datestone/internal/testpg"
	"github.com/datestone/datestone/ots"
)

const (
	testURI    = "https://stamps.test"
	testPrefix = "test_live_"
)

// onEach runs a test with a real store of each kind.
func onEach(t *testing.T, f func(t *testing.T, r *rig)) {
	t.Run("sqlite", func(t *testing.T) { f(t, newRig(t, filepath.Join(t.TempDir(), "datestone.db"))) })
	t.Run("postgres", func(t *testing.T) { f(t, newRig(t, testpg.Shared(t).NewDatabase(t))) })
}

// rig is the surface over a real store, keeper and calendar.
type rig struct {
	t      *testing.T
	db     *store.DB
	config Config
	server *Server
	clock  atomic.Int64 // nanoseconds that the clock is ahead
	site   string       // the peer of requests
	blocks []ledger.Observed

	a, b, plain, suspended     account.Account
	aKey, bKey, plainKey, sKey string
}

func newRig(t *testing.T, where string) *rig {
	db, err := store.Open(t.Context(), where, store.Options{EpochEntries: 1000})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	keeper := calendar.NewKeeper(db, calendar.Config{Log: log, Patience: 10 * time.Minute})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- keeper.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		db.Close()
	})
	r := &rig{t: t, db: db, site: "192.0.2.1:1000"}
	plans := account.DefaultPlans()
	plans["small"] = account.Plan{Quota: 2, API: true, Requests: 120, Creates: 30}
	plans["fast"] = account.Plan{Quota: 100_000, API: true, Branding: true, Requests: 1_000_000, Creates: 1_000_000}
	r.config = Config{
		Plans: plans, KeyPrefix: testPrefix, URI: testURI, Store: db, Keeper: keeper, Proofs: calendar.New(db, calendar.Config{Log: log}), Log: log,
		CheckMail: mail.CheckAddress, MailEvery: 10 * time.Minute,
		Now: func() time.Time { return time.Now().Add(time.Duration(r.clock.Load())) },
	}
	certificates, err := certificate.New(certificate.Config{URI: testURI, Store: db, Proofs: r.config.Proofs, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	r.config.Evidence = certificates.Evidence
	r.restart(nil)
	r.a, r.aKey = r.account("a@example.org", "fast")
	r.b, r.bKey = r.account("b@example.org", "fast")
	r.plain, r.plainKey = r.account("free@example.org", "free")
	r.suspended, r.sKey = r.account("suspended@example.org", "business")
	r.suspended.Suspended = true
	if err := db.SetSuspended(t.Context(), r.suspended.ID, true); err != nil {
		t.Fatal(err)
	}
	return r
}

// restart makes the surface anew, as another process would have it.
func (r *rig) restart(change func(*Config)) {
	r.t.Helper()
	config := r.config
	if change != nil {
		change(&config)
	}
	var err error
	if r.server, err = New(config); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) account(email, plan string) (account.Account, string) {
	r.t.Helper()
	a, err := r.db.CreateAccount(r.t.Context(), time.Now(), email, plan)
	if err != nil {
		r.t.Fatal(err)
	}
	key := account.NewKey(testPrefix)
	if err := r.db.SetKey(r.t.Context(), time.Now(), a.ID, account.KeyHash(key), account.KeyHint(key)); err != nil {
		r.t.Fatal(err)
	}
	return a, key
}

type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request with a key, unless it is empty; more are the names and values of fields.
func (r *rig) do(method, path, key, body string, more ...string) answer {
	req := httptest.NewRequest(method, path, strings.NewReader(body))
	req.RemoteAddr = r.site
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	for i := 0; i+1 < len(more); i += 2 {
		if more[i+1] == "-" {
			req.Header.Del(more[i])
		} else {
			req.Header.Set(more[i], more[i+1])
		}
	}
	w := httptest.NewRecorder()
	r.server.ServeHTTP(w, req)
	return answer{w.Code, w.Result().Header, w.Body.String()}
}

// must is do for what succeeds, and reads the answer.
func (r *rig) must(into any, status int, method, path, key, body string, more ...string) answer {
	r.t.Helper()
	a := r.do(method, path, key, body, more...)
	if a.status != status {
		r.t.Fatalf("%s %s: %d %s", method, path, a.status, a.body)
	}
	if into != nil {
		if err := json.Unmarshal([]byte(a.body), into); err != nil {
			r.t.Fatalf("%s %s: %v in %s", method, path, err, a.body)
		}
	}
	return a
}

func hashOf(n int) string { return fmt.Sprintf("%064x", n+1) }

func createBody(n int) string {
	return fmt.Sprintf(`{"sha256_hash":"%s","filename":"plan %d.pdf","file_size_bytes":1024,"file_type":"application/pdf"}`, hashOf(n), n)
}

func (r *rig) create(key string, n int) (ts api.Timestamp) {
	r.t.Helper()
	r.must(&ts, 201, "POST", "/api/v1/timestamps", key, createBody(n))
	return ts
}

func (r *rig) stored(id string) account.Stamp {
	r.t.Helper()
	parsed, err := account.ParseID(id)
	if err != nil {
		r.t.Fatal(err)
	}
	st, err := r.db.Stamp(r.t.Context(), parsed)
	if err != nil {
		r.t.Fatal(err)
	}
	return st
}

var blockTime = time.Date(2026, 5, 1, 11, 0, 0, 0, time.UTC)

// confirm puts the head of the log into a block that counts at once, and returns the transaction.
func (r *rig) confirm() string { return r.mine(1) }

// mine puts the head of the log into a block that counts once it is so deep, and returns the transaction.
func (r *rig) mine(depth int64) string {
	r.t.Helper()
	ctx, now := r.t.Context(), time.Now()
	if len(r.blocks) == 0 {
		if _, err := r.db.PinTarget(ctx, now, "bitcoin", "genesis"); err != nil {
			r.t.Fatal(err)
		}
		base := ledger.Observed{Block: ledger.Block{Height: 900_000, Hash: [32]byte{1}}}
		if err := r.db.StartChain(ctx, now, "bitcoin", base.Block, nil); err != nil {
			r.t.Fatal(err)
		}
		r.blocks = append(r.blocks, base)
	}
	head, err := r.db.Head(ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	block := r.nextBlock()
	ref := fmt.Sprintf("%064x", block.Height)
	proof, err := ots.New(ots.Path{}.Append([]byte("rest of the block")).SHA256(), ots.BitcoinAttestation(uint64(block.Height))).AppendBinary(nil)
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.db.SaveAttempt(ctx, now, anchor.Attempt{Target: "bitcoin", Purpose: anchor.PurposeLog, Head: head, Uses: []string{ref + ":0"}, Raw: []byte{1}, Ref: ref}); err != nil {
		r.t.Fatal(err)
	}
	block.Mined = []logtree.Attestation{{Target: "bitcoin", Kind: logtree.Bitcoin, Head: head, Proof: proof, Height: block.Height, BlockHash: block.Hash, BlockTime: blockTime, Ref: ref}}
	r.connect(block, depth)
	return ref
}

func (r *rig) nextBlock() ledger.Observed {
	last := r.blocks[len(r.blocks)-1]
	return ledger.Observed{Block: ledger.Block{Height: last.Height + 1, Hash: [32]byte{byte(len(r.blocks) + 1)}, Work: [32]byte{31: byte(len(r.blocks))}}, Prev: last.Hash}
}

// connect adds a block to the chain.
func (r *rig) connect(block ledger.Observed, depth int64) {
	r.t.Helper()
	if _, err := r.db.ConnectBlock(r.t.Context(), time.Now(), "bitcoin", block, depth); err != nil {
		r.t.Fatal(err)
	}
	r.blocks = append(r.blocks, block)
}

// withdraw takes the newest block away.
func (r *rig) withdraw() {
	r.t.Helper()
	last := r.blocks[len(r.blocks)-1]
	r.blocks = r.blocks[:len(r.blocks)-1]
	if _, err := r.db.DisconnectBlock(r.t.Context(), time.Now(), "bitcoin", last.Block); err != nil {
		r.t.Fatal(err)
	}
}
