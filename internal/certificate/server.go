package certificate

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/calendar"
	"github.com/datestone/datestone/internal/httpkit"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/page"
	"github.com/datestone/datestone/internal/publish"
	"github.com/datestone/datestone/internal/store"
	"github.com/datestone/datestone/ots"
)

// Store knows stamps and what their positions are worth. store.DB is one.
type Store interface {
	Stamps
	Log
	Printed
}

// Printed knows the roots that were printed, and what leads to them.
type Printed interface {
	publish.Log
	// Publications are up to limit notices, newest first.
	Publications(ctx context.Context, target string, limit int) ([]publish.Publication, error)
}

// Stamps finds stamps by what a person has of them.
type Stamps interface {
	StampByCertificate(ctx context.Context, certificate string) (account.Stamp, error)
	StampOfDigest(ctx context.Context, digest [32]byte) (account.Stamp, error)
	BatchLeaves(ctx context.Context, p logtree.Position) ([][32]byte, error)
}

// Log knows what attests to a position, and what the targets last said of themselves.
type Log interface {
	Attestations(ctx context.Context, p logtree.Position) ([]logtree.Attestation, error)
	Withdrawn(ctx context.Context, p logtree.Position) ([]logtree.Attestation, error)
	Targets(ctx context.Context) ([]anchor.Status, error)
}

// Config are the parts and settings of the pages.
type Config struct {
	// URI is the public address.
	URI string
	// TrustedProxies are those whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix

	Store  Store
	Proofs calendar.Proofs

	// Log receives requests that failed for our own reasons. Default slog.Default().
	Log *slog.Logger
	// Observe, when set, is told of each answer.
	Observe func(route string, status int, took time.Duration)
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Server answers the requests for certificates. Make one with New.
type Server struct {
	config    Config
	pending   ots.Attestation
	documents *semaphore.Weighted

	certificate, verify, forms, publications http.Handler

	sites httpkit.Limiter[netip.Addr]
}

const (
	prefix       = "/cert/"
	verifyPrefix = "/verify/"

	// readWithin bounds what a request may ask of the store.
	readWithin = 10 * time.Second
	// lookupsPerSite is how many certificates and digests an address may ask for in a minute. Ids are random and at most
	// one in a hundred is in use, so with this nobody finds many by trying.
	lookupsPerSite = 60
	// documentsAtOnce is how many PDFs are made at a time: each takes 20 to 60 milliseconds and, with the large fonts,
	// 45 megabytes.
	documentsAtOnce = 2
)

// New makes the pages. The URI must be one that pending attestations can carry.
func New(config Config) (*Server, error) {
	config.URI = strings.TrimRight(config.URI, "/")
	pending, err := ots.PendingAttestation(config.URI)
	if err != nil {
		return nil, fmt.Errorf("public address %q: %w", config.URI, err)
	}
	if config.Store == nil || config.Proofs == nil {
		return nil, errors.New("certificates need a store and proofs")
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	s := &Server{config: config, pending: pending, documents: semaphore.NewWeighted(documentsAtOnce)}
	surface := &httpkit.Surface{Fail: page.Fail, Observe: config.Observe, Log: config.Log}
	handle := func(route string, h httpkit.Handler) http.Handler {
		return httpkit.Identified(surface.Handle(route, func(w http.ResponseWriter, r *http.Request) error {
			if r.Method != http.MethodGet && r.Method != http.MethodHead {
				return &httpkit.Error{Status: http.StatusMethodNotAllowed, Message: "this page can only be read", Header: []string{"Allow", "GET, HEAD"}}
			}
			ctx, cancel := context.WithTimeout(r.Context(), readWithin)
			defer cancel()
			return failed(h(w, r.WithContext(ctx)))
		}))
	}
	s.certificate = handle("certificate", s.getCertificate)
	s.verify = handle("verify-page", s.getVerify)
	s.forms = handle("certificate-form", s.getForm)
	s.publications = handle("publications", s.getPublications)
	return s, nil
}

// Serves says whether a path is one of these pages.
func Serves(path string) bool {
	return path == publicationsPath || path == "/cert" || path == "/verify" || strings.HasPrefix(path, prefix) || strings.HasPrefix(path, verifyPrefix)
}

// ServeHTTP answers a request whose path Serves.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch path := r.URL.Path; {
	case strings.HasPrefix(path, prefix):
		s.certificate.ServeHTTP(w, r)
	case strings.HasPrefix(path, verifyPrefix):
		s.verify.ServeHTTP(w, r)
	case path == publicationsPath:
		s.publications.ServeHTTP(w, r)
	default:
		s.forms.ServeHTTP(w, r)
	}
}

