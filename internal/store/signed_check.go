package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/logtree"
)

// CheckedSigned is a signed digest with what a check holds it against.
type CheckedSigned struct {
	account.Signed
	// Signer is the key that it names; nil when there is none, or it is another account's.
	Signer *account.Signer
	// Leaf is the leaf of the batch at its place; nil when there is none.
	Leaf []byte
}

// AllSigned are up to limit signed digests after another, in order of their accounts and times.
func (db *DB) AllSigned(ctx context.Context, after account.Signed, limit int) ([]CheckedSigned, error) {
	// A key is joined by LEFT JOIN, and so are the leaves: what is missing is for the caller to say.
	rows, err := db.query(ctx, `SELECT `+signedColumns+`, COALESCE(substr(kept.leaves, CAST(signed.leaf * 32 + 1 AS INTEGER), 32), $4),
			COALESCE(signer.id, 0), COALESCE(signer.account, 0), COALESCE(signer.point, $4), COALESCE(signer.compressed, 0),
			COALESCE(signer.version, ''), COALESCE(signer.callback, ''), COALESCE(signer.created, 0), COALESCE(signer.removed, 0)
		FROM signed LEFT JOIN signer ON signer.id = signed.signer AND signer.account = signed.account LEFT JOIN kept ON kept.position = signed.position
		WHERE (signed.account, signed.created) > ($1, $2) ORDER BY signed.account, signed.created LIMIT $3`,
		after.Account, micros(after.Created), limit, []byte{})
	if err != nil {
		return nil, fmt.Errorf("reading signed digests: %w", err)
	}
	defer rows.Close()
	var all []CheckedSigned
	for rows.Next() {
		c, err := scanChecked(rows)
		if err != nil {
			return nil, fmt.Errorf("reading signed digests: %w", err)
		}
		all = append(all, c)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading signed digests: %w", err)
	}
	return all, nil
}

func scanChecked(rows *sql.Rows) (c CheckedSigned, err error) {
	var s signedRow
	var k signerRow
	columns := append(s.into(), &c.Leaf)
	if err := rows.Scan(append(columns, k.into()...)...); err != nil {
		return c, err
	}
	if c.Signed, err = s.signed(); err != nil || k.ID == 0 {
		return c, err
	}
	key, err := k.signer()
	c.Signer = &key
	return c, err
}

// Batch is the leaves of what is kept at a position.
type Batch struct {
	Position logtree.Position
	Leaves   []byte // 32 bytes each
	Tip      []byte // of the entry at that position; nil when there is none
}

// Batches are up to limit batches of what is kept, at positions above another, in their order.
func (db *DB) Batches(ctx context.Context, after logtree.Position, limit int) ([]Batch, error) {
	rows, err := db.query(ctx, `SELECT kept.position, kept.leaves, entry.tip FROM kept LEFT JOIN entry ON entry.position = kept.position
		WHERE kept.position > $1 ORDER BY kept.position LIMIT $2`, int64(after), limit)
	if err != nil {
		return nil, fmt.Errorf("reading batches: %w", err)
	}
	defer rows.Close()
	var all []Batch
	for rows.Next() {
		var b Batch
		if err := rows.Scan(&b.Position, &b.Leaves, &b.Tip); err != nil {
			return nil, fmt.Errorf("reading batches: %w", err)
		}
		all = append(all, b)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading batches: %w", err)
	}
	return all, nil
}

// CheckUse says which accounts are charged for more or less than they keep, at most limit of them.
func (db *DB) CheckUse(ctx context.Context, limit int) ([]string, error) {
	rows, err := db.query(ctx, `SELECT id, used, kept FROM (SELECT a.id AS id,
			(SELECT COALESCE(SUM(q.used), 0) FROM quota_use q WHERE q.account = a.id) AS used,
			(SELECT COUNT(*) FROM stamp s WHERE s.account = a.id) + (SELECT COUNT(*) FROM signed d WHERE d.account = a.id) AS kept
			FROM account a) counted WHERE used <> kept ORDER BY id LIMIT $1`, limit)
	if err != nil {
		return nil, fmt.Errorf("checking what accounts used: %w", err)
	}
	defer rows.Close()
	var wrong []string
	for rows.Next() {
		var id, used, kept int64
		if err := rows.Scan(&id, &used, &kept); err != nil {
			return nil, fmt.Errorf("checking what accounts used: %w", err)
		}
		wrong = append(wrong, fmt.Sprintf("account %d is charged for %d and keeps %d", id, used, kept))
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("checking what accounts used: %w", err)
	}
	return wrong, nil
}
