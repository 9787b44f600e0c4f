package server

import (
	"context"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/bitcoin"
	"github.com/datestone/datestone/internal/store"
)

// promises are those of plans with a time to commitment, as a target asks for them.
func promises(db *store.DB, target string, plans account.Plans) bitcoin.Promises {
	made := make(map[string]account.Plan)
	for name, p := range plans {
		if p.Commitment > 0 {
			made[name] = p
		}
	}
	if len(made) == 0 {
		return nil
	}
	return func(ctx context.Context, now time.Time, epoch int, from, before int64) (bitcoin.Promise, error) {
		var found bitcoin.Promise
		covered, err := db.Coverage(ctx, target, anchor.PurposeLog)
		if err != nil {
			return found, err
		}
		for _, c := range covered {
			if c.Epoch == epoch {
				from = max(from, c.Counted, c.Mined)
			}
		}
		for name, p := range made {
			since, some, err := db.WaitingSince(ctx, name, epoch, from, before)
			if err != nil {
				return found, err
			}
			if some && now.Sub(since) >= p.Commitment {
				found.Overdue, found.MaxFee = true, max(found.MaxFee, p.MaxFee)
			}
		}
		return found, nil
	}
}
