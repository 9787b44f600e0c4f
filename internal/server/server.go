// Package server wires the daemon: configuration, the order in which things start and stop, health and
// metrics. It knows nothing about timestamps.
package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/datestone/datestone/internal/apidoc"
	"github.com/datestone/datestone/internal/calendar"
	"github.com/datestone/datestone/internal/compat/eternity"
	"github.com/datestone/datestone/internal/compat/originstamp"
	"github.com/datestone/datestone/internal/httpkit"
	"github.com/datestone/datestone/internal/store"
)

// Options are what a server needs beside its configuration.
type Options struct {
	// Version is the program's.
	Version string
	// Log is where log lines go. Default standard error.
	Log io.Writer
	// Listener replaces Config.Listen.
	Listener net.Listener
}

// loop is what brings heads to a target until its context ends.
type loop interface {
	Run(ctx context.Context) error
	// Announce makes it known before it runs.
	Announce(ctx context.Context) error
}

// Server is the daemon. Make one with Open.
type Server struct {
	config   Config
	log      *slog.Logger
	db       *store.DB
	mark     *store.Mark
	calendar *calendar.Calendar
	keeper   *calendar.Keeper
	signed   *eternity.Server
	stamps   *originstamp.Server // nil where it is not served
	forget   loop                // of idempotency keys
	seeds    loop                // that closes them
	notices  notices
	health   *health
	targets  map[string]loop
	public   *httpkit.Server
	metrics  *httpkit.Server // nil without a listener of its own
}

// Open checks the configuration, opens the store and then listens. It starts nothing: connections wait
// until Run. After an error nothing stays open, not even Options.Listener.
func Open(ctx context.Context, c Config, o Options) (_ *Server, err error) {
	s := &Server{config: c}
	listeners := []net.Listener{}
	if o.Listener != nil {
		listeners = append(listeners, o.Listener)
	}
	defer func() {
		if err != nil {
			for _, ln := range listeners {
				ln.Close()
			}
			s.close()
		}
	}()
	if err := c.Check(); err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = os.Stderr
	}
	if s.log, err = newLogger(o.Log, c.LogLevel, c.LogFormat); err != nil {
		return nil, err
	}
	if s.db, s.mark, err = openStore(ctx, c); err != nil {
		return nil, err
	}
	s.health = &health{head: s.db.Head}
	numbers := newMetrics(s.db)
	numbers.deliveries = s.db.CountDeliveries
	bucket := rate.NewLimiter(rate.Limit(c.Rate), c.Burst)
	s.calendar = calendar.New(s.db, calendar.Config{
		Bucket: bucket, Log: s.log,
		Observe: func(digests int, took time.Duration, err error) {
			s.health.committed(err)
			numbers.committed(digests, took, err)
		},
	})
	s.health.submit = s.calendar.Submit
	if s.targets, err = c.loops(s.db, numbers.leases, s.log); err != nil {
		return nil, err
	}
	api, pages, err := s.openAccounts(ctx, numbers, bucket)
	if err != nil {
		return nil, err
	}
	documents, err := apidoc.New(apidoc.Config{
		URI: c.URI, KeyPrefix: c.KeyPrefix, TestNetwork: c.testNetwork(), Log: s.log, Observe: numbers.answered("developers"),
	})
	if err != nil {
		return nil, err
	}
	for name, target := range s.targets {
		if err := target.Announce(ctx); err != nil {
			return nil, fmt.Errorf("target %s: %w", name, err)
		}
	}
	if err := markRemoved(ctx, s.db, s.targets, time.Now()); err != nil {
		return nil, err
	}
	surface, err := s.openCalendars(o.Version, numbers)
	if err != nil {
		return nil, err
	}

	if o.Listener == nil {
		ln, err := net.Listen("tcp", c.Listen)
		if err != nil {
			return nil, fmt.Errorf("listening for the calendar: %w", err)
		}
		listeners = append(listeners, ln)
	}
	public := &front{surface: surface, api: api, pages: pages, health: s.health}
	if c.Metrics == "same" {
		public.metrics = numbers.handler()
	}
	public.apidoc = documents
	if public.off, err = s.openOff(numbers); err != nil {
		return nil, err
	}
	if s.stamps != nil {
		public.stamps = s.stamps
		if public.shown, err = s.openSubmitted(numbers); err != nil {
			return nil, err
		}
	}
	s.public = httpkit.NewServer(listeners[0], public, httpkit.Limits{Connections: c.Connections}, s.log)
	numbers.connections = s.public.Connections
	if c.Metrics != "" && c.Metrics != "same" {
		ln, err := net.Listen("tcp", c.Metrics)
		if err != nil {
			return nil, fmt.Errorf("listening for metrics: %w", err)
		}
		listeners = append(listeners, ln)
		own := &front{surface: http.NotFoundHandler(), health: s.health, metrics: numbers.handler()}
		s.metrics = httpkit.NewServer(ln, own, httpkit.Limits{Connections: 64}, s.log)
	}
	return s, nil
}

