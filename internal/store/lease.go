package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

var (
	// ErrLeaseHeld says that another holder has the lease.
	ErrLeaseHeld = errors.New("another node holds the lease")
	// ErrLeaseLost says that the lease ended or was taken by another holder: nothing was written.
	ErrLeaseLost = errors.New("the lease was lost")
)

// Lease is the right to run a loop that must run once. Token grows each time the lease is taken.
type Lease struct {
	Name   string
	Holder string
	Token  int64
}

// TakeLease takes a lease for a time by the database's clock, unless somebody holds it: ErrLeaseHeld.
// A holder that asks again gets a new lease, which ends the one that it had.
func (db *DB) TakeLease(ctx context.Context, name, holder string, length time.Duration) (Lease, error) {
	l := Lease{Name: name, Holder: holder}
	err := db.update(ctx, func(tx tx) error {
		return tx.row(ctx, `INSERT INTO lease (name, holder, token, expires) VALUES ($1, $2, 1, `+db.engine.now+` + $3)
			ON CONFLICT (name) DO UPDATE SET holder = EXCLUDED.holder, token = lease.token + 1, expires = EXCLUDED.expires
				WHERE lease.expires <= `+db.engine.now+` OR lease.holder = EXCLUDED.holder
			RETURNING token`, name, holder, length.Microseconds()).Scan(&l.Token)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return Lease{}, fmt.Errorf("taking lease %s: %w", name, ErrLeaseHeld)
	} else if err != nil {
		return Lease{}, fmt.Errorf("taking lease %s: %w", name, err)
	}
	return l, nil
}

// RenewLease holds a lease for a time from now on. It returns ErrLeaseLost when another holder took it;
// one that only ended is renewed.
func (db *DB) RenewLease(ctx context.Context, l Lease, length time.Duration) error {
	return db.endLease(ctx, "renewing", l, `UPDATE lease SET expires = `+db.engine.now+` + $3 WHERE name = $1 AND token = $2`, length.Microseconds())
}

// ReleaseLease lets others take the lease at once.
func (db *DB) ReleaseLease(ctx context.Context, l Lease) error {
	return db.endLease(ctx, "releasing", l, `UPDATE lease SET expires = 0 WHERE name = $1 AND token = $2`)
}

func (db *DB) endLease(ctx context.Context, what string, l Lease, text string, args ...any) error {
	err := db.update(ctx, func(tx tx) error {
		r, err := tx.exec(ctx, text, append([]any{l.Name, l.Token}, args...)...)
		if err != nil {
			return err
		}
		n, err := r.RowsAffected()
		if err == nil && n == 0 {
			err = ErrLeaseLost
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("%s lease %s: %w", what, l.Name, err)
	}
	return nil
}

// Under is the same database for the holder of a lease: every verb that writes fails with ErrLeaseLost,
// and writes nothing, once another holder has taken the lease.
func (db *DB) Under(l Lease) *DB { return &DB{database: db.database, lease: &l} }

// fence keeps the lease from being taken until the transaction ends.
func (t tx) fence(ctx context.Context, l *Lease) error {
	var one int
	err := t.row(ctx, `SELECT 1 FROM lease WHERE name = $1 AND token = $2`+t.db.engine.forShare, l.Name, l.Token).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return ErrLeaseLost
	}
	return err
}
