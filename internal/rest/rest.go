// Package rest is the REST API: stamps that are kept for accounts, and their proofs, under /api/v1.
//
//	POST  /api/v1/timestamps                 keeps a hash
//	GET   /api/v1/timestamps                 the account's stamps, newest first
//	POST  /api/v1/timestamps/batch           keeps up to 10,000 hashes, all or none
//	GET   /api/v1/timestamps/{id}            one stamp
//	PATCH /api/v1/timestamps/{id}            its thumbnail, and whether its certificate is public
//	GET   /api/v1/timestamps/{id}/ots        its proof
//	GET   /api/v1/timestamps/{id}/evidence.zip
//	                                         its proof, its certificate and how to verify them
//	GET   /api/v1/timestamps/{id}/publications
//	                                         where roots that it is in were printed
//	GET   /api/v1/timestamps/{id}/thumbnail  its thumbnail
//	GET   /api/v1/hashes/{sha256}            the account's stamp of a hash
//	GET   /api/v1/usage                      the account's quota
//	POST  /api/v1/verify                     what can be said here of a proof
//	GET   /api/v1/targets                    the health of what the service anchors in
//	POST  /api/v1/webhooks                   registers a URL that is told what happens
//	GET   /api/v1/webhooks                   the account's webhooks
//	GET   /api/v1/webhooks/{id}              one webhook, and DELETE
//	POST  /api/v1/webhooks/{id}/rotate       gives it another secret
//	POST  /api/v1/webhooks/{id}/test         has a test sent to it
//	GET   /api/v1/webhooks/{id}/deliveries   what was sent to it, and what is due
//
// A request is checked in this order: key, plan, rates, idempotency key, JSON, fields, and in the transaction that
// keeps it the account, idempotency, duplicates and quota. The answers' types and error codes are package api's.
package rest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/datestone/datestone/api"
	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/calendar"
	"github.com/datestone/datestone/internal/httpkit"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/publish"
	"github.com/datestone/datestone/internal/seal"
	"github.com/datestone/datestone/internal/store"
	"github.com/datestone/datestone/ots"
)

// Store knows accounts and their stamps. store.DB is one.
type Store interface {
	Accounts
	Stamps
	Endpoints
	publish.Log
	Mailboxes
	// Targets is what the targets last said of themselves.
	Targets(ctx context.Context) ([]anchor.Status, error)
}

// Accounts says who asks, and what is used up.
type Accounts interface {
	// KeyHolder returns account.ErrUnknown for a hash that is not of an active key.
	KeyHolder(ctx context.Context, hash [32]byte) (account.KeyHolder, error)
	Usage(ctx context.Context, id int64, limit int) ([]account.MonthlyUse, error)
}

// Stamps reads stamps, and what their positions are worth.
type Stamps interface {
	Stamp(ctx context.Context, id account.ID) (account.Stamp, error)
	StampByDigest(ctx context.Context, owner int64, digest [32]byte) (account.Stamp, error)
	Stamps(ctx context.Context, owner int64, ranges []store.Range, before time.Time, limit int) ([]account.Stamp, error)
	CountStamps(ctx context.Context, owner int64, ranges []store.Range) (int64, error)
	ChangeStamp(ctx context.Context, owner int64, id account.ID, change account.Change) error
	BatchLeaves(ctx context.Context, p logtree.Position) ([][32]byte, error)
	Confirmed(ctx context.Context) ([]store.Range, error)
	Attestations(ctx context.Context, p logtree.Position) ([]logtree.Attestation, error)
}

// Keeper makes stamps. calendar.Keeper is one.
type Keeper interface {
	// Create returns only after the stamps are on disk.
	Create(ctx context.Context, c account.Create) (account.Created, error)
}

// Proofs knows the proof of an entry. calendar.Calendar is one.
type Proofs interface {
	Proof(ctx context.Context, commitment []byte, dubious bool) (calendar.Proof, error)
}

