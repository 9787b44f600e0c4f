package store

import (
	"context"
	"fmt"

	"github.com/datestone/datestone/internal/seed"
)

// AllSeeds are up to limit seeds with numbers above after, in order of number, for those who check them.
func (db *DB) AllSeeds(ctx context.Context, after int64, limit int) ([]seed.Seed, error) {
	return db.seeds(ctx, `SELECT `+seedColumns+` FROM seed s WHERE s.number > $1 ORDER BY s.number LIMIT $2`, after, limit)
}

// CheckSeeds says what rows of submissions and seeds do not fit each other, at most limit of them. The trees are not looked at.
func (db *DB) CheckSeeds(ctx context.Context, limit int) ([]string, error) {
	rows, err := db.query(ctx, `SELECT what FROM (
			SELECT 'submission ' || CAST(s.number AS TEXT) || ' follows number ' || CAST(s.previous AS TEXT) AS what
				FROM (SELECT number, LAG(number, 1, 0) OVER (ORDER BY number) AS previous FROM submitted) s WHERE s.number <> s.previous + 1
			UNION ALL SELECT 'submission ' || CAST(s.number AS TEXT) || ' is of a stamp that is not there, or has another hash, or is another account''s'
				FROM submitted s LEFT JOIN stamp m ON m.id = s.stamp WHERE m.id IS NULL OR m.digest <> s.hash OR m.account <> s.account
			UNION ALL SELECT 'a page to print of account ' || CAST(p.account AS TEXT) || ' is of submission ' || CAST(p.number AS TEXT) || ', which is not there'
				FROM preprint p WHERE NOT EXISTS (SELECT 1 FROM submitted s WHERE s.number = p.number)
			UNION ALL SELECT 'seed ' || CAST(s.number AS TEXT) || ' of ' || s.target || ' begins with ' || CAST(s.first AS TEXT) || ', and the one before it ends before ' || CAST(s.ended AS TEXT)
				FROM (SELECT number, target, first, LAG(before, 1, first) OVER (PARTITION BY target ORDER BY first) AS ended FROM seed) s WHERE s.first <> s.ended
			UNION ALL SELECT 'seed ' || CAST(s.number AS TEXT) || ' of ' || s.target || ' has no hash, or such as are not there: from ' || CAST(s.first AS TEXT) || ' before ' || CAST(s.before AS TEXT)
				FROM seed s WHERE s.first < 1 OR s.before <> 0 AND s.before <= s.first
					OR NOT EXISTS (SELECT 1 FROM submitted m WHERE m.number = s.first) OR s.before <> 0 AND NOT EXISTS (SELECT 1 FROM submitted m WHERE m.number = s.before - 1)
			UNION ALL SELECT 'seed ' || CAST(s.number AS TEXT) || ' of ' || s.target || ' is made and open'
				FROM seed s WHERE s.before = 0 AND s.made <> 0
			UNION ALL SELECT 'seed ' || CAST(s.number AS TEXT) || ' of ' || s.target || ' ends when it begins, or before'
				FROM seed s WHERE s.closes <= s.opened
			UNION ALL SELECT 'seed ' || CAST(s.number AS TEXT) || ' of ' || s.target || ' is final and not made'
				FROM seed s WHERE s.final <> 0 AND s.made = 0
			UNION ALL SELECT 'number ' || CAST(w.number AS TEXT) || ' is awaited of ' || w.target || ', and no such seed has it'
				FROM seed_await w WHERE NOT EXISTS (SELECT 1 FROM seed s WHERE s.target = w.target AND s.first <= w.number AND (s.before = 0 OR s.before > w.number))
			UNION ALL SELECT 'number ' || CAST(w.number AS TEXT) || ' is awaited by endpoint ' || CAST(w.endpoint AS TEXT) || ', which is not there'
				FROM seed_await w WHERE NOT EXISTS (SELECT 1 FROM endpoint e WHERE e.id = w.endpoint)
			UNION ALL SELECT 'a tile is of seed ' || CAST(k.seed AS TEXT) || ', which is not there, or open'
				FROM (SELECT DISTINCT tile / 16777216 AS seed FROM seed_tile) k WHERE NOT EXISTS (SELECT 1 FROM seed s WHERE s.number = k.seed AND s.before <> 0)
		) found ORDER BY what LIMIT $1`, limit)
	if err != nil {
		return nil, fmt.Errorf("checking seeds: %w", err)
	}
	defer rows.Close()
	var wrong []string
	for rows.Next() {
		var what string
		if err := rows.Scan(&what); err != nil {
			return nil, fmt.Errorf("checking seeds: %w", err)
		}
		wrong = append(wrong, what)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("checking seeds: %w", err)
	}
	return wrong, nil
}

// CheckedSubmitted is a submission with what a check holds it against.
type CheckedSubmitted struct {
	seed.Submitted
	// InBatch is the leaf of the batch at its place; nil when there is none.
	InBatch []byte
}

// AllSubmitted are up to limit submissions with numbers above after, in order of number, for those who check them.
func (db *DB) AllSubmitted(ctx context.Context, after int64, limit int) ([]CheckedSubmitted, error) {
	rows, err := db.query(ctx, `SELECT s.number, s.hash, s.account, s.stamp, s.created, s.comment, s.nonce, s.leaf, s.position,
			COALESCE(substr(k.leaves, CAST(s.leaf * 32 + 1 AS INTEGER), 32), $3)
		FROM submitted s LEFT JOIN kept k ON k.position = s.position WHERE s.number > $1 ORDER BY s.number LIMIT $2`, after, limit, []byte{})
	if err != nil {
		return nil, fmt.Errorf("reading submissions: %w", err)
	}
	defer rows.Close()
	var all []CheckedSubmitted
	for rows.Next() {
		var c CheckedSubmitted
		if c.Submitted, err = scanSubmitted(rows, &c.InBatch); err != nil {
			return nil, fmt.Errorf("reading submissions: %w", err)
		}
		all = append(all, c)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading submissions: %w", err)
	}
	return all, nil
}
