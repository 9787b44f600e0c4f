package server

import (
	"context"
	"fmt"

	"github.com/datestone/datestone/internal/fsck"
	"github.com/datestone/datestone/internal/store"
)

// Fsck checks the configured database, which a running server may be using. offline asks no node.
func Fsck(ctx context.Context, c Config, offline bool, progress func(done, all int64)) (*fsck.Report, error) {
	if err := c.CheckStore(); err != nil {
		return nil, err
	}
	// The mark is read before the log, which is then at least as far.
	mark, err := store.ReadMark(c.MarkFile())
	if err != nil {
		return nil, err
	}
	db, err := store.Open(ctx, c.DatabasePlace(), store.Options{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer db.Close()
	o := fsck.Options{Mark: mark, Chains: map[string]fsck.Chain{}, Progress: progress}
	if !offline {
		done, err := c.auditCoins(ctx, o.Chains)
		if err != nil {
			return nil, err
		}
		defer done()
		audit, err := c.upstreamAudit(ctx)
		if err != nil {
			return nil, fmt.Errorf("%w; check without it: datestoned fsck --offline", err)
		}
		if audit != nil {
			o.Chains[upstreamName] = audit
		}
	}
	return fsck.Check(ctx, db, o)
}
