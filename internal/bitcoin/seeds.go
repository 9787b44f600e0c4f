package bitcoin

import (
	"context"
	"slices"
	"time"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/bitcoin/ledger"
)

// CarrySeeds makes the target carry seeds beside heads of the log, and keep coins for both. It is called before the target is
// used.
func (t *Target) CarrySeeds() { t.seeds = true }

// branchesOf are the branch of the wallet that pays for a purpose, and the one that does not.
func branchesOf(purpose string) (own, other int) {
	if purpose == anchor.PurposeSeed {
		return ledger.Seeds, ledger.Log
	}
	return ledger.Log, ledger.Seeds
}

// ordinary is about the virtual size of a transaction with one coin.
const ordinary = 200

// shareScript is where half of what is left goes: to the other purpose's branch, while that has not enough for a few
// transactions and no coin for funding is left to it. So one payment serves both.
func (t *Target) shareScript(ctx context.Context, p purse, o order) (script []byte, enough int64, err error) {
	if !t.seeds {
		return nil, 0, nil
	}
	_, other := branchesOf(o.purpose)
	enough = 4*o.rate.fee(ordinary) + o.dust
	var has int64
	for _, c := range p.coins {
		if c.Branch == other && p.prospect(c.Outpoint) != gone && !o.evicts[c.Outpoint[:64]] {
			has += c.Value
		}
	}
	for _, c := range o.more {
		if c.Branch == ledger.Funding && !slices.ContainsFunc(o.inputs, func(in ledger.Coin) bool { return in.Outpoint == c.Outpoint }) {
			has += c.Value
		}
	}
	if has >= enough {
		return nil, 0, nil
	}
	script, err = t.wallet.change(ctx, other)
	return script, enough, err
}

// withinDay says why a transaction would cost more than may be spent in a day: all together max_fee_day, and seeds half of
// it, so that the other half is the log's.
func (t *Target) withinDay(ctx context.Context, now time.Time, attempts []anchor.Attempt, next anchor.Attempt) error {
	spent, err := t.store.SettledFees(ctx, t.name, "", now.Add(-day))
	if err != nil {
		return err
	}
	if cost := spent + reservedWith(attempts, "", next); cost > t.config.MaxFeeDay {
		return anchor.Faultf(anchor.DayCap, nil,
			"The next transaction would bring the fees of 24 hours to %d %s, above max_fee_day of %d; waiting, or raise it.", cost, t.net.chain.unit, t.config.MaxFeeDay)
	}
	if next.Purpose != anchor.PurposeSeed {
		return nil
	}
	if spent, err = t.store.SettledFees(ctx, t.name, anchor.PurposeSeed, now.Add(-day)); err != nil {
		return err
	}
	if cost := spent + reservedWith(attempts, anchor.PurposeSeed, next); cost > t.config.MaxFeeDay/2 {
		return anchor.Faultf(anchor.DayCap, nil,
			"The next transaction would bring what seeds cost in 24 hours to %d %s, above half of max_fee_day of %d; waiting, or raise it.", cost, t.net.chain.unit, t.config.MaxFeeDay)
	}
	return nil
}
