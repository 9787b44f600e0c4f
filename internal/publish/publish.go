// Package publish is about roots that are printed, in a newspaper above all: when the newest root of the log becomes a
// notice, what the notice says, that it reaches the publisher, and how a person leads from a file to the printed root.
//
// A publication is no attestation: no proof format has one. It is a fact beside the proof, once a person has confirmed
// where it appeared.
package publish

import (
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/seed"
	"github.com/datestone/datestone/ots/printed"
)

// What a printed root is of.
const (
	PurposeLog  = "log"  // a head of the log
	PurposeSeed = "seed" // the tree of a seed
)

// Publication is a notice that is to be printed, or was. It is stored before anybody hears of it.
type Publication struct {
	ID      int64
	UID     account.ID // names it in mail and requests
	Target  string
	Paper   string // what the paper is called
	Period  string // unique with the target and the root's purpose; of a seed its id
	Notice  Notice
	Head    logtree.Head // of the log, or a seed's
	Text    string       // the notice as it is printed
	Created time.Time

	Deliveries []Delivery
	Place      *Place // nil until it is confirmed
}

// RootOf is what is printed of a head.
func RootOf(h logtree.Head, day time.Time) printed.Root {
	return printed.Root{Purpose: PurposeLog, Name: fmt.Sprintf("%d/%d", h.Epoch, h.Size), Date: day.Format(time.DateOnly), Hash: h.Root}
}

// seedRoot is what is printed of a seed.
func seedRoot(s seed.Seed, day time.Time) printed.Root {
	return printed.Root{Purpose: PurposeSeed, Name: fmt.Sprint(s.Number), Date: day.Format(time.DateOnly), Hash: s.Root}
}

// Channel is a way to the publisher.
type Channel string

const (
	Mail   Channel = "mail"
	Folder Channel = "folder"
	URL    Channel = "url"
)

// State is how far a delivery has come.
type State int

const (
	// Due: to be tried at Delivery.Due.
	Due State = iota
	// Delivered: the publisher's side took it.
	Delivered
	// Parked: given up until somebody asks for another try.
	Parked
	// Dropped: its channel is not configured any more.
	Dropped
)

func (s State) String() string { return [...]string{"due", "delivered", "parked", "dropped"}[s] }

// Delivery is a publication on its way by one channel.
type Delivery struct {
	Channel Channel
	State   State
	Due     time.Time
	Tries   int       // that were begun; one is counted before it is made
	Tried   time.Time // zero before the first
	Code    anchor.Code
	Error   string
}

// Place is where a publication appeared.
type Place struct {
	Issue string // the date of the issue, 2026-11-28
	Page  string
	URL   string
	By    string // who confirmed it
	At    time.Time
}

const (
	maxPage = 40
	maxURL  = 2048
	maxBy   = 100
)

// Check accepts a place that a reader can look up.
func (p Place) Check(now time.Time) error {
	issue, err := time.Parse(time.DateOnly, p.Issue)
	switch {
	case err != nil:
		return fmt.Errorf("the issue is %q: write its date, as in --issue 2026-11-28", p.Issue)
	case issue.After(now.AddDate(0, 0, 1)):
		return fmt.Errorf("the issue of %s has not appeared yet: confirm it when it is printed", p.Issue)
	case !plain(p.Page, maxPage):
		return fmt.Errorf("the page is %q: write at most %d characters in one line", p.Page, maxPage)
	case p.Page == "" && p.URL == "":
		return fmt.Errorf("say where in the issue of %s it is: --page 12, or --url with the address of the page, or both", p.Issue)
	case p.By == "" || !plain(p.By, maxBy):
		return fmt.Errorf("who confirms it is %q: write a name of at most %d characters in one line, as in --by ann", p.By, maxBy)
	}
	if p.URL != "" {
		u, err := url.Parse(p.URL)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || len(p.URL) > maxURL || !plain(p.URL, maxURL) {
			return fmt.Errorf("the address is %.100q: write one that begins with https://, of at most %d bytes", p.URL, maxURL)
		}
	}
	return nil
}

// plain says whether a text is one short line that shows all that it has.
func plain(text string, most int) bool {
	return len(text) <= most && strings.TrimSpace(text) == text && !strings.ContainsFunc(text, func(r rune) bool {
		return !unicode.IsPrint(r) || r == unicode.ReplacementChar
	})
}
