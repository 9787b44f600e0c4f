package ethereum

import (
	"context"
	"errors"
	"time"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/logtree"
)

// stuckBlocks is how many blocks a transaction was left out of before it counts as stuck: a chain that stands still is not outbid.
const stuckBlocks = 3

// legacy says whether the next transaction is one without EIP-1559.
func (t *Target) legacy() bool {
	return t.config.Fees == "legacy" || t.config.Fees == "auto" && t.seen.latest.BaseFee == nil
}

// want is what a transaction should pay now: by EIP-1559 up to twice the base fee of the newest block.
func (t *Target) want() offer {
	if t.legacy() {
		return offer{t.seen.gasPrice, t.seen.gasPrice}
	}
	tip := max(t.seen.tip, 1)
	return offer{saturate(2*saturate(t.base()) + saturate(tip)), saturate(tip)}
}

// least is what a transaction must pay to be in the next block.
func (t *Target) least() uint64 {
	if t.legacy() {
		return saturate(t.seen.gasPrice)
	}
	base := saturate(t.base())
	return saturate(base + base/8 + saturate(max(t.seen.tip, 1)))
}

func (t *Target) base() uint64 {
	if t.seen.latest.BaseFee == nil {
		return 0
	}
	return uint64(*t.seen.latest.BaseFee)
}

// saturate keeps prices so small that sums of them fit; one gas would cost a coin and more.
func saturate(price uint64) uint64 { return min(price, 1<<60) }

// more is a price that replaces another: nodes want a tenth more at least.
func more(price uint64) uint64 { return saturate(price + price/8 + 1) }

// Prepare implements [anchor.Target]: a first transaction, or one that replaces what is on its way. The account's nonces are
// one queue, so what is stuck at its front is replaced first, whatever it carries.
func (t *Target) Prepare(ctx context.Context, now time.Time, purpose string, head logtree.Head) (anchor.Attempt, bool, error) {
	attempts, err := t.store.Unsettled(ctx, t.name)
	if err != nil {
		return anchor.Attempt{}, false, err
	}
	sets := group(attempts)
	queue := make(map[uint64]set)
	var own set // the first one with this purpose
	for _, s := range sets {
		switch n := s.nonce(); {
		case n >= t.seen.nonce && !s.open():
			return anchor.Attempt{}, false, nil // mined since the nonce was read
		case n < t.seen.nonce && s.open():
			return anchor.Attempt{}, false, nil // its receipt is to come
		case s.open():
			queue[n] = s
			if s.purpose() == purpose && (own == nil || n < own.nonce()) {
				own = s
			}
			if newest, _ := s.newest(); n > t.seen.nonce {
				t.since[newest.Ref] = int64(t.seen.latest.Number) // it waits for those before it
			}
		}
	}
	next := t.seen.nonce
	for queue[next] != nil {
		next++
	}
	o := order{purpose: purpose, head: head, nonce: next, want: t.offer, least: t.least()}
	if front := queue[t.seen.nonce]; front != nil && t.stuck(now, front) {
		return t.replacement(ctx, now, sets, front, o)
	}
	switch newest, _ := own.newest(); {
	case own != nil && t.cheap[newest.Ref]:
		return t.replacement(ctx, now, sets, own, o)
	case own != nil && own.nonce() < next:
		return anchor.Attempt{}, false, nil // on its way
	case int(next-t.seen.nonce) < len(queue):
		t.log.Warn("what was sent waits for a nonce before it that is not used; using it", "nonce", next)
	case purpose == anchor.PurposeLog: // seeds have a period of their own
		if last, found, err := t.store.LastAttempt(ctx, t.name, purpose); err != nil || found && now.Before(last.Created.Add(pause(time.Duration(t.config.Interval), last.Ref))) {
			return anchor.Attempt{}, false, err
		}
	}
	return t.fill(ctx, now, sets, o)
}

// order is what a transaction is to be.
type order struct {
	purpose string
	head    logtree.Head
	nonce   uint64
	want    offer
	least   uint64 // what it pays at least
	instead bool   // of one that is on its way
}

// stuck says whether the transaction at the front of the queue was left out of blocks for too long, or the node finds it too
// cheap.
func (t *Target) stuck(now time.Time, s set) bool {
	newest, _ := s.newest()
	return t.cheap[newest.Ref] || !now.Before(newest.Created.Add(time.Duration(t.config.ReplaceAfter))) &&
		int64(t.seen.latest.Number)-t.since[newest.Ref] >= stuckBlocks
}

// replacement replaces a transaction of the log with the newest head, and a seed with itself.
func (t *Target) replacement(ctx context.Context, now time.Time, sets []set, s set, o order) (anchor.Attempt, bool, error) {
	var highest offer
	for _, a := range s {
		if a.State != anchor.Live {
			continue
		}
		old, _, err := parseTransaction(a.Raw)
		if err != nil {
			return anchor.Attempt{}, false, err
		}
		highest = offer{max(highest.price, old.offer.price), max(highest.tip, old.offer.tip)}
	}
	if newest, _ := s.newest(); newest.Purpose != o.purpose || o.purpose == anchor.PurposeSeed {
		o.purpose, o.head = newest.Purpose, newest.Head
	}
	o.nonce, o.instead = s.nonce(), true
	o.want = offer{max(t.offer.price, more(highest.price)), max(t.offer.tip, more(highest.tip))}
	o.want.price = max(o.want.price, o.want.tip)
	o.least = max(t.least(), more(highest.price))
	return t.fill(ctx, now, sets, o)
}

