package bitcoin

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"sort"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/bitcoin/ledger"
)

const (
	// unscanned is how many of the newest blocks are read at the first start.
	unscanned = 100
	// stepTime is how long blocks are read before the status is reported again.
	stepTime = 5 * time.Second
)

// follow brings the stored chain to the node's best block. Its error names what is wrong with the
// node; nothing new should be sent then.
func (t *Target) follow(ctx context.Context, now time.Time) error {
	best, err := t.node.best(ctx)
	if err != nil {
		return err
	}
	chain, err := t.store.Chain(ctx, t.name)
	if err != nil {
		return err
	}
	if chain.Followed && chain.Best.Hash == best && t.pinned && !t.lagging {
		t.nodeHeight = chain.Best.Height
		return t.staleFork(chain)
	}
	if err := t.checkNetwork(ctx, now); err != nil {
		return err
	}
	info, err := t.node.chainInfo(ctx)
	if err != nil {
		return err
	}
	t.nodeHeight = info.Blocks
	// What the node refused or thought too cheap may be different now.
	t.forget()
	if !chain.Followed {
		if err := t.start(ctx, now, chain, info); err != nil {
			return err
		}
	}
	if err := t.rewind(ctx, now, info); err != nil {
		return err
	}
	if err := t.advance(ctx, now, info); err != nil {
		return err
	}
	t.lagging = t.config.Network != "regtest" && (info.Syncing || info.Headers > info.Blocks+3)
	if t.lagging {
		return anchor.Faultf(anchor.NodeSyncing, nil, "The %s node is downloading the chain: %d of %d blocks.", t.net.chain.name, info.Blocks, info.Headers)
	}
	if chain, err = t.store.Chain(ctx, t.name); err != nil {
		return err
	}
	return t.staleFork(chain)
}

func (t *Target) staleFork(c ledger.Chain) error {
	if new(big.Int).SetBytes(c.Best.Work[:]).Cmp(new(big.Int).SetBytes(c.MostWork[:])) >= 0 {
		return nil
	}
	return anchor.Faultf(anchor.NodeStaleFork, nil, "The %s node follows a chain with less work than one that was seen already; nothing is counted until it has caught up. Check its peers.", t.net.chain.name)
}

// checkNetwork refuses a node of another chain than is configured, or than the database knows.
func (t *Target) checkNetwork(ctx context.Context, now time.Time) error {
	genesis, err := t.node.blockHash(ctx, 0)
	if err != nil {
		return t.node.strange(err)
	}
	if genesis != t.net.genesis {
		return anchor.Faultf(anchor.WrongNetwork, nil, "The %s node's first block is %v: it is not on %s. Correct the node's address or the network.", t.net.chain.name, genesis, t.config.Network)
	}
	if t.pinned {
		return nil
	}
	pinned, err := t.store.PinTarget(ctx, now, t.name, genesis.String())
	if err != nil {
		return err
	}
	if pinned != genesis.String() {
		return anchor.Faultf(anchor.WrongNetwork, nil, "The database has attestations of another chain under the name %s; give the target of %s another name.", t.name, t.config.Network)
	}
	t.pinned = true
	return nil
}

// start begins to follow the chain, with the coins that the wallet has at that block.
func (t *Target) start(ctx context.Context, now time.Time, chain ledger.Chain, info chainInfo) error {
	base, own := chain.Base, !isNodeWallet(t.config.Wallet)
	switch {
	case base >= 0: // it was followed before, and every block of that is gone
	case t.config.Birth > 0:
		base = t.config.Birth - 1
	default:
		base = max(0, info.Blocks-unscanned)
	}
	if info.Pruned {
		base = max(base, info.PruneHeight)
	}
	var coins []ledger.Coin
	if base > 0 && own && t.config.Birth == 0 {
		found, err := t.scan(ctx, base)
		switch {
		case errors.Is(err, errNoScan) && t.config.Network == "regtest":
			base = 0
		case errors.Is(err, errNoScan):
			t.log.Warn("the node cannot search for coins; those that the wallet got before are not seen: set birth to find them", "height", base)
		case err != nil:
			return err
		}
		coins = found
	}
	if base > info.Blocks {
		return anchor.Faultf(anchor.NodeSyncing, nil, "The %s node has %d blocks and following begins at block %d; wait, or correct birth.", t.net.chain.name, info.Blocks, base)
	}
	hash, err := t.node.blockHash(ctx, base)
	if err != nil {
		return t.node.strange(err)
	}
	b := ledger.Block{Height: base, Hash: hash}
	if work, ok, err := t.node.chainWork(ctx, hash); err != nil {
		return err
	} else if ok {
		b.Work = addWork(b.Work, work)
	} else if base == 0 {
		b.Work = addWork(b.Work, blockWork(t.net.bits))
	}
	t.log.Info("following the chain", "height", base, "coins", len(coins))
	return t.store.StartChain(ctx, now, t.name, b, coins)
}

