// Package pages shows to everybody what OriginStamp's clients submitted: nothing else of this service, nor whose it is.
//
//	GET /s/{hash}                        a submitted hash, and how far its seed of each currency is
//	GET /s/{hash}/{currency}.xml, .pdf   its proof in a currency by number, once that is final
//	GET /s/{hash}.ots                    its ordinary proof
//	GET /u/{uuid}                        the same page, by a UUID that was printed before there was a hash
//	GET /comments?q=                     a search for words in comments
//	GET /api/v1/public/comments?q=       the same as JSON
package pages

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/datestone/datestone/api"
	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/compat/originstamp/proof"
	"github.com/datestone/datestone/internal/httpkit"
	"github.com/datestone/datestone/internal/page"
	"github.com/datestone/datestone/internal/seed"
	"github.com/datestone/datestone/internal/store"
)

// Store knows what was submitted. store.DB is one.
type Store interface {
	// Submitted, PreprintOf and SeedStates return seed.ErrUnknown for what there is not.
	Submitted(ctx context.Context, hash [32]byte) (seed.Submitted, error)
	PreprintOf(ctx context.Context, uid seed.UUID) (seed.Submitted, error)
	SeedStates(ctx context.Context, number int64) ([]seed.State, error)
	// Targets is what the targets last said of themselves.
	Targets(ctx context.Context) ([]anchor.Status, error)
	// SearchComments are up to limit submissions with numbers below before, or from the newest on for 0; newest first.
	SearchComments(ctx context.Context, words string, before int64, limit int) ([]seed.Submitted, error)
}

// Config are the parts and settings of the pages.
type Config struct {
	// URI is the public address.
	URI string
	// TrustedProxies are those whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix

	Store Store
	// Currencies are those that targets carry.
	Currencies []seed.Currency
	// Documents makes XML and PDF.
	Documents *proof.Maker
	// OTS is the .ots file of a submitted hash, complete or not, or nil when there is none.
	OTS func(ctx context.Context, sub seed.Submitted) ([]byte, error)
	// Comments says whether everybody may search comments, and read them on pages.
	Comments bool

	// Log receives requests that failed for our own reasons. Default slog.Default().
	Log *slog.Logger
	// Observe, when set, is told of each answer.
	Observe func(route string, status int, took time.Duration)
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Server answers the requests for the pages. Make one with New.
type Server struct {
	config Config

	hash, preprint, comments, search http.Handler

	searches              *semaphore.Weighted
	lookupSites, askSites httpkit.Limiter[netip.Addr]
}

const (
	hashPrefix     = "/s/"
	preprintPrefix = "/u/"
	commentsPath   = "/comments"
	searchPath     = "/api/v1/public/comments"

	// readWithin bounds what a request may ask of the store.
	readWithin = 10 * time.Second
	// What an address may ask for in a minute.
	lookupsPerSite  = 60
	searchesPerSite = 20
	// searchesAtOnce is how many searches run at a time: each may read a hundred thousand comments.
	searchesAtOnce = 2
)

// New makes the pages.
func New(config Config) (*Server, error) {
	config.URI = strings.TrimRight(config.URI, "/")
	if config.Store == nil || config.Documents == nil || config.OTS == nil {
		return nil, errors.New("the pages of submitted hashes need a store and proofs")
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	s := &Server{config: config, searches: semaphore.NewWeighted(searchesAtOnce)}
	people := &httpkit.Surface{Fail: page.Fail, Observe: config.Observe, Log: config.Log}
	programs := &httpkit.Surface{Fail: writeError, Observe: config.Observe, Log: config.Log}
	handle := func(surface *httpkit.Surface, route string, h httpkit.Handler) http.Handler {
		return httpkit.Identified(surface.Handle(route, func(w http.ResponseWriter, r *http.Request) error {
			if r.Method != http.MethodGet && r.Method != http.MethodHead {
				return failure(http.StatusMethodNotAllowed, api.ErrMethodNotAllowed, "this page can only be read", "Allow", "GET, HEAD")
			}
			ctx, cancel := context.WithTimeout(r.Context(), readWithin)
			defer cancel()
			return failed(h(w, r.WithContext(ctx)))
		}))
	}
	s.hash = handle(people, "submitted-page", s.getHash)
	s.preprint = handle(people, "preprint-page", s.getPreprint)
	s.comments = handle(people, "comments-page", s.getComments)
	s.search = handle(programs, "comments", s.getSearch)
	return s, nil
}

// Serves says whether a path is one of these pages.
func Serves(path string) bool {
	return strings.HasPrefix(path, hashPrefix) || strings.HasPrefix(path, preprintPrefix) || path == commentsPath || path == searchPath
}

// ServeHTTP answers a request whose path Serves.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch path := r.URL.Path; {
	case strings.HasPrefix(path, hashPrefix):
		s.hash.ServeHTTP(w, r)
	case strings.HasPrefix(path, preprintPrefix):
		s.preprint.ServeHTTP(w, r)
	case path == searchPath:
		s.search.ServeHTTP(w, r)
	default:
		s.comments.ServeHTTP(w, r)
	}
}

// coded is the cause of an error that has a code for programs.
type coded struct {
	code api.Code
	err  error
}

func (c *coded) Error() string {
	if c.err == nil {
		return string(c.code)
	}
	return string(c.code) + ": " + c.err.Error()
}

func (c *coded) Unwrap() error { return c.err }

// failure is an answer with a code. Header are names and values.
func failure(status int, code api.Code, message string, header ...string) error {
	return &httpkit.Error{Status: status, Message: message, Header: header, Err: &coded{code: code}}
}

func errMissing() error {
	return failure(http.StatusNotFound, api.ErrNotFound, "there is no page at this address")
}

// failed is the answer to what the store says.
func failed(err error) error {
	message := ""
	switch {
	case errors.Is(err, store.ErrBusy) || errors.Is(err, context.DeadlineExceeded):
		message = "the service has too much to do; try again in a moment"
	case errors.Is(err, store.ErrUnreachable):
		message = "the service cannot reach its database; try again in a moment"
	default:
		return err
	}
	return &httpkit.Error{Status: http.StatusServiceUnavailable, Message: message, Header: []string{"Retry-After", "1"}, Err: &coded{api.ErrServiceUnavailable, err}}
}

// admit counts a request against a limit of its address.
func (s *Server) admit(r *http.Request, sites *httpkit.Limiter[netip.Addr], limit int) error {
	a := sites.Take(httpkit.Site(httpkit.ClientAddr(r, s.config.TrustedProxies)), limit, s.config.Now())
	if a.OK {
		return nil
	}
	return failure(http.StatusTooManyRequests, api.ErrRateLimited,
		fmt.Sprintf("there were more than %d such requests from your address in a minute; try again in %s seconds", limit, a.RetryAfter()), "Retry-After", a.RetryAfter())
}

// testNetwork says whether the chain of a currency is without value.
func (s *Server) testNetwork(ctx context.Context) (bool, error) {
	targets, err := s.config.Store.Targets(ctx)
	for _, t := range targets {
		for _, c := range s.config.Currencies {
			if t.TestNetwork && t.Target == c.Target {
				return true, err
			}
		}
	}
	return false, err
}
