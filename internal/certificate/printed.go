package certificate

import (
	_ "embed"
	"fmt"
	"net/http"

	"github.com/datestone/datestone/internal/page"
	"github.com/datestone/datestone/internal/publish"
)

// PrintedText says where the first root that the fingerprint is in appeared, or is empty.
func (c *Certificate) PrintedText() string {
	if c.Printed == nil {
		return ""
	}
	return page.Visible(c.Printed.Where())
}

// provenInPrint is what follows from the paper.
func (c *Certificate) provenInPrint() string {
	return fmt.Sprintf("The fingerprint existed before this was printed: %s. The number there depends on it, by a chain of computations that anybody can repeat; the ZIP file of this certificate has each step.", c.PrintedText())
}

// publicationFiles are what the evidence has of the printed root: how to check it in words, and for a program.
func (c *Certificate) publicationFiles() ([]file, error) {
	if c.Printed == nil {
		return nil, nil
	}
	steps := c.FileName("-publication.json")
	words, err := c.Printed.Words(steps)
	if err != nil {
		return nil, err
	}
	object, err := c.Printed.JSON()
	return []file{{c.FileName("-publication.txt"), []byte(words)}, {steps, object}}, err
}

// file is one in the evidence.
type file struct {
	name string
	body []byte
}

// first is the publication of the smallest head, or nil.
func first(all []publish.Shown) *publish.Shown {
	if len(all) == 0 {
		return nil
	}
	return &all[0]
}

//go:embed publications.html
var publicationsText string

var publicationsPage = page.Parse("publications", publicationsText, funcs)

// publicationsPath is where printed roots are explained and listed.
const publicationsPath = "/publications"

// noticesShown is how many notices the page lists, the newest first.
const noticesShown = 30

// printedNotice is a notice on the page.
type printedNotice struct {
	Date, Paper, Where string
	Lines              []string
}

func (s *Server) getPublications(w http.ResponseWriter, r *http.Request) error {
	if err := s.admit(w, r); err != nil {
		return err
	}
	all, err := s.config.Store.Publications(r.Context(), "", noticesShown)
	if err != nil {
		return err
	}
	view := struct {
		Title       string
		TestNetwork bool
		Notices     []printedNotice
	}{Title: "Printed roots"}
	if view.TestNetwork, err = s.testNetwork(r.Context()); err != nil {
		return err
	}
	for _, p := range all {
		n := printedNotice{Date: p.Notice.Root.Date, Paper: page.Visible(p.Paper), Where: "Where it appeared is not confirmed yet.", Lines: p.Notice.Root.Lines()}
		if p.Place != nil {
			n.Where = page.Visible(publish.Shown{Publication: p}.Where())
		}
		view.Notices = append(view.Notices, n)
	}
	body, err := page.Render(publicationsPage, view)
	if err != nil {
		return err
	}
	page.Secure(w.Header())
	return page.Serve(w, r, body)
}
