package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/datestone/datestone/internal/bitcoin/ledger"
	"github.com/datestone/datestone/internal/logtree"
)

// Chain says how far the chain of a target was followed.
func (db *DB) Chain(ctx context.Context, target string) (ledger.Chain, error) {
	c := ledger.Chain{Base: -1}
	var work []byte
	err := db.queryRow(ctx, `SELECT base, most_work FROM chain WHERE target = $1`, []any{target}, &c.Base, &work)
	if errors.Is(err, sql.ErrNoRows) {
		return c, nil
	}
	if err == nil {
		c.MostWork, err = hash32(work)
	}
	if err != nil {
		return c, fmt.Errorf("reading the chain of target %s: %w", target, err)
	}
	c.Best, err = db.block(ctx, `SELECT height, hash, work FROM block WHERE target = $1 ORDER BY height DESC LIMIT 1`, target)
	if errors.Is(err, ErrNotFound) {
		return c, nil
	}
	c.Followed = err == nil
	return c, err
}

// BlockAt is the block of this height in the best chain as it was followed, or ErrNotFound.
func (db *DB) BlockAt(ctx context.Context, target string, height int64) (ledger.Block, error) {
	return db.block(ctx, `SELECT height, hash, work FROM block WHERE target = $1 AND height = $2`, target, height)
}

func (db *DB) block(ctx context.Context, text string, args ...any) (ledger.Block, error) {
	var b ledger.Block
	var hash, work []byte
	err := db.queryRow(ctx, text, args, &b.Height, &hash, &work)
	if errors.Is(err, sql.ErrNoRows) {
		return b, ErrNotFound
	}
	if err == nil {
		b.Hash, err = hash32(hash)
	}
	if err == nil {
		b.Work, err = hash32(work)
	}
	if err != nil {
		return b, fmt.Errorf("reading a block of target %v: %w", args[0], err)
	}
	return b, nil
}

// StartChain begins to follow the chain of a target at a block, of which nothing but the hash
// matters, with the coins that exist there. The target is pinned. It returns ErrConflict when the
// chain is followed already.
func (db *DB) StartChain(ctx context.Context, now time.Time, target string, base ledger.Block, coins []ledger.Coin) error {
	err := db.update(ctx, func(tx tx) error {
		if _, err := tx.exec(ctx, `INSERT INTO chain (target, base, most_work) VALUES ($1, $2, $3)
			ON CONFLICT (target) DO UPDATE SET base = EXCLUDED.base`, target, base.Height, base.Work[:]); err != nil {
			return err
		}
		_, _, err := tx.best(ctx, target)
		if err == nil {
			return ErrConflict
		} else if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if err := tx.addBlock(ctx, target, base); err != nil {
			return err
		}
		// What is known of older blocks is what the coins say now.
		if _, err := tx.exec(ctx, `UPDATE coin SET lost = $2, height = 0, spent_by = '', spent_height = 0 WHERE target = $1 AND height > 0 AND spent_by = ''`, target, base.Height); err != nil {
			return err
		}
		return tx.addCoins(ctx, target, coins)
	})
	if err != nil {
		return fmt.Errorf("beginning to follow the chain of target %s: %w", target, err)
	}
	return nil
}

