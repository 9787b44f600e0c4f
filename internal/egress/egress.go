// Package egress makes requests to addresses that customers chose, and never inside our network.
//
// What counts is the address that is connected to, looked at after the last look-up of its name
// and before the first byte is sent. So it does not matter what a name resolved to before, how an
// address is written, or which of several addresses is taken. [Client.Check] only tells a customer
// early what cannot work.
package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"

	"code.dny.dev/ssrf"
)

const (
	// MaxURL is the longest URL, in bytes.
	MaxURL = 2048
	// MaxBody is how much of an answer's body is read, in bytes.
	MaxBody = 4 << 10

	defaultTimeout = 15 * time.Second
	// bodyWait is the time for the body once the status is known. The answer stands without it.
	bodyWait       = 2 * time.Second
	maxHeader      = 16 << 10
	maxCertificate = 200 // bytes of what is said of a certificate
)

// Config is where requests may go.
type Config struct {
	// Ports are the ports that a URL may name. Default 80 and 443.
	Ports []int
	// Allow names hosts inside that may be reached all the same: host means it at any of Ports,
	// host:port at that one. Only a URL with exactly this host is meant, not another name of it.
	Allow []string
	// Deny are networks of ours whose addresses look public.
	Deny []netip.Prefix
	// Timeout bounds a request from the look-up of its host to the last byte. Default 15s.
	Timeout time.Duration
	// UserAgent is sent with every request that has none. Default "Datestone".
	UserAgent string
	// RootCAs verify certificates. Default the system's.
	RootCAs *x509.CertPool
	// Resolver looks up hosts. Default the system's.
	Resolver *net.Resolver
}

// Client makes requests. It follows no redirect, keeps no cookie and asks no proxy.
type Client struct {
	config  Config
	ports   string // as people read them
	allowed map[string]bool
	guard   *ssrf.Guardian
	http    *http.Client

	inside, outside *net.Dialer // outside has the guard
}

// Answer is what a server said. A redirect is an answer like any other.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte // the first MaxBody bytes, or what came of them in time
}

// Error is a request without an answer.
type Error struct {
	// Message is a sentence for the customer. It has no address of a host in it.
	Message string
	// Err is the cause, for the operator.
	Err error
}

func (e *Error) Error() string { return e.Message + ": " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// ErrInside is the cause when a host has no address that may be connected to.
var ErrInside = errors.New("not a public address")

// denied is what the library's list from IANA's registries lacks: the host of Azure's machines.
var denied = []netip.Prefix{netip.MustParsePrefix("168.63.129.16/32")}

// New makes a client. Its error says which setting is wrong.
func New(config Config) (*Client, error) { return newClient(config) }

// newClient lets tests say that an address of this machine is a public one.
func newClient(config Config, options ...ssrf.Option) (*Client, error) {
	if len(config.Ports) == 0 {
		config.Ports = []int{80, 443}
	}
	if config.Timeout == 0 {
		config.Timeout = defaultTimeout
	}
	if config.UserAgent == "" {
		config.UserAgent = "Datestone"
	}
	c := &Client{config: config, allowed: make(map[string]bool)}
	var ports []uint16
	var names []string
	for _, p := range config.Ports {
		if p < 1 || p > 65535 {
			return nil, fmt.Errorf("%d is no port: write numbers from 1 to 65535", p)
		}
		ports = append(ports, uint16(p))
		names = append(names, strconv.Itoa(p))
	}
	c.ports = strings.Join(names, ", ")
	for _, text := range config.Allow {
		name, err := parseAllowed(text)
		if err != nil {
			return nil, err
		}
		c.allowed[name] = true
	}
	var v4, v6 []netip.Prefix
	for _, p := range slices.Concat(denied, config.Deny) {
		if p.Addr().Is4() {
			v4 = append(v4, p)
		} else {
			v6 = append(v6, p)
		}
	}
	c.guard = ssrf.New(append([]ssrf.Option{
		ssrf.WithPorts(ports...), ssrf.WithDeniedV4Prefixes(v4...), ssrf.WithDeniedV6Prefixes(v6...),
	}, options...)...)
	c.inside = &net.Dialer{Timeout: config.Timeout, Resolver: config.Resolver}
	c.outside = &net.Dialer{Timeout: config.Timeout, Resolver: config.Resolver, Control: c.guard.Safe}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	c.http = &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:                  nil, // not even the environment's
			DialContext:            c.dial,
			DialTLSContext:         c.dialTLS,
			DisableKeepAlives:      true, // each request has a look-up and a check of its own
			Protocols:              &protocols,
			DisableCompression:     true, // a small answer stays small
			MaxResponseHeaderBytes: maxHeader,
		},
	}
	return c, nil
}

