package otshttp

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/datestone/datestone/ots"
)

// MaxRequests bounds the requests of one upgrade; a proof can hold thousands of
// pending attestations.
const MaxRequests = 64

const maxParallel = 8

var (
	// ErrNotAllowed is the Err of an answer whose calendar is not on the allow-list.
	ErrNotAllowed = errors.New("the calendar is not on the allow-list")
	// ErrTooMany is the Err of an answer that was not asked for: see [MaxRequests].
	ErrTooMany = fmt.Errorf("more than %d pending attestations; not asked", MaxRequests)
)

// Answer is what became of one pending attestation at one calendar.
type Answer struct {
	URI        string // as the pending attestation has it
	Calendar   string // the calendar asked: URI, unless others were named
	Commitment []byte // the message that the attestation stands on
	// Timestamp is what the calendar gave and the proof took; nil when Err is set.
	Timestamp *ots.Timestamp
	Err       error
	// Changed says that the proof did not hold all of it before.
	Changed bool
}

// Upgrade is a way to complete proofs: it asks the calendars of pending attestations
// for what has been added since. It is safe for concurrent use, each call on a proof of
// its own, as long as its fields are left alone.
type Upgrade struct {
	Client *Client
	// Allowed says which calendars named by a proof may be asked.
	Allowed *Allowlist
	// Calendars, when not empty, are asked for every pending attestation, instead of
	// the calendar that it names and whatever Allowed says.
	Calendars []string
	// Remember is how long an answer is used again for the same question. The proofs
	// of one tree share their commitments, so thousands of them cost one request. 0
	// means not at all.
	Remember time.Duration

	mu    sync.Mutex // guards known
	known map[question]*remembered
}

type question struct{ calendar, commitment string }

// remembered is an answer, or one on its way: the rest is set when done is closed.
type remembered struct {
	done chan struct{}
	at   time.Time
	t    *ots.Timestamp
	err  error
}

// maxKnown bounds the answers that are remembered.
const maxKnown = 4096

// Complete says whether a timestamp holds a Bitcoin attestation. That it is true is
// another question: verify it.
func Complete(t *ots.Timestamp) bool {
	for _, a := range t.Attestations() {
		if a.Kind() == ots.KindBitcoin {
			return true
		}
	}
	for _, b := range t.Branches() {
		if Complete(b.Timestamp) {
			return true
		}
	}
	return false
}

// File upgrades a proof in place. See [Upgrade.Timestamp].
func (u *Upgrade) File(ctx context.Context, f *ots.File) ([]Answer, error) {
	return u.Timestamp(ctx, f.Digest, f.Timestamp, func(t *ots.Timestamp) error {
		_, err := (&ots.File{HashOp: f.HashOp, Digest: f.Digest, Timestamp: t}).AppendBinary(nil)
		return err
	})
}

// Timestamp upgrades t, which continues from msg, in place. It does nothing when t is
// complete already. Every node with pending attestations is asked for, and what comes
// is merged there; pending attestations that come with it are followed as well, until
// t is complete or nothing new comes. A calendar's failure is in its answer; an error
// means that t itself cannot be worked on.
//
// fits, when set, judges the timestamp as it would be with a reply merged; a reply
// that makes it fail is left out. The format's limit on depth is the case in point.
func (u *Upgrade) Timestamp(ctx context.Context, msg []byte, t *ots.Timestamp, fits func(*ots.Timestamp) error) ([]Answer, error) {
	var (
		answers []Answer
		asked   = make(map[string]bool)
		sent    int
	)
	for !Complete(t) {
		jobs, err := u.jobs(msg, t, asked, &sent)
		if err != nil {
			return answers, err
		}
		if len(jobs) == 0 {
			break
		}
		u.ask(ctx, jobs)
		for i := range jobs {
			if jobs[i].Err == nil {
				jobs[i].Changed, jobs[i].Err = merge(msg, t, &jobs[i], fits)
			}
			if jobs[i].Err != nil {
				jobs[i].Timestamp = nil
			}
		}
		answers = append(answers, jobs...)
	}
	return answers, nil
}

