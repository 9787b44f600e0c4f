package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/notify"
)

const (
	// walkStamps and walkAccounts bound what one transaction of the walker looks at: appends wait for it.
	walkStamps   = 50
	walkAccounts = 200
)

// Walk writes some of the notices that are due, in one small transaction, and says whether there may be more. It
// compares what targets attest now with how far it has told, so a pause of any length, or a crash between any two
// steps, only makes notices late: what came and went meanwhile is not told.
func (db *DB) Walk(ctx context.Context, now time.Time) (more bool, err error) {
	walks, err := db.walks(ctx)
	if err != nil {
		return false, fmt.Errorf("reading what notices are due: %w", err)
	}
	for _, w := range walks {
		var step func(tx) error
		switch {
		case w.counted < w.confirmed:
			step = func(tx tx) error { return tx.walkBack(ctx, now, w) }
		case w.anchored < max(w.mined, w.counted):
			step = func(tx tx) error { return tx.walkOn(ctx, now, w, notify.Anchored) }
		case w.confirmed < w.counted || w.sweeping:
			step = func(tx tx) error { return tx.walkOn(ctx, now, w, notify.Confirmed) }
		case w.signed != w.attested:
			step = func(tx tx) error { return tx.walkSigned(ctx, now, w) }
		default:
			continue
		}
		if err := db.update(ctx, step); err != nil {
			return false, fmt.Errorf("writing notices of target %s: %w", w.target, err)
		}
		more = true
	}
	seeds, err := db.walkSeeds(ctx, now)
	return more || seeds, err
}

// walk is an epoch of a target: what it attests, and how far notices were written.
type walk struct {
	target         string
	epoch          int
	mined, counted int64 // of Bitcoin, which decides how far stamps are
	attested       int64 // counted, of any kind
	anchored       int64
	confirmed      int64 // with what a sweep may have told
	signed         int64 // of signed digests
	sweeping       bool
}

