package otshttp

import (
	"fmt"
	"net/url"
	"strings"
)

// DefaultCalendars are the public calendars that a digest is sent to when nobody
// says otherwise: the aggregators of the reference client.
var DefaultCalendars = []string{
	"https://a.pool.opentimestamps.org",
	"https://b.pool.opentimestamps.org",
	"https://a.pool.eternitywall.com",
	"https://ots.btc.catallaxy.com",
}

// DefaultAllowed are the patterns of the calendars that may be asked because a proof
// names them: those of the reference client.
var DefaultAllowed = []string{
	"https://*.calendar.opentimestamps.org",
	"https://*.calendar.eternitywall.com",
	"https://*.calendar.catallaxy.com",
}

// Allowlist says which calendars may be asked because a proof names them. Without it
// a stranger's proof could make its reader send requests anywhere. The zero value
// allows nothing.
//
// A URI matches a pattern when scheme and path are equal and the pattern's
// host[:port] matches the URI's as a shell pattern: * is any run of characters,
// dots included, ? is one character, [a-c] and [!a-c] are sets; a pattern also matches
// itself. A URI with
// parameters (a ; in its last path part), a query or a fragment matches nothing.
type Allowlist struct {
	patterns []pattern
}

type pattern struct {
	scheme, host, path string
}

// NewAllowlist makes a list of patterns; see [Allowlist.Add].
func NewAllowlist(patterns ...string) (*Allowlist, error) {
	var l Allowlist
	for _, p := range patterns {
		if err := l.Add(p); err != nil {
			return nil, err
		}
	}
	return &l, nil
}

// Add adds a pattern such as https://*.example.org. Without a scheme it stands for
// both http and https.
func (l *Allowlist) Add(s string) error {
	if !strings.HasPrefix(s, "http://") && !strings.HasPrefix(s, "https://") {
		if strings.Contains(s, "://") {
			return fmt.Errorf("%w: pattern %q must start with https:// or http://", ErrBadURL, s)
		}
		if err := l.Add("http://" + s); err != nil {
			return err
		}
		return l.Add("https://" + s)
	}
	p, ok := split(s)
	if !ok || p.host == "" {
		return fmt.Errorf("%w: pattern %q must be a scheme, a host and perhaps a path", ErrBadURL, s)
	}
	l.patterns = append(l.patterns, p)
	return nil
}

// Allows says whether a calendar may be asked. A nil list allows nothing.
func (l *Allowlist) Allows(uri string) bool {
	if l == nil {
		return false
	}
	u, ok := split(uri)
	if !ok {
		return false
	}
	// A URI that Go and the pattern read differently must not be sent anywhere.
	if parsed, err := url.Parse(uri); err != nil || parsed.Host != u.host || parsed.User != nil {
		return false
	}
	for _, p := range l.patterns {
		if p.scheme == u.scheme && p.path == u.path && (p.host == u.host || match(p.host, u.host)) {
			return true
		}
	}
	return false
}

// split takes scheme, host[:port] and path apart by hand: a pattern's host may hold
// characters that net/url refuses.
func split(s string) (pattern, bool) {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok || strings.ContainsAny(rest, "#;") {
		return pattern{}, false
	}
	host, path := rest, ""
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		host, path = rest[:i], rest[i:]
	}
	// A question mark in the host is a pattern character, after it a query.
	if strings.Contains(path, "?") {
		return pattern{}, false
	}
	return pattern{scheme: strings.ToLower(scheme), host: host, path: path}, true
}

// match is shell pattern matching in time O(len(pat) * len(s)): on a mismatch it only
// ever goes back to the last star.
func match(pat, s string) bool {
	p, i := 0, 0
	star, mark := -1, 0
	for i < len(s) {
		if p < len(pat) && pat[p] == '*' {
			star, mark = p, i
			p++
			continue
		}
		if p < len(pat) {
			if n, ok := matchOne(pat[p:], s[i]); ok {
				p += n
				i++
				continue
			}
		}
		if star < 0 {
			return false
		}
		mark++
		p, i = star+1, mark
	}
	for p < len(pat) && pat[p] == '*' {
		p++
	}
	return p == len(pat)
}

// matchOne matches one character against the head of a pattern and says how long
// that head is. An unclosed [ is an ordinary character.
func matchOne(pat string, c byte) (n int, ok bool) {
	switch pat[0] {
	case '?':
		return 1, true
	case '[':
		i := 1
		negate := i < len(pat) && pat[i] == '!'
		if negate {
			i++
		}
		start := i
		if i < len(pat) && pat[i] == ']' {
			i++
		}
		for i < len(pat) && pat[i] != ']' {
			i++
		}
		if i >= len(pat) {
			break
		}
		set := pat[start:i]
		in := false
		for k := 0; k < len(set); {
			if k+2 < len(set) && set[k+1] == '-' {
				in = in || set[k] <= c && c <= set[k+2]
				k += 3
				continue
			}
			in = in || set[k] == c
			k++
		}
		return i + 1, in != negate
	}
	return 1, pat[0] == c
}
