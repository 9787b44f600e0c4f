package p2p

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/btcsuite/btcd/chaincfg/v2"

	"github.com/datestone/datestone/ots/headers"
)

// seeded makes a source that finds its peers by DNS.
func seeded(t *testing.T, lookup func(context.Context, string) ([]string, error), dial func(context.Context, string, string) (net.Conn, error)) *Source {
	t.Helper()
	s, err := New(Config{Network: headers.Mainnet, Lookup: lookup, Dial: dial})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSeeds(t *testing.T) {
	seeds := len(chaincfg.MainNetParams.DNSSeeds)
	nobody := func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("connection refused") }
	byName := make(map[string]int)
	for i, seed := range chaincfg.MainNetParams.DNSSeeds {
		byName[seed.Host] = i
	}
	// One seed gives a thousand addresses, one the same again, the others few.
	s := seeded(t, func(_ context.Context, host string) ([]string, error) {
		switch i := byName[host]; i {
		case 0:
			var many []string
			for n := range 1000 {
				many = append(many, fmt.Sprintf("10.0.%d.%d", n/250, n%250))
			}
			return many, nil
		case 1:
			return nil, errors.New("no such host")
		default:
			return []string{fmt.Sprintf("192.0.2.%d", i), fmt.Sprintf("2001:db8::%d", i), "192.0.2.99"}, nil
		}
	}, nobody)
	addrs, err := s.candidates(t.Context())
	if err != nil || len(addrs) != maxAsked {
		t.Fatalf("%d addresses, %v", len(addrs), err)
	}
	ofMany := func(a string) bool { return strings.HasPrefix(a, "10.0.") }
	if first := addrs[:seeds-2]; len(slices.DeleteFunc(slices.Clone(first), ofMany)) < seeds-4 {
		t.Errorf("one seed chose the first peers: %v", first)
	}
	if s := slices.Sorted(slices.Values(addrs)); len(slices.Compact(s)) != len(addrs) {
		t.Errorf("an address twice: %v", s)
	}
	if !slices.Contains(addrs, "[2001:db8::3]:8333") {
		t.Errorf("no IPv6 address: %v", addrs)
	}

	// No name server.
	s = seeded(t, func(context.Context, string) ([]string, error) { return nil, errors.New("no such host") }, nobody)
	if _, err := s.Tip(t.Context()); !errors.Is(err, headers.ErrUnreachable) || !strings.Contains(err.Error(), "DNS seed") {
		t.Errorf("without a name server: %v", err)
	}

	// Through a proxy the names go out as they are.
	var mu sync.Mutex
	dialled := make(map[string]bool)
	s = seeded(t, nil, func(_ context.Context, _, addr string) (net.Conn, error) {
		mu.Lock()
		defer mu.Unlock()
		dialled[addr] = true
		return nil, errors.New("general SOCKS server failure")
	})
	if _, err := s.Tip(t.Context()); !errors.Is(err, headers.ErrUnreachable) || len(dialled) != seeds || !dialled["seed.bitcoin.sipa.be:8333"] {
		t.Errorf("dialled %v, %v", dialled, err)
	}
}

// Peers that take the connection and say nothing are tried side by side, and an interrupt ends it.
func TestSilentPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lookup := func(_ context.Context, host string) ([]string, error) {
			return []string{host + ".a", host + ".b", host + ".c"}, nil
		}
		dial := func(context.Context, string, string) (net.Conn, error) {
			here, there := net.Pipe()
			go func() { silence(there); there.Close() }()
			return here, nil
		}
		s := seeded(t, lookup, dial)
		start := s.cfg.Now()
		if _, err := s.Tip(t.Context()); !errors.Is(err, headers.ErrUnreachable) {
			t.Errorf("%v", err)
		}
		if d := s.cfg.Now().Sub(start); d > maxAsked/atOnce*DefaultTimeout {
			t.Errorf("it took %v", d)
		}
		s = seeded(t, lookup, dial)
		ctx, cancel := context.WithCancelCause(t.Context())
		reason := errors.New("interrupted")
		go cancel(reason)
		if _, err := s.Tip(ctx); !errors.Is(err, reason) {
			t.Errorf("%v", err)
		}
		if d := s.cfg.Now().Sub(start); d > maxAsked/atOnce*DefaultTimeout {
			t.Errorf("the interrupt was heard after %v", d)
		}
	})
}

func TestConfig(t *testing.T) {
	for _, tt := range []struct {
		cfg  Config
		want string
	}{
		{Config{Network: headers.Regtest}, "name a peer"},
		{Config{Network: headers.Mainnet, Peers: []string{"http://example.org"}}, "not the address of a peer"},
		{Config{Network: headers.Mainnet, Peers: []string{""}}, "not the address of a peer"},
		{Config{Network: headers.Mainnet, Peers: []string{"a", "a:8333"}, Agree: 2}, "cannot agree"},
		{Config{Network: headers.Mainnet, Agree: -1}, "cannot agree"},
		{Config{}, "not known"},
	} {
		if _, err := New(tt.cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %q", tt.cfg, err, tt.want)
		}
	}
	for in, want := range map[string]string{
		"example.org": "example.org:8333", "example.org:18": "example.org:18",
		"::1": "[::1]:8333", "[::1]": "[::1]:8333", "[::1]:18": "[::1]:18", "203.0.113.5": "203.0.113.5:8333",
	} {
		if got, err := withPort(in, "8333"); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", in, got, err, want)
		}
	}
}
