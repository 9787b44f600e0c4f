package bitcoin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/bitcoin/ledger"
	"github.com/datestone/datestone/internal/logtree"
)

// Prepare implements [anchor.Target]: a first transaction, or one that replaces what is on its way.
func (t *Target) Prepare(ctx context.Context, now time.Time, purpose string, head logtree.Head) (anchor.Attempt, bool, error) {
	chain, err := t.store.Chain(ctx, t.name)
	if err != nil {
		return anchor.Attempt{}, false, err
	}
	if err := t.askRates(ctx, now, chain.Best.Height); err != nil {
		return anchor.Attempt{}, false, err
	}
	attempts, err := t.store.Unsettled(ctx, t.name)
	if err != nil {
		return anchor.Attempt{}, false, err
	}
	coins, err := t.store.Coins(ctx, t.name)
	if err != nil {
		return anchor.Attempt{}, false, err
	}
	p := newPurse(chain.Best.Height, int64(t.config.Confirmations), coins, attempts)
	var o order
	var ok bool
	if open := p.openFor(purpose); len(open) > 0 {
		o, ok, err = t.replacement(ctx, now, p, open[0], head)
	} else {
		o, ok, err = t.first(ctx, now, p, purpose, head)
	}
	if err != nil || !ok {
		return anchor.Attempt{}, false, err
	}
	o.purpose = purpose
	return t.fill(ctx, now, p, attempts, o)
}

// replacement is the order for a transaction that replaces an open set's, if it pays too little now, or lacks what should be
// on its way. A seed is replaced by itself.
func (t *Target) replacement(ctx context.Context, now time.Time, p purse, s set, head logtree.Head) (order, bool, error) {
	current, purpose := s.highest(), s.purpose()
	if purpose == anchor.PurposeSeed {
		head = current.Head
	}
	if t.firm && !t.cheap[current.Ref] {
		return order{}, false, nil
	}
	var carried int64
	if current.Head.Epoch == head.Epoch {
		carried = current.Head.Size
	}
	missing, err := t.promised(ctx, now, purpose, head, carried)
	if err != nil || t.rates.want <= rateOf(current) && !t.cheap[current.Ref] && !missing.Overdue {
		return order{}, false, err
	}
	waiting, err := t.promised(ctx, now, purpose, head, 0)
	if err != nil {
		return order{}, false, err
	}
	o := order{head: head, dust: t.net.chain.dust, rate: max(t.rates.want, rateOf(current)+1), increment: t.rates.increment, most: t.cap(waiting)}
	if !p.payable(current) {
		return order{}, false, nil
	}
	for _, outpoint := range current.Uses {
		o.inputs = append(o.inputs, p.coins[outpoint])
	}
	_, other := branchesOf(purpose)
	for _, c := range p.free(s) {
		if c.Branch != other && !slices.Contains(current.Uses, c.Outpoint) {
			o.more = append(o.more, c)
		}
	}
	// What spends the replaced transaction's change leaves the mempool with it and is to be outbid too.
	o.evicts, o.least = p.evicted(s)
	return o, true, nil
}

// first is the order for the first transaction of a new set, unless it is too early for one. Seeds wait for no interval:
// they have a period of their own.
func (t *Target) first(ctx context.Context, now time.Time, p purse, purpose string, head logtree.Head) (order, bool, error) {
	waiting, err := t.promised(ctx, now, purpose, head, 0)
	if err != nil {
		return order{}, false, err
	}
	last, found, err := t.store.LastAttempt(ctx, t.name, purpose)
	if err != nil || found && purpose == anchor.PurposeLog && !waiting.Overdue && now.Before(last.Created.Add(pause(time.Duration(t.config.Interval), last.Ref))) {
		return order{}, false, err
	}
	o := order{head: head, dust: t.net.chain.dust, rate: t.rates.want, increment: t.rates.increment, most: t.cap(waiting)}
	own, other := branchesOf(purpose)
	for _, c := range p.free(nil) {
		switch {
		case c.Branch == own && len(o.inputs) == 0:
			o.inputs = append(o.inputs, c)
		case c.Branch != other:
			o.more = append(o.more, c)
		}
	}
	more, err := t.wallet.more(ctx)
	if err != nil {
		return order{}, false, err
	}
	for _, c := range more {
		if _, known := p.coins[c.Outpoint]; !known {
			o.more = append(o.more, c)
		}
	}
	slices.SortFunc(o.more, byValue)
	if len(o.inputs) == 0 && len(o.more) > 0 {
		o.inputs, o.more = o.more[:1:1], o.more[1:]
	}
	return o, true, nil
}

