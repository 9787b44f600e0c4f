package pages

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/compat/originstamp/proof"
	"github.com/datestone/datestone/internal/httpkit"
	"github.com/datestone/datestone/internal/page"
	"github.com/datestone/datestone/internal/seed"
)

//go:embed hash.html
var hashText string

//go:embed none.html
var noneText string

var funcs = template.FuncMap{
	"moment": moment,
	"iso":    func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
}

var (
	hashPage = page.Parse("hash", hashText, funcs)
	nonePage = page.Parse("none", noneText, funcs)
)

func moment(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04:05 UTC") }

// shown is a submitted hash on a page.
type shown struct {
	Title       string
	TestNetwork bool
	Hash        string
	Created     time.Time
	Comment     string // empty where it is not to be shown
	Seeds       []shownSeed
	// Up leads to the root of the pages.
	Up string
	// Preprint is the UUID that the page was asked for by, or empty.
	Preprint string
	Address  string
	Search   bool // there is a search of comments
}

// shownSeed is how far the hash is in a currency.
type shownSeed struct {
	ID             int
	Name           string
	Mood           string
	Headline, Text string
	Closes         time.Time // zero once it is closed
	Where          string    // what Ref is
	Ref, Root      string
	Time           time.Time // zero until it is proven
	Final          bool
}

// final are the seeds that are.
func (s shown) final() (all []shownSeed) {
	return slices.DeleteFunc(slices.Clone(s.Seeds), func(s shownSeed) bool { return !s.Final })
}

// Mood is how the whole looks.
func (s shown) Mood() string {
	if len(s.final()) > 0 && !s.TestNetwork {
		return "good"
	}
	return "wait"
}

// Headline says in a line what the hash is worth.
func (s shown) Headline() string {
	all := s.final()
	if len(all) == 0 {
		return "Not tamper-proof yet"
	}
	first := slices.MinFunc(all, func(a, b shownSeed) int { return a.Time.Compare(b.Time) })
	if s.TestNetwork {
		return "A test: in " + first.Name + ", on a network without value"
	}
	return "This hash existed by " + first.Time.UTC().Format("2 January 2006")
}

// Lead explains the headline.
func (s shown) Lead() string {
	switch len(s.final()) {
	case 0:
		return "The service has the hash. It becomes a proof that holds without the service once one of the currencies below says so."
	case len(s.Seeds):
		return "The proofs below hold without this service, whatever becomes of it."
	}
	return "The proofs below that are tamper-proof hold without this service, whatever becomes of it. The others are on their way."
}

// describe is a seed in words.
func describe(state seed.State, c seed.Currency) shownSeed {
	const newspaper = 100 // in every version of OriginStamp's API
	printed := c.ID == newspaper
	s := shownSeed{ID: c.ID, Name: proof.CurrencyName(c), Mood: "wait", Where: "Transaction"}
	if printed {
		s.Where = "Issue"
	}
	switch state.Status {
	case seed.Queued:
		s.Headline = "Waiting"
		s.Text = "It is closed to more hashes, and goes out next."
		if state.Before == 0 {
			s.Closes = state.Closes
			s.Text = "Hashes are being collected, and go out together."
		}
	case seed.Sent:
		s.Headline, s.Text = "Sent", "A transaction carries it, which no block has yet."
		if printed {
			s.Text = "A notice carries it, and has not been printed yet."
		}
	case seed.Mined:
		s.Headline, s.Text = "In a block", "The block is too young to count: it may still be replaced."
		if printed {
			s.Headline, s.Text = "Printed", "Where it was printed is not confirmed yet."
		}
	default:
		s.Headline, s.Text, s.Mood, s.Final = "Tamper-proof", "The hash existed when the block was made.", "good", true
		if printed {
			s.Text = "The hash existed before the issue was printed."
		}
		s.Time = state.Time
	}
	if state.Status >= seed.Sent {
		s.Root = hex.EncodeToString(state.Root[:])
	}
	if state.Status >= seed.Mined {
		s.Ref = state.Ref
	}
	return s
}

// show is what a page says of a submitted hash.
func (s *Server) show(ctx context.Context, sub seed.Submitted, up string) (shown, error) {
	view := shown{Title: "Timestamp", Hash: hex.EncodeToString(sub.Hash[:]), Created: sub.Created, Up: up, Search: s.config.Comments}
	view.Address = s.config.URI + hashPrefix + view.Hash
	if s.config.Comments {
		view.Comment = page.Visible(sub.Comment)
	}
	states, err := s.config.Store.SeedStates(ctx, sub.Number)
	if err != nil {
		return view, err
	}
	for _, state := range states {
		if c, ok := s.currency(func(c seed.Currency) bool { return c.Target == state.Target }); ok {
			view.Seeds = append(view.Seeds, describe(state, c))
		}
	}
	slices.SortFunc(view.Seeds, func(a, b shownSeed) int { return cmp.Compare(a.ID, b.ID) })
	view.TestNetwork, err = s.testNetwork(ctx)
	return view, err
}

func (s *Server) currency(is func(seed.Currency) bool) (seed.Currency, bool) {
	i := slices.IndexFunc(s.config.Currencies, is)
	if i < 0 {
		return seed.Currency{}, false
	}
	return s.config.Currencies[i], true
}

var hashPath = regexp.MustCompile(`^([0-9A-Fa-f]{64})(|\.ots|/([0-9]{1,9})\.(xml|pdf))$`)

func (s *Server) getHash(w http.ResponseWriter, r *http.Request) error {
	parts := hashPath.FindStringSubmatch(r.URL.Path[len(hashPrefix):])
	if parts == nil {
		return errMissing()
	}
	if lower := strings.ToLower(parts[1]); lower != parts[1] {
		return redirect(w, strings.Repeat("../", strings.Count(parts[2], "/"))+lower+parts[2])
	}
	if err := s.admit(r, &s.lookupSites, lookupsPerSite); err != nil {
		return err
	}
	hash, _ := hex.DecodeString(parts[1])
	sub, err := s.config.Store.Submitted(r.Context(), [32]byte(hash))
	if errors.Is(err, seed.ErrUnknown) {
		return s.writeNone(w, r, http.StatusNotFound, none{Title: "This hash was not submitted", Hash: parts[1]})
	} else if err != nil {
		return err
	}
	switch parts[2] {
	case "":
		view, err := s.show(r.Context(), sub, "../")
		if err != nil {
			return err
		}
		return write(w, r, hashPage, view)
	case ".ots":
		return s.writeOTS(w, r, sub)
	}
	id, err := strconv.Atoi(parts[3])
	if err != nil {
		return errMissing()
	}
	return s.writeProof(w, r, sub, id, parts[4])
}

// getPreprint shows the page of a UUID. Before anything was submitted under it the page is there, and says so: it may be
// printed already.
func (s *Server) getPreprint(w http.ResponseWriter, r *http.Request) error {
	text := r.URL.Path[len(preprintPrefix):]
	id, err := account.ParseID(text)
	if err != nil {
		return errMissing()
	}
	if id.String() != text {
		return redirect(w, id.String())
	}
	if err := s.admit(r, &s.lookupSites, lookupsPerSite); err != nil {
		return err
	}
	sub, err := s.config.Store.PreprintOf(r.Context(), id)
	if errors.Is(err, seed.ErrUnknown) {
		return s.writeNone(w, r, http.StatusOK, none{Title: "Nothing has been submitted here yet", Preprint: text})
	} else if err != nil {
		return err
	}
	view, err := s.show(r.Context(), sub, "../")
	if err != nil {
		return err
	}
	view.Preprint = text
	return write(w, r, hashPage, view)
}

// redirect leads to the one address of a page. The reference is relative, so that it holds wherever a proxy has put the
// pages.
func redirect(w http.ResponseWriter, reference string) error {
	w.Header().Set("Location", reference)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

func write(w http.ResponseWriter, r *http.Request, t *template.Template, view any) error {
	body, err := page.Render(t, view)
	if err != nil {
		return err
	}
	page.Secure(w.Header())
	return page.Serve(w, r, body)
}

// none is the page of what was not submitted.
type none struct {
	Title       string
	TestNetwork bool
	Hash        string
	Preprint    string
}

func (s *Server) writeNone(w http.ResponseWriter, r *http.Request, status int, n none) (err error) {
	if n.TestNetwork, err = s.testNetwork(r.Context()); err != nil {
		return err
	}
	body, err := page.Render(nonePage, n)
	if err != nil {
		return err
	}
	return page.Write(w, r, status, body)
}

// writeOTS answers with the ordinary proof.
func (s *Server) writeOTS(w http.ResponseWriter, r *http.Request, sub seed.Submitted) error {
	file, err := s.config.OTS(r.Context(), sub)
	if err != nil {
		return err
	}
	if len(file) == 0 {
		return errMissing()
	}
	return download(w, r, "application/octet-stream", hex.EncodeToString(sub.Hash[:])+".ots", file)
}

// writeProof answers with the proof in a currency, as XML or as a PDF.
func (s *Server) writeProof(w http.ResponseWriter, r *http.Request, sub seed.Submitted, currency int, ending string) error {
	c, ok := s.currency(func(c seed.Currency) bool { return c.ID == currency })
	if !ok {
		return errMissing()
	}
	if ending == "xml" {
		file, err := s.config.Documents.XML(r.Context(), sub, c)
		if err != nil {
			return unproven(err, c)
		}
		return download(w, r, "text/xml; charset=utf-8", proof.Name("proof", c, sub.Hash, ending), file)
	}
	if !s.config.Comments {
		sub.Comment = ""
	}
	file, err := s.config.Documents.PDF(r.Context(), sub, c)
	if err != nil {
		return unproven(err, c)
	}
	return download(w, r, "application/pdf", proof.Name("certificate", c, sub.Hash, ending), file)
}

// unproven says of a document that there is none while that is so.
func unproven(err error, c seed.Currency) error {
	if errors.Is(err, proof.ErrNotFinal) {
		return &httpkit.Error{Status: http.StatusNotFound, Message: fmt.Sprintf("the hash is not tamper-proof yet in %s, so there is no proof", proof.CurrencyName(c))}
	}
	return err
}

// download answers with a file whose name is in ASCII.
func download(w http.ResponseWriter, r *http.Request, media, name string, body []byte) error {
	page.Secure(w.Header())
	w.Header().Set("Content-Type", media)
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
	return page.Serve(w, r, body)
}
