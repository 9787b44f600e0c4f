// Package upstream gives heads of the log to other OpenTimestamps calendars, and makes attestations of what they answer
// once block headers show that it is true.
//
// Each calendar has a worker of its own, which sends one request at a time, so that none waits for another. What a
// calendar promises is saved before it counts for anything, and is given out in proofs at once: whoever has such a proof
// can complete it without us. An answer is saved too, and then judged by the sources of block headers alone: it becomes
// a counted attestation when the header of its block, which enough of them agree on, has the Merkle root that it leads to,
// at the required depth. It is withdrawn when its block leaves the best chain, which is looked for until it is deepBlocks
// deep.
package upstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/upstream/submission"
	"github.com/datestone/datestone/ots/headers"
	"github.com/datestone/datestone/ots/otshttp"
)

// Store keeps what calendars promised and answered. store.DB is one.
type Store interface {
	anchorStore
	submissionStore
	attestationStore
}

type anchorStore interface {
	Head(ctx context.Context) (logtree.Head, error)
	// EndedEpochs are the last heads of the epochs before the current one, oldest first.
	EndedEpochs(ctx context.Context) ([]logtree.Head, error)
	Coverage(ctx context.Context, target, purpose string) ([]anchor.Coverage, error)
	PinTarget(ctx context.Context, now time.Time, target, genesis string) (string, error)
	SaveStatus(ctx context.Context, now time.Time, s anchor.Status) error
}

type submissionStore interface {
	// SaveSubmissions returns nil only after all of it is on disk.
	SaveSubmissions(ctx context.Context, now time.Time, all []submission.Submission) error
	UseCalendars(ctx context.Context, now time.Time, target string, calendars []string) error
	SentSubmissions(ctx context.Context, target string) ([]submission.Sent, error)
	AwaitedCalendars(ctx context.Context, target string) ([]string, error)
	AwaitedSubmissions(ctx context.Context, now time.Time, target, uri string, limit int) ([]submission.Submission, error)
	DeferSubmission(ctx context.Context, id int64, next time.Time) error
	AnswerSubmission(ctx context.Context, now time.Time, s submission.Submission) error
}

type attestationStore interface {
	AnsweredSubmissions(ctx context.Context, now time.Time, target string, limit int) ([]submission.Submission, error)
	RefuseAnswer(ctx context.Context, now time.Time, id int64, next time.Time) error
	AttestSubmission(ctx context.Context, now time.Time, id int64, a logtree.Attestation) (logtree.AttestationState, error)
	CountedSince(ctx context.Context, target string, height int64, limit int) ([]logtree.Attestation, error)
	WithdrawSubmitted(ctx context.Context, now time.Time, target string, height int64, block [32]byte) error
	SaveTip(ctx context.Context, target string, height int64) error
	ForgetSubmissions(ctx context.Context, target string, height int64, limit int) (int64, error)
}

// Options are a loop's settings beside its configuration; the zero value of each means its default.
type Options struct {
	// Log receives changes of state. Default slog.Default().
	Log *slog.Logger
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Lost says that an error means that the loop may not run any more: another node runs it. Run then returns it.
	// Default: none means that.
	Lost func(error) bool
	// Own are the addresses of this service: no calendar may name them.
	Own []string
}

// Loop gives the heads of a log to calendars. Make one with New.
type Loop struct {
	name      string
	config    Config
	net       *headers.Network
	chain     *chain
	allowed   *otshttp.Allowlist
	own       []string
	store     Store
	transport *http.Transport
	log       *slog.Logger
	now       func() time.Time
	lost      func(error) bool
	judging   judge

	mu        sync.Mutex // guards what follows
	started   bool
	workers   map[string]*worker
	grown     chan struct{} // a worker has come
	offered   map[int]logtree.Head
	offeredAt time.Time
	heads     []logtree.Head // the newest of each epoch
	covered   map[int]int64  // by epoch, how far it is attested
	headers   error          // what is wrong with the sources of block headers
	stores    error          // what is wrong with the store
	best      int64          // the highest block of the sources; -1 when none was seen

	// Of the goroutine that looks.
	last      anchor.Status // as it was saved last
	lastError string
	errorAt   time.Time
}

