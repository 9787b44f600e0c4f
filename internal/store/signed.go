package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/ots"
	"github.com/datestone/datestone/ots/signedmsg"
)

const signerColumns = `signer.id, signer.account, signer.point, signer.compressed, signer.version, signer.callback, signer.created, signer.removed`

// AddSigner makes a public key one whose signatures an account pays for, from now on. One that the account has, or
// had, gets the new version and callback. It returns account.ErrSignerExists when it is, or was, another's.
func (db *DB) AddSigner(ctx context.Context, now time.Time, s account.Signer) (account.Signer, error) {
	s.Created, s.Removed = now.UTC().Truncate(time.Microsecond), time.Time{}
	compressed := 0
	if s.Key.Compressed() {
		compressed = 1
	}
	point := s.Key.Point()
	err := db.updateAccounts(ctx, func(tx tx) error {
		var id int64
		err := tx.row(ctx, `SELECT id FROM account WHERE id = $1`+tx.db.engine.forUpdate, s.Account).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			return account.ErrUnknown
		} else if err != nil {
			return err
		}
		err = tx.row(ctx, `INSERT INTO signer (account, point, compressed, version, callback, created, removed, endpoint) VALUES ($1, $2, $3, $4, $5, $6, 0, 0)
			ON CONFLICT (point) DO UPDATE SET compressed = EXCLUDED.compressed, version = EXCLUDED.version, callback = EXCLUDED.callback,
				created = CASE WHEN signer.removed = 0 THEN signer.created ELSE EXCLUDED.created END, removed = 0
			WHERE signer.account = EXCLUDED.account RETURNING id, created`,
			s.Account, point[:], compressed, s.Version, s.Callback, micros(now)).Scan(&s.ID, scanMicros{&s.Created})
		if errors.Is(err, sql.ErrNoRows) {
			return account.ErrSignerExists
		} else if err != nil {
			return err
		}
		return tx.setCallback(ctx, now, s)
	})
	if err != nil {
		return s, fmt.Errorf("adding a public key to account %d: %w", s.Account, err)
	}
	return s, nil
}

// scanMicros reads a time that is stored in microseconds.
type scanMicros struct{ to *time.Time }

func (s scanMicros) Scan(v any) error {
	n, ok := v.(int64)
	if !ok {
		return fmt.Errorf("a time is %T", v)
	}
	*s.to = fromMicros(n)
	return nil
}

// RemoveSigner refuses a public key from now on. What it signed stays. It returns account.ErrSigner when it is not
// an active one.
func (db *DB) RemoveSigner(ctx context.Context, now time.Time, point [33]byte) error {
	err := db.updateAccounts(ctx, func(tx tx) error {
		r, err := tx.exec(ctx, `UPDATE signer SET removed = $2 WHERE point = $1 AND removed = 0`, point[:], micros(now))
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, account.ErrSigner)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("removing a public key: %w", err)
	}
	return nil
}

// Signer is the active public key with this point and its account, or account.ErrSigner.
func (db *DB) Signer(ctx context.Context, point [33]byte) (account.Signer, account.Account, error) {
	all, err := db.signers(ctx, `SELECT `+signerColumns+` FROM signer WHERE point = $1 AND removed = 0`, point[:])
	if err == nil && len(all) == 0 {
		err = account.ErrSigner
	}
	if err != nil {
		return account.Signer{}, account.Account{}, err
	}
	owner, err := db.Account(ctx, all[0].Account)
	return all[0], owner, err
}

// Signers are up to limit public keys with ids above after, in order of id, of one account or of all for 0, with
// those that were removed.
func (db *DB) Signers(ctx context.Context, owner, after int64, limit int) ([]account.Signer, error) {
	if owner == 0 {
		return db.signers(ctx, `SELECT `+signerColumns+` FROM signer WHERE id > $1 ORDER BY id LIMIT $2`, after, limit)
	}
	return db.signers(ctx, `SELECT `+signerColumns+` FROM signer WHERE account = $1 AND id > $2 ORDER BY id LIMIT $3`, owner, after, limit)
}

