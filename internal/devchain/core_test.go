package devchain_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/datestone/datestone/internal/devchain"
	"github.com/datestone/datestone/internal/testnode"
)

// pair is our chain and a real node that hold the same blocks.
type pair struct {
	chain     *devchain.Chain
	ours      testnode.RPC
	real      *testnode.Node
	submitted int
}

func newPair(t *testing.T) *pair {
	t.Helper()
	p := &pair{chain: open(t, "")}
	p.ours = serve(t, p.chain)
	p.real = testnode.Bitcoind(t, "-minrelaytxfee=0.00001", "-incrementalrelayfee=0.00001")
	return p
}

// sync gives the real node every block of our best branch that it lacks.
func (p *pair) sync(t *testing.T) {
	t.Helper()
	var missing []string
	for h := height(p.chain); h > 0; h-- {
		var hash string
		p.ours.Must(t, &hash, "getblockhash", h)
		if p.real.Call(nil, "getblockheader", hash) == nil {
			break
		}
		var raw string
		p.ours.Must(t, &raw, "getblock", hash, 0)
		missing = append(missing, raw)
	}
	for _, raw := range slices.Backward(missing) {
		var refusal *string
		p.real.Must(t, &refusal, "submitblock", raw)
		if refusal != nil && *refusal != "inconclusive" {
			t.Fatalf("the real node refuses our block: %s", *refusal)
		}
		p.submitted++
	}
	if got, want := p.real.Tip(t), tip(p.chain); got != want {
		t.Fatalf("the real node's tip is %s, ours %s", got, want)
	}
}

// answer is what a node says to a call: its result, or its error.
type answer struct {
	result any
	err    *testnode.RPCError
}

func ask(t *testing.T, rpc testnode.RPC, method string, params ...any) answer {
	t.Helper()
	var raw json.RawMessage
	err := rpc.Call(&raw, method, params...)
	if e, ok := errors.AsType[*testnode.RPCError](err); ok {
		return answer{err: e}
	}
	if err != nil {
		t.Fatalf("%s: %v", method, err)
	}
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.UseNumber()
	var a answer
	if err := d.Decode(&a.result); err != nil {
		t.Fatal(err)
	}
	return a
}

// funded is a pair with a purse of n confirmed coins and one immature coinbase.
func funded(t *testing.T, n int) (*pair, *purse, owned) {
	t.Helper()
	p, purse := newPair(t), newPurse(t)
	mine(t, p.chain, 110)
	for range n {
		txid, err := p.chain.FaucetScript(purse.script, 100_000)
		if err != nil {
			t.Fatal(err)
		}
		if len(purse.coins)%20 == 19 {
			mine(t, p.chain, 1) // chains of unconfirmed change are bounded
		}
		purse.coins = append(purse.coins, owned{wire.OutPoint{Hash: txid}, 100_000})
	}
	hashes, err := p.chain.MineTo(purse.script, 1)
	if err != nil {
		t.Fatal(err)
	}
	var block struct {
		Tx []struct {
			TxID string
			Vout []struct{ Value json.Number }
		}
	}
	p.ours.Must(t, &block, "getblock", hashes[0], 2)
	var immature owned
	if err := chainhash.Decode(&immature.out.Hash, block.Tx[0].TxID); err != nil {
		t.Fatal(err)
	}
	value, err := block.Tx[0].Vout[0].Value.Float64()
	if err != nil {
		t.Fatal(err)
	}
	immature.value = int64(value*1e8 + 0.5)
	mine(t, p.chain, 1)
	p.sync(t)
	return p, purse, immature
}

