package server

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	mathrand "math/rand/v2"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/datestone/datestone/internal/store"
)

// leaseLength is for how long a node that has died keeps its loops from running on another one.
const leaseLength = 6 * time.Second

// announceWithin bounds what start-up does for one loop.
const announceWithin = 30 * time.Second

// single is a loop that runs on one node at a time: the one that holds the lease of its name. Whatever a node
// does that has lost the lease without knowing, the store refuses.
type single struct {
	name   string // of the lease
	holder string // this node
	length time.Duration
	db     *store.DB
	// build makes the loop anew for each turn, over the store that the turn's lease guards, so that it knows
	// nothing of an earlier turn.
	build builder
	held  prometheus.Gauge
	log   *slog.Logger

	troubled bool // of the goroutine that asks for the lease: the last answer was an error
}

func newSingle(name, holder string, db *store.DB, build builder, held prometheus.Gauge, log *slog.Logger) *single {
	return &single{name: name, holder: holder, length: leaseLength, db: db, build: build, held: held, log: log.With("lease", name)}
}

// nodeName tells this process from all others, and people which machine it is on.
func nodeName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return host + "-" + rand.Text()[:8]
}

// Announce makes the loop known, unless another node runs it and says more.
func (s *single) Announce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, announceWithin)
	defer cancel()
	lease, err := s.db.TakeLease(ctx, s.name, s.holder, s.length)
	if errors.Is(err, store.ErrLeaseHeld) {
		return nil
	} else if err != nil {
		return err
	}
	defer s.release(ctx, lease)
	l, err := s.build(s.db.Under(lease))
	if err != nil {
		return err
	}
	if err := l.Announce(ctx); err != nil && !errors.Is(err, store.ErrLeaseLost) {
		return err
	}
	return nil
}

// Run asks for the lease until ctx ends, and runs the loop while it has it. A database that is away is asked
// again; the error is one that the loop itself ended with.
func (s *single) Run(ctx context.Context) error {
	for {
		asked := time.Now()
		// A lease that is given while ctx ends is given back.
		if lease, err := s.take(context.WithoutCancel(ctx)); err != nil {
			s.note(err)
		} else if err := s.turn(ctx, lease, asked); err != nil {
			return err
		}
		pause := s.length / 4
		timer := time.NewTimer(pause*3/4 + mathrand.N(pause/2))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// turn runs the loop while the lease lasts, which was asked for at a time, and gives it back.
func (s *single) turn(ctx context.Context, lease store.Lease, asked time.Time) error {
	l, err := s.build(s.db.Under(lease))
	if err != nil {
		s.note(err)
		s.release(ctx, lease)
		return nil
	}
	s.note(nil)
	s.log.Info("the loop runs on this node")
	s.held.Set(1)
	running, stop := context.WithCancelCause(ctx)
	var g errgroup.Group
	g.Go(func() error {
		defer stop(nil)
		err := l.Run(running)
		if running.Err() != nil {
			return nil
		}
		return err
	})
	g.Go(func() error { return s.keep(running, stop, lease, asked) })
	err = g.Wait()
	s.held.Set(0)
	switch {
	case errors.Is(err, store.ErrLeaseLost):
		s.log.Info("the loop runs on another node now")
		return nil
	case errors.Is(err, errNotRenewed):
		s.log.Warn("the loop was stopped: another node may run it", "err", err)
		return nil
	}
	s.release(ctx, lease)
	return err
}

var errNotRenewed = errors.New("its lease was not renewed in time")

// keep renews the lease while the loop runs, and stops the loop when the lease is lost or, by this node's own
// clock, over.
func (s *single) keep(running context.Context, stop context.CancelCauseFunc, lease store.Lease, asked time.Time) error {
	over := time.AfterFunc(time.Until(asked.Add(s.length)), func() { stop(errNotRenewed) })
	defer over.Stop()
	tick := time.NewTicker(s.length / 3)
	defer tick.Stop()
	for {
		select {
		case <-running.Done():
			if context.Cause(running) == errNotRenewed {
				return errNotRenewed
			}
			return nil
		case <-tick.C:
		}
		asked = time.Now()
		err := s.bounded(running, func(ctx context.Context) error { return s.db.RenewLease(ctx, lease, s.length) })
		switch {
		case running.Err() != nil:
			continue
		case errors.Is(err, store.ErrLeaseLost):
			stop(err)
			return err
		case err == nil:
			over.Reset(time.Until(asked.Add(s.length)))
		}
		s.note(err)
	}
}

func (s *single) take(ctx context.Context) (lease store.Lease, err error) {
	err = s.bounded(ctx, func(ctx context.Context) error {
		lease, err = s.db.TakeLease(ctx, s.name, s.holder, s.length)
		return err
	})
	return lease, err
}

// release lets another node take the lease at once, if it was not taken yet.
func (s *single) release(ctx context.Context, lease store.Lease) {
	err := s.bounded(context.WithoutCancel(ctx), func(ctx context.Context) error { return s.db.ReleaseLease(ctx, lease) })
	if err != nil && !errors.Is(err, store.ErrLeaseLost) {
		s.log.Warn("the lease was not given back; it ends by itself", "in", s.length, "err", err)
	}
}

// bounded asks the database something about the lease, which is of no use later.
func (s *single) bounded(ctx context.Context, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.length/3)
	defer cancel()
	return ask(ctx)
}

// note logs when asking for the lease begins to fail, and when that is over.
func (s *single) note(err error) {
	if errors.Is(err, store.ErrLeaseHeld) {
		err = nil
	}
	switch failed := err != nil; {
	case failed && !s.troubled:
		s.log.Warn("whether the loop may run here is not known; it is asked again", "err", err)
	case !failed && s.troubled:
		s.log.Info("whether the loop may run here is known again")
	}
	s.troubled = err != nil
}