func (db *DB) signers(ctx context.Context, text string, args ...any) ([]account.Signer, error) {
	rows, err := db.query(ctx, text, args...)
	if err != nil {
		return nil, fmt.Errorf("reading public keys: %w", err)
	}
	defer rows.Close()
	var all []account.Signer
	for rows.Next() {
		var r signerRow
		if err := rows.Scan(r.into()...); err != nil {
			return nil, fmt.Errorf("reading public keys: %w", err)
		}
		s, err := r.signer()
		if err != nil {
			return nil, fmt.Errorf("reading public keys: %w", err)
		}
		all = append(all, s)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading public keys: %w", err)
	}
	return all, nil
}

// signerRow is what is read of a public key, in the order of signerColumns.
type signerRow struct {
	account.Signer
	point      []byte
	compressed int64
	created    int64
	removed    int64
}

func (r *signerRow) into() []any {
	return []any{&r.ID, &r.Account, &r.point, &r.compressed, &r.Version, &r.Callback, &r.created, &r.removed}
}

func (r *signerRow) signer() (account.Signer, error) {
	var err error
	if r.Key, err = signedmsg.NewPublicKey(r.point, r.compressed != 0); err != nil {
		return account.Signer{}, fmt.Errorf("the public key %d: %w: %w", r.ID, err, logtree.ErrInconsistent)
	}
	r.Created = fromMicros(r.created)
	if r.removed != 0 {
		r.Removed = fromMicros(r.removed)
	}
	return r.Signer, nil
}

// signedKey is what there is one signed digest of.
type signedKey struct {
	signer int64
	digest string
}

func signedKeyOf(s account.Signed) signedKey { return signedKey{s.Signer, string(s.Digest)} }

// findSigned reads those of the requests' signed digests that are kept already.
func (a *admission) findSigned(ctx context.Context, creates []account.Create) error {
	a.known = make(map[signedKey]*account.Signed)
	var asked []*account.Signed
	for _, c := range creates {
		if c.Signed != nil {
			asked = append(asked, c.Signed)
		}
	}
	return a.tx.queryEach(ctx, `SELECT `+signedColumns+` FROM signed WHERE digest = $1 AND signer = $2`, len(asked),
		func(i int) []any { return []any{asked[i].Digest, asked[i].Signer} },
		func(row row) error {
			var r signedRow
			if err := row.Scan(r.into()...); err != nil {
				return err
			}
			s, err := r.signed()
			a.known[signedKeyOf(s)] = &s
			return err
		})
}

// admitSigned decides a request to keep a signed digest. What was kept before is the answer again, and free.
func (a *admission) admitSigned(o *owner, c account.Create) (account.Created, error) {
	s := *c.Signed
	s.Account = o.id
	if err := s.Check(); err != nil {
		return account.Created{}, err
	}
	if known, ok := a.known[signedKeyOf(s)]; ok {
		return account.Created{Signed: known, Replayed: true}, nil
	}
	if o.used >= c.Quota {
		return account.Created{}, account.ErrQuota
	}
	o.last = max(micros(a.now), o.last+1)
	o.used++
	o.changed = true
	s.Created = fromMicros(o.last)
	a.known[signedKeyOf(s)] = &s
	a.signed = append(a.signed, &s)
	return account.Created{Signed: &s}, nil
}

var signedTable = table{name: "signed", columns: "account, created, signer, digest, op, email, signature, nonce, leaf, position"}

var insertSigned = signedTable.insertText(1)

const signedColumns = `signed.account, signed.created, signed.signer, signed.digest, signed.op, signed.email, signed.signature, signed.nonce, signed.leaf, signed.position`

// insertSigned writes the admitted signed digests.
func (a *admission) insertSigned(ctx context.Context) error {
	_, err := a.tx.execEach(ctx, insertSigned, len(a.signed), func(i int) []any {
		s := a.signed[i]
		return []any{s.Account, micros(s.Created), s.Signer, s.Digest, int64(s.HashOp), s.Email, s.Signature[:], s.Nonce[:], s.Leaf, int64(s.Position)}
	})
	return err
}

// signedRow is what is read of a signed digest, in the order of signedColumns.
type signedRow struct {
	account.Signed
	created, op, position int64
	signature, nonce      []byte
}

