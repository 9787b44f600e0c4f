package publish

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/seed"
	"github.com/datestone/datestone/ots/printed"
)

// Store keeps publications. store.DB is one.
type Store interface {
	Heads
	Notices
	Seeds
	Deliveries
	SaveStatus(ctx context.Context, now time.Time, s anchor.Status) error
}

// Heads are those of the log, and the clock that all nodes share.
type Heads interface {
	// Clock is the database's.
	Clock(ctx context.Context) (time.Time, error)
	Head(ctx context.Context) (logtree.Head, error)
	EndedEpochs(ctx context.Context) ([]logtree.Head, error)
}

// Notices are those of a target.
type Notices interface {
	// PublicationPeriod is the newest period that was decided, or empty before the first.
	PublicationPeriod(ctx context.Context, target string) (string, error)
	// DecidePublication makes a period the newest, with its notice unless that is nil. It reports false, and does
	// nothing, when that period or a later one was decided already.
	DecidePublication(ctx context.Context, target, period string, p *Publication) (bool, error)
	// Publications are a target's, newest first.
	Publications(ctx context.Context, target string, limit int) ([]Publication, error)
	// PublishedSizes say for each epoch how far notices reach, and confirmed ones.
	PublishedSizes(ctx context.Context, target string) (map[int]Sizes, error)
	// Unconfirmed are how many notices nobody has confirmed, and since when the oldest waits.
	Unconfirmed(ctx context.Context, target string) (n int, since time.Time, err error)
}

// Seeds are those that a target prints.
type Seeds interface {
	// UnprintedSeeds are up to limit seeds of a target that are made and in no notice, oldest first.
	UnprintedSeeds(ctx context.Context, target string, limit int) ([]seed.Seed, error)
	// PublishSeed keeps the notice of a seed. It reports false, and does nothing, when there is one.
	PublishSeed(ctx context.Context, p *Publication) (bool, error)
	// UnconfirmedSeeds are how many seeds of a target are made and not confirmed in print, and the oldest's number.
	UnconfirmedSeeds(ctx context.Context, target string) (n, oldest int, err error)
}

// Deliveries are those of a target's notices.
type Deliveries interface {
	// DuePublications are up to limit notices with a delivery that is due, oldest first.
	DuePublications(ctx context.Context, target string, now time.Time, limit int) ([]Publication, error)
	// SaveDelivery keeps a delivery, if it was not changed since it had so many tries and was due.
	SaveDelivery(ctx context.Context, publication int64, tries int, d Delivery) (bool, error)
}

// Sizes are heads of an epoch.
type Sizes struct{ Made, Confirmed int64 }

// Sender brings a notice to the publisher by one channel. The error is an *anchor.Fault; a fault that no further try ends
// is an *Ended.
type Sender interface {
	Send(ctx context.Context, p Publication) error
}

// Ended is a fault that further tries do not end.
type Ended struct{ *anchor.Fault }

func (e *Ended) Unwrap() error { return e.Fault }

// Options of a loop.
type Options struct {
	Name     string // of the target
	Every    string // the period in words
	Period   Period
	Paper    string // what the paper is called
	Title    string
	Service  string
	Explains string
	Language Language
	Senders  map[Channel]Sender
	// Poll is how often there is a look at what is due. Default 2s.
	Poll time.Duration
	Log  *slog.Logger
	Lost func(error) bool // of the lease
}

// Loop makes notices and brings them to the publisher.
type Loop struct {
	store   Store
	options Options
	last    anchor.Code
	saved   anchor.Status // that was saved last
}

// New makes a loop. It starts nothing.
func New(store Store, o Options) *Loop {
	if o.Poll == 0 {
		o.Poll = 2 * time.Second
	}
	return &Loop{store: store, options: o}
}

const (
	// MaxTries is how often a notice is sent by one channel at most, until somebody asks for more. A crash between
	// sending and keeping that it was sent costs one of them.
	MaxTries   = 16
	firstPause = time.Minute
	maxPause   = 6 * time.Hour
	atOnce     = 20
	// tryWithin bounds one try.
	tryWithin = 70 * time.Second
	// unconfirmedAfter is how long a notice may wait for somebody to say where it was printed.
	unconfirmedAfter = 21 * 24 * time.Hour
)

