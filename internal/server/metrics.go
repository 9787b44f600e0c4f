package server

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/otscal"
)

// scrapeWithin bounds what one scrape may ask of the store.
const scrapeWithin = 2 * time.Second

// metrics are the numbers of this process. What the store knows is read when somebody asks.
type metrics struct {
	registry *prometheus.Registry
	store    otscal.Store
	commits  *prometheus.HistogramVec
	ok, bad  prometheus.Observer
	batches  prometheus.Histogram
	requests *prometheus.CounterVec
	latency  *prometheus.HistogramVec
	leases   *prometheus.GaugeVec
	routes   sync.Map // answer -> *answerMetrics, so that the hot path looks nothing up by text

	// connections is set before the first scrape.
	connections func() (open int, shed int64)
	// deliveries, too.
	deliveries func(ctx context.Context) (due, parked int64, oldest time.Time, err error)
}

type answer struct {
	surface string
	route   string
	status  int
}

type answerMetrics struct {
	count   prometheus.Counter
	seconds prometheus.Observer
}

var (
	logSize       = describe("log_entries", "Entries in the current epoch of the log.")
	logEpoch      = describe("log_epoch", "The current epoch of the log.")
	storeUp       = describe("store_up", "Whether the store answered this scrape.")
	connsOpen     = describe("http_connections", "Open connections of the calendar's listener.")
	connsShed     = describe("http_connections_shed_total", "Idle connections that were closed to make room.")
	attestedSize  = describe("target_attested_entries", "Entries of the current epoch that the target attests to.", "target")
	attestedLag   = describe("target_lag_entries", "Entries of the current epoch that the target does not attest to yet.", "target")
	targetState   = describe("target_state", "The state of the target: 1 for the state that it is in.", "target", "state")
	targetHeight  = describe("target_height", "The best block that was followed.", "target")
	targetNode    = describe("target_node_height", "The best block of the node.", "target")
	targetBalance = describe("target_balance_satoshi", "Confirmed coins of the wallet, in satoshi or what the target's chain has for them.", "target")
	targetRate    = describe("target_fee_rate", "Satoshi, or what the chain has for them, per virtual byte that the next transaction would pay.", "target")
	targetDay     = describe("target_fees_day_satoshi", "Fees spent and reserved in the last 24 hours.", "target")
	targetWeek    = describe("target_fees_week_satoshi", "Fees spent and reserved in the last seven days.", "target")
	targetWaiting = describe("target_transactions_waiting", "Transactions that wait for confirmation.", "target")
	seedsWaiting  = describe("target_seeds_waiting", "Seeds that are made and in no block of the target, or not seen in print; 100 may be more.", "target")
	seedsDay      = describe("target_seeds_fees_day_satoshi", "Of the fees in the last 24 hours, what seeds cost.", "target")
	seedsWeek     = describe("target_seeds_fees_week_satoshi", "Of the fees in the last seven days, what seeds cost.", "target")
	seedsState    = describe("target_seeds_state", "Whether seeds go out, or what keeps them: 1 for the state.", "target", "state")
	targetAccepts = describe("target_calendar_accepted_seconds", "When the calendar accepted a head last, in seconds since 1970; 0 when it never did.", "target", "calendar")
	targetPeers   = describe("target_calendar_state", "The state of a calendar that heads are given to or that is asked for them: 1 for the state that it is in.", "target", "calendar", "state")
	deliveries    = describe("notice_deliveries", "Notices that are due to an endpoint, and those that were given up until somebody asks for another try; up to a million of each.", "state")
	deliveryDue   = describe("notice_oldest_due_seconds", "Since when the oldest notice that is not delivered is due, in seconds since 1970; 0 when none is.")
	printedSize   = describe("publication_noticed_entries", "Entries of the epoch of the newest notice to be printed that it covers.", "target")
	printedWait   = describe("publication_waiting", "Notices that nobody has confirmed in print.", "target")
	printedSince  = describe("publication_waiting_since_seconds", "Since when the oldest of them waits, in seconds since 1970; 0 when none does.", "target")
	targetUpdated = describe("target_updated_seconds", "When the target last described itself, in seconds since 1970.", "target")
)

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("datestone_"+name, help, labels, nil)
}

func newMetrics(store otscal.Store) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		store:    store,
		commits: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "datestone_commit_seconds", Help: "Time to make a batch durable.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 17),
		}, []string{"result"}),
		batches: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "datestone_batch_digests", Help: "Digests in a batch.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 13),
		}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "datestone_http_requests_total", Help: "Answered requests.",
		}, []string{"route", "code"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "datestone_http_request_seconds", Help: "Time to answer a request.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 4, 10),
		}, []string{"surface", "route"}),
		leases: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "datestone_lease_held", Help: "Whether this node runs the loop of this name, which runs on one node at a time.",
		}, []string{"name"}),
	}
	m.ok, m.bad = m.commits.WithLabelValues("ok"), m.commits.WithLabelValues("failed")
	m.registry.MustRegister(m.commits, m.batches, m.requests, m.latency, m.leases, m,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 2 * scrapeWithin})
}

