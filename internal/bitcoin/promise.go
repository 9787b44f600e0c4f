package bitcoin

import (
	"context"
	"time"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/logtree"
)

// Promise is what was promised of entries that wait for a transaction.
type Promise struct {
	// Overdue: a transaction should have covered one of them by now.
	Overdue bool
	// MaxFee is what it may cost, in satoshi, where that is more than Config.MaxFee.
	MaxFee int64
}

// Promises finds what was promised of the entries of an epoch that the target does not attest to, from an index on
// and below another.
type Promises func(ctx context.Context, now time.Time, epoch int, from, before int64) (Promise, error)

// Keep makes the target keep promises: what is overdue does not wait for the interval, nor for the fees of what is
// on its way without it. It is called before the target is used.
func (t *Target) Keep(p Promises) { t.promises = p }

// promised is what was promised of the entries of a head from an index on. Nothing is of a seed.
func (t *Target) promised(ctx context.Context, now time.Time, purpose string, head logtree.Head, from int64) (Promise, error) {
	if t.promises == nil || purpose != anchor.PurposeLog {
		return Promise{}, nil
	}
	return t.promises(ctx, now, head.Epoch, from, head.Size)
}

// cap is the most that a transaction may cost that keeps a promise.
func (t *Target) cap(p Promise) int64 {
	if p.Overdue {
		return max(t.config.MaxFee, p.MaxFee)
	}
	return t.config.MaxFee
}
