package bitcoin

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/bitcoin/ledger"
	"github.com/datestone/datestone/internal/logtree"
)

const (
	// replaceable is the sequence of an input that allows replacement (BIP-125).
	replaceable = wire.MaxTxInSequenceNum - 2
	// maxInputs bounds a transaction, and with it the operations of its proof (4096 bytes each).
	maxInputs = 64
)

// order is what a transaction is to be.
type order struct {
	purpose string
	head    logtree.Head
	inputs  []ledger.Coin // in any case; the first names the set
	more    []ledger.Coin // that may be added, most valuable first
	change  []byte        // script for what is left
	share   []byte        // script for half of that, where the other purpose needs coins; else nil
	enough  int64         // the least half that is shared
	shared  int64         // what goes to share; set by split
	rate    feeRate       // at least
	// least is what must be paid at least beside increment for the transaction's own size: what a
	// replacement owes.
	least     int64
	evicts    map[string]bool // transactions that a replacement takes out of the mempool
	increment feeRate
	most      int64 // never more
	dust      int64 // the smallest change that is made
}

// fee is what a transaction of this size has to pay.
func (o order) fee(vsize int64) int64 {
	fee := o.rate.fee(vsize)
	if o.least > 0 {
		fee = max(fee, o.least+o.increment.fee(vsize))
	}
	return fee
}

// errShort says by how much the coins fall short.
type errShort struct{ missing int64 }

func (e errShort) Error() string { return fmt.Sprintf("the coins are %d satoshi short", e.missing) }

// errCap says that the transaction would cost more than one may.
type errCap struct{ fee int64 }

func (e errCap) Error() string { return fmt.Sprintf("the fee would be %d satoshi", e.fee) }

// choose decides which coins are spent, the fee, and the change, which is 0 when there is none.
func (o order) choose() (inputs []ledger.Coin, fee, change int64, err error) {
	inputs = slices.Clone(o.inputs)
	more := o.more
	for {
		var sum int64
		for _, c := range inputs {
			sum += c.Value
		}
		fee = o.fee(vsize(inputs, o.change))
		if fee > o.most {
			return nil, 0, 0, errCap{fee}
		}
		if change = sum - fee; change >= o.dust {
			return inputs, fee, change, nil
		}
		if len(more) > 0 && len(inputs) < maxInputs && more[0].Value > o.rate.fee(inputWeight(more[0].Script)/4+1) {
			inputs, more = append(inputs, more[0]), more[1:]
			continue
		}
		// Change that is not worth its output is left to the miner.
		if alone := o.fee(vsize(inputs, nil)); sum >= alone && sum <= o.most {
			return inputs, sum, 0, nil
		}
		return nil, 0, 0, errShort{fee + o.dust - sum}
	}
}

// split divides what is left between change and share, if both halves are worth having. It returns the order with what
// is shared, and the fee and the change that go with it.
func (o order) split(inputs []ledger.Coin, fee, change int64) (order, int64, int64) {
	if o.share == nil || change == 0 {
		return o, fee, change
	}
	dearer := o.fee(vsize(inputs, o.change, o.share))
	half := (change + fee - dearer) / 2
	if dearer > o.most || half < max(o.enough, o.dust) {
		return o, fee, change
	}
	o.shared = half
	return o, dearer, change + fee - dearer - half
}

// unsigned makes the transaction: the head's root in output 0, what is left in output 1, what is shared in output 2.
func (o order) unsigned(inputs []ledger.Coin, change int64) (*wire.MsgTx, error) {
	tx := wire.NewMsgTx(2)
	for _, c := range inputs {
		from, err := parseOutpoint(c.Outpoint)
		if err != nil {
			return nil, err
		}
		in := wire.NewTxIn(&from, nil, nil)
		in.Sequence = replaceable
		tx.AddTxIn(in)
	}
	data, err := txscript.NullDataScript(o.head.Root[:])
	if err != nil {
		return nil, err
	}
	tx.AddTxOut(wire.NewTxOut(0, data))
	if change > 0 {
		tx.AddTxOut(wire.NewTxOut(change, o.change))
	}
	if o.shared > 0 {
		tx.AddTxOut(wire.NewTxOut(o.shared, o.share))
	}
	return tx, nil
}

// build makes and signs the transaction with what was chosen.
func (o order) build(ctx context.Context, w wallet, inputs []ledger.Coin, fee, change int64) (anchor.Attempt, error) {
	tx, err := o.unsigned(inputs, change)
	if err != nil {
		return anchor.Attempt{}, err
	}
	if tx, err = w.sign(ctx, tx, inputs); err != nil {
		return anchor.Attempt{}, err
	}
	var raw bytes.Buffer
	if err := tx.Serialize(&raw); err != nil {
		return anchor.Attempt{}, err
	}
	a := anchor.Attempt{Head: o.head, Raw: raw.Bytes(), Ref: tx.TxID(), Fee: fee, VSize: sizeOf(tx)}
	for _, c := range inputs {
		a.Uses = append(a.Uses, c.Outpoint)
	}
	return a, nil
}

// sizeOf is the virtual size of a signed transaction.
func sizeOf(tx *wire.MsgTx) int64 {
	return int64(3*tx.SerializeSizeStripped()+tx.SerializeSize()+3) / 4
}

// vsize is the virtual size of a signed transaction with these inputs, the head and outputs to those of the
// scripts that are not nil; never less than what it will be.
func vsize(inputs []ledger.Coin, scripts ...[]byte) int64 {
	const (
		overhead = 4*(4+1+1+4) + 2 // version, counts, lock time; marker and flag
		data     = 4 * (8 + 1 + 2 + 32)
	)
	weight := int64(overhead + data)
	for _, c := range inputs {
		weight += inputWeight(c.Script)
	}
	for _, script := range scripts {
		if script != nil {
			weight += 4 * int64(8+1+len(script))
		}
	}
	return (weight + 3) / 4
}

// inputWeight is the weight of an input that spends an output with this script, which is one of the
// two kinds that are spent.
func inputWeight(script []byte) int64 {
	const outpoint = 4 * (32 + 4 + 1 + 4)
	if txscript.IsPayToTaproot(script) {
		return outpoint + 1 + 1 + 65
	}
	return outpoint + 1 + 1 + 72 + 1 + 33
}

// spendable says whether coins of this script can be spent: only those whose spending transactions
// nobody but the signer can change.
func spendable(script []byte) bool {
	return txscript.IsPayToTaproot(script) || txscript.IsPayToWitnessPubKeyHash(script)
}

func parseOutpoint(text string) (wire.OutPoint, error) {
	if len(text) < 66 || text[64] != ':' {
		return wire.OutPoint{}, fmt.Errorf("%q is no outpoint", text)
	}
	hash, err := chainhash.NewHashFromStr(text[:64])
	if err != nil {
		return wire.OutPoint{}, fmt.Errorf("%q is no outpoint: %w", text, err)
	}
	n, err := strconv.ParseUint(text[65:], 10, 32)
	if err != nil {
		return wire.OutPoint{}, fmt.Errorf("%q is no outpoint: %w", text, err)
	}
	return wire.OutPoint{Hash: *hash, Index: uint32(n)}, nil
}