// jobs lists what was not asked before, in the order of the tree.
func (u *Upgrade) jobs(msg []byte, t *ots.Timestamp, asked map[string]bool, sent *int) ([]Answer, error) {
	var jobs []Answer
	add := func(uri, calendar string, commitment []byte, err error) {
		key := calendar + "\x00" + string(commitment)
		if asked[key] || *sent > MaxRequests {
			return
		}
		asked[key] = true
		if err == nil {
			if *sent++; *sent > MaxRequests {
				err = ErrTooMany
			}
		}
		jobs = append(jobs, Answer{URI: uri, Calendar: calendar, Commitment: append([]byte(nil), commitment...), Err: err})
	}
	err := t.Walk(msg, func(n *ots.Timestamp, m []byte) error {
		for _, a := range n.Attestations() {
			if a.Kind() != ots.KindPending {
				continue
			}
			switch {
			case len(u.Calendars) > 0:
				for _, cal := range u.Calendars {
					add(a.URI(), cal, m, nil)
				}
			case u.Allowed.Allows(a.URI()):
				add(a.URI(), a.URI(), m, nil)
			case len(jobs) <= MaxRequests:
				add(a.URI(), a.URI(), m, ErrNotAllowed)
			}
		}
		return nil
	})
	return jobs, err
}

func (u *Upgrade) ask(ctx context.Context, jobs []Answer) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, maxParallel)
	for i := range jobs {
		if jobs[i].Err != nil {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			jobs[i].Timestamp, jobs[i].Err = u.answer(ctx, jobs[i].Calendar, jobs[i].Commitment)
		})
	}
	wg.Wait()
}

// answer asks a calendar, or remembers what it said.
func (u *Upgrade) answer(ctx context.Context, calendar string, commitment []byte) (*ots.Timestamp, error) {
	client := u.Client
	if client == nil {
		client = &Client{}
	}
	if u.Remember <= 0 {
		return client.Timestamp(ctx, calendar, commitment)
	}
	q := question{calendar, string(commitment)}
	u.mu.Lock()
	if r, ok := u.known[q]; ok && (r.at.IsZero() || time.Since(r.at) < u.Remember) {
		u.mu.Unlock()
		select {
		case <-r.done:
			return r.t, r.err
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	if u.known == nil || len(u.known) >= maxKnown {
		u.known = make(map[question]*remembered)
	}
	r := &remembered{done: make(chan struct{})}
	u.known[q] = r
	u.mu.Unlock()

	t, err := client.Timestamp(ctx, calendar, commitment)
	u.mu.Lock()
	r.t, r.err, r.at = t, err, time.Now()
	u.mu.Unlock()
	close(r.done)
	return t, err
}

// merge adds a reply to every node that has its commitment. It tries on a copy first,
// for a merge cannot be taken back.
func merge(msg []byte, t *ots.Timestamp, a *Answer, fits func(*ots.Timestamp) error) (changed bool, err error) {
	before, err := t.AppendBinary(nil)
	if err != nil {
		return false, fmt.Errorf("serializing the proof: %w", err)
	}
	trial := t.Clone()
	if err := mergeAt(msg, trial, a); err != nil {
		return false, err
	}
	if fits != nil {
		if err := fits(trial); err != nil {
			return false, fmt.Errorf("the calendar's reply does not fit in the proof: %w", err)
		}
	}
	after, err := trial.AppendBinary(nil)
	if err != nil {
		return false, fmt.Errorf("the calendar's reply does not fit in the proof: %w", err)
	}
	if string(after) == string(before) {
		return false, nil
	}
	return true, mergeAt(msg, t, a)
}

func mergeAt(msg []byte, t *ots.Timestamp, a *Answer) error {
	err := t.Walk(msg, func(n *ots.Timestamp, m []byte) error {
		if string(m) != string(a.Commitment) {
			return nil
		}
		for _, att := range n.Attestations() {
			if att.Kind() == ots.KindPending && att.URI() == a.URI {
				n.Merge(a.Timestamp)
				return nil
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("walking the proof: %w", err)
	}
	return nil
}
