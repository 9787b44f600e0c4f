package upstream

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/upstream/submission"
	"github.com/datestone/datestone/ots"
	"github.com/datestone/datestone/ots/otshttp"
)

const (
	// gap is the least time between two requests to one calendar, so that it gets at most twelve in a minute.
	gap = 5 * time.Second
	// askAfter is when a calendar is asked for the first time what became of a head, and again after that.
	askAfter = 10 * time.Minute
	// maxAsk is how long at most it is waited between two questions, which grow apart.
	maxAsk = time.Hour
	// firstBackoff and maxBackoff bound how long a calendar that failed is left alone.
	firstBackoff = 15 * time.Second
	maxBackoff   = time.Hour
	// unknownAfter is how old a submission must be for "Not found" to mean that the calendar has forgotten it: some say
	// so of what they were just given.
	unknownAfter = time.Hour
	// forgottenFor is how long one that the calendar does not know is left alone.
	forgottenFor = 6 * time.Hour
	// resendAfter is when a head that came to nothing is given to the calendar again.
	resendAfter = 48 * time.Hour
	// maxRows bounds the submissions that are looked at for one question.
	maxRows = 1024
	// idle is how long a worker sleeps at most before it looks again whether there is something to do.
	idle = time.Second
)

// worker does all that is asked of one calendar, one request at a time. Others never wait for it.
type worker struct {
	l       *Loop
	url     string
	accepts bool // it is configured, so heads are given to it
	client  *otshttp.Client

	// Of the goroutine that runs turns.
	free     time.Time // when the next request may be sent
	submitAt time.Time // when the next head may be given to it
	askAt    time.Time // when it may be asked
	fails    int       // submissions in a row that failed
	askFails int       // questions in a row that failed
	waits    int       // questions in a row that were answered with not yet
	search   *position // while the newest head that it attests is looked for: it does not attest those from here on
	version  string    // the ETag of the last answer, of
	of       int64     // this submission

	mu    sync.Mutex // guards what follows
	sent  map[int]sentHead
	state anchor.Calendar
	ask   anchor.Calendar // what is wrong with the answers to questions
}

type sentHead struct {
	size int64
	at   time.Time
}

// position orders heads.
type position struct {
	epoch int
	size  int64
}

func (p position) compare(h logtree.Head) int {
	return cmp.Or(cmp.Compare(p.epoch, h.Epoch), cmp.Compare(p.size, h.Size))
}

func newWorker(l *Loop, calendar string, accepts bool, now time.Time) *worker {
	u, err := url.Parse(calendar)
	if err != nil {
		u = &url.URL{}
	}
	w := &worker{
		l: l, url: calendar, accepts: accepts, sent: make(map[int]sentHead),
		client: &otshttp.Client{UserAgent: "datestone", HTTP: &http.Client{Timeout: time.Duration(l.config.Timeout), Transport: polite{u.Host, l.transport}}},
	}
	// Not all of them at once after a restart.
	w.askAt = now.Add(mathrand.N(l.pace(time.Minute)))
	w.state = anchor.Calendar{URL: calendar, Code: anchor.CalendarOK, Accepts: accepts}
	w.ask = w.state
	return w
}

