package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

const (
	// DefaultConnections is how many connections a node has to PostgreSQL.
	DefaultConnections = 16

	postgresConnect = 5 * time.Second
	// postgresSession bounds what one session can make others wait for: a node that stops in the middle of a
	// transaction loses it, with the lock of the head, within seconds.
	//
	// A statement_timeout would also end the wait for a synchronous standby, after which the server reports
	// success: the time is bounded on our side.
	//
	// What the planner thinks of tables that are new to it makes it compile statements (jit) that run for a millisecond,
	// for most of a second each time.
	postgresSession = `SET lock_timeout = '5s'; SET statement_timeout = 0; SET idle_in_transaction_session_timeout = '5s';
		SET default_transaction_isolation = 'read committed'; SET client_min_messages = 'warning'; SET jit = off`
)

// IsPostgres says whether a database is an address of PostgreSQL and not a file.
func IsPostgres(where string) bool {
	return strings.HasPrefix(where, "postgres://") || strings.HasPrefix(where, "postgresql://")
}

// openPostgres makes the pools and checks that the server can keep a log.
func (db *DB) openPostgres(ctx context.Context, where string, o Options) error {
	config, err := pgx.ParseConfig(where)
	if err != nil {
		return fmt.Errorf("database: %w", err) // the driver leaves the password out
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = postgresConnect
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "datestone"
	}
	if config.ValidateConnect == nil && !o.ReadOnly {
		config.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		if n.SeverityUnlocalized == "WARNING" {
			db.warnings.Add(1)
		}
	}
	n := o.Connections
	if n == 0 {
		n = DefaultConnections
	}
	pool := func(size int) *sql.DB {
		p := stdlib.OpenDB(*config, stdlib.OptionAfterConnect(db.greet))
		p.SetMaxOpenConns(size)
		p.SetMaxIdleConns(size)
		p.SetConnMaxIdleTime(5 * time.Minute)
		return p
	}
	writers := max(2, n/4)
	readers := max(2, n-writers)
	db.asked.limit = int64(readers + 32*readers)
	db.read = pool(readers)
	if err := db.read.PingContext(ctx); err != nil {
		return explainPostgres(err)
	}
	if o.ReadOnly {
		return nil
	}
	db.write = pool(writers)
	if err := db.checkSessions(ctx); err != nil {
		return explainPostgres(err)
	}
	if o.Accounts {
		return nil
	}
	return explainPostgres(db.prepareSchema(ctx, o.Migrate))
}

// greet prepares a new connection. A connection may lead to another server than the one before, so what
// the log has acknowledged is looked for again.
func (db *DB) greet(ctx context.Context, c *pgx.Conn) error {
	if _, err := c.Exec(ctx, postgresSession); err != nil {
		return err
	}
	var durable string
	if err := c.QueryRow(ctx, `SHOW synchronous_commit`, pgx.QueryExecModeSimpleProtocol).Scan(&durable); err != nil {
		return err
	}
	if durable == "off" {
		if _, err := c.Exec(ctx, `SET synchronous_commit = on`); err != nil {
			return err
		}
	}
	db.connections.Add(1)
	return nil
}

var errTransactionPooler = errors.New("there is a pooler in front of PostgreSQL that gives every transaction another session: set its pool_mode to session, or connect to PostgreSQL itself")

// checkSessions refuses a pooler that gives each transaction a session of its choice: what was set for a
// session, its time-outs and its durability, would be another one's.
func (db *DB) checkSessions(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*postgresConnect)
	defer cancel()
	ours, err := db.write.Conn(ctx)
	if err != nil {
		return err
	}
	defer ours.Close()
	other, err := db.write.Conn(ctx)
	if err != nil {
		return err
	}
	defer other.Close()
	const simple = pgx.QueryExecModeSimpleProtocol
	for i := range 3 {
		probe := fmt.Sprintf("%d-%d", time.Now().UnixNano(), i)
		if _, err := ours.ExecContext(ctx, `SELECT set_config('datestone.probe', $1, false)`, simple, probe); err != nil {
			return err
		}
		if _, err := other.ExecContext(ctx, `BEGIN`); err != nil {
			return err
		}
		var found sql.NullString
		err := ours.QueryRowContext(ctx, `SELECT current_setting('datestone.probe', true)`, simple).Scan(&found)
		if _, rollback := other.ExecContext(ctx, `ROLLBACK`); err == nil {
			err = rollback
		}
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		if found.String != probe {
			return errTransactionPooler
		}
	}
	return nil
}

