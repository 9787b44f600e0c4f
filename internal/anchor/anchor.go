// Package anchor brings heads of the log to a target and keeps what the target attests, for any kind
// of target. It knows no fee, key or RPC.
//
// A [Loop] runs one target. Each step lets the target look at its chain, and then, when the newest
// head of an epoch is in no transaction of the best chain and in no counted attestation, asks it for
// an attempt: bytes that may bring the head there. The attempt is saved before its bytes are sent,
// so that after any crash every transaction that may be mined is known. What may conflict never
// confirms twice: attempts that use up the same thing make up a set, of which at most one succeeds.
//
// Some targets carry seeds as well, one by one, each as if it were the head of an epoch of its own. What keeps them from
// going out keeps no head of the log, and the other way round.
package anchor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/datestone/datestone/internal/logtree"
)

// State is what became of an attempt.
type State int

const (
	// Live: it may be mined.
	Live State = 0
	// Mined: it is in the best chain, not yet at the required depth.
	Mined State = 1
	// Settled: it is in the best chain at the required depth.
	Settled State = 2
	// Dead: something that conflicts with it is at the required depth.
	Dead State = 3
)

// Attempt is something that brings a head to a target if the target takes it.
type Attempt struct {
	ID      int64
	Target  string
	Purpose string
	Head    logtree.Head
	Uses    []string // what it uses up and no other attempt can use as well; the first names its set
	Raw     []byte   // what is sent
	Ref     string   // the target's name for it: a transaction id
	Fee     int64    // what it costs at most, in the target's smallest unit
	VSize   int64    // what the fee is measured against
	Created time.Time
	Sent    time.Time // zero while the target has not taken it
	State   State
	Height  int64     // of its block, or of the block that killed it; 0 while live
	Changed time.Time // when State was set last; Created if it never changed
}

// Set names the attempts of which at most one can succeed.
func (a Attempt) Set() string { return a.Uses[0] }

// Unsettled says whether the attempt may still change the best chain: it may be mined, now or after
// a reorganisation that is shallower than the required depth.
func (a Attempt) Unsettled() bool { return a.State == Live || a.State == Mined }

// Coverage says how far an epoch is attested by a target.
type Coverage struct {
	Epoch   int
	Counted int64 // size of the largest counted head
	Mined   int64 // of the largest head in the best chain, counted or not
	Sent    int64 // of the largest head in an attempt that may be mined
}

// Target is where heads are brought to. Its methods are called by one goroutine.
type Target interface {
	// Check follows the target, stores what it attests and withdraws, and sends again what it should
	// have and has not. Its error says why nothing new should be sent; of one purpose alone, where all of it
	// is faults that name theirs.
	Check(ctx context.Context, now time.Time) error
	// Prepare makes the next attempt for the head, or reports that there is nothing to do now: the
	// head, or an older one, is on its way, or it is too early. The attempt may be for what is on its way before it,
	// and names its purpose then.
	Prepare(ctx context.Context, now time.Time, purpose string, head logtree.Head) (a Attempt, ok bool, err error)
	// Send sends a saved attempt. It may be called again for the same one.
	Send(ctx context.Context, now time.Time, a Attempt) error
	// Status describes the target. Name, code, message and attested sizes are the loop's.
	Status(ctx context.Context, now time.Time) (Status, error)
}

// Store keeps heads and attempts. store.DB is one.
type Store interface {
	Head(ctx context.Context) (logtree.Head, error)
	// EndedEpochs are the last heads of the epochs before the current one, oldest first.
	EndedEpochs(ctx context.Context) ([]logtree.Head, error)
	// Coverage is in the order of epochs; an epoch without any may be missing.
	Coverage(ctx context.Context, target, purpose string) ([]Coverage, error)
	// SaveAttempt returns only after the attempt is on disk. After an error it may be there.
	SaveAttempt(ctx context.Context, now time.Time, a Attempt) (Attempt, error)
	SaveStatus(ctx context.Context, now time.Time, s Status) error
}

