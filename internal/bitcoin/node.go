package bitcoin

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"regexp"
	"strconv"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/bitcoin/ledger"
)

// node asks a node what a target needs to know, in words that Bitcoin Core, btcd and Litecoin Core
// all understand.
type node struct{ *rpc }

func (n node) ask(ctx context.Context, out any, method string, params ...any) error {
	return n.call(ctx, callTimeout, "", out, method, params...)
}

// chainInfo is what the node says of its chain.
type chainInfo struct {
	Blocks      int64  `json:"blocks"`
	Headers     int64  `json:"headers"`
	Best        string `json:"bestblockhash"`
	Syncing     bool   `json:"initialblockdownload"`
	Pruned      bool   `json:"pruned"`
	PruneHeight int64  `json:"pruneheight"`
}

func (n node) chainInfo(ctx context.Context) (chainInfo, error) {
	var info chainInfo
	err := n.ask(ctx, &info, "getblockchaininfo")
	return info, n.strange(err)
}

func (n node) best(ctx context.Context) (chainhash.Hash, error) {
	var text string
	if err := n.ask(ctx, &text, "getbestblockhash"); err != nil {
		return chainhash.Hash{}, n.strange(err)
	}
	return n.parseHash(text)
}

// errNoBlock says that the node has no block of this height.
var errNoBlock = errors.New("no such block")

func (n node) blockHash(ctx context.Context, height int64) (chainhash.Hash, error) {
	var text string
	err := n.ask(ctx, &text, "getblockhash", height)
	if rpcCode(err) != 0 {
		return chainhash.Hash{}, fmt.Errorf("%w: %w", errNoBlock, err)
	} else if err != nil {
		return chainhash.Hash{}, err
	}
	return n.parseHash(text)
}

// errPruned says that the node no longer has the block.
var errPruned = errors.New("the node has deleted the block")

var prunedText = regexp.MustCompile(`(?i)pruned|not found on disk|not downloaded|not available`)

// block reads a block and checks that it is the one that was asked for.
func (n node) block(ctx context.Context, hash chainhash.Hash) (*wire.MsgBlock, error) {
	var text string
	err := n.ask(ctx, &text, "getblock", hash.String(), 0)
	if e := new(rpcError); errors.As(err, &e) {
		if prunedText.MatchString(e.Message) {
			return nil, fmt.Errorf("%w: %w", errPruned, err)
		}
		return nil, fmt.Errorf("%w: %w", errNoBlock, err)
	} else if err != nil {
		return nil, err
	}
	raw, err := hex.DecodeString(text)
	if err != nil {
		return nil, n.strange(fmt.Errorf("block %v: %w", hash, err))
	}
	b, err := n.net.chain.parseBlock(raw)
	if err != nil {
		return nil, n.strange(fmt.Errorf("block %v: %w", hash, err))
	}
	if b.BlockHash() != hash || len(b.Transactions) == 0 {
		return nil, n.strange(fmt.Errorf("asked for block %v and got another", hash))
	}
	return b, nil
}

// chainWork is the work up to and with a block, from the genesis block on, or false where the node
// does not know it.
func (n node) chainWork(ctx context.Context, hash chainhash.Hash) (*big.Int, bool, error) {
	var header struct {
		ChainWork string `json:"chainwork"`
	}
	if err := n.ask(ctx, &header, "getblockheader", hash.String(), true); err != nil {
		return nil, false, n.strange(err)
	}
	work, ok := new(big.Int).SetString(header.ChainWork, 16)
	return work, ok, nil
}

// verdict is what became of a transaction that was given to the node.
type verdict int

const (
	accepted    verdict = iota // it is in the mempool, or in a block
	tooCheap                   // its fee is too low to enter the mempool, or to replace what is there
	conflicting                // the mempool has another that spends the same coin, and keeps it
	refused                    // for another reason
)

var (
	knownText    = regexp.MustCompile(`(?i)already (have|in|known|exists|spent by)|txn-already`)
	conflictText = regexp.MustCompile(`txn-mempool-conflict`)
	cheapText    = regexp.MustCompile(`(?i)fee not met|insufficient.*fee|under the required|insufficient priority|too-long-mempool-chain`)
)

// send gives the node a transaction. The error, if any, is the node's reason, or a fault.
func (n node) send(ctx context.Context, raw []byte) (verdict, error) {
	err := n.ask(ctx, nil, "sendrawtransaction", hex.EncodeToString(raw))
	var e *rpcError
	switch {
	case err == nil:
		return accepted, nil
	case !errors.As(err, &e):
		return refused, err
	case e.Code == rpcInChain || knownText.MatchString(e.Message):
		return accepted, nil
	case conflictText.MatchString(e.Message):
		return conflicting, err
	case cheapText.MatchString(e.Message):
		return tooCheap, err
	}
	return refused, err
}

