package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/seed"
)

const (
	submittedColumns = `number, hash, account, stamp, created, comment, nonce, leaf, position`
	selectSubmitted  = `SELECT ` + submittedColumns + ` FROM submitted WHERE hash = $1`

	seedColumns = `s.number, s.uid, s.target, s.opened, s.closes, s.first, s.before, s.root, s.made`
)

// scanSubmitted reads submittedColumns, and what follows them into more.
func scanSubmitted(row row, more ...any) (seed.Submitted, error) {
	var s seed.Submitted
	var hash, stamp, nonce []byte
	var created, position int64
	if err := row.Scan(append([]any{&s.Number, &hash, &s.Account, &stamp, &created, &s.Comment, &nonce, &s.Leaf, &position}, more...)...); err != nil {
		return s, err
	}
	if len(stamp) != len(s.Stamp) || len(nonce) != len(s.Nonce) {
		return s, fmt.Errorf("submission %d: a stamp's id of %d and a nonce of %d bytes: %w", s.Number, len(stamp), len(nonce), logtree.ErrInconsistent)
	}
	s.Nonce, s.Position = [16]byte(nonce), logtree.Position(position)
	s.Stamp, s.Created = seed.UUID(stamp), fromMicros(created)
	var err error
	s.Hash, err = hash32(hash)
	return s, err
}

// scanSeed reads seedColumns, and what follows them into more.
func scanSeed(row row, more ...any) (seed.Seed, error) {
	var s seed.Seed
	var uid, root []byte
	var opened, closes, made int64
	if err := row.Scan(append([]any{&s.Number, &uid, &s.Target, &opened, &closes, &s.First, &s.Before, &root, &made}, more...)...); err != nil {
		return s, err
	}
	if len(uid) != len(s.UID) {
		return s, fmt.Errorf("seed %d: an id of %d bytes: %w", s.Number, len(uid), logtree.ErrInconsistent)
	}
	s.UID, s.Opened, s.Closes, s.Made = seed.UUID(uid), fromMicros(opened), fromMicros(closes), orNever(made)
	if made == 0 {
		return s, nil
	}
	var err error
	if s.Root, err = hash32(root); err != nil {
		return s, fmt.Errorf("seed %d: %w", s.Number, err)
	}
	return s, nil
}

// Submitted is what was submitted of a hash, or seed.ErrUnknown.
func (db *DB) Submitted(ctx context.Context, hash [32]byte) (seed.Submitted, error) {
	return db.submitted(ctx, selectSubmitted, hash[:])
}

// PreprintOf is the hash whose page to print has this UUID, or seed.ErrUnknown.
func (db *DB) PreprintOf(ctx context.Context, uid seed.UUID) (seed.Submitted, error) {
	return db.submitted(ctx, `SELECT `+submittedColumns+` FROM submitted WHERE number = (SELECT p.number FROM preprint p WHERE p.uid = $1)`, uid[:])
}

func (db *DB) submitted(ctx context.Context, text string, args ...any) (seed.Submitted, error) {
	all, err := db.allSubmitted(ctx, text, args...)
	if err == nil && len(all) == 0 {
		err = seed.ErrUnknown
	}
	if err != nil {
		return seed.Submitted{}, err
	}
	return all[0], nil
}

func (db *DB) allSubmitted(ctx context.Context, text string, args ...any) ([]seed.Submitted, error) {
	rows, err := db.query(ctx, text, args...)
	if err != nil {
		return nil, fmt.Errorf("reading submissions: %w", err)
	}
	defer rows.Close()
	var all []seed.Submitted
	for rows.Next() {
		s, err := scanSubmitted(rows)
		if err != nil {
			return nil, fmt.Errorf("reading submissions: %w", err)
		}
		all = append(all, s)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading submissions: %w", err)
	}
	return all, nil
}

const (
	// searchedAtOnce and searchedAtMost are how many comments are read together, and for one search.
	searchedAtOnce = 2000
	searchedAtMost = 100_000
)

