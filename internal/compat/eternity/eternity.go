// Package eternity is the authenticated calendar: Eternity Wall's contract, version 0.3.0 and those before it. Its
// customers sign each digest with a Bitcoin key, and nobody is billed for what they did not sign.
//
//	POST /digest?op=&email=   1 to 64 raw bytes and x-signature -> the timestamp up to the commitment
//	GET  /timestamp/<hex>     a digest, or a commitment -> what there is of its timestamp
//	POST /verify/<hex>        a proof -> what its attestations are worth, as JSON
//
// README.md beside this file says what is covered.
package eternity

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/calendar"
	"github.com/datestone/datestone/internal/httpkit"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/ots"
	"github.com/datestone/datestone/ots/headers"
	"github.com/datestone/datestone/ots/signedmsg"
)

// Store knows keys and what they signed. store.DB is one.
type Store interface {
	// Signer returns account.ErrSigner for a key that is not active.
	Signer(ctx context.Context, point [33]byte) (account.Signer, account.Account, error)
	// SignedDigest returns an error that is account.ErrUnsigned for a digest that nobody signed.
	SignedDigest(ctx context.Context, digest []byte) (account.Signed, account.Signer, error)
	// BatchLeaves are the leaves of the batch whose entry is at p.
	BatchLeaves(ctx context.Context, p logtree.Position) ([][32]byte, error)
}

// Keeper keeps signed digests. calendar.Keeper is one.
type Keeper interface {
	// Create returns only after what it made is on disk.
	Create(ctx context.Context, c account.Create) (account.Created, error)
}

// Proofs knows the proof of an entry. calendar.Calendar is one.
type Proofs interface {
	Proof(ctx context.Context, commitment []byte, dubious bool) (calendar.Proof, error)
}

// Config are the surface's parts and settings.
type Config struct {
	// URI goes into the pending attestations: where clients will ask for the proof.
	URI string
	// Plans are what accounts may do, by the names of their plans.
	Plans account.Plans

	Store  Store
	Keeper Keeper
	Proofs Proofs

	// TrustedProxies are those whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix
	// Mail says that proofs can be sent by e-mail; without it a request for that is refused.
	Mail bool
	// Headers is asked for block headers when a proof is verified; nil refuses what only they can show.
	Headers headers.Source
	// TestNetwork says that those are of a network without value.
	TestNetwork bool
	// Confirmations is how deep a block must be for its attestation to count.
	Confirmations int

	// Observe, when set, is told of each answer.
	Observe func(route string, status int, took time.Duration)
	// Log receives requests that failed for our own reasons. Default slog.Default().
	Log *slog.Logger
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Server answers the calendar's requests. Make one with New.
type Server struct {
	config  Config
	host    string // of the URI, as requests name it
	pending *ots.Timestamp
	wire    []byte // pending
	// recover finds the key of a signature; a benchmark replaces it to see what it costs.
	recover  func(client string, signature signedmsg.Signature, digest []byte) (signedmsg.PublicKey, error)
	regulars regulars
	failures httpkit.Limiter[netip.Addr] // signatures that are no customer's

	digest, timestamp, verify, options, missing http.Handler
}

// New makes the surface. The URI must be one that pending attestations can carry.
func New(config Config) (*Server, error) {
	attestation, err := ots.PendingAttestation(config.URI)
	if err != nil {
		return nil, fmt.Errorf("public address %q: %w", config.URI, err)
	}
	u, err := url.Parse(config.URI)
	if err != nil {
		return nil, fmt.Errorf("public address %q: %w", config.URI, err)
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	s := &Server{config: config, host: plainHost(u.Host), pending: ots.New(ots.Path{}, attestation)}
	s.recover = s.regulars.recover
	if s.wire, err = s.pending.AppendBinary(nil); err != nil {
		return nil, fmt.Errorf("public address %q: %w", config.URI, err)
	}
	surface := &httpkit.Surface{Fail: fail, Observe: config.Observe, Log: config.Log}
	s.digest = surface.Handle("signed-digest", s.postDigest)
	s.timestamp = surface.Handle("signed-timestamp", s.getTimestamp)
	s.verify = surface.Handle("verify", s.postVerify)
	s.options = surface.Handle("options", answerOptions)
	s.missing = surface.Handle("other", func(http.ResponseWriter, *http.Request) error { return errMissing })
	return s, nil
}

const (
	digestPath      = "/digest"
	timestampPrefix = "/timestamp/"
	verifyPrefix    = "/verify/"
)

// Header fields of the contract, as net/http has them.
const (
	signatureField = "X-Signature"
	versionField   = "X-Version"
)

// ServeHTTP finds the handler for a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header()["Access-Control-Allow-Origin"] = anyOrigin
	h := s.handler(r)
	if h == nil {
		h = s.missing
	}
	h.ServeHTTP(w, r)
}

// handler is nil for what the contract does not have.

func (s *Server) handler(r *http.Request) http.Handler {
	switch path := r.URL.Path; {
	case r.Method == http.MethodOptions:
		return s.options
	case r.Method == http.MethodPost && path == digestPath:
		return s.digest
	case r.Method == http.MethodPost && strings.HasPrefix(path, verifyPrefix):
		return s.verify
	case isRead(r) && strings.HasPrefix(path, timestampPrefix):
		return s.timestamp
	}
	return nil
}

func isRead(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

// Serves says whether the surface has something at the request's method and path.
func (s *Server) Serves(r *http.Request) bool { return s.handler(r) != nil }

// IsHost says whether the request names the host of this calendar.
func (s *Server) IsHost(r *http.Request) bool { return plainHost(r.Host) == s.host }

// plainHost is a host without the port that its scheme has by itself.
func plainHost(host string) string {
	host = strings.ToLower(host)
	return strings.TrimSuffix(strings.TrimSuffix(host, ":443"), ":80")
}

// Claims says whether a request is meant for this calendar where it shares its host with one that is open to
// everybody: it says something that only this contract has. A signature that was left out is then missed.
func (s *Server) Claims(r *http.Request) bool {
	_, versioned := r.Header[versionField]
	switch path := r.URL.Path; {
	case !s.Serves(r):
		return false
	case path == digestPath && r.Method == http.MethodPost:
		_, signed := r.Header[signatureField]
		return signed || versioned || names(r, "op", "email")
	case strings.HasPrefix(path, timestampPrefix) && isRead(r):
		return versioned || names(r, flagDetached, flagShrink, flagDubious, "op")
	}
	return true
}

// names says whether the query has one of the parameters.
func names(r *http.Request, parameters ...string) bool {
	if r.URL.RawQuery == "" {
		return false
	}
	query := r.URL.Query()
	for _, p := range parameters {
		if query.Has(p) {
			return true
		}
	}
	return false
}

func answerOptions(w http.ResponseWriter, _ *http.Request) error {
	header := w.Header()
	header["Allow"] = methods
	header["Access-Control-Allow-Methods"] = methods
	header["Access-Control-Allow-Headers"] = []string{"Accept, Content-Type, X-Signature, X-Version"}
	header["Access-Control-Max-Age"] = []string{"86400"}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// Values of header fields. They are shared between answers and never written to.
var (
	anyOrigin   = []string{"*"}
	octetStream = []string{"application/octet-stream"}
	plainText   = []string{"text/plain; charset=utf-8"}
	jsonText    = []string{"application/json"}
	noStore     = []string{"no-store"}
	closing     = []string{"close"}
	methods     = []string{"GET, HEAD, POST, OPTIONS"}
)