// estimate is the node's estimate for confirmation within so many blocks, or false if it has none.
func (n node) estimate(ctx context.Context, target int) (feeRate, bool, error) {
	var reply struct {
		FeeRate json.Number `json:"feerate"`
	}
	err := n.ask(ctx, &reply, "estimatesmartfee", target)
	if rpcCode(err) != 0 {
		return 0, false, nil
	} else if err != nil {
		return 0, false, err
	}
	rate, ok := coinToRate(reply.FeeRate)
	return rate, ok, nil
}

// floors are the lowest fee rates that the node takes: for a new transaction, and more than that of
// one that is replaced.
func (n node) floors(ctx context.Context) (lowest, increment feeRate, err error) {
	var reply struct {
		Mempool   json.Number `json:"mempoolminfee"`
		Relay     json.Number `json:"minrelaytxfee"`
		Increment json.Number `json:"incrementalrelayfee"`
	}
	if err := n.ask(ctx, &reply, "getmempoolinfo"); err != nil && rpcCode(err) == 0 {
		return 0, 0, err
	}
	for _, text := range []json.Number{reply.Mempool, reply.Relay} {
		if rate, ok := coinToRate(text); ok {
			lowest = max(lowest, rate)
		}
	}
	// What is usual, where the node does not say.
	increment = 1000
	if rate, ok := coinToRate(reply.Increment); ok {
		increment = rate
	}
	return lowest, increment, nil
}

// coinToRate reads coins per 1000 virtual bytes.
func coinToRate(text json.Number) (feeRate, bool) {
	f, err := strconv.ParseFloat(text.String(), 64)
	if err != nil || !(f > 0) || f > 1 {
		return 0, false
	}
	return feeRate(math.Ceil(f*1e8 - 1e-6)), true
}

// errNoScan says that the node cannot search its unspent outputs.
var errNoScan = errors.New("the node cannot search its unspent outputs")

// unspent searches all unspent outputs for those that pay to the scripts. Branch is left to the caller.
func (n node) unspent(ctx context.Context, scripts [][]byte) ([]ledger.Coin, error) {
	var what []string
	for _, s := range scripts {
		what = append(what, "raw("+hex.EncodeToString(s)+")")
	}
	var reply struct {
		Success  bool `json:"success"`
		Unspents []struct {
			Txid     string      `json:"txid"`
			Vout     uint32      `json:"vout"`
			Script   string      `json:"scriptPubKey"`
			Amount   json.Number `json:"amount"`
			Coinbase bool        `json:"coinbase"`
			Height   int64       `json:"height"`
		} `json:"unspents"`
	}
	err := n.call(ctx, scanTimeout, "", &reply, "scantxoutset", "start", what)
	if rpcCode(err) == rpcNoMethod {
		return nil, errNoScan
	}
	if err != nil {
		return nil, n.strange(err)
	}
	if !reply.Success {
		return nil, n.strange(errors.New("scantxoutset did not finish"))
	}
	var coins []ledger.Coin
	for _, u := range reply.Unspents {
		script, err := hex.DecodeString(u.Script)
		value, ok := n.coinAmount(u.Amount)
		if err != nil || !ok || u.Height <= 0 || len(u.Txid) != 64 {
			return nil, n.strange(fmt.Errorf("scantxoutset answered the coin %s:%d", u.Txid, u.Vout))
		}
		coins = append(coins, ledger.Coin{Outpoint: ledger.Outpoint(u.Txid, u.Vout), Value: value, Script: script, Coinbase: u.Coinbase, Height: u.Height})
	}
	return coins, nil
}

// coinAmount reads an amount of coins in the smallest unit.
func (n node) coinAmount(text json.Number) (int64, bool) {
	r, ok := new(big.Rat).SetString(text.String())
	if !ok {
		return 0, false
	}
	r.Mul(r, big.NewRat(1e8, 1))
	if !r.IsInt() || !r.Num().IsInt64() || r.Num().Sign() < 0 || r.Num().Int64() > n.net.chain.supply {
		return 0, false
	}
	return r.Num().Int64(), true
}

func (n node) parseHash(text string) (chainhash.Hash, error) {
	h, err := chainhash.NewHashFromStr(text)
	if err != nil || len(text) != 64 {
		return chainhash.Hash{}, n.strange(fmt.Errorf("%q is not a hash", text))
	}
	return *h, nil
}

// strange makes a fault of an error that the node should not have answered.
func (r *rpc) strange(err error) error {
	var f *anchor.Fault
	if err == nil || errors.As(err, &f) {
		return err
	}
	return anchor.Faultf(anchor.NodeError, err, "The %s node answered something unexpected; look into the log.", r.net.chain.name)
}