// Config are the surface's parts and settings.
type Config struct {
	// Plans are what accounts may do, by the names of their plans.
	Plans account.Plans
	// KeyPrefix begins every API key.
	KeyPrefix string
	// URI is the public address: of certificates, and of the calendar in pending attestations.
	URI string
	// TrustedProxies are those whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix
	// CreatesPerAddress is how many creates a minute one client address may make. Default 60.
	CreatesPerAddress int

	Store  Store
	Keeper Keeper
	Proofs Proofs
	// Evidence makes a ZIP file of all there is of a stamp, for its owner.
	Evidence func(ctx context.Context, st account.Stamp) (name string, file []byte, err error)

	// Secrets encrypts those of webhooks, and CheckURL says what is wrong with a webhook's URL. Without them there
	// are no webhooks.
	Secrets  *seal.Key
	CheckURL func(url string) error
	// CheckMail says what is wrong with an account's e-mail address. Without it no e-mail is sent.
	CheckMail func(address string) error
	// MailEvery is how long an e-mail waits for more to say.
	MailEvery time.Duration

	// Log receives a line for each request that changed something or was refused. Default slog.Default().
	Log *slog.Logger
	// Observe, when set, is told of each answer.
	Observe func(route string, status int, took time.Duration)
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Server answers the requests under Prefix. Make one with New.
type Server struct {
	config  Config
	surface *httpkit.Surface
	pending ots.Attestation
	routes  []route
	handler http.Handler
	batches *semaphore.Weighted // bytes of batches that are being worked on

	requests httpkit.Limiter[int64] // by account
	creates  httpkit.Limiter[int64]
	sites    httpkit.Limiter[netip.Addr]
	failures httpkit.Limiter[netip.Addr]
}

// Prefix begins the paths of the surface.
const Prefix = "/api/v1/"

// New makes the surface. The URI must be one that pending attestations can carry.
func New(config Config) (*Server, error) {
	config.URI = strings.TrimRight(config.URI, "/")
	pending, err := ots.PendingAttestation(config.URI)
	if err != nil {
		return nil, fmt.Errorf("public address %q: %w", config.URI, err)
	}
	if config.KeyPrefix == "" || config.Store == nil || config.Keeper == nil || config.Proofs == nil || config.Evidence == nil {
		return nil, errors.New("the REST API needs a key prefix, a store, a keeper, proofs and evidence")
	}
	if config.Log == nil {
		config.Log = slog.Default()
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	s := &Server{config: config, pending: pending, batches: semaphore.NewWeighted(batchMemory)}
	s.surface = &httpkit.Surface{Fail: writeError, Observe: config.Observe, Log: config.Log}
	s.routes = []route{
		s.route("timestamps", "rest-list", http.MethodGet, s.list, "rest-create", http.MethodPost, s.create),
		s.route("timestamps/batch", "rest-batch", http.MethodPost, s.batch),
		s.route("timestamps/{}", "rest-get", http.MethodGet, s.get, "rest-patch", http.MethodPatch, s.patch),
		s.route("timestamps/{}/ots", "rest-ots", http.MethodGet, s.ots),
		s.route("timestamps/{}/evidence.zip", "rest-evidence", http.MethodGet, s.evidence),
		s.route("timestamps/{}/publications", "rest-publications", http.MethodGet, s.publications),
		s.route("timestamps/{}/thumbnail", "rest-thumbnail", http.MethodGet, s.thumbnail),
		s.route("hashes/{}", "rest-hash", http.MethodGet, s.hash),
		s.route("usage", "rest-usage", http.MethodGet, s.usage),
		s.route("verify", "rest-verify", http.MethodPost, s.verify),
		s.route("targets", "rest-targets", http.MethodGet, s.targets),
		s.route("notifications/email", "rest-email", http.MethodGet, s.email, "rest-email-on", http.MethodPut, s.setEmail, "rest-email-off", http.MethodDelete, s.endEmail),
		s.route("webhooks", "rest-webhooks", http.MethodGet, s.webhooks, "rest-webhook-create", http.MethodPost, s.createWebhook),
		s.route("webhooks/{}", "rest-webhook", http.MethodGet, s.webhook, "rest-webhook-delete", http.MethodDelete, s.deleteWebhook),
		s.route("webhooks/{}/rotate", "rest-webhook-rotate", http.MethodPost, s.rotateWebhook),
		s.route("webhooks/{}/test", "rest-webhook-test", http.MethodPost, s.testWebhook),
		s.route("webhooks/{}/deliveries", "rest-webhook-deliveries", http.MethodGet, s.deliveries),
	}
	s.handler = httpkit.Identified(http.HandlerFunc(s.serve))
	return s, nil
}

// route is a path with its methods.
type route struct {
	path    []string // {} stands for any segment
	methods map[string]http.Handler
	refused http.Handler // other methods
}

// route takes a name for metrics and logs, a method and a handler for each method.
func (s *Server) route(path string, methods ...any) route {
	rt := route{path: strings.Split(path, "/"), methods: make(map[string]http.Handler)}
	var allowed []string
	for m := range slices.Chunk(methods, 3) {
		name, method := m[0].(string), m[1].(string)
		h := s.handle(name, m[2].(func(http.ResponseWriter, *http.Request, *caller) error))
		rt.methods[method] = h
		allowed = append(allowed, method)
		if method == http.MethodGet {
			rt.methods[http.MethodHead] = h
			allowed = append(allowed, http.MethodHead)
		}
	}
	allow := strings.Join(allowed, ", ")
	rt.refused = s.surface.Handle("rest-other", func(http.ResponseWriter, *http.Request) error {
		return failure(api.ErrMethodNotAllowed, "The path has no such method. Use "+allow+".", "Allow", allow)
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

// ServeHTTP answers a request whose path begins with Prefix.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header["Cache-Control"] = noStore
	header["X-Content-Type-Options"] = noSniff
	path, _ := strings.CutPrefix(r.URL.EscapedPath(), Prefix) // %2F separates nothing
	segments := strings.Split(path, "/")
	for i, segment := range segments {
		segments[i], _ = url.PathUnescape(segment) // an escaped path is well formed
	}
	for _, rt := range s.routes {
		argument, ok := rt.match(segments)
		if !ok {
			continue
		}
		r.SetPathValue(argumentName, argument)
		if h := rt.methods[r.Method]; h != nil {
			h.ServeHTTP(w, r)
		} else {
			rt.refused.ServeHTTP(w, r)
		}
		return
	}
	s.surface.Handle("rest-other", func(http.ResponseWriter, *http.Request) error {
		return failure(api.ErrNotFound, "There is nothing at this path.")
	}).ServeHTTP(w, r)
}

// argumentName is the path value that {} matched.
const argumentName = "argument"

// Values of header fields. They are shared between answers and never written to.
var (
	noStore  = []string{"no-store"}
	noSniff  = []string{"nosniff"}
	jsonType = []string{"application/json"}
)
