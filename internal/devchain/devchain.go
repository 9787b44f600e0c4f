// Package devchain is a Bitcoin regtest chain in one process that speaks enough
// of Bitcoin Core's JSON-RPC for wallets, timestamping and OpenTimestamps clients
// to use it in place of a node: for `datestoned dev`, and for tests that script
// reorganizations, refusals and outages.
//
// It keeps the rules of a real node, not a likeness of them: regtest's genesis,
// headers with proof of work, merkle and witness commitments, scripts, coinbase
// maturity, Core's relay policy and its replacement rules. A test submits its
// blocks to a real bitcoind and compares verdicts, so that it cannot drift away.
//
//	chain, err := devchain.Open("")            // in memory; a folder to keep it
//	chain.Mine(101)                            // the first coinbase can be spent
//	txid, err := chain.Faucet(address, 50_000) // unconfirmed; Mine(1) confirms it
//	http.Serve(listener, chain.Handler("datestone", "datestone"))
//	chain.Reorg(3)                             // the last three blocks are replaced
//
// It has no peers. Its money has no value and its miner's key is public.
package devchain

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

var params = &chaincfg.RegressionNetParams

// Chain is the whole state: every block that was seen, the best branch's unspent
// outputs, and the mempool. Its methods may be called concurrently.
type Chain struct {
	started time.Time
	file    *blockFile

	// mu guards everything below. It is held while the chain changes, including
	// the write to disk, so that nobody sees a block that a crash would lose.
	mu       sync.Mutex
	blocks   map[chainhash.Hash]*block
	arrivals int                       // how many blocks were ever added
	active   []*block                  // the best branch by height, genesis first
	banned   map[chainhash.Hash]bool   // blocks named by Invalidate
	coins    map[wire.OutPoint]*coin   // unspent outputs at the tip
	txBlocks map[chainhash.Hash]*block // the block that last confirmed a transaction
	pool     *mempool
	changed  chan struct{} // closed and replaced when the tip changes
	feeRate  int64         // satoshi per 1000 vbytes that estimatesmartfee answers, 0 for none
	hook     func(method string) error
	closed   bool
}

// ErrClosed is returned by what changes a chain after Close.
var ErrClosed = errors.New("the chain is closed")

// Open opens the chain kept in the folder dir, which it makes if need be, or a new
// chain in memory when dir is empty. A record that a crash left half written is
// cut off. One process at a time may hold a folder.
func Open(dir string) (*Chain, error) {
	c := &Chain{
		started:  time.Now(),
		blocks:   make(map[chainhash.Hash]*block),
		banned:   make(map[chainhash.Hash]bool),
		coins:    make(map[wire.OutPoint]*coin),
		txBlocks: make(map[chainhash.Hash]*block),
		pool:     newMempool(),
		changed:  make(chan struct{}),
	}
	genesis := &block{header: params.GenesisBlock.Header, hash: *params.GenesisHash, txs: 1, size: params.GenesisBlock.SerializeSize()}
	c.blocks[genesis.hash] = genesis
	c.active = []*block{genesis}
	file, err := openBlockFile(dir)
	if err != nil {
		return nil, fmt.Errorf("opening chain folder %s: %w", dir, err)
	}
	c.file = file
	if err := c.load(); err != nil {
		file.Close()
		return nil, fmt.Errorf("reading chain folder %s: %w", dir, err)
	}
	return c, nil
}

// Close releases the folder. Mempool and fee estimate are not kept.
func (c *Chain) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	return c.file.Close()
}

// Run mines a block each time every has passed, until ctx ends.
func (c *Chain) Run(ctx context.Context, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		// A full disk may have room again later; the chain is as it was.
		if _, err := c.Mine(1); errors.Is(err, ErrClosed) {
			return err
		} else if err != nil {
			slog.Warn("the development chain could not mine", "error", err)
		}
	}
}

// Tip returns the best block and its height.
func (c *Chain) Tip() (chainhash.Hash, int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tip().hash, c.tip().height
}

