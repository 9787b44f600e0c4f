package server

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/datestone/datestone/internal/apidoc"
	"github.com/datestone/datestone/internal/calendar"
	"github.com/datestone/datestone/internal/certificate"
	"github.com/datestone/datestone/internal/compat/originstamp"
	"github.com/datestone/datestone/internal/compat/originstamp/pages"
	"github.com/datestone/datestone/internal/httpkit"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/notify/letter"
	"github.com/datestone/datestone/internal/store"
)

// apiPrefix begins the paths of the REST API.
const apiPrefix = "/api/"

// front answers what operators ask of any daemon, and hands all else to the surface.
type front struct {
	apidoc  *apidoc.Server // nil where it is not served
	surface http.Handler
	api     http.Handler // nil where it is not served
	pages   http.Handler // of certificates; nil where they are not served
	off     *letter.Off  // nil where it is not served
	stamps  http.Handler // OriginStamp's interface; nil where it is not served
	shown   http.Handler // pages of what it took; nil where they are not served
	health  *health
	metrics http.Handler // nil where they are not shown
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if (r.Method == http.MethodGet || r.Method == http.MethodHead) && len(r.RequestURI) <= len("/metrics") {
		switch r.RequestURI {
		case "/healthz":
			httpkit.Busy(r)
			answerText(w, http.StatusOK, "alive")
			return
		case "/readyz":
			httpkit.Busy(r)
			if err := f.health.ready(r.Context(), time.Now()); err != nil {
				answerText(w, http.StatusServiceUnavailable, err.Error())
				return
			}
			answerText(w, http.StatusOK, "ready")
			return
		case "/metrics":
			if f.metrics != nil {
				httpkit.Busy(r)
				f.metrics.ServeHTTP(w, r)
				return
			}
		}
	}
	if f.apidoc != nil && f.apidoc.Serves(r.URL.Path) {
		f.apidoc.ServeHTTP(w, r)
		return
	}
	if f.shown != nil && pages.Serves(r.URL.Path) {
		f.shown.ServeHTTP(w, r)
		return
	}
	if f.api != nil && strings.HasPrefix(r.URL.Path, apiPrefix) {
		f.api.ServeHTTP(w, r)
		return
	}
	if f.stamps != nil && originstamp.Serves(r.URL.Path) {
		f.stamps.ServeHTTP(w, r)
		return
	}
	if f.pages != nil && certificate.Serves(r.URL.Path) && !asksToVerify(r) {
		f.pages.ServeHTTP(w, r)
		return
	}
	if f.off != nil && f.off.Serves(r.URL.Path) {
		f.off.ServeHTTP(w, r)
		return
	}
	f.surface.ServeHTTP(w, r)
}

// asksToVerify says whether a request is the authenticated calendar's, whose path is also that of a page: the page is
// read, and a proof is posted.
func asksToVerify(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, "/verify/") && (r.Method == http.MethodPost || r.Method == http.MethodOptions)
}

func answerText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	io.WriteString(w, text+"\n")
}

const (
	// readyWithin bounds what a question for readiness may take.
	readyWithin = 2 * time.Second
	// probeEvery is how often a failing store is asked to commit.
	probeEvery = 5 * time.Second
)

// health knows whether the store answers and commits.
type health struct {
	head   func(context.Context) (logtree.Head, error)
	submit func(context.Context, []byte) (calendar.Receipt, error)

	mu     sync.Mutex // guards what follows
	failed error      // of the newest commit
	behind bool       // the database lacks what was acknowledged
	doubt  bool       // stamps were not committed, for whatever reason; a probe tells
	probed time.Time
}

// setBehind says whether the database lacks what was acknowledged.
func (h *health) setBehind(behind bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.behind = behind
}

// committed is told of every commit.
func (h *health) committed(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failed = err
}

// ready says why digests cannot be taken now. After a failed commit it commits an entry of its own from
// time to time: a proxy that sends no more digests would otherwise never hear that the fault is over.
func (h *health) ready(ctx context.Context, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	if _, err := h.head(ctx); err != nil {
		return fmt.Errorf("the database does not answer")
	}
	if h.isBehind() {
		return store.ErrBehind
	}
	if h.suspicious() && h.mayProbe(now) {
		if _, err := h.submit(ctx, nil); err != nil {
			return fmt.Errorf("the database does not commit")
		}
	}
	if h.lastFailed() {
		return fmt.Errorf("the database does not commit")
	}
	return nil
}

func (h *health) lastFailed() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.failed != nil
}

// kept is told of every commit of stamps. What one account's rows do to it is not the database's state.
func (h *health) kept(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.doubt = h.doubt || err != nil
}

// suspicious says whether there is a reason to probe.
func (h *health) suspicious() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.failed != nil || h.doubt
}

func (h *health) isBehind() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.behind
}

func (h *health) mayProbe(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if now.Sub(h.probed) < probeEvery {
		return false
	}
	h.probed, h.doubt = now, false
	return true
}