// Both give the same verdict on the same transactions in the same state: the same
// error code, the same words up to the details, and the same mempool afterwards.
func TestVerdictsAreCores(t *testing.T) {
	p, purse, immature := funded(t, 40)
	agree := func(name string, tx *wire.MsgTx, more ...any) {
		t.Helper()
		raw := txHex(t, tx)
		test := []answer{ask(t, p.ours, "testmempoolaccept", []string{raw}), ask(t, p.real.RPC, "testmempoolaccept", []string{raw})}
		if diff := cmp.Diff(verdict(test[1]), verdict(test[0])); diff != "" {
			t.Errorf("%s: testmempoolaccept (- Core, + ours)\n%s", name, diff)
		}
		sent := []answer{ask(t, p.ours, "sendrawtransaction", append([]any{raw}, more...)...), ask(t, p.real.RPC, "sendrawtransaction", append([]any{raw}, more...)...)}
		if diff := cmp.Diff(outcome(sent[1]), outcome(sent[0])); diff != "" {
			t.Errorf("%s: sendrawtransaction (- Core, + ours)\n%s", name, diff)
		}
		t.Logf("%s: %s", name, outcome(sent[1]))
		if diff := cmp.Diff(pool(t, p.real.RPC), pool(t, p.ours)); diff != "" {
			t.Fatalf("%s: mempools differ (- Core, + ours)\n%s", name, diff)
		}
	}
	out := func(value int64, script []byte) func(*wire.MsgTx) {
		return func(tx *wire.MsgTx) { tx.AddTxOut(wire.NewTxOut(value, script)) }
	}
	first := func(value int64) func(*wire.MsgTx) {
		return func(tx *wire.MsgTx) { tx.TxOut[0].Value = value }
	}
	coin := func() []owned { return []owned{purse.next(t)} }

	// Acceptance and replacement.
	a := coin()
	agree("plain payment", purse.pay(t, 1000, a))
	agree("the same again", purse.pay(t, 1000, a))
	other := purse.pay(t, 1000, a)
	other.TxIn[0].Witness[0] = append([]byte{}, other.TxIn[0].Witness[0]...)
	other.TxIn[0].Witness[0][10] ^= 1
	agree("the same with another witness", other)
	agree("replacement with a lower fee", purse.pay(t, 900, a))
	agree("replacement with the same fee", purse.pay(t, 1000, a, func(tx *wire.MsgTx) { tx.LockTime = 1 }))
	agree("replacement that pays too little more", purse.pay(t, 1100, a))
	agree("replacement one satoshi short", purse.pay(t, 1109, a))
	parent := purse.pay(t, 1110, a)
	agree("replacement that just pays enough", parent)
	child := purse.pay(t, 5000, []owned{output(parent, 0)})
	agree("child", child)
	agree("replacement that pays less than parent and child", purse.pay(t, 3000, a))
	agree("replacement that spends what it replaces", purse.pay(t, 90_000, append(a, output(child, 0))))
	b := coin()
	unconfirmed := purse.pay(t, 1000, b)
	agree("another payment", unconfirmed)
	agree("replacement with a new unconfirmed input", purse.pay(t, 40_000, append(a, output(unconfirmed, 0))))
	agree("replacement of parent and child", purse.pay(t, 20_000, a))
	agree("child of the replaced", child)
	agree("replacement that does not signal", purse.pay(t, 30_000, a))
	merged := purse.pay(t, 60_000, append(a, b...))
	agree("one that replaces two", merged)

	// Fees.
	agree("no fee", purse.pay(t, 0, coin()))
	agree("just under the relay fee", purse.pay(t, 109, coin()))
	agree("just the relay fee", purse.pay(t, 110, coin()))
	agree("pays out more than it spends", purse.pay(t, -1, coin()))
	agree("absurd fee", purse.pay(t, 90_000, coin()), 0.0001)
	agree("absurd fee allowed", purse.pay(t, 90_000, coin()), 0)

	// Inputs.
	agree("unknown input", purse.pay(t, 1000, []owned{unknownOutput()}))
	agree("output number that does not exist", purse.pay(t, 1000, []owned{{wire.OutPoint{Hash: merged.TxHash(), Index: 9}, 1000}}))
	agree("immature coinbase", purse.pay(t, 1000, []owned{immature}), 0)
	twice := purse.next(t)
	agree("the same input twice", purse.pay(t, 1000, []owned{twice, twice}))
	forged := purse.pay(t, 1000, coin())
	forged.TxIn[0].Witness[0] = append([]byte{}, forged.TxIn[0].Witness[0]...)
	forged.TxIn[0].Witness[0][20] ^= 1
	agree("forged signature", forged)
	unsigned := purse.pay(t, 1000, coin())
	unsigned.TxIn[0].Witness = nil
	agree("no signature", unsigned)
	changed := purse.pay(t, 1000, coin())
	changed.TxOut[0].Value--
	agree("changed after signing", changed)

	// Standardness and the structure.
	agree("data output of 32 bytes", purse.pay(t, 1000, coin(), first(90_000), out(0, data(t, 32))))
	agree("data output of 80 bytes", purse.pay(t, 1000, coin(), first(90_000), out(0, data(t, 80))))
	agree("data output of 81 bytes", purse.pay(t, 1000, coin(), first(90_000), out(0, data(t, 81))))
	agree("two data outputs", purse.pay(t, 1000, coin(), first(90_000), out(0, data(t, 5)), out(0, data(t, 6))))
	agree("only a data output", purse.pay(t, 1000, coin(), func(tx *wire.MsgTx) { tx.TxOut = nil }, out(0, data(t, 32))))
	agree("burns money", purse.pay(t, 1000, coin(), first(90_000), out(5000, data(t, 32))))
	agree("burns money, allowed", purse.pay(t, 1000, coin(), first(90_000), out(5000, data(t, 32))), 0, 1)
	agree("dust", purse.pay(t, 1000, coin(), first(90_000), out(293, purse.script)))
	agree("two outputs of dust", purse.pay(t, 1000, coin(), first(90_000), out(2, purse.script), out(3, purse.script)))
	agree("just not dust", purse.pay(t, 1000, coin(), first(90_000), out(294, purse.script)))
	agree("unknown script", purse.pay(t, 1000, coin(), first(90_000), out(1000, []byte{txscript.OP_TRUE})))
	agree("witness program of the future", purse.pay(t, 1000, coin(), first(90_000), out(1000, append([]byte{txscript.OP_16, 32}, make([]byte, 32)...))))
	for _, v := range []int32{0, 1, 4} {
		agree(fmt.Sprintf("version %d", v), purse.pay(t, 1000, coin(), func(tx *wire.MsgTx) { tx.Version = v }))
	}
	agree("locked until a later block", purse.pay(t, 1000, coin(), func(tx *wire.MsgTx) {
		tx.LockTime, tx.TxIn[0].Sequence = uint32(height(p.chain)+1), 0
	}))
	agree("locked until the next block", purse.pay(t, 1000, coin(), func(tx *wire.MsgTx) {
		tx.LockTime, tx.TxIn[0].Sequence = uint32(height(p.chain)), 0
	}))
	agree("its input is too young", purse.pay(t, 1000, coin(), func(tx *wire.MsgTx) { tx.TxIn[0].Sequence = 500 }))
	agree("its input is old enough", purse.pay(t, 1000, coin(), func(tx *wire.MsgTx) { tx.TxIn[0].Sequence = 2 }))
	agree("its input is too young by time", purse.pay(t, 1000, coin(), func(tx *wire.MsgTx) {
		tx.TxIn[0].Sequence = wire.SequenceLockTimeIsSeconds | 100
	}))
	agree("no outputs", purse.pay(t, 1000, coin(), func(tx *wire.MsgTx) { tx.TxOut = nil }))
	agree("more than all money", purse.pay(t, 1000, coin(), first(22_000_000*1e8)))
	agree("negative output", purse.pay(t, 1000, coin(), first(-5)))
	coinbase := wire.NewMsgTx(2)
	coinbase.AddTxIn(wire.NewTxIn(&wire.OutPoint{Index: wire.MaxPrevOutIndex}, []byte{1, 2, 3}, nil))
	coinbase.AddTxOut(wire.NewTxOut(1000, purse.script))
	agree("a coinbase", coinbase)
	pushes := purse.pay(t, 1000, coin())
	pushes.TxIn[0].SignatureScript = []byte{txscript.OP_NOP}
	agree("input script that is no push", pushes)

	// A chain of unconfirmed transactions.
	last := purse.next(t)
	for i := range 27 {
		tx := purse.pay(t, 200, []owned{last})
		agree(fmt.Sprintf("number %d of a chain", i+1), tx)
		last = output(tx, 0)
	}

	// Confirmation, and a reorganization on both.
	if _, err := p.chain.Mine(1); err != nil {
		t.Fatal(err)
	}
	p.sync(t)
	if diff := cmp.Diff(pool(t, p.real.RPC), pool(t, p.ours)); diff != "" {
		t.Fatalf("mempools after a block (- Core, + ours)\n%s", diff)
	}
	agree("already confirmed", merged)
	agree("conflicts with a confirmed one", purse.pay(t, 70_000, a))
	stale := tip(p.chain)
	for _, rpc := range []testnode.RPC{p.ours, p.real.RPC} {
		rpc.Must(t, nil, "invalidateblock", stale)
	}
	if p.real.Tip(t) != tip(p.chain) {
		t.Fatal("tips differ after invalidateblock")
	}
	if diff := cmp.Diff(pool(t, p.real.RPC), pool(t, p.ours)); diff != "" {
		t.Fatalf("mempools after a reorganization (- Core, + ours)\n%s", diff)
	}
	agree("waits again", merged)
	if _, err := p.chain.MineEmpty(2); err != nil {
		t.Fatal(err)
	}
	p.sync(t)
	if diff := cmp.Diff(pool(t, p.real.RPC), pool(t, p.ours)); diff != "" {
		t.Fatalf("mempools on the new branch (- Core, + ours)\n%s", diff)
	}
}

