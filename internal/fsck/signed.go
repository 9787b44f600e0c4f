package fsck

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/store"
	"github.com/datestone/datestone/ots"
	"github.com/datestone/datestone/ots/signedmsg"
)

// batchesAtOnce bounds what is read at a time: a batch has up to 128 KiB.
const batchesAtOnce = 64

// checkBatches recomputes the root of every batch of what accounts keep: it is the tip of the batch's entry.
func (c *checker) checkBatches(ctx context.Context) error {
	for after := logtree.Position(-1); ; {
		part, err := c.db.Batches(ctx, after, batchesAtOnce)
		if err != nil {
			return err
		}
		for _, b := range part {
			if len(b.Leaves) == 0 || len(b.Leaves)%32 != 0 {
				c.report.problem("the batch at "+b.Position.String(), "it has %d bytes, which are no leaves of 32", len(b.Leaves))
				continue
			}
			var leaves [][32]byte
			for rest := b.Leaves; len(rest) > 0; rest = rest[32:] {
				leaves = append(leaves, [32]byte(rest))
			}
			if root := ots.MerkleTree(leaves).Root(); !bytes.Equal(root[:], b.Tip) {
				c.report.problem("the batch at "+b.Position.String(), "its leaves give %s, and its entry has %x", short(root), b.Tip)
			}
		}
		if len(part) < batchesAtOnce {
			return nil
		}
		after = part[len(part)-1].Position
	}
}

// checkSigned checks that every signed digest has its customer's signature and is in its batch, and that accounts are
// charged for what they keep.
func (c *checker) checkSigned(ctx context.Context) error {
	for after := (account.Signed{Account: -1, Created: time.Unix(0, 0)}); ; {
		part, err := c.db.AllSigned(ctx, after, rowsAtOnce)
		if err != nil {
			return err
		}
		for _, s := range part {
			c.checkSignature(s)
			c.report.Signed++
		}
		if len(part) < rowsAtOnce {
			break
		}
		after = part[len(part)-1].Signed
	}
	wrong, err := c.db.CheckUse(ctx, MaxProblems)
	for _, text := range wrong {
		c.report.problem("quota", "%s", text)
	}
	return err
}

func (c *checker) checkSignature(s store.CheckedSigned) {
	// Where it stands finds the row; the digest beside its account is nobody's to read.
	where := fmt.Sprintf("leaf %d of the batch at %v, a signed digest of account %d", s.Signed.Leaf, s.Position, s.Account)
	key, err := s.Signature.Recover(signedmsg.Digest(s.Digest))
	switch {
	case s.Signer == nil:
		c.report.problem(where, "its key %d is not there, or is another account's", s.Signed.Signer)
	case err != nil:
		c.report.problem(where, "its signature: %v", err)
	case key.Point() != s.Signer.Key.Point():
		c.report.problem(where, "its signature is by the key %v, and the customer's is %v", key, s.Signer.Key)
	}
	switch leaf := s.LeafHash(); {
	case len(s.Leaf) == 0:
		c.report.problem(where, "there is no such leaf")
	case !bytes.Equal(leaf[:], s.Leaf):
		c.report.problem(where, "digest and nonce give the leaf %s, and the batch has %x", short(leaf), s.Leaf)
	}
}
