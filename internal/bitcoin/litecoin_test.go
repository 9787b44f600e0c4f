package bitcoin_test

import (
	"encoding/hex"
	"slices"
	"testing"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/bitcoin"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/testnode"
	"github.com/datestone/datestone/ots"
)

func litecoin(c *bitcoin.Config) { c.Chain = bitcoin.Litecoin }

// proven checks an attestation against what the node itself says of the block.
func (l *live) proven(ref string) {
	l.t.Helper()
	r := rig{t: l.t, db: l.db}
	a := r.attestations()[ref]
	proof, err := ots.ParseTimestamp(a.Proof, len(a.Head.Root))
	if err != nil {
		l.t.Fatal(err)
	}
	var hash string
	l.node.Must(l.t, &hash, "getblockhash", a.Height)
	var block struct {
		MerkleRoot string
		Tx         []string
	}
	l.node.Must(l.t, &block, "getblock", hash, 1)
	if !slices.Contains(block.Tx, ref) {
		l.t.Fatalf("block %d has %v and not %s", a.Height, block.Tx, ref)
	}
	checked := 0
	err = proof.Walk(a.Head.Root[:], func(n *ots.Timestamp, msg []byte) error {
		for _, att := range n.Attestations() {
			checked++
			height, _ := att.Height()
			if att.Kind() != ots.KindLitecoin || int64(height) != a.Height || reversed(msg) != block.MerkleRoot {
				l.t.Errorf("%v stands on %s, and block %d has the root %s", att, reversed(msg), a.Height, block.MerkleRoot)
			}
		}
		return nil
	})
	if err != nil || checked != 1 {
		l.t.Fatalf("%d attestations: %v", checked, err)
	}
}

func (l *live) status() anchor.Status {
	l.t.Helper()
	r := rig{t: l.t, db: l.db}
	return r.status()
}

func reversed(b []byte) string {
	b = slices.Clone(b)
	slices.Reverse(b)
	return hex.EncodeToString(b)
}

// On a real Litecoin Core, across the height at which blocks get an extension block, and with traffic in it: a head is
// anchored, mined, taken out by a reorganisation, mined again and counted, and proven by what the node says.
func TestRealLitecoin(t *testing.T) {
	for _, c := range []struct {
		name     string
		replaces bool
		change   func(*bitcoin.Config)
	}{
		{name: "own wallet"},
		{name: "taproot, replacing", replaces: true, change: func(c *bitcoin.Config) { c.Script = "tr" }},
		{name: "node wallet", change: nodeWallet},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			args := []string{}
			if c.replaces {
				args = append(args, "-mempoolreplacement=1")
			}
			node := testnode.Litecoind(t, args...)
			node.Mine(t, testnode.ExtensionHeight-20)
			node.Must(t, nil, "createwallet", "stone")
			l := newLive(t, node, func(config *bitcoin.Config) {
				litecoin(config)
				if c.change != nil {
					c.change(config)
				}
			})
			l.append(3)
			l.want(anchor.NoFunds)
			node.Fund(t, l.address(), 200_000)
			node.Mine(t, 1)
			l.until("the first transaction is in the mempool", func() bool { return len(l.attempts()) == 1 && l.inMempool(l.newest().Ref) })
			first := l.newest()
			inside := node.Extend(t)
			node.Mine(t, 6)
			l.until("the attestation counts", func() bool { return l.state(first.Ref) == logtree.Counted })
			l.proven(first.Ref)

			// From here on blocks have an extension block. A coin of ours comes out of it.
			inside.Must(t, nil, "sendtoaddress", l.address(), 0.5)

			l.append(1)
			l.until("the second transaction is in the mempool", func() bool { return len(l.attempts()) == 2 && l.inMempool(l.newest().Ref) })
			second := l.newest()

			// Another start, with a higher rate: replaced where the node does that.
			l.append(2)
			l.config.FallbackFeeRate = 9
			l.start()
			l.until("the replacement was tried", func() bool { return len(l.attempts()) == 3 })
			if c.replaces {
				l.until("the replacement is in the mempool", func() bool { return l.inMempool(l.newest().Ref) && !l.inMempool(second.Ref) })
				second = l.newest()
			} else {
				l.want(anchor.OK)
				if third := l.newest(); l.inMempool(third.Ref) || !l.inMempool(second.Ref) || third.Set() != second.Set() {
					t.Fatalf("the node that replaces nothing has %+v in place of %+v", third, second)
				}
				l.append(1)
				l.config.FallbackFeeRate = 15
				l.want(anchor.OK)
				if n := len(l.attempts()); n != 3 {
					t.Fatalf("there are %d attempts: what the node does not replace was replaced again", n)
				}
			}
			block := node.Mine(t, 1)[0]
			l.until("the transaction is mined", func() bool { return l.state(second.Ref) == logtree.Mined })
			l.proven(second.Ref)

			// A branch without the transaction, and another with it.
			node.Must(t, nil, "prioritisetransaction", second.Ref, 0, -100_000_000)
			node.Invalidate(t, block)
			node.Mine(t, 2)
			l.until("the attestation is gone", func() bool { return l.state(second.Ref) == -1 })
			l.until("the transaction is in the mempool again", func() bool { return l.inMempool(second.Ref) })
			node.Must(t, nil, "prioritisetransaction", second.Ref, 0, 100_000_000)
			node.Mine(t, 24)
			l.until("the attestation counts", func() bool { return l.state(second.Ref) == logtree.Counted })
			l.proven(second.Ref)
			l.append(1)
			l.until("the next transaction is in the mempool", func() bool { return l.inMempool(l.newest().Ref) })
			if got := l.status().Balance; got < 50_000_000 {
				t.Errorf("the balance is %d: the coin that left the extension block is not seen", got)
			}
		})
	}
}
