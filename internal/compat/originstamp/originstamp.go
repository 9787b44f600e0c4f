// Package originstamp is OriginStamp's API, versions 3 and 4, whose own service has closed it.
//
//	POST /v3/timestamp/create          submits a hash; also /v4
//	GET  /v3/timestamp/{hash}          what is known of it; also /v4
//	GET  /v3/timestamp/url/{uuid}      the same, by the UUID of a page to print
//	POST /v4/timestamp/bulk/create     submits up to 100 hashes
//	GET  /v4/timestamp/status/seed/{id}
//	                                   what is known of a seed
//	POST /v3/timestamp/proof           the proof of a hash
//	POST /v3/timestamp/proof/url       a link to it, for five minutes
//	GET  /v3/timestamp/proof/download  what the link leads to
//	GET  /v3/api_key/usage             the account's quota
//	GET  /v3/currencies/get            the currencies
//	POST /v3/submission/times          when the next seed of a currency closes
//	POST /v3/webhook/register          awaits the seed of a hash
//	POST /v3/webhook/information       what became of that
//	POST /v3/webhook/start             posts what is known of a hash to a URL now
//
// README.md beside this file says what is covered.
package originstamp

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/calendar"
	"github.com/datestone/datestone/internal/compat/originstamp/proof"
	"github.com/datestone/datestone/internal/egress"
	"github.com/datestone/datestone/internal/httpkit"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/seed"
	"github.com/datestone/datestone/ots"
)

// Store knows accounts, submissions and seeds. store.DB is one.
type Store interface {
	Accounts
	Submissions
	Seeds
	Batches
}

// Accounts says who asks, and what is used up.
type Accounts interface {
	// KeyHolder returns account.ErrUnknown for a hash that is not of an active key.
	KeyHolder(ctx context.Context, hash [32]byte) (account.KeyHolder, error)
	Usage(ctx context.Context, id int64, limit int) ([]account.MonthlyUse, error)
}

// Submissions finds what was submitted, by whomever; the error is seed.ErrUnknown.
type Submissions interface {
	Submitted(ctx context.Context, hash [32]byte) (seed.Submitted, error)
	PreprintOf(ctx context.Context, uid seed.UUID) (seed.Submitted, error)
	AwaitSeed(ctx context.Context, now time.Time, owner int64, hash [32]byte, a seed.Await) error
	// AwaitState is about what the owner awaits: the error is seed.ErrUnknown when that is nothing.
	AwaitState(ctx context.Context, owner int64, hash [32]byte, a seed.Await) (seed.AwaitState, error)
}

// Seeds reads seeds; the error is seed.ErrUnknown.
type Seeds interface {
	// SeedStates are those of a submitted hash: one for each target that has a seed with it.
	SeedStates(ctx context.Context, number int64) ([]seed.State, error)
	SeedState(ctx context.Context, uid seed.UUID) (seed.State, error)
	// SeedBranch is recomputed before it is given.
	SeedBranch(ctx context.Context, s seed.Seed, hash [32]byte) (seed.Branch, error)
	OpenSeed(ctx context.Context, target string) (seed.Seed, bool, error)
	// Targets is what the targets last said of themselves.
	Targets(ctx context.Context) ([]anchor.Status, error)
}

// Batches reads what the .ots file of a hash is made of.
type Batches interface {
	BatchLeaves(ctx context.Context, p logtree.Position) ([][32]byte, error)
}

// Keeper makes stamps. calendar.Keeper is one.
type Keeper interface {
	// Create returns only after what it made is on disk.
	Create(ctx context.Context, c account.Create) (account.Created, error)
}

// Proofs knows the proof of an entry. calendar.Calendar is one.
type Proofs interface {
	Proof(ctx context.Context, commitment []byte, dubious bool) (calendar.Proof, error)
}

// Caller asks the URLs of customers. egress.Client is one.
type Caller interface {
	// Check says what is wrong with a URL, in a sentence for the customer.
	Check(url string) error
	Do(ctx context.Context, req *http.Request) (egress.Answer, error)
}

