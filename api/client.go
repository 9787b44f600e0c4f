package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	// DefaultTimeout bounds each try of a request when [Options.HTTP] is nil, from dialling to the last byte.
	DefaultTimeout = 60 * time.Second
	// DefaultAttempts is how often a request is tried when [Options.Attempts] is 0.
	DefaultAttempts = 5
	// DefaultUserAgent is sent when [Options.UserAgent] is empty.
	DefaultUserAgent = "datestone-go"

	minKey     = 16
	maxKey     = 512
	maxMessage = 512 // bytes of an error's message that are kept
)

// How much of an answer is read, in bytes.
const (
	maxErrorAnswer = 64 << 10
	maxAnswer      = 1 << 20
	maxBatchAnswer = 64 << 20
	maxProof       = 1 << 20
	maxEvidence    = 16 << 20
)

// Options change how a [Client] works. The zero value is fine.
type Options struct {
	// HTTP performs the requests; nil means a client of its own with [DefaultTimeout]. Redirects are not
	// followed and cookies not kept, whatever it says.
	HTTP *http.Client
	// UserAgent is sent with every request.
	UserAgent string
	// Attempts is how often a request is tried; 1 tries nothing again.
	Attempts int
	// Retrying, when set, is told of each failure after which a request is tried again, and when.
	Retrying func(err error, wait time.Duration)
}

// Client asks one Datestone for one account. It is safe for concurrent use.
type Client struct {
	base *url.URL
	key  string
	http *http.Client
	opts Options
}

// New makes a client of the service at an address such as https://stamps.example.org. It contacts nobody.
func New(baseURL, key string, options Options) (*Client, error) {
	base, err := url.Parse(baseURL)
	switch {
	case err != nil:
		return nil, errors.New("the service's address is not a URL")
	case base.Scheme != "https" && base.Scheme != "http" || base.Host == "":
		return nil, errors.New("the service's address must be a URL such as https://stamps.example.org")
	case base.User != nil || base.RawQuery != "" || base.ForceQuery || base.Fragment != "":
		return nil, errors.New("the service's address may not have a user, a query or a fragment")
	case key == "":
		return nil, errors.New("there is no API key")
	case len(key) < minKey || len(key) > maxKey:
		return nil, errors.New("that is no API key: it is too short or too long")
	case strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, errors.New("the API key has characters that no key has")
	case options.Attempts < 0:
		return nil, errors.New("the number of attempts is negative")
	}
	c := &Client{base: base, key: key, opts: options}
	if c.opts.Attempts == 0 {
		c.opts.Attempts = DefaultAttempts
	}
	if c.opts.UserAgent == "" {
		c.opts.UserAgent = DefaultUserAgent
	}
	h := http.Client{Timeout: DefaultTimeout}
	if options.HTTP != nil {
		h = *options.HTTP
	}
	h.Jar = nil
	h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.http = &h
	return c, nil
}

// request is one that may be sent again: reads, changes that set values, and creates with an idempotency key.
type request struct {
	method      string
	path        []string // below /api/v1
	query       url.Values
	body        []byte
	contentType string
	idempotency string
	limit       int64 // bytes of the answer
	single      bool  // it is not sent again, for it would count twice
}

// call sends a request, again if need be, and reads its JSON answer into result.
func (c *Client) call(ctx context.Context, r request, result any) error {
	body, err := c.do(ctx, r)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, result); err != nil {
		return fmt.Errorf("the server's answer is not the API's: %w", err)
	}
	return nil
}

func jsonBody(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// once sends a request once.
func (c *Client) once(ctx context.Context, r request) ([]byte, error) {
	u := c.base.JoinPath(append([]string{"api", "v1"}, r.path...)...)
	u.RawQuery = r.query.Encode()
	req, err := http.NewRequestWithContext(ctx, r.method, u.String(), bytes.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.key)
	req.Header.Set("User-Agent", c.opts.UserAgent)
	if r.contentType != "" {
		req.Header.Set("Content-Type", r.contentType)
	}
	if r.idempotency != "" {
		req.Header.Set("Idempotency-Key", r.idempotency)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, unreached(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return nil, c.refusal(resp)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, r.limit+1))
	if int64(len(body)) > r.limit {
		return nil, fmt.Errorf("the server's answer is longer than %d bytes", r.limit)
	}
	if err != nil {
		return nil, unreached(fmt.Errorf("the server's answer broke off: %w", err))
	}
	return body, nil
}

// refusal reads an answer that is not a success. Its words are a stranger's.
func (c *Client) refusal(resp *http.Response) *Error {
	// A body that breaks off only costs words.
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorAnswer))
	var answer ErrorAnswer
	e := &Error{}
	if json.Unmarshal(body, &answer) == nil && answer.Error != nil {
		e = answer.Error
	}
	e.Status = resp.StatusCode
	e.RetryAfter = retryAfter(resp.Header.Get("Retry-After"), time.Now())
	if e.RequestID == "" {
		e.RequestID = resp.Header.Get("X-Request-Id")
	}
	if location := resp.Header.Get("Location"); e.Code == "" && resp.StatusCode/100 == 3 && location != "" {
		e.Message = "the server sends clients on, which may not take the key with them; is its address " + location + "?"
	}
	e.Code = Code(c.clean(string(e.Code), 64))
	e.RequestID = c.clean(e.RequestID, 128)
	e.Message = c.clean(e.Message, maxMessage)
	return e
}

// failed says what was tried. Every error leaves the package through it.
func (c *Client) failed(what string, err error) error {
	return c.withoutKey(fmt.Errorf("%s: %w", what, err))
}

func (c *Client) withoutKey(err error) error {
	if strings.Contains(err.Error(), c.key) {
		return errors.New(c.hide(err.Error()))
	}
	return err
}

func (c *Client) hide(text string) string { return strings.ReplaceAll(text, c.key, "[the API key]") }

// clean makes a stranger's words short, printable and without the key.
func (c *Client) clean(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			return '_'
		}
		return r
	}, c.hide(text))
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most]
}
