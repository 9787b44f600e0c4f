package bitcoin_test

import (
	"context"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/bitcoin"
	"github.com/datestone/datestone/internal/logtree"
)

// What is overdue does not wait for the interval, takes the place of what is on its way without it, and may cost more.
func TestPromises(t *testing.T) {
	var overdueFrom int64 // entries from here on are overdue
	r, first := funded(t, func(r *rig) {
		r.config.MaxFee, r.promisedFee = 1000, 50_000
		overdueFrom = 1 << 40
		r.promises = func(_ context.Context, _ time.Time, _ int, from, before int64) (bitcoin.Promise, error) {
			return bitcoin.Promise{Overdue: max(from, overdueFrom) < before, MaxFee: r.promisedFee}, nil
		}
	})
	r.append(1)
	r.step()
	r.wantAttempts(1) // on its way without the second entry, which nobody was promised
	overdueFrom = first.Head.Size
	r.step()
	second := r.wantAttempts(2)[1]
	if second.Head.Size <= first.Head.Size || second.Set() != first.Set() || !r.inMempool(second.Ref) {
		t.Fatalf("the second attempt is for %d entries and set %s, the first for %d and %s", second.Head.Size, second.Set(), first.Head.Size, first.Set())
	}
	r.step()
	r.wantAttempts(2) // once it is on its way
	overdueFrom = 1 << 40
	r.mine(1)
	r.step()
	r.wantState(second.Ref, logtree.Mined)

	// Without the interval, and above the cap.
	r.append(1)
	r.step()
	r.wantAttempts(2)
	r.chain.SetFeeRate(20_000)
	r.mineEmpty(1)
	overdueFrom = second.Head.Size
	r.step()
	third := r.wantAttempts(3)[2]
	if third.Fee <= r.config.MaxFee || third.Set() == first.Set() {
		t.Fatalf("the third attempt costs %d, in the set %s", third.Fee, third.Set())
	}
	overdueFrom = 1 << 40
	r.chain.SetFeeRate(40_000)
	r.mineEmpty(1)
	r.want(anchor.FeeCap) // what nobody was promised keeps the target's own cap
}
