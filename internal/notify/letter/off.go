package letter

import (
	"context"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/httpkit"
	"github.com/datestone/datestone/internal/notify"
	"github.com/datestone/datestone/internal/page"
	"github.com/datestone/datestone/internal/store"
)

const (
	offPrefix = "/unsubscribe/"
	// offPerSite is how many times a minute an address may switch off. Mail providers do it for many people.
	offPerSite = 300
	offWithin  = 10 * time.Second
)

// offPath is the path of the page that switches an endpoint off.
func offPath(e notify.Endpoint) string {
	return offPrefix + hex.EncodeToString(e.UID[:]) + hex.EncodeToString(e.Secret)
}

// parseOff is the other way round.
func parseOff(path string) (uid account.ID, secret []byte, ok bool) {
	b, err := hex.DecodeString(strings.TrimPrefix(path, offPrefix))
	if err != nil || len(b) != len(uid)+notify.MailSecretBytes {
		return uid, nil, false
	}
	return account.ID(b), b[len(uid):], true
}

// Unsubscriber ends the e-mail of an endpoint. store.DB is one.
type Unsubscriber interface {
	// Unsubscribe says whether there was any to end. It returns only after it is on disk.
	Unsubscribe(ctx context.Context, uid account.ID, secret []byte) (bool, error)
}

// Off is the page that switches e-mail off without a login, by one click (RFC 8058). To read it changes nothing: mail
// programs fetch what is in an e-mail. Nobody learns from it which addresses are in use.
type Off struct {
	config  OffConfig
	sites   httpkit.Limiter[netip.Addr]
	handler http.Handler
}

// OffConfig are the page's parts and settings.
type OffConfig struct {
	Store Unsubscriber
	// TrustedProxies are those whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix
	Log            *slog.Logger
	// Observe, when set, is told of each answer.
	Observe func(route string, status int, took time.Duration)
}

// NewOff makes the page.
func NewOff(config OffConfig) *Off {
	o := &Off{config: config}
	surface := &httpkit.Surface{Fail: page.Fail, Observe: config.Observe, Log: config.Log}
	o.handler = httpkit.Identified(surface.Handle("unsubscribe", o.serve))
	return o
}

// Serves says whether a path is this page's.
func (o *Off) Serves(path string) bool { return strings.HasPrefix(path, offPrefix) }

// ServeHTTP answers a request whose path it Serves.
func (o *Off) ServeHTTP(w http.ResponseWriter, r *http.Request) { o.handler.ServeHTTP(w, r) }

//go:embed off.html
var offText string

var offPage = page.Parse("unsubscribe", offText, template.FuncMap{})

type offData struct {
	Title       string
	TestNetwork bool
	Done        bool
}

func (o *Off) serve(w http.ResponseWriter, r *http.Request) error {
	data := offData{Title: "Switch e-mail off?"}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodPost:
		if err := o.end(r); err != nil {
			return err
		}
		data = offData{Title: "E-mail is off", Done: true}
	default:
		return &httpkit.Error{Status: http.StatusMethodNotAllowed, Message: "this page can be read, and switches off by POST", Header: []string{"Allow", "GET, HEAD, POST"}}
	}
	body, err := page.Render(offPage, data)
	if err != nil {
		return err
	}
	return page.Write(w, r, http.StatusOK, body)
}

// end switches off what the address names, if there is such a thing. The request's body says nothing that is needed.
func (o *Off) end(r *http.Request) error {
	uid, secret, ok := parseOff(r.URL.Path)
	if !ok {
		return nil
	}
	site := httpkit.Site(httpkit.ClientAddr(r, o.config.TrustedProxies))
	if a := o.sites.Take(site, offPerSite, time.Now()); !a.OK {
		return &httpkit.Error{
			Status: http.StatusTooManyRequests, Header: []string{"Retry-After", a.RetryAfter()},
			Message: fmt.Sprintf("there were more than %d requests from your address in a minute; try again in %s seconds", offPerSite, a.RetryAfter()),
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), offWithin)
	defer cancel()
	ended, err := o.config.Store.Unsubscribe(ctx, uid, secret)
	if errors.Is(err, store.ErrBusy) || errors.Is(err, store.ErrUnreachable) || errors.Is(err, context.DeadlineExceeded) {
		return &httpkit.Error{Status: http.StatusServiceUnavailable, Message: "this cannot be done just now; try again in a moment", Header: []string{"Retry-After", "1"}, Err: err}
	} else if err != nil {
		return err
	}
	if ended {
		o.config.Log.Info("e-mail to an account was switched off by its link", "endpoint", uid.String())
	}
	return nil
}
