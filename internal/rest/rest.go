// Package rest is the REST API: stamps that are kept for accounts, and their proofs, under /api/v1.
package rest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/calendar"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/store"
	"github.com/datestone/datestone/ots"
)

// Store knows accounts and their stamps. store.DB is one.
type Store interface {
	Accounts
	Stamps
	// Targets is what the targets last said of themselves.
	Targets(ctx context.Context) ([]anchor.Status, error)
}

// Accounts says who asks, and what is used up.
type Accounts interface {
	// AccountByKey returns account.ErrUnknown for a hash that is not of an active key.
	AccountByKey(ctx context.Context, hash [32]byte) (account.Account, error)
	Usage(ctx context.Context, id int64, limit int) ([]account.MonthlyUse, error)
}

// Stamps reads stamps, and what their positions are worth.
type Stamps interface {
	Stamp(ctx context.Context, id account.ID) (account.Stamp, error)
	StampByDigest(ctx context.Context, owner int64, digest [32]byte) (account.Stamp, error)
	Stamps(ctx context.Context, owner int64, ranges []store.Range, before time.Time, limit int) ([]account.Stamp, error)
	CountStamps(ctx context.Context, owner int64, ranges []store.Range) (int64, error)
	ChangeStamp(ctx context.Context, owner int64, id account.ID, public bool, thumbnail []byte) error
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
	Proof(ctx context.Context, commitment []byte) (calendar.Proof, error)
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

	Store  Store
	Keeper Keeper
	Proofs Proofs

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
	pending ots.Attestation
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
	if config.KeyPrefix == "" || config.Store == nil || config.Keeper == nil || config.Proofs == nil {
		return nil, errors.New("the REST API needs a key prefix, a store, a keeper and proofs")
	}
	if config.Log == nil {
		config.Log = slog.Default()
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	return &Server{config: config, pending: pending}, nil
}

// ServeHTTP answers a request whose path begins with Prefix.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	http.NotFound(w, r)
}