func pool(t *testing.T, rpc testnode.RPC) []string {
	t.Helper()
	var all []string
	rpc.Must(t, &all, "getrawmempool")
	slices.Sort(all)
	return all
}

// verdict is the part of testmempoolaccept's answer that has to agree.
func verdict(a answer) string {
	if a.err != nil {
		return outcome(a)
	}
	list, _ := a.result.([]any)
	if len(list) != 1 {
		return fmt.Sprint(a.result)
	}
	v, _ := list[0].(map[string]any)
	fees, _ := v["fees"].(map[string]any)
	reason, _ := v["reject-reason"].(string)
	return fmt.Sprintf("%v %v %v %v %s", v["txid"], v["allowed"], v["vsize"], fees["base"], reasonOf(reason))
}

// outcome is a result, or an error up to its details.
func outcome(a answer) string {
	if a.err != nil {
		return fmt.Sprintf("%d %s (HTTP %d)", a.err.Code, reasonOf(a.err.Message), a.err.Status)
	}
	return fmt.Sprint(a.result)
}

// reasonOf drops numbers and script errors, which the two word differently.
func reasonOf(message string) string {
	message, _, _ = strings.Cut(message, ", ")
	message, _, _ = strings.Cut(message, " (")
	return message
}

// On the same chain the two give the same answers, field by field.
func TestAnswersAreCores(t *testing.T) {
	p, purse, _ := funded(t, 3)
	tx := purse.pay(t, 1000, []owned{purse.next(t)}, func(tx *wire.MsgTx) { tx.AddTxOut(wire.NewTxOut(0, data(t, 32))); tx.TxOut[0].Value = 5000 })
	child := purse.pay(t, 700, []owned{output(tx, 0)})
	for _, raw := range []string{txHex(t, tx), txHex(t, child)} {
		p.ours.Must(t, nil, "sendrawtransaction", raw)
		p.real.Must(t, nil, "sendrawtransaction", raw)
	}
	waiting := purse.next(t)
	block := tip(p.chain)
	none := strings.Repeat("0", 64)
	txid, childID := tx.TxHash(), child.TxHash()
	var blockTx struct{ Tx []string }
	var paying string
	p.ours.Must(t, &paying, "getblockhash", height(p.chain)-1)
	p.ours.Must(t, &blockTx, "getblock", paying)

	for _, call := range []struct {
		method string
		params []any
	}{
		{"getblockcount", nil},
		{"getblockcount", []any{1}},
		{"getbestblockhash", nil},
		{"getblockchaininfo", nil},
		{"getindexinfo", nil},
		{"getindexinfo", []any{"txindex"}},
		{"getindexinfo", []any{"nothing"}},
		{"getmempoolinfo", nil},
		{"ping", nil},
		{"nosuchmethod", nil},
		{"getblockhash", []any{0}},
		{"getblockhash", []any{112}},
		{"getblockhash", []any{5000}},
		{"getblockhash", []any{-1}},
		{"getblockhash", nil},
		{"getblockheader", []any{block}},
		{"getblockheader", []any{paying}},
		{"getblockheader", []any{block, false}},
		{"getblockheader", []any{none}},
		{"getblockheader", []any{"00"}},
		{"getblockheader", []any{strings.Repeat("z", 64)}},
		{"getblock", []any{paying, 0}},
		{"getblock", []any{paying, false}},
		{"getblock", []any{paying}},
		{"getblock", []any{paying, 2}},
		{"getblock", []any{none}},
		{"getrawtransaction", []any{txid}},
		{"getrawtransaction", []any{txid, true}},
		{"getrawtransaction", []any{blockTx.Tx[0], 1}},
		{"getrawtransaction", []any{blockTx.Tx[1], 1}},
		{"getrawtransaction", []any{blockTx.Tx[1], 1, paying}},
		{"getrawtransaction", []any{blockTx.Tx[1], 1, block}},
		{"getrawtransaction", []any{blockTx.Tx[1], 1, none}},
		{"getrawtransaction", []any{none}},
		{"getrawtransaction", []any{"4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b"}},
		{"decoderawtransaction", []any{txHex(t, tx)}},
		{"gettxout", []any{txid, 0}},
		{"gettxout", []any{childID, 0}},
		{"gettxout", []any{childID, 0, false}},
		{"gettxout", []any{tx.TxIn[0].PreviousOutPoint.Hash, 0}},
		{"gettxout", []any{tx.TxIn[0].PreviousOutPoint.Hash, 0, false}},
		{"gettxout", []any{waiting.out.Hash, 0}},
		{"gettxout", []any{waiting.out.Hash, 77}},
		{"gettxout", []any{blockTx.Tx[0], 0}},
		{"gettxout", []any{blockTx.Tx[0], 1}},
		{"gettxspendingprevout", []any{[]any{map[string]any{"txid": txid, "vout": 0}, map[string]any{"txid": childID, "vout": 0}}}},
		{"getmempoolentry", []any{txid}},
		{"getmempoolentry", []any{childID}},
		{"getmempoolentry", []any{none}},
		{"scantxoutset", []any{"start", []any{"addr(" + purse.addr + ")"}}},
		{"scantxoutset", []any{"start", []any{"raw(" + hex.EncodeToString(purse.script) + ")"}}},
		{"scantxoutset", []any{"start", []any{map[string]any{"desc": "wpkh(" + hex.EncodeToString(purse.key.PubKey().SerializeCompressed()) + ")"}}}},
		{"scantxoutset", []any{"start", []any{"addr(nobody)"}}},
		{"scantxoutset", []any{"start"}},
		{"scantxoutset", []any{"status"}},
		{"estimatesmartfee", []any{6}},
		{"estimatesmartfee", []any{0}},
		{"sendrawtransaction", []any{"00"}},
		{"sendrawtransaction", []any{"no hex"}},
		{"submitblock", []any{"00"}},
		{"invalidateblock", []any{none}},
		{"generatetoaddress", []any{1, "nobody"}},
		{"generateblock", []any{purse.addr, []string{none}}},
		{"generateblock", []any{purse.addr, []string{txHex(t, purse.pay(t, 5, []owned{unknownOutput()}))}}},
		{"validateaddress", []any{purse.addr}},
		{"waitfornewblock", []any{1}},
	} {
		ours, core := ask(t, p.ours, call.method, call.params...), ask(t, p.real.RPC, call.method, call.params...)
		if (ours.err == nil) != (core.err == nil) {
			t.Errorf("%s %v: ours %s, Core's %s", call.method, call.params, outcome(ours), outcome(core))
			continue
		}
		if core.err != nil {
			// Code -1 comes with a help page; what follows a comma is for people.
			if ours.err.Code != core.err.Code || ours.err.Status != core.err.Status ||
				core.err.Code != -1 && reasonOf(ours.err.Message) != reasonOf(core.err.Message) {
				t.Errorf("%s %v: ours %v, Core's %v", call.method, call.params, ours.err, core.err)
			}
			continue
		}
		if diff := cmp.Diff(prune(core.result), prune(ours.result)); diff != "" {
			t.Errorf("%s %v (- Core, + ours)\n%s", call.method, call.params, diff)
		}
	}
}

