package server

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/calendar"
	"github.com/datestone/datestone/internal/certificate"
	"github.com/datestone/datestone/internal/rest"
	"github.com/datestone/datestone/internal/store"
)

// openAccounts makes what keeps stamps for accounts: the keeper, the loop that forgets old idempotency keys, the
// loop of notices, and the REST surface and the pages of certificates, which it returns.
func (s *Server) openAccounts(ctx context.Context, numbers *metrics, bucket *rate.Limiter) (api, pages http.Handler, err error) {
	if err := checkPlansInUse(ctx, s.db, s.config); err != nil {
		return nil, nil, err
	}
	trusted, err := proxies(s.config.TrustedProxies)
	if err != nil {
		return nil, nil, err
	}
	certificates, err := certificate.New(certificate.Config{
		URI: s.config.URI, TrustedProxies: trusted, Store: s.db, Proofs: s.calendar, Log: s.log, Observe: numbers.answered("certificate"),
	})
	if err != nil {
		return nil, nil, err
	}
	observe := observeKeeper(numbers.registry)
	s.keeper = calendar.NewKeeper(s.db, calendar.Config{
		Bucket: bucket, Log: s.log,
		Observe: func(stamps int, took time.Duration, err error) {
			observe(stamps, took, err)
			if !errors.Is(err, account.ErrInProgress) {
				s.health.kept(err)
			}
		},
	})
	s.forget = newForgetter(s.db, numbers.leases, s.log)
	s.seeds = newSeeds(s.db, numbers.leases, s.log)
	if s.signed, err = s.openSigned(numbers); err != nil {
		return nil, nil, err
	}
	if s.notices, err = s.openNotices(ctx); err != nil {
		return nil, nil, err
	}
	surface, err := rest.New(rest.Config{
		Plans: s.config.Plans, KeyPrefix: s.config.KeyPrefix, URI: s.config.URI, TrustedProxies: trusted,
		CreatesPerAddress: s.config.CreatesPerAddress,
		Store:             s.db, Keeper: s.keeper, Proofs: s.calendar, Evidence: certificates.Evidence, Log: s.log, Observe: numbers.answered("rest"),
		Secrets: s.notices.secrets, CheckURL: s.notices.client.Check,
		CheckMail: s.config.checkMail(), MailEvery: time.Duration(s.config.MailWait),
	})
	if err != nil {
		return nil, nil, err
	}
	if s.stamps, err = s.openOriginStamp(numbers); err != nil {
		return nil, nil, err
	}
	return surface, certificates, s.notices.start(s, surface, numbers)
}

// observeKeeper registers the numbers of the keeper's commits, and returns what is told of each.
func observeKeeper(registry *prometheus.Registry) func(stamps int, took time.Duration, err error) {
	commits := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "datestone_keep_seconds", Help: "Time to make stamps of accounts durable.",
		Buckets: prometheus.ExponentialBuckets(0.0001, 2, 17),
	}, []string{"result"})
	stamps := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "datestone_keep_stamps", Help: "Stamps of accounts that were asked for in a commit.",
		Buckets: prometheus.ExponentialBuckets(1, 2, 16),
	})
	registry.MustRegister(commits, stamps)
	ok, failed := commits.WithLabelValues("ok"), commits.WithLabelValues("failed")
	return func(n int, took time.Duration, err error) {
		if err != nil {
			failed.Observe(took.Seconds())
			return
		}
		ok.Observe(took.Seconds())
		stamps.Observe(float64(n))
	}
}

const (
	forgetEvery = time.Minute
	// forgetStep is how many keys one transaction forgets.
	forgetStep = 1000
)

// forgetter deletes idempotency keys that have expired.
type forgetter struct {
	db    *store.DB
	pause time.Duration
	log   *slog.Logger
}

// newForgetter makes the loop over an open store. Over one that other nodes have open as well it runs on one node
// at a time.
func newForgetter(db *store.DB, held *prometheus.GaugeVec, log *slog.Logger) loop {
	if !db.Shared() {
		return forgetter{db, forgetEvery, log}
	}
	const lease = "idempotency"
	build := func(db *store.DB) (loop, error) { return forgetter{db, forgetEvery, log}, nil }
	return newSingle(lease, nodeName(), db, build, held.WithLabelValues(lease), log)
}

func (f forgetter) Announce(context.Context) error { return nil }

// Run forgets from time to time until ctx ends or the lease is lost.
func (f forgetter) Run(ctx context.Context) error {
	running, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	every(running, f.pause, func() {
		err := f.forget(running, time.Now())
		switch {
		case isLost(err):
			stop(err)
		case err != nil && running.Err() == nil:
			f.log.Warn("expired idempotency keys were not forgotten; it is tried again", "err", err)
		}
	})
	if err := context.Cause(running); isLost(err) {
		return err
	}
	return nil
}

// forget deletes what has expired at a time, in steps that keep nobody waiting for long.
func (f forgetter) forget(ctx context.Context, now time.Time) error {
	for ctx.Err() == nil {
		n, err := f.db.ForgetIdempotency(ctx, now, forgetStep)
		if err != nil || n < forgetStep {
			return err
		}
	}
	return nil
}
