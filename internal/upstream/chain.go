package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/ots"
	"github.com/datestone/datestone/ots/headers"
)

// chain asks the configured sources of block headers, and believes what enough of them agree on.
type chain struct {
	net     *headers.Network
	sources []headers.Source
	agree   int
	timeout time.Duration
}

func newChain(c Config, net *headers.Network) (*chain, error) {
	k := &chain{net: net, agree: c.Agree, timeout: time.Duration(c.Timeout)}
	client := &http.Client{Timeout: k.timeout}
	if c.RPCURL != "" {
		cfg := headers.NodeConfig{URL: c.RPCURL, Cookie: c.RPCCookie, HTTP: &http.Client{Timeout: k.timeout, Transport: &http.Transport{}}}
		if c.RPCUser != "" {
			var err error
			if cfg.URL, err = withUser(c.RPCURL, c.RPCUser, c.RPCPassword); err != nil {
				return nil, err
			}
		}
		node, err := headers.NewNode(net, cfg)
		if err != nil {
			return nil, err
		}
		k.sources, k.agree = []headers.Source{node}, 1
		return k, nil
	}
	for _, base := range c.Esplora {
		e, err := headers.NewEsplora(net, base, client)
		if err != nil {
			return nil, err
		}
		k.sources = append(k.sources, e)
	}
	return k, nil
}

// said is what a source answered.
type said[T comparable] struct {
	value T
	err   error
}

// all asks every source at once.
func all[T comparable](ctx context.Context, k *chain, ask func(context.Context, headers.Source) (T, error)) []said[T] {
	// A question may be several requests.
	ctx, cancel := context.WithTimeout(ctx, 3*k.timeout)
	defer cancel()
	answers := make([]said[T], len(k.sources))
	var wg sync.WaitGroup
	for i, s := range k.sources {
		wg.Go(func() { answers[i].value, answers[i].err = ask(ctx, s) })
	}
	wg.Wait()
	return answers
}

// tip is the highest block that enough sources have. Each must have shown that it is on the network.
func (k *chain) tip(ctx context.Context) (int64, error) {
	answers := all(ctx, k, func(ctx context.Context, s headers.Source) (uint64, error) {
		if _, err := s.Header(ctx, 0); err != nil {
			return 0, err
		}
		return s.Tip(ctx)
	})
	best := int64(-1)
	for _, a := range answers {
		n := 0
		for _, b := range answers {
			if a.err == nil && b.err == nil && b.value >= a.value {
				n++
			}
		}
		if n >= k.agree {
			best = max(best, int64(a.value))
		}
	}
	if best < 0 {
		return 0, k.fault(errs(answers), false)
	}
	return best, nil
}

// header is the header of the block at a height that enough sources agree on. The error is headers.ErrNoBlock when
// enough of them have no such block.
func (k *chain) header(ctx context.Context, height int64) (ots.Header, error) {
	if height < 0 {
		return ots.Header{}, headers.ErrNoBlock
	}
	answers := all(ctx, k, func(ctx context.Context, s headers.Source) (ots.Header, error) { return s.Header(ctx, uint64(height)) })
	votes := make(map[[32]byte]int)
	absent := 0
	for _, a := range answers {
		switch {
		case a.err == nil:
			if votes[a.value.Hash()]++; votes[a.value.Hash()] == k.agree {
				return a.value, nil
			}
		case errors.Is(a.err, headers.ErrNoBlock):
			if absent++; absent == k.agree {
				return ots.Header{}, headers.ErrNoBlock
			}
		}
	}
	named := len(votes)
	if absent > 0 {
		named++
	}
	return ots.Header{}, k.fault(errs(answers), named > 1)
}

func errs[T comparable](answers []said[T]) []error {
	var list []error
	for _, a := range answers {
		if a.err != nil {
			list = append(list, a.err)
		}
	}
	return list
}

// fault names why the sources are of no use now.
func (k *chain) fault(errs []error, disagree bool) error {
	cause := errors.Join(errs...)
	if len(errs) == 0 {
		cause = nil
	}
	switch {
	case errors.Is(cause, headers.ErrWrongNetwork):
		return anchor.Faultf(anchor.WrongNetwork, cause, "%s. Set network in [upstream] to the network of the sources of block headers, or name other ones.", sentence(first(errs, headers.ErrWrongNetwork)))
	case disagree:
		return anchor.Faultf(anchor.HeadersDisagree, cause, "The sources of block headers name different blocks, which passes when one of them is behind. If it lasts, write others in [upstream], or the rpc_url of a node of your own.")
	}
	names := make([]string, len(k.sources))
	for i, s := range k.sources {
		names[i] = s.String()
	}
	return anchor.Faultf(anchor.HeadersDown, cause, "Too few sources of block headers answer (%s), so no attestation is counted. Check the network, and [upstream] for their addresses and password.", strings.Join(names, ", "))
}

func first(errs []error, kind error) error {
	for _, err := range errs {
		if errors.Is(err, kind) {
			return err
		}
	}
	return kind
}

// sentence makes an error's words begin with a capital letter.
func sentence(err error) string {
	text := err.Error()
	return fmt.Sprint(strings.ToUpper(text[:1]), text[1:])
}