// run takes turns until ctx ends. The error is one of the store.
func (w *worker) run(ctx context.Context) error {
	for {
		next, err := w.turn(ctx, w.l.now())
		if ctx.Err() != nil {
			return nil
		}
		if w.l.lost(err) {
			return err
		}
		w.l.stored(err)
		pause := min(max(next.Sub(w.l.now()), w.l.pace(100*time.Millisecond)), w.l.pace(idle))
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// turn sends at most one request, if one is due, and says when the next may be. The error is one of the store.
func (w *worker) turn(ctx context.Context, now time.Time) (next time.Time, err error) {
	if now.Before(w.free) {
		return w.free, nil
	}
	if h, ok := w.due(now); ok {
		err := w.submit(ctx, h)
		w.free = w.l.now().Add(w.l.pace(gap))
		return w.free, err
	}
	if now.Before(w.askAt) {
		return w.askAt, nil
	}
	s, ok, err := w.awaited(ctx, now)
	if err != nil || !ok {
		w.askAt = now.Add(w.l.pace(idle * 5))
		return w.askAt, err
	}
	err = w.question(ctx, s)
	w.free = w.l.now().Add(w.l.pace(gap))
	return w.free, err
}

// due is the head that the calendar is to be given now.
func (w *worker) due(now time.Time) (logtree.Head, bool) {
	if !w.accepts || now.Before(w.submitAt) {
		return logtree.Head{}, false
	}
	offers := w.l.offers()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, o := range offers {
		s := w.sent[o.Epoch]
		if o.Size > s.size || !s.at.IsZero() && now.Sub(s.at) > resendAfter {
			return o, true
		}
	}
	return logtree.Head{}, false
}

// submit gives a head to the calendar and keeps what it answers. What is not saved was not promised: the head is then
// given to it again.
func (w *worker) submit(ctx context.Context, h logtree.Head) error {
	var nonce [nonceSize]byte
	rand.Read(nonce[:])
	by := hide(nonce)
	digest, err := by.Apply(h.Root[:])
	if err != nil {
		return err
	}
	var c courtesy
	t, err := w.client.Submit(c.in(ctx), w.url, digest)
	var list []submission.Submission
	if err == nil {
		list, err = promises(h, by, t, w.l.mayAsk)
	}
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		w.fails++
		w.submitAt = w.l.now().Add(max(c.wait, w.l.backoff(w.fails)))
		w.note(&w.state, err)
		return nil
	}
	now := w.l.now()
	for i := range list {
		list[i].Target, list[i].Calendar, list[i].Next = w.l.name, w.url, now
	}
	if err := w.l.store.SaveSubmissions(ctx, now, list); err != nil {
		return err
	}
	w.fails, w.submitAt = 0, now.Add(c.wait)
	for _, s := range list {
		w.l.need(s.URI)
	}
	w.note(&w.state, nil)
	w.mu.Lock()
	w.sent[h.Epoch] = sentHead{h.Size, now}
	w.state.Accepted, w.state.Size = now, h.Size
	w.mu.Unlock()
	return nil
}

// awaited is the submission that the calendar is asked for next. It is the oldest head that has come to nothing; once
// that is attested, the newest one that is attested as well is looked for by halves, for it covers all those between.
func (w *worker) awaited(ctx context.Context, now time.Time) (submission.Submission, bool, error) {
	rows, err := w.l.store.AwaitedSubmissions(ctx, now, w.l.name, w.url, maxRows)
	if err != nil || len(rows) == 0 {
		w.search = nil
		return submission.Submission{}, false, err
	}
	if w.search != nil {
		if rows = slices.DeleteFunc(rows, func(s submission.Submission) bool { return w.search.compare(s.Head) <= 0 }); len(rows) > 0 {
			return rows[len(rows)/2], true, nil
		}
		w.search = nil
		w.wait(now)
		return submission.Submission{}, false, nil
	}
	if first := rows[0].Created.Add(w.l.pace(askAfter)); now.Before(first) && rows[0].Tries == 0 {
		return submission.Submission{}, false, nil
	}
	return rows[0], true, nil
}

// wait leaves the calendar alone until it may have something new.
func (w *worker) wait(now time.Time) {
	pause := maxAsk
	if w.waits < 8 {
		pause = min(askAfter<<w.waits/2+askAfter/2, maxAsk)
	}
	w.askAt = now.Add(jitter(w.l.pace(pause)))
}

// question asks what became of a submission.
func (w *worker) question(ctx context.Context, s submission.Submission) error {
	c := courtesy{}
	if w.of == s.ID {
		c.known = w.version
	}
	t, err := w.client.Timestamp(c.in(ctx), w.url, s.Commitment)
	if ctx.Err() != nil {
		return nil
	}
	now := w.l.now()
	if err == nil {
		w.version, w.of = c.tag, s.ID
		s.Proof, s.Height, err = answer(s, t)
	}
	var refused *otshttp.ReasonError
	switch {
	case err == nil:
		if err := w.l.store.AnswerSubmission(ctx, now, s); err != nil {
			return err
		}
		w.l.judgeSoon()
		w.waits, w.askFails = 0, 0
		if w.search == nil {
			w.search = &position{logtree.MaxEpoch + 1, 0}
		}
		w.askAt = now
		w.noteAnswer(nil)
		return nil
	case errors.Is(err, errPending), errors.As(err, &refused) && refused.Status == http.StatusNotModified:
		// A parent that gave the promises of its own calendars has nothing new.
	case errors.Is(err, otshttp.ErrNotFound):
		reason := err.Error()
		if strings.EqualFold(reason, "not found") && now.Sub(s.Created) > w.l.pace(unknownAfter) {
			w.noteAnswer(errForgotten)
			return w.l.store.DeferSubmission(ctx, s.ID, now.Add(jitter(w.l.pace(forgottenFor))))
		}
	default:
		w.askFails++
		w.askAt = now.Add(max(c.wait, w.l.backoff(w.askFails)))
		w.search = nil
		w.noteAnswer(err)
		if unusable(err) {
			// Others may be answered.
			return w.l.store.DeferSubmission(ctx, s.ID, now.Add(w.l.backoff(s.Tries+4)))
		}
		return nil
	}
	w.askFails = 0
	w.noteAnswer(nil)
	if w.search != nil {
		w.search = &position{s.Head.Epoch, s.Head.Size}
		return nil
	}
	w.waits++
	w.wait(now)
	w.askAt = later(w.askAt, now.Add(c.wait))
	return nil
}

var errForgotten = errors.New("the calendar does not know what it has promised")

// unusable says that an answer, and not the calendar, is of no use.
func unusable(err error) bool { return errors.Is(err, errTooLong) }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// jitter changes a time by up to a fifth.
func jitter(d time.Duration) time.Duration { return d*4/5 + mathrand.N(max(1, d*2/5)) }

func (w *worker) noteAnswer(err error) { w.note(&w.ask, err) }

// note keeps what is wrong with the calendar, or that nothing is.
func (w *worker) note(of *anchor.Calendar, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if of.Code == anchor.CalendarWrong && err == nil && of == &w.state {
		return // only an attestation that holds ends this
	}
	before := of.Code
	of.Code, of.Message = describe(err)
	if of.Code != before {
		if of.Since = w.l.now(); err == nil {
			w.l.log.Info("calendar state", "calendar", w.url, "code", of.Code)
		} else {
			w.l.log.Warn("calendar state", "calendar", w.url, "code", of.Code, "error", err)
		}
	}
}

// proved notes whether an attestation of the calendar was true.
func (w *worker) proved(err error) {
	w.mu.Lock()
	if err == nil && w.state.Code == anchor.CalendarWrong {
		w.state.Code, w.state.Message, w.state.Since = anchor.CalendarOK, "", w.l.now()
	}
	w.mu.Unlock()
	if err != nil {
		w.note(&w.state, err)
	}
}

// snapshot is the calendar's state: what is wrong with its promises before what is wrong with its answers. It adds how
// far the calendar was given each epoch.
func (w *worker) snapshot(sent map[int]int64) anchor.Calendar {
	w.mu.Lock()
	defer w.mu.Unlock()
	for epoch, s := range w.sent {
		sent[epoch] = max(sent[epoch], s.size)
	}
	if w.state.Code == anchor.CalendarOK && w.ask.Code != anchor.CalendarOK {
		c := w.ask
		c.Accepts, c.Accepted, c.Size = w.accepts, w.state.Accepted, w.state.Size
		return c
	}
	return w.state
}

// accepting says whether the calendar took the last head that it was given, and has not given a false answer.
func (w *worker) accepting() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state.Code == anchor.CalendarOK
}