// fill makes the transaction of an order, within what may be spent.
func (t *Target) fill(ctx context.Context, now time.Time, p purse, attempts []anchor.Attempt, o order) (anchor.Attempt, bool, error) {
	var err error
	if o.change, err = t.changeScript(ctx, o); err != nil {
		return anchor.Attempt{}, false, err
	}
	if o.share, o.enough, err = t.shareScript(ctx, p, o); err != nil {
		return anchor.Attempt{}, false, err
	}
	inputs, fee, change, err := o.choose()
	if err != nil {
		return anchor.Attempt{}, false, t.poor(o, err)
	}
	o, fee, change = o.split(inputs, fee, change)
	next := anchor.Attempt{Purpose: o.purpose, Head: o.head, Uses: []string{inputs[0].Outpoint}, Fee: fee, State: anchor.Live}
	if err := t.withinDay(ctx, now, attempts, next); err != nil {
		return anchor.Attempt{}, false, err
	}
	if ok, err := t.keep(ctx, now, p, inputs); err != nil || !ok {
		return anchor.Attempt{}, false, err
	}
	a, err := o.build(ctx, t.wallet, inputs, fee, change)
	return a, err == nil, err
}

// held finds the transaction of a set that the node has in its mempool, which kept it from taking another one.
func (t *Target) held(ctx context.Context, s set, other anchor.Attempt, cause error) (anchor.Attempt, verdict, error) {
	for _, a := range s.live() {
		if a.Ref == other.Ref {
			continue
		}
		if v, err := t.node.send(ctx, a.Raw); v == accepted {
			return a, v, err
		}
	}
	return other, refused, cause
}

// changeScript is where change goes: to the script that the coin of the branch has already, so that the
// node's wallet is not asked for a new one with every replacement.
func (t *Target) changeScript(ctx context.Context, o order) ([]byte, error) {
	own, _ := branchesOf(o.purpose)
	for _, c := range o.inputs {
		if c.Branch == own {
			return c.Script, nil
		}
	}
	return t.wallet.change(ctx, own)
}

// keep stores the inputs that following blocks did not find, so that their spending is seen. It
// reports false while the block that made one was not followed yet.
func (t *Target) keep(ctx context.Context, now time.Time, p purse, inputs []ledger.Coin) (bool, error) {
	var found []ledger.Coin
	for _, c := range inputs {
		if _, known := p.coins[c.Outpoint]; known {
			continue
		}
		w, ok := t.wallet.(*nodeWallet)
		if !ok {
			return false, fmt.Errorf("the coin %s came from nowhere", c.Outpoint)
		}
		var err error
		if c.Height, err = w.locate(ctx, c); err != nil {
			return false, err
		}
		if c.Height == 0 || c.Height > p.height {
			return false, nil
		}
		found = append(found, c)
	}
	if len(found) == 0 {
		return true, nil
	}
	return true, t.store.AddCoins(ctx, now, t.name, found)
}

// poor names the state of a wallet that cannot pay.
func (t *Target) poor(o order, err error) error {
	var short errShort
	var high errCap
	switch {
	case errors.As(err, &high):
		return anchor.Faultf(anchor.FeeCap, nil, "The next transaction would cost %d %s, above max_fee of %d; waiting for lower fees, or raise it.", high.fee, t.net.chain.unit, o.most)
	case errors.As(err, &short):
		var have int64
		for _, c := range slices.Concat(o.inputs, o.more) {
			have += c.Value
		}
		if o.purpose == anchor.PurposeSeed {
			return anchor.Faultf(anchor.NoFunds, nil, "The coins for seeds have %d %s, and the next transaction needs %d more; the log's are not spent for them: send coins to %s, for example %d %[2]s for a hundred transactions.",
				have, t.net.chain.unit, short.missing, t.wallet.address(), 100*o.rate.fee(ordinary))
		}
		return anchor.Faultf(anchor.NoFunds, nil, "The wallet can spend %d %s and needs %d more for the next transaction: send coins to %s, for example %d %[2]s for a hundred transactions.",
			have, t.net.chain.unit, short.missing, t.wallet.address(), 100*o.rate.fee(ordinary))
	}
	return err
}