// openStore opens the database and checks it against the high-water mark.
func openStore(ctx context.Context, c Config) (*store.DB, *store.Mark, error) {
	if err := os.MkdirAll(c.Data, 0o700); c.Data != "" && err != nil {
		return nil, nil, fmt.Errorf("making the data folder: %w", err)
	}
	mark, err := store.OpenMark(c.MarkFile())
	if err != nil {
		return nil, nil, err
	}
	db, err := store.Open(ctx, c.DatabasePlace(), c.storeOptions(mark))
	if err != nil {
		mark.Close()
		return nil, nil, err
	}
	if err := checkMark(ctx, db, mark); err != nil {
		db.Close()
		mark.Close()
		return nil, nil, err
	}
	return db, mark, nil
}

// Addr is the address at which the calendar listens.
func (s *Server) Addr() net.Addr { return s.public.Addr() }

// MetricsAddr is the address at which the metrics' own listener listens, or nil.
func (s *Server) MetricsAddr() net.Addr {
	if s.metrics == nil {
		return nil
	}
	return s.metrics.Addr()
}

// Run serves until ctx is done and then stops in the order in which nothing accepted is lost: requests
// are answered, the calendar and the keeper commit what they took, the targets stop, the store is closed. It also
// stops, and returns the error, when a part fails for good. It closes the server in every case.
func (s *Server) Run(ctx context.Context) error {
	work := context.WithoutCancel(ctx)
	surfaces, stop := context.WithCancel(ctx)
	defer stop()
	calendarRuns, stopCalendar := context.WithCancel(work)
	defer stopCalendar()
	targetsRun, stopTargets := context.WithCancel(work)
	defer stopTargets()

	var g errgroup.Group
	part := func(run func() error) {
		g.Go(func() error {
			err := run()
			if err != nil {
				stop()
			}
			return err
		})
	}
	part(func() error {
		var servers errgroup.Group
		for _, srv := range []*httpkit.Server{s.public, s.metrics} {
			if srv != nil {
				servers.Go(func() error {
					defer stop() // one that ends early ends all
					return srv.Run(surfaces)
				})
			}
		}
		err := servers.Wait()
		stopCalendar()
		return err
	})
	part(func() error {
		defer stopTargets()
		var commits errgroup.Group
		commits.Go(func() error { return s.calendar.Run(calendarRuns) })
		commits.Go(func() error { return s.keeper.Run(calendarRuns) })
		return commits.Wait()
	})
	part(func() error { return s.forget.Run(targetsRun) })
	part(func() error { return s.seeds.Run(targetsRun) })
	part(func() error { return s.notices.loop.Run(targetsRun) })
	for name, target := range s.targets {
		part(func() error {
			if err := target.Run(targetsRun); err != nil && targetsRun.Err() == nil {
				return fmt.Errorf("target %s: %w", name, err)
			}
			return nil
		})
	}
	part(func() error { return s.syncMark(targetsRun) })
	if s.db.Shared() {
		part(func() error { return s.followLog(targetsRun) })
	}

	s.log.Info("serving", "address", s.Addr().String(), "uri", s.config.URI)
	go func() {
		<-surfaces.Done()
		s.log.Info("stopping: finishing what was accepted")
	}()
	err := errors.Join(g.Wait(), s.close())
	if err == nil {
		s.log.Info("stopped")
	}
	return err
}

// close closes what is open. It is called once.
func (s *Server) close() error {
	var errs []error
	if s.mark != nil {
		errs = append(errs, s.mark.Close())
	}
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	return errors.Join(errs...)
}

// NewEpoch begins a new epoch of the log after entries may have been lost, beyond every epoch that the
// database or the high-water mark has seen, and returns its number.
func NewEpoch(ctx context.Context, c Config, reason string) (int, error) {
	if err := c.CheckStore(); err != nil {
		return 0, err
	}
	mark, err := store.OpenMark(c.MarkFile())
	if err != nil {
		return 0, err
	}
	defer mark.Close()
	db, err := store.Open(ctx, c.DatabasePlace(), c.storeOptions(mark))
	if err != nil {
		return 0, err
	}
	defer db.Close()
	head, err := db.Head(ctx)
	if err != nil {
		return 0, err
	}
	begun, err := db.BeginEpoch(ctx, time.Now(), max(head.Epoch, mark.Head().Epoch)+1, reason)
	if err != nil {
		return 0, err
	}
	return begun.Epoch, mark.Sync()
}
