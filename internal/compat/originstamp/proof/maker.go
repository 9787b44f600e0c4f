package proof

import (
	"context"
	"errors"
	"slices"

	"golang.org/x/sync/semaphore"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/seed"
)

// ErrNotFinal says that there is no proof: the hash is not tamper-proof in the currency, not yet or not any more.
var ErrNotFinal = errors.New("the hash is not tamper-proof in this currency")

// Store knows what documents are made of. store.DB is one.
type Store interface {
	// SeedStates are those of a submitted hash: one for each target that has a seed with it.
	SeedStates(ctx context.Context, number int64) ([]seed.State, error)
	// SeedBranch is recomputed before it is given.
	SeedBranch(ctx context.Context, s seed.Seed, hash [32]byte) (seed.Branch, error)
	// Targets is what the targets last said of themselves.
	Targets(ctx context.Context) ([]anchor.Status, error)
}

// Maker makes the documents of submitted hashes, two PDFs at a time: each takes some 50 milliseconds and up to 45 megabytes.
// What everybody may ask for has a maker of its own, so that customers do not wait for strangers.
type Maker struct {
	store   Store
	service string
	ots     func(ctx context.Context, sub seed.Submitted) ([]byte, error)
	pdfs    *semaphore.Weighted
}

// NewMaker makes a maker for the service at a public address, without a slash at the end. ots gives the ordinary proof of
// a hash, or nothing.
func NewMaker(store Store, service string, ots func(ctx context.Context, sub seed.Submitted) ([]byte, error)) *Maker {
	return &Maker{store: store, service: service, ots: ots, pdfs: semaphore.NewWeighted(2)}
}

// XML is the tree of a hash in a currency, or ErrNotFinal. It is the same each time, while the seed stays in its block.
func (m *Maker) XML(ctx context.Context, sub seed.Submitted, c seed.Currency) ([]byte, error) {
	_, branch, err := m.branch(ctx, sub, c)
	if err != nil {
		return nil, err
	}
	return XML(branch), nil
}

// PDF is the certificate of a hash in a currency, or ErrNotFinal. The ordinary proof is in it, which gets complete at its
// own time.
func (m *Maker) PDF(ctx context.Context, sub seed.Submitted, c seed.Currency) ([]byte, error) {
	state, branch, err := m.branch(ctx, sub, c)
	if err != nil {
		return nil, err
	}
	certificate := Certificate{Submitted: sub, State: state, Branch: branch, Currency: c, Service: m.service}
	targets, err := m.store.Targets(ctx)
	if err != nil {
		return nil, err
	}
	certificate.TestNetwork = slices.ContainsFunc(targets, func(t anchor.Status) bool { return t.Target == c.Target && t.TestNetwork })
	if certificate.OTS, err = m.ots(ctx, sub); err != nil {
		return nil, err
	}
	if err := m.pdfs.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer m.pdfs.Release(1)
	return certificate.PDF()
}

func (m *Maker) branch(ctx context.Context, sub seed.Submitted, c seed.Currency) (seed.State, seed.Branch, error) {
	states, err := m.store.SeedStates(ctx, sub.Number)
	if err != nil {
		return seed.State{}, seed.Branch{}, err
	}
	i := slices.IndexFunc(states, func(s seed.State) bool { return s.Target == c.Target && s.Status == seed.Final })
	if i < 0 {
		return seed.State{}, seed.Branch{}, ErrNotFinal
	}
	branch, err := m.store.SeedBranch(ctx, states[i].Seed, sub.Hash)
	return states[i], branch, err
}