// pipelined is how many statements are on their way before an answer is read.
const pipelined = 500

// eachPipelined sends many statements at once.
func eachPipelined(ctx context.Context, t tx, text string, n int, args func(int) []any, scan func(row) error) (changed []int64, err error) {
	var failed error // of the statements, which are not the driver's to judge
	err = t.conn.Raw(func(c any) error {
		conn := c.(*stdlib.Conn).Conn()
		for first := 0; first < n && failed == nil; first += pipelined {
			var b pgx.Batch
			for i := first; i < min(first+pipelined, n); i++ {
				b.Queue(text, args(i)...)
			}
			var some []int64
			some, failed = readBatch(conn.SendBatch(ctx, &b), b.Len(), scan)
			changed = append(changed, some...)
		}
		return nil
	})
	return changed, errors.Join(failed, err)
}

func readBatch(results pgx.BatchResults, n int, scan func(row) error) (changed []int64, err error) {
	defer results.Close()
	for range n {
		if scan == nil {
			tag, err := results.Exec()
			if err != nil {
				return changed, err
			}
			changed = append(changed, tag.RowsAffected())
			continue
		}
		rows, err := results.Query()
		for err == nil && rows.Next() {
			err = scan(rows)
		}
		rows.Close()
		if err := errors.Join(err, rows.Err()); err != nil {
			return changed, err
		}
	}
	return changed, results.Close()
}

// rolledBackPostgres accepts the loser of a deadlock and what could not be serialized.
func rolledBackPostgres(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && (e.Code == "40001" || e.Code == "40P01")
}

func disconnectedPostgres(err error) bool {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return strings.HasPrefix(e.Code, "57P") || strings.HasPrefix(e.Code, "08")
	}
	return errors.Is(err, driver.ErrBadConn) || pgconn.SafeToRetry(err) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)
}

// unreachable makes an error of the way to the server an ErrUnreachable.
func unreachable(err error) error {
	if err != nil && (disconnectedPostgres(err) || errors.As(err, new(*pgconn.ConnectError)) || errors.As(err, new(*net.OpError))) {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return err
}

// explainPostgres says what to do about an error that ends start-up.
func explainPostgres(err error) error {
	if err == nil {
		return nil
	}
	hint := ""
	var e *pgconn.PgError
	var n net.Error
	switch {
	case errors.As(err, &e):
		switch e.Code {
		case "28P01", "28000":
			hint = "check the user and the password in database, and the server's pg_hba.conf"
		case "3D000":
			hint = "make the database first: createdb"
		case "53300":
			hint = "raise max_connections of the server, or lower database_connections"
		case "57P03":
			hint = "the server starts, stops or recovers: try again"
		case "42501":
			hint = "give the user the right to create tables, or run datestoned migrate up as a user who has it"
		case "25006":
			hint = readOnlyHint
		case "42P05", "26000": // prepared statements of another session
			return errTransactionPooler
		}
	case strings.Contains(err.Error(), "read only connection"):
		hint = readOnlyHint
	case errors.As(err, &n), errors.As(err, new(*net.OpError)), errors.Is(err, context.DeadlineExceeded):
		hint = "PostgreSQL is not reachable there: check the host and the port in database, and that the server runs"
	}
	if hint == "" {
		return err
	}
	return &explained{err, hint}
}

// explained is an error with what to do about it, in one line: the driver takes one for each way that it tried.
type explained struct {
	error
	hint string
}

func (e *explained) Error() string {
	return strings.Join(strings.Fields(e.error.Error()), " ") + ": " + e.hint
}

func (e *explained) Unwrap() error { return e.error }

const readOnlyHint = "this server is a read-only standby: name the primary in database, or all servers, separated by commas"

// lockTimedOut says that a row was locked by others for longer than a transaction waits.
func lockTimedOut(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && e.Code == "55P03"
}
