package bitcoin

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// parseBlock reads a block. What an extension block adds after the transactions is left unread: the header commits to
// it through the last transaction.
func (c *Chain) parseBlock(raw []byte) (*wire.MsgBlock, error) {
	var b wire.MsgBlock
	r := bytes.NewReader(raw)
	if !c.extension {
		return &b, b.Deserialize(r)
	}
	if err := b.Header.Deserialize(r); err != nil {
		return nil, err
	}
	count, err := wire.ReadVarInt(r, 0)
	if err != nil {
		return nil, err
	}
	const smallest = 4 + 1 + 1 + 4
	if count > uint64(r.Len()/smallest) {
		return nil, fmt.Errorf("%d transactions in %d bytes", count, r.Len())
	}
	for i := range count {
		tx, err := parseExtended(r)
		if err != nil {
			return nil, fmt.Errorf("transaction %d: %w", i, err)
		}
		b.Transactions = append(b.Transactions, tx)
	}
	return &b, nil
}

// extended is the bit in the flags of a serialized transaction (BIP-144) that says that a byte, 0 in a block, comes
// before its lock time: where its part in the extension block would be.
const extended = 0x08

// parseExtended reads a transaction that may be extended. Its id does not depend on that.
func parseExtended(r *bytes.Reader) (*wire.MsgTx, error) {
	var start [6]byte // version, marker, flags
	if _, err := io.ReadFull(r, start[:]); err != nil {
		return nil, err
	}
	tx := new(wire.MsgTx)
	if start[4] != wire.TxFlagMarker || start[5]&extended == 0 {
		if _, err := r.Seek(-int64(len(start)), io.SeekCurrent); err != nil {
			return nil, err
		}
		return tx, tx.Deserialize(r)
	}
	head := start[:4]
	if start[5] != extended {
		start[5] &^= extended
		head = start[:]
	}
	if err := tx.Deserialize(io.MultiReader(bytes.NewReader(head), r)); err != nil {
		return nil, err
	}
	// What was read as the lock time is that byte and three bytes of the lock time.
	last, err := r.ReadByte()
	if err != nil {
		return nil, err
	}
	if tx.LockTime&0xff != 0 {
		return nil, errors.New("a part of the extension block in a transaction of a block")
	}
	tx.LockTime = tx.LockTime>>8 | uint32(last)<<24
	return tx, nil
}

// leavesExtension says whether a block's last transaction is the one that pays out what leaves the extension block.
// Such coins mature, as those of a coinbase do, if earlier.
func leavesExtension(tx *wire.MsgTx) bool {
	if len(tx.TxOut) == 0 {
		return false
	}
	script := tx.TxOut[0].PkScript
	return len(script) == 34 && script[0] == txscript.OP_8 && script[1] == 32
}
