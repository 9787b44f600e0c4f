package bitcoin_test

import (
	"testing"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/testnode"
)

// move points the target at the node's new address, or at another node.
func (l *live) move(node *testnode.Node) {
	l.t.Helper()
	l.node, l.config.RPCURL = node, node.URL
	l.start()
}

// anchored is a target on a new node whose first transaction is in the mempool.
func anchored(t *testing.T, node *testnode.Node) (*live, anchor.Attempt) {
	t.Helper()
	node.Mine(t, 110)
	l := newLive(t, node, nil)
	l.append(3)
	l.want(anchor.NoFunds)
	node.Fund(t, l.address(), 200_000)
	node.Mine(t, 1)
	l.until("the first transaction is in the mempool", func() bool { return len(l.attempts()) == 1 && l.inMempool(l.newest().Ref) })
	return l, l.newest()
}

// A real node dies, and comes back without its mempool: the same transaction is sent again.
func TestRealNodeLosesItsMempool(t *testing.T) {
	t.Parallel()
	node := testnode.Bitcoind(t, "-persistmempool=0")
	l, a := anchored(t, node)
	node.Stop(t)
	l.want(anchor.NodeDown)
	node.Start(t)
	if l.inMempool(a.Ref) {
		t.Fatal("the node kept its mempool")
	}
	l.move(node)
	l.until("the transaction is in the mempool again", func() bool { return l.inMempool(a.Ref) })
	node.Mine(t, 6)
	l.until("the attestation counts", func() bool { return l.state(a.Ref) == logtree.Counted })
	if n := len(l.attempts()); n != 1 {
		t.Fatalf("there are %d attempts", n)
	}
}

// A real node is wiped. While it has less than was seen it is waited for; on a chain of its own the old
// attestation is withdrawn, and after new money came everything is attested anew.
func TestRealNodeIsWiped(t *testing.T) {
	t.Parallel()
	node := testnode.Btcd(t)
	l, a := anchored(t, node)
	node.Mine(t, 6)
	l.until("the attestation counts", func() bool { return l.state(a.Ref) == logtree.Counted })
	node.Stop(t)
	node.Start(t) // with an empty chain
	l.move(node)
	l.want(anchor.NodeBehind)
	if l.state(a.Ref) != logtree.Counted {
		t.Fatal("an attestation was withdrawn because the node is behind")
	}
	mineEmpty(t, node, 20)
	l.want(anchor.NodeStaleFork)
	if l.state(a.Ref) != logtree.Withdrawn {
		t.Fatalf("the attestation is in state %d on another chain", l.state(a.Ref))
	}
	node.Mine(t, 120)
	node.Fund(t, l.address(), 200_000)
	node.Mine(t, 1)
	l.until("a new transaction is in the mempool", func() bool { return len(l.attempts()) == 2 && l.inMempool(l.newest().Ref) })
	b := l.newest()
	node.Mine(t, 6)
	l.until("the new attestation counts", func() bool { return l.state(b.Ref) == logtree.Counted })
}

// Two real nodes of different kinds part and meet: the transaction is mined in both branches, in
// different blocks, and the attestation follows the longer one.
func TestRealNodesPartAndMeet(t *testing.T) {
	t.Parallel()
	one, two := testnode.Bitcoind(t), testnode.Btcd(t)
	l, a := anchored(t, one)
	one.Mine(t, 2)
	l.until("the transaction is mined", func() bool { return l.state(a.Ref) == logtree.Mined })
	r := rig{t: t, db: l.db}
	before := r.attestations()[a.Ref]
	two.Mine(t, 150) // another chain with more work
	two.Connect(t, one)
	one.Synced(t, two)
	l.until("the attestation is gone", func() bool { return l.state(a.Ref) == -1 })
	if before.Height == 0 {
		t.Fatal("the attestation had no block")
	}
	// The money is gone with the old chain: it comes again.
	two.Fund(t, l.address(), 100_000)
	two.Mine(t, 1)
	one.Synced(t, two)
	l.until("another transaction is in the mempool", func() bool { return len(l.attempts()) == 2 && l.inMempool(l.newest().Ref) })
	b := l.newest()
	testnode.Eventually(t, 30e9, "the other node knows it", func() bool {
		other := live{t: t, node: two}
		return other.inMempool(b.Ref)
	})
	two.Mine(t, 6)
	one.Synced(t, two)
	l.until("the new attestation counts", func() bool { return l.state(b.Ref) == logtree.Counted })
}

