package fsck

import (
	"context"
	"errors"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/seed"
)

// seedClaim is a place that says what a target was given of a seed.
type seedClaim struct {
	where, target string
	head          logtree.Head
}

// carries notes that something stored says that a target was given this: a head of the log, or a seed.
func (c *checker) carries(where, target, purpose string, h logtree.Head) {
	switch purpose {
	case anchor.PurposeLog:
		c.claims(where, h)
	case anchor.PurposeSeed:
		c.seeded = append(c.seeded, seedClaim{where, target, h})
	default:
		c.report.problem(where, "it carries %q, which is nothing that is known", purpose)
	}
}

// checkSeedClaims holds what targets were given of seeds against those.
func (c *checker) checkSeedClaims(ctx context.Context) error {
	for _, claim := range c.seeded {
		s, err := c.db.MadeSeed(ctx, int64(claim.head.Epoch))
		switch {
		case errors.Is(err, seed.ErrUnknown):
			c.report.problem(claim.where, "it carries seed %d, which is not there or not made", claim.head.Epoch)
		case err != nil:
			return err
		case s.Target != claim.target:
			c.report.problem(claim.where, "it carries seed %d, which is one of %s", claim.head.Epoch, s.Target)
		case s.Head() != claim.head:
			c.report.problem(claim.where, "it carries %s of %d hashes as seed %d, which is %s of %d", short(claim.head.Root), claim.head.Size, s.Number, short(s.Root), s.Head().Size)
		}
	}
	return nil
}
