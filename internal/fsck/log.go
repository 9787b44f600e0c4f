package fsck

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/store"
)

// headKey names a head without its root.
type headKey struct {
	epoch int
	size  int64
}

// claim is a place that says what the root of a head is.
type claim struct {
	where string
	root  [32]byte
}

// checker carries the state of one check. The steps read what claims roots first, so that the log
// is read once.
type checker struct {
	db           *store.DB
	options      Options
	report       *Report
	claimed      map[headKey][]claim
	seeded       []seedClaim
	attestations []logtree.Attestation
}

// claims notes that something stored says that this is a head of the log.
func (c *checker) claims(where string, h logtree.Head) {
	key := headKey{h.Epoch, h.Size}
	c.claimed[key] = append(c.claimed[key], claim{where, h.Root})
}

// checkLog reads every entry once and recomputes positions, nodes, the edge, the heads of ended epochs
// and every claimed root.
func (c *checker) checkLog(ctx context.Context) error {
	// The state of one moment, then rows that are older: the log may grow meanwhile.
	epochs, current, edge, err := c.db.Epochs(ctx)
	if err != nil {
		return err
	}
	if c.options.Mark.Size > 0 {
		c.claims("the high-water mark", c.options.Mark)
	}
	for _, h := range epochs {
		if h.Epoch >= current.Epoch {
			c.report.problem("epoch", "epoch %d has ended and the current epoch is %d", h.Epoch, current.Epoch)
		}
		c.claims(fmt.Sprintf("the end of epoch %d", h.Epoch), h)
	}
	epochs = append(epochs, current)
	var all int64
	for _, h := range epochs {
		all += h.Size
	}
	var previous *[32]byte // root of the epoch before, when all of it was there
	for i, h := range epochs {
		got, whole, err := c.checkEpoch(ctx, h, all)
		if err != nil {
			return err
		}
		if i > 0 && previous != nil {
			c.checkLink(ctx, h, *previous)
		}
		if previous = nil; !whole {
			continue
		}
		root, err := got.Root(h.Size)
		if err != nil {
			return err
		}
		previous = &root
		if h.Epoch == current.Epoch && !bytes.Equal(got.Bytes(), edge.Bytes()) {
			c.report.problem("the head", "its stored edge is not the one that %d entries of epoch %d give", h.Size, h.Epoch)
		}
	}
	c.report.Epochs = len(epochs)
	for key, claims := range c.claimed {
		for _, claim := range claims {
			c.report.problem(claim.where, "it names a head of %d entries in epoch %d, and the log has no such head", key.size, key.epoch)
		}
	}
	return nil
}

// checkEpoch recomputes the tree of one epoch and returns its edge, and whether all of it was there. Claims
// of the heads that it passes are compared and dropped.
func (c *checker) checkEpoch(ctx context.Context, h logtree.Head, all int64) (edge logtree.Edge, whole bool, err error) {
	first, err := logtree.At(h.Epoch, 0)
	if err != nil {
		return nil, false, err
	}
	if err := c.compare(headKey{h.Epoch, 0}, nil); err != nil {
		return nil, false, err
	}
	next := first
	var run [][32]byte // leaves since the last whole run
	for index := int64(0); index < h.Size; {
		rows, err := c.db.Entries(ctx, next, int(min(rowsAtOnce, h.Size-index)))
		if err != nil {
			return nil, false, err
		}
		if len(rows) == 0 || rows[0].Entry.Position().Epoch() != h.Epoch {
			c.report.problem("entry "+next.String(), "it and what follows up to the head's size of %d are missing", h.Size)
			return edge, false, nil
		}
		for _, row := range rows {
			p := row.Entry.Position()
			if p != next {
				c.report.problem("entry "+next.String(), "it is missing; the next one is %v", p)
				return edge, false, nil
			}
			grown, nodes, err := edge.Append(index, row.Entry.Leaf())
			if err != nil {
				return nil, false, err
			}
			if !bytes.Equal(logtree.Edge(nodes).Bytes(), logtree.Edge(row.Nodes).Bytes()) {
				c.report.problem("entry "+p.String(), "its %d stored nodes are not the %d that recompute", len(row.Nodes), len(nodes))
			}
			edge = grown
			index, next = index+1, next+1
			if run = append(run, row.Entry.Leaf()); len(run) == store.TileEntries {
				if err := c.compareRun(ctx, next-store.TileEntries, run); err != nil {
					return nil, false, err
				}
				run = run[:0]
			}
			c.report.Entries++
			if err := c.compare(headKey{h.Epoch, index}, edge); err != nil {
				return nil, false, err
			}
		}
		if c.options.Progress != nil {
			c.options.Progress(c.report.Entries, all)
		}
	}
	return edge, true, nil
}

// compare checks what claims the root of the head that was just reached.
func (c *checker) compare(key headKey, edge logtree.Edge) error {
	claims, ok := c.claimed[key]
	if !ok {
		return nil
	}
	delete(c.claimed, key)
	root, err := edge.Root(key.size)
	if err != nil {
		return err
	}
	for _, claim := range claims {
		if claim.root != root {
			c.report.problem(claim.where, "it has the root %s for %d entries of epoch %d, and they give %s", short(claim.root), key.size, key.epoch, short(root))
		}
	}
	return nil
}

// compareRun checks the leaves that are kept for a whole run of entries.
func (c *checker) compareRun(ctx context.Context, first logtree.Position, want [][32]byte) error {
	got, err := c.db.Leaves(ctx, first)
	if err != nil && !errors.Is(err, logtree.ErrInconsistent) {
		return err
	}
	if err != nil || !slices.Equal(got, want) {
		c.report.problem("the leaves from entry "+first.String()+" on", "what is kept of them is not what the %d entries give", len(want))
	}
	return nil
}

// checkLink checks that an epoch begins with the root of the one before it.
func (c *checker) checkLink(ctx context.Context, h logtree.Head, previous [32]byte) {
	p, err := logtree.At(h.Epoch, 0)
	if err != nil {
		c.report.problem("epoch", "%v", err)
		return
	}
	e, err := c.db.Entry(ctx, p)
	if err != nil {
		c.report.problem("entry "+p.String(), "%v", err)
		return
	}
	if e.Tip() != previous {
		c.report.problem("entry "+p.String(), "it should begin its epoch with the last root before it, %s, and has %s", short(previous), short(e.Tip()))
	}
}
