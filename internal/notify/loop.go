package notify

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"
)

// Walker finds out what is due. store.DB is one.
type Walker interface {
	// Walk writes some of the notices that are due, and says whether there may be more.
	Walk(ctx context.Context, now time.Time) (more bool, err error)
	// WalkTroubles tells the operator of targets whose state has been another one for a while.
	WalkTroubles(ctx context.Context, now time.Time, persists time.Duration) error
	// ForgetNotices deletes up to so many rows of each kind that became due before a time and are over.
	ForgetNotices(ctx context.Context, before time.Time, limit int) (int64, error)
}

// Deliveries knows what is due to whom. store.DB is one.
type Deliveries interface {
	// DueEndpoints are those for which something is due, the longest waiting first.
	DueEndpoints(ctx context.Context, now time.Time, slow bool, limit int) ([]Endpoint, error)
	// DueDeliveries are those that are due to an endpoint, in their order.
	DueDeliveries(ctx context.Context, endpoint int64, limit int) ([]Delivery, error)
	// ActiveEndpoint is an endpoint as it is now; false when it gets no notices any more.
	ActiveEndpoint(ctx context.Context, id int64) (Endpoint, bool, error)
	// SaveResults returns only after the results are on disk.
	SaveResults(ctx context.Context, results []Result) error
}

// Store is both.
type Store interface {
	Walker
	Deliveries
}

// Sender brings one notice to one endpoint.
type Sender interface {
	Send(ctx context.Context, e Endpoint, n Notice) Outcome
}

// Gatherer is a Sender that brings many notices as one.
type Gatherer interface {
	Sender
	// SendTogether sends the first of the notices as one, and says how many those are: one at least.
	SendTogether(ctx context.Context, e Endpoint, all []Notice) (int, Outcome)
}

// Outcome is what came of sending.
type Outcome struct {
	// Err says what was wrong, in words for the endpoint's owner; nil when the endpoint took the notice.
	Err error
	// Status is the status code of the answer, if there was one.
	Status int
	// RetryAfter is how long the endpoint asked to be left alone.
	RetryAfter time.Duration
	// Gone: the endpoint wants no more notices.
	Gone bool
}

// ErrOurFault is in an Outcome's error when nothing was tried: it does not count against the endpoint.
var ErrOurFault = errors.New("the notice could not be made")

const (
	walkEvery = time.Second
	// persists is how long a target is in another state before the operator is told.
	persists = 2 * time.Minute
	// KeptFor is how long the log of deliveries goes back.
	KeptFor     = 90 * 24 * time.Hour
	forgetEvery = time.Minute
	forgetStep  = 1000
)

// Options change how a Loop works. The zero value is fine.
type Options struct {
	// Workers is how many notices are sent at a time, half of them at most to endpoints that failed or were slow
	// the last time. Default 32.
	Workers int
	// Timeout bounds one try. Default 15 seconds.
	Timeout time.Duration
	// SlowAfter is how long a quick endpoint takes at most. Default a second.
	SlowAfter time.Duration
	// Observe, when set, is told of each try.
	Observe func(channel string, delivered bool, took time.Duration)
	Log     *slog.Logger     // default slog.Default()
	Now     func() time.Time // default time.Now
	// Lost says that an error means that another node runs the loop now.
	Lost func(error) bool
}

// Loop writes the notices that are due, and delivers them. One loop may run at a time.
type Loop struct {
	store   Store
	senders map[string]Sender
	o       Options
	turns   turns
	saves   chan save
	wake    chan struct{}
}

// New makes a loop that sends by the sender of each endpoint's channel. It starts nothing.
func New(store Store, senders map[string]Sender, o Options) *Loop {
	if o.Workers == 0 {
		o.Workers = 32
	}
	if o.Timeout == 0 {
		o.Timeout = 15 * time.Second
	}
	if o.SlowAfter == 0 {
		o.SlowAfter = time.Second
	}
	if o.Observe == nil {
		o.Observe = func(string, bool, time.Duration) {}
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Lost == nil {
		o.Lost = func(error) bool { return false }
	}
	l := &Loop{store: store, senders: senders, o: o, saves: make(chan save), wake: make(chan struct{}, 1)}
	l.turns.init(o.Workers)
	return l
}

// Announce has nothing to say before the loop runs.
func (l *Loop) Announce(context.Context) error { return nil }

// Run writes and delivers until ctx ends or the right to is lost. What is being sent then is waited for.
func (l *Loop) Run(ctx context.Context) error {
	g, running := errgroup.WithContext(ctx)
	saving, stopSaving := context.WithCancel(context.WithoutCancel(ctx))
	defer stopSaving()
	g.Go(func() error { return l.walkAll(running) })
	g.Go(func() error {
		defer stopSaving()
		return l.deliverAll(running)
	})
	g.Go(func() error { return l.saveAll(saving) })
	return g.Wait()
}

// walkAll walks from time to time.
func (l *Loop) walkAll(ctx context.Context) error {
	tick := time.NewTicker(walkEvery)
	defer tick.Stop()
	var forgotten time.Time
	for {
		now := l.o.Now()
		err := l.walk(ctx)
		if err == nil && now.Sub(forgotten) >= forgetEvery {
			if err = l.forget(ctx, now); err == nil {
				forgotten = now
			}
		}
		if err := l.noted(ctx, err, "notices that are due were not written; it is tried again"); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// noted logs an error that passes, and returns one that ends the loop.
func (l *Loop) noted(ctx context.Context, err error, text string) error {
	switch {
	case err == nil || ctx.Err() != nil:
		return nil
	case l.o.Lost(err):
		return err
	}
	l.o.Log.Warn(text, "err", err)
	return nil
}

// walk writes all notices that are due. It may take long: each step has its own time, by which endpoints gather.
func (l *Loop) walk(ctx context.Context) error {
	for more := true; more && ctx.Err() == nil; {
		began := time.Now()
		var err error
		if more, err = l.store.Walk(ctx, l.o.Now()); err != nil {
			return err
		}
		if more {
			l.awaken()
			yield(ctx, began)
		}
	}
	return l.store.WalkTroubles(ctx, l.o.Now(), persists)
}

// forget deletes what is over, in small steps.
func (l *Loop) forget(ctx context.Context, now time.Time) error {
	for ctx.Err() == nil {
		n, err := l.store.ForgetNotices(ctx, now.Add(-KeptFor), forgetStep)
		if err != nil || n < forgetStep {
			return err
		}
	}
	return nil
}

// yield leaves the database to others for four times as long as it was used: appends wait for each transaction.
func yield(ctx context.Context, began time.Time) {
	timer := time.NewTimer(min(4*time.Since(began), time.Second))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

func (l *Loop) awaken() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}