// fill makes the transaction of an order, within what may be spent.
func (t *Target) fill(ctx context.Context, now time.Time, sets []set, o order) (anchor.Attempt, bool, error) {
	gas, err := t.node.estimate(ctx, t.from, t.to, o.head.Root[:])
	if err != nil {
		return anchor.Attempt{}, false, err
	}
	most := uint64(t.config.MaxFee) * weiPerGwei / gas
	if o.want.tip > most || o.least > most {
		return anchor.Attempt{}, false, t.tooDear(sets, cost(gas, max(o.least, o.want.tip)))
	}
	tx := transaction{legacy: t.legacy(), chainID: t.config.ChainID, nonce: o.nonce, gas: gas, to: t.to, data: o.head.Root[:],
		offer: offer{min(o.want.price, most), min(o.want.tip, most)}}
	if tx.legacy {
		tx.offer.tip = tx.offer.price
	}
	fee := cost(gas, tx.offer.price)
	// What it replaces costs nothing any more.
	var others, waiting []set
	for _, s := range sets {
		if s.nonce() != tx.nonce {
			others = append(others, s)
			if s.open() {
				waiting = append(waiting, s)
			}
		}
	}
	if needs := fee + reserved(waiting); t.seen.balance < needs {
		return anchor.Attempt{}, false, t.poor(needs, fee)
	}
	if err := t.withinDay(ctx, now, others, o, fee); err != nil {
		return anchor.Attempt{}, false, err
	}
	raw, err := tx.sign(t.key)
	if err != nil {
		return anchor.Attempt{}, false, err
	}
	return anchor.Attempt{Purpose: o.purpose, Head: o.head, Uses: []string{nonceName(tx.nonce)}, Raw: raw, Ref: hash(keccak256(raw)).String(), Fee: fee, VSize: int64(gas)}, true, nil
}

// tooDear names the state of a transaction that would cost more than it may.
func (t *Target) tooDear(sets []set, fee int64) error {
	for _, s := range sets {
		if a, ok := s.newest(); ok && s.open() && t.cheap[a.Ref] {
			return anchor.Faultf(anchor.Underpriced, nil, "The node finds transaction %s too cheap, and one in its place would cost %d gwei, above max_fee of %d: raise it, or wait for lower fees.", a.Ref, fee, t.config.MaxFee)
		}
	}
	return anchor.Faultf(anchor.FeeCap, nil, "The next transaction would cost %d gwei, above max_fee of %d; waiting for lower fees, or raise it.", fee, t.config.MaxFee)
}

// poor names the state of an account that has not what is needed, of which the next transaction costs fee.
func (t *Target) poor(needs, fee int64) error {
	return anchor.Faultf(anchor.NoFunds, nil, "The account %v has %d gwei and needs %d for the next transaction: send coins of chain %d to it, for example %d gwei for a hundred transactions.",
		t.from, t.seen.balance, needs, t.config.ChainID, 100*fee)
}

// Send implements [anchor.Target]. A transaction that the node finds too cheap is no error: it stays, and is replaced.
func (t *Target) Send(ctx context.Context, now time.Time, a anchor.Attempt) error {
	if t.since[a.Ref] == 0 {
		t.since[a.Ref] = int64(t.seen.latest.Number)
	}
	v, err := t.node.send(ctx, a.Raw)
	var f *anchor.Fault
	if errors.As(err, &f) {
		return err
	}
	delete(t.cheap, a.Ref)
	switch v {
	case accepted:
		delete(t.refusals, a.Ref)
		if a.Sent.IsZero() {
			return t.store.MarkSent(ctx, now, a.ID)
		}
	case spent: // it is mined, or another one is: the next step sees which
	case tooCheap:
		t.log.Info("the node finds a transaction too cheap", "transaction", a.Ref, "error", err)
		t.cheap[a.Ref] = true
	case tooPoor:
		return anchor.About(a.Purpose, t.poor(a.Fee, a.Fee))
	case tooEarly:
		return anchor.About(a.Purpose, anchor.Faultf(anchor.NonceTaken, err, "The node at %s misses what comes before transaction %s of %v: it may be behind. Its bytes are kept and sent again.", t.node.shown, a.Ref, t.from))
	default:
		t.refusals[a.Ref]++
		// Once may be a block that was not seen yet.
		if t.refusals[a.Ref] > 1 {
			return anchor.About(a.Purpose, anchor.Faultf(anchor.Refused, err, "The node at %s refuses transaction %s: %v", t.node.shown, a.Ref, err))
		}
	}
	return nil
}

// resend gives the node again the saved bytes of what no block has.
func (t *Target) resend(ctx context.Context, now time.Time) error {
	if now.Before(t.nextSend) {
		return nil
	}
	attempts, err := t.store.Unsettled(ctx, t.name)
	if err != nil {
		return err
	}
	var kept error
	for _, s := range group(attempts) {
		a, ok := s.newest()
		if !ok || !s.open() || s.nonce() < t.seen.nonce {
			continue
		}
		var f *anchor.Fault
		if err := t.Send(ctx, now, a); errors.As(err, &f) && f.Purpose != "" {
			kept = errors.Join(kept, err)
		} else if err != nil {
			return err
		}
	}
	if kept != nil {
		return kept
	}
	t.nextSend = now.Add(time.Duration(t.config.Resend))
	return nil
}
