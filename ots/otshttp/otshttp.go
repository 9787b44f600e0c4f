// Package otshttp speaks the OpenTimestamps calendar protocol: it sends digests
// to calendars and asks them what became of a commitment.
//
// # The protocol
//
// A calendar is a base URL, by convention only scheme://host[:port]. It has two
// resources:
//
//	POST <base>/digest            body: the digest, 0 to 64 raw bytes
//	GET  <base>/timestamp/<hex>   hex: the commitment, lower case
//
// Both answer 200 with a bare timestamp (no magic, no digest; see package ots)
// of at most [MaxReply] bytes that continues from the digest or the commitment.
// The first leads to a pending attestation that names the calendar, and the
// message it stands on is the commitment to ask for later. The second leads to
// block header attestations; until there is one the answer is 404 with a line
// of text that says what the calendar waits for.
//
// # What is checked
//
// A reply is read up to its limit and parsed strictly for a message of the length that
// was sent, so that every operation accepts what it gets; nothing may follow it. That a commitment is known to the
// calendar, and that an attestation holds, cannot be seen in a reply: the first
// shows when a proof is upgraded, the second when it is verified against a block
// header.
//
// A calendar is not trusted. Its words are cut and cleaned before they reach a
// caller, its redirects may neither leave the scheme nor turn a POST into a GET,
// and [Client.SubmitAll] and [Upgrade] bound the number of requests.
package otshttp

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/datestone/datestone/ots"
)

const (
	// MaxReply is the longest reply in bytes that clients of the protocol read.
	MaxReply = 10_000
	// MaxDigest is the longest digest in bytes that calendars accept.
	MaxDigest = 64
	// MaxReason is how many bytes of a calendar's words are kept.
	MaxReason = 160

	// DefaultUserAgent is sent when [Client.UserAgent] is empty.
	DefaultUserAgent = "datestone"

	// PromisesType is accepted by a client that wants the pending attestations of other
	// calendars too; see [Client.Promises].
	PromisesType = "application/vnd.datestone.promises"

	mediaType    = "application/vnd.opentimestamps.v1"
	maxRedirects = 3
)

// DefaultTimeout bounds one request when [Client.HTTP] is nil, from dialling to
// the last byte. A context can make it shorter.
const DefaultTimeout = 10 * time.Second

var (
	// ErrNotFound is in the chain of the errors of [Client.Timestamp] when the
	// calendar has no block header attestation for the commitment: it is still
	// waiting, or it does not know the commitment. A [*ReasonError] in the same
	// chain has its words.
	ErrNotFound = errors.New("the calendar has no attestation yet")
	// ErrTooLarge is returned for a reply of more than [MaxReply] bytes.
	ErrTooLarge = fmt.Errorf("the calendar's reply is longer than %d bytes", MaxReply)
	// ErrBadURL is returned for a calendar URL that cannot be used.
	ErrBadURL = errors.New("not a calendar URL")
)

// ReasonError is an answer other than 200. Reason is safe to print: see [CleanReason].
type ReasonError struct {
	Status int
	Reason string
}

func (e *ReasonError) Error() string {
	if e.Status == http.StatusNotFound && e.Reason != "" {
		return e.Reason
	}
	if e.Reason == "" {
		return fmt.Sprintf("the calendar answered with status %d", e.Status)
	}
	return fmt.Sprintf("the calendar answered with status %d: %s", e.Status, e.Reason)
}

// Is makes an answer of 404 match [ErrNotFound].
func (e *ReasonError) Is(target error) bool {
	return target == ErrNotFound && e.Status == http.StatusNotFound
}

// Client talks to calendars. The zero value is ready; it is safe for concurrent use
// as long as its fields are left alone.
type Client struct {
	// HTTP performs the requests. Nil means a client of its own with
	// [DefaultTimeout]. Redirects are judged by this package whatever its
	// CheckRedirect says.
	HTTP *http.Client
	// UserAgent is sent with every request; empty means [DefaultUserAgent].
	UserAgent string
	// Promises asks a calendar, while it has no block header attestation, for the pending
	// attestations that it got itself from others: with them a proof can be completed
	// without it. Calendars that have none, or do not know of this, answer as ever.
	Promises bool
	// Authorize, when set, may add headers to a request before it is sent, for
	// calendars that want a key or a signature over the digest.
	Authorize func(req *http.Request, digest []byte) error
}

// Submit sends a digest to a calendar and returns the timestamp that continues from
// the digest. On success the calendar has promised, no more.
func (c *Client) Submit(ctx context.Context, calendar string, digest []byte) (*ots.Timestamp, error) {
	if len(digest) > MaxDigest {
		return nil, fmt.Errorf("submitting a digest: %d bytes, calendars take at most %d", len(digest), MaxDigest)
	}
	u, err := endpoint(calendar, "digest")
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u, bytes.NewReader(digest))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadURL, err)
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	return c.do(req, digest)
}