// SearchComments are up to limit submissions with numbers below before, or from the newest on for 0, whose comments have all
// of the words, in capital letters or small ones; newest first. It looks at no more than 100,000 comments.
func (db *DB) SearchComments(ctx context.Context, words string, before int64, limit int) ([]seed.Submitted, error) {
	if before <= 0 {
		before = math.MaxInt64
	}
	wanted := strings.Fields(folded(words))
	if len(wanted) == 0 {
		return nil, nil
	}
	var found []seed.Submitted
	for looked := 0; looked < searchedAtMost; looked += searchedAtOnce {
		part, err := db.allSubmitted(ctx, `SELECT `+submittedColumns+` FROM submitted WHERE comment <> '' AND number < $1 ORDER BY number DESC LIMIT $2`, before, searchedAtOnce)
		if err != nil {
			return nil, err
		}
		for _, s := range part {
			if hasAll(folded(s.Comment), wanted) {
				if found = append(found, s); len(found) == limit {
					return found, nil
				}
			}
			before = s.Number
		}
		if len(part) < searchedAtOnce {
			break
		}
	}
	return found, nil
}

// folded is a text in letters that capital and small ones share.
func folded(text string) string { return strings.ToLower(strings.ToUpper(text)) }

func hasAll(text string, words []string) bool {
	for _, w := range words {
		if !strings.Contains(text, w) {
			return false
		}
	}
	return true
}

// seedTargets are the targets that have seeds, without reading those.
const seedTargets = `WITH RECURSIVE targets(name) AS (SELECT MIN(target) FROM seed UNION ALL
	SELECT (SELECT MIN(n.target) FROM seed n WHERE n.target > targets.name) FROM targets WHERE targets.name IS NOT NULL) `

// selectStates reads seeds with what their targets say of them: the id of the attestation that tells most, or 0; whether an
// attempt was sent; whether it was published, and in which issue.
const selectStates = `SELECT ` + seedColumns + `,
	COALESCE((SELECT a.id FROM attestation a WHERE a.purpose = 'seed' AND a.target = s.target AND a.epoch = s.number AND a.state IN (0, 1)
		ORDER BY a.state DESC, a.height, a.id LIMIT 1), 0),
	CASE WHEN EXISTS (SELECT 1 FROM attempt t WHERE t.purpose = 'seed' AND t.target = s.target AND t.epoch = s.number AND t.state = 0 AND t.sent > 0) THEN 1 ELSE 0 END,
	CASE WHEN EXISTS (SELECT 1 FROM publication p WHERE p.purpose = 'seed' AND p.epoch = s.number AND p.target = s.target) THEN 1 ELSE 0 END,
	COALESCE((SELECT MIN(w.issue) FROM publication p JOIN publication_place w ON w.publication = p.id AND w.withdrawn = 0
		WHERE p.purpose = 'seed' AND p.epoch = s.number AND p.target = s.target), '')
	FROM seed s `

// SeedStates are the seeds that have the hash with this number, one for each target that has one, by target.
func (db *DB) SeedStates(ctx context.Context, number int64) ([]seed.State, error) {
	return db.seedStates(ctx, seedTargets+selectStates+`JOIN targets ON s.target = targets.name
		WHERE s.first = (SELECT MAX(n.first) FROM seed n WHERE n.target = targets.name AND n.first <= $1) AND (s.before = 0 OR s.before > $1)
		ORDER BY s.target`, number)
}

// SeedState is the seed with this id, or seed.ErrUnknown.
func (db *DB) SeedState(ctx context.Context, uid seed.UUID) (seed.State, error) {
	all, err := db.seedStates(ctx, selectStates+`WHERE s.uid = $1`, uid[:])
	if err == nil && len(all) == 0 {
		err = seed.ErrUnknown
	}
	if err != nil {
		return seed.State{}, err
	}
	return all[0], nil
}