func (r *signedRow) into() []any {
	return []any{&r.Account, &r.created, &r.Signer, &r.Digest, &r.op, &r.Email, &r.signature, &r.nonce, &r.Leaf, &r.position}
}

func (r *signedRow) signed() (account.Signed, error) {
	if len(r.signature) != signedmsg.Size || len(r.nonce) != 16 {
		return account.Signed{}, fmt.Errorf("a signed digest of account %d has a signature of %d and a nonce of %d bytes: %w",
			r.Account, len(r.signature), len(r.nonce), logtree.ErrInconsistent)
	}
	r.Created, r.HashOp, r.Position = fromMicros(r.created), ots.Tag(r.op), logtree.Position(r.position)
	r.Signature, r.Nonce = signedmsg.Signature(r.signature), [16]byte(r.nonce)
	return r.Signed, nil
}

func scanSigned(rows *sql.Rows) ([]account.Signed, error) {
	defer rows.Close()
	var all []account.Signed
	for rows.Next() {
		var r signedRow
		if err := rows.Scan(r.into()...); err != nil {
			return nil, err
		}
		s, err := r.signed()
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, rows.Err()
}

// SignedDigest is the oldest signed digest with these bytes, and the key that signed it, or account.ErrUnsigned.
func (db *DB) SignedDigest(ctx context.Context, digest []byte) (account.Signed, account.Signer, error) {
	var s signedRow
	var k signerRow
	err := db.queryRow(ctx, `SELECT `+signedColumns+`, `+signerColumns+` FROM signed JOIN signer ON signer.id = signed.signer
		WHERE signed.digest = $1 ORDER BY signed.position, signed.leaf LIMIT 1`, []any{digest}, slices.Concat(s.into(), k.into())...)
	if errors.Is(err, sql.ErrNoRows) {
		return account.Signed{}, account.Signer{}, account.ErrUnsigned
	} else if err != nil {
		return account.Signed{}, account.Signer{}, fmt.Errorf("reading a signed digest: %w", err)
	}
	found, err := s.signed()
	if err != nil {
		return account.Signed{}, account.Signer{}, err
	}
	key, err := k.signer()
	return found, key, err
}

// SignedBy are up to limit signed digests of an account that were kept after a time, oldest first.
func (db *DB) SignedBy(ctx context.Context, owner int64, after time.Time, limit int) ([]account.Signed, error) {
	rows, err := db.query(ctx, `SELECT `+signedColumns+` FROM signed WHERE account = $1 AND created > $2 ORDER BY created LIMIT $3`, owner, micros(after), limit)
	if err != nil {
		return nil, fmt.Errorf("reading signed digests: %w", err)
	}
	all, err := scanSigned(rows)
	if err != nil {
		return nil, fmt.Errorf("reading signed digests: %w", err)
	}
	return all, nil
}

// WaitingSince is when the oldest of what accounts with a plan keep at the entries of an epoch was made, from an
// index on and below another; false when there is nothing.
func (db *DB) WaitingSince(ctx context.Context, plan string, epoch int, from, before int64) (time.Time, bool, error) {
	first, err := logtree.At(epoch, from)
	if err != nil {
		return time.Time{}, false, err
	}
	var created sql.NullInt64
	err = db.queryRow(ctx, `SELECT MIN(created) FROM (
			SELECT (SELECT s.created FROM stamp s WHERE s.account = a.id AND s.position >= $2 AND s.position < $3 ORDER BY s.position, s.created LIMIT 1) AS created
			FROM account a WHERE a.plan = $1
			UNION ALL
			SELECT (SELECT d.created FROM signed d WHERE d.signer = k.id AND d.position >= $2 AND d.position < $3 ORDER BY d.position LIMIT 1)
			FROM signer k JOIN account b ON b.id = k.account WHERE b.plan = $1
		) waiting`, []any{plan, int64(first), int64(first) + before - from}, &created)
	if err != nil {
		return time.Time{}, false, fmt.Errorf("reading since when plan %s waits: %w", plan, err)
	}
	return fromMicros(created.Int64), created.Valid, nil
}
