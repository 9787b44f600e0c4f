package otshttp

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/datestone/datestone/ots"
)

// MaxCalendars is how many calendars one call of [Client.SubmitAll] takes.
const MaxCalendars = 64

var (
	// ErrTooFew is returned by [Client.SubmitAll] when fewer calendars than needed
	// gave a usable reply.
	ErrTooFew = errors.New("too few calendars answered")
	// ErrNotAwaited is the Err of a reply that came too late to be of use.
	ErrNotAwaited = errors.New("no answer yet; enough others had answered")
)

// Reply is one calendar's answer to a submitted digest: a Timestamp or an Err.
type Reply struct {
	Calendar  string
	Timestamp *ots.Timestamp
	Err       error
	Elapsed   time.Duration
}

// Quorum says when [Client.SubmitAll] is content.
type Quorum struct {
	// Need is how many calendars must give a usable reply; 0 means all of them.
	Need int
	// Grace is how much longer the others are waited for once Need have answered.
	// 0 means as long again as that took, at least 300 ms and at most 2 s.
	Grace time.Duration
	// Accept, when set, may refuse a reply that the caller cannot use.
	Accept func(calendar string, t *ots.Timestamp) error
}

// SubmitAll sends a digest to several calendars at once. The replies are in the order
// of the calendars. It returns as soon as all have answered, or the quorum is reached
// and its grace is over, or the quorum is out of reach ([ErrTooFew]), or ctx ends; a
// slow calendar never delays it beyond that. Requests still under way are cancelled.
func (c *Client) SubmitAll(ctx context.Context, calendars []string, digest []byte, q Quorum) ([]Reply, error) {
	need := q.Need
	if need == 0 {
		need = len(calendars)
	}
	switch {
	case len(calendars) == 0:
		return nil, fmt.Errorf("submitting a digest: no calendar given")
	case len(calendars) > MaxCalendars:
		return nil, fmt.Errorf("submitting a digest: %d calendars, at most %d are taken", len(calendars), MaxCalendars)
	case need < 0 || need > len(calendars):
		return nil, fmt.Errorf("submitting a digest: %d of %d calendars must answer: not possible", q.Need, len(calendars))
	}
	for i, cal := range calendars {
		if _, err := CheckURL(cal); err != nil {
			return nil, err
		}
		for _, other := range calendars[:i] {
			if other == cal {
				return nil, fmt.Errorf("submitting a digest: calendar %q given twice", cal)
			}
		}
	}

	reqCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		i int
		r Reply
	}
	// Room for all, so that no sender outlives this call blocked.
	results := make(chan result, len(calendars))
	start := time.Now()
	for i, cal := range calendars {
		go func() {
			r := Reply{Calendar: cal}
			r.Timestamp, r.Err = c.Submit(reqCtx, cal, digest)
			if r.Err == nil && q.Accept != nil {
				if r.Err = q.Accept(cal, r.Timestamp); r.Err != nil {
					r.Timestamp = nil
				}
			}
			r.Elapsed = time.Since(start)
			results <- result{i, r}
		}()
	}

	replies := make([]Reply, len(calendars))
	for i, cal := range calendars {
		replies[i] = Reply{Calendar: cal, Err: ErrNotAwaited}
	}
	var (
		good, bad int
		graceOver <-chan time.Time
		ctxErr    error
	)
wait:
	for good+bad < len(calendars) {
		select {
		case r := <-results:
			replies[r.i] = r.r
			if r.r.Err != nil {
				bad++
			} else {
				good++
			}
			if len(calendars)-bad < need {
				break wait
			}
			if good == need && graceOver == nil {
				grace := q.Grace
				if grace == 0 {
					grace = min(max(time.Since(start), 300*time.Millisecond), 2*time.Second)
				}
				t := time.NewTimer(grace)
				defer t.Stop()
				graceOver = t.C
			}
		case <-graceOver:
			break wait
		case <-ctx.Done():
			ctxErr = context.Cause(ctx)
			break wait
		}
	}
	if good >= need {
		return replies, nil
	}
	if ctxErr != nil {
		for i := range replies {
			if errors.Is(replies[i].Err, ErrNotAwaited) {
				replies[i].Err = ctxErr
				if errors.Is(ctxErr, context.DeadlineExceeded) {
					replies[i].Err = slowError{}
				}
				replies[i].Elapsed = time.Since(start)
			}
		}
	}
	return replies, fmt.Errorf("%w: %d of %d, %d needed", ErrTooFew, good, len(calendars), need)
}
