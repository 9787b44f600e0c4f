package upstream

import (
	"context"
	"errors"
	"time"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/upstream/submission"
	"github.com/datestone/datestone/ots"
	"github.com/datestone/datestone/ots/headers"
)

const (
	// deepBlocks is how deep a block must be for nobody to look any more whether it is still there.
	deepBlocks = 100
	// judgeEvery is how often the sources are asked while answers wait to be checked, restEvery how often they are
	// while none does.
	judgeEvery = time.Minute
	restEvery  = 10 * time.Minute
	// maxAnswers bounds the answers that are checked in one round.
	maxAnswers = 16
	// maxRecent bounds the attestations that are looked at for one that left the chain.
	maxRecent = 2000
	// forgetStep is how many submissions one transaction deletes.
	forgetStep = 500
)

// judge checks what calendars answered against block headers. It asks no calendar.
type judge struct {
	l     *Loop
	soon  chan struct{}
	fails int
}

func (j *judge) run(ctx context.Context) error {
	wait := spread(j.l.pace(10 * time.Second))
	for {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		case <-j.soon:
			timer.Stop()
		}
		waiting, err := j.round(ctx, j.l.now())
		if ctx.Err() != nil {
			return nil
		}
		if j.l.lost(err) {
			return err
		}
		switch anchor.CodeOf(err) {
		case anchor.OK:
			wait, j.fails = jitter(j.l.pace(restEvery)), 0
			if waiting {
				wait = jitter(j.l.pace(judgeEvery))
			}
		case anchor.StoreFailed:
			j.l.stored(err)
			wait = jitter(10 * time.Second)
		default:
			j.fails++
			wait = j.l.backoff(j.fails)
			// An answer that comes meanwhile is no reason to ask again.
			pause := time.NewTimer(wait)
			select {
			case <-ctx.Done():
			case <-pause.C:
			}
			pause.Stop()
			wait = 0
		}
	}
}

// round looks at the chain once: it withdraws what left it, and counts what is deep enough. waiting says that an answer
// is left to be checked.
func (j *judge) round(ctx context.Context, now time.Time) (waiting bool, err error) {
	l := j.l
	best, err := l.chain.tip(ctx)
	if err == nil {
		err = j.recheck(ctx, now, best)
	}
	if err == nil {
		waiting, err = j.check(ctx, now, best)
	}
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	switch anchor.CodeOf(err) {
	case anchor.OK:
		l.setHeaders(best, nil)
		err = j.tidy(ctx, best)
	case anchor.StoreFailed:
	default:
		l.setHeaders(best, err)
	}
	return waiting, err
}

// recheck withdraws the attestations whose block left the best chain. The highest block that is still there stands on
// all those below it.
func (j *judge) recheck(ctx context.Context, now time.Time, best int64) error {
	l := j.l
	recent, err := l.store.CountedSince(ctx, l.name, best-deepBlocks, maxRecent)
	if err != nil {
		return err
	}
	gone := make(map[[32]byte]bool)
	for _, a := range recent {
		if gone[a.BlockHash] || a.Height > best {
			// Sources that are behind contradict nothing.
			continue
		}
		h, err := l.chain.header(ctx, a.Height)
		if errors.Is(err, headers.ErrNoBlock) {
			continue
		} else if err != nil {
			return err
		}
		if h.Hash() == a.BlockHash {
			return nil
		}
		l.log.Warn("an attestation's block left the best chain", "height", a.Height, "block", headers.HashString(a.BlockHash), "attestation", a.Ref)
		if err := l.store.WithdrawSubmitted(ctx, now, l.name, a.Height, a.BlockHash); err != nil {
			return err
		}
		gone[a.BlockHash] = true
	}
	return nil
}

// check counts the answers that are true and deep enough.
func (j *judge) check(ctx context.Context, now time.Time, best int64) (waiting bool, err error) {
	l := j.l
	seen := make(map[int64]ots.Header)
	for range maxAnswers {
		// What was counted just now may cover the next.
		rows, err := l.store.AnsweredSubmissions(ctx, now, l.name, 1)
		if err != nil || len(rows) == 0 {
			return waiting, err
		}
		s := rows[0]
		if s.Height > best {
			// The sources may be behind the calendar; one that names a block of next year is let wait.
			waiting = true
			if err := l.store.DeferSubmission(ctx, s.ID, now.Add(l.backoff(s.Tries+3))); err != nil {
				return waiting, err
			}
			continue
		}
		h, ok := seen[s.Height]
		if !ok {
			if h, err = l.chain.header(ctx, s.Height); errors.Is(err, headers.ErrNoBlock) {
				return true, nil
			} else if err != nil {
				return true, err
			}
			seen[s.Height] = h
		}
		if best-s.Height+1 < int64(l.config.Confirmations) {
			// Those that follow are no deeper; the block may still change.
			return true, nil
		}
		if err := j.settle(ctx, now, s, h); err != nil {
			return true, err
		}
	}
	return true, nil
}

// settle makes an attestation of an answer that the header bears out, and refuses another.
func (j *judge) settle(ctx context.Context, now time.Time, s submission.Submission, h ots.Header) error {
	l := j.l
	c, err := evaluate(s)
	var at time.Time
	if err == nil {
		at, err = c.attestation.VerifyHeader(c.message, h)
	}
	w := l.workerOf(s.Calendar)
	if err != nil {
		if w != nil {
			w.proved(&falseError{s.Height, err})
		}
		return l.store.RefuseAnswer(ctx, now, s.ID, now.Add(l.backoff(s.Tries+6)))
	}
	a := logtree.Attestation{Target: l.name, Kind: logtree.Bitcoin, Head: s.Head, Proof: s.Proof, Height: s.Height, BlockHash: h.Hash(), BlockTime: at, Ref: c.ref}
	state, err := l.store.AttestSubmission(ctx, now, s.ID, a)
	if err != nil {
		return err
	}
	if w != nil {
		w.proved(nil)
	}
	l.log.Info("a calendar's attestation holds", "calendar", s.Calendar, "height", s.Height, "epoch", s.Head.Epoch, "size", s.Head.Size, "counted", state == logtree.Counted)
	return nil
}

// tidy keeps the height of the best block, and forgets what is attested for good.
func (j *judge) tidy(ctx context.Context, best int64) error {
	l := j.l
	if err := l.store.SaveTip(ctx, l.name, best); err != nil {
		return err
	}
	for ctx.Err() == nil {
		n, err := l.store.ForgetSubmissions(ctx, l.name, best-deepBlocks, forgetStep)
		if err != nil || n < forgetStep {
			return err
		}
	}
	return nil
}
