package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/datestone/datestone/internal/account"
)

const accountColumns = `id, email, plan, suspended, created, branding, key_hint, key_created`

// CreateAccount keeps a new account, without a key, and returns it with its id. It returns account.ErrExists
// when the e-mail address is taken.
func (db *DB) CreateAccount(ctx context.Context, now time.Time, email, plan string) (account.Account, error) {
	email = strings.ToLower(email)
	a := account.Account{Email: email, Plan: plan, Created: now.UTC().Truncate(time.Microsecond)}
	err := db.updateAccounts(ctx, func(tx tx) error {
		err := tx.row(ctx, `INSERT INTO account (email, plan, suspended, created, branding, key_hint, key_created, stamps, last_stamp)
			VALUES ($1, $2, 0, $3, '', '', 0, 0, 0) ON CONFLICT (email) DO NOTHING RETURNING id`, email, plan, micros(now)).Scan(&a.ID)
		if errors.Is(err, sql.ErrNoRows) {
			return account.ErrExists
		}
		return err
	})
	if err != nil {
		return a, fmt.Errorf("creating account %s: %w", email, err)
	}
	return a, nil
}

// SetPlan sets the plan of an account.
func (db *DB) SetPlan(ctx context.Context, id int64, plan string) error {
	return db.changeAccount(ctx, id, "setting the plan of", `UPDATE account SET plan = $2 WHERE id = $1`, plan)
}

// SetSuspended suspends an account, or ends that.
func (db *DB) SetSuspended(ctx context.Context, id int64, suspended bool) error {
	n := 0
	if suspended {
		n = 1
	}
	return db.changeAccount(ctx, id, "suspending or resuming", `UPDATE account SET suspended = $2 WHERE id = $1`, n)
}

// SetBranding sets what the account's next stamps show, nil for nothing.
func (db *DB) SetBranding(ctx context.Context, id int64, b *account.Branding) error {
	text, err := brandingText(b)
	if err != nil {
		return fmt.Errorf("setting the branding of account %d: %w", id, err)
	}
	return db.changeAccount(ctx, id, "setting the branding of", `UPDATE account SET branding = $2 WHERE id = $1`, text)
}

// PlansInUse are the names of the plans that accounts have.
func (db *DB) PlansInUse(ctx context.Context) ([]string, error) {
	rows, err := db.query(ctx, `SELECT DISTINCT plan FROM account ORDER BY plan`)
	if err != nil {
		return nil, fmt.Errorf("reading the plans of accounts: %w", err)
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, fmt.Errorf("reading the plans of accounts: %w", err)
		}
		all = append(all, name)
	}
	return all, rows.Err()
}

// SetKey makes the key with this hash the only active one of the account, from now on; the one before it is
// not active any more.
func (db *DB) SetKey(ctx context.Context, now time.Time, id int64, hash [32]byte, hint string) error {
	return db.changeAccount(ctx, id, "changing the key of", `UPDATE account SET key_hash = $2, key_hint = $3, key_created = $4 WHERE id = $1`, hash[:], hint, micros(now))
}

// RevokeKey leaves the account without a key.
func (db *DB) RevokeKey(ctx context.Context, id int64) error {
	return db.changeAccount(ctx, id, "revoking the key of", `UPDATE account SET key_hash = NULL, key_hint = '', key_created = 0 WHERE id = $1`)
}

func (db *DB) changeAccount(ctx context.Context, id int64, what, text string, args ...any) error {
	err := db.updateAccounts(ctx, func(tx tx) error {
		r, err := tx.exec(ctx, text, append([]any{id}, args...)...)
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, account.ErrUnknown)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s account %d: %w", what, id, err)
	}
	return nil
}

// Account is the account with this id, or account.ErrUnknown.
func (db *DB) Account(ctx context.Context, id int64) (account.Account, error) {
	return db.account(ctx, `SELECT `+accountColumns+` FROM account WHERE id = $1`, id)
}

// AccountByEmail is the account with this e-mail address, or account.ErrUnknown.
func (db *DB) AccountByEmail(ctx context.Context, email string) (account.Account, error) {
	return db.account(ctx, `SELECT `+accountColumns+` FROM account WHERE email = $1`, strings.ToLower(email))
}