func (db *DB) walks(ctx context.Context) ([]walk, error) {
	rows, err := db.query(ctx, `SELECT t.name, e.epoch,
			COALESCE((SELECT MAX(m.size) FROM attestation m WHERE m.purpose = 'log' AND m.target = t.name AND m.epoch = e.epoch AND m.state = 0 AND m.kind = 'bitcoin'), 0),
			COALESCE((SELECT MAX(c.size) FROM attestation c WHERE c.purpose = 'log' AND c.target = t.name AND c.epoch = e.epoch AND c.state = 1 AND c.kind = 'bitcoin'), 0),
			COALESCE((SELECT MAX(c.size) FROM attestation c WHERE c.purpose = 'log' AND c.target = t.name AND c.epoch = e.epoch AND c.state = 1), 0),
			COALESCE(a.size, 0), COALESCE(d.size, 0), COALESCE(d.upto, 0), COALESCE(s.size, 0)
		FROM target t CROSS JOIN (SELECT epoch FROM epoch UNION SELECT epoch FROM head) e
			LEFT JOIN notice_cursor a ON a.target = t.name AND a.kind = 'anchored' AND a.epoch = e.epoch
			LEFT JOIN notice_cursor d ON d.target = t.name AND d.kind = 'confirmed' AND d.epoch = e.epoch
			LEFT JOIN notice_cursor s ON s.target = t.name AND s.kind = 'attested' AND s.epoch = e.epoch
		ORDER BY t.name, e.epoch`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []walk
	for rows.Next() {
		var w walk
		var size, upto int64
		if err := rows.Scan(&w.target, &w.epoch, &w.mined, &w.counted, &w.attested, &w.anchored, &size, &upto, &w.signed); err != nil {
			return nil, err
		}
		w.confirmed, w.sweeping = max(size, upto), upto > size
		all = append(all, w)
	}
	return all, rows.Err()
}

// cursor is a row of notice_cursor.
type cursor struct {
	size, upto                 int64
	account, position, created int64
}

// sweepDone is the position of an account that is done.
const sweepDone = math.MaxInt64

func (c *cursor) begin(upto int64) { c.upto, c.account, c.position, c.created = upto, 0, sweepDone, 0 }

// cursor reads a cursor and keeps it locked; one that is not there begins at 0.
func (t tx) cursor(ctx context.Context, target string, kind notify.Kind, epoch int) (c cursor, err error) {
	if _, err := t.exec(ctx, `INSERT INTO notice_cursor (target, kind, epoch, size, upto, account, position, created)
		VALUES ($1, $2, $3, 0, 0, 0, 0, 0) ON CONFLICT (target, kind, epoch) DO NOTHING`, target, string(kind), epoch); err != nil {
		return c, err
	}
	err = t.row(ctx, `SELECT size, upto, account, position, created FROM notice_cursor WHERE target = $1 AND kind = $2 AND epoch = $3`+t.db.engine.forUpdate,
		target, string(kind), epoch).Scan(&c.size, &c.upto, &c.account, &c.position, &c.created)
	return c, err
}

func (t tx) setCursor(ctx context.Context, target string, kind notify.Kind, epoch int, c cursor) error {
	_, err := t.exec(ctx, `UPDATE notice_cursor SET size = $4, upto = $5, account = $6, position = $7, created = $8 WHERE target = $1 AND kind = $2 AND epoch = $3`,
		target, string(kind), epoch, c.size, c.upto, c.account, c.position, c.created)
	return err
}

// startCursors has the notices of a target that was not there before begin at the current size of the log.
func (t tx) startCursors(ctx context.Context, target string) error {
	_, err := t.exec(ctx, `INSERT INTO notice_cursor (target, kind, epoch, size, upto, account, position, created)
		SELECT $1, k.kind, e.epoch, e.size, e.size, 0, 0, 0
		FROM (SELECT epoch, size FROM epoch UNION ALL SELECT epoch, size FROM head) e
			CROSS JOIN (SELECT 'anchored' AS kind UNION ALL SELECT 'confirmed' UNION ALL SELECT 'attested') k
		WHERE NOT EXISTS (SELECT 1 FROM target WHERE name = $1)
		ON CONFLICT (target, kind, epoch) DO NOTHING`, target)
	return err
}

// walkOn writes notices of entries that are attested and were not walked yet.
func (t tx) walkOn(ctx context.Context, now time.Time, w walk, kind notify.Kind) error {
	c, err := t.cursor(ctx, w.target, kind, w.epoch)
	if err != nil {
		return err
	}
	least := logtree.Mined
	if kind == notify.Confirmed {
		least = logtree.Counted
	}
	var size int64
	var ref string
	err = t.row(ctx, `SELECT size, ref FROM attestation WHERE purpose = 'log' AND target = $1 AND epoch = $2 AND state >= $3 AND state <= 1 AND size > $4
		ORDER BY size, id LIMIT 1`, w.target, w.epoch, int(least), c.size).Scan(&size, &ref)
	if errors.Is(err, sql.ErrNoRows) {
		return nil // withdrawn meanwhile
	} else if err != nil {
		return err
	}
	if kind == notify.Confirmed {
		// A stamp is anchored before it is confirmed.
		anchored, err := t.cursor(ctx, w.target, notify.Anchored, w.epoch)
		if err != nil || anchored.size < size {
			return err
		}
	} else {
		ref = ""
	}
	if size != c.upto {
		c.begin(size)
	}
	base, err := logtree.At(w.epoch, 0)
	if err != nil {
		return err
	}
	n := notice{now: now, target: w.target, kind: kind, ref: ref}
	done, err := t.sweep(ctx, &c, int64(base)+c.size, int64(base)+c.upto, n)
	if err != nil {
		return err
	}
	if done {
		c = cursor{size: c.upto, upto: c.upto}
	}
	return t.setCursor(ctx, w.target, kind, w.epoch, c)
}

// heard are the kinds that an endpoint may want for what is written with kind.
func heard(kind notify.Kind) notify.Kinds {
	if kind == notify.Confirmed {
		return notify.Set(notify.Confirmed, notify.Upgraded, notify.Withdrawn)
	}
	return notify.Set(kind)
}

// sweep goes on with the awaited stamps at positions from first to before, and says whether it has seen all.
func (t tx) sweep(ctx context.Context, c *cursor, first, before int64, n notice) (done bool, err error) {
	stamps := walkStamps
	for range walkAccounts {
		if c.position == sweepDone {
			var next sql.NullInt64
			if err := t.row(ctx, `SELECT MIN(account) FROM endpoint WHERE account > $1 AND state = 0 AND (kinds & $2) <> 0`, c.account, int64(heard(n.kind))).Scan(&next); err != nil {
				return false, err
			}
			if !next.Valid {
				return true, nil
			}
			c.account, c.position, c.created = next.Int64, first-1, math.MaxInt64
		}
		listeners, err := t.listeners(ctx, c.account, heard(n.kind))
		if err != nil {
			return false, err
		}
		awaited, err := t.awaited(ctx, listeners, c, before, stamps)
		if err != nil {
			return false, err
		}
		for _, a := range awaited {
			if err := t.happened(ctx, n, a, listeners); err != nil {
				return false, err
			}
			c.position, c.created = a.position, a.created
		}
		if len(awaited) == stamps {
			return false, nil
		}
		stamps -= len(awaited)
		c.position, c.created = sweepDone, 0
	}
	return false, nil
}

// listener is an endpoint of an account, as much as the walker needs of it.
type listener struct {
	id      int64
	account int64
	kinds   notify.Kinds
	stamp   []byte // nil for all
}

func (l listener) wants(kind notify.Kind, id account.ID) bool {
	return l.kinds.Has(kind) && (l.stamp == nil || account.ID(l.stamp) == id)
}

// listeners are the active endpoints of an account for some of the kinds. They stay until the transaction ends.
func (t tx) listeners(ctx context.Context, owner int64, kinds notify.Kinds) ([]listener, error) {
	rows, err := t.rows(ctx, `SELECT id, kinds, stamp FROM endpoint WHERE account = $1 AND state = 0 AND (kinds & $2) <> 0 ORDER BY id`+t.db.engine.forUpdate, owner, int64(kinds))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []listener
	for rows.Next() {
		l := listener{account: owner}
		if err := rows.Scan(&l.id, &l.kinds, &l.stamp); err != nil {
			return nil, err
		}
		all = append(all, l)
	}
	return all, rows.Err()
}

// awaitedStamp is a stamp that some endpoint waits for.
type awaitedStamp struct {
	id                account.ID
	position, created int64
}

// awaited are up to limit stamps of the cursor's account that come after it: all if an endpoint is for all of the
// account, else those that have one of their own.
func (t tx) awaited(ctx context.Context, listeners []listener, c *cursor, before int64, limit int) ([]awaitedStamp, error) {
	text := `SELECT DISTINCT s.id, s.position, s.created FROM endpoint e JOIN stamp s ON s.id = e.stamp
		WHERE e.account = $1 AND e.position >= $2 AND e.position < $4 AND e.state = 0 AND s.account = $1 AND (s.position, s.created) > ($2, $3)
		ORDER BY s.position, s.created LIMIT $5`
	for _, l := range listeners {
		if l.stamp == nil {
			text = `SELECT id, position, created FROM stamp WHERE account = $1 AND position < $4 AND (position, created) > ($2, $3)
				ORDER BY position, created LIMIT $5`
		}
	}
	if len(listeners) == 0 {
		return nil, nil
	}
	rows, err := t.rows(ctx, text, c.account, c.position, c.created, before, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []awaitedStamp
	for rows.Next() {
		var id []byte
		var a awaitedStamp
		if err := rows.Scan(&id, &a.position, &a.created); err != nil {
			return nil, err
		}
		if len(id) != len(a.id) {
			return nil, fmt.Errorf("a stamp's id of %d bytes: %w", len(id), logtree.ErrInconsistent)
		}
		a.id = account.ID(id)
		all = append(all, a)
	}
	return all, rows.Err()
}

// notice is what is written of a stamp.
type notice struct {
	now    time.Time
	target string
	kind   notify.Kind
	ref    string
}

// happened writes the notices of a stamp and what is due to its endpoints. What was written before is not
// written again.
func (t tx) happened(ctx context.Context, n notice, a awaitedStamp, listeners []listener) error {
	some := false
	for _, l := range listeners {
		some = some || l.stamp == nil || account.ID(l.stamp) == a.id
	}
	if !some {
		return nil
	}
	kinds := []notify.Kind{n.kind}
	if n.kind == notify.Confirmed {
		kinds = append(kinds, notify.Upgraded)
	}
	for _, kind := range kinds {
		var to []int64
		for _, l := range listeners {
			if l.wants(kind, a.id) {
				to = append(to, l.id)
			}
		}
		// That a stamp was confirmed is kept for who wants to hear when that is over.
		if len(to) == 0 && kind != notify.Confirmed {
			continue
		}
		stands := 0
		if kind == notify.Confirmed {
			stands = 1
		}
		id, fresh, err := t.addNotice(ctx, notify.Notice{
			UID: account.NewID(), Account: listeners[0].account, Stamp: a.id, Target: n.target, Kind: kind, Ref: n.ref,
			Position: logtree.Position(a.position), Created: n.now,
		}, stands)
		if err != nil {
			return err
		}
		if !fresh {
			if kind == notify.Confirmed {
				if _, err := t.exec(ctx, `UPDATE notice SET stands = 1 WHERE stamp = $1 AND target = $2 AND kind = $3 AND ref = $4`, a.id[:], n.target, string(kind), n.ref); err != nil {
					return err
				}
			}
			continue
		}
		if err := t.addDeliveries(ctx, n.now, id, to); err != nil {
			return err
		}
	}
	return nil
}

// Statements that the walker runs for each stamp.
const (
	insertNotice = `INSERT INTO notice (uid, account, stamp, target, kind, ref, position, message, stands, created)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (stamp, target, kind, ref) DO NOTHING RETURNING id`
	insertDelivery = `INSERT INTO delivery (endpoint, notice, state, due, tries, tried, status, error) VALUES ($1, $2, 0, $3, 0, 0, 0, '')`
	wakeEndpoint   = `UPDATE endpoint SET next = CAST($2 AS BIGINT) + gather WHERE id = $1 AND next = 0`
)

// addNotice keeps a notice, unless it was written before.
func (t tx) addNotice(ctx context.Context, n notify.Notice, stands int) (id int64, fresh bool, err error) {
	err = t.row(ctx, insertNotice,
		n.UID[:], n.Account, n.Stamp[:], n.Target, string(n.Kind), n.Ref, int64(n.Position), n.Message, stands, micros(n.Created)).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, false, nil
	}
	return id, err == nil, err
}

// addDeliveries makes a notice due to endpoints. The transaction has their rows locked.
func (t tx) addDeliveries(ctx context.Context, now time.Time, notice int64, endpoints []int64) error {
	for _, e := range endpoints {
		if _, err := t.exec(ctx, insertDelivery, e, notice, micros(now)); err != nil {
			return err
		}
		if _, err := t.exec(ctx, wakeEndpoint, e, micros(now)); err != nil {
			return err
		}
	}
	return nil
}

// walkBack tells that stamps are not confirmed any more, and then has the cursor stand where the target does.
func (t tx) walkBack(ctx context.Context, now time.Time, w walk) error {
	c, err := t.cursor(ctx, w.target, notify.Confirmed, w.epoch)
	if err != nil {
		return err
	}
	var counted int64
	if err := t.row(ctx, `SELECT COALESCE(MAX(size), 0) FROM attestation WHERE purpose = 'log' AND target = $1 AND epoch = $2 AND state = 1`, w.target, w.epoch).Scan(&counted); err != nil {
		return err
	}
	if counted >= max(c.size, c.upto) {
		return nil // restored meanwhile
	}
	from, err := logtree.At(w.epoch, counted)
	if err != nil {
		return err
	}
	stood, err := t.standing(ctx, w.target, int64(from), int64(w.epoch+1)<<48)
	if err != nil {
		return err
	}
	for _, s := range stood {
		if err := t.withdrawn(ctx, now, s); err != nil {
			return err
		}
	}
	upto := max(c.size, c.upto)
	c = cursor{size: min(c.size, counted)}
	if c.upto = c.size; len(stood) == walkStamps {
		// Should another attestation confirm them before the next step, what was withdrawn is walked again.
		c.begin(upto)
	}
	return t.setCursor(ctx, w.target, notify.Confirmed, w.epoch, c)
}

// standing are some of the notices of confirmations at positions from first to before that were not withdrawn.
func (t tx) standing(ctx context.Context, target string, first, before int64) ([]notify.Notice, error) {
	rows, err := t.rows(ctx, `SELECT id, account, stamp, ref, position FROM notice WHERE target = $1 AND stands = 1 AND position >= $2 AND position < $3
		ORDER BY position, id LIMIT $4`, target, first, before, walkStamps)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []notify.Notice
	for rows.Next() {
		n := notify.Notice{Target: target}
		var stamp []byte
		if err := rows.Scan(&n.ID, &n.Account, &stamp, &n.Ref, &n.Position); err != nil {
			return nil, err
		}
		if len(stamp) != len(n.Stamp) {
			return nil, fmt.Errorf("notice %d: a stamp's id of %d bytes: %w", n.ID, len(stamp), logtree.ErrInconsistent)
		}
		n.Stamp = account.ID(stamp)
		all = append(all, n)
	}
	return all, rows.Err()
}

// withdrawn tells that what a notice said is not true any more, once for each attestation.
func (t tx) withdrawn(ctx context.Context, now time.Time, n notify.Notice) error {
	if _, err := t.exec(ctx, `UPDATE notice SET stands = 0 WHERE id = $1`, n.ID); err != nil {
		return err
	}
	listeners, err := t.listeners(ctx, n.Account, notify.Set(notify.Withdrawn))
	if err != nil {
		return err
	}
	var to []int64
	for _, l := range listeners {
		if l.wants(notify.Withdrawn, n.Stamp) {
			to = append(to, l.id)
		}
	}
	n.UID, n.Kind, n.Created = account.NewID(), notify.Withdrawn, now
	id, fresh, err := t.addNotice(ctx, n, 0)
	if err != nil || !fresh {
		return err
	}
	return t.addDeliveries(ctx, now, id, to)
}

// WalkTroubles tells the operator of each target whose state has been another one for a while.
func (db *DB) WalkTroubles(ctx context.Context, now time.Time, persists time.Duration) error {
	rows, err := db.query(ctx, `SELECT t.name, t.status, COALESCE(o.told, ''), COALESCE(o.seen, ''), COALESCE(o.since, 0)
		FROM target t LEFT JOIN trouble o ON o.target = t.name ORDER BY t.name`)
	if err != nil {
		return fmt.Errorf("reading the targets' states: %w", err)
	}
	defer rows.Close()
	type change struct {
		status     anchor.Status
		told, seen string
		since      int64
	}
	var changes []change
	for rows.Next() {
		var c change
		var name, text string
		if err := rows.Scan(&name, &text, &c.told, &c.seen, &c.since); err != nil {
			return fmt.Errorf("reading the targets' states: %w", err)
		}
		if err := json.Unmarshal([]byte(text), &c.status); err != nil {
			return fmt.Errorf("reading the status of target %s: %w", name, err)
		}
		c.status.Target = name
		code := string(c.status.Code)
		if c.told == "" {
			c.told = string(anchor.OK)
		}
		if code != "" && (code != c.seen || code != c.told && now.Sub(fromMicros(c.since)) >= persists) {
			changes = append(changes, c)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("reading the targets' states: %w", err)
	}
	for _, c := range changes {
		code := string(c.status.Code)
		tell := code == c.seen
		err := db.update(ctx, func(tx tx) error {
			since := c.since
			if !tell {
				since = micros(now)
			} else {
				c.told = code
			}
			if _, err := tx.exec(ctx, `INSERT INTO trouble (target, told, seen, since) VALUES ($1, $2, $3, $4)
				ON CONFLICT (target) DO UPDATE SET told = EXCLUDED.told, seen = EXCLUDED.seen, since = EXCLUDED.since`, c.status.Target, c.told, code, since); err != nil {
				return err
			}
			if !tell {
				return nil
			}
			return tx.tellOperator(ctx, now, c.status)
		})
		if err != nil {
			return fmt.Errorf("telling of target %s: %w", c.status.Target, err)
		}
	}
	return nil
}

func (t tx) tellOperator(ctx context.Context, now time.Time, s anchor.Status) error {
	listeners, err := t.listeners(ctx, 0, notify.Set(notify.Trouble))
	if err != nil || len(listeners) == 0 {
		return err
	}
	id, fresh, err := t.addNotice(ctx, notify.Notice{
		UID: account.NewID(), Stamp: account.NewID(), Target: s.Target, Kind: notify.Trouble, Ref: string(s.Code), Message: s.Message, Created: now,
	}, 0)
	if err != nil || !fresh {
		return err
	}
	var to []int64
	for _, l := range listeners {
		to = append(to, l.id)
	}
	return t.addDeliveries(ctx, now, id, to)
}
