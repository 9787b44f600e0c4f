package certificate

import (
	"context"
	_ "embed"
	"html/template"
	"net/http"
	"slices"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/page"
	"github.com/datestone/datestone/internal/qr"
)

//go:embed parts.html
var partsText string

//go:embed certificate.html
var certificateText string

//go:embed verdict.html
var verdictText string

//go:embed none.html
var noneText string

//go:embed form.html
var formText string

var funcs = template.FuncMap{"moment": moment, "size": Size}

var (
	certificatePage = page.Parse("certificate", partsText+certificateText, funcs)
	verdictPage     = page.Parse("verdict", partsText+verdictText, funcs)
	nonePage        = page.Parse("none", noneText, funcs)
	formPage        = page.Parse("form", formText, funcs)
)

// shown is a certificate on a page.
type shown struct {
	Title string
	*Certificate
	Logo    string
	Picture string // the address of the thumbnail, or empty
	QR      string // a path in an SVG
	QRSize  int
	Asked   string // the digest that was asked for, or what was typed in its place; empty without
}

// Other says that a digest was asked for and is not that of the certificate.
func (s shown) Other() bool { return s.Asked != "" && s.Asked != s.SHA256 }

// Mood is how the status looks.
func (s shown) Mood() string {
	switch {
	case s.Status == Withdrawn:
		return "bad"
	case s.Status == Confirmed && !s.TestNetwork:
		return "good"
	}
	return "wait"
}

// Link leads from a page under /cert/ or /verify/ to a form of the certificate, wherever a proxy has put the pages.
func (s shown) Link(suffix string) string { return ".." + s.path(suffix) }

func show(c *Certificate, title, asked string) (shown, string, error) {
	view := shown{Title: title, Certificate: c, Asked: asked}
	code, err := qr.Encode(c.Address())
	if err != nil {
		return view, "", err
	}
	view.QR, view.QRSize = code.Path(), len(code)+2*qr.Quiet
	var source string
	view.Logo, source = c.logo()
	if c.Thumbnail != nil {
		view.Picture = view.Link("/thumbnail")
	}
	return view, source, nil
}

func (s *Server) writeShown(w http.ResponseWriter, r *http.Request, t *template.Template, c *Certificate, title, asked string) error {
	view, logo, err := show(c, title, asked)
	if err != nil {
		return err
	}
	body, err := page.Render(t, view)
	if err != nil {
		return err
	}
	if logo != "" {
		page.Secure(w.Header(), logo)
	} else {
		page.Secure(w.Header())
	}
	return page.Serve(w, r, body)
}

func (s *Server) writeCertificate(w http.ResponseWriter, r *http.Request, c *Certificate, asked string) error {
	return s.writeShown(w, r, certificatePage, c, "Certificate "+c.ID, asked)
}

func (s *Server) writeVerdict(w http.ResponseWriter, r *http.Request, c *Certificate) error {
	return s.writeShown(w, r, verdictPage, c, "There is a certificate of this file", c.SHA256)
}

// none is the page of what does not exist.
type none struct {
	Title       string
	TestNetwork bool
	ID          string // of a certificate
	SHA256      string
}

func (s *Server) writeNone(w http.ResponseWriter, r *http.Request, n none) (err error) {
	if n.TestNetwork, err = s.testNetwork(r.Context()); err != nil {
		return err
	}
	body, err := page.Render(nonePage, n)
	if err != nil {
		return err
	}
	return page.Write(w, r, http.StatusNotFound, body)
}

// form is where to type an id or a digest.
type form struct {
	Title       string
	TestNetwork bool
	ID, SHA256  string
	Wrong       bool
}

func (s *Server) writeForm(w http.ResponseWriter, r *http.Request, f form) (err error) {
	if f.TestNetwork, err = s.testNetwork(r.Context()); err != nil {
		return err
	}
	body, err := page.Render(formPage, f)
	if err != nil {
		return err
	}
	return page.Write(w, r, http.StatusOK, body)
}

// testNetwork says whether a target is on a network without value.
func (s *Server) testNetwork(ctx context.Context) (bool, error) {
	targets, err := s.config.Store.Targets(ctx)
	return anyTest(targets), err
}

func anyTest(targets []anchor.Status) bool {
	return slices.ContainsFunc(targets, func(t anchor.Status) bool {
		return t.TestNetwork && t.Kind != logtree.Ethereum && t.Code != anchor.Removed
	})
}
