package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/datestone/datestone/internal/anchor"
)

// Targets are the targets as they last described themselves, by name.
func (db *DB) Targets(ctx context.Context) ([]anchor.Status, error) {
	rows, err := db.query(ctx, `SELECT name, status FROM target ORDER BY name`)
	if err != nil {
		return nil, fmt.Errorf("reading targets: %w", err)
	}
	defer rows.Close()
	var all []anchor.Status
	for rows.Next() {
		var name, text string
		if err := rows.Scan(&name, &text); err != nil {
			return nil, fmt.Errorf("reading targets: %w", err)
		}
		var s anchor.Status
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			return nil, fmt.Errorf("reading the status of target %s: %w", name, err)
		}
		s.Target = name
		all = append(all, s)
	}
	return all, rows.Err()
}

// PinTarget ties a target's name to the genesis hash of its chain, for good, and returns the one that
// it is tied to: another one if it was tied before.
func (db *DB) PinTarget(ctx context.Context, now time.Time, target, genesis string) (string, error) {
	have, err := db.Genesis(ctx, target)
	if err == nil || !errors.Is(err, ErrNotFound) {
		return have, err
	}
	err = db.update(ctx, func(tx tx) error {
		if err := tx.startCursors(ctx, target); err != nil {
			return err
		}
		if _, err := tx.exec(ctx, `INSERT INTO target (name, genesis, height, status, updated) VALUES ($1, $2, 0, '{}', $3)
			ON CONFLICT (name) DO UPDATE SET genesis = EXCLUDED.genesis WHERE target.genesis = ''`, target, genesis, micros(now)); err != nil {
			return err
		}
		return tx.row(ctx, `SELECT genesis FROM target WHERE name = $1`, target).Scan(&have)
	})
	if err != nil {
		return "", fmt.Errorf("pinning target %s: %w", target, err)
	}
	return have, nil
}

// Genesis is the hash of the first block of the chain that the target's name is tied to, or
// ErrNotFound.
func (db *DB) Genesis(ctx context.Context, target string) (string, error) {
	var genesis string
	err := db.queryRow(ctx, `SELECT genesis FROM target WHERE name = $1`, []any{target}, &genesis)
	if errors.Is(err, sql.ErrNoRows) || err == nil && genesis == "" {
		return "", ErrNotFound
	} else if err != nil {
		return "", fmt.Errorf("reading target %s: %w", target, err)
	}
	return genesis, nil
}

// SaveStatus keeps what a target says of itself, which need not be pinned yet: its node may be down.
func (db *DB) SaveStatus(ctx context.Context, now time.Time, s anchor.Status) error {
	text, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("saving the status of target %s: %w", s.Target, err)
	}
	err = db.update(ctx, func(tx tx) error {
		if err := tx.startCursors(ctx, s.Target); err != nil {
			return err
		}
		_, err := tx.exec(ctx, `INSERT INTO target (name, genesis, height, status, updated) VALUES ($1, '', 0, $2, $3)
			ON CONFLICT (name) DO UPDATE SET status = EXCLUDED.status, updated = EXCLUDED.updated`, s.Target, string(text), micros(now))
		return err
	})
	if err != nil {
		return fmt.Errorf("saving the status of target %s: %w", s.Target, err)
	}
	return nil
}