// askRates asks the node for fee rates, at most once a minute and a block.
func (t *Target) askRates(ctx context.Context, now time.Time, height int64) error {
	if t.rates.want > 0 && t.rates.height == height && now.Sub(t.rates.at) < time.Minute && now.Sub(t.rates.at) >= 0 {
		return nil
	}
	want, ok, err := t.node.estimate(ctx, t.config.ConfTarget)
	if err != nil {
		return err
	}
	if !ok {
		want = perByte(t.config.FallbackFeeRate)
	}
	lowest, increment, err := t.node.floors(ctx)
	if err != nil {
		return err
	}
	t.rates = rates{at: now, height: height, want: max(want, lowest, perByte(t.config.MinFeeRate)), increment: increment}
	return nil
}

// Send implements [anchor.Target]. A transaction that the node does not take is no error here: it
// stays, and Check sends it again.
func (t *Target) Send(ctx context.Context, now time.Time, a anchor.Attempt) error {
	v, err := t.node.send(ctx, a.Raw)
	if v == conflicting {
		t.nextSend = time.Time{} // resend looks at the whole set
		return nil
	}
	return t.taken(ctx, now, a, v, err)
}

// taken notes what became of a transaction that was given to the node. It returns faults only.
func (t *Target) taken(ctx context.Context, now time.Time, a anchor.Attempt, v verdict, err error) error {
	var f *anchor.Fault
	if errors.As(err, &f) {
		return err
	}
	switch v {
	case accepted:
		delete(t.cheap, a.Ref)
		delete(t.refusals, a.Ref)
		if a.Sent.IsZero() {
			return t.store.MarkSent(ctx, now, a.ID)
		}
	case tooCheap:
		t.log.Info("the node finds a transaction too cheap", "transaction", a.Ref, "error", err)
		t.cheap[a.Ref] = true
	default:
		t.refusals[a.Ref]++
		// Once may be a block that was not followed yet.
		if t.refusals[a.Ref] > 1 && t.refusal[a.Purpose] == nil {
			t.refusal[a.Purpose] = anchor.Faultf(anchor.Refused, err, "The %s node refuses transaction %s: %v", t.net.chain.name, a.Ref, err)
		}
	}
	return nil
}

// resend gives the node again what no block has, parents first.
func (t *Target) resend(ctx context.Context, now time.Time) error {
	if now.Before(t.nextSend) {
		return nil
	}
	chain, err := t.store.Chain(ctx, t.name)
	if err != nil {
		return err
	}
	attempts, err := t.store.Unsettled(ctx, t.name)
	if err != nil {
		return err
	}
	coins, err := t.store.Coins(ctx, t.name)
	if err != nil {
		return err
	}
	p := newPurse(chain.Best.Height, int64(t.config.Confirmations), coins, attempts)
	clear(t.refusal)
	for _, s := range p.sets {
		a, ok := s.toSend()
		if !ok {
			continue
		}
		v, err := t.node.send(ctx, a.Raw)
		if h := s.highest(); v == tooCheap && h.Ref != a.Ref {
			a = h
			v, err = t.node.send(ctx, a.Raw)
		}
		if v == conflicting {
			if a, v, err = t.held(ctx, s, a, err); v == accepted && !t.firm {
				t.firm = true
				t.log.Info("the node replaces no transaction of its mempool; fees stay as they are", "transaction", a.Ref)
			}
		}
		if v == refused && rpcCode(err) != 0 && !p.payable(a) {
			continue // as expected; it is sent again in case its coin comes back
		}
		if err := t.taken(ctx, now, a, v, err); err != nil {
			return err
		}
	}
	var refused error
	for _, purpose := range []string{anchor.PurposeLog, anchor.PurposeSeed} {
		if f := t.refusal[purpose]; f != nil {
			refused = errors.Join(refused, anchor.About(purpose, f))
		}
	}
	if refused != nil {
		return refused
	}
	t.nextSend = now.Add(time.Duration(t.config.Resend))
	return nil
}
