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

	driver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

var (
	// ErrNotFound says that no row answers the question.
	ErrNotFound = errors.New("not found")
	// ErrConflict says that the row changed since the caller read it.
	ErrConflict = errors.New("the row changed meanwhile")
	// ErrReadOnly says that the database was opened for reading.
	ErrReadOnly = errors.New("the database is open for reading only")
	// ErrAccountsOnly says that the database was opened for changing accounts.
	ErrAccountsOnly = errors.New("the database is open for changing accounts only")
	// ErrInUse says that another process has the database open for writing.
	ErrInUse = errors.New("the database is in use by another process")
	// ErrNotReplicated says that the server stopped waiting for its synchronous standby.
	ErrNotReplicated = errors.New("the transaction may not be on the standby")
	// ErrBusy says that too many questions wait for a connection already.
	ErrBusy = errors.New("the database has too much to do")
	// ErrUnreachable says that no server of the database answers.
	ErrUnreachable = errors.New("the database does not answer")
)

// DB is an open database. All its methods may be called from any goroutine.
type DB struct {
	*database
	lease *Lease // what every writing transaction is fenced with, or nil
}

// database is what all handles of an open database share.
type database struct {
	engine *engine
	write  *sql.DB
	read   *sql.DB
	writer *writer  // SQLite: where all that is written goes, over the one connection that it has of write
	lock   *os.File // SQLite: of the writing process

	accountsOnly bool

	statements sync.Map // query text -> *sql.Stmt on read; SQLite only, the other driver does it by itself
	asked      gate
	tiles      tileCache
	version    atomic.Int64 // SQLite: moves with every write but appends
	attested   attestedCache
	epochMax   int64
	mark       *Mark
	commit     func(transaction) error // tests put faults here
	draw       func(length int) string // an id of a certificate; tests draw the same one twice

	connections atomic.Int64 // PostgreSQL: how many were ever made
	warnings    atomic.Int64 // PostgreSQL: how many the server sent
	checked     atomic.Int64 // connections when the log was last found to have the mark
}

// Options are what Open needs to know beside the place.
type Options struct {
	// ReadOnly opens without migrating and, for SQLite, without the writer's lock; verbs that write fail.
	ReadOnly bool
	// Accounts opens for the verbs that change accounts and for reading, without migrating and, for SQLite,
	// without the writer's lock: beside a server, which remembers nothing of accounts. Other verbs that
	// write return ErrAccountsOnly.
	Accounts bool
	// EpochEntries is the number of entries that an epoch holds; the zero value means 2^26.
	EpochEntries int64
	// Mark is the high-water mark to advance after each append; nil keeps none.
	Mark *Mark
	// Connections is how many connections to PostgreSQL there may be. Default DefaultConnections.
	Connections int
	// Migrate is what happens to a schema that is older than the program's.
	Migrate Migrate

	anySchema bool // reads a schema of any version
}

// Open opens a database: PostgreSQL at a postgres:// address, which several processes may have open, or else
// the SQLite file at a path. It makes what is not there and brings the schema up to date. It returns
// ErrInUse when another process writes to the file.
func Open(ctx context.Context, where string, o Options) (*DB, error) {
	if o.EpochEntries == 0 {
		o.EpochEntries = defaultEpochEntries
	}
	db := &DB{database: &database{epochMax: o.EpochEntries, mark: o.Mark, commit: transaction.Commit, draw: certificate, accountsOnly: o.Accounts}}
	open, what := db.openSQLite, "database "+where
	if db.engine = sqlite; IsPostgres(where) {
		db.engine, open, what = postgres, db.openPostgres, "the PostgreSQL database"
	}
	err := open(ctx, where, o)
	if err == nil && (o.ReadOnly || o.Accounts) && !o.anySchema {
		err = db.checkSchema(ctx)
	}
	if err != nil {
		db.Close()
		return nil, fmt.Errorf("opening %s: %w", what, err)
	}
	return db, nil
}

// Shared says that other processes may write to the database: loops that must run once need a lease.
func (db *DB) Shared() bool { return db.engine == postgres }

func (db *DB) openSQLite(ctx context.Context, path string, o Options) error {
	db.asked.limit = 1 << 20 // a local file answers or the whole machine hangs
	switch {
	case o.ReadOnly || o.Accounts:
		if _, err := os.Stat(path); err != nil {
			return err
		}
		if o.Accounts {
			if err := db.openWriter(ctx, path, "_pragma=busy_timeout(1)"); err != nil {
				return err
			}
		}
	default:
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		var err error
		if db.lock, err = lockFile(path + ".lock"); err != nil {
			return err
		}
		if err := db.openWriter(ctx, path, "_pragma=busy_timeout(5000)"); err != nil {
			return err
		}
		if err := db.prepareSchema(ctx, o.Migrate); err != nil {
			return err
		}
		if err := db.writer.prepare(ctx); err != nil {
			return err
		}
	}
	var err error
	if db.read, err = sql.Open("sqlite", dsn(path, "_pragma=query_only(1)", "_pragma=busy_timeout(5000)")); err != nil {
		return err
	}
	db.read.SetMaxOpenConns(readConnections)
	db.read.SetMaxIdleConns(readConnections)
	if err := db.read.PingContext(ctx); err != nil {
		return err
	}
	return nil
}

// lockedSQLite says that the file's other writer did not end in time.
func lockedSQLite(err error) bool {
	var e *driver.Error
	return errors.As(err, &e) && e.Code()&0xff == sqlite3.SQLITE_BUSY
}

func (db *DB) openWriter(ctx context.Context, path, waits string) (err error) {
	if db.write, err = sql.Open("sqlite", dsn(path, "_txlock=immediate", waits)); err != nil {
		return err
	}
	db.write.SetMaxIdleConns(0)
	db.writer, err = newWriter(ctx, db.write)
	return err
}

const readConnections = 4

// dsn is the address of a SQLite file: WAL, and FULL so that a commit is on disk when it returns.
func dsn(path string, more ...string) string {
	q := append(more,
		"_pragma=journal_mode(WAL)", "_pragma=synchronous(FULL)",
		"_pragma=wal_autocheckpoint(10000)", "_pragma=journal_size_limit(67108864)",
		"_pragma=cache_size(-8000)", "_pragma=foreign_keys(1)",
	)
	return (&url.URL{Scheme: "file", Opaque: url.PathEscape(path), RawQuery: strings.Join(q, "&")}).String()
}

// Close closes the database. Verbs that run meanwhile fail.
func (db *DB) Close() error {
	var errs []error
	if db.read != nil {
		errs = append(errs, db.read.Close())
	}
	if db.writer != nil {
		errs = append(errs, db.writer.close())
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
