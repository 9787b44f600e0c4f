package store

import (
	"context"
	"fmt"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/logtree"
)

// StampOfDigest is the earliest stamp of a digest in any account whose certificate is public, or else the earliest, or
// ErrNotFound.
func (db *DB) StampOfDigest(ctx context.Context, digest [32]byte) (account.Stamp, error) {
	return db.stamp(ctx, `SELECT `+stampColumns+` FROM stamp WHERE digest = $1 ORDER BY public DESC, position, leaf LIMIT 1`, digest[:])
}

// Withdrawn returns, for each target that has one, the Bitcoin attestation of the smallest head above p that counted once
// and whose block has left the chain. Lowest block first.
func (db *DB) Withdrawn(ctx context.Context, p logtree.Position) ([]logtree.Attestation, error) {
	rows, err := db.query(ctx, `SELECT `+attestationColumns+`
		FROM target t JOIN attestation a ON a.id =
			(SELECT w.id FROM attestation w WHERE w.purpose = 'log' AND w.target = t.name AND w.epoch = $1 AND w.kind = 'bitcoin' AND w.state = 3
				AND w.size > $2 AND w.first_counted > 0 ORDER BY w.size, w.id LIMIT 1)
		ORDER BY a.height, a.id`, p.Epoch(), p.Index())
	if err != nil {
		return nil, fmt.Errorf("reading withdrawn attestations above %v: %w", p, err)
	}
	defer rows.Close()
	var all []logtree.Attestation
	for rows.Next() {
		a, err := scanAttestation(rows)
		if err != nil {
			return nil, fmt.Errorf("reading withdrawn attestations above %v: %w", p, err)
		}
		all = append(all, a)
	}
	return all, rows.Err()
}
