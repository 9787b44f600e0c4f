package bitcoin_test

import (
	"bytes"
	"encoding/hex"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/bitcoin"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/store"
	"github.com/datestone/datestone/internal/testnode"
)

// live is a log, a real node and a target between them.
type live struct {
	t       testing.TB
	node    *testnode.Node
	db      *store.DB
	config  bitcoin.Config
	target  *bitcoin.Target
	loop    *anchor.Loop
	now     time.Time
	carries bool // seeds
}

func newLive(t testing.TB, node *testnode.Node, change func(*bitcoin.Config)) *live {
	t.Helper()
	dir := t.TempDir()
	l := &live{t: t, node: node, now: time.Now().UTC()}
	l.config = bitcoin.Config{
		Network: "regtest", RPCURL: node.URL, RPCUser: node.User, RPCPassword: node.Pass, KeyFile: filepath.Join(dir, "key"),
		Interval: 1, Resend: bitcoin.Duration(time.Second), FallbackFeeRate: 2,
	}
	if change != nil {
		change(&l.config)
	}
	if l.config.KeyFile != "" {
		if err := bitcoin.GenerateKeyFile(l.config.KeyFile); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if l.db, err = store.Open(t.Context(), filepath.Join(dir, "datestone.db"), store.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.db.Close() })
	l.start()
	return l
}

// start makes target and loop anew, as a start of the process does.
func (l *live) start() {
	l.t.Helper()
	var err error
	log := slog.New(slog.NewTextHandler(testLog{l.t}, nil))
	if l.target, err = bitcoin.New(name, l.config, l.db, log); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(l.target.Close)
	o := anchor.Options{Log: log}
	if l.carries {
		l.target.CarrySeeds()
		o.Seeds = l.db
	}
	l.loop = anchor.New(name, l.target, l.db, o)
}

func (l *live) try() error {
	l.now = l.now.Add(2 * time.Second)
	return l.loop.Step(l.t.Context(), l.now)
}

// want steps until a step ends in this state: reading blocks may take some.
func (l *live) want(code anchor.Code) {
	l.t.Helper()
	testnode.Eventually(l.t, 30*time.Second, "the state is "+string(code), func() bool {
		err := l.try()
		if err != nil {
			l.t.Logf("step: %v", err)
		}
		return anchor.CodeOf(err) == code
	})
}

// until steps until it is so.
func (l *live) until(what string, ok func() bool) {
	l.t.Helper()
	testnode.Eventually(l.t, 30*time.Second, what, func() bool {
		if err := l.try(); err != nil {
			l.t.Logf("step: %v", err)
		}
		return ok()
	})
}

func (l *live) append(n int) {
	l.t.Helper()
	r := rig{t: l.t, db: l.db, now: l.now}
	r.append(n)
}

func (l *live) attempts() []anchor.Attempt {
	l.t.Helper()
	r := rig{t: l.t, db: l.db}
	return r.attempts()
}

// newest is the attempt that was made last.
func (l *live) newest() anchor.Attempt {
	l.t.Helper()
	all := l.attempts()
	if len(all) == 0 {
		l.t.Fatal("there is no attempt")
	}
	return all[len(all)-1]
}

func (l *live) state(ref string) logtree.AttestationState {
	l.t.Helper()
	r := rig{t: l.t, db: l.db}
	a, ok := r.attestations()[ref]
	if !ok {
		return -1
	}
	return a.State
}

func (l *live) address() string {
	l.t.Helper()
	s, err := l.target.Status(l.t.Context(), l.now)
	if err != nil || s.Address == "" {
		l.t.Fatalf("the address is %q: %v", s.Address, err)
	}
	return s.Address
}

func (l *live) inMempool(ref string) bool {
	l.t.Helper()
	var ids []string
	l.node.Must(l.t, &ids, "getrawmempool")
	return slices.Contains(ids, ref)
}

// configurations are the kinds of nodes and wallets that a target works with.
var configurations = []struct {
	name   string
	start  func(testing.TB, ...string) *testnode.Node
	change func(testing.TB, *testnode.Node) func(*bitcoin.Config)
}{
	{"bitcoind/wpkh", testnode.Bitcoind, nil},
	{"bitcoind/tr", testnode.Bitcoind, func(testing.TB, *testnode.Node) func(*bitcoin.Config) {
		return func(c *bitcoin.Config) { c.Script = "tr" }
	}},
	{"bitcoind/cookie and node wallet", testnode.Bitcoind, func(t testing.TB, n *testnode.Node) func(*bitcoin.Config) {
		n.Must(t, nil, "createwallet", "stone")
		return func(c *bitcoin.Config) {
			c.Wallet, c.KeyFile, c.RPCUser, c.RPCPassword, c.RPCCookie = "node:stone", "", "", "", n.Cookie()
		}
	}},
	{"btcd/wpkh", testnode.Btcd, nil},
	{"btcd/tr", testnode.Btcd, func(testing.TB, *testnode.Node) func(*bitcoin.Config) {
		return func(c *bitcoin.Config) { c.Script = "tr" }
	}},
}

