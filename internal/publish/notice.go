package publish

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/datestone/datestone/ots/printed"
)

// Language is that of the words around a root.
type Language string

const (
	English Language = "en"
	German  Language = "de"
)

// words are what a notice says in a language.
type words struct {
	title  string
	date   func(time.Time) string
	log    string // what a root of the log shows; the service's host is put in
	other  string // what any other root shows
	how    string
	letter string // what an e-mail says before the notice
}

var months = [...]string{"Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober", "November", "Dezember"}

var languages = map[Language]words{
	English: {
		title:  "Public timestamp notice",
		date:   func(t time.Time) string { return t.Format("2 January 2006") },
		log:    "This number is the fingerprint of all documents that %s had received by this date; none can be added or changed afterwards.",
		other:  "This number is the fingerprint of documents that %s had by this date; none can be added or changed afterwards.",
		how:    "How to check it:",
		letter: "Please print the notice below as it is, in your next issue. It is attached as a PDF and as a text as well. The letters and digits have to be printed without any change; each line ends in two check characters.",
	},
	German: {
		title:  "Öffentliche Zeitstempel-Anzeige",
		date:   func(t time.Time) string { return fmt.Sprintf("%d. %s %d", t.Day(), months[t.Month()-1], t.Year()) },
		log:    "Diese Zahl ist der Fingerabdruck aller Dokumente, die %s bis zu diesem Tag erreicht haben; später kann keines hinzugefügt oder geändert werden.",
		other:  "Diese Zahl ist der Fingerabdruck von Dokumenten, die %s bis zu diesem Tag hatte; später kann keines hinzugefügt oder geändert werden.",
		how:    "Wie man sie prüft:",
		letter: "Bitte drucken Sie die folgende Anzeige unverändert in Ihrer nächsten Ausgabe. Sie ist auch als PDF und als Text angehängt. Buchstaben und Ziffern müssen genau so gedruckt werden; jede Zeile endet mit zwei Prüfzeichen.",
	},
}

// Known says whether notices are written in the language.
func (l Language) Known() bool { _, ok := languages[l]; return ok }

// Notice is what is printed.
type Notice struct {
	Title    string // empty for the language's own
	Service  string // its address, https://stamps.example.org
	Explains string // the address where the notice is explained
	Language Language
	Root     printed.Root
}

// column is how many characters a line of the text has at most.
const column = 46

func (n Notice) words() words { return languages[n.Language] }

// Heading is the notice's title.
func (n Notice) Heading() string {
	if n.Title != "" {
		return n.Title
	}
	return n.words().title
}

// Host is how the service is called in a notice.
func (n Notice) Host() string {
	if u, err := url.Parse(n.Service); err == nil && u.Host != "" {
		return u.Host
	}
	return n.Service
}

// Day is the date in words, with the service.
func (n Notice) Day() string {
	t, err := time.Parse(time.DateOnly, n.Root.Date)
	if err != nil {
		return n.Host()
	}
	return n.Host() + ", " + n.words().date(t)
}

// Sentence says what the number shows.
func (n Notice) Sentence() string {
	w := n.words()
	if n.Root.Purpose == PurposeLog {
		return fmt.Sprintf(w.log, n.Host())
	}
	return fmt.Sprintf(w.other, n.Host())
}

// How leads to the explanation.
func (n Notice) How() string { return n.words().how }

// Letter asks a publisher to print the notice.
func (n Notice) Letter() string { return n.words().letter }

// Text is the notice in lines of a narrow column.
func (n Notice) Text() string {
	var b strings.Builder
	line := func(text string) { b.WriteString(text + "\n") }
	for _, l := range wrap(strings.ToUpper(n.Heading())) {
		line(l)
	}
	for _, l := range wrap(n.Day()) {
		line(l)
	}
	line("")
	for _, l := range n.Root.Lines() {
		line(l)
	}
	line("")
	for _, l := range wrap(n.Sentence()) {
		line(l)
	}
	line(n.How())
	line(n.Explains)
	return b.String()
}

// Check accepts a notice whose text reads back as its root.
func (n Notice) Check() error {
	if !n.Language.Known() {
		return fmt.Errorf(`notices are written in "en" and "de", and not in %q`, n.Language)
	}
	if err := n.Root.Check(); err != nil {
		return err
	}
	r, err := printed.Read(n.Text())
	if err == nil && r != n.Root {
		err = fmt.Errorf("it reads as %v", r.Lines())
	}
	if err != nil {
		return fmt.Errorf("the notice cannot be read back, choose another title: %w", err)
	}
	return nil
}

// wrap breaks a text at spaces. A word that is longer than a line has one of its own.
func wrap(text string) (all []string) {
	current := ""
	for _, word := range strings.Fields(text) {
		if current != "" && len([]rune(current))+1+len([]rune(word)) > column {
			all = append(all, current)
			current = ""
		}
		if current != "" {
			current += " "
		}
		current += word
	}
	return append(all, current)
}