// scan finds the wallet's unspent coins in blocks up to a height.
func (t *Target) scan(ctx context.Context, height int64) ([]ledger.Coin, error) {
	branches := t.wallet.scripts()
	var scripts [][]byte
	for s := range branches {
		scripts = append(scripts, []byte(s))
	}
	all, err := t.node.unspent(ctx, scripts)
	if err != nil {
		return nil, err
	}
	var coins []ledger.Coin
	for _, c := range all {
		if branch, ours := branches[string(c.Script)]; ours && c.Height <= height {
			c.Branch = branch
			coins = append(coins, c)
		}
	}
	return coins, nil
}

// rewind takes away the stored blocks that the node's chain contradicts. A node whose best block is
// an ancestor of ours contradicts nothing: it is behind.
func (t *Target) rewind(ctx context.Context, now time.Time, info chainInfo) error {
	chain, err := t.store.Chain(ctx, t.name)
	if err != nil {
		return err
	}
	agrees := func(height int64) (bool, error) {
		ours, err := t.store.BlockAt(ctx, t.name, height)
		if err != nil {
			return false, err
		}
		theirs, err := t.node.blockHash(ctx, height)
		return theirs == ours.Hash, err
	}
	top := min(chain.Best.Height, info.Blocks)
	if top < chain.Base {
		return t.behind(info, chain)
	}
	same, err := agrees(top)
	if err != nil {
		return t.moved(err)
	}
	if same && top == chain.Best.Height {
		return nil
	}
	if same {
		return t.behind(info, chain)
	}
	// The first of our blocks, by height, that is not theirs.
	var failed error
	first := chain.Base + int64(sort.Search(int(top-chain.Base), func(i int) bool {
		if failed != nil {
			return true
		}
		same, err := agrees(chain.Base + int64(i))
		failed = err
		return !same
	}))
	if failed != nil {
		return t.moved(failed)
	}
	t.log.Warn("the chain was reorganised", "from", first, "to", chain.Best.Height)
	for height := chain.Best.Height; height >= first; height-- {
		b, err := t.store.BlockAt(ctx, t.name, height)
		if err != nil {
			return err
		}
		withdrawn, err := t.store.DisconnectBlock(ctx, now, t.name, b)
		if err != nil {
			return err
		}
		for _, a := range withdrawn {
			t.log.Error("an attestation that was given out is withdrawn: its block left the best chain", "transaction", a.Ref, "height", a.Height, anchor.Naming(a.Purpose, a.Head))
		}
	}
	if first > chain.Base {
		return nil
	}
	if chain, err = t.store.Chain(ctx, t.name); err != nil {
		return err
	}
	return t.start(ctx, now, chain, info)
}

func (t *Target) behind(info chainInfo, chain ledger.Chain) error {
	return anchor.Faultf(anchor.NodeBehind, nil, "The %s node is at block %d, behind block %d that was seen already; waiting for it.", t.net.chain.name, info.Blocks, chain.Best.Height)
}

// moved is the error for a chain that changed while it was read; the next step reads it again.
func (t *Target) moved(err error) error {
	if errors.Is(err, errNoBlock) {
		return anchor.Faultf(anchor.NodeBehind, err, "The %s node's chain changed while it was read; reading it again.", t.net.chain.name)
	}
	return err
}

