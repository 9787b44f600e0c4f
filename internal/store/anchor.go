package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/datestone/datestone/internal/anchor"
)

const attemptColumns = `a.id, a.target, a.purpose, a.epoch, a.size, a.root, a.conflict, a.raw, a.ref, a.fee, a.vsize, a.created, a.sent, a.state, a.height, a.changed, u.name`

// SaveAttempt keeps an attempt before it is sent, and returns it with its id. The same attempt (its
// Ref) saved twice is one attempt. It returns nil only after the attempt is on disk.
func (db *DB) SaveAttempt(ctx context.Context, now time.Time, a anchor.Attempt) (anchor.Attempt, error) {
	if len(a.Uses) == 0 {
		return a, errors.New("saving an attempt: it uses up nothing, so it could succeed twice")
	}
	a.Created, a.Changed, a.Sent, a.State, a.Height = now, now, time.Time{}, anchor.Live, 0
	err := db.update(ctx, func(tx tx) error {
		err := tx.row(ctx, `INSERT INTO attempt (target, purpose, epoch, size, root, conflict, raw, ref, fee, vsize, created, sent, state, height, changed)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, 0, 0, $11) ON CONFLICT (target, ref) DO NOTHING RETURNING id`,
			a.Target, a.Purpose, a.Head.Epoch, a.Head.Size, a.Head.Root[:], a.Set(), a.Raw, a.Ref, a.Fee, a.VSize, micros(now)).Scan(&a.ID)
		if errors.Is(err, sql.ErrNoRows) {
			return tx.row(ctx, `SELECT id FROM attempt WHERE target = $1 AND ref = $2`, a.Target, a.Ref).Scan(&a.ID)
		} else if err != nil {
			return err
		}
		for _, name := range a.Uses {
			if _, err := tx.exec(ctx, `INSERT INTO attempt_use (attempt, name) VALUES ($1, $2)`, a.ID, name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return a, fmt.Errorf("saving attempt %s: %w", a.Ref, err)
	}
	return a, nil
}

// MarkSent records that the target took the attempt.
func (db *DB) MarkSent(ctx context.Context, now time.Time, id int64) error {
	err := db.update(ctx, func(tx tx) error {
		_, err := tx.exec(ctx, `UPDATE attempt SET sent = $2 WHERE id = $1 AND sent = 0`, id, micros(now))
		return err
	})
	if err != nil {
		return fmt.Errorf("marking attempt %d as sent: %w", id, err)
	}
	return nil
}

// Attempts are those attempts to reach a target that may still change the best chain, and all of the
// sets that they are in, and those that changed since; oldest first.
func (db *DB) Attempts(ctx context.Context, target string, since time.Time) ([]anchor.Attempt, error) {
	return db.attempts(ctx, `SELECT `+attemptColumns+`
		FROM attempt a JOIN attempt_use u ON u.attempt = a.id
		WHERE a.target = $1 AND (a.changed > $2
			OR a.conflict IN (SELECT b.conflict FROM attempt b WHERE b.target = $1 AND b.state IN (0, 1)))
		ORDER BY a.id, u.name`, target, micros(since))
}

// Unsettled are the attempts to reach a target that may still change the best chain, and all of the
// sets that they are in; oldest first.
func (db *DB) Unsettled(ctx context.Context, target string) ([]anchor.Attempt, error) {
	return db.attempts(ctx, `SELECT `+attemptColumns+`
		FROM attempt a JOIN attempt_use u ON u.attempt = a.id
		WHERE a.target = $1 AND a.conflict IN (SELECT b.conflict FROM attempt b WHERE b.target = $1 AND b.state IN (0, 1))
		ORDER BY a.id, u.name`, target)
}

// SettledFees are what the attempts of a purpose, or of all when it is empty, cost that were settled since.
func (db *DB) SettledFees(ctx context.Context, target, purpose string, since time.Time) (int64, error) {
	var sum int64
	err := db.queryRow(ctx, `SELECT COALESCE(SUM(fee), 0) FROM attempt WHERE target = $1 AND ($2 = '' OR purpose = $2) AND state = 2 AND changed > $3`,
		[]any{target, purpose, micros(since)}, &sum)
	if err != nil {
		return 0, fmt.Errorf("reading the fees of target %s: %w", target, err)
	}
	return sum, nil
}

// LastAttempt is the newest attempt to reach a target, if there is one.
func (db *DB) LastAttempt(ctx context.Context, target, purpose string) (anchor.Attempt, bool, error) {
	all, err := db.attempts(ctx, `SELECT `+attemptColumns+`
		FROM attempt a JOIN attempt_use u ON u.attempt = a.id
		WHERE a.id = (SELECT b.id FROM attempt b WHERE b.target = $1 AND b.purpose = $2 ORDER BY b.id DESC LIMIT 1)
		ORDER BY u.name`, target, purpose)
	if err != nil || len(all) == 0 {
		return anchor.Attempt{}, false, err
	}
	return all[0], true, nil
}

// attempts reads rows of attempts, one for each thing used, those of an attempt together.
func (db *DB) attempts(ctx context.Context, text string, args ...any) ([]anchor.Attempt, error) {
	rows, err := db.query(ctx, text, args...)
	if err != nil {
		return nil, fmt.Errorf("reading attempts: %w", err)
	}
	defer rows.Close()
	var all []anchor.Attempt
	for rows.Next() {
		var a anchor.Attempt
		var root []byte
		var set, name string
		var created, sent, changed int64
		if err := rows.Scan(&a.ID, &a.Target, &a.Purpose, &a.Head.Epoch, &a.Head.Size, &root, &set, &a.Raw, &a.Ref, &a.Fee, &a.VSize,
			&created, &sent, &a.State, &a.Height, &changed, &name); err != nil {
			return nil, fmt.Errorf("reading attempts: %w", err)
		}
		if n := len(all); n == 0 || all[n-1].ID != a.ID {
			if a.Head.Root, err = hash32(root); err != nil {
				return nil, fmt.Errorf("reading attempt %s: %w", a.Ref, err)
			}
			a.Created, a.Changed, a.Uses = fromMicros(created), fromMicros(changed), []string{set}
			if sent != 0 {
				a.Sent = fromMicros(sent)
			}
			all = append(all, a)
		}
		if last := &all[len(all)-1]; name != set {
			last.Uses = append(last.Uses, name)
		}
	}
	return all, rows.Err()
}

// Coverage says for each epoch how far a target attests it, in the order of epochs. Live attempts
// that conflict with a mined one cover nothing.
func (db *DB) Coverage(ctx context.Context, target, purpose string) ([]anchor.Coverage, error) {
	rows, err := db.query(ctx, `SELECT e.epoch,
			COALESCE((SELECT MAX(size) FROM attestation WHERE purpose = $2 AND target = $1 AND epoch = e.epoch AND state = 1), 0),
			COALESCE((SELECT MAX(size) FROM attempt WHERE target = $1 AND state = 1 AND purpose = $2 AND epoch = e.epoch), 0),
			COALESCE((SELECT MAX(a.size) FROM attempt a WHERE a.target = $1 AND a.state = 0 AND a.purpose = $2 AND a.epoch = e.epoch
				AND NOT EXISTS (SELECT 1 FROM attempt b WHERE b.target = a.target AND b.conflict = a.conflict AND b.state IN (1, 2))), 0)
		FROM (SELECT epoch FROM epoch UNION SELECT epoch FROM head) e ORDER BY e.epoch`, target, purpose)
	if err != nil {
		return nil, fmt.Errorf("reading what target %s covers: %w", target, err)
	}
	defer rows.Close()
	var all []anchor.Coverage
	for rows.Next() {
		var c anchor.Coverage
		if err := rows.Scan(&c.Epoch, &c.Counted, &c.Mined, &c.Sent); err != nil {
			return nil, fmt.Errorf("reading what target %s covers: %w", target, err)
		}
		all = append(all, c)
	}
	return all, rows.Err()
}