// failed is the answer to what the store or the log says.
func failed(err error) error {
	if errors.Is(err, store.ErrBusy) || errors.Is(err, context.DeadlineExceeded) {
		return &httpkit.Error{Status: http.StatusServiceUnavailable, Message: "the service has too much to do; try again in a moment", Header: []string{"Retry-After", "1"}, Err: err}
	}
	if errors.Is(err, store.ErrUnreachable) {
		return &httpkit.Error{Status: http.StatusServiceUnavailable, Message: "the service cannot reach its database; try again in a moment", Header: []string{"Retry-After", "1"}, Err: err}
	}
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, calendar.ErrUnknown) {
		// The stamp is there and its entry is not, as while a database is being restored.
		return &httpkit.Error{Status: http.StatusServiceUnavailable, Message: "the proof cannot be read now; try again later", Header: []string{"Retry-After", "60"}, Err: err}
	}
	return err
}

func errMissing() error {
	return &httpkit.Error{Status: http.StatusNotFound, Message: "there is no page at this address"}
}

// admit counts a look-up.
func (s *Server) admit(w http.ResponseWriter, r *http.Request) error {
	site := httpkit.Site(httpkit.ClientAddr(r, s.config.TrustedProxies))
	if a := s.sites.Take(site, lookupsPerSite, s.config.Now()); !a.OK {
		return &httpkit.Error{
			Status: http.StatusTooManyRequests, Header: []string{"Retry-After", a.RetryAfter()},
			Message: fmt.Sprintf("there were more than %d requests for certificates from your address in a minute; try again in %s seconds", lookupsPerSite, a.RetryAfter()),
		}
	}
	return nil
}

// The longest id has 13 characters after the prefix: no account ever has so many stamps.
var (
	soundID         = regexp.MustCompile(`^TS-[0-9A-Z]{6,13}$`)
	certificatePath = regexp.MustCompile(`^([Tt][Ss]-[0-9A-Za-z]{6,13})(|\.pdf|\.ots|\.zip|/thumbnail)$`)
)

func (s *Server) getCertificate(w http.ResponseWriter, r *http.Request) error {
	parts := certificatePath.FindStringSubmatch(r.URL.Path[len(prefix):])
	if parts == nil {
		return errMissing()
	}
	id, form := strings.ToUpper(parts[1]), parts[2]
	text := r.URL.Query().Get("sha256")
	digest, ok := parseDigest(text)
	if id != parts[1] || ok && text != hex.EncodeToString(digest) {
		return redirect(w, up(r.URL.Path)+prefix[1:]+id+form, digest)
	}
	if err := s.admit(w, r); err != nil {
		return err
	}
	st, err := s.config.Store.StampByCertificate(r.Context(), id)
	if errors.Is(err, store.ErrNotFound) {
		return s.writeNone(w, r, none{Title: "There is no such certificate", ID: id})
	} else if err != nil {
		return err
	}
	c, err := s.certify(r.Context(), st, false)
	if err != nil {
		return err
	}
	switch form {
	case ".pdf":
		return s.download(w, r, "application/pdf", c.FileName(".pdf"), func() ([]byte, error) { return s.document(r.Context(), c) })
	case ".ots":
		return s.download(w, r, "application/octet-stream", c.FileName(".ots"), func() ([]byte, error) { return c.Proof, nil })
	case ".zip":
		return s.download(w, r, "application/zip", c.FileName("-evidence.zip"), func() ([]byte, error) { return s.evidence(r.Context(), c) })
	case "/thumbnail":
		return thumbnail(w, r, c)
	}
	return s.writeCertificate(w, r, c, text)
}

