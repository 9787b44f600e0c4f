package store

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/notify"
)

// An account has one endpoint for e-mail at most, and it is at the account's own address.
const ownMail = `channel = 'mail' AND account = $1 AND account <> 0 AND state <> 2`

// SetMail has an account get e-mail of the endpoint's kinds from now on, at its own address, and returns the endpoint:
// the one that there is, with these kinds, or a new one with the uid and secret of e.
func (db *DB) SetMail(ctx context.Context, now time.Time, e notify.Endpoint) (notify.Endpoint, error) {
	var made notify.Endpoint
	err := db.updateAccounts(ctx, func(tx tx) error {
		// The account's row keeps two of its requests from making one each.
		var address string
		if err := tx.row(ctx, `SELECT email FROM account WHERE id = $1`+tx.db.engine.forUpdate, e.Account).Scan(&address); errors.Is(err, sql.ErrNoRows) {
			return account.ErrUnknown
		} else if err != nil {
			return err
		}
		r, err := tx.exec(ctx, `UPDATE endpoint SET kinds = $2, gather = $3 WHERE `+ownMail, e.Account, int64(e.Kinds), e.Gather.Microseconds())
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil {
			return err
		} else if n == 0 {
			if _, err := tx.exec(ctx, `INSERT INTO endpoint (uid, account, channel, address, kinds, secret, old_secret, old_until, state, created, slow, next, failures, failing, gather)
				VALUES ($1, $2, 'mail', $3, $4, $5, $6, 0, 0, $7, 0, 0, 0, 0, $8)`,
				e.UID[:], e.Account, address, int64(e.Kinds), e.Secret, []byte{}, micros(now), e.Gather.Microseconds()); err != nil {
				return err
			}
		}
		rows, err := tx.rows(ctx, `SELECT `+endpointColumns+` FROM endpoint e WHERE `+ownMail, e.Account)
		if err != nil {
			return err
		}
		all, err := scanEndpoints(rows)
		if err == nil {
			made = all[0]
		}
		return err
	})
	if err != nil {
		return made, fmt.Errorf("having account %d get e-mail: %w", e.Account, err)
	}
	return made, nil
}

// Mail is the endpoint by which an account gets e-mail, or notify.ErrUnknown when it gets none.
func (db *DB) Mail(ctx context.Context, owner int64) (notify.Endpoint, error) {
	all, err := db.endpoints(ctx, `SELECT `+endpointColumns+` FROM endpoint e WHERE `+ownMail, owner)
	if err == nil && len(all) == 0 {
		err = notify.ErrUnknown
	}
	if err != nil {
		return notify.Endpoint{}, err
	}
	return all[0], nil
}

// EndMail has an account get no e-mail any more. What is due is not sent.
func (db *DB) EndMail(ctx context.Context, owner int64) error {
	err := db.updateAccounts(ctx, func(tx tx) error {
		rows, err := tx.rows(ctx, `SELECT `+endpointColumns+` FROM endpoint e WHERE `+ownMail+tx.db.engine.forUpdate, owner)
		if err != nil {
			return err
		}
		all, err := scanEndpoints(rows)
		for _, e := range all {
			err = errors.Join(err, tx.deleteEndpoint(ctx, e.ID))
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("ending the e-mail to account %d: %w", owner, err)
	}
	return nil
}

// Unsubscribe ends the e-mail of an account's endpoint to whoever knows its secret. It says whether there was one.
func (db *DB) Unsubscribe(ctx context.Context, uid account.ID, secret []byte) (bool, error) {
	ended := false
	err := db.update(ctx, func(tx tx) error {
		ended = false
		var id int64
		var want []byte
		err := tx.row(ctx, `SELECT id, secret FROM endpoint WHERE uid = $1 AND channel = 'mail' AND account <> 0 AND state <> 2`+tx.db.engine.forUpdate, uid[:]).Scan(&id, &want)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		} else if err != nil || len(want) == 0 || subtle.ConstantTimeCompare(want, secret) != 1 {
			return err
		}
		ended = true
		return tx.deleteEndpoint(ctx, id)
	})
	if err != nil {
		return false, fmt.Errorf("ending e-mail: %w", err)
	}
	return ended, nil
}
