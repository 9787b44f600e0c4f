package bitcoin

import (
	"encoding/binary"
	"math/big"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/ots"
)

// fakeBlock is a block of n transactions with two inputs and two outputs each, of which number at
// carries root.
func fakeBlock(t testing.TB, n, at int, root [32]byte) *wire.MsgBlock {
	t.Helper()
	b := wire.NewMsgBlock(&wire.BlockHeader{Version: 4, Timestamp: time.Unix(1_800_000_000, 0), Bits: 0x207fffff})
	for i := range n {
		tx := wire.NewMsgTx(2)
		for j := range 2 {
			var seed [8]byte
			binary.BigEndian.PutUint64(seed[:], uint64(2*i+j))
			from := chainhash.HashH(seed[:])
			tx.AddTxIn(wire.NewTxIn(wire.NewOutPoint(&from, uint32(j)), nil, [][]byte{make([]byte, 72), make([]byte, 33)}))
			tx.AddTxOut(wire.NewTxOut(int64(i), append([]byte{0, 20}, from[:20]...)))
		}
		if i == at {
			data, err := txscript.NullDataScript(root[:])
			if err != nil {
				t.Fatal(err)
			}
			tx.TxOut[0] = wire.NewTxOut(0, data)
		}
		if err := b.AddTransaction(tx); err != nil {
			t.Fatal(err)
		}
	}
	b.Header.MerkleRoot = referenceRoot(b)
	return b
}

// referenceRoot is the root of a block's tree as the protocol defines it, by recursion.
func referenceRoot(b *wire.MsgBlock) chainhash.Hash {
	var level []chainhash.Hash
	for _, tx := range b.Transactions {
		level = append(level, tx.TxHash())
	}
	for len(level) > 1 {
		var next []chainhash.Hash
		for i := 0; i < len(level); i += 2 {
			right := level[min(i+1, len(level)-1)]
			next = append(next, chainhash.DoubleHashH(append(level[i].CloneBytes(), right[:]...)))
		}
		level = next
	}
	return level[0]
}

// Every transaction of blocks of every small size, and of some large ones, gets a path to the header.
func TestBlockPaths(t *testing.T) {
	root := [32]byte{1, 2, 3}
	check := func(n, at int) {
		b := fakeBlock(t, n, at, root)
		a := anchor.Attempt{Ref: b.Transactions[at].TxID(), Head: logtree.Head{Size: 1, Root: root}}
		o, err := watch{chain: Bitcoin, attempts: map[string]anchor.Attempt{a.Ref: a}}.observe(b, 7)
		if err != nil || len(o.Mined) != 1 {
			t.Fatalf("transaction %d of %d: %v", at, n, err)
		}
		ts, err := ots.ParseTimestamp(o.Mined[0].Proof, 32)
		if err != nil {
			t.Fatal(err)
		}
		err = ts.Walk(root[:], func(node *ots.Timestamp, msg []byte) error {
			if len(node.Attestations()) > 0 && string(msg) != string(b.Header.MerkleRoot[:]) {
				t.Errorf("transaction %d of %d: the path ends in %x", at, n, msg)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for n := 1; n <= 20; n++ {
		for at := range n {
			check(n, at)
		}
	}
	for _, n := range []int{1000, 1023, 1025} {
		check(n, 0)
		check(n, n-1)
		check(n, n/2)
	}
}

// A block whose header does not commit to its transactions gives no attestation.
func TestLyingBlock(t *testing.T) {
	root := [32]byte{1}
	b := fakeBlock(t, 5, 3, root)
	a := anchor.Attempt{Ref: b.Transactions[3].TxID(), Head: logtree.Head{Root: root}}
	b.Header.MerkleRoot[0] ^= 1
	if _, err := (watch{chain: Bitcoin, attempts: map[string]anchor.Attempt{a.Ref: a}}).observe(b, 7); err == nil {
		t.Error("a path that leads nowhere is accepted")
	}
	b.Header.MerkleRoot[0] ^= 1
	a.Head.Root[0] ^= 1
	if _, err := (watch{chain: Bitcoin, attempts: map[string]anchor.Attempt{a.Ref: a}}).observe(b, 7); err == nil {
		t.Error("a transaction without the root is accepted")
	}
}

func TestBlockWork(t *testing.T) {
	for _, c := range []struct {
		bits uint32
		want string
	}{
		{chaincfg.MainNetParams.GenesisBlock.Header.Bits, "100010001"},
		{chaincfg.RegressionNetParams.GenesisBlock.Header.Bits, "2"},
		{0x1b0404cb, "3fb3ab764c00"}, {0, "0"}, {0x01800000, "0"}, {0xff7fffff, "0"},
	} {
		if got := blockWork(c.bits).Text(16); got != c.want {
			t.Errorf("the work of %08x is %s, want %s", c.bits, got, c.want)
		}
	}
	full := addWork([32]byte{}, new(big.Int).Lsh(big.NewInt(1), 300))
	if addWork(full, big.NewInt(1)) != full {
		t.Error("work overflows")
	}
}

func BenchmarkBlockPath5000(b *testing.B) {
	root := [32]byte{9}
	block := fakeBlock(b, 5000, 4321, root)
	a := anchor.Attempt{Ref: block.Transactions[4321].TxID(), Head: logtree.Head{Root: root}}
	w := watch{chain: Bitcoin, scripts: map[string]int{"x": 0}, coins: map[wire.OutPoint]bool{{}: true}, attempts: map[string]anchor.Attempt{a.Ref: a}}
	for b.Loop() {
		if _, err := w.observe(block, 7); err != nil {
			b.Fatal(err)
		}
	}
}