// up leads from a path to the root of the pages.
func up(path string) string { return strings.Repeat("../", strings.Count(path, "/")-1) }

// parseDigest reads 64 hexadecimal digits in either case, as the first word: sha256sum prints more after them.
func parseDigest(text string) ([]byte, bool) {
	word, _, _ := strings.Cut(strings.TrimSpace(text), " ")
	digest, err := hex.DecodeString(word)
	if err != nil || len(digest) != 32 {
		return nil, false
	}
	return digest, true
}

// redirect leads to the one address of a page. The reference is relative, so that it holds wherever a proxy has put
// the pages.
func redirect(w http.ResponseWriter, reference string, digest []byte) error {
	if digest != nil {
		reference += "?sha256=" + hex.EncodeToString(digest)
	}
	w.Header().Set("Location", reference)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

func (s *Server) getVerify(w http.ResponseWriter, r *http.Request) error {
	text := r.URL.Path[len(verifyPrefix):]
	digest, err := hex.DecodeString(text)
	if err != nil || len(digest) != 32 {
		return errMissing()
	}
	if lower := hex.EncodeToString(digest); lower != text {
		return redirect(w, lower, nil)
	}
	if err := s.admit(w, r); err != nil {
		return err
	}
	st, err := s.config.Store.StampOfDigest(r.Context(), [32]byte(digest))
	if errors.Is(err, store.ErrNotFound) {
		return s.writeNone(w, r, none{Title: "No certificate of this file", SHA256: text})
	} else if err != nil {
		return err
	}
	c, err := s.certify(r.Context(), st, false)
	if err != nil {
		return err
	}
	return s.writeVerdict(w, r, c)
}

// getForm leads from what a person typed to the page, or shows where to type it.
func (s *Server) getForm(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	id, text := strings.ToUpper(strings.TrimSpace(query.Get("id"))), query.Get("sha256")
	digest, ok := parseDigest(text)
	switch {
	case soundID.MatchString(id) && (ok || text == ""):
		return redirect(w, prefix[1:]+id, digest)
	case id == "" && ok:
		return redirect(w, verifyPrefix[1:]+hex.EncodeToString(digest), nil)
	}
	return s.writeForm(w, r, form{Title: "Certificates", ID: id, SHA256: text, Wrong: id != "" || text != ""})
}

// download answers with a file.
func (s *Server) download(w http.ResponseWriter, r *http.Request, media, name string, body func() ([]byte, error)) error {
	b, err := body()
	if err != nil {
		return err
	}
	header := w.Header()
	page.Secure(header)
	header.Set("Content-Type", media)
	header.Set("Content-Disposition", `attachment; filename="`+name+`"`)
	if media == "application/octet-stream" {
		return page.Serve(w, r, b)
	}
	header.Set("Cache-Control", "no-store") // it says when it was made
	return httpkit.WriteBody(w, r, http.StatusOK, b)
}

// document makes the PDF once there is room.
func (s *Server) document(ctx context.Context, c *Certificate) ([]byte, error) {
	if err := s.documents.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer s.documents.Release(1)
	return c.PDF()
}

// thumbnail answers with the owner's picture. It is what a client sent: nothing in it may run.
func thumbnail(w http.ResponseWriter, r *http.Request, c *Certificate) error {
	media := pictureType(c.Thumbnail)
	if media == "" {
		return errMissing()
	}
	page.Secure(w.Header())
	w.Header().Set("Content-Security-Policy", "default-src 'none'; sandbox")
	w.Header().Set("Content-Type", media)
	return page.Serve(w, r, c.Thumbnail)
}

// pictureType tells what a picture is by how it begins, or is empty for what is none.
func pictureType(b []byte) string {
	switch media := http.DetectContentType(b); media {
	case "image/png", "image/jpeg", "image/webp":
		return media
	}
	return ""
}

// Evidence is everything there is of a stamp, for its owner: a ZIP file and its name.
func (s *Server) Evidence(ctx context.Context, st account.Stamp) (name string, file []byte, err error) {
	c, err := s.certify(ctx, st, true)
	if err != nil {
		return "", nil, err
	}
	file, err = s.evidence(ctx, c)
	return c.FileName("-evidence.zip"), file, err
}
