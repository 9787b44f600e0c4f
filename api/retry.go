package api

import (
	"context"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	firstPause   = 250 * time.Millisecond
	longestPause = 10 * time.Second
	// patience is how long a wait that the server asks for may be; a longer one ends the tries.
	patience = 2 * time.Minute

	firstPoll   = time.Second
	longestPoll = time.Minute
)

// unreachedError is a request or an answer that got lost: nobody knows whether the server has done it.
type unreachedError struct{ err error }

func (e *unreachedError) Error() string { return e.err.Error() }
func (e *unreachedError) Unwrap() error { return e.err }

func unreached(err error) error {
	// The method and the address say nothing that the caller does not know.
	if ue, ok := errors.AsType[*url.Error](err); ok {
		err = ue.Err
	}
	// No other try will find another certificate.
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return err
	}
	return &unreachedError{err}
}

// Temporary says whether the same request may succeed later.
func Temporary(err error) bool {
	if _, ok := errors.AsType[*unreachedError](err); ok {
		return true
	}
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return false
	}
	switch e.Status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return e.Code == ErrIdempotencyInProgress
}

// do sends a request until it is answered for good, a bounded number of times.
func (c *Client) do(ctx context.Context, r request) ([]byte, error) {
	pause := firstPause
	for attempt := 1; ; attempt++ {
		body, err := c.once(ctx, r)
		if err == nil {
			return body, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if !Temporary(err) || r.single || attempt == c.opts.Attempts {
			return nil, err
		}
		wait := jitter(pause)
		pause = min(2*pause, longestPause)
		if e, ok := errors.AsType[*Error](err); ok {
			if e.RetryAfter > patience {
				return nil, err
			}
			// The jitter comes on top, so that all who were told the same do not come back at once.
			wait += e.RetryAfter
		}
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < wait {
			return nil, err
		}
		if c.opts.Retrying != nil {
			c.opts.Retrying(c.withoutKey(err), wait)
		}
		if sleep(ctx, wait) != nil {
			return nil, context.Cause(ctx)
		}
	}
}

// jitter is between half of d and d.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// retryAfter reads a Retry-After: seconds, or a date.
func retryAfter(text string, now time.Time) time.Duration {
	if n, err := strconv.ParseUint(text, 10, 32); err == nil {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil && at.After(now) {
		return at.Sub(now)
	}
	return 0
}
