package otscal

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/datestone/datestone/internal/anchor"
)

// pagePolicy allows the page its own style sheet and nothing else.
var pagePolicy = func() string {
	_, rest, _ := strings.Cut(statusHTML, "<style>")
	style, _, _ := strings.Cut(rest, "</style>")
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}()

// page is what the status page shows.
type page struct {
	Version     string
	URI         string
	TestNetwork bool
	Epoch       int
	Size        int64
	Root        string
	Targets     []targetPart
	At          string
}

// targetPart is the part of the page about one target.
type targetPart struct {
	anchor.Status
	Mood      string // good, wait or bad
	State     string // in words
	Attested  int64  // of the current epoch
	Lag       int64  // entries that wait for it
	Percent   int
	Rate      string
	LastError string // with its age
	Updated   string
	Rows      []waitingRow
	SeedRows  []waitingRow
	Print     *printedPart // of a target that is printed

	CalendarRows []calendarRow
}

// printedPart is what a target that is printed has in the place of a chain.
type printedPart struct {
	Next, Last, Confirmed, Waiting string
}

func viewPrinted(p *anchor.Printed, now time.Time) *printedPart {
	part := &printedPart{Next: p.Next.UTC().Format("2006-01-02 15:04 UTC"), Last: "none yet", Confirmed: "none yet", Waiting: "none"}
	if n := p.Last; n != nil {
		part.Last = fmt.Sprintf("%s, entries below %s of epoch %d", n.Date, grouped(n.Size), n.Epoch)
	}
	if n := p.Confirmed; n != nil {
		part.Confirmed = "issue of " + n.Issue
		if n.Page != "" {
			part.Confirmed += ", page " + n.Page
		}
		part.Confirmed += fmt.Sprintf(": entries below %s of epoch %d", grouped(n.Size), n.Epoch)
	}
	if p.Waiting > 0 && p.WaitingSince != nil {
		part.Waiting = fmt.Sprintf("%d, the oldest since %s", p.Waiting, ago(now, *p.WaitingSince))
	}
	return part
}

type calendarRow struct {
	URL, State string
}

type waitingRow struct {
	Ref, Place, Confirmations string
}

func (s *Server) view(r report, now time.Time) page {
	p := page{
		Version: s.config.Version, URI: s.config.URI, TestNetwork: r.testNetwork(),
		Epoch: r.Head.Epoch, Size: r.Head.Size, Root: hex.EncodeToString(r.Head.Root[:]),
		At: now.UTC().Format("2006-01-02 15:04:05 UTC"),
	}
	for _, t := range r.Targets {
		p.Targets = append(p.Targets, viewTarget(r, t, now))
	}
	return p
}

func viewTarget(r report, t anchor.Status, now time.Time) targetPart {
	part := targetPart{Status: t, Mood: "wait", State: strings.ReplaceAll(string(t.Code), "_", " "), Updated: ago(now, t.Updated)}
	switch {
	case t.Code == anchor.Removed:
		part.Network += " · not configured"
	case t.Code == anchor.OK:
		part.Mood, part.State = "good", "working"
	case t.Code.NeedsPerson():
		part.Mood, part.State = "bad", part.State+" – needs a person"
	}
	part.Attested, part.Lag = r.attested(t)
	if r.Head.Size > 0 {
		part.Percent = int(part.Attested * 100 / r.Head.Size)
	}
	if part.Unit == "" {
		part.Unit = "sat"
	}
	if t.Printed != nil {
		part.Print = viewPrinted(t.Printed, now)
	}
	if t.FeeRate > 0 {
		part.Rate = fmt.Sprintf("%.3g %s/vB", t.FeeRate, part.Unit)
	}
	if t.LastError != "" {
		part.LastError = fmt.Sprintf("%s (%s)", t.LastError, ago(now, t.LastErrorAt))
	}
	part.Rows = viewWaiting(t.Waiting, t.Confirmations)
	if t.Seeds != nil {
		part.SeedRows = viewWaiting(t.Seeds.Waiting, t.Confirmations)
	}
	for _, c := range t.Calendars {
		part.CalendarRows = append(part.CalendarRows, calendarRow{c.URL, viewCalendar(c, now)})
	}
	return part
}

func viewWaiting(all []anchor.Waiting, confirmations int) (rows []waitingRow) {
	for _, w := range all {
		row := waitingRow{Ref: w.Ref, Place: "not in a block yet", Confirmations: fmt.Sprintf("0 of %d", confirmations)}
		if w.Height > 0 {
			row.Place = "block " + grouped(w.Height)
			row.Confirmations = fmt.Sprintf("%d of %d", w.Confirmations, confirmations)
		}
		rows = append(rows, row)
	}
	return rows
}

// viewCalendar says in words how another calendar is.
func viewCalendar(c anchor.Calendar, now time.Time) string {
	state := "working"
	switch {
	case c.Code != anchor.CalendarOK:
		state = string(c.Code) + ": " + c.Message
	case !c.Accepts:
		state = "asked for what others gave it"
	}
	if c.Accepted.IsZero() {
		return state
	}
	return fmt.Sprintf("%s · accepted %s entries %s", state, grouped(c.Size), ago(now, c.Accepted))
}
