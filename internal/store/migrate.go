package store

import (
	"context"
	"database/sql"
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

// Migrate is what Open does with a schema that is older than the program's.
type Migrate int

const (
	// MigrateUp brings it up to date.
	MigrateUp Migrate = iota
	// MigrateNever refuses it, but for an empty database.
	MigrateNever
	// MigrateEmpty refuses it as well, and makes a schema only where there is no table at all.
	MigrateEmpty
)

type migration struct {
	version int
	name    string
	text    string
}

// migrations are the embedded files NNNN_name.sql in order, from 1 without a gap.
func (e *engine) migrations() ([]migration, error) {
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
		all = append(all, migration{version, base, e.words.Replace(string(text))})
	}
	return all, nil
}

// prepareSchema makes the schema, brings it up to date if it may, or refuses it.
func (db *DB) prepareSchema(ctx context.Context, m Migrate) error {
	have, known, err := db.schema(ctx, db.write)
	switch {
	case err != nil:
		return err
	case have == known:
		return nil
	case have > known:
		return newerSchema(have, known)
	case have > 0 && m != MigrateUp:
		return olderSchema(have, known)
	}
	if m == MigrateEmpty {
		if err := db.checkEmpty(ctx); err != nil {
			return err
		}
	}
	return db.migrate(ctx)
}

// checkEmpty refuses a database that has tables.
func (db *DB) checkEmpty(ctx context.Context) error {
	var tables int
	if err := db.write.QueryRowContext(ctx, db.engine.tables).Scan(&tables); err != nil {
		return fmt.Errorf("counting the tables: %w", err)
	}
	if tables > 0 {
		return fmt.Errorf("%w: it has %d tables that are not Datestone's: name an empty database", ErrSchema, tables)
	}
	return nil
}

// migrate brings the schema up to date, all in one transaction: forward only. Of several nodes that start at
// the same time one does it and the others wait.
func (db *DB) migrate(ctx context.Context) error {
	all, err := db.engine.migrations()
	if err != nil {
		return err
	}
	return db.update(ctx, func(tx tx) error {
		if db.engine.lockSchema != "" {
			if _, err := tx.ExecContext(ctx, db.engine.lockSchema); err != nil {
				return fmt.Errorf("migrating: %w", err)
			}
		}
		if _, err := tx.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS migration (version BIGINT PRIMARY KEY, name TEXT NOT NULL, at BIGINT NOT NULL)`); err != nil {
			return fmt.Errorf("migrating: %w", err)
		}
		var have int
		if err := tx.QueryRowContext(ctx, selectVersion).Scan(&have); err != nil {
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

const selectVersion = `SELECT COALESCE(MAX(version), 0) FROM migration`

// Schema is the version of the database's schema, 0 for an empty database, and the one that this program
// makes.
func (db *DB) Schema(ctx context.Context) (have, known int, err error) {
	return db.schema(ctx, db.read)
}

// SchemaAt is the version of the schema of the database at a place, as Open takes it, and the one that this
// program makes. It changes nothing, whatever the versions are.
func SchemaAt(ctx context.Context, where string) (have, known int, err error) {
	db, err := Open(ctx, where, Options{ReadOnly: true, anySchema: true})
	if err != nil {
		return 0, 0, err
	}
	defer db.Close()
	return db.Schema(ctx)
}

func (db *DB) schema(ctx context.Context, pool *sql.DB) (have, known int, err error) {
	all, err := db.engine.migrations()
	if err != nil {
		return 0, 0, err
	}
	var tables int
	if err := pool.QueryRowContext(ctx, db.engine.hasTable, "migration").Scan(&tables); err != nil {
		return 0, 0, fmt.Errorf("reading the schema's version: %w", err)
	}
	if tables == 0 {
		return 0, len(all), nil
	}
	if err := pool.QueryRowContext(ctx, selectVersion).Scan(&have); err != nil {
		return 0, 0, fmt.Errorf("reading the schema's version: %w", err)
	}
	return have, len(all), nil
}

// checkSchema refuses a database that this program cannot read.
func (db *DB) checkSchema(ctx context.Context) error {
	have, known, err := db.Schema(ctx)
	switch {
	case err != nil:
		return err
	case have == 0:
		return fmt.Errorf("%w: this is not a Datestone database", ErrSchema)
	case have > known:
		return newerSchema(have, known)
	case have < known:
		return olderSchema(have, known)
	}
	return nil
}

func olderSchema(have, needed int) error {
	return fmt.Errorf("%w has version %d and this program needs %d: bring it up to date with datestoned migrate up", ErrSchema, have, needed)
}

func newerSchema(have, known int) error {
	return fmt.Errorf("%w has version %d and this program knows versions up to %d: use the newer datestoned that made it", ErrSchema, have, known)
}
