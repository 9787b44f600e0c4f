package p2p

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/datestone/datestone/ots/headers"
)

const (
	seedTimeout = 10 * time.Second
	// perSeed bounds what one seed, which one person runs, adds to the list.
	perSeed = 32
)

// candidates lists the peers to try. Those of the seeds are in random order, one of each seed in turn,
// so that no seed chooses all of them.
func (s *Source) candidates(ctx context.Context) ([]string, error) {
	if len(s.cfg.Peers) > 0 {
		return s.cfg.Peers[:min(len(s.cfg.Peers), maxAsked)], nil
	}
	ctx, cancel := context.WithTimeout(ctx, seedTimeout)
	defer cancel()
	seeds := s.params.DNSSeeds
	found := make([][]string, len(seeds))
	errs := make([]error, len(seeds))
	var wg sync.WaitGroup
	for i, seed := range seeds {
		if s.cfg.Lookup == nil {
			found[i] = []string{seed.Host}
			continue
		}
		wg.Go(func() { found[i], errs[i] = s.cfg.Lookup(ctx, seed.Host) })
	}
	wg.Wait()
	for _, f := range found {
		rand.Shuffle(len(f), func(a, b int) { f[a], f[b] = f[b], f[a] })
	}
	rand.Shuffle(len(found), func(a, b int) { found[a], found[b] = found[b], found[a] })
	var out []string
	seen := make(map[string]bool)
	for i := range perSeed {
		for _, f := range found {
			if i < len(f) && !seen[f[i]] && len(out) < maxAsked {
				seen[f[i]] = true
				out = append(out, net.JoinHostPort(f[i], s.params.DefaultPort))
			}
		}
	}
	if len(out) == 0 {
		for _, err := range errs {
			if err != nil {
				return nil, fmt.Errorf("%w: no DNS seed of %s gives an address of a peer: %w", headers.ErrUnreachable, s.cfg.Network, err)
			}
		}
		return nil, fmt.Errorf("%w: no DNS seed of %s gives an address of a peer", headers.ErrUnreachable, s.cfg.Network)
	}
	return out, nil
}

// withPort adds the network's port to an address that has none.
func withPort(addr, port string) (string, error) {
	host, p, err := net.SplitHostPort(addr)
	if err != nil {
		// No port, or an address with colons of its own.
		host, p = strings.Trim(addr, "[]"), port
		if strings.Contains(host, ":") && net.ParseIP(host) == nil {
			host = ""
		}
	}
	if _, err := strconv.ParseUint(p, 10, 16); err != nil || host == "" || strings.ContainsAny(host, "/@ ") {
		return "", fmt.Errorf("%q is not the address of a peer, such as 203.0.113.5:%s", addr, port)
	}
	return net.JoinHostPort(host, p), nil
}
