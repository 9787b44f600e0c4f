package fsck

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/ots"
)

// Chain is the chain of a target as its node sees it.
type Chain interface {
	// Tip is the height of the best block.
	Tip(ctx context.Context) (int64, error)
	// Block returns the hash and the Merkle root, both in internal byte order, of the block at this
	// height in the best chain.
	Block(ctx context.Context, height int64) (hash, root [32]byte, err error)
	// Confirmations is the depth that an attestation needs to be counted.
	Confirmations() int64
	// CheckAttempt says what is wrong with the bytes of an attempt: they must be the transaction that
	// the attempt says, and carry its head's root.
	CheckAttempt(a anchor.Attempt) error
}

// checkAttempts checks what was, or may yet be, sent to each target.
func (c *checker) checkAttempts(ctx context.Context) error {
	targets, err := c.db.Targets(ctx)
	if err != nil {
		return err
	}
	for _, target := range targets {
		attempts, err := c.db.Attempts(ctx, target.Target, time.Time{})
		if err != nil {
			return err
		}
		for _, a := range attempts {
			at := fmt.Sprintf("attempt %d of %s", a.ID, a.Target)
			c.carries(at, a.Target, a.Purpose, a.Head)
			c.report.Attempts++
			if chain, ok := c.options.Chains[a.Target]; ok {
				if err := chain.CheckAttempt(a); err != nil {
					c.report.problem(at, "%v", err)
				}
			}
		}
	}
	return nil
}

func (c *checker) readAttestations(ctx context.Context) error {
	var after int64
	for {
		part, err := c.db.AllAttestations(ctx, after, rowsAtOnce)
		if err != nil {
			return err
		}
		if len(part) == 0 {
			c.report.Attestations = len(c.attestations)
			return nil
		}
		for _, a := range part {
			c.carries(where(a), a.Target, a.Purpose, a.Head)
		}
		c.attestations = append(c.attestations, part...)
		after = part[len(part)-1].ID
	}
}

func where(a logtree.Attestation) string { return fmt.Sprintf("attestation %d of %s", a.ID, a.Target) }

// checkClaims recomputes the path of every attestation and compares it with its chain.
func (c *checker) checkClaims(ctx context.Context) error {
	counted := map[string]int{}
	for _, a := range c.attestations {
		message, height, err := evaluate(a)
		if err != nil {
			c.report.problem(where(a), "%v", err)
			continue
		}
		if height != a.Height {
			c.report.problem(where(a), "its proof is for block %d and its row for block %d", height, a.Height)
		}
		chain, ok := c.options.Chains[a.Target]
		if !ok {
			counted[a.Target]++
			continue
		}
		if err := c.checkBlock(ctx, chain, a, message); err != nil {
			return fmt.Errorf("checking %s: %w", where(a), err)
		}
	}
	for target, n := range counted {
		c.report.Unchecked = append(c.report.Unchecked, fmt.Sprintf("%d attestations of %s were recomputed and not compared with its chain: no node was given", n, target))
	}
	return nil
}

// evaluate follows the proof from the head's root to the message of its one attestation.
func evaluate(a logtree.Attestation) (message []byte, height int64, err error) {
	t, err := ots.ParseTimestamp(a.Proof, len(a.Head.Root))
	if err != nil {
		return nil, 0, fmt.Errorf("its proof cannot be read: %w", err)
	}
	found := 0
	err = t.Walk(a.Head.Root[:], func(n *ots.Timestamp, msg []byte) error {
		for _, claim := range n.Attestations() {
			h, _ := claim.Height()
			if got := claim.Kind().String(); got != string(a.Kind) {
				return fmt.Errorf("it attests to %s, and its row to %s", got, a.Kind)
			}
			found, message, height = found+1, bytes.Clone(msg), int64(h)
		}
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("its proof does not evaluate: %w", err)
	}
	if found != 1 {
		return nil, 0, fmt.Errorf("its proof has %d attestations, want one", found)
	}
	return message, height, nil
}

// checkBlock compares an attestation with the best chain.
func (c *checker) checkBlock(ctx context.Context, chain Chain, a logtree.Attestation, message []byte) error {
	tip, err := chain.Tip(ctx)
	if err != nil {
		return err
	}
	var hash, root [32]byte
	if a.Height <= tip {
		if hash, root, err = chain.Block(ctx, a.Height); err != nil {
			return err
		}
	}
	in := a.Height <= tip && hash == a.BlockHash
	switch {
	case a.State == logtree.Withdrawn && in:
		c.report.problem(where(a), "it is withdrawn, and its block %d is in the best chain", a.Height)
	case a.State == logtree.Withdrawn:
	case !in:
		c.report.problem(where(a), "its block at height %d is not in the best chain, whose height is %d", a.Height, tip)
	case !bytes.Equal(root[:], message):
		c.report.problem(where(a), "its proof ends at %x, and block %d has the Merkle root %x", message, a.Height, root)
	case a.State != logtree.Mined && tip-a.Height+1 < chain.Confirmations():
		c.report.problem(where(a), "it is counted with %d of %d confirmations", tip-a.Height+1, chain.Confirmations())
	}
	return nil
}