// The attempt that was replaced is mined after all, by a miner who never saw the replacement.
func TestRealNodeMinesTheReplaced(t *testing.T) {
	t.Parallel()
	node := testnode.Bitcoind(t)
	l, first := anchored(t, node)
	l.append(1)
	l.config.FallbackFeeRate = 8
	l.start()
	l.until("the replacement is in the mempool", func() bool { return len(l.attempts()) == 2 && l.inMempool(l.newest().Ref) })
	second := l.newest()
	// A block of the first one's bytes, which the mempool no longer has.
	mineRaw(t, node, first.Raw)
	l.until("the first is mined", func() bool { return l.state(first.Ref) == logtree.Mined })
	l.until("a third takes the rest", func() bool { return len(l.attempts()) == 3 && l.inMempool(l.newest().Ref) })
	third := l.newest()
	if third.Head.Size != 4 || third.Set() != first.Ref+":1" {
		t.Fatalf("the third attempt is %+v", third)
	}
	node.Mine(t, 6)
	l.until("both count", func() bool { return l.state(first.Ref) == logtree.Counted && l.state(third.Ref) == logtree.Counted })
	if all := l.attempts(); all[1].Ref != second.Ref || all[1].State != anchor.Dead {
		t.Fatalf("the replacement is in state %d, want dead", all[1].State)
	}
}

// A node's encrypted wallet is named while it is locked, and used when it is not.
func TestRealNodeLockedWallet(t *testing.T) {
	t.Parallel()
	node := testnode.Bitcoind(t)
	node.Mine(t, 110)
	l := newLive(t, node, nodeWallet)
	l.append(1)
	l.want(anchor.WalletMissing)
	node.Must(t, nil, "createwallet", "stone", false, false, "passphrase")
	l.want(anchor.NoFunds)
	node.Fund(t, l.address(), 100_000)
	node.Mine(t, 1)
	l.want(anchor.WalletLocked)
	node.Must(t, nil, "walletpassphrase", "passphrase", 600)
	l.until("the transaction is in the mempool", func() bool { return len(l.attempts()) == 1 && l.inMempool(l.newest().Ref) })
	node.Mine(t, 6)
	l.until("the attestation counts", func() bool { return l.state(l.newest().Ref) == logtree.Counted })
	// The change of one is spent by the next.
	first := l.newest()
	l.append(1)
	l.until("the next is in the mempool", func() bool { return len(l.attempts()) == 2 && l.inMempool(l.newest().Ref) })
	if set := l.newest().Set(); set != first.Ref+":1" {
		t.Fatalf("the next set is %s, want the change of %s", set, first.Ref)
	}
}

// A real node has deleted blocks that were not read yet: the state names it, the node is made to ask
// its peer for them, and when it has them everything goes on.
func TestRealNodePruned(t *testing.T) {
	t.Parallel()
	pruned := testnode.Bitcoind(t, "-txindex=0", "-prune=1", "-fastprune")
	full := testnode.Bitcoind(t)
	full.Mine(t, 1)
	pruned.Connect(t, full)
	pruned.Synced(t, full)
	l, a := anchored(t, pruned)
	pruned.Mine(t, 1)
	full.Synced(t, pruned)
	full.Mine(t, 900)
	pruned.Synced(t, full)
	var deleted int64
	pruned.Must(t, &deleted, "pruneblockchain", 500)
	if deleted < 120 {
		t.Fatalf("the node deleted blocks up to %d only", deleted)
	}
	named := false
	l.until("the attestation counts", func() bool {
		s, err := l.db.Targets(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		named = named || s[0].Code == anchor.NodePruned
		return l.state(a.Ref) == logtree.Counted
	})
	if !named {
		t.Error("the status never said that blocks are missing")
	}
}