// fields that are Knots' own, are the desc of a key that only Core works out, or
// depend on when and where a node runs.
var ignored = []string{"txcount", "header_version", "size_on_disk", "usage", "dustrelayfee", "dustrelayfeefloor", "dustdynamic",
	"rbf_policy", "truc_policy", "desc", "isscript", "iswitness", "witness_version", "witness_program", "time",
	"currentpriority", "startingpriority", "hash"}

func prune(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if slices.Contains(ignored, key) {
				delete(v, key)
			} else {
				v[key] = prune(value)
			}
		}
	case []any:
		for i := range v {
			v[i] = prune(v[i])
		}
	case json.Number:
		f, _ := v.Float64()
		return f
	}
	return v
}

// The other direction: blocks that a real node makes are valid here, on a side
// branch as well.
func TestCoresBlocksAreOurs(t *testing.T) {
	p := newPair(t)
	p.real.Mine(t, 103)
	txid := p.real.Fund(t, someAddress, 77_000)
	p.real.Mine(t, 1)
	give := func() {
		t.Helper()
		for h := 1; h <= p.real.Height(t); h++ {
			var hash, raw string
			p.real.Must(t, &hash, "getblockhash", h)
			p.real.Must(t, &raw, "getblock", hash, 0)
			var refusal *string
			p.ours.Must(t, &refusal, "submitblock", raw)
			if refusal != nil && *refusal != "duplicate" && *refusal != "inconclusive" {
				t.Fatalf("block %d is refused: %s", h, *refusal)
			}
		}
		if tip(p.chain) != p.real.Tip(t) {
			t.Fatal("tips differ")
		}
	}
	give()
	p.real.Invalidate(t, p.real.Tip(t))
	p.real.Mine(t, 2)
	give()
	var tx struct{ Confirmations int }
	p.ours.Must(t, &tx, "getrawtransaction", txid, 1)
	if tx.Confirmations != 2 {
		t.Fatalf("the payment has %d confirmations, want 2", tx.Confirmations)
	}
}