// New makes the loop of the target with this name. It does nothing until Run.
func New(name string, c Config, store Store, o Options) (*Loop, error) {
	net, err := c.complete()
	if err != nil {
		return nil, fmt.Errorf("upstream: %w", err)
	}
	l := &Loop{name: name, config: c, net: net, store: store, own: o.Own, log: o.Log, now: o.Now, lost: o.Lost,
		workers: make(map[string]*worker), grown: make(chan struct{}, 1), offered: make(map[int]logtree.Head), covered: make(map[int]int64), best: -1,
		transport: newTransport(time.Duration(c.Timeout))}
	if l.chain, err = newChain(c, net); err != nil {
		return nil, fmt.Errorf("upstream: %w", err)
	}
	if l.allowed, err = otshttp.NewAllowlist(c.Allowed...); err != nil {
		return nil, fmt.Errorf("upstream: allowed: %w", err)
	}
	if l.log == nil {
		l.log = slog.Default()
	}
	l.log = l.log.With("target", name)
	if l.now == nil {
		l.now = time.Now
	}
	if l.lost == nil {
		l.lost = func(error) bool { return false }
	}
	l.judging = judge{l: l, soon: make(chan struct{}, 1)}
	return l, nil
}

// newTransport makes connections of the loop's own, so that ending it ends them.
func newTransport(timeout time.Duration) *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost, t.MaxConnsPerHost = 1, 2
	t.IdleConnTimeout = time.Minute
	t.TLSHandshakeTimeout, t.ResponseHeaderTimeout = timeout, timeout
	t.MaxResponseHeaderBytes = 64 << 10
	return t
}

// regtestPace is how much quicker everything is on regtest, as its blocks are.
const regtestPace = 100

func (l *Loop) pace(d time.Duration) time.Duration {
	if l.net == headers.Regtest {
		return max(1, d/regtestPace)
	}
	return d
}

// backoff is how long something is left alone that failed so many times in a row.
func (l *Loop) backoff(fails int) time.Duration {
	d := maxBackoff
	if fails = max(1, fails); fails < 10 {
		d = min(firstBackoff<<(fails-1), maxBackoff)
	}
	return jitter(l.pace(d))
}

// mayAsk says whether a calendar that an answer names may be asked.
func (l *Loop) mayAsk(uri string) bool {
	for _, own := range l.own {
		if own != "" && sameHost(uri, own) {
			return false
		}
	}
	if _, err := otshttp.CheckURL(uri); err != nil {
		return false
	}
	return slices.ContainsFunc(l.config.Calendars, func(c string) bool { return c == strings.TrimRight(uri, "/") }) || l.allowed.Allows(uri)
}

// Announce saves what is known before anybody is asked.
func (l *Loop) Announce(ctx context.Context) error {
	if err := l.offer(ctx); err != nil {
		return err
	}
	return l.report(ctx, anchor.Faultf(anchor.Starting, nil, "Starting: the calendars have not been asked yet."))
}

// looks is how often it is looked whether the log has grown.
const looks = time.Second

// Run works until ctx ends and then returns nil. What goes wrong becomes the target's status; only an error that is
// Options.Lost ends the loop.
func (l *Loop) Run(ctx context.Context) error {
	defer l.transport.CloseIdleConnections()
	g, ctx := errgroup.WithContext(ctx)
	running := make(map[*worker]bool)
	g.Go(func() error { return l.judging.run(ctx) })
	g.Go(func() error {
		for {
			err := l.look(ctx)
			if ctx.Err() != nil {
				return nil
			}
			if l.lost(err) {
				return err
			}
			for _, w := range l.all() {
				if !running[w] {
					running[w] = true
					g.Go(func() error { return w.run(ctx) })
				}
			}
			timer := time.NewTimer(jitter(looks))
			select {
			case <-ctx.Done():
			case <-timer.C:
			case <-l.grown:
			}
			timer.Stop()
		}
	})
	return g.Wait()
}

// look offers new heads to the workers and says how things are. Its error is the store's.
func (l *Loop) look(ctx context.Context) error {
	err := l.start(ctx)
	if err == nil {
		err = l.offer(ctx)
	}
	if ctx.Err() != nil || l.lost(err) {
		return err
	}
	l.stored(err)
	return errors.Join(err, l.report(ctx, nil))
}

