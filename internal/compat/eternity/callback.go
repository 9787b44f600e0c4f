package eternity

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/egress"
	"github.com/datestone/datestone/internal/notify"
)

// Awaited knows what a notice is about. store.DB is one.
type Awaited interface {
	// SignedOf returns account.ErrUnsigned for a notice that is about nothing.
	SignedOf(ctx context.Context, n notify.Notice) (account.Signed, account.Signer, error)
}

// Requester asks customers' addresses, and none inside. egress.Client is one.
type Requester interface {
	Do(ctx context.Context, r *http.Request) (egress.Answer, error)
}

// Callback tells customers that a digest of theirs has a new attestation: a GET of their address with digest and type.
type Callback struct {
	Store  Awaited
	Client Requester
	// Types are the contract's words for the chains of targets: BTC, ETH or LTC. Of other targets nobody is told.
	Types map[string]string
}

// Send calls once.
func (c *Callback) Send(ctx context.Context, e notify.Endpoint, n notify.Notice) notify.Outcome {
	chain, ok := c.Types[n.Target]
	if !ok {
		return notify.Outcome{}
	}
	signed, _, err := c.Store.SignedOf(ctx, n)
	if err != nil {
		return notify.Outcome{Err: fmt.Errorf("%w: %w", notify.ErrOurFault, err)}
	}
	u, err := url.Parse(e.Address)
	if err != nil {
		return notify.Outcome{Err: errors.New("the callback is no address")}
	}
	query := "digest=" + hex.EncodeToString(signed.Digest) + "&type=" + chain
	if u.RawQuery != "" {
		query = u.RawQuery + "&" + query
	}
	u.RawQuery = query
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return notify.Outcome{Err: errors.New("the callback is no address")}
	}
	answer, err := c.Client.Do(ctx, r)
	if err != nil {
		if e, ok := errors.AsType[*egress.Error](err); ok {
			err = errors.New(e.Message) // the cause may tell of our network
		} else if ctx.Err() != nil {
			err = errors.New("there was no answer in time")
		}
		return notify.Outcome{Err: err}
	}
	o := notify.Outcome{Status: answer.Status, Gone: answer.Status == http.StatusGone}
	if answer.Status < 200 || answer.Status > 299 {
		o.Err = fmt.Errorf("the server answered %d", answer.Status)
		if n, err := strconv.Atoi(answer.Header.Get("Retry-After")); err == nil && n > 0 {
			o.RetryAfter = time.Duration(min(n, 24*3600)) * time.Second
		}
	}
	return o
}
