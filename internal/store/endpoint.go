package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/notify"
)

const endpointColumns = `e.id, e.uid, e.account, e.channel, e.address, e.kinds, e.stamp, COALESCE(e.position, 0), e.secret, e.old_secret, e.old_until,
	e.state, e.created, e.slow, e.next, e.failures, e.failing, e.gather`

// otherChannels are those of the authenticated calendar, whose endpoints are its operator's to change, and of OriginStamp's
// interface.
const otherChannels = `'callback', 'receipt', 'seed_hook', 'seed_mail'`

// EndpointLimits are how many endpoints an account may have.
type EndpointLimits struct {
	// Wide are those for all of its stamps, Stamp those for one of them, and All is the sum.
	Wide, Stamp, All int
}

// AddEndpoint keeps a new endpoint of an account. It gets what is walked after this returns. Whether the stamp is
// the account's is for the caller to check. It returns notify.ErrLimit when there are too many.
func (db *DB) AddEndpoint(ctx context.Context, now time.Time, e notify.Endpoint, limits EndpointLimits) (notify.Endpoint, error) {
	e.Created, e.State = now.UTC().Truncate(time.Microsecond), notify.Active
	err := db.update(ctx, func(tx tx) error {
		// The account's row keeps two of its requests from counting at the same time.
		var one int
		if err := tx.row(ctx, `SELECT 1 FROM account WHERE id = $1`+tx.db.engine.forUpdate, e.Account).Scan(&one); errors.Is(err, sql.ErrNoRows) {
			return account.ErrUnknown
		} else if err != nil {
			return err
		}
		var all, wide, same int
		var stamp any
		var position any
		if e.Stamp != nil {
			stamp, position = e.Stamp[:], int64(e.Position)
		}
		if err := tx.row(ctx, `SELECT COUNT(*), COALESCE(SUM(CASE WHEN stamp IS NULL THEN 1 ELSE 0 END), 0), COALESCE(SUM(CASE WHEN stamp = $2 THEN 1 ELSE 0 END), 0)
			FROM endpoint WHERE account = $1 AND state <> 2 AND channel = 'webhook'`, e.Account, stamp).Scan(&all, &wide, &same); err != nil {
			return err
		}
		if all >= limits.All || e.Stamp == nil && wide >= limits.Wide || e.Stamp != nil && same >= limits.Stamp {
			return notify.ErrLimit
		}
		return tx.row(ctx, `INSERT INTO endpoint (uid, account, channel, address, kinds, stamp, position, secret, old_secret, old_until, state, created, slow, next, failures, failing)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, 0, $10, 0, 0, 0, 0) RETURNING id`,
			e.UID[:], e.Account, e.Channel, e.Address, int64(e.Kinds), stamp, position, e.Secret, []byte{}, micros(now)).Scan(&e.ID)
	})
	if err != nil {
		return e, fmt.Errorf("keeping an endpoint of account %d: %w", e.Account, err)
	}
	return e, nil
}

