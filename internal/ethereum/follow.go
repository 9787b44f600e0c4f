package ethereum

import (
	"context"
	"math"
	"time"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/logtree"
)

// standingAtOnce bounds the attestations that are read at a time.
const standingAtOnce = 50

// follow withdraws what is in blocks that left the best chain, finds our transactions in blocks, and counts those that
// are deep enough.
func (t *Target) follow(ctx context.Context, now time.Time) error {
	behind, err := t.checkStanding(ctx, now)
	if err != nil {
		return err
	}
	if err := t.findMined(ctx, now); err != nil {
		return err
	}
	// With nothing new there is nothing to count.
	if deep := t.final(); deep >= 0 && deep != t.settled {
		counted, err := t.store.Settle(ctx, now, t.name, int64(t.seen.latest.Number), deep)
		if err != nil {
			return err
		}
		t.settled = deep
		for _, a := range counted {
			t.log.Info("an attestation counts", "transaction", a.Ref, "height", a.Height, anchor.Naming(a.Purpose, a.Head))
		}
	}
	if behind > 0 {
		return anchor.Faultf(anchor.NodeBehind, nil, "The node at %s is at block %d, behind block %d that was seen already; waiting for it.", t.node.shown, t.seen.latest.Number, behind)
	}
	return t.findTaken(ctx, now)
}

// checkStanding compares the blocks of attestations with the best chain, from the newest to the first that counts and is
// in it: what is below is in the same chain. A node that does not have a block yet contradicts nothing; behind is the
// height of such a block.
func (t *Target) checkStanding(ctx context.Context, now time.Time) (behind int64, err error) {
	for below := int64(math.MaxInt64); ; {
		all, err := t.store.Standing(ctx, t.name, below, standingAtOnce)
		if err != nil || len(all) == 0 {
			return behind, err
		}
		heights := make([]int64, len(all))
		for i, a := range all {
			heights[i] = a.Height
		}
		headers, err := t.node.headers(ctx, heights)
		if err != nil {
			return behind, err
		}
		for i, a := range all {
			switch h := headers[i]; {
			case h == nil:
				behind = max(behind, a.Height)
			case h.Hash != a.BlockHash:
				if err := t.withdraw(ctx, now, a); err != nil {
					return behind, err
				}
			case a.State != logtree.Mined:
				return behind, nil
			}
		}
		// More of them may be at the last height: what is read again has not changed.
		last := all[len(all)-1].Height
		if below = last + 1; len(all) < standingAtOnce {
			return behind, nil
		}
		if all[0].Height == last {
			below = last
		}
	}
}

func (t *Target) withdraw(ctx context.Context, now time.Time, a logtree.Attestation) error {
	withdrawn, err := t.store.Withdraw(ctx, now, t.name, a.Height, a.BlockHash)
	if err != nil {
		return err
	}
	t.settled, t.nextSend = -1, time.Time{}
	t.log.Warn("the chain was reorganised", "transaction", a.Ref, "height", a.Height)
	for _, w := range withdrawn {
		t.log.Error("an attestation that was given out is withdrawn: its block left the best chain", "transaction", w.Ref, "height", w.Height, anchor.Naming(w.Purpose, w.Head))
	}
	return nil
}

// findMined asks for the receipts of what may have been mined, and keeps the proofs.
func (t *Target) findMined(ctx context.Context, now time.Time) error {
	attempts, err := t.store.Unsettled(ctx, t.name)
	if err != nil {
		return err
	}
	var waiting []anchor.Attempt
	var refs []string
	for _, s := range group(attempts) {
		if !s.open() {
			continue
		}
		for _, a := range s {
			if a.State == anchor.Live {
				waiting, refs = append(waiting, a), append(refs, a.Ref)
			}
		}
	}
	receipts, err := t.node.receipts(ctx, refs)
	if err != nil {
		return err
	}
	for i, r := range receipts {
		if r == nil {
			continue
		}
		if err := t.confirm(ctx, now, waiting[i], r); err != nil {
			return err
		}
	}
	return nil
}

// confirm keeps the proof of an attempt that is in a block of the best chain.
func (t *Target) confirm(ctx context.Context, now time.Time, a anchor.Attempt, r *receipt) error {
	headers, err := t.node.headers(ctx, []int64{int64(r.Number)})
	if err != nil {
		return err
	}
	h := headers[0]
	if h == nil || h.Hash != r.Block {
		return nil // the chain changed meanwhile, or the node is not one but several
	}
	all, err := t.node.transactions(ctx, h.Hash)
	if err != nil || all == nil {
		return err
	}
	wire, err := proof(a.Raw, a.Head.Root, all, int(min(r.Index, math.MaxInt32)), *h)
	if err != nil {
		return t.node.odd(err)
	}
	err = t.store.Confirm(ctx, now, t.name, logtree.Attestation{
		Target: t.name, Kind: logtree.Ethereum, Purpose: a.Purpose, Head: a.Head, Proof: wire, Height: int64(h.Number), BlockHash: h.Hash, BlockTime: h.time(), Ref: a.Ref,
	}, cost(uint64(r.Gas), uint64(r.GasPrice)))
	if err != nil {
		return err
	}
	t.settled = -1
	delete(t.since, a.Ref)
	delete(t.cheap, a.Ref)
	delete(t.refusals, a.Ref)
	delete(t.taken, a.Set())
	t.log.Info("a transaction is mined", "transaction", a.Ref, "height", int64(h.Number), anchor.Naming(a.Purpose, a.Head))
	return nil
}

// findTaken looks for nonces of ours that were used by what is not ours. Once that is final the attempts are given up,
// and the next one takes the account's next nonce.
func (t *Target) findTaken(ctx context.Context, now time.Time) error {
	attempts, err := t.store.Unsettled(ctx, t.name)
	if err != nil {
		return err
	}
	var fault error
	for _, s := range group(attempts) {
		if !s.open() || s.nonce() >= t.seen.nonce {
			delete(t.taken, s.name())
			continue
		}
		first, known := t.taken[s.name()]
		if !known {
			first = int64(t.seen.latest.Number)
			t.taken[s.name()] = first
		}
		if t.final() >= first {
			t.log.Error("giving up transactions: their nonce was used by what is not ours", "nonce", s.nonce(), "account", t.from.String())
			if err := t.store.Abandon(ctx, now, t.name, s.name(), first); err != nil {
				return err
			}
			delete(t.taken, s.name())
			continue
		}
		fault = anchor.Faultf(anchor.NonceTaken, nil, "Nonce %d of %v was used by a transaction that is not ours: give this target a key that nothing else uses. It goes on when that transaction is final.", s.nonce(), t.from)
	}
	return fault
}
