package upstream

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"
)

// courtesy is what a request brings beside its answer: how long the calendar wants to be left alone, and the name of the
// version that it gave.
type courtesy struct {
	known string        // sent as If-None-Match
	wait  time.Duration // Retry-After
	tag   string        // ETag
}

type courtesyKey struct{}

func (c *courtesy) in(ctx context.Context) context.Context {
	return context.WithValue(ctx, courtesyKey{}, c)
}

var errElsewhere = errors.New("the calendar redirects to another host; write its new address in calendars")

// polite is a transport that reads and writes the courtesies of a request, and stays with one host.
type polite struct {
	host string
	next http.RoundTripper
}

const (
	maxWait = 24 * time.Hour
	maxTag  = 256
)

// RoundTrip implements http.RoundTripper.
func (p polite) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host != p.host {
		return nil, errElsewhere
	}
	c, _ := r.Context().Value(courtesyKey{}).(*courtesy)
	if c != nil && c.known != "" {
		r = r.Clone(r.Context())
		r.Header.Set("If-None-Match", c.known)
	}
	resp, err := p.next.RoundTrip(r)
	if err != nil || c == nil {
		return resp, err
	}
	c.wait = retryAfter(resp.Header.Get("Retry-After"), time.Now())
	if tag := resp.Header.Get("ETag"); len(tag) <= maxTag {
		c.tag = tag
	}
	return resp, nil
}

// retryAfter reads the header's value, at most a day.
func retryAfter(text string, now time.Time) time.Duration {
	if text == "" {
		return 0
	}
	wait := time.Duration(0)
	if seconds, err := strconv.ParseInt(text, 10, 32); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), maxWait)
}