func (db *DB) seedStates(ctx context.Context, text string, args ...any) ([]seed.State, error) {
	rows, err := db.query(ctx, text, args...)
	if err != nil {
		return nil, fmt.Errorf("reading seeds: %w", err)
	}
	defer rows.Close()
	var all []seed.State
	var attested []int64 // of each: the id of its attestation, or 0
	for rows.Next() {
		var s seed.State
		var attestation int64
		var sent, published bool
		var issue string
		if s.Seed, err = scanSeed(rows, &attestation, &sent, &published, &issue); err != nil {
			return nil, fmt.Errorf("reading seeds: %w", err)
		}
		switch {
		case issue != "":
			s.Status, s.Ref = seed.Final, issue
			if s.Time, err = time.Parse(time.DateOnly, issue); err != nil {
				return nil, fmt.Errorf("reading seed %d: the date of its issue: %w", s.Number, err)
			}
		case sent || published:
			s.Status = seed.Sent
		}
		all, attested = append(all, s), append(attested, attestation)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading seeds: %w", err)
	}
	rows.Close()
	for i := range all {
		if attested[i] == 0 {
			continue
		}
		if err := db.attest(ctx, &all[i], attested[i]); err != nil {
			return nil, fmt.Errorf("reading seed %d: %w", all[i].Number, err)
		}
	}
	return all, nil
}

// attest reads the attestation of a seed. One that was withdrawn meanwhile leaves the seed as it was sent.
func (db *DB) attest(ctx context.Context, s *seed.State, id int64) error {
	rows, err := db.query(ctx, `SELECT `+attestationColumns+`, t.height FROM attestation a JOIN target t ON t.name = a.target WHERE a.id = $1`, id)
	if err != nil {
		return err
	}
	defer rows.Close()
	if !rows.Next() {
		s.Status = seed.Sent
		return rows.Err()
	}
	var tip int64
	a, err := scanAttestation(rows, &tip)
	if err != nil {
		return err
	}
	a.Tip = tip
	switch a.State {
	case logtree.Counted:
		s.Status = seed.Final
	case logtree.Mined:
		s.Status = seed.Mined
	default:
		s.Status = seed.Sent
		return nil
	}
	s.Ref, s.Time, s.Attestation = a.Ref, a.BlockTime, a
	return nil
}

// OpenSeed is the seed of a target that new hashes are in; false when there is none.
func (db *DB) OpenSeed(ctx context.Context, target string) (seed.Seed, bool, error) {
	all, err := db.seeds(ctx, newestSeed, target)
	if err != nil || len(all) == 0 || all[0].Before != 0 {
		return seed.Seed{}, false, err
	}
	return all[0], true, nil
}

func (db *DB) seeds(ctx context.Context, text string, args ...any) ([]seed.Seed, error) {
	rows, err := db.query(ctx, text, args...)
	if err != nil {
		return nil, fmt.Errorf("reading seeds: %w", err)
	}
	all, err := scanSeeds(rows)
	if err != nil {
		return nil, fmt.Errorf("reading seeds: %w", err)
	}
	return all, nil
}

func scanSeeds(rows *sql.Rows) ([]seed.Seed, error) {
	defer rows.Close()
	var all []seed.Seed
	for rows.Next() {
		s, err := scanSeed(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, rows.Err()
}

// UnattestedSeeds are the heads of up to limit seeds of a target that are made and in no block, oldest first. One that was
// final is among them once the walk has told the operator that it is not any more.
func (db *DB) UnattestedSeeds(ctx context.Context, target string, limit int) ([]logtree.Head, error) {
	all, err := db.seeds(ctx, `SELECT `+seedColumns+` FROM seed s WHERE s.target = $1 AND s.final = 0 AND s.made > 0
		AND NOT EXISTS (SELECT 1 FROM attestation a WHERE a.purpose = 'seed' AND a.target = s.target AND a.epoch = s.number AND a.state IN (0, 1))
		ORDER BY s.first LIMIT $2`, target, limit)
	if err != nil {
		return nil, err
	}
	heads := make([]logtree.Head, len(all))
	for i, s := range all {
		heads[i] = s.Head()
	}
	return heads, nil
}

// inSeed is the seed of a target that has the hash with a number, or seed.ErrUnknown. Its row stays as it is until the
// transaction ends.
func (t tx) inSeed(ctx context.Context, target string, number int64) (s seed.Seed, final bool, err error) {
	s, err = scanSeed(t.row(ctx, `SELECT `+seedColumns+`, s.final FROM seed s
		WHERE s.target = $1 AND s.first = (SELECT MAX(n.first) FROM seed n WHERE n.target = $1 AND n.first <= $2) AND (s.before = 0 OR s.before > $2)`+t.db.engine.forUpdate,
		target, number), &final)
	if errors.Is(err, sql.ErrNoRows) {
		err = seed.ErrUnknown
	}
	return s, final, err
}
