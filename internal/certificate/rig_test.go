package certificate

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
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
)

const testURI = "https://stamps.test"

var (
	testNow   = time.Date(2026, 5, 2, 8, 30, 15, 0, time.UTC)
	received  = time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)
	blockTime = time.Date(2026, 5, 1, 11, 0, 0, 0, time.UTC)
)

// onEach runs a test with a real store of each kind.
func onEach(t *testing.T, f func(t *testing.T, r *rig)) {
	t.Run("sqlite", func(t *testing.T) { f(t, newRig(t, filepath.Join(t.TempDir(), "datestone.db"))) })
	t.Run("postgres", func(t *testing.T) { f(t, newRig(t, testpg.Shared(t).NewDatabase(t))) })
}

// rig is the pages over a real store and calendar.
type rig struct {
	*testing.T
	db     *store.DB
	server *Server
	now    time.Time
	site   string // the peer of requests
	a, b   account.Account
	stamps int
	blocks []ledger.Observed
}

func newRig(t *testing.T, where string) *rig {
	db, err := store.Open(t.Context(), where, store.Options{EpochEntries: 1000})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	r := &rig{T: t, db: db, now: testNow, site: "192.0.2.1:1000"}
	log := slog.New(slog.DiscardHandler)
	r.server, err = New(Config{
		URI: testURI, Store: db, Proofs: calendar.New(db, calendar.Config{Log: log}), Log: log, Now: func() time.Time { return r.now },
	})
	if err != nil {
		t.Fatal(err)
	}
	r.a, r.b = r.account("a@example.org"), r.account("b@example.org")
	r.network("mainnet", false)
	return r
}

func (r *rig) account(email string) account.Account {
	r.Helper()
	a, err := r.db.CreateAccount(r.Context(), received, email, "business")
	if err != nil {
		r.Fatal(err)
	}
	return a
}

// network sets what the target says of its network.
func (r *rig) network(name string, test bool) {
	r.Helper()
	s := anchor.Status{Target: "bitcoin", Network: name, TestNetwork: test, Code: anchor.OK, Height: 900_001, Confirmations: 6, Updated: received}
	if err := r.db.SaveStatus(r.Context(), received, s); err != nil {
		r.Fatal(err)
	}
}

// stamp makes a stamp of the file with this content and name.
func (r *rig) stamp(a account.Account, content, name string) account.Stamp {
	r.Helper()
	item := account.Item{SHA256: sha256.Sum256([]byte(content)), File: account.File{Name: name, Size: 248331, Type: "application/x-private"}}
	rand.Read(item.Nonce[:])
	r.stamps++
	results, err := r.db.AppendStamps(r.Context(), received.Add(time.Duration(r.stamps)*time.Second), []account.Create{
		{Account: a.ID, Items: []account.Item{item}, Whole: true, Quota: 1000, Branding: true},
	})
	if err != nil || results[0].Err != nil {
		r.Fatal(err, results)
	}
	return results[0].Stamps[0]
}

func (r *rig) publish(st account.Stamp, thumbnail []byte) {
	r.Helper()
	if err := r.db.ChangeStamp(r.Context(), st.Account, st.ID, account.Change{Public: new(true), Thumbnail: &thumbnail}); err != nil {
		r.Fatal(err)
	}
}

type answer struct {
	status int
	header http.Header
	body   string
}

func (r *rig) do(method, path string, more ...string) answer {
	req := httptest.NewRequest(method, path, nil)
	req.RemoteAddr = r.site
	for i := 0; i+1 < len(more); i += 2 {
		req.Header.Set(more[i], more[i+1])
	}
	w := httptest.NewRecorder()
	r.server.ServeHTTP(w, req)
	r.now = r.now.Add(2 * time.Second) // no test but that of the limits runs into them
	return answer{w.Code, w.Result().Header, w.Body.String()}
}

func (r *rig) get(status int, path string) answer {
	r.Helper()
	a := r.do("GET", path)
	if a.status != status {
		r.Fatalf("GET %s: %d %s", path, a.status, a.body)
	}
	return a
}

// contains fails the test unless the text has all that is wanted, and nothing that begins with a minus sign.
func (r *rig) contains(where, text string, want ...string) {
	r.Helper()
	failed := false
	for _, w := range want {
		if not, is := strings.CutPrefix(w, "-"); is && strings.Contains(text, not) {
			failed = true
			r.Errorf("%s has %q", where, not)
		} else if !is && !strings.Contains(text, w) {
			failed = true
			r.Errorf("%s has no %q", where, w)
		}
	}
	if failed {
		if _, body, is := strings.Cut(text, "</style>"); is {
			text = body
		}
		r.Logf("%s is %s", where, text)
	}
}

func digestOf(st account.Stamp) string { return hex.EncodeToString(st.SHA256[:]) }

// pathOf is where a certificate is.
func pathOf(st account.Stamp, suffix string) string { return "/cert/" + st.Certificate + suffix }

// mine puts the head of the log into a block; it counts once it is as deep as required.
func (r *rig) mine(required int64) (ref string) {
	r.Helper()
	ctx, now := r.Context(), received
	if len(r.blocks) == 0 {
		if _, err := r.db.PinTarget(ctx, now, "bitcoin", "genesis"); err != nil {
			r.Fatal(err)
		}
		base := ledger.Observed{Block: ledger.Block{Height: 900_000, Hash: [32]byte{1}}}
		if err := r.db.StartChain(ctx, now, "bitcoin", base.Block, nil); err != nil {
			r.Fatal(err)
		}
		r.blocks = append(r.blocks, base)
	}
	head, err := r.db.Head(ctx)
	if err != nil {
		r.Fatal(err)
	}
	last := r.blocks[len(r.blocks)-1]
	block := ledger.Observed{Block: ledger.Block{Height: last.Height + 1, Hash: [32]byte{byte(len(r.blocks) + 1), 31: 0xab}, Work: [32]byte{31: byte(len(r.blocks))}}, Prev: last.Hash}
	ref = fmt.Sprintf("%064x", block.Height)
	proof, err := ots.New(ots.Path{}.Append([]byte("rest of the block")).SHA256(), ots.BitcoinAttestation(uint64(block.Height))).AppendBinary(nil)
	if err != nil {
		r.Fatal(err)
	}
	if _, err := r.db.SaveAttempt(ctx, now, anchor.Attempt{Target: "bitcoin", Purpose: anchor.PurposeLog, Head: head, Uses: []string{ref + ":0"}, Raw: []byte{1}, Ref: ref}); err != nil {
		r.Fatal(err)
	}
	block.Mined = []logtree.Attestation{{Target: "bitcoin", Kind: logtree.Bitcoin, Head: head, Proof: proof, Height: block.Height, BlockHash: block.Hash, BlockTime: blockTime, Ref: ref}}
	if _, err := r.db.ConnectBlock(ctx, now, "bitcoin", block, required); err != nil {
		r.Fatal(err)
	}
	r.blocks = append(r.blocks, block)
	return ref
}

// withdraw takes the newest block away.
func (r *rig) withdraw() {
	r.Helper()
	last := r.blocks[len(r.blocks)-1]
	r.blocks = r.blocks[:len(r.blocks)-1]
	if _, err := r.db.DisconnectBlock(r.Context(), testNow.Add(-time.Hour), "bitcoin", last.Block); err != nil {
		r.Fatal(err)
	}
}
