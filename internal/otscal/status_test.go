package otscal

import (
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/httpkit"
	"github.com/datestone/datestone/internal/logtree"
)

// fixed is a store with a given state.
type fixed struct {
	head    logtree.Head
	targets []anchor.Status
	err     error
	reads   *atomic.Int32
}

func (f fixed) Head(context.Context) (logtree.Head, error) {
	if f.reads != nil {
		f.reads.Add(1)
	}
	return f.head, f.err
}
func (f fixed) Targets(context.Context) ([]anchor.Status, error) { return f.targets, f.err }

// nothing is a store of an empty log.
type nothing struct{}

func (nothing) Head(context.Context) (logtree.Head, error)       { return logtree.Head{}, nil }
func (nothing) Targets(context.Context) ([]anchor.Status, error) { return nil, nil }

func busyStore() fixed {
	now := time.Now()
	return fixed{
		head: logtree.Head{Epoch: 1, Size: 12_345, Root: [32]byte{0xaa, 31: 0xbb}},
		targets: []anchor.Status{{
			Target: "bitcoin", Network: "regtest", TestNetwork: true, Code: anchor.NoFunds,
			Message: "the wallet cannot pay for the next transaction: send coins to bcrt1qexample",
			Height:  200, Block: strings.Repeat("0b", 32), NodeHeight: 201, Confirmations: 6,
			Balance: 1_234_567, Address: "bcrt1qexample", FeeRate: 1.5, FeesDay: 420, FeesWeek: 1_420,
			Ref: strings.Repeat("02", 32), Tip: strings.Repeat("7e", 32),
			Waiting: []anchor.Waiting{
				{Ref: strings.Repeat("01", 32), Height: 198, Confirmations: 3},
				{Ref: strings.Repeat("03", 32)},
				{Ref: strings.Repeat("02", 32)},
			},
			Attested: []anchor.Attested{
				{Epoch: 0, Size: 100, Counted: 99, Mined: 100, Sent: 100},
				{Epoch: 1, Size: 12_000, Counted: 10_000, Mined: 11_000, Sent: 12_000},
			},
			LastError: "connection <refused>", LastErrorAt: now.Add(-3 * time.Hour), Updated: now.Add(-10 * time.Second),
		}},
	}
}

func TestStatusJSON(t *testing.T) {
	addr := serve(t, scripted{}, busyStore(), httpkit.Limits{})
	resp, body := answerTo(t, addr, get("/", "Accept: application/json\r\n"), false)
	for name, want := range map[string]string{"Content-Type": "application/json", "Cache-Control": "public, max-age=5", "Vary": "Accept", "Access-Control-Allow-Origin": "*"} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	delete(got, "targets")
	want := map[string]any{
		"version": "1.2.3", "pending_commitments": "2,346", "txs_waiting_for_confirmation": 1.0,
		"most_recent_tx": strings.Repeat("02", 32), "prior_versions": 1.0, "tip": strings.Repeat("7e", 32),
		"best_block": strings.Repeat("0b", 32), "block_height": 200.0, "balance": "1,234,567", "address": "bcrt1qexample",
		"transactions":              []any{map[string]any{"txid": strings.Repeat("01", 32), "confirmations": 3.0}},
		"time_between_transactions": "N/A", "fees_in_last_week": "1,420", "lightning_invoice": nil,
		"service": "datestone", "uri": testURI, "test_network": true,
		"log": map[string]any{"epoch": 1.0, "size": 12345.0, "root": "aa" + strings.Repeat("00", 30) + "bb"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("status (-want +got):\n%s", d)
	}
}

func TestStatusJSONOfAnEmptyLog(t *testing.T) {
	addr := serve(t, scripted{}, nothing{}, httpkit.Limits{})
	_, body := answerTo(t, addr, get("/", "Accept: application/json\r\n"), false)
	for _, want := range []string{`"most_recent_tx": "None"`, `"tip": "None"`, `"transactions": []`, `"targets": []`, `"pending_commitments": "0"`} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s in %s", want, body)
		}
	}
}

