package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/notify"
)

const (
	deliveryColumns = `d.id, d.endpoint, d.state, d.due, d.tries, d.tried, d.status, d.error,
		n.id, n.uid, n.account, n.stamp, n.target, n.kind, n.ref, n.position, n.message, n.created`

	// deliverySteps bounds what one transaction changes of an endpoint's deliveries at a time.
	deliverySteps = 1000
)

// DueDeliveries are up to limit deliveries that are due to an endpoint, in their order.
func (db *DB) DueDeliveries(ctx context.Context, endpoint int64, limit int) ([]notify.Delivery, error) {
	return db.deliveries(ctx, `SELECT `+deliveryColumns+` FROM delivery d JOIN notice n ON n.id = d.notice
		WHERE d.endpoint = $1 AND d.state = 0 ORDER BY d.id LIMIT $2`, endpoint, limit)
}

// Deliveries are up to limit deliveries, newest first, with the ids of their endpoints.
func (db *DB) Deliveries(ctx context.Context, f notify.Filter, limit int) ([]notify.Delivery, map[int64]account.ID, error) {
	before := int64(math.MaxInt64)
	if f.Before > 0 {
		before = f.Before
	}
	where, args := filtered(f, []any{before, limit})
	all, err := db.deliveries(ctx, `SELECT `+deliveryColumns+` FROM delivery d JOIN notice n ON n.id = d.notice JOIN endpoint e ON e.id = d.endpoint
		WHERE d.id < $1 AND e.state <> 2`+where+` ORDER BY d.id DESC LIMIT $2`, args...)
	if err != nil {
		return nil, nil, err
	}
	uids := make(map[int64]account.ID)
	for _, d := range all {
		if _, ok := uids[d.Endpoint]; ok {
			continue
		}
		found, err := db.endpoints(ctx, `SELECT `+endpointColumns+` FROM endpoint e WHERE e.id = $1`, d.Endpoint)
		if err != nil {
			return nil, nil, err
		}
		for _, e := range found {
			uids[d.Endpoint] = e.UID
		}
	}
	return all, uids, nil
}

func (db *DB) deliveries(ctx context.Context, text string, args ...any) ([]notify.Delivery, error) {
	rows, err := db.query(ctx, text, args...)
	if err != nil {
		return nil, fmt.Errorf("reading deliveries: %w", err)
	}
	defer rows.Close()
	var all []notify.Delivery
	for rows.Next() {
		var d notify.Delivery
		var uid, stamp []byte
		var due, tried, created int64
		n := &d.Notice
		if err := rows.Scan(&d.ID, &d.Endpoint, &d.State, &due, &d.Tries, &tried, &d.Status, &d.Error,
			&n.ID, &uid, &n.Account, &stamp, &n.Target, &n.Kind, &n.Ref, &n.Position, &n.Message, &created); err != nil {
			return nil, fmt.Errorf("reading deliveries: %w", err)
		}
		if len(uid) != len(n.UID) || len(stamp) != len(n.Stamp) {
			return nil, fmt.Errorf("notice %d: an id of %d bytes: %w", n.ID, len(uid), logtree.ErrInconsistent)
		}
		n.UID, n.Stamp, n.Created = account.ID(uid), account.ID(stamp), fromMicros(created)
		d.Due, d.Tried = fromMicros(due), orNever(tried)
		all = append(all, d)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading deliveries: %w", err)
	}
	return all, nil
}

// countedDeliveries bounds CountDeliveries.
const countedDeliveries = 1_000_000

// CountDeliveries is how many deliveries there are of each state that waits for somebody, up to a million of each, and
// since when the oldest is due; the zero time when nothing is.
func (db *DB) CountDeliveries(ctx context.Context) (due, parked int64, oldest time.Time, err error) {
	var since int64
	err = db.queryRow(ctx, `SELECT (SELECT COUNT(*) FROM (SELECT 1 FROM delivery WHERE state = 0 LIMIT $1) d),
		(SELECT COUNT(*) FROM (SELECT 1 FROM delivery WHERE state = 2 LIMIT $1) p), (SELECT COALESCE(MIN(due), 0) FROM delivery WHERE state = 0)`,
		[]any{countedDeliveries}, &due, &parked, &since)
	if err != nil {
		return 0, 0, time.Time{}, fmt.Errorf("counting deliveries: %w", err)
	}
	return due, parked, orNever(since), nil
}