// start reads what was promised before, once.
func (l *Loop) start(ctx context.Context) error {
	l.mu.Lock()
	started := l.started
	l.mu.Unlock()
	if started {
		return nil
	}
	now := l.now()
	genesis, err := l.store.PinTarget(ctx, now, l.name, l.net.Genesis)
	if err != nil {
		return err
	}
	if genesis != l.net.Genesis {
		return anchor.Faultf(anchor.WrongNetwork, nil, "This database has attestations of another network than %s. Set network in [upstream] to that one, or use another database.", l.net)
	}
	if err := l.store.UseCalendars(ctx, now, l.name, l.config.Calendars); err != nil {
		return err
	}
	sent, err := l.store.SentSubmissions(ctx, l.name)
	if err != nil {
		return err
	}
	awaited, err := l.store.AwaitedCalendars(ctx, l.name)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, calendar := range l.config.Calendars {
		l.workers[calendar] = newWorker(l, calendar, true, now)
	}
	for _, s := range sent {
		w := l.workers[s.Calendar]
		if w == nil {
			continue
		}
		w.sent[s.Epoch] = sentHead{s.Size, s.At}
		if s.At.After(w.state.Accepted) {
			w.state.Accepted, w.state.Size = s.At, s.Size
		}
		l.offeredAt = later(l.offeredAt, s.At)
	}
	for _, uri := range awaited {
		l.add(uri)
	}
	l.started = true
	return nil
}

// maxWorkers bounds the calendars that are asked.
const maxWorkers = 64

// add makes a worker for a calendar that is asked. l.mu is held.
func (l *Loop) add(uri string) {
	uri = strings.TrimRight(uri, "/")
	if l.workers[uri] != nil || len(l.workers) >= maxWorkers || !l.mayAsk(uri) {
		return
	}
	l.workers[uri] = newWorker(l, uri, false, l.now())
	select {
	case l.grown <- struct{}{}:
	default:
	}
}

// need has a calendar asked for what it promised.
func (l *Loop) need(uri string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.add(uri)
}

// all are the workers in the order of their calendars, those that heads are given to first.
func (l *Loop) all() []*worker {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]*worker, 0, len(l.workers))
	for _, w := range l.workers {
		list = append(list, w)
	}
	slices.SortFunc(list, func(a, b *worker) int {
		if a.accepts != b.accepts {
			if a.accepts {
				return -1
			}
			return 1
		}
		return strings.Compare(a.url, b.url)
	})
	return list
}

// offer has the newest heads given to the calendars, if there is something new and the interval is over. All get the
// same ones, so that a proof needs one path to them.
func (l *Loop) offer(ctx context.Context) error {
	heads, covered, err := l.coverage(ctx)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	l.heads, l.covered = heads, covered
	if now.Sub(l.offeredAt) < time.Duration(l.config.Interval) && now.After(l.offeredAt) && len(l.offered) > 0 {
		return nil
	}
	for _, h := range heads {
		if old := l.offered[h.Epoch]; h.Size > covered[h.Epoch] && h.Size > old.Size {
			l.offered[h.Epoch] = h
			l.offeredAt = now
		}
	}
	return nil
}

// offers are the heads that the calendars should have, oldest epoch first.
func (l *Loop) offers() []logtree.Head {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []logtree.Head
	for epoch, h := range l.offered {
		if h.Size > l.covered[epoch] {
			list = append(list, h)
		}
	}
	slices.SortFunc(list, func(a, b logtree.Head) int { return a.Epoch - b.Epoch })
	return list
}

// coverage is the newest head of each epoch, and by epoch how far it is attested.
func (l *Loop) coverage(ctx context.Context) ([]logtree.Head, map[int]int64, error) {
	// The current head is read first: an epoch that ends meanwhile is then seen as ended.
	head, err := l.store.Head(ctx)
	if err != nil {
		return nil, nil, err
	}
	heads, err := l.store.EndedEpochs(ctx)
	if err != nil {
		return nil, nil, err
	}
	if n := len(heads); n == 0 || heads[n-1].Epoch < head.Epoch {
		heads = append(heads, head)
	}
	list, err := l.store.Coverage(ctx, l.name, anchor.PurposeLog)
	if err != nil {
		return nil, nil, err
	}
	covered := make(map[int]int64)
	for _, c := range list {
		covered[c.Epoch] = c.Counted
	}
	return heads, covered, nil
}

