package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/logtree"
)

const (
	stampColumns   = `account, id, certificate, digest, name, size, type, created, branding, thumbnail, public, nonce, leaf, position`
	selectByDigest = `SELECT ` + stampColumns + ` FROM stamp WHERE digest = $2 AND account + 0 = $1`
	selectByID     = `SELECT ` + stampColumns + ` FROM stamp WHERE id = $1`
)

func scanStamp(row row) (account.Stamp, error) {
	var s account.Stamp
	var id, digest, nonce []byte
	var branding string
	var created, public, position int64
	if err := row.Scan(&s.Account, &id, &s.Certificate, &digest, &s.File.Name, &s.File.Size, &s.File.Type, &created, &branding,
		&s.Thumbnail, &public, &nonce, &s.Leaf, &position); err != nil {
		return s, err
	}
	if len(id) != 16 || len(nonce) != 16 {
		return s, fmt.Errorf("stamp %s: an id of %d and a nonce of %d bytes: %w", s.Certificate, len(id), len(nonce), logtree.ErrInconsistent)
	}
	s.ID, s.Nonce = account.ID(id), [16]byte(nonce)
	var err error
	if s.SHA256, err = hash32(digest); err != nil {
		return s, err
	}
	if s.Branding, err = parseBranding(branding); err != nil {
		return s, err
	}
	s.Created, s.Public, s.Position = fromMicros(created), public != 0, logtree.Position(position)
	return s, nil
}

