package server

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/datestone/datestone/internal/compat/eternity"
	"github.com/datestone/datestone/internal/otscal"
	"github.com/datestone/datestone/ots/headers"
)

func (c Config) checkCalendars() error {
	switch c.Calendars {
	case "open":
		if c.AuthenticatedURI != "" {
			return errors.New(`calendars is "open" and there is an authenticated_uri: leave it out, or write calendars = "both"`)
		}
	case "both", "authenticated":
	default:
		return fmt.Errorf(`calendars is %q: write "open", "authenticated" or "both"`, c.Calendars)
	}
	if c.AuthenticatedURI == "" {
		return nil
	}
	return checkURI("authenticated_uri", c.AuthenticatedURI)
}

// calendars hands each request to the calendar that it is for. The status page is the open one's in every case.
type calendars struct {
	open   http.Handler
	signed *eternity.Server // nil when it is not served
	alone  bool             // the open calendar is off
	apart  bool             // they have hosts of their own
}

func (c *calendars) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if c.signed != nil && (c.signed.Claims(r) || (c.alone || c.apart && c.signed.IsHost(r)) && c.signed.Serves(r)) {
		c.signed.ServeHTTP(w, r)
		return
	}
	c.open.ServeHTTP(w, r)
}

// openSigned makes the surface of the authenticated calendar, which makes proofs for e-mails even where it is not
// served.
func (s *Server) openSigned(numbers *metrics) (*eternity.Server, error) {
	c := s.config
	source, err := c.headers()
	if err != nil {
		return nil, err
	}
	trusted, err := proxies(c.TrustedProxies)
	if err != nil {
		return nil, err
	}
	return eternity.New(eternity.Config{
		TrustedProxies: trusted,
		URI:            cmp.Or(c.AuthenticatedURI, c.URI), Plans: c.Plans, Store: s.db, Keeper: s.keeper, Proofs: s.calendar,
		Headers: source, TestNetwork: c.hasBitcoin() && c.Bitcoin.Network != headers.Mainnet.Name, Confirmations: cmp.Or(c.Bitcoin.Confirmations, 6),
		Mail: c.SMTPAddress != "", Log: s.log, Observe: numbers.answered("authenticated"),
	})
}

// openCalendars makes the surfaces of the calendars, after the accounts.
func (s *Server) openCalendars(version string, numbers *metrics) (http.Handler, error) {
	c := s.config
	all := &calendars{alone: c.Calendars == "authenticated", apart: c.AuthenticatedURI != "" && c.AuthenticatedURI != c.URI}
	config := otscal.Config{URI: c.URI, Version: version, Log: s.log, Observe: numbers.answered("calendar")}
	if c.Calendars != "open" {
		all.signed = s.signed
		if !all.apart {
			config.Unknown = all.signed.AnswerUnknown
		}
	}
	var err error
	all.open, err = otscal.New(s.calendar, s.db, config)
	return all, err
}

// headers is where block headers come from: the node that the log is anchored with, or nil without one.
func (c Config) headers() (headers.Source, error) {
	if !c.hasBitcoin() {
		return nil, nil
	}
	u, err := url.Parse(cmp.Or(c.Bitcoin.RPCURL, "http://127.0.0.1"))
	if err != nil {
		return nil, fmt.Errorf("bitcoin.rpc_url: %w", err)
	}
	if c.Bitcoin.RPCUser != "" {
		u.User = url.UserPassword(c.Bitcoin.RPCUser, c.Bitcoin.RPCPassword)
	}
	for _, network := range headers.Networks {
		if network.Name == c.Bitcoin.Network {
			return headers.NewNode(network, headers.NodeConfig{URL: u.String(), Cookie: c.Bitcoin.RPCCookie})
		}
	}
	return nil, fmt.Errorf("bitcoin.network %q is unknown", c.Bitcoin.Network)
}
