package store

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/notify"
	"github.com/datestone/datestone/internal/seed"
)

// Notices of seeds: a row of seed_await becomes a notice once the seed is final, and goes with that. A notice is for an account,
// a hash and a target, whoever submitted the hash; nothing in it leads to the stamp, which may be another account's. Its
// position is the hash's number.

// awaitedNumber stands for a number where a notice names a stamp.
func awaitedNumber(number int64) (id account.ID) {
	binary.BigEndian.PutUint64(id[8:], uint64(number))
	return id
}

const (
	// countedSeed says that what carries the seed s counts: an attestation, or a place where it was printed.
	countedSeed = `(EXISTS (SELECT 1 FROM attestation a WHERE a.purpose = 'seed' AND a.target = s.target AND a.epoch = s.number AND a.state = 1)
		OR EXISTS (SELECT 1 FROM publication p JOIN publication_place w ON w.publication = p.id AND w.withdrawn = 0
			WHERE p.purpose = 'seed' AND p.target = s.target AND p.epoch = s.number))`

	// unsettledSeeds are seeds that are final and were not told, and such as were told and are not final any more.
	unsettledSeeds = `SELECT s.number, s.final FROM seed s WHERE s.final = 0 AND s.made > 0 AND ` + countedSeed + `
		UNION SELECT s.number, s.final FROM target t JOIN attestation l ON l.target = t.name AND l.state IN (0, 3) AND l.purpose = 'seed' AND l.first_counted > 0
			JOIN seed s ON s.number = l.epoch AND s.final = 1 WHERE NOT ` + countedSeed + `
		UNION SELECT s.number, s.final FROM publication_place v JOIN publication q ON q.id = v.publication AND q.purpose = 'seed'
			JOIN seed s ON s.number = q.epoch AND s.final = 1 WHERE v.withdrawn > 0 AND NOT ` + countedSeed + `
		ORDER BY number LIMIT 1`
)

// walkSeeds tells of one seed that is final, or is not any more, and says whether there was one.
func (db *DB) walkSeeds(ctx context.Context, now time.Time) (bool, error) {
	var number int64
	var final bool
	err := db.queryRow(ctx, unsettledSeeds, nil, &number, &final)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("reading which seeds are final: %w", err)
	}
	err = db.update(ctx, func(tx tx) error {
		s, err := scanSeed(tx.row(ctx, `SELECT `+seedColumns+`, s.final FROM seed s WHERE s.number = $1`+tx.db.engine.forUpdate, number), &final)
		if err != nil {
			return err
		}
		// What the row's lock was waited for may have changed what counts.
		var counts bool
		if err := tx.row(ctx, `SELECT CASE WHEN `+countedSeed+` THEN 1 ELSE 0 END FROM seed s WHERE s.number = $1`, number).Scan(&counts); err != nil {
			return err
		}
		switch {
		case counts && !final:
			return tx.seeded(ctx, now, s)
		case !counts && final:
			return tx.unseeded(ctx, now, s)
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("telling of seed %d: %w", number, err)
	}
	return true, nil
}

// seeded tells some of those who await a seed that is final. When all were told, it is.
func (t tx) seeded(ctx context.Context, now time.Time, s seed.Seed) error {
	type awaited struct{ number, endpoint int64 }
	var all []awaited
	rows, err := t.rows(ctx, `SELECT number, endpoint FROM seed_await WHERE target = $1 AND number >= $2 AND number < $3 ORDER BY number, endpoint LIMIT $4`,
		s.Target, s.First, s.Before, walkStamps)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var a awaited
		if err := rows.Scan(&a.number, &a.endpoint); err != nil {
			return err
		}
		all = append(all, a)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, a := range all {
		if err := t.tellSeeded(ctx, now, s.Target, a.number, a.endpoint); err != nil {
			return err
		}
		if _, err := t.exec(ctx, `DELETE FROM seed_await WHERE target = $1 AND number = $2 AND endpoint = $3`, s.Target, a.number, a.endpoint); err != nil {
			return err
		}
	}
	if len(all) < walkStamps {
		_, err = t.exec(ctx, `UPDATE seed SET final = 1 WHERE number = $1`, s.Number)
	}
	return err
}

// tellSeeded makes it due to an address that the seed of a target which has a hash is final, once.
func (t tx) tellSeeded(ctx context.Context, now time.Time, target string, number, endpoint int64) error {
	var owner int64
	err := t.row(ctx, `SELECT account FROM endpoint WHERE id = $1 AND state <> 2`+t.db.engine.forUpdate, endpoint).Scan(&owner)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	} else if err != nil {
		return err
	}
	n := notify.Notice{
		UID: account.NewID(), Account: owner, Stamp: awaitedNumber(number), Target: target, Kind: notify.Seeded, Ref: strconv.FormatInt(owner, 10),
		Position: logtree.Position(number), Created: now,
	}
	id, fresh, err := t.addNotice(ctx, n, 0)
	if err != nil {
		return err
	}
	if !fresh { // another address of the account was told
		if err := t.row(ctx, `SELECT id FROM notice WHERE stamp = $1 AND target = $2 AND kind = $3 AND ref = $4`+t.db.engine.forUpdate,
			n.Stamp[:], target, string(n.Kind), n.Ref).Scan(&id); err != nil {
			return err
		}
	}
	r, err := t.exec(ctx, insertDelivery+` ON CONFLICT (endpoint, notice) DO NOTHING`, endpoint, id, micros(now))
	if err != nil {
		return err
	}
	if added, err := r.RowsAffected(); err != nil || added == 0 {
		return err
	}
	_, err = t.exec(ctx, wakeEndpoint, endpoint, micros(now))
	return err
}