// SaveResults keeps what became of tries, in one transaction.
func (db *DB) SaveResults(ctx context.Context, results []notify.Result) error {
	// Rows of endpoints are locked in the order of their ids; the tries of one stay in theirs.
	results = slices.SortedStableFunc(slices.Values(results), func(a, b notify.Result) int { return cmp.Compare(a.Endpoint, b.Endpoint) })
	err := db.update(ctx, func(tx tx) error {
		for _, r := range results {
			if err := tx.saveResult(ctx, r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("saving what became of notices: %w", err)
	}
	return nil
}

// Statements for each try.
const (
	updateDelivery = `UPDATE delivery SET state = $2, tries = tries + 1, tried = $3, status = $4, error = $5 WHERE id = $1 AND state = 0`
	endpointTook   = `UPDATE endpoint SET slow = $2, failures = 0, failing = 0,
		next = CASE WHEN EXISTS (SELECT 1 FROM delivery WHERE endpoint = $1 AND state = 0) THEN CAST($3 AS BIGINT) + gather ELSE 0 END WHERE id = $1`
)

func (t tx) saveResult(ctx context.Context, r notify.Result) error {
	// Whoever makes something due to the endpoint waits for the row, so that none is overlooked below.
	var state notify.EndpointState
	err := t.row(ctx, `SELECT state FROM endpoint WHERE id = $1`+t.db.engine.forUpdate, r.Endpoint).Scan(&state)
	if errors.Is(err, sql.ErrNoRows) || err == nil && state == notify.Deleted {
		return nil
	} else if err != nil {
		return err
	}
	done := notify.Due
	switch {
	case r.Done:
		done = notify.Done
	case r.Gone:
		done = notify.Parked
	}
	if _, err := t.exec(ctx, updateDelivery,
		r.Delivery, int(done), micros(r.At), r.Status, r.Error); err != nil {
		return err
	}
	if r.Gone {
		_, err := t.exec(ctx, `UPDATE endpoint SET state = 1, next = 0 WHERE id = $1`, r.Endpoint)
		return err
	}
	if r.Done {
		_, err := t.exec(ctx, endpointTook, r.Endpoint, flag(r.Slow), micros(r.At))
		return err
	}
	if _, err := t.exec(ctx, `UPDATE delivery SET state = 2 WHERE id IN
		(SELECT id FROM delivery WHERE endpoint = $1 AND state = 0 AND due <= $2 ORDER BY id LIMIT $3)`, r.Endpoint, micros(r.GiveUp), deliverySteps); err != nil {
		return err
	}
	_, err = t.exec(ctx, `UPDATE endpoint SET slow = 1, failures = $2, failing = $3,
		next = CASE WHEN EXISTS (SELECT 1 FROM delivery WHERE endpoint = $1 AND state = 0) THEN CAST($4 AS BIGINT) ELSE 0 END WHERE id = $1`,
		r.Endpoint, r.Failures, micros(r.Failing), micros(r.Next))
	return err
}

// filtered is a filter's conditions, with their arguments after those that there are.
func filtered(f notify.Filter, args []any) (string, []any) {
	var b strings.Builder
	add := func(column string, value any) {
		args = append(args, value)
		fmt.Fprintf(&b, " AND %s = $%d", column, len(args))
	}
	if f.Account != nil {
		add("n.account", *f.Account)
	}
	if f.Endpoint != nil {
		add("e.uid", f.Endpoint[:])
	}
	if f.State != nil {
		add("d.state", int(*f.State))
	}
	if f.Notice != nil {
		add("n.uid", f.Notice[:])
	}
	return b.String(), args
}

// RetryDeliveries makes what is parked due again, and has what is due tried at once. An endpoint that wanted no
// more gets notices again. It may be done beside a server, and returns how many there were.
func (db *DB) RetryDeliveries(ctx context.Context, now time.Time, f notify.Filter) (int, error) {
	return db.changeDeliveries(ctx, "retrying", f, func(tx tx, id int64) error {
		_, err := tx.exec(ctx, `UPDATE delivery SET state = 0, due = $2 WHERE id = $1`, id, micros(now))
		return err
	}, func(tx tx, endpoint int64) error {
		_, err := tx.exec(ctx, `UPDATE endpoint SET state = 0, failures = 0, failing = 0, next = $2 WHERE id = $1`, endpoint, micros(now))
		return err
	})
}

// DropDeliveries has what is due or parked not be sent any more. It may be done beside a server, and returns how
// many there were.
func (db *DB) DropDeliveries(ctx context.Context, now time.Time, f notify.Filter) (int, error) {
	return db.changeDeliveries(ctx, "dropping", f, func(tx tx, id int64) error {
		_, err := tx.exec(ctx, `UPDATE delivery SET state = 3 WHERE id = $1`, id)
		return err
	}, func(tx tx, endpoint int64) error {
		_, err := tx.exec(ctx, `UPDATE endpoint SET next = 0 WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM delivery WHERE endpoint = $1 AND state = 0)`, endpoint)
		return err
	})
}

// changeDeliveries changes what is due or parked, in small steps, and then each of the endpoints.
func (db *DB) changeDeliveries(ctx context.Context, what string, f notify.Filter, change, then func(tx tx, id int64) error) (int, error) {
	sum := 0
	for last := int64(0); ; {
		var ids []int64
		err := db.updateAccounts(ctx, func(tx tx) error {
			var endpoints []int64
			var err error
			if ids, endpoints, err = tx.openDeliveries(ctx, f, last); err != nil {
				return err
			}
			for _, e := range endpoints {
				if _, err := tx.exec(ctx, `UPDATE endpoint SET id = id WHERE id = $1`, e); err != nil {
					return err
				}
			}
			for _, id := range ids {
				if err := change(tx, id); err != nil {
					return err
				}
			}
			for _, e := range endpoints {
				if err := then(tx, e); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return sum, fmt.Errorf("%s notices: %w", what, err)
		}
		sum += len(ids)
		if len(ids) < deliverySteps {
			return sum, nil
		}
		last = ids[len(ids)-1]
	}
}

// openDeliveries are some of what is due or parked, after an id, and their endpoints in order.
func (t tx) openDeliveries(ctx context.Context, f notify.Filter, after int64) (ids, endpoints []int64, err error) {
	where, args := filtered(f, []any{after, deliverySteps})
	rows, err := t.rows(ctx, `SELECT d.id, d.endpoint FROM delivery d JOIN notice n ON n.id = d.notice JOIN endpoint e ON e.id = d.endpoint
		WHERE d.id > $1 AND d.state IN (0, 2) AND e.state <> 2`+where+` ORDER BY d.id LIMIT $2`, args...)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id, endpoint int64
		if err := rows.Scan(&id, &endpoint); err != nil {
			return nil, nil, err
		}
		ids, endpoints = append(ids, id), append(endpoints, endpoint)
	}
	slices.Sort(endpoints)
	return ids, slices.Compact(endpoints), rows.Err()
}

// ForgetNotices takes one small step of tidying up: deliveries to endpoints that were deleted, those to endpoints
// that want no more are parked, and what was due before a time is deleted unless it still is. It returns how many
// rows it changed.
func (db *DB) ForgetNotices(ctx context.Context, before time.Time, limit int) (int64, error) {
	var sum int64
	err := db.update(ctx, func(tx tx) error {
		sum = 0
		for _, text := range []string{
			`DELETE FROM delivery WHERE id IN (SELECT d.id FROM endpoint e JOIN delivery d ON d.endpoint = e.id WHERE e.state = 2 AND CAST($1 AS BIGINT) >= 0 LIMIT $2)`,
			`DELETE FROM endpoint WHERE id IN (SELECT e.id FROM endpoint e WHERE e.state = 2 AND CAST($1 AS BIGINT) >= 0 AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.endpoint = e.id) LIMIT $2)`,
			`UPDATE delivery SET state = 2 WHERE id IN (SELECT d.id FROM endpoint e JOIN delivery d ON d.endpoint = e.id AND d.state = 0 WHERE e.state = 1 AND CAST($1 AS BIGINT) >= 0 LIMIT $2)`,
			`DELETE FROM delivery WHERE id IN (SELECT id FROM delivery WHERE state IN (1, 2, 3) AND due < $1 LIMIT $2)`,
			// Whoever asks for more at an address moves its created.
			`DELETE FROM endpoint WHERE created < $1 AND id IN (SELECT e.id FROM endpoint e WHERE e.` + isAddress + ` AND e.created < $1 AND e.next = 0
				AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.endpoint = e.id) AND NOT EXISTS (SELECT 1 FROM seed_await w WHERE w.endpoint = e.id) LIMIT $2)`,
			`DELETE FROM notice WHERE id IN (SELECT n.id FROM notice n WHERE n.created < $1 AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.notice = n.id) ORDER BY n.created LIMIT $2)`,
		} {
			r, err := tx.exec(ctx, text, micros(before), limit)
			if err != nil {
				return err
			}
			n, err := r.RowsAffected()
			if err != nil {
				return err
			}
			sum += n
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("forgetting old notices: %w", err)
	}
	return sum, nil
}