// Config are the surface's parts and settings.
type Config struct {
	// URI is the public address, in links to proofs and in pending attestations.
	URI string
	// Currencies are those that targets carry.
	Currencies []seed.Currency
	// Plans are what accounts may do, by the names of their plans, and KeyPrefix begins every API key.
	Plans     account.Plans
	KeyPrefix string
	// TrustedProxies are those whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix
	// CreatesPerAddress is how many creates a minute one client address may make. Default 60.
	CreatesPerAddress int
	// LinkKey authenticates links to proofs: every node has the same.
	LinkKey []byte

	Store  Store
	Keeper Keeper
	Proofs Proofs
	Caller Caller
	// CheckMail says what is wrong with an e-mail address. Without it no e-mail is sent.
	CheckMail func(address string) error

	// Log receives a line for each request that changed something or was refused. Default slog.Default().
	Log *slog.Logger
	// Observe, when set, is told of each answer: of those that are this service's fault with a status from 500 on,
	// which clients do not see.
	Observe func(route string, status int, took time.Duration)
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Server answers the requests whose paths begin with /v3/ or /v4/. Make one with New.
type Server struct {
	config  Config
	surface *httpkit.Surface
	pending ots.Attestation
	routes  []route
	handler http.Handler
	calls   chan struct{} // holds one token for each webhook that is being started

	documents *proof.Maker

	requests httpkit.Limiter[int64] // by account
	creates  httpkit.Limiter[int64]
	sites    httpkit.Limiter[netip.Addr]
	failures httpkit.Limiter[netip.Addr]
	files    httpkit.Limiter[netip.Addr]
}

// maxCalls is how many webhooks may be started at a time.
const maxCalls = 32

// New makes the surface. The URI must be one that pending attestations can carry.
func New(config Config) (*Server, error) {
	config.URI = strings.TrimRight(config.URI, "/")
	pending, err := ots.PendingAttestation(config.URI)
	if err != nil {
		return nil, err
	}
	if len(config.Currencies) == 0 || len(config.LinkKey) < 32 || config.KeyPrefix == "" || config.Store == nil || config.Keeper == nil || config.Proofs == nil || config.Caller == nil {
		return nil, errors.New("OriginStamp's API needs currencies, a key for links of 32 bytes, a key prefix, a store, a keeper, proofs and a caller")
	}
	config.Currencies = slices.SortedFunc(slices.Values(config.Currencies), func(a, b seed.Currency) int { return cmp.Compare(a.ID, b.ID) })
	if config.Log == nil {
		config.Log = slog.Default()
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	s := &Server{config: config, pending: pending, calls: make(chan struct{}, maxCalls)}
	s.documents = proof.NewMaker(config.Store, config.URI, s.OTS)
	s.surface = &httpkit.Surface{Fail: writeError, Log: config.Log}
	s.routes = []route{
		s.route("v3/timestamp/create", http.MethodPost, "originstamp-create", s.create),
		s.route("v4/timestamp/create", http.MethodPost, "originstamp-create", s.create),
		s.route("v4/timestamp/bulk/create", http.MethodPost, "originstamp-bulk", s.bulk),
		s.route("v4/timestamp/status/seed/{}", http.MethodGet, "originstamp-seed", s.seed),
		s.route("v3/timestamp/url/{}", http.MethodGet, "originstamp-preprint", s.preprint),
		s.route("v3/timestamp/proof", http.MethodPost, "originstamp-proof", s.proof),
		s.route("v3/timestamp/proof/url", http.MethodPost, "originstamp-link", s.link),
		s.route("v3/timestamp/proof/download", http.MethodGet, "originstamp-download", s.download),
		s.route("v3/timestamp/{}", http.MethodGet, "originstamp-hash", s.hash),
		s.route("v4/timestamp/{}", http.MethodGet, "originstamp-hash", s.hash),
		s.route("v3/api_key/usage", http.MethodGet, "originstamp-usage", s.usage),
		s.route("v3/currencies/get", http.MethodGet, "originstamp-currencies", s.currencies),
		s.route("v3/submission/times", http.MethodPost, "originstamp-times", s.times),
		s.route("v3/webhook/register", http.MethodPost, "originstamp-register", s.register),
		s.route("v3/webhook/information", http.MethodPost, "originstamp-information", s.information),
		s.route("v3/webhook/start", http.MethodPost, "originstamp-start", s.start),
	}
	s.handler = httpkit.Identified(http.HandlerFunc(s.serve))
	return s, nil
}

// Serves says whether a path is the surface's.
func Serves(path string) bool {
	return strings.HasPrefix(path, "/v3/") || strings.HasPrefix(path, "/v4/") || path == "/v3" || path == "/v4"
}

// route is a path with its one method.
type route struct {
	path    []string // {} stands for any segment
	method  string
	handler http.Handler
	refused http.Handler // other methods
}

func (s *Server) route(path, method, name string, h handler) route {
	rt := route{path: strings.Split(path, "/"), method: method, handler: s.handle(name, h)}
	allow := method
	if method == http.MethodGet {
		allow += ", " + http.MethodHead
	}
	rt.refused = s.open(otherName, func(http.ResponseWriter, *http.Request, *caller) error {
		return failure(CodeMethod, "The path has no such method. Use "+allow+".", "Allow", allow)
	})
	return rt
}

// match says whether a path is the route's, and what stands in the place of {}.
func (rt route) match(segments []string) (string, bool) {
	if len(segments) != len(rt.path) {
		return "", false
	}
	argument := ""
	for i, segment := range segments {
		if rt.path[i] == "{}" && segment != "" {
			argument = segment
		} else if rt.path[i] != segment {
			return "", false
		}
	}
	return argument, true
}

// ServeHTTP answers a request whose path the surface serves.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header["Cache-Control"] = noStore
	header["X-Content-Type-Options"] = noSniff
	segments := strings.Split(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/") // %2F separates nothing
	for i, segment := range segments {
		segments[i], _ = url.PathUnescape(segment) // an escaped path is well formed
	}
	for _, rt := range s.routes {
		argument, ok := rt.match(segments)
		if !ok {
			continue
		}
		r.SetPathValue(argumentName, argument)
		if r.Method == rt.method || r.Method == http.MethodHead && rt.method == http.MethodGet {
			rt.handler.ServeHTTP(w, r)
		} else {
			rt.refused.ServeHTTP(w, r)
		}
		return
	}
	s.open(otherName, func(http.ResponseWriter, *http.Request, *caller) error {
		return failure(CodePath, "There is nothing at this path.")
	}).ServeHTTP(w, r)
}

// argumentName is the path value that {} matched.
const argumentName = "argument"

// Values of header fields. They are shared between answers and never written to.
var (
	noStore  = []string{"no-store"}
	noSniff  = []string{"nosniff"}
	jsonType = []string{"application/json"}

	octetStream = []string{"application/octet-stream"}
)