func TestStatusPage(t *testing.T) {
	addr := serve(t, scripted{}, busyStore(), httpkit.Limits{})
	for name, accept := range map[string]string{"browser": "text/html,application/json", "none": "", "with a charset": "application/json; charset=utf-8"} {
		t.Run(name, func(t *testing.T) {
			resp, body := answerTo(t, addr, get("/", "Accept: "+accept+"\r\n"), false)
			if got := resp.Header.Get("Content-Type"); got != "text/html; charset=utf-8" {
				t.Fatalf("Content-Type is %q", got)
			}
			for _, want := range []string{
				"TEST NETWORK", "Proves nothing", "12,345", "10,000", "2,346", "1,234,567 sat", "420 sat", "1,420 sat", "1.5 sat/vB",
				"bcrt1qexample", "no funds", "needs a person", "send coins to", strings.Repeat("01", 32), "3 of 6", "block 198", "not in a block yet",
				"connection &lt;refused&gt; (3 h ago)", "10 s ago", testURI,
			} {
				if !strings.Contains(body, want) {
					t.Errorf("the page does not say %q", want)
				}
			}
			if strings.Contains(body, "<script") || strings.Contains(body, " src=") || strings.Contains(body, "style=") {
				t.Error("the page needs more than its policy allows")
			}
			if policy := resp.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "sha256-") {
				t.Errorf("policy is %q", policy)
			}
		})
	}
}

func TestNoTestBannerOnMainnet(t *testing.T) {
	s := busyStore()
	s.targets[0].TestNetwork, s.targets[0].Network = false, "mainnet"
	_, body := answerTo(t, serve(t, scripted{}, s, httpkit.Limits{}), get("/"), false)
	if strings.Contains(body, "TEST NETWORK") {
		t.Error("mainnet is marked as a test network")
	}
}

func TestPageWithoutTarget(t *testing.T) {
	_, body := answerTo(t, serve(t, scripted{}, nothing{}, httpkit.Limits{}), get("/"), false)
	if !strings.Contains(body, "nothing is anchored") {
		t.Error("the page does not say that nothing is anchored")
	}
}

func TestTip(t *testing.T) {
	addr := serve(t, scripted{}, busyStore(), httpkit.Limits{})
	resp, body := answerTo(t, addr, get("/tip"), false)
	if resp.StatusCode != 200 || body != strings.Repeat("\x7e", 32) || resp.Header.Get("Content-Type") != "application/octet-stream" || resp.Header.Get("Cache-Control") != "public, max-age=10" {
		t.Errorf("answered %s %v %x", resp.Status, resp.Header, body)
	}
}

func TestStatusWithoutStore(t *testing.T) {
	addr := serve(t, scripted{}, fixed{err: errors.New("the private cause")}, httpkit.Limits{})
	for _, path := range []string{"/", "/tip"} {
		resp, body := answerTo(t, addr, get(path), false)
		if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" || strings.Contains(body, "private") {
			t.Errorf("%s answered %s %q", path, resp.Status, body)
		}
	}
}

func TestACrowdReadsTheStoreOnce(t *testing.T) {
	var reads atomic.Int32
	r := &reporter{store: fixed{reads: &reads}}
	now := time.Now()
	for i := range 10 {
		if _, err := r.report(t.Context(), now.Add(time.Duration(i)*time.Millisecond)); err != nil {
			t.Fatal(err)
		}
	}
	if reads.Load() != 1 {
		t.Errorf("the store was read %d times, want once", reads.Load())
	}
	if _, err := r.report(t.Context(), now.Add(reportAge)); err != nil || reads.Load() != 2 {
		t.Errorf("an old report was given out again: %d reads, %v", reads.Load(), err)
	}
}

func TestGrouped(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 123456: "123,456", 1234567: "1,234,567", -1234: "-1,234", -100: "-100"} {
		if got := grouped(n); got != want {
			t.Errorf("%d is written %q, want %q", n, got, want)
		}
	}
}

func BenchmarkStatusPage(b *testing.B) {
	s, err := New(scripted{}, busyStore(), Config{URI: testURI})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		if w.Code != 200 {
			b.Fatal(w.Code)
		}
	}
}

// hanging is a store that answers nothing until it is told to.
type hanging struct {
	nothing
	asked   atomic.Int64
	release chan struct{}
}

func (h *hanging) Head(context.Context) (logtree.Head, error) {
	h.asked.Add(1)
	<-h.release
	return logtree.Head{}, errors.New("the database hangs")
}

// Those who ask while the database hangs wait once, together.
func TestReportsOfAHangingStore(t *testing.T) {
	h := &hanging{release: make(chan struct{})}
	r := &reporter{store: h}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := r.report(t.Context(), time.Now()); err == nil {
				t.Error("a report without a store")
			}
		})
	}
	time.Sleep(100 * time.Millisecond)
	close(h.release)
	wg.Wait()
	if n := h.asked.Load(); n > 5 {
		t.Errorf("the store was asked %d times", n)
	}
}
