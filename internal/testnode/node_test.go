package testnode

import (
	"os"
	"testing"
)

// The harness itself: each kind of node mines, pays, reorganizes and restarts, and different ones agree.
func TestNodes(t *testing.T) {
	for _, start := range []func(testing.TB, ...string) *Node{Bitcoind, Btcd, Litecoind} {
		n := start(t)
		t.Run(n.Kind.String(), func(t *testing.T) {
			to := minerAddress(1000, n.chain).EncodeAddress()
			txid := n.Fund(t, to, 123_456)
			block := n.Mine(t, 1)[0]
			var tx struct{ BlockHash string }
			n.Must(t, &tx, "getrawtransaction", txid, 1)
			if tx.BlockHash != block {
				t.Fatalf("the payment is in block %q, want %q", tx.BlockHash, block)
			}

			before := n.Height(t)
			n.Invalidate(t, block)
			if got := n.Height(t); got != before-1 {
				t.Fatalf("height after invalidateblock is %d, want %d", got, before-1)
			}
			if other := n.Mine(t, 2)[1]; n.Tip(t) != other || n.Height(t) != before+1 {
				t.Fatalf("the new branch is not the best one")
			}

			n.Stop(t)
			n.Start(t)
			kept := map[Kind]int{KindBitcoind: before + 1, KindBtcd: 0, KindLitecoind: before + 1}[n.Kind]
			if got := n.Height(t); got != kept {
				t.Fatalf("height after a restart is %d, want %d", got, kept)
			}
			if err := n.Call(nil, "getblockhash", 1_000_000); ErrorCode(err) == 0 {
				t.Fatalf("a height that does not exist: %v, want the node's error", err)
			}
		})
	}
}

func TestDifferentKindsReorganize(t *testing.T) {
	a, b := Bitcoind(t), Btcd(t)
	a.Mine(t, 2)
	b.Mine(t, 4)
	want := b.Tip(t)
	a.Connect(t, b)
	a.Synced(t, b)
	if a.Tip(t) != want {
		t.Fatal("the shorter branch won")
	}
	if _, err := os.Stat(a.Cookie()); err != nil {
		t.Fatal(err)
	}
}