// KeyHolder is the account whose active key has this hash, or account.ErrUnknown.
func (db *DB) KeyHolder(ctx context.Context, hash [32]byte) (account.KeyHolder, error) {
	var h account.KeyHolder
	var suspended int64
	err := db.queryRow(ctx, `SELECT id, plan, suspended FROM account WHERE key_hash = $1`, []any{hash[:]}, &h.ID, &h.Plan, &suspended)
	if errors.Is(err, sql.ErrNoRows) {
		err = account.ErrUnknown
	}
	if err != nil {
		return account.KeyHolder{}, fmt.Errorf("reading the account of a key: %w", err)
	}
	h.Suspended = suspended != 0
	return h, nil
}

func (db *DB) account(ctx context.Context, text string, arg any) (account.Account, error) {
	rows, err := db.query(ctx, text, arg)
	if err != nil {
		return account.Account{}, fmt.Errorf("reading an account: %w", err)
	}
	all, err := scanAccounts(rows)
	if err == nil && len(all) == 0 {
		err = account.ErrUnknown
	}
	if err != nil {
		return account.Account{}, fmt.Errorf("reading an account: %w", err)
	}
	return all[0], nil
}

// Accounts are up to limit accounts with ids above after, in order of id.
func (db *DB) Accounts(ctx context.Context, after int64, limit int) ([]account.Account, error) {
	rows, err := db.query(ctx, `SELECT `+accountColumns+` FROM account WHERE id > $1 ORDER BY id LIMIT $2`, after, limit)
	if err != nil {
		return nil, fmt.Errorf("reading accounts: %w", err)
	}
	all, err := scanAccounts(rows)
	if err != nil {
		return nil, fmt.Errorf("reading accounts: %w", err)
	}
	return all, nil
}

func scanAccounts(rows *sql.Rows) ([]account.Account, error) {
	defer rows.Close()
	var all []account.Account
	for rows.Next() {
		var a account.Account
		var suspended, created, keyCreated int64
		var branding string
		if err := rows.Scan(&a.ID, &a.Email, &a.Plan, &suspended, &created, &branding, &a.KeyHint, &keyCreated); err != nil {
			return nil, err
		}
		a.Suspended, a.Created = suspended != 0, fromMicros(created)
		if keyCreated != 0 {
			a.KeyCreated = fromMicros(keyCreated)
		}
		var err error
		if a.Branding, err = parseBranding(branding); err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	return all, rows.Err()
}

func brandingText(b *account.Branding) (string, error) {
	if b == nil {
		return "", nil
	}
	text, err := json.Marshal(b)
	return string(text), err
}

func parseBranding(text string) (*account.Branding, error) {
	if text == "" {
		return nil, nil
	}
	b := new(account.Branding)
	return b, json.Unmarshal([]byte(text), b)
}

// QuotaUsed is how many stamps an account has made in a month, as account.Month gives it.
func (db *DB) QuotaUsed(ctx context.Context, id, month int64) (int64, error) {
	var used int64
	err := db.queryRow(ctx, `SELECT used FROM quota_use WHERE account = $1 AND month = $2`, []any{id, month}, &used)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("reading the use of account %d: %w", id, err)
	}
	return used, nil
}

// Usage is how many stamps an account has made, by month, newest first, at most limit months.
func (db *DB) Usage(ctx context.Context, id int64, limit int) ([]account.MonthlyUse, error) {
	rows, err := db.query(ctx, `SELECT month, used FROM quota_use WHERE account = $1 ORDER BY month DESC LIMIT $2`, id, limit)
	if err != nil {
		return nil, fmt.Errorf("reading the use of account %d: %w", id, err)
	}
	defer rows.Close()
	var all []account.MonthlyUse
	for rows.Next() {
		var m account.MonthlyUse
		if err := rows.Scan(&m.Month, &m.Used); err != nil {
			return nil, fmt.Errorf("reading the use of account %d: %w", id, err)
		}
		all = append(all, m)
	}
	return all, rows.Err()
}