// Changed returns a channel that is closed at the next change of the tip.
func (c *Chain) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

// Mine adds n blocks with what the mempool holds and returns their hashes. The
// miner's own address takes the reward. The blocks are on disk when it returns.
func (c *Chain) Mine(n int) ([]chainhash.Hash, error) {
	return c.MineTo(minerScript(), n)
}

// MineTo is [Chain.Mine] with the rewards paid to an output script.
func (c *Chain) MineTo(script []byte, n int) ([]chainhash.Hash, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mine(script, n, c.template)
}

// MineEmpty adds n blocks that confirm nothing.
func (c *Chain) MineEmpty(n int) ([]chainhash.Hash, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mine(minerScript(), n, noTransactions)
}

// MineWith adds one block that confirms exactly txs, in this order, whether they
// are in the mempool or in conflict with it.
func (c *Chain) MineWith(txs ...*wire.MsgTx) (chainhash.Hash, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	hashes, err := c.mine(minerScript(), 1, func(int) []*wire.MsgTx { return txs })
	if err != nil {
		return chainhash.Hash{}, err
	}
	return hashes[0], nil
}

// Reorg replaces the last depth blocks by depth+1 empty ones. What the replaced
// blocks had confirmed is in the mempool again, as far as it is still valid.
func (c *Chain) Reorg(depth int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if depth < 1 || depth > c.tip().height {
		return fmt.Errorf("a reorganization of %d blocks at height %d is impossible", depth, c.tip().height)
	}
	if err := c.invalidate(c.active[len(c.active)-depth]); err != nil {
		return err
	}
	_, err := c.mine(minerScript(), depth+1, noTransactions)
	return err
}

// Invalidate marks a block and all above it as bad; the best remaining branch
// becomes the chain. The mark survives a restart.
func (c *Chain) Invalidate(hash chainhash.Hash) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	b, ok := c.blocks[hash]
	if !ok {
		return errBlockNotFound
	}
	return c.invalidate(b)
}

// Reconsider takes back [Chain.Invalidate] for a block, what it stands on and
// what stands on it.
func (c *Chain) Reconsider(hash chainhash.Hash) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	b, ok := c.blocks[hash]
	if !ok {
		return errBlockNotFound
	}
	return c.reconsider(b)
}

// Send adds a transaction to the mempool. A refusal is a [*Rejection] with the
// reason in Core's words.
func (c *Chain) Send(tx *wire.MsgTx) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	_, err := c.accept(tx, fromWallet)
	return err
}

// Faucet pays amount satoshi from the miner's coins to addr, a regtest address,
// and returns the id of the transaction, which waits in the mempool.
func (c *Chain) Faucet(addr string, amount int64) (chainhash.Hash, error) {
	to, err := address.DecodeAddress(addr, params)
	if err != nil || !to.IsForNet(params) {
		return chainhash.Hash{}, fmt.Errorf("%q is no regtest address", addr)
	}
	script, err := txscript.PayToAddrScript(to)
	if err != nil {
		return chainhash.Hash{}, fmt.Errorf("%q: %w", addr, err)
	}
	return c.FaucetScript(script, amount)
}

// FaucetScript is [Chain.Faucet] for any output script.
func (c *Chain) FaucetScript(script []byte, amount int64) (chainhash.Hash, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return chainhash.Hash{}, ErrClosed
	}
	return c.pay(script, amount)
}

// ForgetMempool empties the mempool, as an eviction or a restarted node does.
func (c *Chain) ForgetMempool() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pool = newMempool()
}

// SetFeeRate sets what estimatesmartfee answers, in satoshi per 1000 vbytes. With
// 0, as at first, it says that it has not enough data.
func (c *Chain) SetFeeRate(perKVB int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.feeRate = perKVB
}

// Intercept makes every RPC call ask hook first; nil ends that. An [*Error] from
// it is the call's answer, and any other error cuts the connection unanswered, as
// a node that is down would.
func (c *Chain) Intercept(hook func(method string) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hook = hook
}
