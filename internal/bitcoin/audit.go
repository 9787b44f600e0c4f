package bitcoin

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/datestone/datestone/internal/anchor"
)

// Audit reads a node's chain, and nothing of ours, to compare with what is stored.
type Audit struct {
	node   node
	net    network
	config Config
}

// NewAudit makes an audit of the configured node. It asks the node nothing.
func NewAudit(c Config) (*Audit, error) {
	net, err := c.complete()
	if err != nil {
		return nil, err
	}
	client, err := newRPC(c, net)
	if err != nil {
		return nil, err
	}
	return &Audit{node{client}, net, c}, nil
}

// Close gives connections back.
func (a *Audit) Close() { a.node.http.CloseIdleConnections() }

// Confirmations is the depth that an attestation needs to be counted.
func (a *Audit) Confirmations() int64 { return int64(a.config.Confirmations) }

// Tip is the height of the node's best block. It refuses a node of another network.
func (a *Audit) Tip(ctx context.Context) (int64, error) {
	genesis, err := a.node.blockHash(ctx, 0)
	if err != nil {
		return 0, a.node.strange(err)
	}
	if genesis != a.net.genesis {
		return 0, anchor.Faultf(anchor.WrongNetwork, nil, "The %s node's first block is %v: it is not on %s.", a.net.chain.name, genesis, a.config.Network)
	}
	info, err := a.node.chainInfo(ctx)
	return info.Blocks, err
}

// Block returns the hash and the Merkle root of the block at this height in the node's best chain, both
// in internal byte order.
func (a *Audit) Block(ctx context.Context, height int64) (hash, root [32]byte, err error) {
	hash, err = a.node.blockHash(ctx, height)
	if err != nil {
		return hash, root, a.node.strange(err)
	}
	var text string
	if err := a.node.ask(ctx, &text, "getblockheader", chainhash.Hash(hash).String(), false); err != nil {
		return hash, root, a.node.strange(err)
	}
	raw, err := hex.DecodeString(text)
	if err != nil {
		return hash, root, a.node.strange(fmt.Errorf("header of block %d: %w", height, err))
	}
	var h wire.BlockHeader
	if err := h.Deserialize(bytes.NewReader(raw)); err != nil || h.BlockHash() != hash {
		return hash, root, a.node.strange(fmt.Errorf("asked for the header of block %d and got another", height))
	}
	return hash, h.MerkleRoot, nil
}

// CheckAttempt says what is wrong with the bytes of an attempt: they must be the transaction that it names,
// spend what it says, and carry its head's root alone in the first output.
func (a *Audit) CheckAttempt(at anchor.Attempt) error {
	var tx wire.MsgTx
	r := bytes.NewReader(at.Raw)
	if err := tx.Deserialize(r); err != nil || r.Len() != 0 {
		return fmt.Errorf("its bytes are not a transaction")
	}
	if id := tx.TxHash().String(); id != at.Ref {
		return fmt.Errorf("its bytes are transaction %s and it is named %s", id, at.Ref)
	}
	script, err := txscript.NullDataScript(at.Head.Root[:])
	if err != nil {
		return err
	}
	if len(tx.TxOut) == 0 || !bytes.Equal(tx.TxOut[0].PkScript, script) {
		return fmt.Errorf("its first output does not carry the root of its head")
	}
	spent := make(map[string]bool)
	for _, in := range tx.TxIn {
		spent[in.PreviousOutPoint.String()] = true
	}
	for _, name := range at.Uses {
		if !spent[name] {
			return fmt.Errorf("it does not spend %s", name)
		}
	}
	if len(spent) != len(at.Uses) {
		return fmt.Errorf("it spends %d coins and names %d", len(spent), len(at.Uses))
	}
	return nil
}
