// Package delivery tells who awaits the seed of a hash that it is final: by a webhook as OriginStamp sent it, and by
// e-mail. Both are sent once the proof can be read, for receivers ask for it at once.
package delivery

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/egress"
	"github.com/datestone/datestone/internal/notify"
	"github.com/datestone/datestone/internal/seed"
)

// Store knows what a notice is about. store.DB is one.
type Store interface {
	// SeededNotice returns seed.ErrUnknown for a notice that is about nothing.
	SeededNotice(ctx context.Context, n notify.Notice) (seed.Submitted, []seed.State, error)
	SeedBranch(ctx context.Context, s seed.Seed, hash [32]byte) (seed.Branch, error)
	// Targets is what the targets last said of themselves.
	Targets(ctx context.Context) ([]anchor.Status, error)
}

// Requester asks customers' addresses, and none inside. egress.Client is one.
type Requester interface {
	Do(ctx context.Context, r *http.Request) (egress.Answer, error)
}

// errNotFinal passes: the seed will be final again.
var errNotFinal = errors.New("the hash is not tamper-proof any more")

// final reads what a notice is about, and the way from the hash to the root of the notice's currency.
func final(ctx context.Context, s Store, n notify.Notice) (seed.Submitted, []seed.State, seed.Branch, error) {
	sub, states, err := s.SeededNotice(ctx, n)
	if err != nil {
		return sub, nil, seed.Branch{}, fmt.Errorf("%w: %w", notify.ErrOurFault, err)
	}
	// The one of the notice first.
	slices.SortStableFunc(states, func(a, b seed.State) int {
		switch {
		case a.Target == n.Target && b.Target != n.Target:
			return -1
		case a.Target != n.Target && b.Target == n.Target:
			return 1
		}
		return 0
	})
	states = slices.DeleteFunc(states, func(s seed.State) bool { return s.Status != seed.Final })
	if len(states) == 0 || states[0].Target != n.Target {
		return sub, nil, seed.Branch{}, errNotFinal
	}
	var first seed.Branch
	for i, state := range states {
		branch, err := s.SeedBranch(ctx, state.Seed, sub.Hash)
		if err != nil {
			return sub, nil, first, fmt.Errorf("%w: %w", notify.ErrOurFault, err)
		}
		if i == 0 {
			first = branch
		}
	}
	return sub, states, first, nil
}

// Hook posts what is known of a hash to the address that awaits it.
type Hook struct {
	Store  Store
	Client Requester
	// Payload is the body about the currencies in which the hash is final: originstamp.Payload as JSON.
	Payload func(sub seed.Submitted, final []seed.State) ([]byte, error)
	// Secret, unless it is empty, signs each body: X-Signature is the HMAC-SHA256 in hexadecimal.
	Secret string
}

// hookWithin bounds one call, as the contract has it.
const hookWithin = 10 * time.Second

// Send calls once. The query string of the address is the receiver's own and stays as it is.
func (h *Hook) Send(ctx context.Context, e notify.Endpoint, n notify.Notice) notify.Outcome {
	sub, states, _, err := final(ctx, h.Store, n)
	if err != nil {
		return notify.Outcome{Err: err}
	}
	body, err := h.Payload(sub, states)
	if err != nil {
		return notify.Outcome{Err: fmt.Errorf("%w: %w", notify.ErrOurFault, err)}
	}
	ctx, cancel := context.WithTimeout(ctx, hookWithin)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, e.Address, bytes.NewReader(body))
	if err != nil {
		return notify.Outcome{Err: errors.New("the target is no address")}
	}
	r.Header.Set("Content-Type", "application/json")
	if h.Secret != "" {
		mac := hmac.New(sha256.New, []byte(h.Secret))
		mac.Write(body)
		r.Header.Set("X-Signature", hex.EncodeToString(mac.Sum(nil)))
	}
	answer, err := h.Client.Do(ctx, r)
	if err != nil {
		if e, ok := errors.AsType[*egress.Error](err); ok {
			err = errors.New(e.Message) // the cause may tell of our network
		} else if ctx.Err() != nil {
			err = errors.New("there was no answer in time")
		}
		return notify.Outcome{Err: err}
	}
	o := notify.Outcome{Status: answer.Status}
	if answer.Status < 200 || answer.Status > 299 {
		o.Err = fmt.Errorf("the server answered %d", answer.Status)
		if seconds, err := strconv.Atoi(answer.Header.Get("Retry-After")); err == nil && seconds > 0 {
			o.RetryAfter = time.Duration(min(seconds, 24*3600)) * time.Second
		}
	}
	return o
}