func scanStamps(rows *sql.Rows) ([]account.Stamp, error) {
	defer rows.Close()
	var all []account.Stamp
	for rows.Next() {
		s, err := scanStamp(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, rows.Err()
}

// Stamp is the stamp with this id, or ErrNotFound. Whose it is, is for the caller to check.
func (db *DB) Stamp(ctx context.Context, id account.ID) (account.Stamp, error) {
	return db.stamp(ctx, selectByID, id[:])
}

// StampByCertificate is the stamp with this certificate's id, or ErrNotFound.
func (db *DB) StampByCertificate(ctx context.Context, certificate string) (account.Stamp, error) {
	return db.stamp(ctx, `SELECT `+stampColumns+` FROM stamp WHERE certificate = $1`, certificate)
}

// StampByDigest is the account's stamp of a digest, or ErrNotFound.
func (db *DB) StampByDigest(ctx context.Context, owner int64, digest [32]byte) (account.Stamp, error) {
	return db.stamp(ctx, selectByDigest, owner, digest[:])
}

func (db *DB) stamp(ctx context.Context, text string, args ...any) (account.Stamp, error) {
	rows, err := db.query(ctx, text, args...)
	if err != nil {
		return account.Stamp{}, fmt.Errorf("reading a stamp: %w", err)
	}
	all, err := scanStamps(rows)
	if err == nil && len(all) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return account.Stamp{}, fmt.Errorf("reading a stamp: %w", err)
	}
	return all[0], nil
}

// BatchLeaves are the leaves of the batch of stamps whose entry is at p.
func (db *DB) BatchLeaves(ctx context.Context, p logtree.Position) ([][32]byte, error) {
	var packed []byte
	err := db.queryRow(ctx, `SELECT leaves FROM kept WHERE position = $1`, []any{int64(p)}, &packed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrNotFound
	} else if err != nil {
		return nil, fmt.Errorf("reading the batch at %v: %w", p, err)
	}
	if len(packed) == 0 || len(packed)%32 != 0 {
		return nil, fmt.Errorf("the batch at %v has %d bytes: %w", p, len(packed), logtree.ErrInconsistent)
	}
	leaves := make([][32]byte, len(packed)/32)
	for i := range leaves {
		leaves[i] = [32]byte(packed[32*i:])
	}
	return leaves, nil
}

// Range is a run of positions, from From up to but without To.
type Range struct{ From, To logtree.Position }

// Confirmed are the positions that a counted attestation of the log by Bitcoin covers, in order.
func (db *DB) Confirmed(ctx context.Context) ([]Range, error) {
	rows, err := db.query(ctx, `SELECT epoch, MAX(size) FROM attestation WHERE purpose = 'log' AND state = 1 AND kind = 'bitcoin' GROUP BY epoch ORDER BY epoch`)
	if err != nil {
		return nil, fmt.Errorf("reading what is confirmed: %w", err)
	}
	defer rows.Close()
	var all []Range
	for rows.Next() {
		var epoch int
		var size int64
		if err := rows.Scan(&epoch, &size); err != nil {
			return nil, fmt.Errorf("reading what is confirmed: %w", err)
		}
		from, err := logtree.At(epoch, 0)
		if err != nil {
			return nil, err
		}
		all = append(all, Range{from, from + logtree.Position(size)})
	}
	return all, rows.Err()
}

// Stamps are up to limit stamps of an account that were created before a time, newest first, and among
// those whose positions are in one of the ranges, which are in order; nil means everywhere.
func (db *DB) Stamps(ctx context.Context, owner int64, ranges []Range, before time.Time, limit int) ([]account.Stamp, error) {
	if ranges == nil {
		return db.stamps(ctx, `SELECT `+stampColumns+` FROM stamp WHERE account = $1 AND created < $2 ORDER BY created DESC LIMIT $3`, owner, micros(before), limit)
	}
	// Times grow with positions, so a range of positions is one of times.
	var all []account.Stamp
	for _, r := range slices.Backward(ranges) {
		if len(all) == limit {
			break
		}
		_, from, err := db.lastBelow(ctx, owner, r.From)
		if err != nil {
			return nil, err
		}
		if from >= micros(before) {
			continue
		}
		_, to, err := db.lastBelow(ctx, owner, r.To)
		if err != nil {
			return nil, err
		}
		some, err := db.stamps(ctx, `SELECT `+stampColumns+` FROM stamp WHERE account = $1 AND created > $2 AND created < $3 ORDER BY created DESC LIMIT $4`,
			owner, from, min(to+1, micros(before)), limit-len(all))
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

func (db *DB) stamps(ctx context.Context, text string, args ...any) ([]account.Stamp, error) {
	rows, err := db.query(ctx, text, args...)
	if err != nil {
		return nil, fmt.Errorf("reading stamps: %w", err)
	}
	all, err := scanStamps(rows)
	if err != nil {
		return nil, fmt.Errorf("reading stamps: %w", err)
	}
	return all, nil
}

// CountStamps is how many stamps an account has, and among those how many in the ranges; nil means everywhere.
func (db *DB) CountStamps(ctx context.Context, owner int64, ranges []Range) (int64, error) {
	if ranges == nil {
		ranges = []Range{{0, math.MaxInt64}}
	}
	var sum int64
	for _, r := range ranges {
		last, _, err := db.lastBelow(ctx, owner, r.To)
		if err != nil {
			return 0, err
		}
		first, _, err := db.lastBelow(ctx, owner, r.From)
		if err != nil {
			return 0, err
		}
		sum += last - first
	}
	return sum, nil
}

// lastBelow is the number and the time, in microseconds, of the account's last stamp below a position, or 0: numbers
// count without a gap.
func (db *DB) lastBelow(ctx context.Context, owner int64, p logtree.Position) (number, created int64, err error) {
	err = db.queryRow(ctx, `SELECT number, created FROM stamp WHERE account = $1 AND position < $2 ORDER BY position DESC, created DESC LIMIT 1`,
		[]any{owner, int64(p)}, &number, &created)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, 0, fmt.Errorf("counting the stamps of account %d: %w", owner, err)
	}
	return number, created, nil
}

// ChangeStamp changes an owner's stamp, and nothing of it that the change does not name, so that changes at the same
// time do not undo each other. It returns ErrNotFound when the owner has no such stamp.
func (db *DB) ChangeStamp(ctx context.Context, owner int64, id account.ID, change account.Change) error {
	var public any // NULL stays as it is
	if change.Public != nil {
		public = 0
		if *change.Public {
			public = 1
		}
	}
	var thumbnail []byte
	changed := 0
	if change.Thumbnail != nil {
		thumbnail, changed = *change.Thumbnail, 1
	}
	text := `UPDATE stamp SET public = COALESCE(CAST($3 AS BIGINT), public),
			thumbnail = CASE CAST($4 AS BIGINT) WHEN 1 THEN CAST($5 AS ` + db.engine.bytes + `) ELSE thumbnail END
		WHERE id = $1 AND account = $2`
	err := db.update(ctx, func(tx tx) error {
		r, err := tx.exec(ctx, text, id[:], owner, public, changed, thumbnail)
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, ErrNotFound)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("changing stamp %v: %w", id, err)
	}
	return nil
}

// ForgetIdempotency deletes up to limit idempotency keys that have expired, and returns how many.
func (db *DB) ForgetIdempotency(ctx context.Context, now time.Time, limit int) (int64, error) {
	var n int64
	err := db.update(ctx, func(tx tx) error {
		r, err := tx.exec(ctx, `DELETE FROM idempotency WHERE (account, name) IN (SELECT account, name FROM idempotency WHERE expires <= $1 ORDER BY expires LIMIT $2)`, micros(now), limit)
		if err != nil {
			return err
		}
		n, err = r.RowsAffected()
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("forgetting idempotency keys: %w", err)
	}
	return n, nil
}
