// Package store is the only place with SQL: verbs that each own their transaction, over SQLite and,
// with the same text, PostgreSQL. Time is an argument of every verb.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	_ "modernc.org/sqlite"
)

var (
	// ErrNotFound says that no row answers the question.
	ErrNotFound = errors.New("not found")
	// ErrConflict says that the row changed since the caller read it.
	ErrConflict = errors.New("the row changed meanwhile")
	// ErrReadOnly says that the database was opened for reading.
	ErrReadOnly = errors.New("the database is open for reading only")
	// ErrInUse says that another process has the database open for writing.
	ErrInUse = errors.New("the database is in use by another process")
)

// DB is an open database. All its methods may be called from any goroutine.
type DB struct {
	path  string
	write *sql.DB // one connection: SQLite has one writer at a time
	read  *sql.DB
	lock  *os.File

	statements sync.Map             // query text -> *sql.Stmt on read
	hot        map[string]*sql.Stmt // hotTexts on write
	tiles      tileCache
	version    atomic.Int64 // moves with every write but appends
	attested   attestedCache
	epochMax   int64
	mark       *Mark
	commit     func(*sql.Tx) error // tests put faults here
}

// Options are what Open needs to know beside the file.
type Options struct {
	// ReadOnly opens without the writer's lock and without migrating; verbs that write fail.
	ReadOnly bool
	// EpochEntries is the number of entries that an epoch holds; the zero value means 2^26.
	EpochEntries int64
	// Mark is the high-water mark to advance after each append; nil keeps none.
	Mark *Mark
}

// Open opens the SQLite database in the file at path, makes it if it is not there, and brings its
// schema up to date. It returns ErrInUse when another process writes to it.
func Open(ctx context.Context, path string, o Options) (*DB, error) {
	if o.EpochEntries == 0 {
		o.EpochEntries = defaultEpochEntries
	}
	db := &DB{path: path, epochMax: o.EpochEntries, mark: o.Mark, commit: (*sql.Tx).Commit}
	if o.ReadOnly {
		if _, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("opening database: %w", err)
		}
	} else {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return nil, fmt.Errorf("opening database: %w", err)
		}
		var err error
		if db.lock, err = lockFile(path + ".lock"); err != nil {
			return nil, fmt.Errorf("opening database %s: %w", path, err)
		}
	}
	if err := db.connect(ctx, o.ReadOnly); err != nil {
		db.Close()
		return nil, fmt.Errorf("opening database %s: %w", path, err)
	}
	return db, nil
}

func (db *DB) connect(ctx context.Context, readOnly bool) error {
	var err error
	if !readOnly {
		if db.write, err = sql.Open("sqlite", dsn(db.path, "_txlock=immediate")); err != nil {
			return err
		}
		db.write.SetMaxOpenConns(1)
		db.write.SetMaxIdleConns(1)
		if err := db.migrate(ctx); err != nil {
			return err
		}
		db.hot = make(map[string]*sql.Stmt, len(hotTexts))
		for _, text := range hotTexts {
			if db.hot[text], err = db.write.PrepareContext(ctx, text); err != nil {
				return err
			}
		}
	}
	if db.read, err = sql.Open("sqlite", dsn(db.path, "_pragma=query_only(1)")); err != nil {
		return err
	}
	db.read.SetMaxOpenConns(readConnections)
	db.read.SetMaxIdleConns(readConnections)
	if err := db.read.PingContext(ctx); err != nil {
		return err
	}
	if readOnly {
		return db.checkSchema(ctx)
	}
	return nil
}

const readConnections = 4

// dsn is the address of a SQLite file: WAL, and FULL so that a commit is on disk when it returns.
func dsn(path, more string) string {
	q := []string{
		"_pragma=busy_timeout(5000)", "_pragma=journal_mode(WAL)", "_pragma=synchronous(FULL)",
		"_pragma=wal_autocheckpoint(10000)", "_pragma=journal_size_limit(67108864)",
		"_pragma=cache_size(-8000)", "_pragma=foreign_keys(1)", more,
	}
	return (&url.URL{Scheme: "file", Opaque: url.PathEscape(path), RawQuery: strings.Join(q, "&")}).String()
}

// Close closes the database. Verbs that run meanwhile fail.
func (db *DB) Close() error {
	var errs []error
	if db.read != nil {
		errs = append(errs, db.read.Close())
	}
	if db.write != nil {
		errs = append(errs, db.write.Close())
	}
	if db.lock != nil {
		errs = append(errs, db.lock.Close())
	}
	return errors.Join(errs...)
}

// Ping says whether the database answers.
func (db *DB) Ping(ctx context.Context) error { return db.read.PingContext(ctx) }

func micros(t time.Time) int64 { return t.UnixMicro() }

func fromMicros(us int64) time.Time { return time.UnixMicro(us).UTC() }