// SetOperator makes the operator's endpoints those that are given; others of the operator are deleted.
func (db *DB) SetOperator(ctx context.Context, now time.Time, all []notify.Endpoint) error {
	err := db.update(ctx, func(tx tx) error {
		keep := make(map[string]bool)
		for _, e := range all {
			keep[e.Channel+" "+e.Address] = true
		}
		rows, err := tx.rows(ctx, `SELECT `+endpointColumns+` FROM endpoint e WHERE e.account = 0 AND e.state <> 2 ORDER BY e.id`+tx.db.engine.forUpdate)
		if err != nil {
			return err
		}
		have, err := scanEndpoints(rows)
		if err != nil {
			return err
		}
		for _, e := range have {
			name := e.Channel + " " + e.Address
			if keep[name] && e.State == notify.Active {
				keep[name] = false
			} else if err := tx.deleteEndpoint(ctx, e.ID); err != nil {
				return err
			}
		}
		for _, e := range all {
			if name := e.Channel + " " + e.Address; keep[name] {
				keep[name] = false
				e.UID = account.NewID()
				if _, err := tx.exec(ctx, `INSERT INTO endpoint (uid, account, channel, address, kinds, secret, old_secret, old_until, state, created, slow, next, failures, failing)
					VALUES ($1, 0, $2, $3, $4, $5, $5, 0, 0, $6, 0, 0, 0, 0)`, e.UID[:], e.Channel, e.Address, int64(notify.Set(notify.Trouble)), []byte{}, micros(now)); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("keeping the operator's endpoints: %w", err)
	}
	return nil
}

// Endpoint is the endpoint that others know by this id, or notify.ErrUnknown. Whose it is, is for the caller to check.
func (db *DB) Endpoint(ctx context.Context, uid account.ID) (notify.Endpoint, error) {
	all, err := db.endpoints(ctx, `SELECT `+endpointColumns+` FROM endpoint e WHERE e.uid = $1 AND e.state <> 2 AND e.channel NOT IN (`+otherChannels+`)`, uid[:])
	if err == nil && len(all) == 0 {
		err = notify.ErrUnknown
	}
	if err != nil {
		return notify.Endpoint{}, err
	}
	return all[0], nil
}

// ActiveEndpoint is the endpoint as it is now; false when it gets no notices any more.
func (db *DB) ActiveEndpoint(ctx context.Context, id int64) (notify.Endpoint, bool, error) {
	all, err := db.endpoints(ctx, `SELECT `+endpointColumns+` FROM endpoint e WHERE e.id = $1 AND e.state = 0`, id)
	if err != nil || len(all) == 0 {
		return notify.Endpoint{}, false, err
	}
	return all[0], true, nil
}

// Endpoints are up to limit endpoints of an account, oldest first.
func (db *DB) Endpoints(ctx context.Context, owner int64, limit int) ([]notify.Endpoint, error) {
	return db.endpoints(ctx, `SELECT `+endpointColumns+` FROM endpoint e WHERE e.account = $1 AND e.state <> 2 AND e.channel NOT IN (`+otherChannels+`) ORDER BY e.id LIMIT $2`, owner, limit)
}

// DueEndpoints are up to limit endpoints for which something is due, those that wait longest first: either the
// quick ones or the slow ones.
func (db *DB) DueEndpoints(ctx context.Context, now time.Time, slow bool, limit int) ([]notify.Endpoint, error) {
	return db.endpoints(ctx, `SELECT `+endpointColumns+` FROM endpoint e WHERE e.slow = $1 AND e.next > 0 AND e.next <= $2 AND e.state = 0 ORDER BY e.next, e.id LIMIT $3`,
		flag(slow), micros(now), limit)
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (db *DB) endpoints(ctx context.Context, text string, args ...any) ([]notify.Endpoint, error) {
	rows, err := db.query(ctx, text, args...)
	if err != nil {
		return nil, fmt.Errorf("reading endpoints: %w", err)
	}
	all, err := scanEndpoints(rows)
	if err != nil {
		return nil, fmt.Errorf("reading endpoints: %w", err)
	}
	return all, nil
}

func scanEndpoints(rows *sql.Rows) ([]notify.Endpoint, error) {
	defer rows.Close()
	var all []notify.Endpoint
	for rows.Next() {
		var e notify.Endpoint
		var uid, stamp []byte
		var until, created, slow, next, failing, gather int64
		if err := rows.Scan(&e.ID, &uid, &e.Account, &e.Channel, &e.Address, &e.Kinds, &stamp, &e.Position, &e.Secret, &e.OldSecret, &until,
			&e.State, &created, &slow, &next, &e.Failures, &failing, &gather); err != nil {
			return nil, err
		}
		if len(uid) != len(e.UID) || stamp != nil && len(stamp) != len(e.UID) {
			return nil, fmt.Errorf("endpoint %d: an id of %d bytes: %w", e.ID, len(uid), logtree.ErrInconsistent)
		}
		e.UID = account.ID(uid)
		if stamp != nil {
			id := account.ID(stamp)
			e.Stamp = &id
		}
		e.OldUntil, e.Next, e.Failing = orNever(until), orNever(next), orNever(failing)
		e.Created, e.Slow, e.Gather = fromMicros(created), slow != 0, time.Duration(gather)*time.Microsecond
		all = append(all, e)
	}
	return all, rows.Err()
}

func orNever(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return fromMicros(us)
}

// RotateSecret gives an account's endpoint another secret. The one before it signs as well until a time. It
// returns notify.ErrUnknown when the account has no such endpoint.
func (db *DB) RotateSecret(ctx context.Context, owner int64, uid account.ID, secret []byte, until time.Time) error {
	return db.changeEndpoint(ctx, "rotating the secret of", owner, uid, func(tx tx, id int64) error {
		_, err := tx.exec(ctx, `UPDATE endpoint SET old_secret = secret, secret = $2, old_until = $3 WHERE id = $1`, id, secret, micros(until))
		return err
	})
}

// DeleteEndpoint deletes an account's endpoint. What is due to it is not sent any more.
func (db *DB) DeleteEndpoint(ctx context.Context, owner int64, uid account.ID) error {
	return db.changeEndpoint(ctx, "deleting", owner, uid, func(tx tx, id int64) error { return tx.deleteEndpoint(ctx, id) })
}

// deleteEndpoint has nobody see an endpoint any more; its deliveries go in small steps. Its secrets go at once.
func (t tx) deleteEndpoint(ctx context.Context, id int64) error {
	_, err := t.exec(ctx, `UPDATE endpoint SET state = 2, next = 0, secret = $2, old_secret = $2 WHERE id = $1`, id, []byte{})
	return err
}

// AddTest makes a test due to an account's endpoint, and returns it. It returns notify.ErrGone for an endpoint that
// wants no more.
func (db *DB) AddTest(ctx context.Context, now time.Time, owner int64, uid account.ID) (notify.Notice, error) {
	n := notify.Notice{UID: account.NewID(), Account: owner, Stamp: account.NewID(), Kind: notify.Test, Created: now}
	err := db.changeEndpoint(ctx, "testing", owner, uid, func(tx tx, id int64) error {
		var state notify.EndpointState
		if err := tx.row(ctx, `SELECT state FROM endpoint WHERE id = $1`, id).Scan(&state); err != nil {
			return err
		}
		if state != notify.Active {
			return notify.ErrGone
		}
		var err error
		if n.ID, _, err = tx.addNotice(ctx, n, 0); err != nil {
			return err
		}
		return tx.addDeliveries(ctx, now, n.ID, []int64{id})
	})
	return n, err
}

// changeEndpoint changes an account's endpoint, whose row is locked.
func (db *DB) changeEndpoint(ctx context.Context, what string, owner int64, uid account.ID, do func(tx tx, id int64) error) error {
	err := db.update(ctx, func(tx tx) error {
		var id int64
		err := tx.row(ctx, `SELECT id FROM endpoint WHERE uid = $1 AND account = $2 AND state <> 2 AND channel NOT IN (`+otherChannels+`)`+tx.db.engine.forUpdate, uid[:], owner).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			return notify.ErrUnknown
		} else if err != nil {
			return err
		}
		return do(tx, id)
	})
	if err != nil {
		return fmt.Errorf("%s endpoint %v: %w", what, uid, err)
	}
	return nil
}

// SecretCheck is what only the right key for secrets opens: what is given, if there was none, else what there was.
// With nothing given it returns nil where there is none.
func (db *DB) SecretCheck(ctx context.Context, made []byte) ([]byte, error) {
	read := func() (have []byte, err error) {
		err = db.queryRow(ctx, `SELECT check_value FROM secret_key WHERE id = 1`, nil, &have)
		if errors.Is(err, sql.ErrNoRows) {
			err = nil
		}
		return have, err
	}
	have, err := read()
	if err == nil && have == nil && made != nil {
		err = db.update(ctx, func(tx tx) error {
			_, err := tx.exec(ctx, `INSERT INTO secret_key (id, check_value) VALUES (1, $1) ON CONFLICT (id) DO NOTHING`, made)
			return err
		})
		if err == nil {
			have, err = read()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("reading the check of the key for secrets: %w", err)
	}
	return have, nil
}
