package publish_test

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/publish"
	"github.com/datestone/datestone/ots/printed"
)

const englishNotice = `PUBLIC TIMESTAMP NOTICE
stamps.example.org, 28 November 2026

log 3/12345 2026-11-28
1  ca97 8112 ca1b bdca  FG
2  fac2 31b3 9a23 dc4d  NR
3  a786 eff8 147c 4e72  JB
4  b980 7785 afee 48bb  9C
5  ec7e 89d4  QO

This number is the fingerprint of all
documents that stamps.example.org had received
by this date; none can be added or changed
afterwards.
How to check it:
https://stamps.example.org/publications
`

const germanNotice = `FINGERABDRUCK DER WOCHE
stamps.example.org, 28. November 2026

seed 42 2026-11-28
1  ca97 8112 ca1b bdca  FG
2  fac2 31b3 9a23 dc4d  NR
3  a786 eff8 147c 4e72  JB
4  b980 7785 afee 48bb  9C
5  0213 de56  3Z

Diese Zahl ist der Fingerabdruck von
Dokumenten, die stamps.example.org bis zu
diesem Tag hatte; später kann keines
hinzugefügt oder geändert werden.
Wie man sie prüft:
https://stamps.example.org/publications
`

func TestNotices(t *testing.T) {
	root, _ := hex.DecodeString("ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb")
	head := logtree.Head{Epoch: 3, Size: 12345, Root: [32]byte(root)}
	day := time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC)
	service := "https://stamps.example.org"
	for want, n := range map[string]publish.Notice{
		englishNotice: {Service: service, Explains: service + "/publications", Language: publish.English, Root: publish.RootOf(head, day)},
		// A root of its own is printed as well as one of the log.
		germanNotice: {
			Title: "Fingerabdruck der Woche", Service: service, Explains: service + "/publications", Language: publish.German,
			Root: printed.Root{Purpose: publish.PurposeSeed, Name: "42", Date: "2026-11-28", Hash: head.Root},
		},
	} {
		if diff := cmp.Diff(want, n.Text()); diff != "" {
			t.Error(diff)
		}
		if err := n.Check(); err != nil {
			t.Error(err)
		}
		// The lines were computed with Python's zlib, and are read back from the whole text.
		if got, err := printed.Read(want); err != nil || got != n.Root {
			t.Errorf("%+v, %v", got, err)
		}
	}
	for name, n := range map[string]publish.Notice{
		"no language":          {Service: service, Language: "fr", Root: publish.RootOf(head, day)},
		"a title like a line":  {Title: "1 0a97 8112 ca1b bdca FG", Service: service, Language: publish.English, Root: publish.RootOf(head, day)},
		"a title with a first": {Title: "log 1/2 2026-11-28", Service: service, Language: publish.English, Root: publish.RootOf(head, day)},
		"no date":              {Service: service, Language: publish.English, Root: printed.Root{Purpose: "log", Name: "1/2"}},
	} {
		if err := n.Check(); err == nil {
			t.Errorf("%s is taken:\n%s", name, n.Text())
		}
	}
	for _, m := range []time.Month{1, 3, 12} {
		n := publish.Notice{Service: service, Language: publish.German, Root: publish.RootOf(head, time.Date(2027, m, 5, 0, 0, 0, 0, time.UTC))}
		if want := map[time.Month]string{1: "5. Januar 2027", 3: "5. März 2027", 12: "5. Dezember 2027"}[m]; !strings.Contains(n.Text(), want) {
			t.Errorf("no %s in %s", want, n.Text())
		}
	}
}

