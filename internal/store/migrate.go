package store

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"
)

//go:embed schema/*.sql
var schemas embed.FS

// ErrSchema says that the database is of another version than this program.
var ErrSchema = errors.New("database schema")

// sqliteTypes are the words that differ between the databases, as they are in SQLite.
var sqliteTypes = strings.NewReplacer(
	"{{key}}", "INTEGER PRIMARY KEY",
	"{{serial}}", "INTEGER PRIMARY KEY AUTOINCREMENT",
	"{{bytes}}", "BLOB",
)

type migration struct {
	version int
	name    string
	text    string
}

// migrations are the embedded files NNNN_name.sql in order, from 1 without a gap.
func migrations() ([]migration, error) {
	names, err := fs.Glob(schemas, "schema/*.sql")
	if err != nil {
		return nil, err
	}
	var all []migration
	for i, name := range names {
		base := strings.TrimPrefix(name, "schema/")
		number, _, _ := strings.Cut(base, "_")
		version, err := strconv.Atoi(number)
		if err != nil || version != i+1 {
			return nil, fmt.Errorf("migration %s: want number %d", base, i+1)
		}
		text, err := schemas.ReadFile(name)
		if err != nil {
			return nil, err
		}
		all = append(all, migration{version, base, sqliteTypes.Replace(string(text))})
	}
	return all, nil
}

// migrate brings the schema up to date, all in one transaction: forward only.
func (db *DB) migrate(ctx context.Context) error {
	all, err := migrations()
	if err != nil {
		return err
	}
	return db.update(ctx, func(tx tx) error {
		if _, err := tx.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS migration (version BIGINT PRIMARY KEY, name TEXT NOT NULL, at BIGINT NOT NULL)`); err != nil {
			return fmt.Errorf("migrating: %w", err)
		}
		var have int
		if err := tx.QueryRowContext(ctx, `SELECT COALESCE(MAX(version), 0) FROM migration`).Scan(&have); err != nil {
			return fmt.Errorf("migrating: %w", err)
		}
		if have > len(all) {
			return newerSchema(have, len(all))
		}
		for _, m := range all[have:] {
			if _, err := tx.ExecContext(ctx, m.text); err != nil {
				return fmt.Errorf("migrating to %s: %w", m.name, err)
			}
			if _, err := tx.ExecContext(ctx, `INSERT INTO migration (version, name, at) VALUES ($1, $2, $3)`, m.version, m.name, time.Now().UnixMicro()); err != nil {
				return fmt.Errorf("migrating to %s: %w", m.name, err)
			}
		}
		if have == 0 {
			if _, err := tx.ExecContext(ctx, `INSERT INTO head (id, epoch, size, edge) VALUES (1, 0, 0, $1)`, []byte{}); err != nil {
				return fmt.Errorf("migrating: %w", err)
			}
		}
		return nil
	})
}

// checkSchema refuses a database that this program cannot read.
func (db *DB) checkSchema(ctx context.Context) error {
	all, err := migrations()
	if err != nil {
		return err
	}
	var have int
	if err := db.read.QueryRowContext(ctx, `SELECT COALESCE(MAX(version), 0) FROM migration`).Scan(&have); err != nil {
		return fmt.Errorf("%w: this is not a Datestone database: %w", ErrSchema, err)
	}
	switch {
	case have > len(all):
		return newerSchema(have, len(all))
	case have < len(all):
		return fmt.Errorf("%w has version %d and this program needs %d: start datestoned serve once to bring it up to date", ErrSchema, have, len(all))
	}
	return nil
}

func newerSchema(have, known int) error {
	return fmt.Errorf("%w has version %d and this program knows versions up to %d: use the newer datestoned that made it", ErrSchema, have, known)
}