// On real nodes: an empty wallet is funded, a head is anchored, replaced by a newer one for a higher
// fee, mined, taken out by a reorganisation, mined again, counted, taken out again and restored.
func TestRealNodes(t *testing.T) {
	for _, c := range configurations {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			node := c.start(t)
			node.Mine(t, 110)
			var change func(*bitcoin.Config)
			if c.change != nil {
				change = c.change(t, node)
			}
			l := newLive(t, node, change)
			l.append(3)
			l.want(anchor.NoFunds)
			node.Fund(t, l.address(), 200_000)
			node.Mine(t, 1)
			l.until("the first transaction is in the mempool", func() bool { return len(l.attempts()) == 1 && l.inMempool(l.newest().Ref) })
			first := l.newest()

			// Another start, with a higher rate: the newest head replaces the first.
			l.append(2)
			l.config.FallbackFeeRate = 9
			l.start()
			l.until("the replacement is in the mempool", func() bool { return len(l.attempts()) == 2 && l.inMempool(l.newest().Ref) })
			second := l.newest()
			if second.Set() != first.Set() || second.Head.Size != 5 || second.Fee <= first.Fee || l.inMempool(first.Ref) {
				t.Fatalf("%+v does not replace %+v", second, first)
			}

			// Mined, and out again before it counts.
			block := node.Mine(t, 1)[0]
			l.until("the transaction is mined", func() bool { return l.state(second.Ref) == logtree.Mined })
			node.Invalidate(t, block)
			mineEmpty(t, node, 2)
			l.until("the attestation is gone", func() bool { return l.state(second.Ref) == -1 })
			l.until("the transaction is in the mempool again", func() bool { return l.inMempool(second.Ref) })
			block = node.Mine(t, 1)[0]
			node.Mine(t, 5)
			l.until("the attestation counts", func() bool { return l.state(second.Ref) == logtree.Counted })
			if a := l.attempts()[0]; a.State != anchor.Dead {
				t.Fatalf("the replaced attempt is in state %d, want dead", a.State)
			}

			// A deep reorganisation after that.
			node.Invalidate(t, block)
			mineEmpty(t, node, 8)
			l.until("the attestation is withdrawn", func() bool { return l.state(second.Ref) == logtree.Withdrawn })
			l.until("the transaction is in the mempool again", func() bool { return l.inMempool(second.Ref) })
			node.Mine(t, 6)
			l.until("the attestation is restored", func() bool { return l.state(second.Ref) == logtree.Counted })

			// The next head spends the change.
			l.append(1)
			l.until("the next transaction is in the mempool", func() bool { return len(l.attempts()) == 3 && l.inMempool(l.newest().Ref) })
			if next := l.newest(); next.Set() != second.Ref+":1" {
				t.Fatalf("the next set is %s, want the change of %s", next.Set(), second.Ref)
			}
		})
	}
}

// nodeWallet changes settings to the wallet of a node with the name stone.
func nodeWallet(c *bitcoin.Config) { c.Wallet, c.KeyFile = "node:stone", "" }

// mineRaw makes a block with one transaction.
func mineRaw(t testing.TB, node *testnode.Node, raw []byte) {
	t.Helper()
	node.Must(t, nil, "generateblock", "raw(51)", []string{hex.EncodeToString(raw)})
}

// mineEmpty makes blocks that confirm nothing, by hand: btcd has no call for that.
func mineEmpty(t testing.TB, node *testnode.Node, n int) {
	t.Helper()
	for range n {
		var text string
		node.Must(t, &text, "getblockheader", node.Tip(t), false)
		raw, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		var prev wire.BlockHeader
		if err := prev.Deserialize(bytes.NewReader(raw)); err != nil {
			t.Fatal(err)
		}
		script, err := txscript.NewScriptBuilder().AddInt64(int64(node.Height(t) + 1)).AddInt64(rand.Int64()).Script()
		if err != nil {
			t.Fatal(err)
		}
		coinbase := wire.NewMsgTx(2)
		coinbase.AddTxIn(wire.NewTxIn(wire.NewOutPoint(&chainhash.Hash{}, wire.MaxPrevOutIndex), script, nil))
		coinbase.AddTxOut(wire.NewTxOut(0, []byte{txscript.OP_TRUE}))
		b := wire.NewMsgBlock(&wire.BlockHeader{Version: 0x20000000, PrevBlock: prev.BlockHash(), MerkleRoot: coinbase.TxHash(), Timestamp: prev.Timestamp.Add(time.Second), Bits: prev.Bits})
		if err := b.AddTransaction(coinbase); err != nil {
			t.Fatal(err)
		}
		// A target of regtest is above half of all hashes.
		for {
			if h := b.BlockHash(); h[31] < 0x7f {
				break
			}
			b.Header.Nonce++
		}
		var block bytes.Buffer
		if err := b.Serialize(&block); err != nil {
			t.Fatal(err)
		}
		var reason any
		node.Must(t, &reason, "submitblock", hex.EncodeToString(block.Bytes()))
		if h := b.BlockHash(); reason != nil || node.Tip(t) != h.String() {
			t.Fatalf("the node does not take the block: %v", reason)
		}
	}
}