// The dialect below the methods: status codes, versions, batches and bad requests.
func TestProtocolIsCores(t *testing.T) {
	p := newPair(t)
	type exchange struct {
		Status int
		Auth   string
		Body   any
	}
	post := func(rpc testnode.RPC, method, path, pass, body string) exchange {
		t.Helper()
		req, err := http.NewRequest(method, rpc.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth(rpc.User, pass)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		raw, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		x := exchange{Status: res.StatusCode, Auth: res.Header.Get("WWW-Authenticate")}
		if json.Unmarshal(raw, &x.Body) != nil {
			x.Body = strings.TrimSpace(string(raw))
		}
		if m, ok := x.Body.(map[string]any); ok && m["id"] == nil {
			delete(m, "id") // Core leaves it out of some answers
		}
		return x
	}
	for _, c := range []struct{ method, path, pass, body string }{
		{"POST", "/", "datestone", `{"method":"getblockcount"}`},
		{"POST", "/", "datestone", `{"jsonrpc":"1.0","id":"x","method":"getblockcount","params":[]}`},
		{"POST", "/", "datestone", `{"jsonrpc":"2.0","id":7,"method":"getblockcount"}`},
		{"POST", "/", "datestone", `{"jsonrpc":"2.0","id":7,"method":"nosuch"}`},
		{"POST", "/", "datestone", `{"jsonrpc":"2.0","method":"getblockcount"}`},
		{"POST", "/", "datestone", `{"id":1,"method":"getblockhash","params":{"height":0}}`},
		{"POST", "/", "datestone", `{"id":1,"method":"getblockhash","params":{"depth":0}}`},
		{"POST", "/", "datestone", `{"id":1,"method":"getblockhash","params":5}`},
		{"POST", "/", "datestone", `[5,{"id":1,"method":"getblockcount"},{"id":2,"method":"nosuch"}]`},
		{"POST", "/", "datestone", `[]`},
		{"POST", "/", "datestone", `{"method":5}`},
		{"POST", "/", "datestone", `{"id":1}`},
		{"POST", "/", "datestone", `{`},
		{"POST", "/", "datestone", ``},
		{"POST", "/", "wrong", `{"method":"getblockcount"}`},
		{"POST", "/elsewhere", "datestone", `{"method":"getblockcount"}`},
		{"GET", "/", "datestone", ``},
		{"PUT", "/", "datestone", `{"method":"getblockcount"}`},
	} {
		ours, core := post(p.ours, c.method, c.path, c.pass, c.body), post(p.real.RPC, c.method, c.path, c.pass, c.body)
		if diff := cmp.Diff(core, ours); diff != "" {
			t.Errorf("%s %s %s (- Core, + ours)\n%s", c.method, c.path, c.body, diff)
		}
	}
}