// Timestamp asks a calendar for what continues from a commitment. While there is
// nothing yet the error matches [ErrNotFound].
func (c *Client) Timestamp(ctx context.Context, calendar string, commitment []byte) (*ots.Timestamp, error) {
	u, err := endpoint(calendar, "timestamp", hex.EncodeToString(commitment))
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadURL, err)
	}
	return c.do(req, commitment)
}

func (c *Client) do(req *http.Request, msg []byte) (*ots.Timestamp, error) {
	ua := c.UserAgent
	if ua == "" {
		ua = DefaultUserAgent
	}
	req.Header.Set("User-Agent", ua)
	req.Header.Set("Accept", mediaType)
	if c.Promises && req.Method == http.MethodGet {
		req.Header.Set("Accept", mediaType+", "+PromisesType)
	}
	// Without this net/http asks for gzip, and old servers have none.
	req.Header.Set("Accept-Encoding", "identity")
	if c.Authorize != nil {
		if err := c.Authorize(req, msg); err != nil {
			return nil, fmt.Errorf("authorizing a request: %w", err)
		}
	}

	resp, err := c.client().Do(req)
	if err != nil {
		return nil, plainError(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		// A broken body only costs words; a whole one leaves the connection usable.
		text, _ := io.ReadAll(io.LimitReader(resp.Body, MaxReply))
		return nil, &ReasonError{Status: resp.StatusCode, Reason: CleanReason(text)}
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxReply+1))
	if err != nil {
		return nil, fmt.Errorf("reading the calendar's reply: %w", plainError(err))
	}
	if len(body) > MaxReply {
		return nil, ErrTooLarge
	}
	t, err := ots.ParseTimestamp(body, len(msg))
	if err != nil {
		return nil, fmt.Errorf("parsing the calendar's reply: %w", err)
	}
	return t, nil
}

var defaultHTTP = &http.Client{Timeout: DefaultTimeout}

func (c *Client) client() *http.Client {
	base := c.HTTP
	if base == nil {
		base = defaultHTTP
	}
	h := *base
	h.CheckRedirect = checkRedirect
	h.Jar = nil
	return &h
}

func checkRedirect(req *http.Request, via []*http.Request) error {
	first := via[0]
	switch {
	case len(via) > maxRedirects:
		return fmt.Errorf("the calendar redirects more than %d times", maxRedirects)
	case req.URL.Scheme != first.URL.Scheme:
		return fmt.Errorf("the calendar redirects to another scheme, %q", CleanReason([]byte(req.URL.Scheme)))
	case req.Method != first.Method:
		return fmt.Errorf("the calendar has moved; use its new URL")
	}
	return nil
}

// plainError drops the method and the URL that net/http puts in front: callers name
// the calendar themselves.
func plainError(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		if ue.Timeout() {
			return slowError{}
		}
		return ue.Err
	}
	return err
}

// slowError is what becomes of every kind of timeout.
type slowError struct{}

func (slowError) Error() string        { return "no answer in time" }
func (slowError) Timeout() bool        { return true }
func (slowError) Is(target error) bool { return target == context.DeadlineExceeded }

// endpoint joins path elements to a calendar's base URL, which may have a path and a
// trailing slash.
func endpoint(calendar string, elem ...string) (string, error) {
	u, err := CheckURL(calendar)
	if err != nil {
		return "", err
	}
	return u.JoinPath(elem...).String(), nil
}

// CheckURL parses a calendar's base URL. It must be http or https with a host and
// without query and fragment.
func CheckURL(calendar string) (*url.URL, error) {
	u, err := url.Parse(calendar)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %q does not parse", ErrBadURL, calendar)
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("%w: %q must start with https:// or http://", ErrBadURL, calendar)
	case u.Hostname() == "":
		return nil, fmt.Errorf("%w: %q has no host", ErrBadURL, calendar)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, fmt.Errorf("%w: %q must have no query and no fragment", ErrBadURL, calendar)
	}
	return u, nil
}

// CleanReason makes the words of a stranger safe to print in one line: at most
// [MaxReason] bytes, anything but letters, digits, space and #-.,; replaced by an
// underscore, space trimmed at the ends.
func CleanReason(text []byte) string {
	text = bytes.TrimSpace(text[:min(len(text), MaxReason)])
	var b strings.Builder
	b.Grow(len(text))
	for _, c := range text {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			strings.IndexByte("#-.,; ", c) >= 0:
			b.WriteByte(c)
		default:
			b.WriteByte('_')
		}
	}
	return b.String()
}
