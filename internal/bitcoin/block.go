package bitcoin

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/bitcoin/ledger"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/ots"
)

// watch is what blocks are searched for.
type watch struct {
	chain    *Chain
	scripts  map[string]int            // output scripts that pay to us, with their branch
	coins    map[wire.OutPoint]bool    // coins of ours, unspent or lost
	attempts map[string]anchor.Attempt // that may be mined, by transaction id
	foreign  bool                      // change of attempts pays to scripts that are not in scripts
}

// observe finds in a block what it means to us. Work is left to the caller.
func (w watch) observe(b *wire.MsgBlock, height int64) (ledger.Observed, error) {
	o := ledger.Observed{Block: ledger.Block{Height: height, Hash: b.BlockHash()}, Prev: b.Header.PrevBlock}
	ids := make([]chainhash.Hash, len(b.Transactions))
	made := make(map[wire.OutPoint]bool)
	for i, tx := range b.Transactions {
		ids[i] = tx.TxHash()
	}
	for i, tx := range b.Transactions {
		w.inputs(&o, tx, ids[i], made)
		var a anchor.Attempt
		ours := false
		if len(w.attempts) > 0 {
			a, ours = w.attempts[ids[i].String()]
		}
		w.outputs(&o, tx, ids[i], i == 0 || w.chain.extension && i == len(b.Transactions)-1 && leavesExtension(tx), a, made)
		if !ours {
			continue
		}
		att, err := w.chain.attestation(b, ids, i, height, a.Head.Root)
		if err != nil {
			return o, fmt.Errorf("block %d: transaction %s: %w", height, a.Ref, err)
		}
		att.Purpose, att.Head, att.Ref, att.BlockHash = a.Purpose, a.Head, a.Ref, o.Hash
		o.Mined = append(o.Mined, att)
	}
	return o, nil
}

// inputs adds what a transaction spends.
func (w watch) inputs(o *ledger.Observed, tx *wire.MsgTx, id chainhash.Hash, made map[wire.OutPoint]bool) {
	if len(w.coins) == 0 && len(made) == 0 {
		return
	}
	for _, in := range tx.TxIn {
		if from := in.PreviousOutPoint; w.coins[from] || made[from] {
			o.Spends = append(o.Spends, ledger.Spend{Outpoint: ledger.Outpoint(from.Hash.String(), from.Index), By: id.String()})
		}
	}
}

// outputs adds the coins that a transaction makes; it is the attempt, unless that is the zero one.
func (w watch) outputs(o *ledger.Observed, tx *wire.MsgTx, id chainhash.Hash, coinbase bool, a anchor.Attempt, made map[wire.OutPoint]bool) {
	for n, out := range tx.TxOut {
		branch, found := w.scripts[string(out.PkScript)]
		if !found && a.Ref != "" && w.foreign && n > 0 {
			own, other := branchesOf(a.Purpose)
			branch, found = []int{own, other}[min(n, 2)-1], true
		}
		at := wire.OutPoint{Hash: id, Index: uint32(n)}
		// A coin that is known already was lost and comes back.
		if !found && !w.coins[at] {
			continue
		}
		c := ledger.Coin{Outpoint: ledger.Outpoint(id.String(), uint32(n)), Value: out.Value, Script: out.PkScript, Branch: branch, Coinbase: coinbase, Height: o.Height}
		o.Coins = append(o.Coins, c)
		made[at] = true
	}
}

// attestation makes the path from the root, which is the data of transaction i, to the block's
// header: what is before and after the root in the transaction, without witnesses, and its branch of
// the block's tree. The path is evaluated before it is returned.
func (c *Chain) attestation(b *wire.MsgBlock, ids []chainhash.Hash, i int, height int64, root [32]byte) (logtree.Attestation, error) {
	var raw bytes.Buffer
	if err := b.Transactions[i].SerializeNoWitness(&raw); err != nil {
		return logtree.Attestation{}, err
	}
	before, after, found := bytes.Cut(raw.Bytes(), root[:])
	if !found {
		return logtree.Attestation{}, errors.New("it does not hold the root")
	}
	path := ots.Path{}.Prepend(before).Append(after).SHA256().SHA256()
	path = merklePath(path, ids, i)
	merkle, err := path.Apply(root[:])
	if err != nil {
		return logtree.Attestation{}, fmt.Errorf("evaluating the path: %w", err)
	}
	if !bytes.Equal(merkle, b.Header.MerkleRoot[:]) {
		return logtree.Attestation{}, errors.New("the path does not lead to the block's header")
	}
	proof, err := ots.New(path, c.attest(uint64(height))).AppendBinary(nil)
	if err != nil {
		return logtree.Attestation{}, fmt.Errorf("writing the path: %w", err)
	}
	return logtree.Attestation{Kind: c.kind, Height: height, BlockTime: b.Header.Timestamp.UTC().Truncate(time.Second), Proof: proof}, nil
}

// merklePath appends to path the way from transaction i to the root of Bitcoin's tree, in which the
// last node of a level with an odd number of them is its own sibling.
func merklePath(path ots.Path, ids []chainhash.Hash, i int) ots.Path {
	level := make([]chainhash.Hash, len(ids), len(ids)+1)
	copy(level, ids)
	for len(level) > 1 {
		if len(level)%2 == 1 {
			level = append(level, level[len(level)-1])
		}
		sibling := level[i^1]
		if i%2 == 1 {
			path = path.Prepend(sibling[:])
		} else {
			path = path.Append(sibling[:])
		}
		path = path.SHA256().SHA256()
		for n := range len(level) / 2 {
			level[n] = hashPair(level[2*n], level[2*n+1])
		}
		level, i = level[:len(level)/2], i/2
	}
	return path
}

func hashPair(left, right chainhash.Hash) chainhash.Hash {
	var both [64]byte
	copy(both[:32], left[:])
	copy(both[32:], right[:])
	once := sha256.Sum256(both[:])
	return sha256.Sum256(once[:])
}

// blockWork is the expected number of hashes behind a header with these bits: 2^256 / (target + 1).
func blockWork(bits uint32) *big.Int {
	mantissa, exponent := int64(bits&0x007fffff), uint(bits>>24)
	target := big.NewInt(mantissa)
	if exponent <= 3 {
		target.Rsh(target, 8*(3-exponent))
	} else {
		target.Lsh(target, 8*(exponent-3))
	}
	if bits&0x00800000 != 0 || target.Sign() <= 0 || target.BitLen() > 256 {
		return new(big.Int)
	}
	return new(big.Int).Div(new(big.Int).Lsh(big.NewInt(1), 256), target.Add(target, big.NewInt(1)))
}

// addWork adds to a cumulative work of 32 bytes big-endian. It stays at the largest number.
func addWork(work [32]byte, more *big.Int) [32]byte {
	sum := new(big.Int).SetBytes(work[:])
	sum.Add(sum, more)
	if sum.BitLen() > 256 {
		sum.Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1))
	}
	var b [32]byte
	sum.FillBytes(b[:])
	return b
}
