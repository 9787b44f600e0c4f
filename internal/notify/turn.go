package notify

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode"
)

const (
	lookEvery = time.Second
	// turnDeliveries and turnTime bound what one endpoint gets before others have their turn.
	turnDeliveries = 20
	turnTime       = 5 * time.Second
	// heldFor is how long an endpoint is left alone after a fault of ours.
	heldFor = 30 * time.Second
	// saveTogether is how many results are saved in one transaction.
	saveTogether = 100
	saveWithin   = 30 * time.Second
	maxError     = 200
)

// turns says which endpoints have their turn.
type turns struct {
	mu      sync.Mutex
	running map[int64]bool      // by endpoint; true in the slow lane
	held    map[int64]time.Time // until when an endpoint is left alone
	limit   [2]int              // of the quick and of the slow lane
	count   [2]int
	done    sync.WaitGroup
}

func (t *turns) init(workers int) {
	t.running, t.held = make(map[int64]bool), make(map[int64]time.Time)
	slow := max(1, workers/2)
	t.limit = [2]int{max(1, workers-slow), slow}
}

// free is how many turns may begin in a lane, and how many endpoints may be in the way of those that wait.
func (t *turns) free(lane int) (free, hidden int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.limit[lane] - t.count[lane], len(t.running) + len(t.held)
}

func (t *turns) begin(id int64, lane int, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if until, held := t.held[id]; held && now.Before(until) {
		return false
	}
	delete(t.held, id)
	if _, runs := t.running[id]; runs || t.count[lane] >= t.limit[lane] {
		return false
	}
	t.running[id] = lane == 1
	t.count[lane]++
	t.done.Add(1)
	return true
}

func (t *turns) end(id int64, lane int, heldUntil time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.running, id)
	t.count[lane]--
	if !heldUntil.IsZero() {
		t.held[id] = heldUntil
	}
	t.done.Done()
}

// deliverAll gives turns to endpoints until ctx ends or the right to is lost.
func (l *Loop) deliverAll(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	defer l.turns.done.Wait()
	for {
		_, err := l.give(ctx, stop)
		if err := l.noted(ctx, err, "which notices are due is not known; it is asked again"); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			if cause := context.Cause(ctx); l.o.Lost(cause) {
				return cause
			}
			return nil
		case <-tick.C:
		case <-l.wake:
		}
	}
}

// give begins the turns that may begin, and says how many.
func (l *Loop) give(ctx context.Context, stop context.CancelCauseFunc) (begun int, err error) {
	now := l.o.Now()
	for lane, slow := range []bool{false, true} {
		free, hidden := l.turns.free(lane)
		if free <= 0 {
			continue
		}
		due, err := l.store.DueEndpoints(ctx, now, slow, free+hidden)
		if err != nil {
			return begun, err
		}
		for _, e := range due {
			if !l.turns.begin(e.ID, lane, now) {
				continue
			}
			begun++
			go func() {
				held, err := l.turn(ctx, e.ID, slow)
				l.turns.end(e.ID, lane, held)
				if err != nil && l.o.Lost(err) {
					stop(err)
				} else if err := l.noted(ctx, err, "a notice was not brought to its end; it is tried again"); err != nil {
					stop(err)
				}
				l.awaken()
			}()
		}
	}
	return begun, nil
}

// turn sends some of what is due to an endpoint, one after the other. It ends with the first failure, and for an
// endpoint in the quick lane with the first answer that was slow. After a fault of ours the endpoint is left alone
// for a while.
func (l *Loop) turn(ctx context.Context, endpoint int64, slow bool) (heldUntil time.Time, err error) {
	began := time.Now()
	for range turnDeliveries {
		if ctx.Err() != nil || time.Since(began) > turnTime {
			return heldUntil, nil
		}
		e, d, found, err := l.store.NextDelivery(ctx, endpoint)
		if err != nil {
			return l.o.Now().Add(heldFor), err
		}
		if !found {
			return l.o.Now().Add(lookEvery), nil
		}
		result, err := l.try(ctx, e, d)
		if err != nil {
			if ctx.Err() != nil {
				return heldUntil, nil
			}
			return l.o.Now().Add(heldFor), err
		}
		if err := l.save(ctx, result); err != nil {
			return l.o.Now().Add(heldFor), err
		}
		if !result.Done || result.Slow && !slow {
			return heldUntil, nil
		}
	}
	return heldUntil, nil
}

// try sends a notice once. An error is ours and says nothing of the endpoint.
func (l *Loop) try(ctx context.Context, e Endpoint, d Delivery) (Result, error) {
	sender := l.senders[e.Channel]
	if sender == nil {
		return Result{}, fmt.Errorf("endpoint %v wants notices by %s, which is not set up here", e.UID, e.Channel)
	}
	// The end of the loop does not interrupt what was begun, which might be sent twice then.
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.o.Timeout)
	defer cancel()
	began := time.Now()
	o := sender.Send(within, e, d.Notice)
	took := time.Since(began)
	if errors.Is(o.Err, ErrOurFault) {
		return Result{}, o.Err
	}
	l.o.Observe(e.Channel, o.Err == nil, took)
	r := Result{Delivery: d.ID, Endpoint: e.ID, At: l.o.Now(), Status: o.Status, Done: o.Err == nil, Gone: o.Gone, Slow: took > l.o.SlowAfter}
	if o.Err != nil {
		r.Error = plain(o.Err.Error())
		r.failed(e, o.RetryAfter)
		l.o.Log.Info("an endpoint did not take a notice", "endpoint", e.UID.String(), "notice", d.Notice.UID.String(), "status", o.Status, "failures", r.Failures, "gone", o.Gone)
	}
	return r, nil
}

// plain makes words of others short and printable.
func plain(text string) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return '_'
		}
		return r
	}, text)
	if r := []rune(text); len(r) > maxError {
		text = string(r[:maxError])
	}
	return text
}

// save is a result that waits to be on disk.
type save struct {
	result Result
	saved  chan<- error
}

// save returns after the result is on disk.
func (l *Loop) save(ctx context.Context, r Result) error {
	saved := make(chan error, 1)
	select {
	case l.saves <- save{r, saved}:
		return <-saved
	case <-time.After(saveWithin):
		return errors.New("saving what became of a notice: the database takes too long")
	}
}

// saveAll saves results, those that wait at the same time in one transaction, until ctx ends.
func (l *Loop) saveAll(ctx context.Context) error {
	for {
		var batch []save
		select {
		case <-ctx.Done():
			return nil
		case s := <-l.saves:
			batch = append(batch, s)
		}
		for more := true; more && len(batch) < saveTogether; {
			select {
			case s := <-l.saves:
				batch = append(batch, s)
			default:
				more = false
			}
		}
		results := make([]Result, len(batch))
		for i, s := range batch {
			results[i] = s.result
		}
		within, cancel := context.WithTimeout(ctx, saveWithin)
		err := l.store.SaveResults(within, results)
		cancel()
		for _, s := range batch {
			s.saved <- err
		}
	}
}
