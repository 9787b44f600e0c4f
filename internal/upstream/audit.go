package upstream

import (
	"context"
	"errors"

	"github.com/datestone/datestone/internal/anchor"
)

// Audit is the chain that attestations are compared with when a database is checked.
type Audit struct {
	chain         *chain
	confirmations int64
}

// NewAudit makes it. It asks nobody.
func NewAudit(c Config) (*Audit, error) {
	net, err := c.complete()
	if err != nil {
		return nil, err
	}
	k, err := newChain(c, net)
	return &Audit{k, int64(c.Confirmations)}, err
}

// Tip is the height of the best block.
func (a *Audit) Tip(ctx context.Context) (int64, error) { return a.chain.tip(ctx) }

// Block is the hash and the Merkle root of the block at a height.
func (a *Audit) Block(ctx context.Context, height int64) (hash, root [32]byte, err error) {
	h, err := a.chain.header(ctx, height)
	return h.Hash(), h.MerkleRoot, err
}

// Confirmations is the depth that an attestation needs to be counted.
func (a *Audit) Confirmations() int64 { return a.confirmations }

// CheckAttempt refuses all: calendars are given no transactions.
func (a *Audit) CheckAttempt(anchor.Attempt) error {
	return errors.New("calendars are given no transactions")
}
