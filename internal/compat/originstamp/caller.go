package originstamp

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/httpkit"
)

// caller is who asks, and how.
type caller struct {
	account account.KeyHolder
	plan    account.Plan
	now     time.Time
	site    netip.Addr
	v4      bool
	note    []any // for the request's line in the log
}

// handler answers a caller.
type handler func(w http.ResponseWriter, r *http.Request, c *caller) error

// otherName is the route of what there is not.
const otherName = "originstamp-other"

const (
	// readWithin bounds what a request may ask of the store.
	readWithin = 10 * time.Second

	// Limits for a minute where the plan says nothing, and for those that are not the plan's.
	requestsPerKey  = 120
	createsPerKey   = 30
	createsPerSite  = 60
	failuresPerSite = 120
	filesPerSite    = 240
)

// handle makes a handler of callers with a key into one of requests.
func (s *Server) handle(name string, h handler) http.Handler {
	creates := name == "originstamp-create" || name == "originstamp-bulk"
	if name == "originstamp-download" {
		return s.open(name, s.bounded(h))
	}
	// The keeper and webhooks bound their own waiting.
	if !creates && name != "originstamp-start" {
		h = s.bounded(h)
	}
	return s.open(name, func(w http.ResponseWriter, r *http.Request, c *caller) error {
		ctx, cancel := context.WithTimeout(r.Context(), readWithin)
		defer cancel()
		if err := s.admit(ctx, w, r, c, creates); err != nil {
			return err
		}
		return h(w, r, c)
	})
}

// bounded gives a handler readWithin.
func (s *Server) bounded(h handler) handler {
	return func(w http.ResponseWriter, r *http.Request, c *caller) error {
		ctx, cancel := context.WithTimeout(r.Context(), readWithin)
		defer cancel()
		return h(w, r.WithContext(ctx), c)
	}
}

// open makes a handler for everybody into one of requests, and logs what it did.
func (s *Server) open(name string, h handler) http.Handler {
	return s.surface.Handle(name, func(w http.ResponseWriter, r *http.Request) error {
		began := time.Now()
		c := &caller{now: s.config.Now(), site: httpkit.Site(httpkit.ClientAddr(r, s.config.TrustedProxies)), v4: strings.HasPrefix(r.URL.Path, "/v4/")}
		err := h(w, r, c)
		if name != otherName { // anybody may ask for what is not there
			s.log(w, r, name, c, err)
		}
		status := http.StatusOK
		if err != nil {
			httpkit.Discard(r, 2*maxBulkBody)
			status = http.StatusInternalServerError
			if e, ok := errors.AsType[*httpkit.Error](err); ok {
				status = e.Status
			}
		}
		if s.config.Observe != nil {
			s.config.Observe(name, status, time.Since(began))
		}
		return err
	})
}

// log writes what an operator needs to say what became of a request: never a key, never a digest.
func (s *Server) log(w http.ResponseWriter, r *http.Request, name string, c *caller, err error) {
	level := slog.LevelInfo
	if err == nil && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		level = slog.LevelDebug
	}
	if !s.config.Log.Enabled(r.Context(), level) {
		return
	}
	line := append([]any{"request", w.Header().Get("X-Request-Id"), "route", name, "account", c.account.ID}, c.note...)
	if err == nil {
		s.config.Log.Log(r.Context(), level, "a request was answered", line...)
		return
	}
	if known, ok := errors.AsType[*coded](err); ok {
		line = append(line, "code", int(known.code), "error", known.id)
	}
	s.config.Log.Log(r.Context(), level, "a request was refused", line...)
}

// admit checks what can be checked before the body is read.
func (s *Server) admit(ctx context.Context, w http.ResponseWriter, r *http.Request, c *caller, creates bool) error {
	if err := s.authenticate(ctx, w, r, c); err != nil {
		return err
	}
	c.plan = s.config.Plans[c.account.Plan]
	if err := limited(w, s.requests.Take(c.account.ID, cmp.Or(c.plan.Requests, requestsPerKey), c.now)); err != nil {
		return err
	}
	if !c.plan.API {
		return failure(CodePlan, "The plan of this account has no API access.")
	}
	if !creates {
		return nil
	}
	if err := limited(w, s.creates.Take(c.account.ID, cmp.Or(c.plan.Creates, createsPerKey), c.now)); err != nil {
		return err
	}
	if a := s.sites.Take(c.site, cmp.Or(s.config.CreatesPerAddress, createsPerSite), c.now); !a.OK {
		return limited(w, a)
	}
	return nil
}

// limited describes what is left, and refuses when nothing is.
func limited(w http.ResponseWriter, a httpkit.Allowance) error {
	a.Describe(w.Header())
	if !a.OK {
		return failure(CodeRate, "Too many requests: wait "+a.RetryAfter()+" seconds.", "Retry-After", a.RetryAfter())
	}
	return nil
}

// authenticate finds the account. A key is compared by its hash alone, so the time that it takes says nothing of
// other keys. A good key is accepted from an address with however many bad ones.
func (s *Server) authenticate(ctx context.Context, w http.ResponseWriter, r *http.Request, c *caller) error {
	if key, ok := s.keyOf(r); ok {
		a, err := s.config.Store.KeyHolder(ctx, account.KeyHash(key))
		if err != nil && !errors.Is(err, account.ErrUnknown) {
			return refused(err)
		}
		c.account = a
		if err == nil && !a.Suspended {
			return nil
		}
	}
	if a := s.failures.Take(c.site, failuresPerSite, c.now); !a.OK {
		return limited(w, a)
	}
	return errKey()
}

// keyOf is what a request has that could be a key: bare in Authorization as the contract wants it, or as clients in
// the field send it.
func (s *Server) keyOf(r *http.Request) (string, bool) {
	for _, value := range slices.Concat(r.Header["Authorization"], r.Header["X-Api-Key"]) {
		value = strings.TrimSpace(value)
		if scheme, rest, ok := strings.Cut(value, " "); ok && (strings.EqualFold(scheme, "Token") || strings.EqualFold(scheme, "Bearer")) {
			value = strings.TrimSpace(rest)
		}
		if account.CheckKey(s.config.KeyPrefix, value) == nil {
			return value, true
		}
	}
	return "", false
}
