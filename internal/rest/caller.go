package rest

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/datestone/datestone/api"
	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/httpkit"
)

// caller is who asks, and how.
type caller struct {
	account account.KeyHolder
	plan    account.Plan
	key     string // for idempotency; empty without
	now     time.Time
	site    netip.Addr
	note    []any // for the request's line in the log
}

const (
	// readWithin bounds what a request may ask of the store.
	readWithin = 10 * time.Second

	// Limits for a minute where the plan says nothing, and for those that are not the plan's.
	requestsPerKey   = 120
	createsPerKey    = 30
	createsPerSite   = 60
	failuresPerSite  = 120
	maxIdempotencyID = 200
)

// handle makes a handler of callers into one of requests, and logs what it did.
func (s *Server) handle(name string, h func(http.ResponseWriter, *http.Request, *caller) error) http.Handler {
	creates := name == "rest-create" || name == "rest-batch"
	return s.surface.Handle(name, func(w http.ResponseWriter, r *http.Request) error {
		c := &caller{now: s.config.Now(), site: httpkit.Site(httpkit.ClientAddr(r, s.config.TrustedProxies))}
		ctx, cancel := context.WithTimeout(r.Context(), readWithin)
		defer cancel()
		err := s.admit(ctx, w, r, c, creates)
		if err == nil {
			if !creates {
				r = r.WithContext(ctx) // the keeper bounds its own waiting
			}
			err = h(w, r, c)
		}
		s.log(w, r, name, c, err)
		if err != nil {
			httpkit.Discard(r, 2*maxBatchBody)
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
	if err != nil {
		s.config.Log.Log(r.Context(), level, "a request was refused", append(line, "code", string(codeOf(err)))...)
		return
	}
	s.config.Log.Log(r.Context(), level, "a request was answered", line...)
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
		return failure(api.ErrPlanNotEntitled, "The authenticated account is not on a premium plan with API access.")
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
	return c.readKey(r)
}

// limited describes what is left, and refuses when nothing is.
func limited(w http.ResponseWriter, a httpkit.Allowance) error {
	a.Describe(w.Header())
	if !a.OK {
		return failure(api.ErrRateLimited, "A rate-limit bucket was exceeded.", "Retry-After", a.RetryAfter())
	}
	return nil
}

func errInvalidKey() error {
	return failure(api.ErrInvalidAPIKey, "The key does not match an active premium credential.", "WWW-Authenticate", `Bearer error="invalid_token"`)
}

// authenticate finds the account. A key is compared by its hash alone, so the time that it takes says nothing of
// other keys. A good key is accepted from an address with however many bad ones.
func (s *Server) authenticate(ctx context.Context, w http.ResponseWriter, r *http.Request, c *caller) error {
	key, ok := httpkit.Bearer(r)
	if !ok {
		return failure(api.ErrAuthenticationRequired, "No Bearer token was provided.", "WWW-Authenticate", "Bearer")
	}
	err := account.CheckKey(s.config.KeyPrefix, key)
	if err == nil {
		var a account.KeyHolder
		a, err = s.config.Store.KeyHolder(ctx, account.KeyHash(key))
		if err != nil && !errors.Is(err, account.ErrUnknown) {
			return refused(err)
		}
		if err == nil && a.Suspended {
			err = account.ErrSuspended
		}
		c.account = a
	}
	if err == nil {
		return nil
	}
	if a := s.failures.Take(c.site, failuresPerSite, c.now); !a.OK {
		return limited(w, a)
	}
	return errInvalidKey()
}

// readKey takes the idempotency key.
func (c *caller) readKey(r *http.Request) error {
	values, has := r.Header["Idempotency-Key"]
	if !has {
		return nil
	}
	if len(values) != 1 || !soundKey(values[0]) {
		return failure(api.ErrInvalidIdempotencyKey, "The provided Idempotency-Key is empty or too long.")
	}
	c.key = values[0]
	return nil
}

// soundKey accepts text of 1 to 200 characters.
func soundKey(key string) bool {
	n := utf8.RuneCountInString(key)
	if n == 0 || n > maxIdempotencyID || !utf8.ValidString(key) {
		return false
	}
	for _, c := range key {
		if unicode.IsControl(c) {
			return false
		}
	}
	return true
}
