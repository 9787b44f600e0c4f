package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sort"
	"sync"

	"github.com/datestone/datestone/internal/logtree"
)

const attestationColumns = `a.id, a.target, a.epoch, a.size, a.root, a.proof, a.height, a.block, a.block_time, a.ref, a.state, a.changed, a.kind, a.purpose`

// Attestations returns, for each target that has one, the attestation that a proof of the entry at p
// uses: the counted one of the smallest head above p, else the mined one of the smallest. Lowest
// block first. The caller must not change them.
func (db *DB) Attestations(ctx context.Context, p logtree.Position) ([]logtree.Attestation, error) {
	// Another process may have written to a shared database, and to ask whether it did takes as long.
	remember := !db.Shared()
	version := db.version.Load()
	if remember {
		if all, ok := db.attested.get(version, p); ok {
			return all, nil
		}
	}
	all, err := db.readAttestations(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("reading attestations above %v: %w", p, err)
	}
	if remember {
		db.attested.put(version, p, all)
	}
	return all, nil
}

func (db *DB) readAttestations(ctx context.Context, p logtree.Position) ([]logtree.Attestation, error) {
	rows, err := db.query(ctx, `SELECT `+attestationColumns+`, t.height
		FROM target t JOIN attestation a ON a.id = COALESCE(
			(SELECT c.id FROM attestation c WHERE c.purpose = 'log' AND c.target = t.name AND c.epoch = $1 AND c.state = 1 AND c.size > $2 ORDER BY c.size LIMIT 1),
			(SELECT m.id FROM attestation m WHERE m.purpose = 'log' AND m.target = t.name AND m.epoch = $1 AND m.state = 0 AND m.size > $2 ORDER BY m.size LIMIT 1))
		ORDER BY a.height, a.id`, p.Epoch(), p.Index())
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []logtree.Attestation
	for rows.Next() {
		var tip int64
		a, err := scanAttestation(rows, &tip)
		if err != nil {
			return nil, err
		}
		a.Tip = tip
		all = append(all, a)
	}
	return all, rows.Err()
}

// attestedCache remembers answers of Attestations. What holds for a position holds for those after it, up to
// the smallest head of the answer. It forgets everything when anything but the log was written: this
// process is the only writer.
type attestedCache struct {
	mu      sync.Mutex
	version int64
	spans   []span // of one epoch each, by position, apart from each other; at most attestedSpans
}

// span is the answer for the positions from first to before.
type span struct {
	first, before logtree.Position
	all           []logtree.Attestation
}

const attestedSpans = 1024

// find is the place of the first span that ends above p.
func (c *attestedCache) find(p logtree.Position) int {
	return sort.Search(len(c.spans), func(i int) bool { return c.spans[i].before > p })
}

func (c *attestedCache) get(version int64, p logtree.Position) ([]logtree.Attestation, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := c.find(p); version == c.version && i < len(c.spans) && c.spans[i].first <= p {
		return c.spans[i].all, true
	}
	return nil, false
}

// put keeps an answer that was read after the version was.
func (c *attestedCache) put(version int64, p logtree.Position, all []logtree.Attestation) {
	if len(all) == 0 {
		return
	}
	end := all[0].Head.Size
	for _, a := range all {
		end = min(end, a.Head.Size)
	}
	before, err := logtree.At(p.Epoch(), end)
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if version < c.version {
		return
	}
	if version > c.version || len(c.spans) >= attestedSpans {
		c.version, c.spans = version, nil
	}
	i := c.find(p)
	if i < len(c.spans) && c.spans[i].first < before {
		c.spans[i].first = min(c.spans[i].first, p)
		return
	}
	c.spans = slices.Insert(c.spans, i, span{p, before, all})
}

// scanAttestation reads attestationColumns, and what follows them into more.
func scanAttestation(rows *sql.Rows, more ...any) (logtree.Attestation, error) {
	var a logtree.Attestation
	var root, block []byte
	var blockTime, changed int64
	dest := []any{&a.ID, &a.Target, &a.Head.Epoch, &a.Head.Size, &root, &a.Proof, &a.Height, &block, &blockTime, &a.Ref, &a.State, &changed, &a.Kind, &a.Purpose}
	if err := rows.Scan(append(dest, more...)...); err != nil {
		return a, err
	}
	var err error
	if a.Head.Root, err = hash32(root); err != nil {
		return a, err
	}
	if a.BlockHash, err = hash32(block); err != nil {
		return a, err
	}
	a.BlockTime, a.Changed = fromMicros(blockTime), fromMicros(changed)
	return a, nil
}

// AllAttestations reads up to limit attestations of every state with ids above after, in order of id,
// for those who check them; of seeds as well.
func (db *DB) AllAttestations(ctx context.Context, after int64, limit int) ([]logtree.Attestation, error) {
	rows, err := db.query(ctx, `SELECT `+attestationColumns+` FROM attestation a WHERE a.id > $1 ORDER BY a.id LIMIT $2`, after, limit)
	if err != nil {
		return nil, fmt.Errorf("reading attestations: %w", err)
	}
	defer rows.Close()
	var all []logtree.Attestation
	for rows.Next() {
		a, err := scanAttestation(rows)
		if err != nil {
			return nil, fmt.Errorf("reading attestations: %w", err)
		}
		all = append(all, a)
	}
	return all, rows.Err()
}

// AttestationOf is the attestation of the log that a target knows by this name, in whatever state, or ErrNotFound.
func (db *DB) AttestationOf(ctx context.Context, target, ref string) (logtree.Attestation, error) {
	rows, err := db.query(ctx, `SELECT `+attestationColumns+`, t.height FROM attestation a JOIN target t ON t.name = a.target
		WHERE a.target = $1 AND a.purpose = 'log' AND a.ref = $2`, target, ref)
	if err != nil {
		return logtree.Attestation{}, fmt.Errorf("reading attestation %s: %w", ref, err)
	}
	defer rows.Close()
	if !rows.Next() {
		return logtree.Attestation{}, errors.Join(rows.Err(), ErrNotFound)
	}
	var tip int64
	a, err := scanAttestation(rows, &tip)
	a.Tip = tip
	return a, err
}
