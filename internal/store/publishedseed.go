package store

import (
	"context"
	"fmt"

	"github.com/datestone/datestone/internal/publish"
	"github.com/datestone/datestone/internal/seed"
)

// UnprintedSeeds are up to limit seeds of a target that are made and in no notice, oldest first. They are printed in the
// order of their numbers: one that is made before an older one waits for that.
func (db *DB) UnprintedSeeds(ctx context.Context, target string, limit int) ([]seed.Seed, error) {
	all, err := db.seeds(ctx, `SELECT `+seedColumns+` FROM seed s WHERE s.target = $1 AND s.made > 0
		AND s.number > COALESCE((SELECT MAX(p.epoch) FROM publication p WHERE p.target = $1 AND p.purpose = 'seed'), 0)
		AND NOT EXISTS (SELECT 1 FROM seed o WHERE o.target = $1 AND o.made = 0 AND o.number < s.number)
		ORDER BY s.number LIMIT $2`, target, limit)
	if err != nil {
		return nil, fmt.Errorf("reading the seeds that target %s has not printed: %w", target, err)
	}
	return all, nil
}

// MadeSeed is the seed with a number, if it is made, or seed.ErrUnknown.
func (db *DB) MadeSeed(ctx context.Context, number int64) (seed.Seed, error) {
	all, err := db.seeds(ctx, `SELECT `+seedColumns+` FROM seed s WHERE s.number = $1 AND s.made > 0`, number)
	if err == nil && len(all) == 0 {
		err = seed.ErrUnknown
	}
	if err != nil {
		return seed.Seed{}, err
	}
	return all[0], nil
}

// PublishSeed keeps the notice of a seed, with its id. It reports false, and does nothing, when there is one.
func (db *DB) PublishSeed(ctx context.Context, p *publish.Publication) (made bool, err error) {
	err = db.update(ctx, func(tx tx) error {
		var found int
		if err := tx.row(ctx, `SELECT COUNT(*) FROM publication WHERE target = $1 AND purpose = $2 AND period = $3`,
			p.Target, publish.PurposeSeed, p.Period).Scan(&found); err != nil {
			return err
		}
		if made = found == 0; !made {
			return nil
		}
		return tx.addPublication(ctx, p)
	})
	if err != nil {
		return false, fmt.Errorf("keeping the notice of seed %s: %w", p.Notice.Root.Name, err)
	}
	return made, nil
}

// UnconfirmedSeeds are how many seeds of a target are made and not confirmed in print, and the oldest's number.
func (db *DB) UnconfirmedSeeds(ctx context.Context, target string) (n, oldest int, err error) {
	err = db.queryRow(ctx, `SELECT COUNT(*), COALESCE(MIN(s.number), 0) FROM seed s WHERE s.target = $1 AND s.made > 0
		AND NOT EXISTS (SELECT 1 FROM publication p JOIN publication_place w ON w.publication = p.id AND w.withdrawn = 0
			WHERE p.target = $1 AND p.purpose = 'seed' AND p.epoch = s.number)`, []any{target}, &n, &oldest)
	if err != nil {
		return 0, 0, fmt.Errorf("reading the seeds of target %s that are not confirmed: %w", target, err)
	}
	return n, oldest, nil
}