// stored notes whether the store fails.
func (l *Loop) stored(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil && l.stores == nil {
		l.log.Warn("the database failed; it is tried again", "err", err)
	}
	l.stores = err
}

// statusEvery is how often a status that says nothing new is saved.
const statusEvery = time.Minute

// report saves the status if it says something new.
func (l *Loop) report(ctx context.Context, fault error) error {
	now := l.now()
	s := anchor.Status{Target: l.name, Network: l.net.Name, TestNetwork: l.net.Test(), Confirmations: l.config.Confirmations}
	sent, accepting, trouble := make(map[int]int64), 0, []string(nil)
	for _, w := range l.all() {
		c := w.snapshot(sent)
		s.Calendars = append(s.Calendars, c)
		if c.Code != anchor.CalendarOK {
			trouble = append(trouble, fmt.Sprintf("%s: %s", c.URL, c.Message))
		}
		if w.accepts && w.accepting() {
			accepting++
		}
	}
	if fault = l.fill(&s, sent, accepting, fault); fault != nil && s.Code != anchor.Starting && l.last.Code != s.Code {
		l.lastError, l.errorAt = fault.Error(), now
	}
	if len(trouble) > 0 && s.Code != anchor.StoreFailed && s.Code != anchor.WrongNetwork {
		s.Message += " " + strings.Join(trouble, " ")
	}
	s.LastError, s.LastErrorAt = l.lastError, l.errorAt
	if s.Code != l.last.Code {
		l.log.Info("target state", "code", s.Code, "message", s.Message)
	}
	if same(s, l.last) && now.Sub(l.last.Updated) < statusEvery {
		return nil
	}
	s.Updated = now
	if err := l.store.SaveStatus(ctx, now, s); err != nil {
		return fmt.Errorf("target %s: %w", l.name, err)
	}
	l.last = s
	return nil
}

// fill adds what the other goroutines know to the status, and returns what is wrong.
func (l *Loop) fill(s *anchor.Status, sent map[int]int64, accepting int, fault error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.heads {
		c := l.covered[h.Epoch]
		s.Attested = append(s.Attested, anchor.Attested{Epoch: h.Epoch, Size: h.Size, Counted: c, Mined: c, Sent: max(c, sent[h.Epoch])})
	}
	s.Height, s.NodeHeight = l.best, max(0, l.best)
	s.Message = fmt.Sprintf("%d of %d calendars accept heads.", accepting, len(l.config.Calendars))
	switch few := l.started && accepting < l.config.MinCalendars; {
	case fault != nil:
	case l.stores != nil:
		fault = l.stores
	case anchor.CodeOf(l.headers) == anchor.WrongNetwork:
		fault = l.headers
	case few:
		fault = anchor.Faultf(anchor.CalendarsFew, nil, "%d of %d calendars accept heads, and %d should.", accepting, len(l.config.Calendars), l.config.MinCalendars)
	case l.headers != nil:
		fault = l.headers
	}
	if s.Code = anchor.CodeOf(fault); fault != nil {
		var f *anchor.Fault
		s.Message = "The database cannot be read or written; look into the log."
		if errors.As(fault, &f) {
			s.Message = f.Message
		}
	}
	return fault
}

// same compares what statuses say, apart from when. The growth of the log alone is nothing new.
func same(a, b anchor.Status) bool {
	a.Updated, b.Updated = time.Time{}, time.Time{}
	if len(a.Attested) != len(b.Attested) {
		return false
	}
	a.Attested, b.Attested = slices.Clone(a.Attested), slices.Clone(b.Attested)
	for i := range a.Attested {
		a.Attested[i].Size, b.Attested[i].Size = 0, 0
	}
	return reflect.DeepEqual(a, b)
}

// judgeSoon has an answer judged without waiting.
func (l *Loop) judgeSoon() {
	select {
	case l.judging.soon <- struct{}{}:
	default:
	}
}

// workerOf is the worker of a calendar, or nil.
func (l *Loop) workerOf(calendar string) *worker {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.workers[calendar]
}

// setHeaders notes what the sources of block headers said.
func (l *Loop) setHeaders(best int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.headers = err; err == nil {
		l.best = best
	}
}

// spread is a random part of a time.
func spread(d time.Duration) time.Duration { return mathrand.N(max(1, d)) }
