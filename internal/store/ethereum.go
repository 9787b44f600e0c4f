package store

import (
	"context"
	"fmt"
	"time"

	"github.com/datestone/datestone/internal/logtree"
)

// What a target needs that does not follow blocks: it asks where its transactions are.

// Confirm records that an attempt is in a block of the best chain, with its attestation, and what it cost. A withdrawn
// attestation of the same transaction is restored, with the path to the new block.
func (db *DB) Confirm(ctx context.Context, now time.Time, target string, a logtree.Attestation, fee int64) error {
	err := db.update(ctx, func(tx tx) error {
		if err := tx.mined(ctx, now, target, a); err != nil {
			return err
		}
		_, err := tx.exec(ctx, `UPDATE attempt SET fee = $3 WHERE target = $1 AND ref = $2`, target, a.Ref, fee)
		return err
	})
	if err != nil {
		return fmt.Errorf("recording that transaction %s of target %s is mined: %w", a.Ref, target, err)
	}
	return nil
}

// Settle draws the conclusions from the best block's height: attestations in blocks up to deep are counted, their attempts
// settled, and those that used the same are dead. It returns what it counted.
func (db *DB) Settle(ctx context.Context, now time.Time, target string, tip, deep int64) (counted []logtree.Attestation, err error) {
	err = db.update(ctx, func(tx tx) error {
		if _, err := tx.exec(ctx, `UPDATE target SET height = $2 WHERE name = $1`, target, tip); err != nil {
			return err
		}
		if counted, err = tx.count(ctx, now, target, deep); err != nil {
			return err
		}
		if _, err := tx.exec(ctx, `UPDATE attempt SET state = 2, changed = $3 WHERE target = $1 AND state = 1 AND height <= $2`, target, deep, micros(now)); err != nil {
			return err
		}
		_, err = tx.exec(ctx, `UPDATE attempt SET state = 3, changed = $2,
				height = (SELECT b.height FROM attempt b WHERE b.target = attempt.target AND b.conflict = attempt.conflict AND b.state = 2)
			WHERE target = $1 AND state = 0 AND EXISTS (SELECT 1 FROM attempt b WHERE b.target = attempt.target AND b.conflict = attempt.conflict AND b.state = 2)`,
			target, micros(now))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("settling transactions of target %s: %w", target, err)
	}
	return counted, nil
}

// Withdraw takes back what is in a block that left the best chain: attestations that once counted are withdrawn and the
// others forgotten, and its attempts live again, with those that used the same. It returns what had counted.
func (db *DB) Withdraw(ctx context.Context, now time.Time, target string, height int64, block [32]byte) (withdrawn []logtree.Attestation, err error) {
	const here = `a.target = $1 AND a.height = $2 AND a.block = $3 AND a.state IN (0, 1, 2)`
	err = db.update(ctx, func(tx tx) error {
		if withdrawn, err = tx.attestations(ctx, `SELECT `+attestationColumns+` FROM attestation a WHERE `+here+` AND a.first_counted > 0`, target, height, block[:]); err != nil {
			return err
		}
		if _, err := tx.exec(ctx, `UPDATE attempt SET state = 0, height = 0, changed = $4 WHERE target = $1 AND state IN (1, 2, 3) AND conflict IN
			(SELECT m.conflict FROM attempt m JOIN attestation a ON a.target = m.target AND a.ref = m.ref WHERE `+here+`)`,
			target, height, block[:], micros(now)); err != nil {
			return err
		}
		if _, err := tx.exec(ctx, `DELETE FROM attestation WHERE target = $1 AND height = $2 AND block = $3 AND first_counted = 0`, target, height, block[:]); err != nil {
			return err
		}
		if _, err := tx.exec(ctx, `UPDATE attestation SET state = 3, changed = $4 WHERE target = $1 AND height = $2 AND block = $3 AND state IN (0, 1, 2)`,
			target, height, block[:], micros(now)); err != nil {
			return err
		}
		return tx.unsupersede(ctx, now, target)
	})
	if err != nil {
		return nil, fmt.Errorf("withdrawing block %d of target %s: %w", height, target, err)
	}
	return withdrawn, nil
}

// unsupersede counts what was superseded where no larger one is left.
func (t tx) unsupersede(ctx context.Context, now time.Time, target string) error {
	_, err := t.exec(ctx, `UPDATE attestation SET state = 1, changed = $2, first_counted = CASE WHEN first_counted = 0 THEN $2 ELSE first_counted END
		WHERE target = $1 AND state = 2 AND NOT EXISTS (SELECT 1 FROM attestation b WHERE b.target = attestation.target
			AND b.purpose = attestation.purpose AND b.epoch = attestation.epoch AND b.state = 1 AND b.size > attestation.size)`, target, micros(now))
	return err
}

// Standing are up to limit attestations of a target in blocks below a height that are not withdrawn, highest first.
func (db *DB) Standing(ctx context.Context, target string, below int64, limit int) ([]logtree.Attestation, error) {
	rows, err := db.query(ctx, `SELECT `+attestationColumns+` FROM attestation a WHERE a.target = $1 AND a.state IN (0, 1, 2) AND a.height < $2
		ORDER BY a.height DESC, a.id DESC LIMIT $3`, target, below, limit)
	if err != nil {
		return nil, fmt.Errorf("reading attestations of target %s: %w", target, err)
	}
	defer rows.Close()
	var all []logtree.Attestation
	for rows.Next() {
		a, err := scanAttestation(rows)
		if err != nil {
			return nil, fmt.Errorf("reading attestations of target %s: %w", target, err)
		}
		all = append(all, a)
	}
	return all, rows.Err()
}

// Abandon marks the live attempts of a set dead: at a height something else was seen to have used what they use.
func (db *DB) Abandon(ctx context.Context, now time.Time, target, set string, height int64) error {
	err := db.update(ctx, func(tx tx) error {
		_, err := tx.exec(ctx, `UPDATE attempt SET state = 3, height = $3, changed = $4 WHERE target = $1 AND conflict = $2 AND state = 0`, target, set, height, micros(now))
		return err
	})
	if err != nil {
		return fmt.Errorf("giving up attempts of target %s: %w", target, err)
	}
	return nil
}