// dial connects for a URL whose host and port are addr.
func (c *Client) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := c.connect(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return newPatient(conn), nil
}

func (c *Client) dialTLS(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	raw, err := c.connect(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, &tls.Config{ServerName: host, RootCAs: c.config.RootCAs, MinVersion: tls.VersionTLS12})
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, err
	}
	return newPatient(conn), nil
}

// connect is where it is decided who is connected to.
func (c *Client) connect(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	if c.isAllowed(host, port) {
		return c.inside.DialContext(ctx, network, addr)
	}
	return c.outside.DialContext(ctx, network, addr)
}

// patient is a connection that is not read before something was written. The standard library logs what a server
// says before it was asked, and our log is not for strangers to write.
type patient struct {
	net.Conn
	ready func()
	read  <-chan struct{} // closed once reading makes sense
}

func newPatient(conn net.Conn) *patient {
	read := make(chan struct{})
	return &patient{Conn: conn, ready: sync.OnceFunc(func() { close(read) }), read: read}
}

func (p *patient) Read(b []byte) (int, error) {
	<-p.read
	return p.Conn.Read(b)
}

func (p *patient) Write(b []byte) (int, error) {
	p.ready()
	return p.Conn.Write(b)
}

func (p *patient) Close() error {
	defer p.ready() // a reader gets the error
	return p.Conn.Close()
}

// Do sends a request and reads the beginning of its answer. The error is an *Error with a sentence for the
// customer, or that of ctx when it ended. The request is not changed.
func (c *Client) Do(ctx context.Context, req *http.Request) (Answer, error) {
	text := req.URL.String()
	if err := c.Check(text); err != nil {
		return Answer{}, &Error{"the URL is not allowed any more", err}
	}
	checked, err := url.Parse(text)
	if err != nil {
		return Answer{}, err
	}
	limited, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	req = req.Clone(limited)
	req.URL, req.Host = checked, ""
	if req.Header == nil {
		req.Header = make(http.Header)
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", c.config.UserAgent)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return Answer{}, ctx.Err()
		}
		return Answer{}, c.explain(err)
	}
	defer resp.Body.Close()
	defer time.AfterFunc(bodyWait, cancel).Stop()
	// The status is what counts; a body that breaks off or hangs only costs words.
	body, _ := io.ReadAll(io.LimitReader(resp.Body, MaxBody))
	return Answer{Status: resp.StatusCode, Header: resp.Header, Body: body}, nil
}

// explain says in words for customers what went wrong.
func (c *Client) explain(err error) *Error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // the URL may have a secret in it
	}
	dns, isDNS := errors.AsType[*net.DNSError](err)
	certificate, isCertificate := errors.AsType[*tls.CertificateVerificationError](err)
	timeout, isTimeout := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, ssrf.ErrProhibitedIP), errors.Is(err, ssrf.ErrProhibitedPort), errors.Is(err, ssrf.ErrProhibitedNetwork):
		return &Error{"the host has no address on the public internet", fmt.Errorf("%w: %w", ErrInside, err)}
	case isDNS && dns.IsNotFound:
		return &Error{"the host's name has no address", err}
	case isDNS:
		return &Error{"the host's name could not be looked up", err}
	case isCertificate:
		return &Error{"the server's certificate is not good: " + clean(certificate.Err.Error(), maxCertificate), err}
	case errors.Is(err, context.DeadlineExceeded) || isTimeout && timeout.Timeout():
		return &Error{fmt.Sprintf("there was no answer within %v", c.config.Timeout), err}
	case errors.Is(err, syscall.ECONNREFUSED):
		return &Error{"the connection was refused", err}
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return &Error{"the host could not be reached", err}
	}
	return &Error{"the connection broke, or what came is not an answer of HTTP", err}
}

// clean makes a stranger's words short and printable.
func clean(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if r > unicode.MaxASCII || !unicode.IsPrint(r) {
			return '_'
		}
		return r
	}, text)
	return text[:min(len(text), most)]
}