// pause is how long there is no other try after so many.
func pause(tries int) time.Duration {
	if tries > 10 {
		return maxPause
	}
	return min(firstPause<<max(0, tries-1), maxPause)
}

// Announce makes the target known.
func (l *Loop) Announce(ctx context.Context) error {
	now, err := l.store.Clock(ctx)
	if err != nil {
		return err
	}
	return l.report(ctx, now, nil)
}

// Run works until ctx ends or the lease is lost.
func (l *Loop) Run(ctx context.Context) error {
	tick := time.NewTicker(l.options.Poll)
	defer tick.Stop()
	for {
		err := l.Step(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if l.options.Lost != nil && l.options.Lost(err) {
			return err
		}
		if err != nil {
			l.options.Log.Warn("notices to be printed: it is tried again", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Step makes a notice if one is due, and one of each seed that is made, sends what is due, and saves the target's status.
func (l *Loop) Step(ctx context.Context) error {
	now, err := l.store.Clock(ctx)
	if err != nil {
		return err
	}
	if err = errors.Join(l.make(ctx, now), l.makeSeeds(ctx, now)); err == nil {
		err = l.deliver(ctx, now)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if l.options.Lost != nil && l.options.Lost(err) {
		return err
	}
	return errors.Join(err, l.report(ctx, now, err))
}

// make decides the newest period that has begun: one that was missed is made up, and those before it are not. A clock
// that went back decides nothing. Without an earlier decision the target has just been configured, and its first notice
// is that of the next period.
func (l *Loop) make(ctx context.Context, now time.Time) error {
	_, period := l.options.Period.Last(now)
	decided, err := l.store.PublicationPeriod(ctx, l.options.Name)
	if err != nil || decided >= period {
		return err
	}
	var p *Publication
	if decided != "" {
		if p, err = l.Newest(ctx, now); err != nil {
			return err
		}
	}
	if p != nil {
		p.Period = period
	}
	made, err := l.store.DecidePublication(ctx, l.options.Name, period, p)
	if err == nil && made && p != nil {
		l.options.Log.Info("a notice to be printed was made", "period", period, "head", p.Head.String())
	}
	return err
}

// makeSeeds makes a notice of each seed that is made, once.
func (l *Loop) makeSeeds(ctx context.Context, now time.Time) error {
	seeds, err := l.store.UnprintedSeeds(ctx, l.options.Name, atOnce)
	if err != nil {
		return err
	}
	for _, s := range seeds {
		p, err := l.notice(now, s.Head(), seedRoot(s, now.In(l.options.Period.zone)))
		if err != nil {
			return err
		}
		p.Period = account.ID(s.UID).String()
		made, err := l.store.PublishSeed(ctx, p)
		if err != nil {
			return err
		}
		if made {
			l.options.Log.Info("a notice to be printed was made", "seed", s.Number)
		}
	}
	return nil
}

// Newest is a notice of the newest head, or nil when that was in one already. Its period is left to the caller.
func (l *Loop) Newest(ctx context.Context, now time.Time) (*Publication, error) {
	head, err := l.store.Head(ctx)
	if err != nil {
		return nil, err
	}
	sizes, err := l.store.PublishedSizes(ctx, l.options.Name)
	if err != nil {
		return nil, err
	}
	if head.Size == 0 || sizes[head.Epoch].Made >= head.Size {
		return nil, nil
	}
	return l.Make(now, head)
}

// Make is a notice of a head.
func (l *Loop) Make(now time.Time, head logtree.Head) (*Publication, error) {
	return l.notice(now, head, RootOf(head, now.In(l.options.Period.zone)))
}

func (l *Loop) notice(now time.Time, head logtree.Head, root printed.Root) (*Publication, error) {
	n := Notice{Title: l.options.Title, Service: l.options.Service, Explains: l.options.Explains, Language: l.options.Language, Root: root}
	if err := n.Check(); err != nil {
		return nil, err
	}
	p := &Publication{UID: account.NewID(), Target: l.options.Name, Paper: l.options.Paper, Notice: n, Head: head, Text: n.Text(), Created: now}
	p.Deliveries = l.Fresh(now)
	return p, nil
}

// Fresh are deliveries by every channel that is configured.
func (l *Loop) Fresh(now time.Time) (all []Delivery) {
	for _, c := range []Channel{Mail, Folder, URL} {
		if l.options.Senders[c] != nil {
			all = append(all, Delivery{Channel: c, Due: now})
		}
	}
	return all
}

// deliver tries what is due. Each try is counted, and the next one is put off, before it is made: whatever crashes, no
// notice is sent more often than MaxTries.
func (l *Loop) deliver(ctx context.Context, now time.Time) error {
	due, err := l.store.DuePublications(ctx, l.options.Name, now, atOnce)
	if err != nil {
		return err
	}
	for _, p := range due {
		for _, d := range p.Deliveries {
			// One that is due very late was put off by a clock that has gone back since.
			if d.State != Due || d.Due.After(now) && d.Due.Before(now.Add(2*maxPause)) {
				continue
			}
			if err := l.try(ctx, now, p, d); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *Loop) try(ctx context.Context, now time.Time, p Publication, d Delivery) error {
	had := d.Tries
	sender := l.options.Senders[d.Channel]
	if sender == nil {
		d.State, d.Error = Dropped, "it is not configured any more"
		_, err := l.store.SaveDelivery(ctx, p.ID, had, d)
		return err
	}
	if d.Tries >= MaxTries { // the last one was begun, and what came of it was lost
		d.State = Parked
		_, err := l.store.SaveDelivery(ctx, p.ID, had, d)
		return err
	}
	d.Tries++
	d.Tried, d.Due = now, now.Add(pause(d.Tries))
	if began, err := l.store.SaveDelivery(ctx, p.ID, had, d); err != nil || !began {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, tryWithin)
	err := sender.Send(limited, p)
	cancel()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var ended *Ended
	switch {
	case err == nil:
		d.State, d.Code, d.Error = Delivered, "", ""
		l.options.Log.Info("a notice was delivered", "publication", p.ID, "channel", d.Channel, "tries", d.Tries)
	default:
		d.Code, d.Error = anchor.CodeOf(err), err.Error()
		if errors.As(err, &ended) || d.Tries >= MaxTries {
			d.State = Parked
		}
		l.options.Log.Warn("a notice was not delivered", "publication", p.ID, "channel", d.Channel, "tries", d.Tries, "state", d.State.String(), "err", err)
	}
	_, err = l.store.SaveDelivery(ctx, p.ID, d.Tries, d)
	return err
}

// report saves what the target says of itself.
func (l *Loop) report(ctx context.Context, now time.Time, failed error) error {
	s, err := l.status(ctx, now)
	if err != nil {
		return err
	}
	if failed != nil {
		s.Code, s.Message = anchor.CodeOf(failed), "Making or sending notices fails: "+failed.Error()
		s.LastError, s.LastErrorAt = failed.Error(), now
	}
	if s.Code != l.last {
		if l.last = s.Code; s.Code.NeedsPerson() {
			l.options.Log.Error("target state", "target", l.options.Name, "code", s.Code, "message", s.Message)
		} else {
			l.options.Log.Info("target state", "target", l.options.Name, "code", s.Code)
		}
	}
	// What says the same is saved once in a minute: a write makes readers forget what they remember.
	same := l.saved
	same.Updated = s.Updated
	if reflect.DeepEqual(same, s) && now.Sub(l.saved.Updated) >= 0 && now.Sub(l.saved.Updated) < time.Minute {
		return nil
	}
	err = l.store.SaveStatus(ctx, now, s)
	if err == nil {
		l.saved = s
	}
	return err
}

// shownAtMost bounds how many notices the status looks through for one that was not delivered.
const shownAtMost = 50

func (l *Loop) status(ctx context.Context, now time.Time) (anchor.Status, error) {
	s := anchor.Status{
		Target: l.options.Name, Network: "print", Code: anchor.OK, Height: -1, Updated: now,
		Printed: &anchor.Printed{Every: l.options.Every, Next: l.options.Period.Next(now)},
	}
	all, err := l.store.Publications(ctx, l.options.Name, shownAtMost)
	if err != nil {
		return s, err
	}
	waiting, since, err := l.store.Unconfirmed(ctx, l.options.Name)
	if err != nil {
		return s, err
	}
	if s.Attested, err = l.attested(ctx); err != nil {
		return s, err
	}
	s.Printed.Waiting = waiting
	if waiting > 0 {
		s.Printed.WaitingSince = &since
	}
	seeds, oldest, err := l.store.UnconfirmedSeeds(ctx, l.options.Name)
	if err != nil {
		return s, err
	}
	if seeds > 0 {
		s.Seeds = &anchor.Seeded{Queued: seeds, Oldest: oldest, Code: anchor.OK}
	}
	for _, p := range all {
		if p.Notice.Root.Purpose != PurposeLog {
			continue
		}
		n := shown(p)
		if s.Printed.Last == nil {
			s.Printed.Last = n
		}
		if s.Printed.Confirmed == nil && p.Place != nil {
			s.Printed.Confirmed = n
		}
	}
	s.Code, s.Message, s.LastError, s.LastErrorAt = state(all, now, waiting, since)
	if s.Message == "" {
		s.Message = fmt.Sprintf("Everything is in order. The next notice is due on %s.", s.Printed.Next.UTC().Format("2 January 2006 at 15:04 UTC"))
	}
	return s, nil
}

func shown(p Publication) *anchor.Notice {
	n := &anchor.Notice{ID: p.ID, Date: p.Notice.Root.Date, Epoch: p.Head.Epoch, Size: p.Head.Size, Made: p.Created}
	if p.Place != nil {
		n.Issue, n.Page, n.URL = p.Place.Issue, p.Place.Page, p.Place.URL
	}
	return n
}

// state is what the newest notices say: a delivery that failed, one that was put off first, or one that waits for too
// long to be confirmed.
func state(all []Publication, now time.Time, waiting int, since time.Time) (code anchor.Code, message, lastError string, at time.Time) {
	for _, p := range all {
		if p.Place != nil {
			continue // it was printed, however it came there
		}
		for _, d := range p.Deliveries {
			if d.Error == "" || d.State != Due && d.State != Parked {
				continue
			}
			next := fmt.Sprintf("It is tried again at %s.", d.Due.UTC().Format("2 January 15:04 UTC"))
			if d.State == Parked {
				next = fmt.Sprintf("It is not tried any more: when that is over, run datestoned publish send %d.", p.ID)
			}
			message = fmt.Sprintf("Notice %d of %s did not reach the publisher by %s: %s. %s", p.ID, p.Notice.Root.Date, d.Channel, d.Error, next)
			return d.Code, message, d.Error, d.Tried
		}
	}
	if waiting > 0 && now.Sub(since) > unconfirmedAfter {
		message = fmt.Sprintf("%d notices wait to be confirmed, the oldest since %s: find them in the paper and run datestoned publish confirm, or datestoned publish list to see them.",
			waiting, since.UTC().Format("2 January 2006"))
		return anchor.Unconfirmed, message, "", time.Time{}
	}
	if waiting > 0 {
		message = fmt.Sprintf("Everything is in order. %d notices wait to be confirmed, the oldest since %s: datestoned publish confirm says where one appeared.", waiting, since.UTC().Format("2 January 2006"))
	}
	return anchor.OK, message, "", time.Time{}
}

// attested says how far each epoch of the log is printed. A head of an epoch covers those before it.
func (l *Loop) attested(ctx context.Context) ([]anchor.Attested, error) {
	head, err := l.store.Head(ctx)
	if err != nil {
		return nil, err
	}
	heads, err := l.store.EndedEpochs(ctx)
	if err != nil {
		return nil, err
	}
	if n := len(heads); n == 0 || heads[n-1].Epoch < head.Epoch {
		heads = append(heads, head)
	}
	sizes, err := l.store.PublishedSizes(ctx, l.options.Name)
	if err != nil {
		return nil, err
	}
	all := make([]anchor.Attested, len(heads))
	made, confirmed := false, false // in a later epoch
	for i := len(heads) - 1; i >= 0; i-- {
		h, s := heads[i], sizes[heads[i].Epoch]
		all[i] = anchor.Attested{Epoch: h.Epoch, Size: h.Size, Counted: s.Confirmed, Sent: s.Made}
		if confirmed {
			all[i].Counted = h.Size
		}
		if made {
			all[i].Sent = h.Size
		}
		all[i].Mined = all[i].Counted
		made, confirmed = made || s.Made > 0, confirmed || s.Confirmed > 0
	}
	return all, nil
}
