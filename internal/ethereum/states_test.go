package ethereum

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/testnode"
)

// A node of another chain gets nothing, whether its number says so or its first block.
func TestWrongChain(t *testing.T) {
	r := newRig(t, func(c *Config) { c.ChainID = 1 })
	r.broken = true
	r.append()
	r.want(anchor.WrongNetwork, "chain 31337, and chain_id is 1")
	if n := len(r.attempts()); n != 0 {
		t.Fatalf("%d transactions for another chain", n)
	}

	r = newRig(t, nil)
	r.append()
	r.step()
	a := r.last(1)
	other := testnode.Anvil(t, "--timestamp", "1790000001") // the same number, and another first block
	r.config.RPCURL = other.URL
	r.restart()
	r.broken = true
	r.want(anchor.WrongNetwork, "another chain under the name anvil")
	if r.last(1); r.waiting(other, a.Ref) {
		t.Error("a transaction was sent to another chain")
	}
	r.config.RPCURL = r.chain.URL
	r.restart()
	r.step()
}

func (r *rig) waiting(chain *testnode.Ethereum, ref string) bool {
	var tx *struct{}
	chain.Must(r.t, &tx, "eth_getTransactionByHash", ref)
	return tx != nil
}

// foreign sends a transaction of another program with our key.
func (r *rig) foreign(nonce uint64) {
	r.t.Helper()
	raw, err := transaction{chainID: 31337, nonce: nonce, gas: 30_000, offer: offer{50e9, 20e9}, to: r.target.from, data: []byte("another program's")}.sign(r.target.key)
	if err != nil {
		r.t.Fatal(err)
	}
	r.chain.Must(r.t, nil, "eth_sendRawTransaction", fmt.Sprintf("0x%x", raw))
}

// Somebody else uses the key: their transaction takes our nonce. It is said, nothing is lost, and once theirs is final the
// next transaction has the next nonce.
func TestNonceTaken(t *testing.T) {
	r := newRig(t, nil)
	r.append()
	r.step()
	ours := r.last(1)
	r.chain.Must(t, nil, "anvil_dropTransaction", ours.Ref)
	r.foreign(0)
	r.foreign(1)
	r.chain.Mine(t, 1)
	r.want(anchor.NonceTaken, "a key that nothing else uses")
	r.later()
	r.chain.Mine(t, 1)
	r.want(anchor.NonceTaken, "Nonce 0 of 0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266")
	r.chain.Mine(t, 1)
	r.step()
	second := r.last(2)
	if r.attempts()[0].State != anchor.Dead || second.Set() != "nonce/2" {
		t.Fatalf("then %s, and the first is %d", second.Set(), r.attempts()[0].State)
	}
	r.chain.Mine(t, 3)
	r.step()
	r.wantState(second.Ref, logtree.Counted)
}

// Their transaction waits at our nonce and pays more: ours is too cheap, and is replaced until it is not, or costs too much.
func TestUnderpriced(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxFee, c.MaxFeeDay = 600_000, 5_000_000 })
	r.append()
	r.step()
	r.chain.Must(t, nil, "anvil_dropTransaction", r.last(1).Ref)
	r.foreign(0)
	for range 20 {
		if err := r.try(); anchor.CodeOf(err) == anchor.Underpriced {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	r.want(anchor.Underpriced, "above max_fee of 600000: raise it")
	r.config.MaxFee = 5_000_000
	r.restart()
	for range 30 {
		r.step()
		if all := r.attempts(); r.pending(all[len(all)-1].Ref) {
			return
		}
	}
	t.Error("it was not replaced by what the node takes")
}

// A nonce before ours is not used any more: the next transaction uses it.
func TestGap(t *testing.T) {
	r := newRig(t, nil)
	r.foreign(0)
	r.chain.Mine(t, 1)
	r.append()
	r.step()
	ours := r.last(1)
	if ours.Set() != "nonce/1" {
		t.Fatalf("the first is %s", ours.Set())
	}
	r.chain.Must(t, nil, "anvil_reorg", 1, []any{}) // without theirs
	for range 3 {
		if err := r.try(); err != nil && anchor.CodeOf(err) != anchor.NonceTaken {
			t.Fatal(err)
		}
	}
	filling := r.last(2)
	if filling.Set() != "nonce/0" {
		t.Fatalf("then %s", filling.Set())
	}
	r.chain.Mine(t, 3)
	r.step()
	r.wantState(filling.Ref, logtree.Counted)
}

func TestMoney(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxFee, c.MaxFeeDay = 10_000, 100_000 })
	r.append()
	r.want(anchor.FeeCap, "above max_fee of 10000")
	r.config.MaxFee = 100_000
	r.chain.Must(t, nil, "anvil_setBalance", r.target.from.String(), "0x1")
	r.start()
	r.want(anchor.NoFunds, "send coins of chain 31337 to it")
	r.chain.Must(t, nil, "anvil_setBalance", r.target.from.String(), "0xde0b6b3a7640000")
	r.step()
	first := r.last(1)
	if tx, _, _ := parseTransaction(first.Raw); first.Fee != cost(tx.gas, tx.offer.price) || first.Fee > 100_000 {
		t.Errorf("it costs %d at most", first.Fee)
	}
	for i := 0; ; i++ {
		r.chain.Mine(t, 3)
		r.append()
		r.later()
		if err := r.try(); anchor.CodeOf(err) == anchor.DayCap {
			break
		} else if err != nil || i == 5 {
			t.Fatalf("after %d transactions: %v", i, err)
		}
	}
	n := len(r.attempts())
	r.now = r.now.Add(day)
	r.step()
	r.last(n + 1)
}

