package notify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
)

const (
	lookEvery = time.Second
	// turnDeliveries, of which each may be of many notices that go together, and turnTime bound what one endpoint gets before others have their turn.
	turnDeliveries = 20
	turnTime       = 5 * time.Second
	// gatherDeliveries is how many go together at most.
	gatherDeliveries = 10_000
	// heldFor is how long an endpoint is left alone after a fault of ours.
	heldFor = 30 * time.Second
	// saveTogether is how many results are saved in one transaction.
	saveTogether = 100
	saveWithin   = 30 * time.Second
	// stopWithin is how long a try may go on after the end of the loop.
	stopWithin = 3 * time.Second
	maxError   = 200
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
				held, err := l.turn(ctx, e, slow)
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

// turn sends some of what is due to an endpoint, one after the other, and saves what became of it: a crash before that
// has them sent again. It ends with the first failure, and for an endpoint in the quick lane with the first answer
// that was slow. After a fault of ours the endpoint is left alone for a while.
func (l *Loop) turn(ctx context.Context, e Endpoint, slow bool) (heldUntil time.Time, err error) {
	hold := func(err error) (time.Time, error) { return l.o.Now().Add(heldFor), err }
	most := turnDeliveries
	if _, ok := l.senders[e.Channel].(Gatherer); ok {
		most = gatherDeliveries
	}
	due, err := l.store.DueDeliveries(ctx, e.ID, most)
	if err != nil {
		return hold(err)
	}
	if len(due) == 0 {
		return l.o.Now().Add(lookEvery), nil
	}
	results, fault := l.send(ctx, e.ID, due, slow)
	for some := range slices.Chunk(results, saveTogether) {
		if err := l.save(some); err != nil {
			return hold(err)
		}
	}
	if fault != nil && ctx.Err() == nil {
		return hold(fault)
	}
	return heldUntil, nil
}

// send sends in order until something ends the turn. The error is a fault of ours.
func (l *Loop) send(ctx context.Context, endpoint int64, due []Delivery, slow bool) (results []Result, err error) {
	began := time.Now()
	for range turnDeliveries {
		if len(results) == len(due) || ctx.Err() != nil || time.Since(began) > turnTime {
			return results, nil
		}
		e, active, err := l.store.ActiveEndpoint(ctx, endpoint)
		if err != nil || !active {
			return results, err
		}
		if len(results) > 0 {
			e.Failures, e.Failing = 0, time.Time{}
		}
		tried, err := l.try(ctx, e, due[len(results):])
		if err != nil {
			return results, err
		}
		results = append(results, tried...)
		if r := tried[0]; !r.Done || r.Slow && !slow {
			return results, nil
		}
	}
	return results, nil
}

// try sends the first of what is due once, or the first of them together. A failure is that of the first alone. An
// error is ours and says nothing of the endpoint.
func (l *Loop) try(ctx context.Context, e Endpoint, due []Delivery) ([]Result, error) {
	sender := l.senders[e.Channel]
	if sender == nil {
		return nil, fmt.Errorf("endpoint %v wants notices by %s, which is not set up here", e.UID, e.Channel)
	}
	// What was begun has some time to end when the loop does, or it would be sent twice.
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.o.Timeout)
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(stopWithin, cancel) })()
	began := time.Now()
	together, o := sendFirst(within, sender, e, due)
	took := time.Since(began)
	switch {
	case errors.Is(o.Err, ErrOurFault):
		return nil, o.Err
	case o.Err != nil && errors.Is(within.Err(), context.Canceled):
		return nil, within.Err()
	}
	l.o.Observe(e.Channel, o.Err == nil, took)
	r := Result{Delivery: due[0].ID, Endpoint: e.ID, At: l.o.Now(), Status: o.Status, Done: o.Err == nil, Gone: o.Gone, Slow: took > l.o.SlowAfter}
	if o.Err != nil {
		r.Error = plain(o.Err.Error())
		r.failed(e, o.RetryAfter)
		l.o.Log.Info("an endpoint did not take a notice", "endpoint", e.UID.String(), "notice", due[0].Notice.UID.String(), "status", o.Status, "failures", r.Failures, "gone", o.Gone)
		return []Result{r}, nil
	}
	results := make([]Result, together)
	for i := range results {
		results[i] = r
		results[i].Delivery = due[i].ID
	}
	return results, nil
}

// sendFirst sends the first of what is due, and says how many those are.
func sendFirst(ctx context.Context, sender Sender, e Endpoint, due []Delivery) (int, Outcome) {
	gatherer, ok := sender.(Gatherer)
	if !ok {
		return 1, sender.Send(ctx, e, due[0].Notice)
	}
	all := make([]Notice, len(due))
	for i, d := range due {
		all[i] = d.Notice
	}
	return gatherer.SendTogether(ctx, e, all)
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

// save is results that wait to be on disk.
type save struct {
	results []Result
	saved   chan<- error
}

// save returns after the results are on disk.
func (l *Loop) save(results []Result) error {
	saved := make(chan error, 1)
	select {
	case l.saves <- save{results, saved}:
		return <-saved
	case <-time.After(saveWithin):
		return errors.New("saving what became of notices: the database takes too long")
	}
}

// saveAll saves results, those that wait at the same time in one transaction, until ctx ends.
func (l *Loop) saveAll(ctx context.Context) error {
	for {
		var results []Result
		var waiting []chan<- error
		add := func(s save) { results, waiting = append(results, s.results...), append(waiting, s.saved) }
		select {
		case <-ctx.Done():
			return nil
		case s := <-l.saves:
			add(s)
		}
		for more := true; more && len(results) < saveTogether; {
			select {
			case s := <-l.saves:
				add(s)
			default:
				more = false
			}
		}
		began := time.Now()
		within, cancel := context.WithTimeout(ctx, saveWithin)
		err := l.store.SaveResults(within, results)
		cancel()
		for _, saved := range waiting {
			saved <- err
		}
		yield(ctx, began)
	}
}