// ConnectBlock adds the block after the best one, with all that follows from it: coins made and
// spent, attestations mined, and, unless a chain with more work was seen, attestations at the
// required depth counted and attempts that lost to one at that depth dead. It returns ErrConflict
// when the best block is not the one before, and what it counted.
func (db *DB) ConnectBlock(ctx context.Context, now time.Time, target string, b ledger.Observed, depth int64) (counted []logtree.Attestation, err error) {
	err = db.update(ctx, func(tx tx) error {
		height, hash, err := tx.best(ctx, target)
		if err != nil {
			return err
		}
		if height+1 != b.Height || hash != b.Prev {
			return fmt.Errorf("the best block is %d and not the one before block %d: %w", height, b.Height, ErrConflict)
		}
		if err := tx.addBlock(ctx, target, b.Block); err != nil {
			return err
		}
		if err := tx.addCoins(ctx, target, b.Coins); err != nil {
			return err
		}
		for _, s := range b.Spends {
			if _, err := tx.exec(ctx, `UPDATE coin SET spent_by = $3, spent_height = $4 WHERE target = $1 AND outpoint = $2`, target, s.Outpoint, s.By, b.Height); err != nil {
				return err
			}
		}
		for _, a := range b.Mined {
			if err := tx.mined(ctx, now, target, a); err != nil {
				return err
			}
		}
		counted, err = tx.settle(ctx, now, target, b.Block, depth)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("adding block %d of target %s: %w", b.Height, target, err)
	}
	return counted, nil
}

// DisconnectBlock takes the best block away again, with all that followed from it: its coins are
// lost, what it spent is not spent, its attestations are withdrawn, or forgotten if they never
// counted, and attempts live again. It returns ErrConflict when b is not the best block, and the
// withdrawn attestations that once counted.
func (db *DB) DisconnectBlock(ctx context.Context, now time.Time, target string, b ledger.Block) (withdrawn []logtree.Attestation, err error) {
	err = db.update(ctx, func(tx tx) error {
		height, hash, err := tx.best(ctx, target)
		if err != nil {
			return err
		}
		if height != b.Height || hash != b.Hash {
			return fmt.Errorf("the best block is %d: %w", height, ErrConflict)
		}
		withdrawn, err = tx.withdraw(ctx, now, target, height)
		if err != nil {
			return err
		}
		// A dead attempt was killed at its height: what killed it is gone as well.
		if _, err := tx.exec(ctx, `UPDATE attempt SET state = 0, height = 0, changed = $3 WHERE target = $1 AND state IN (1, 2, 3) AND height = $2`, target, height, micros(now)); err != nil {
			return err
		}
		for _, text := range []string{
			`UPDATE coin SET height = 0, lost = $2 WHERE target = $1 AND height = $2`,
			`UPDATE coin SET spent_by = '', spent_height = 0 WHERE target = $1 AND spent_height = $2`,
			`DELETE FROM block WHERE target = $1 AND height = $2`,
			`UPDATE target SET height = $2 - 1 WHERE name = $1`,
		} {
			if _, err := tx.exec(ctx, text, target, height); err != nil {
				return err
			}
		}
		// When nothing is left, following begins again, further back.
		_, err = tx.exec(ctx, `UPDATE chain SET base = CASE WHEN base > $2 THEN base - $2 ELSE 0 END WHERE target = $1 AND base = $3`, target, rebase, height)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("taking away block %d of target %s: %w", b.Height, target, err)
	}
	return withdrawn, nil
}

// rebase is how many blocks further back following begins when no followed block is left.
const rebase = 144

// Coins are the coins of a target that no transaction of the best chain spends; those that left the
// best chain are among them.
func (db *DB) Coins(ctx context.Context, target string) ([]ledger.Coin, error) {
	rows, err := db.query(ctx, `SELECT outpoint, value, script, branch, coinbase, height, lost, spent_by, spent_height
		FROM coin WHERE target = $1 AND spent_height = 0 ORDER BY outpoint`, target)
	if err != nil {
		return nil, fmt.Errorf("reading the coins of target %s: %w", target, err)
	}
	defer rows.Close()
	var all []ledger.Coin
	for rows.Next() {
		var c ledger.Coin
		var coinbase int64
		if err := rows.Scan(&c.Outpoint, &c.Value, &c.Script, &c.Branch, &coinbase, &c.Height, &c.Lost, &c.SpentBy, &c.SpentHeight); err != nil {
			return nil, fmt.Errorf("reading the coins of target %s: %w", target, err)
		}
		c.Coinbase = coinbase != 0
		all = append(all, c)
	}
	return all, rows.Err()
}

// AddCoins keeps coins that were not found by following blocks.
func (db *DB) AddCoins(ctx context.Context, now time.Time, target string, coins []ledger.Coin) error {
	if err := db.update(ctx, func(tx tx) error { return tx.addCoins(ctx, target, coins) }); err != nil {
		return fmt.Errorf("keeping coins of target %s: %w", target, err)
	}
	return nil
}

// best is the newest followed block. It returns sql.ErrNoRows as it is.
func (t tx) best(ctx context.Context, target string) (height int64, hash [32]byte, err error) {
	var b []byte
	if err := t.row(ctx, `SELECT height, hash FROM block WHERE target = $1 ORDER BY height DESC LIMIT 1`, target).Scan(&height, &b); err != nil {
		return 0, hash, err
	}
	hash, err = hash32(b)
	return height, hash, err
}

func (t tx) addBlock(ctx context.Context, target string, b ledger.Block) error {
	if _, err := t.exec(ctx, `INSERT INTO block (target, height, hash, work) VALUES ($1, $2, $3, $4)`, target, b.Height, b.Hash[:], b.Work[:]); err != nil {
		return err
	}
	if _, err := t.exec(ctx, `UPDATE chain SET most_work = $2 WHERE target = $1 AND most_work < $2`, target, b.Work[:]); err != nil {
		return err
	}
	_, err := t.exec(ctx, `UPDATE target SET height = $2 WHERE name = $1`, target, b.Height)
	return err
}

// addCoins inserts coins, or finds lost ones again.
func (t tx) addCoins(ctx context.Context, target string, coins []ledger.Coin) error {
	for _, c := range coins {
		coinbase := 0
		if c.Coinbase {
			coinbase = 1
		}
		if _, err := t.exec(ctx, `INSERT INTO coin (target, outpoint, value, script, branch, coinbase, height, lost, spent_by, spent_height)
			VALUES ($1, $2, $3, $4, $5, $6, $7, 0, '', 0) ON CONFLICT (target, outpoint) DO UPDATE SET height = EXCLUDED.height, lost = 0`,
			target, c.Outpoint, c.Value, c.Script, c.Branch, coinbase, c.Height); err != nil {
			return err
		}
	}
	return nil
}

// mined records that a transaction of ours is in a block: the attempt's state and its attestation.
// A withdrawn attestation of the same transaction is restored, with the path to the new block.
func (t tx) mined(ctx context.Context, now time.Time, target string, a logtree.Attestation) error {
	if a.Kind == "" {
		return fmt.Errorf("the attestation by %s has no kind: %w", a.Ref, logtree.ErrInconsistent)
	}
	var purpose string
	err := t.row(ctx, `UPDATE attempt SET state = 1, height = $3, changed = $4 WHERE target = $1 AND ref = $2 RETURNING purpose`, target, a.Ref, a.Height, micros(now)).Scan(&purpose)
	if err != nil {
		return fmt.Errorf("transaction %s is mined: %w", a.Ref, err)
	}
	_, err = t.exec(ctx, `INSERT INTO attestation (target, purpose, epoch, size, root, proof, height, block, block_time, ref, state, changed, kind)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, $11, $12)
		ON CONFLICT (target, purpose, ref) DO UPDATE SET proof = EXCLUDED.proof, height = EXCLUDED.height, block = EXCLUDED.block,
			block_time = EXCLUDED.block_time, state = 0, changed = EXCLUDED.changed`,
		target, purpose, a.Head.Epoch, a.Head.Size, a.Head.Root[:], a.Proof, a.Height, a.BlockHash[:], micros(a.BlockTime), a.Ref, micros(now), a.Kind)
	return err
}

// settle draws the conclusions from a new best block, unless a chain with more work was seen.
func (t tx) settle(ctx context.Context, now time.Time, target string, best ledger.Block, depth int64) ([]logtree.Attestation, error) {
	var most []byte
	if err := t.row(ctx, `SELECT most_work FROM chain WHERE target = $1`, target).Scan(&most); err != nil {
		return nil, err
	}
	if bytes.Compare(best.Work[:], most) < 0 {
		return nil, nil
	}
	deep := best.Height - depth + 1
	counted, err := t.count(ctx, now, target, deep)
	if err != nil {
		return nil, err
	}
	if _, err := t.exec(ctx, `UPDATE attempt SET state = 2, changed = $3 WHERE target = $1 AND state = 1 AND $2 - height >= 0`, target, deep, micros(now)); err != nil {
		return nil, err
	}
	return counted, t.kill(ctx, now, target, deep)
}

// count counts the attestations in blocks up to a height, lowest first. One for a head that is not
// larger than what is counted already is superseded instead.
func (t tx) count(ctx context.Context, now time.Time, target string, deep int64) ([]logtree.Attestation, error) {
	ready, err := t.attestations(ctx, `SELECT `+attestationColumns+` FROM attestation a WHERE a.target = $1 AND a.state = 0 AND a.height <= $2 ORDER BY a.height, a.size`, target, deep)
	if err != nil {
		return nil, err
	}
	var counted []logtree.Attestation
	for _, a := range ready {
		err := t.row(ctx, `UPDATE attestation SET changed = $2,
				state = CASE WHEN EXISTS (SELECT 1 FROM attestation b WHERE b.target = attestation.target AND b.purpose = attestation.purpose
					AND b.epoch = attestation.epoch AND b.state = 1 AND b.size > attestation.size) THEN 2 ELSE 1 END
			WHERE id = $1 RETURNING state`, a.ID, micros(now)).Scan(&a.State)
		if err != nil {
			return nil, err
		}
		if a.State != logtree.Counted {
			continue
		}
		if _, err := t.exec(ctx, `UPDATE attestation SET first_counted = $2 WHERE id = $1 AND first_counted = 0`, a.ID, micros(now)); err != nil {
			return nil, err
		}
		a.Changed = now
		counted = append(counted, a)
	}
	return counted, nil
}

// kill marks the live attempts that can never be mined any more: something else spends one of their
// coins in a block up to the given height, or the transaction that makes one of their coins is dead.
// CROSS JOIN has SQLite begin with the few coins of the attempt.
func (t tx) kill(ctx context.Context, now time.Time, target string, deep int64) error {
	if _, err := t.exec(ctx, `UPDATE attempt SET state = 3, changed = $3, height =
			(SELECT MIN(c.spent_height) FROM attempt_use u CROSS JOIN coin c
				WHERE u.attempt = attempt.id AND c.target = $1 AND c.outpoint = u.name AND c.spent_height BETWEEN 1 AND $2 AND c.spent_by <> attempt.ref)
		WHERE target = $1 AND state = 0 AND EXISTS
			(SELECT 1 FROM attempt_use u CROSS JOIN coin c
				WHERE u.attempt = attempt.id AND c.target = $1 AND c.outpoint = u.name AND c.spent_height BETWEEN 1 AND $2 AND c.spent_by <> attempt.ref)`,
		target, deep, micros(now)); err != nil {
		return err
	}
	for {
		r, err := t.exec(ctx, `UPDATE attempt SET state = 3, changed = $2, height =
				(SELECT MIN(p.height) FROM attempt_use u CROSS JOIN attempt p WHERE u.attempt = attempt.id AND p.target = $1 AND p.ref = SUBSTR(u.name, 1, 64) AND p.state = 3)
			WHERE target = $1 AND state = 0 AND EXISTS
				(SELECT 1 FROM attempt_use u CROSS JOIN attempt p WHERE u.attempt = attempt.id AND p.target = $1 AND p.ref = SUBSTR(u.name, 1, 64) AND p.state = 3)`,
			target, micros(now))
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n == 0 {
			return err
		}
	}
}

// withdraw takes back the attestations in the block of this height: those that once counted become
// withdrawn, the others are forgotten. One that was superseded counts where no larger one is left.
func (t tx) withdraw(ctx context.Context, now time.Time, target string, height int64) ([]logtree.Attestation, error) {
	withdrawn, err := t.attestations(ctx, `SELECT `+attestationColumns+` FROM attestation a WHERE a.target = $1 AND a.height = $2 AND a.state IN (0, 1, 2) AND a.first_counted > 0`, target, height)
	if err != nil {
		return nil, err
	}
	if _, err := t.exec(ctx, `DELETE FROM attestation WHERE target = $1 AND height = $2 AND first_counted = 0`, target, height); err != nil {
		return nil, err
	}
	if _, err := t.exec(ctx, `UPDATE attestation SET state = 3, changed = $3 WHERE target = $1 AND height = $2 AND state IN (0, 1, 2)`, target, height, micros(now)); err != nil {
		return nil, err
	}
	_, err = t.exec(ctx, `UPDATE attestation SET state = 1, changed = $2, first_counted = CASE WHEN first_counted = 0 THEN $2 ELSE first_counted END
		WHERE target = $1 AND state = 2 AND NOT EXISTS (SELECT 1 FROM attestation b WHERE b.target = attestation.target
			AND b.purpose = attestation.purpose AND b.epoch = attestation.epoch AND b.state = 1 AND b.size > attestation.size)`, target, micros(now))
	return withdrawn, err
}

func (t tx) attestations(ctx context.Context, text string, args ...any) ([]logtree.Attestation, error) {
	rows, err := t.rows(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []logtree.Attestation
	for rows.Next() {
		a, err := scanAttestation(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	return all, rows.Err()
}
