package ethereum

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/datestone/datestone/internal/anchor"
)

// Audit reads a node's chain, and nothing of ours, to compare with what is stored.
type Audit struct {
	node   node
	config Config
}

// NewAudit makes an audit of the configured node. It asks the node nothing.
func NewAudit(c Config) (*Audit, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	client, err := newRPC(c)
	if err != nil {
		return nil, err
	}
	return &Audit{node{client}, c}, nil
}

// Close gives connections back.
func (a *Audit) Close() { a.node.http.CloseIdleConnections() }

// Confirmations is the depth that an attestation needs to be counted: where the chain says what is final, any.
func (a *Audit) Confirmations() int64 {
	if a.config.Finalized {
		return 1
	}
	return int64(a.config.Confirmations)
}

// Tip is the height of the node's best block. It refuses a node of another chain.
func (a *Audit) Tip(ctx context.Context) (int64, error) {
	var chain quantity
	var latest *header
	calls := []*call{{method: "eth_chainId", out: &chain}, {method: "eth_getBlockByNumber", params: []any{"latest", false}, out: &latest}}
	if err := a.node.do(ctx, calls...); err != nil {
		return 0, err
	}
	if err := errors.Join(calls[0].err, calls[1].err); err != nil || latest == nil {
		return 0, a.node.odd(err)
	}
	if uint64(chain) != a.config.ChainID {
		return 0, anchor.Faultf(anchor.WrongNetwork, nil, "The node at %s is on chain %d, and chain_id is %d.", a.node.shown, chain, a.config.ChainID)
	}
	return int64(latest.Number), nil
}

// Block returns the hash and the transactionsRoot of the block at this height in the node's best chain.
func (a *Audit) Block(ctx context.Context, height int64) (block, root [32]byte, err error) {
	headers, err := a.node.headers(ctx, []int64{height})
	if err != nil {
		return block, root, err
	}
	if headers[0] == nil {
		return block, root, a.node.odd(fmt.Errorf("it has no block %d", height))
	}
	return headers[0].Hash, headers[0].TransactionsRoot, nil
}

// CheckAttempt says what is wrong with the bytes of an attempt: they must be the transaction that it names, on this chain, with
// the nonce that names its set and its head's root as call data.
func (a *Audit) CheckAttempt(at anchor.Attempt) error {
	if id := hash(keccak256(at.Raw)).String(); id != at.Ref {
		return fmt.Errorf("its bytes are transaction %s and it is named %s", id, at.Ref)
	}
	tx, _, err := parseTransaction(at.Raw)
	switch {
	case err != nil:
		return fmt.Errorf("its bytes are no transaction of ours: %w", err)
	case tx.chainID != a.config.ChainID:
		return fmt.Errorf("it is for chain %d, not %d", tx.chainID, a.config.ChainID)
	case !bytes.Equal(tx.data, at.Head.Root[:]):
		return errors.New("it does not carry the root of its head")
	case len(at.Uses) != 1 || at.Uses[0] != nonceName(tx.nonce):
		return fmt.Errorf("it has nonce %d and is in the set %s", tx.nonce, at.Set())
	}
	return nil
}
