// Package ledger holds the values of a Bitcoin-like chain that the store keeps: its blocks, and the
// coins that pay to us. It does no I/O.
package ledger

import (
	"strconv"

	"github.com/datestone/datestone/internal/logtree"
)

// Branches of the wallet: what a coin is for.
const (
	Funding = 0 // what people send; change of nothing
	Log     = 1 // change of transactions that carry heads of the log
	Seeds   = 2 // change of transactions that carry seeds
)

// Outpoint names an output: the transaction's id in the usual reversed hexadecimal, a colon and the
// output's number.
func Outpoint(txid string, output uint32) string {
	return txid + ":" + strconv.FormatUint(uint64(output), 10)
}

// Coin is an output that pays to us.
type Coin struct {
	Outpoint    string
	Value       int64 // satoshi
	Script      []byte
	Branch      int
	Coinbase    bool
	Height      int64  // of the block of the best chain that has it; 0 while none has
	Lost        int64  // height of the best block when it left the best chain
	SpentBy     string // transaction of the best chain that spends it, or empty
	SpentHeight int64  // of that transaction's block
}

// Spend says that a transaction of a block spends a coin.
type Spend struct{ Outpoint, By string }

// Block is a block of the best chain. Work is cumulative from the first block that is followed, 32
// bytes big-endian.
type Block struct {
	Height int64
	Hash   [32]byte // internal byte order
	Work   [32]byte
}

// Chain is how far a chain was followed.
type Chain struct {
	Followed bool     // false: nothing is known; Base is where to begin, if it was begun before
	Base     int64    // height of the first block that is followed
	Best     Block    // the newest
	MostWork [32]byte // the most cumulative work ever seen
}

// Observed is a block with all that it means to us.
type Observed struct {
	Block
	Prev   [32]byte
	Coins  []Coin                // that it creates
	Spends []Spend               // of coins of ours
	Mined  []logtree.Attestation // by our transactions in it; Ref is the transaction
}
