package ethereum

import (
	"context"
	"time"

	"github.com/datestone/datestone/internal/anchor"
)

// carriesSeeds says whether the chain is one of OriginStamp's currencies.
func (t *Target) carriesSeeds() bool { return t.config.Currency != 0 }

// withinDay says why a transaction would cost more than may be spent in a day, beside other sets: all together max_fee_day, and
// new ones for seeds half of it, so that the other half is the log's. One that takes the place of another may use it all:
// what is behind it waits for it.
func (t *Target) withinDay(ctx context.Context, now time.Time, others []set, o order, fee int64) error {
	spent, err := t.store.SettledFees(ctx, t.name, "", now.Add(-day))
	if err != nil {
		return err
	}
	if sum := spent + reserved(others) + fee; sum > t.config.MaxFeeDay {
		return anchor.Faultf(anchor.DayCap, nil,
			"The next transaction would bring the fees of 24 hours to %d gwei, above max_fee_day of %d; waiting, or raise it.", sum, t.config.MaxFeeDay)
	}
	if o.purpose != anchor.PurposeSeed || o.instead {
		return nil
	}
	if spent, err = t.store.SettledFees(ctx, t.name, anchor.PurposeSeed, now.Add(-day)); err != nil {
		return err
	}
	if sum := spent + reserved(of(anchor.PurposeSeed, others)) + fee; sum > t.config.MaxFeeDay/2 {
		return anchor.Faultf(anchor.DayCap, nil,
			"The next transaction would bring what seeds cost in 24 hours to %d gwei, above half of max_fee_day of %d; waiting, or raise it.", sum, t.config.MaxFeeDay)
	}
	return nil
}

// of are the sets of a purpose, or all when it is empty.
func of(purpose string, sets []set) []set {
	var all []set
	for _, s := range sets {
		if purpose == "" || s.purpose() == purpose {
			all = append(all, s)
		}
	}
	return all
}

// fees are what a purpose, or all when it is empty, cost in a day and in a week, with what is reserved.
func (t *Target) fees(ctx context.Context, now time.Time, sets []set, purpose string) (inDay, inWeek int64, err error) {
	if inDay, err = t.store.SettledFees(ctx, t.name, purpose, now.Add(-day)); err != nil {
		return 0, 0, err
	}
	if inWeek, err = t.store.SettledFees(ctx, t.name, purpose, now.Add(-week)); err != nil {
		return 0, 0, err
	}
	open := reserved(of(purpose, sets))
	return inDay + open, inWeek + open, nil
}