// gate stands before the node as a proxy does.
func (r *rig) gate(hook func(w http.ResponseWriter, request *http.Request, body string) bool) {
	r.t.Helper()
	to, err := url.Parse(r.chain.URL)
	if err != nil {
		r.t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		if err != nil || !hook(w, request, string(body)) {
			return
		}
		request.Body = io.NopCloser(strings.NewReader(string(body)))
		proxy.ServeHTTP(w, request)
	}))
	r.t.Cleanup(server.Close)
	r.config.RPCURL = server.URL
	r.broken = true
	r.start()
}

func TestNodeStates(t *testing.T) {
	r := newRig(t, nil)
	r.append()
	var answer atomic.Pointer[func(w http.ResponseWriter, body string) bool]
	r.gate(func(w http.ResponseWriter, _ *http.Request, body string) bool {
		f := answer.Load()
		return f == nil || (*f)(w, body)
	})
	write := func(status int, text string) func(http.ResponseWriter, string) bool {
		return func(w http.ResponseWriter, _ string) bool {
			w.WriteHeader(status)
			io.WriteString(w, text)
			return false
		}
	}
	for _, c := range []struct {
		name   string
		answer func(http.ResponseWriter, string) bool
		code   anchor.Code
		words  string
	}{
		{"wrong password", write(401, ""), anchor.NodeAuth, "correct rpc_user and rpc_password"},
		{"too many requests", write(429, "slow down"), anchor.NodeDown, "no room"},
		{"a page", write(200, "<html>welcome</html>"), anchor.NodeError, "is no Ethereum node"},
		{"an empty answer", write(200, ""), anchor.NodeError, "is no Ethereum node"},
		{"no list", write(200, `{"jsonrpc":"2.0","id":0,"error":{"code":-32600,"message":"no batches"}}`), anchor.NodeError, "several calls"},
		{"nulls", write(200, `[null]`), anchor.NodeError, "is no Ethereum node"},
		{"answers to nothing", write(200, `[{"id":77,"result":"0x1"}]`), anchor.NodeError, "is no Ethereum node"},
		{"numbers that are none", write(200, `[{"id":0,"result":"one"}]`), anchor.NodeError, "not understood"},
		{"a broken line", func(http.ResponseWriter, string) bool { panic(http.ErrAbortHandler) }, anchor.NodeDown, "does not answer"},
		{"10 MB", write(200, "["+strings.Repeat("[", 10<<20)), anchor.NodeError, "is no Ethereum node"},
	} {
		answer.Store(&c.answer)
		r.want(c.code, c.words)
		if n := len(r.attempts()); n != 0 {
			t.Fatalf("%s: %d transactions", c.name, n)
		}
	}
	answer.Store(nil)
	r.step()
	r.config.RPCURL = r.chain.URL
	r.start()
	r.chain.Kill()
	r.want(anchor.NodeDown, "start it")
}

