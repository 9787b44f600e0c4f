package anchor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/datestone/datestone/internal/logtree"
)

// What an attempt carries.
const (
	PurposeLog  = "log"  // heads of the log
	PurposeSeed = "seed" // a seed: its head has the seed's number as its epoch
)

// Seeds knows what a target carries beside heads of the log. store.DB is one.
type Seeds interface {
	// UnattestedSeeds are up to limit seeds that are made and that no attestation of the target in its best chain is of,
	// oldest first.
	UnattestedSeeds(ctx context.Context, target string, limit int) ([]logtree.Head, error)
}

// Seeded is what the status of a target that carries seeds has beside the others'.
type Seeded struct {
	Queued   int       `json:"queued"`            // seeds that are made and in no block, or not seen in print; SeedsShown may be more
	Oldest   int       `json:"oldest,omitempty"`  // number of the oldest of them
	Waiting  []Waiting `json:"waiting,omitempty"` // transactions without the required confirmations, oldest first
	FeesDay  int64     `json:"fees_day"`          // of the target's, what seeds cost
	FeesWeek int64     `json:"fees_week"`
	Code     Code      `json:"code"`              // what keeps them from going out, or OK
	Message  string    `json:"message,omitempty"` // a sentence; what to do
}

// SeedsShown bounds how many seeds a status counts.
const SeedsShown = 100

func (s *Seeded) same(t *Seeded) bool {
	if s == nil || t == nil {
		return s == t
	}
	return s.Queued == t.Queued && s.Oldest == t.Oldest && slices.Equal(s.Waiting, t.Waiting) &&
		s.FeesDay == t.FeesDay && s.FeesWeek == t.FeesWeek && s.Code == t.Code && s.Message == t.Message
}

// purposes are those of what the target carries, in the order in which they are paid for.
func (l *Loop) purposes() []string {
	if l.seeds == nil {
		return []string{PurposeLog}
	}
	return []string{PurposeLog, PurposeSeed}
}

// nextSeed is the oldest seed that is in no block.
func (l *Loop) nextSeed(ctx context.Context) (logtree.Head, bool, error) {
	heads, err := l.seeds.UnattestedSeeds(ctx, l.name, 1)
	if err != nil || len(heads) == 0 {
		return logtree.Head{}, false, err
	}
	return heads[0], true, nil
}

// describeSeeds adds to a status what is known of seeds after a step that ended with err.
func (l *Loop) describeSeeds(ctx context.Context, s *Status, err error) error {
	if l.seeds == nil {
		s.Seeds = nil
		return nil
	}
	heads, failed := l.seeds.UnattestedSeeds(ctx, l.name, SeedsShown)
	if failed != nil {
		return failed
	}
	if s.Seeds == nil && len(heads) == 0 {
		return nil // none was ever made, as far as it matters
	}
	if s.Seeds == nil {
		s.Seeds = &Seeded{}
	}
	s.Seeds.Queued, s.Seeds.Code = len(heads), OK
	if len(heads) > 0 {
		s.Seeds.Oldest = heads[0].Epoch
	}
	for _, f := range faults(err) {
		if f.Purpose == "" || f.Purpose == PurposeSeed {
			s.Seeds.Code, s.Seeds.Message = f.Code, f.Message
			break
		}
	}
	return nil
}

// Naming is how a log names what was carried.
func Naming(purpose string, h logtree.Head) slog.Attr {
	if purpose == PurposeSeed {
		return slog.Group("", "seed", h.Epoch, "hashes", h.Size)
	}
	return slog.Group("", "epoch", h.Epoch, "size", h.Size)
}

// About says of a fault that it keeps from going out what has this purpose alone.
func About(purpose string, err error) error {
	var f *Fault
	if !errors.As(err, &f) {
		return err
	}
	g := *f
	g.Purpose = purpose
	if f.Err == nil && err != error(f) {
		g.Err = err
	}
	return &g
}

// stops says whether an error keeps what has this purpose from going out.
func stops(err error, purpose string) bool {
	switch e := err.(type) {
	case nil:
		return false
	case interface{ Unwrap() []error }:
		return slices.ContainsFunc(e.Unwrap(), func(err error) bool { return stops(err, purpose) })
	case *Fault:
		return e.Purpose == "" || e.Purpose == purpose
	}
	return true
}

// faults are the named states in an error that was joined of several.
func faults(err error) []*Fault {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []*Fault
		for _, err := range joined.Unwrap() {
			all = append(all, faults(err)...)
		}
		return all
	}
	var f *Fault
	if errors.As(err, &f) {
		return []*Fault{f}
	}
	return nil
}

// sentences say to people what an error means, each thing once.
func sentences(err error) string {
	var all []string
	said := make(map[string]bool)
	for _, f := range faults(err) {
		if said[f.Message] {
			continue
		}
		said[f.Message] = true
		if f.Purpose == PurposeSeed {
			all = append(all, fmt.Sprintf("Seeds wait: %s", f.Message))
		} else {
			all = append(all, f.Message)
		}
	}
	if len(all) == 0 {
		return "The database cannot be read or written; look into the log."
	}
	return strings.Join(all, " ")
}