// falseError says that an attestation contradicts the block that it names.
type falseError struct {
	height int64
	err    error
}

func (e *falseError) Error() string {
	return fmt.Sprintf("its attestation contradicts block %d: %v", e.height, e.err)
}
func (e *falseError) Unwrap() error { return e.err }

// describe names what is wrong with a calendar, and says what to do.
func describe(err error) (anchor.CalendarCode, string) {
	var refused *otshttp.ReasonError
	var wrong *falseError
	switch {
	case err == nil:
		return anchor.CalendarOK, ""
	case errors.As(err, &wrong):
		return anchor.CalendarWrong, fmt.Sprintf("It gave an attestation that contradicts block %d, so it counts for nothing until one holds. Remove it from calendars if that happens again.", wrong.height)
	case errors.Is(err, errForeign):
		return anchor.CalendarForeign, sentence(err) + "."
	case errors.Is(err, errForgotten):
		return anchor.CalendarForgot, "It does not know any more what it has promised. Other calendars cover the same entries; if it goes on, remove it from calendars."
	case errors.As(err, &refused):
		return anchor.CalendarRefuses, fmt.Sprintf("It refuses with status %d (%s). It is asked again; if that goes on, ask its operator, or remove it from calendars.", refused.Status, refused.Reason)
	case errors.Is(err, otshttp.ErrTooLarge), errors.Is(err, ots.ErrMalformed), errors.Is(err, ots.ErrLimit), errors.Is(err, ots.ErrTooDeep), errors.Is(err, ots.ErrTruncated), errors.Is(err, ots.ErrTrailing), errors.Is(err, errNoPromise), errors.Is(err, errTooLong):
		return anchor.CalendarGarbage, fmt.Sprintf("What it answers cannot be used: %v. Check that it is an OpenTimestamps calendar, or remove it from calendars.", err)
	case errors.Is(err, context.DeadlineExceeded):
		return anchor.CalendarSlow, "It did not answer in time. It is asked again, less and less often; remove it from calendars if it never does."
	}
	return anchor.CalendarDown, fmt.Sprintf("It cannot be reached: %v. Check its address and the network.", err)
}