func TestPeriod(t *testing.T) {
	for _, c := range []struct{ period, zone, now, at, name, next string }{
		{"weekly monday 09:00", "UTC", "2026-11-23T08:59:59Z", "2026-11-16T09:00:00Z", "2026-11-16", "2026-11-23T09:00:00Z"},
		{"weekly monday 09:00", "UTC", "2026-11-23T09:00:00Z", "2026-11-23T09:00:00Z", "2026-11-23", "2026-11-30T09:00:00Z"},
		{"Weekly Sunday 00:00", "UTC", "2026-11-28T23:59:59Z", "2026-11-22T00:00:00Z", "2026-11-22", "2026-11-29T00:00:00Z"},
		{"daily 06:30", "Europe/Berlin", "2026-11-23T05:29:00Z", "2026-11-22T05:30:00Z", "2026-11-22", "2026-11-23T05:30:00Z"},
		{"daily 06:30", "Europe/Berlin", "2026-11-23T05:30:00Z", "2026-11-23T05:30:00Z", "2026-11-23", "2026-11-24T05:30:00Z"},
		// The date is that of the zone: in Auckland it is tomorrow.
		{"daily 06:30", "Pacific/Auckland", "2026-11-22T18:00:00Z", "2026-11-22T17:30:00Z", "2026-11-23", "2026-11-23T17:30:00Z"},
		// The clocks go forward at 2 in the night of 29 March 2026, and back at 3 in that of 25 October.
		{"daily 02:30", "Europe/Berlin", "2026-03-29T12:00:00Z", "2026-03-29T01:30:00Z", "2026-03-29", "2026-03-30T00:30:00Z"},
		{"daily 02:30", "Europe/Berlin", "2026-10-25T00:29:00Z", "2026-10-24T00:30:00Z", "2026-10-24", "2026-10-25T01:30:00Z"},
		{"daily 02:30", "Europe/Berlin", "2026-10-25T01:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25", "2026-10-26T01:30:00Z"},
		{"daily 00:00", "America/Sao_Paulo", "2026-01-01T02:59:59Z", "2025-12-31T03:00:00Z", "2025-12-31", "2026-01-01T03:00:00Z"},
	} {
		p, err := publish.ParsePeriod(c.period, c.zone)
		if err != nil {
			t.Fatal(err)
		}
		now, err := time.Parse(time.RFC3339, c.now)
		if err != nil {
			t.Fatal(err)
		}
		at, name := p.Last(now)
		if got := at.UTC().Format(time.RFC3339); got != c.at || name != c.name {
			t.Errorf("%s in %s: the last before %s is %s %s, want %s %s", c.period, c.zone, c.now, got, name, c.at, c.name)
		}
		if got := p.Next(now).UTC().Format(time.RFC3339); got != c.next {
			t.Errorf("%s in %s: the next after %s is %s, want %s", c.period, c.zone, c.now, got, c.next)
		}
	}
	// Hour by hour through a year names never go back, and there is one for each day or week.
	for period, want := range map[string]int{"daily 02:30": 366, "weekly sunday 02:30": 53} {
		p, err := publish.ParsePeriod(period, "Europe/Berlin")
		if err != nil {
			t.Fatal(err)
		}
		names, last := map[string]bool{}, ""
		for now := time.Date(2026, 1, 1, 0, 15, 0, 0, time.UTC); now.Year() == 2026; now = now.Add(time.Hour) {
			at, name := p.Last(now)
			if name < last || at.After(now) || !p.Next(now).After(now) {
				t.Fatalf("%s: %s after %s; at %s, now %s, next %s", period, name, last, at, now, p.Next(now))
			}
			names[name], last = true, name
		}
		if len(names) != want {
			t.Errorf("%s: %d names, want %d", period, len(names), want)
		}
	}
	for _, bad := range [][2]string{{"", "UTC"}, {"monthly", "UTC"}, {"daily", "UTC"}, {"daily 25:00", "UTC"}, {"daily 9", "UTC"}, {"weekly 09:00", "UTC"}, {"weekly montag 09:00", "UTC"}, {"daily 09:00", "Mars/Olympus"}, {"daily 09:00", "Local"}} {
		if _, err := publish.ParsePeriod(bad[0], bad[1]); err == nil || !strings.Contains(err.Error(), "write") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestPlaces(t *testing.T) {
	now := time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC)
	good := publish.Place{Issue: "2026-11-28", Page: "12", URL: "https://paper.test/a?b=c", By: "ann"}
	if err := good.Check(now); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*publish.Place){
		"no issue":        func(p *publish.Place) { p.Issue = "" },
		"no date":         func(p *publish.Place) { p.Issue = "2026-02-30" },
		"the future":      func(p *publish.Place) { p.Issue = "2026-12-28" },
		"nowhere":         func(p *publish.Place) { p.Page, p.URL = "", "" },
		"two lines":       func(p *publish.Place) { p.Page = "1\n2" },
		"a long page":     func(p *publish.Place) { p.Page = strings.Repeat("1", 41) },
		"a script":        func(p *publish.Place) { p.URL = "javascript:alert(1)" },
		"no host":         func(p *publish.Place) { p.URL = "https:///a" },
		"a password":      func(p *publish.Place) { p.URL = "https://a:b@paper.test/" },
		"nobody":          func(p *publish.Place) { p.By = "" },
		"a right-to-left": func(p *publish.Place) { p.By = "a\u202eb" },
	} {
		p := good
		change(&p)
		if err := p.Check(now); err == nil {
			t.Errorf("%s is taken: %+v", name, p)
		}
	}
}