// Options are a loop's settings; the zero value of each means its default.
type Options struct {
	// Poll is the time between two looks at the target. Default 1 s.
	Poll time.Duration
	// Log receives changes of state. Default slog.Default().
	Log *slog.Logger
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Lost says that an error means that the loop may not run any more: another node runs it. Run then
	// returns it, and it is no state of the target. Default: none means that.
	Lost func(error) bool
	// Seeds are those that the target carries beside heads of the log. Default: none.
	Seeds Seeds
}

// Loop brings the heads of a log to one target. Make one with New.
type Loop struct {
	name   string
	target Target
	store  Store
	poll   time.Duration
	log    *slog.Logger
	now    func() time.Time
	lost   func(error) bool
	seeds  Seeds // nil where the target carries none

	// Of the goroutine that runs the steps.
	last      Status // as it was saved last
	lastError string
	errorAt   time.Time
}

// New makes the loop of the target with this name. It does nothing until Run.
func New(name string, target Target, store Store, o Options) *Loop {
	if o.Poll == 0 {
		o.Poll = time.Second
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
	return &Loop{name: name, target: target, store: store, poll: o.Poll, log: o.Log.With("target", name), now: o.Now, lost: o.Lost, seeds: o.Seeds}
}

// maxBackoff bounds the time between two looks at a target that is in trouble.
const maxBackoff = 8 * time.Second

// Run steps until ctx ends and then returns nil. An error of a step becomes the target's status; only
// one that is Options.Lost ends the loop.
func (l *Loop) Run(ctx context.Context) error {
	wait := l.poll
	for {
		err := l.Step(ctx, l.now())
		if ctx.Err() != nil {
			return nil
		}
		if l.lost(err) {
			return err
		}
		switch {
		case !stops(err, PurposeLog):
			wait = l.poll
		case CodeOf(err) == Scanning:
			wait = 0
		default:
			wait = min(max(2*wait, l.poll), max(maxBackoff, l.poll))
			wait = wait*3/4 + time.Duration(rand.Int64N(int64(wait)/4+1))
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// Announce saves what is known of the target before it is asked anything, so that its network, and
// that nothing is known of its chain yet, can be seen at once.
func (l *Loop) Announce(ctx context.Context) error {
	return l.report(ctx, l.now(), Faultf(Starting, nil, "Starting: the target has not been asked yet."))
}

// Step does what there is to do at this time: it looks at the target, brings it the next head and the next seed if they
// are due, and saves the target's status. The error is what the status names.
func (l *Loop) Step(ctx context.Context, now time.Time) error {
	err := l.target.Check(ctx, now)
	for _, purpose := range l.purposes() {
		if ctx.Err() == nil && !l.lost(err) && !stops(err, purpose) {
			err = errors.Join(err, l.advance(ctx, now, purpose))
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if l.lost(err) {
		return err
	}
	return errors.Join(err, l.report(ctx, now, err))
}

// advance prepares, saves and sends the next attempt with this purpose, if one is due.
func (l *Loop) advance(ctx context.Context, now time.Time, purpose string) error {
	next := l.next
	if purpose == PurposeSeed {
		next = l.nextSeed
	}
	head, ok, err := next(ctx)
	if err != nil || !ok {
		return err
	}
	a, ok, err := l.target.Prepare(ctx, now, purpose, head)
	if err != nil || !ok {
		return About(purpose, err)
	}
	a.Target, a.Purpose = l.name, cmp.Or(a.Purpose, purpose)
	if a, err = l.store.SaveAttempt(ctx, now, a); err != nil {
		return err
	}
	l.log.Info("saved a transaction", "transaction", a.Ref, Naming(a.Purpose, a.Head), "fee", a.Fee)
	return About(a.Purpose, l.target.Send(ctx, now, a))
}

// next is the newest head of the first epoch that has entries which neither a counted attestation
// nor a transaction in the best chain covers. Whether an attempt that is on its way already covers
// them is for the target to judge: it may want to replace it, and then with this head.
func (l *Loop) next(ctx context.Context) (logtree.Head, bool, error) {
	heads, sizes, err := l.coverage(ctx)
	if err != nil {
		return logtree.Head{}, false, err
	}
	for _, h := range heads {
		if c := sizes[h.Epoch]; h.Size > max(c.Counted, c.Mined) {
			return h, true, nil
		}
	}
	return logtree.Head{}, false, nil
}

// coverage is the newest head of each epoch, and by epoch how far it is attested.
func (l *Loop) coverage(ctx context.Context) ([]logtree.Head, map[int]Coverage, error) {
	// The current head is read first: an epoch that ends meanwhile is then seen as ended, at the
	// latest in the next step, and never missed.
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
	all, err := l.store.Coverage(ctx, l.name, PurposeLog)
	if err != nil {
		return nil, nil, err
	}
	sizes := make(map[int]Coverage, len(all))
	for _, c := range all {
		sizes[c.Epoch] = c
	}
	return heads, sizes, nil
}

// statusEvery is how often a status that says nothing new is saved.
const statusEvery = time.Minute

// report saves the status of the target after a step that ended with err, and logs changes.
func (l *Loop) report(ctx context.Context, now time.Time, err error) error {
	s, statusErr := l.target.Status(ctx, now)
	if statusErr == nil {
		statusErr = l.attested(ctx, &s)
	}
	if statusErr == nil {
		statusErr = l.describeSeeds(ctx, &s, err)
	}
	if ctx.Err() != nil {
		return ctx.Err() // stopped: what it interrupted says nothing of the target
	}
	if err == nil {
		err = statusErr
	}
	s.Target, s.Code = l.name, CodeOf(err)
	if s.Message == "" {
		s.Message = "Everything is in order."
	}
	if err != nil {
		s.Message = sentences(err)
		if s.Code != Scanning && s.Code != Starting {
			l.lastError, l.errorAt = err.Error(), now
		}
	}
	s.LastError, s.LastErrorAt = l.lastError, l.errorAt
	if s.Code != l.last.Code {
		l.logChange(s, err)
	}
	if statusErr != nil {
		l.last.Code = s.Code
		return statusErr
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

func (l *Loop) logChange(s Status, err error) {
	switch {
	case s.Code == OK || s.Code == Scanning || s.Code == Starting:
		l.log.Info("target state", "code", s.Code, "height", s.Height)
	case s.Code.NeedsPerson():
		l.log.Error("target state", "code", s.Code, "message", s.Message, "error", err)
	default:
		l.log.Warn("target state", "code", s.Code, "message", s.Message, "error", err)
	}
}

func (l *Loop) attested(ctx context.Context, s *Status) error {
	heads, sizes, err := l.coverage(ctx)
	if err != nil {
		return err
	}
	for _, h := range heads {
		c := sizes[h.Epoch]
		s.Attested = append(s.Attested, Attested{Epoch: h.Epoch, Size: h.Size, Counted: c.Counted, Mined: max(c.Counted, c.Mined), Sent: max(c.Counted, c.Mined, c.Sent)})
	}
	return nil
}

// same compares what statuses say, apart from when. The growth of the log alone is nothing new.
func same(a, b Status) bool {
	if len(a.Attested) != len(b.Attested) || len(a.Waiting) != len(b.Waiting) {
		return false
	}
	for i, x := range a.Attested {
		y := b.Attested[i]
		if x.Epoch != y.Epoch || x.Counted != y.Counted || x.Mined != y.Mined || x.Sent != y.Sent {
			return false
		}
	}
	for i := range a.Waiting {
		if a.Waiting[i] != b.Waiting[i] {
			return false
		}
	}
	return a.Code == b.Code && a.Message == b.Message && a.Height == b.Height && a.Block == b.Block && a.NodeHeight == b.NodeHeight &&
		a.Balance == b.Balance && a.Address == b.Address && a.FeeRate == b.FeeRate && a.FeesDay == b.FeesDay && a.FeesWeek == b.FeesWeek &&
		a.Seeds.same(b.Seeds) && a.Ref == b.Ref && a.Tip == b.Tip && a.LastError == b.LastError
}
