package egress

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

const example = "write an address such as https://hooks.example.org/datestone"

// private are the last labels of names that the public internet does not have.
var private = []string{"localhost", "local", "internal", "intranet", "lan", "home", "corp", "onion", "invalid", "arpa"}

// Check refuses a URL that Do would not ask, as far as that can be told without a look-up. The error is a sentence
// for the customer that says what is allowed.
func (c *Client) Check(text string) error {
	switch {
	case text == "":
		return errors.New("the URL is empty: " + example)
	case len(text) > MaxURL:
		return fmt.Errorf("the URL has %d bytes: write one of at most %d", len(text), MaxURL)
	case strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' || r == '\\' }):
		return errors.New("the URL has characters that no URL has: write a name with other letters in its xn-- form, and %XX for them elsewhere")
	}
	u, err := url.Parse(text)
	if err != nil {
		return errors.New("that is no URL: " + example)
	}
	host, port := u.Hostname(), u.Port()
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return errors.New("the URL must begin with https:// or http://: " + example)
	case u.Opaque != "" || host == "":
		return errors.New("the URL has no host: " + example)
	case u.User != nil:
		return errors.New("the URL has a user or an @ before its host: put what the server needs to know you by into the path or the query")
	case strings.Contains(text, "#"):
		return errors.New("the URL has a # in it, and what follows is never sent: leave it out")
	case port == "" && u.Scheme == "https":
		port = "443"
	case port == "":
		port = "80"
	}
	if c.isAllowed(host, port) {
		return nil
	}
	if err := c.checkHost(host, strings.HasPrefix(u.Host, "[")); err != nil {
		return err
	}
	if n, err := strconv.Atoi(port); err != nil || strconv.Itoa(n) != port || !slices.Contains(c.config.Ports, n) {
		return fmt.Errorf("the URL's port is %s: it can be one of %s", port, c.ports)
	}
	return nil
}

// checkHost takes a public address or what may be the name of a host that has one.
func (c *Client) checkHost(host string, brackets bool) error {
	last := strings.ToLower(host[strings.LastIndexByte(host, '.')+1:])
	if brackets || isNumber(last) {
		// Some parsers take 0x7f.1 and 017700000001 for addresses.
		a, err := netip.ParseAddr(host)
		switch {
		case err != nil || a.Zone() != "" || a.Is6() != brackets:
			return fmt.Errorf("the URL's host is %q: write an address as 192.0.2.1 or [2001:db8::1], or better a name", host)
		case c.guard.SafeAddr(a) != nil:
			return fmt.Errorf("the URL's host is %s, which is not on the public internet", a)
		}
		return nil
	}
	switch {
	case !isName(host):
		return fmt.Errorf("the URL's host is %q: write a name of letters, digits, hyphens and single dots between them", host)
	case !strings.Contains(host, "."), slices.Contains(private, last):
		return fmt.Errorf("the URL's host is %q, which is not a name on the public internet", host)
	}
	return nil
}

// isNumber says whether the last label of a host makes it an address, in any way of writing one.
func isNumber(label string) bool {
	digits, hex := strings.CutPrefix(label, "0x")
	return label != "" && strings.Trim(label, "0123456789") == "" || hex && strings.Trim(digits, "0123456789abcdef") == ""
}

func isName(host string) bool {
	if len(host) > 253 {
		return false
	}
	for label := range strings.SplitSeq(strings.ToLower(host), ".") {
		sound := label != "" && len(label) <= 63 && label[0] != '-' && label[len(label)-1] != '-'
		if !sound || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}

// canonical is one way of writing a host.
func canonical(host string) string {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.String()
	}
	return strings.ToLower(host)
}

// isAllowed says whether the operator allows a host inside.
func (c *Client) isAllowed(host, port string) bool {
	host = canonical(host)
	if c.allowed[net.JoinHostPort(host, port)] {
		return true
	}
	n, err := strconv.Atoi(port)
	return err == nil && c.allowed[host] && slices.Contains(c.config.Ports, n)
}

// parseAllowed reads what the operator wrote: a host, or a host and a port.
func parseAllowed(text string) (string, error) {
	wrong := fmt.Errorf("%q is no host: write hooks.internal, hooks.internal:8080, 10.1.2.3 or [fd00::1]:8080", text)
	host, port := text, ""
	if h, p, err := net.SplitHostPort(text); err == nil {
		n, err := strconv.Atoi(p)
		if err != nil || n < 1 || n > 65535 || strconv.Itoa(n) != p {
			return "", wrong
		}
		host, port = h, p
	} else if strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]") {
		host = text[1 : len(text)-1]
	}
	a, err := netip.ParseAddr(host)
	isAddress := err == nil && a.Zone() == "" && !a.Is4In6()
	last := host[strings.LastIndexByte(host, '.')+1:]
	if !isAddress && (!isName(host) || isNumber(strings.ToLower(last))) {
		return "", wrong
	}
	if port != "" {
		return net.JoinHostPort(canonical(host), port), nil
	}
	return canonical(host), nil
}