func (m *metrics) committed(digests int, took time.Duration, err error) {
	if err != nil {
		m.bad.Observe(took.Seconds())
		return
	}
	m.ok.Observe(took.Seconds())
	m.batches.Observe(float64(digests))
}

// answered returns what is told of each answer of a surface.
func (m *metrics) answered(surface string) func(route string, status int, took time.Duration) {
	return func(route string, status int, took time.Duration) { m.count(answer{surface, route, status}, took) }
}

func (m *metrics) count(key answer, took time.Duration) {
	found, ok := m.routes.Load(key)
	if !ok {
		found, _ = m.routes.LoadOrStore(key, &answerMetrics{
			m.requests.WithLabelValues(key.route, strconv.Itoa(key.status)), m.latency.WithLabelValues(key.surface, key.route),
		})
	}
	a := found.(*answerMetrics)
	a.count.Inc()
	a.seconds.Observe(took.Seconds())
}

// Describe leaves the collector unchecked: which targets there are is the store's to say.
func (m *metrics) Describe(chan<- *prometheus.Desc) {}

// Collect reads what the store knows.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	if m.connections != nil {
		open, shed := m.connections()
		gauge(connsOpen, float64(open))
		out <- prometheus.MustNewConstMetric(connsShed, prometheus.CounterValue, float64(shed))
	}
	ctx, cancel := context.WithTimeout(context.Background(), scrapeWithin)
	defer cancel()
	head, err := m.store.Head(ctx)
	if err != nil {
		gauge(storeUp, 0)
		return
	}
	targets, err := m.store.Targets(ctx)
	if err != nil {
		gauge(storeUp, 0)
		return
	}
	gauge(storeUp, 1)
	gauge(logSize, float64(head.Size))
	gauge(logEpoch, float64(head.Epoch))
	if due, parked, oldest, err := m.deliveries(ctx); err == nil {
		gauge(deliveries, float64(due), "due")
		gauge(deliveries, float64(parked), "parked")
		since := 0.0
		if !oldest.IsZero() {
			since = float64(oldest.UnixMilli()) / 1000
		}
		gauge(deliveryDue, since)
	}
	for _, t := range targets {
		gauge(targetState, 1, t.Target, string(t.Code))
		if t.Code == anchor.Removed {
			continue // its numbers stand still, and none of them calls for anything
		}
		var counted int64
		for _, a := range t.Attested {
			if a.Epoch == head.Epoch {
				counted = min(a.Counted, head.Size)
			}
		}
		gauge(attestedSize, float64(counted), t.Target)
		gauge(attestedLag, float64(head.Size-counted), t.Target)
		if s := t.Seeds; s != nil {
			gauge(seedsWaiting, float64(s.Queued), t.Target)
			gauge(seedsState, 1, t.Target, string(s.Code))
			gauge(seedsDay, float64(s.FeesDay), t.Target)
			gauge(seedsWeek, float64(s.FeesWeek), t.Target)
		}
		if p := t.Printed; p != nil {
			var size, since float64
			if p.Last != nil {
				size = float64(p.Last.Size)
			}
			if p.WaitingSince != nil {
				since = float64(p.WaitingSince.UnixMilli()) / 1000
			}
			gauge(printedSize, size, t.Target)
			gauge(printedWait, float64(p.Waiting), t.Target)
			gauge(printedSince, since, t.Target)
			gauge(targetUpdated, float64(t.Updated.UnixMilli())/1000, t.Target)
			continue
		}
		gauge(targetHeight, float64(t.Height), t.Target)
		gauge(targetNode, float64(t.NodeHeight), t.Target)
		gauge(targetBalance, float64(t.Balance), t.Target)
		gauge(targetRate, t.FeeRate, t.Target)
		gauge(targetDay, float64(t.FeesDay), t.Target)
		gauge(targetWeek, float64(t.FeesWeek), t.Target)
		gauge(targetWaiting, float64(len(t.Waiting)), t.Target)
		for _, c := range t.Calendars {
			gauge(targetPeers, 1, t.Target, c.URL, string(c.Code))
			if c.Accepts {
				since := 0.0
				if !c.Accepted.IsZero() {
					since = float64(c.Accepted.UnixMilli()) / 1000
				}
				gauge(targetAccepts, since, t.Target, c.URL)
			}
		}
		gauge(targetUpdated, float64(t.Updated.UnixMilli())/1000, t.Target)
	}
}