// unseeded tells the operator that a seed was final and is not any more.
func (t tx) unseeded(ctx context.Context, now time.Time, s seed.Seed) error {
	if _, err := t.exec(ctx, `UPDATE seed SET final = 0 WHERE number = $1`, s.Number); err != nil {
		return err
	}
	listeners, err := t.listeners(ctx, 0, notify.Set(notify.Trouble))
	if err != nil || len(listeners) == 0 {
		return err
	}
	id, _, err := t.addNotice(ctx, notify.Notice{
		UID: account.NewID(), Stamp: account.NewID(), Target: s.Target, Kind: notify.Trouble, Ref: SeedWithdrawn, Created: now,
		Message: fmt.Sprintf("the seed %v, number %d, with %d hashes, was final and is not any more: what confirmed it was withdrawn. Proofs of its hashes that were given out may be worthless until it is confirmed again",
			account.ID(s.UID), s.Number, s.Before-s.First),
	}, 0)
	if err != nil {
		return err
	}
	var to []int64
	for _, l := range listeners {
		to = append(to, l.id)
	}
	return t.addDeliveries(ctx, now, id, to)
}

// SeedWithdrawn is the code of the operator's notice about a seed that is not final any more.
const SeedWithdrawn = "seed-withdrawn"

// AwaitSeed has an account be told when the seed of a submitted hash is final, or at once when it is. Asking again changes
// nothing. It returns seed.ErrUnknown for a hash that was not submitted to the target, and notify.ErrLimit.
func (db *DB) AwaitSeed(ctx context.Context, now time.Time, owner int64, hash [32]byte, a seed.Await) error {
	if err := a.Check(); err != nil {
		return fmt.Errorf("%w: %w", account.ErrItem, err)
	}
	err := db.update(ctx, func(tx tx) error {
		// The account's row keeps two of its requests from counting at the same time.
		var one int
		if err := tx.row(ctx, `SELECT 1 FROM account WHERE id = $1`+tx.db.engine.forUpdate, owner).Scan(&one); errors.Is(err, sql.ErrNoRows) {
			return account.ErrUnknown
		} else if err != nil {
			return err
		}
		submitted, err := scanSubmitted(tx.row(ctx, selectSubmitted, hash[:]))
		if errors.Is(err, sql.ErrNoRows) {
			return seed.ErrUnknown
		} else if err != nil {
			return err
		}
		// A walk waits for the seed's row, so that none is overlooked.
		_, final, err := tx.inSeed(ctx, a.Target, submitted.Number)
		if err != nil {
			return err
		}
		endpoint, err := tx.boundedAddress(ctx, now, owner, a)
		if err != nil {
			return err
		}
		if final {
			return tx.tellSeeded(ctx, now, a.Target, submitted.Number, endpoint)
		}
		_, err = tx.exec(ctx, insertAwait, a.Target, submitted.Number, endpoint)
		return err
	})
	if err != nil {
		return fmt.Errorf("awaiting a seed: %w", err)
	}
	return nil
}

// boundedAddress is address, unless the account has too many others.
func (t tx) boundedAddress(ctx context.Context, now time.Time, owner int64, a seed.Await) (int64, error) {
	have, err := t.countAddresses(ctx, owner)
	if err != nil {
		return 0, err
	}
	if have >= maxAddresses {
		uid := addressID(owner, a)
		var known int
		if err := t.row(ctx, `SELECT COUNT(*) FROM endpoint WHERE uid = $1 AND state <> 2`, uid[:]).Scan(&known); err != nil {
			return 0, err
		}
		if known == 0 {
			return 0, notify.ErrLimit
		}
	}
	return t.address(ctx, now, owner, a)
}

// AwaitState is what became of what an account awaits of a hash, or seed.ErrUnknown.
func (db *DB) AwaitState(ctx context.Context, owner int64, hash [32]byte, a seed.Await) (seed.AwaitState, error) {
	submitted, err := db.Submitted(ctx, hash)
	if err != nil {
		return seed.AwaitState{}, err
	}
	uid, stands := addressID(owner, a), awaitedNumber(submitted.Number)
	var state seed.AwaitState
	var delivered notify.DeliveryState
	err = db.queryRow(ctx, `SELECT d.state, d.tries FROM endpoint e JOIN notice n ON n.stamp = $2 AND n.target = $3 AND n.kind = 'seeded' AND n.account = e.account
			JOIN delivery d ON d.endpoint = e.id AND d.notice = n.id WHERE e.uid = $1 AND e.state <> 2
		UNION ALL SELECT 0, 0 FROM endpoint e JOIN seed_await w ON w.endpoint = e.id AND w.target = $3 AND w.number = $4 WHERE e.uid = $1 AND e.state <> 2`,
		[]any{uid[:], stands[:], a.Target, submitted.Number}, &delivered, &state.Tries)
	if errors.Is(err, sql.ErrNoRows) {
		return state, seed.ErrUnknown
	} else if err != nil {
		return state, fmt.Errorf("reading what became of a notice: %w", err)
	}
	state.Executed, state.Success = state.Tries > 0, delivered == notify.Done
	return state, nil
}

// SeededNotice is the hash that a notice of kind Seeded is about, with its seeds, or seed.ErrUnknown.
func (db *DB) SeededNotice(ctx context.Context, n notify.Notice) (seed.Submitted, []seed.State, error) {
	if n.Kind != notify.Seeded {
		return seed.Submitted{}, nil, fmt.Errorf("notice %d is about no seed: %w", n.ID, logtree.ErrInconsistent)
	}
	submitted, err := db.submitted(ctx, `SELECT `+submittedColumns+` FROM submitted WHERE number = $1`, int64(n.Position))
	if err != nil {
		return submitted, nil, err
	}
	states, err := db.SeedStates(ctx, submitted.Number)
	return submitted, states, err
}
