package httpkit

import (
	"net/http"
	"net/netip"
	"strings"
)

// Identified gives every answer of h an X-Request-Id: the one that the request brought, else a new one.
func Identified(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := broughtID(r)
		if id == nil {
			id = requestID(r)
			r = r.WithContext(r.Context()) // a copy: the request is not ours to change
			r.Header = r.Header.Clone()
			r.Header["X-Request-Id"] = id
		}
		w.Header()["X-Request-Id"] = id
		h.ServeHTTP(w, r)
	})
}

// Bearer is the token of a request's Authorization header, and whether there is one.
func Bearer(r *http.Request) (string, bool) {
	values := r.Header["Authorization"]
	if len(values) != 1 {
		return "", false
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	token = strings.TrimSpace(token)
	return token, strings.EqualFold(scheme, "Bearer") && token != ""
}

// ClientAddr is the address that a request comes from: the peer's, or when that is a trusted proxy the last one in
// X-Forwarded-For that is not a trusted proxy's. What stands before it anybody may have written.
func ClientAddr(r *http.Request, trusted []netip.Prefix) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	client := unmapped(peer.Addr())
	hops := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
	for i := len(hops) - 1; i >= 0 && within(client, trusted); i-- {
		hop, ok := parseHop(strings.TrimSpace(hops[i]))
		if !ok {
			break
		}
		client = hop
	}
	return client
}

func within(a netip.Addr, prefixes []netip.Prefix) bool {
	for _, p := range prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// parseHop reads an address, which some proxies write with a port.
func parseHop(text string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		return unmapped(a), true
	}
	a, err := netip.ParseAddrPort(text)
	return unmapped(a.Addr()), err == nil
}

func unmapped(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// Site is what is limited instead of a single address: with IPv6 one client has a whole /64.
func Site(a netip.Addr) netip.Addr {
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}