// A user, a password and a token reach the node as they should, and never a message.
func TestLogin(t *testing.T) {
	r := newRig(t, nil)
	r.append()
	secret := strings.Repeat("5a", 32)
	r.gate(func(w http.ResponseWriter, request *http.Request, _ string) bool {
		user, pass, _ := request.BasicAuth()
		token, _ := jwtOf(request)
		if user == "us" && pass == "secret" || token {
			return true
		}
		w.WriteHeader(http.StatusUnauthorized)
		return false
	})
	r.want(anchor.NodeAuth, "refuses")
	r.config.RPCURL = strings.Replace(r.config.RPCURL, "://", "://us:secret@", 1)
	r.start()
	r.step()
	r.config.RPCURL = strings.Replace(r.config.RPCURL, "us:secret@", "", 1)
	r.config.RPCUser, r.config.RPCPassword = "us", "wrong"
	r.start()
	r.want(anchor.NodeAuth, "refuses")
	r.config.RPCUser, r.config.RPCPassword, r.config.RPCJWTFile = "", "", keyFile(t, secret)
	r.start()
	r.step()
	all, err := r.db.Targets(t.Context())
	if err != nil || strings.Contains(fmt.Sprint(all), "secret") {
		t.Errorf("%v, %v", all, err)
	}
	r.config.RPCUser = "us"
	if _, err := New(r.config, r.db, nil); err == nil {
		t.Error("a user and a token were accepted together")
	}
}

// jwtOf says whether a request has a token with a time.
func jwtOf(request *http.Request) (bool, error) {
	token, ok := strings.CutPrefix(request.Header.Get("Authorization"), "Bearer ")
	if !ok || strings.Count(token, ".") != 2 {
		return false, nil
	}
	return true, nil
}

// Every write that did not happen, or happened and was reported as failed, with and without a restart after it: nothing is
// lost, sent without being saved, or false.
func TestFailureTable(t *testing.T) {
	t.Parallel()
	chain := testnode.Anvil(t)
	var fresh string
	for _, verb := range []string{"PinTarget", "SaveAttempt", "MarkSent", "Confirm", "Settle", "Withdraw", "SaveStatus"} {
		for _, happens := range []bool{false, true} {
			for skip := 0; ; skip++ {
				if fresh != "" {
					chain.Must(t, nil, "evm_revert", fresh)
				}
				chain.Must(t, &fresh, "evm_snapshot")
				r := newRigOn(t, chain)
				r.faulty.verb, r.faulty.happens, r.faulty.skip = verb, happens, skip
				r.life(skip%2 == 1)
				hit := r.faulty.hits > 0
				r.db.Close()
				if t.Failed() {
					t.Fatalf("%s, happens=%v, use %d", verb, happens, skip)
				}
				if !hit {
					if skip == 0 {
						t.Errorf("%s is never used", verb)
					}
					break
				}
				if verb == "SaveStatus" && skip == 2 {
					break
				}
			}
		}
	}
}

// life takes a head and a seed to counted attestations, through a reorganisation. A step that failed is repeated, after a restart
// or not.
func (r *rig) life(restart bool) {
	r.t.Helper()
	do := func() {
		for range 3 {
			err := r.try()
			if err == nil {
				return
			}
			if r.faulty.hits == 0 || restart {
				faulty := r.faulty
				r.restart()
				faulty.DB = r.db
				r.faulty = faulty
				r.start()
			}
		}
		r.t.Errorf("three steps failed")
	}
	r.append()
	seed := r.seed()
	do()
	r.chain.Mine(r.t, 1)
	do()
	r.chain.Mine(r.t, 2)
	do()
	r.chain.Must(r.t, nil, "anvil_reorg", 3, []any{})
	do()
	do()
	r.chain.Mine(r.t, 3)
	do()
	r.last(2)
	r.wantState(r.attempts()[0].Ref, logtree.Counted)
	r.wantSeed(seed, logtree.Counted)
	r.later()
	r.append()
	do()
	r.chain.Mine(r.t, 3)
	do()
	r.wantState(r.last(3).Ref, logtree.Counted)
}

// A request that is stopped ends at once.
func TestStopped(t *testing.T) {
	r := newRig(t, nil)
	r.gate(func(_ http.ResponseWriter, request *http.Request, _ string) bool {
		<-request.Context().Done()
		return false
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := r.loop.Step(ctx, r.now); err == nil || ctx.Err() == nil {
		t.Errorf("the step ended with %v before it was stopped", err)
	}
}

// TestOverPostgres runs what is hard on the store over PostgreSQL as well.
func TestOverPostgres(t *testing.T) {
	for name, test := range map[string]func(*testing.T){"Reorg": TestReorg, "ReplacedOneIsMined": TestReplacedOneIsMined, "NonceTaken": TestNonceTaken, "ShorterChain": TestShorterChain} {
		t.Run(name, test)
	}
}