// advance adds the node's blocks after the stored best one.
func (t *Target) advance(ctx context.Context, now time.Time, info chainInfo) error {
	chain, err := t.store.Chain(ctx, t.name)
	if err != nil {
		return err
	}
	best := chain.Best
	began := time.Now()
	for best.Height < info.Blocks {
		if time.Since(began) > stepTime {
			return anchor.Faultf(anchor.Scanning, nil, "Reading blocks: %d of %d.", best.Height, info.Blocks)
		}
		hash, err := t.node.blockHash(ctx, best.Height+1)
		if err != nil {
			return t.moved(err)
		}
		b, err := t.node.block(ctx, hash)
		if errors.Is(err, errPruned) {
			return t.pruned(ctx, hash, best.Height+1, err)
		} else if err != nil {
			return t.moved(err)
		}
		if b.Header.PrevBlock != best.Hash {
			return t.moved(errNoBlock)
		}
		if best, err = t.connect(ctx, now, b, best); err != nil {
			return err
		}
	}
	return nil
}

// connect stores the block after best with all that it means to us.
func (t *Target) connect(ctx context.Context, now time.Time, b *wire.MsgBlock, best ledger.Block) (ledger.Block, error) {
	w, err := t.watch(ctx)
	if err != nil {
		return best, err
	}
	o, err := w.observe(b, best.Height+1)
	if err != nil {
		return best, t.node.strange(err)
	}
	o.Work = addWork(best.Work, blockWork(b.Header.Bits))
	counted, err := t.store.ConnectBlock(ctx, now, t.name, o, int64(t.config.Confirmations))
	if err != nil {
		return best, err
	}
	for _, a := range o.Mined {
		t.log.Info("a transaction is mined", "transaction", a.Ref, "height", a.Height, anchor.Naming(a.Purpose, a.Head))
	}
	for _, a := range counted {
		t.log.Info("an attestation counts", "transaction", a.Ref, "height", a.Height, anchor.Naming(a.Purpose, a.Head))
	}
	return o.Block, nil
}

// watch is what the next block is searched for.
func (t *Target) watch(ctx context.Context) (watch, error) {
	w := watch{chain: t.net.chain, scripts: t.wallet.scripts(), coins: make(map[wire.OutPoint]bool), attempts: make(map[string]anchor.Attempt), foreign: isNodeWallet(t.config.Wallet)}
	coins, err := t.store.Coins(ctx, t.name)
	if err != nil {
		return w, err
	}
	for _, c := range coins {
		at, err := parseOutpoint(c.Outpoint)
		if err != nil {
			return w, fmt.Errorf("reading the coins of target %s: %w", t.name, err)
		}
		w.coins[at] = true
	}
	attempts, err := t.store.Unsettled(ctx, t.name)
	if err != nil {
		return w, err
	}
	for _, a := range attempts {
		w.attempts[a.Ref] = a
	}
	return w, nil
}

// pruned names a block that the node has deleted, and asks the node's peers for it.
func (t *Target) pruned(ctx context.Context, hash chainhash.Hash, height int64, cause error) error {
	var peers []struct {
		ID int64 `json:"id"`
	}
	asked := 0
	if err := t.node.ask(ctx, &peers, "getpeerinfo"); err == nil {
		for _, p := range peers[:min(len(peers), 8)] {
			if t.node.ask(ctx, nil, "getblockfrompeer", hash.String(), p.ID) == nil {
				asked++
			}
		}
	}
	if asked > 0 {
		return anchor.Faultf(anchor.NodePruned, cause, "The %s node has deleted block %d, which is needed; it is asking %d of its peers for it.", t.net.chain.name, height, asked)
	}
	return anchor.Faultf(anchor.NodePruned, cause, "The %s node has deleted block %d, which is needed, and cannot get it from a peer; use a node that keeps it.", t.net.chain.name, height)
}

// forget drops what was learned from a node at another block.
func (t *Target) forget() {
	t.nextSend = time.Time{}
	clear(t.refusal)
	clear(t.cheap)
	clear(t.refusals)
}

func hashText(h [32]byte) string { return chainhash.Hash(h).String() }
