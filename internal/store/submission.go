package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/upstream/submission"
	"github.com/datestone/datestone/ots"
)

const submissionColumns = `s.id, s.target, s.epoch, s.size, s.root, s.calendar, s.uri, s.path, s.commitment, s.proof, s.height, s.ref, s.state, s.created, s.changed, s.next, s.tries`

// uncovered chooses submissions whose head has entries that no counted attestation of the target covers.
const uncovered = `s.size > COALESCE((SELECT MAX(a.size) FROM attestation a WHERE a.purpose = 'log' AND a.target = s.target AND a.epoch = s.epoch AND a.state = 1), 0)`

// SaveSubmissions keeps what a calendar promised of a head. It returns nil only after all of it is on disk.
func (db *DB) SaveSubmissions(ctx context.Context, now time.Time, all []submission.Submission) error {
	err := db.update(ctx, func(tx tx) error {
		for _, s := range all {
			if _, err := tx.exec(ctx, `INSERT INTO submission (target, epoch, size, root, calendar, uri, path, commitment, proof, height, ref, state, created, changed, next, tries)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, '', 0, $10, $10, $11, 0)`,
				s.Target, s.Head.Epoch, s.Head.Size, s.Head.Root[:], s.Calendar, s.URI, s.Path, s.Commitment, []byte{}, micros(now), micros(s.Next)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("keeping what a calendar promised: %w", err)
	}
	return nil
}

// UseCalendars sets the submissions of other calendars aside, and takes back those of these.
func (db *DB) UseCalendars(ctx context.Context, now time.Time, target string, calendars []string) error {
	known, err := db.texts(ctx, `SELECT DISTINCT calendar FROM submission s WHERE s.target = $1`, target)
	if err != nil {
		return fmt.Errorf("reading the calendars of target %s: %w", target, err)
	}
	if len(known) == 0 {
		return nil
	}
	err = db.update(ctx, func(tx tx) error {
		for _, calendar := range known {
			text := `UPDATE submission SET state = 3, changed = $3 WHERE target = $1 AND calendar = $2 AND state IN (0, 1)`
			if slices.Contains(calendars, calendar) {
				text = `UPDATE submission SET state = 0, changed = $3 WHERE target = $1 AND calendar = $2 AND state = 3`
			}
			if _, err := tx.exec(ctx, text, target, calendar, micros(now)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("setting the calendars of target %s: %w", target, err)
	}
	return nil
}

// SentSubmissions are the largest heads that each calendar accepted, by epoch.
func (db *DB) SentSubmissions(ctx context.Context, target string) ([]submission.Sent, error) {
	rows, err := db.query(ctx, `SELECT calendar, epoch, MAX(size), MAX(created) FROM submission WHERE target = $1 AND state <> 3 GROUP BY calendar, epoch`, target)
	if err != nil {
		return nil, fmt.Errorf("reading what target %s was given: %w", target, err)
	}
	defer rows.Close()
	var all []submission.Sent
	for rows.Next() {
		var s submission.Sent
		var at int64
		if err := rows.Scan(&s.Calendar, &s.Epoch, &s.Size, &at); err != nil {
			return nil, fmt.Errorf("reading what target %s was given: %w", target, err)
		}
		s.At = fromMicros(at)
		all = append(all, s)
	}
	return all, rows.Err()
}

// AwaitedCalendars are the calendars that are to be asked for something, wherever the heads were given.
func (db *DB) AwaitedCalendars(ctx context.Context, target string) ([]string, error) {
	all, err := db.texts(ctx, `SELECT DISTINCT s.uri FROM submission s WHERE s.target = $1 AND s.state = 0 AND `+uncovered, target)
	if err != nil {
		return nil, fmt.Errorf("reading the calendars that target %s waits for: %w", target, err)
	}
	return all, nil
}

// AwaitedSubmissions are pending ones of a calendar that may be asked for at a time, and that would attest something
// new even if what the calendar has answered holds, in the order of their heads.
func (db *DB) AwaitedSubmissions(ctx context.Context, now time.Time, target, uri string, limit int) ([]submission.Submission, error) {
	return db.submissions(ctx, `WHERE s.target = $1 AND s.state = 0 AND s.uri = $2 AND s.next <= $3 AND `+uncovered+`
		AND s.size > COALESCE((SELECT MAX(b.size) FROM submission b WHERE b.target = s.target AND b.state = 1 AND b.uri = s.uri AND b.epoch = s.epoch), 0) ORDER BY s.epoch, s.size, s.id LIMIT $4`,
		target, uri, micros(now), limit)
}

// AnsweredSubmissions are answered ones that may be checked at a time and that would attest something new, lowest block
// first.
func (db *DB) AnsweredSubmissions(ctx context.Context, now time.Time, target string, limit int) ([]submission.Submission, error) {
	return db.submissions(ctx, `WHERE s.target = $1 AND s.state = 1 AND s.next <= $2 AND `+uncovered+` ORDER BY s.height, s.epoch, s.size, s.id LIMIT $3`,
		target, micros(now), limit)
}

// AllSubmissions reads up to limit submissions with ids above after, in order of id, for those who check them.
func (db *DB) AllSubmissions(ctx context.Context, after int64, limit int) ([]submission.Submission, error) {
	return db.submissions(ctx, `WHERE s.id > $1 ORDER BY s.id LIMIT $2`, after, limit)
}

// DeferSubmission waits with a submission that is pending or answered.
func (db *DB) DeferSubmission(ctx context.Context, id int64, next time.Time) error {
	return db.change(ctx, `UPDATE submission SET next = $2, tries = tries + 1 WHERE id = $1 AND state IN (0, 1)`, id, micros(next))
}

// AnswerSubmission keeps a calendar's answer to a pending one.
func (db *DB) AnswerSubmission(ctx context.Context, now time.Time, s submission.Submission) error {
	return db.change(ctx, `UPDATE submission SET state = 1, proof = $2, height = $3, changed = $4, next = $4 WHERE id = $1 AND state = 0`,
		s.ID, s.Proof, s.Height, micros(now))
}

// RefuseAnswer forgets an answer that is not true, and asks for another one later.
func (db *DB) RefuseAnswer(ctx context.Context, now time.Time, id int64, next time.Time) error {
	return db.change(ctx, `UPDATE submission SET state = 0, proof = $2, height = 0, changed = $3, next = $4, tries = tries + 1 WHERE id = $1 AND state = 1`,
		id, []byte{}, micros(now), micros(next))
}

func (db *DB) change(ctx context.Context, text string, id int64, more ...any) error {
	err := db.update(ctx, func(tx tx) error {
		_, err := tx.exec(ctx, text, append([]any{id}, more...)...)
		return err
	})
	if err != nil {
		return fmt.Errorf("changing submission %d: %w", id, err)
	}
	return nil
}

// AttestSubmission makes a counted attestation of an answered submission, whose block is at the required depth, and
// says whether it counts: one for a head that is not larger than what is counted already is superseded. Heads that one
// transaction carries share an attestation, which is the largest one's.
func (db *DB) AttestSubmission(ctx context.Context, now time.Time, id int64, a logtree.Attestation) (state logtree.AttestationState, err error) {
	err = db.update(ctx, func(tx tx) error {
		a := a
		// The last head of an epoch and one of the next may be in the same transaction.
		var other int
		if err := tx.row(ctx, `SELECT COUNT(*) FROM attestation WHERE target = $1 AND purpose = 'log' AND ref = $2 AND epoch <> $3`, a.Target, a.Ref, a.Head.Epoch).Scan(&other); err != nil {
			return err
		}
		if other > 0 {
			a.Ref = fmt.Sprintf("%s/%d", a.Ref, a.Head.Epoch)
		}
		if err := tx.row(ctx, `SELECT CASE WHEN EXISTS (SELECT 1 FROM attestation b WHERE b.target = $1 AND b.purpose = 'log' AND b.epoch = $2 AND b.state = 1 AND b.size > $3
			AND b.ref <> $4) THEN 2 ELSE 1 END`, a.Target, a.Head.Epoch, a.Head.Size, a.Ref).Scan(&state); err != nil {
			return err
		}
		var first int64
		if state == logtree.Counted {
			first = micros(now)
		}
		if _, err := tx.exec(ctx, `INSERT INTO attestation (target, purpose, epoch, size, root, proof, height, block, block_time, ref, state, changed, first_counted, kind)
			VALUES ($1, 'log', $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
			ON CONFLICT (target, purpose, ref) DO UPDATE SET size = EXCLUDED.size, root = EXCLUDED.root, proof = EXCLUDED.proof, height = EXCLUDED.height,
				block = EXCLUDED.block, block_time = EXCLUDED.block_time, state = EXCLUDED.state, changed = EXCLUDED.changed,
				first_counted = CASE WHEN attestation.first_counted = 0 THEN EXCLUDED.first_counted ELSE attestation.first_counted END
				WHERE attestation.epoch = EXCLUDED.epoch AND (attestation.size <= EXCLUDED.size OR attestation.state = 3)`,
			a.Target, a.Head.Epoch, a.Head.Size, a.Head.Root[:], a.Proof, a.Height, a.BlockHash[:], micros(a.BlockTime), a.Ref, int(state), micros(now), first, string(a.Kind)); err != nil {
			return err
		}
		_, err := tx.exec(ctx, `UPDATE submission SET state = 2, ref = $2, changed = $3 WHERE id = $1 AND state = 1`, id, a.Ref, micros(now))
		return err
	})
	if err != nil {
		return state, fmt.Errorf("attesting submission %d: %w", id, err)
	}
	return state, nil
}

// CountedSince are the counted attestations of a target in blocks above a height, highest first.
func (db *DB) CountedSince(ctx context.Context, target string, height int64, limit int) ([]logtree.Attestation, error) {
	rows, err := db.query(ctx, `SELECT `+attestationColumns+` FROM attestation a WHERE a.purpose = 'log' AND a.target = $1 AND a.height > $2 AND a.state IN (1, 2) ORDER BY a.height DESC, a.id DESC LIMIT $3`,
		target, height, limit)
	if err != nil {
		return nil, fmt.Errorf("reading what target %s counts: %w", target, err)
	}
	defer rows.Close()
	var all []logtree.Attestation
	for rows.Next() {
		a, err := scanAttestation(rows)
		if err != nil {
			return nil, fmt.Errorf("reading what target %s counts: %w", target, err)
		}
		all = append(all, a)
	}
	return all, rows.Err()
}

// WithdrawSubmitted withdraws the attestations in a block that left the best chain. What they were made of is asked for
// again. One that was superseded counts where no larger one is left.
func (db *DB) WithdrawSubmitted(ctx context.Context, now time.Time, target string, height int64, block [32]byte) error {
	err := db.update(ctx, func(tx tx) error {
		if _, err := tx.exec(ctx, `UPDATE submission SET state = 0, ref = '', proof = $5, height = 0, changed = $4, next = $4 WHERE target = $1 AND state = 2 AND ref IN
				(SELECT a.ref FROM attestation a WHERE a.target = $1 AND a.purpose = 'log' AND a.height = $2 AND a.block = $3 AND a.state IN (1, 2))`,
			target, height, block[:], micros(now), []byte{}); err != nil {
			return err
		}
		if _, err := tx.exec(ctx, `UPDATE attestation SET state = 3, changed = $4 WHERE target = $1 AND purpose = 'log' AND height = $2 AND block = $3 AND state IN (1, 2)`,
			target, height, block[:], micros(now)); err != nil {
			return err
		}
		_, err := tx.exec(ctx, `UPDATE attestation SET state = 1, changed = $2, first_counted = CASE WHEN first_counted = 0 THEN $2 ELSE first_counted END
			WHERE target = $1 AND state = 2 AND NOT EXISTS (SELECT 1 FROM attestation b WHERE b.target = attestation.target
				AND b.purpose = attestation.purpose AND b.epoch = attestation.epoch AND b.state = 1 AND b.size > attestation.size)`, target, micros(now))
		return err
	})
	if err != nil {
		return fmt.Errorf("withdrawing block %d of target %s: %w", height, target, err)
	}
	return nil
}

// SaveTip keeps the height of the best block that a target knows.
func (db *DB) SaveTip(ctx context.Context, target string, height int64) error {
	err := db.update(ctx, func(tx tx) error {
		_, err := tx.exec(ctx, `UPDATE target SET height = $2 WHERE name = $1`, target, height)
		return err
	})
	if err != nil {
		return fmt.Errorf("keeping the best block of target %s: %w", target, err)
	}
	return nil
}

// ForgetSubmissions deletes up to limit submissions whose heads are covered by a counted attestation in a block at or
// below a height, and returns how many those were.
func (db *DB) ForgetSubmissions(ctx context.Context, target string, height int64, limit int) (n int64, err error) {
	err = db.update(ctx, func(tx tx) error {
		r, err := tx.exec(ctx, `DELETE FROM submission WHERE id IN (SELECT s.id FROM submission s WHERE s.target = $1 AND s.size <=
			COALESCE((SELECT MAX(a.size) FROM attestation a WHERE a.purpose = 'log' AND a.target = s.target AND a.epoch = s.epoch AND a.state = 1 AND a.height <= $2), 0)
			ORDER BY s.id LIMIT $3)`, target, height, limit)
		if err != nil {
			return err
		}
		n, err = r.RowsAffected()
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("forgetting what target %s does not need any more: %w", target, err)
	}
	return n, nil
}

const (
	// manyPending bounds the pending attestations above an entry that are looked at for a proof.
	manyPending = 32
	// maxPromises bounds those that are given out in it.
	maxPromises = 8
)

// Promises are pending attestations that other calendars gave for heads above p, each with the path from the head's
// root: of each calendar that is to be asked the one for the smallest head, smallest first.
func (db *DB) Promises(ctx context.Context, p logtree.Position) ([]logtree.Promise, error) {
	rows, err := db.query(ctx, `SELECT s.size, s.root, s.path, s.uri FROM submission s WHERE s.epoch = $1 AND s.size > $2 AND s.state <= 2 ORDER BY s.size, s.id LIMIT $3`,
		p.Epoch(), p.Index(), manyPending)
	if err != nil {
		return nil, fmt.Errorf("reading what calendars promised above %v: %w", p, err)
	}
	defer rows.Close()
	var all []logtree.Promise
	known := make(map[string]bool)
	for rows.Next() {
		promise := logtree.Promise{Head: logtree.Head{Epoch: p.Epoch()}}
		var root, path []byte
		var uri string
		if err := rows.Scan(&promise.Head.Size, &root, &path, &uri); err != nil {
			return nil, fmt.Errorf("reading what calendars promised above %v: %w", p, err)
		}
		if known[uri] || len(all) == maxPromises {
			continue
		}
		known[uri] = true
		if promise.Head.Root, err = hash32(root); err != nil {
			return nil, err
		}
		attestation, err := ots.PendingAttestation(uri)
		if err != nil {
			return nil, fmt.Errorf("the calendar %q: %w", uri, err)
		}
		wire, err := ots.New(ots.Path{}, attestation).AppendBinary(nil)
		if err != nil {
			return nil, fmt.Errorf("the calendar %q: %w", uri, err)
		}
		// In wire form a path is followed by the timestamp of what it leads to.
		promise.Proof = append(path, wire...)
		all = append(all, promise)
	}
	return all, rows.Err()
}

func (db *DB) texts(ctx context.Context, text string, args ...any) ([]string, error) {
	rows, err := db.query(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, rows.Err()
}

func (db *DB) submissions(ctx context.Context, where string, args ...any) ([]submission.Submission, error) {
	rows, err := db.query(ctx, `SELECT `+submissionColumns+` FROM submission s `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("reading submissions: %w", err)
	}
	defer rows.Close()
	var all []submission.Submission
	for rows.Next() {
		var s submission.Submission
		var root []byte
		var created, changed, next int64
		if err := rows.Scan(&s.ID, &s.Target, &s.Head.Epoch, &s.Head.Size, &root, &s.Calendar, &s.URI, &s.Path, &s.Commitment, &s.Proof, &s.Height, &s.Ref, &s.State,
			&created, &changed, &next, &s.Tries); err != nil {
			return nil, fmt.Errorf("reading submissions: %w", err)
		}
		if s.Head.Root, err = hash32(root); err != nil {
			return nil, fmt.Errorf("reading submission %d: %w", s.ID, err)
		}
		s.Created, s.Changed, s.Next = fromMicros(created), fromMicros(changed), fromMicros(next)
		all = append(all, s)
	}
	return all, rows.Err()
}
