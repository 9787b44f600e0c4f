package store

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// tx is one transaction.
type tx struct {
	*sql.Tx
	conn *sql.Conn // that the transaction runs on
	db   *DB
	hot  map[string]*sql.Stmt // by text; nil outside SQLite's writer
}

// hotTexts are the statements of appends to a SQLite file, and those that are run for each notice. They are prepared
// once, on the writer's one connection.
var hotTexts = []string{
	selectHead, insertEntry, selectTips, insertTile, updateHead,
	selectOwner, selectUsed, reserveKey, selectWanted(sqlite), selectByDigest, sumStamps, insertStamp, insertKept, updateOwner, upsertUsed,
	insertNotice, insertDelivery, wakeEndpoint, updateDelivery, endpointTook, insertSigned,
	selectSubmitted, insertSubmitted, newestSeed,
}

// update runs f in one writing transaction and commits it. When it returns nil the transaction is on
// disk. When it returns an error the transaction may still have happened: callers read again. f runs again
// when the database asks for it.
func (db *DB) update(ctx context.Context, f func(tx) error) error {
	return db.fenced(ctx, db.append, f)
}

// updateAccounts is update for what changes accounts alone, which may be done beside a server. Beside a server that
// writes without a pause it has to ask often: a SQLite file has one writer at a time, and no queue.
func (db *DB) updateAccounts(ctx context.Context, f func(tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, updateWithin)
	defer cancel()
	for {
		err := db.fenced(ctx, db.transact, f)
		if !db.accountsOnly || !db.engine.locked(err) {
			return err
		}
		select {
		case <-time.After(rand.N(maxAccountsPause)):
		case <-ctx.Done():
			return err
		}
	}
}

func (db *DB) fenced(ctx context.Context, transact func(context.Context, func(tx) error) error, f func(tx) error) error {
	// Both before and after: what is read meanwhile may be either state.
	db.version.Add(1)
	defer db.version.Add(1)
	return transact(ctx, func(tx tx) error {
		if db.lease != nil {
			if err := tx.fence(ctx, db.lease); err != nil {
				return err
			}
		}
		return f(tx)
	})
}

const (
	// updateWithin bounds a transaction that writes.
	updateWithin = 30 * time.Second

	maxAccountsPause = 4 * time.Millisecond

	maxTries   = 8
	firstPause = 2 * time.Millisecond
)

// append is update for what changes the log alone, which no lease guards.
func (db *DB) append(ctx context.Context, f func(tx) error) error {
	if db.accountsOnly {
		return ErrAccountsOnly
	}
	return db.transact(ctx, f)
}

func (db *DB) transact(ctx context.Context, f func(tx) error) error {
	if db.write == nil {
		return ErrReadOnly
	}
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, updateWithin)
		defer cancel()
	}
	return db.retry(ctx, func() (again bool, err error) {
		committing := false
		err = db.run(ctx, db.write, nil, func(t *sql.Tx) error { committing = true; return db.commit(t) }, db.hot, f)
		return db.engine.rolledBack(err) || !committing && db.engine.disconnected(err), err
	})
}

// retry runs f until it succeeds or says that it is of no use to run it again, for about a second at most.
func (db *DB) retry(ctx context.Context, f func() (again bool, err error)) error {
	for pause, try := firstPause, 1; ; pause, try = 2*pause, try+1 {
		again, err := f()
		if err == nil || !again || try == maxTries {
			return err
		}
		select {
		case <-time.After(rand.N(pause)):
		case <-ctx.Done():
			return err
		}
	}
}

// view runs f over one consistent state of the database.
func (db *DB) view(ctx context.Context, f func(tx) error) error {
	return db.run(ctx, db.read, &sql.TxOptions{Isolation: db.engine.snapshot, ReadOnly: true}, (*sql.Tx).Commit, nil, f)
}

func (db *DB) run(ctx context.Context, pool *sql.DB, o *sql.TxOptions, commit func(*sql.Tx) error, hot map[string]*sql.Stmt, f func(tx) error) error {
	c, err := pool.Conn(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	t, err := c.BeginTx(ctx, o)
	if err != nil {
		return err
	}
	defer t.Rollback()
	if err := f(tx{t, c, db, hot}); err != nil {
		return err
	}
	warnings := db.warnings.Load()
	if err := commit(t); err != nil {
		return err
	}
	// A server that is told to stop waiting for its standby says so in a warning, and that it has committed.
	if db.warnings.Load() != warnings {
		return ErrNotReplicated
	}
	return nil
}

func (t tx) exec(ctx context.Context, text string, args ...any) (sql.Result, error) {
	ctx = t.db.engine.bound(ctx)
	if s, ok := t.hot[text]; ok {
		return t.StmtContext(ctx, s).ExecContext(ctx, args...)
	}
	return t.ExecContext(ctx, text, args...)
}

func (t tx) row(ctx context.Context, text string, args ...any) *sql.Row {
	ctx = t.db.engine.bound(ctx)
	if s, ok := t.hot[text]; ok {
		return t.StmtContext(ctx, s).QueryRowContext(ctx, args...)
	}
	return t.QueryRowContext(ctx, text, args...)
}

func (t tx) rows(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	ctx = t.db.engine.bound(ctx)
	if s, ok := t.hot[text]; ok {
		return t.StmtContext(ctx, s).QueryContext(ctx, args...)
	}
	return t.QueryContext(ctx, text, args...)
}

// row is a row that was read.
type row interface{ Scan(dest ...any) error }

// queryEach runs one statement with n lists of arguments, in order, and gives every row that it returns to scan. Over
// a network it takes one round trip for hundreds of them.
func (t tx) queryEach(ctx context.Context, text string, n int, args func(int) []any, scan func(row) error) error {
	if n == 0 {
		return nil
	}
	_, err := t.db.engine.each(t.db.engine.bound(ctx), t, text, n, args, scan)
	return err
}

// execEach is queryEach for a statement that returns no rows. It returns how many rows each changed.
func (t tx) execEach(ctx context.Context, text string, n int, args func(int) []any) ([]int64, error) {
	if n == 0 {
		return nil, nil
	}
	return t.db.engine.each(t.db.engine.bound(ctx), t, text, n, args, nil)
}

// eachPrepared prepares the statement once.
func eachPrepared(ctx context.Context, t tx, text string, n int, args func(int) []any, scan func(row) error) (changed []int64, err error) {
	s, ok := t.hot[text]
	if ok {
		s = t.StmtContext(ctx, s)
	} else if s, err = t.PrepareContext(ctx, text); err != nil {
		return nil, err
	}
	defer s.Close()
	for i := range n {
		if scan == nil {
			r, err := s.ExecContext(ctx, args(i)...)
			if err != nil {
				return changed, err
			}
			n, err := r.RowsAffected()
			if err != nil {
				return changed, err
			}
			changed = append(changed, n)
			continue
		}
		rows, err := s.QueryContext(ctx, args(i)...)
		if err != nil {
			return changed, err
		}
		for err == nil && rows.Next() {
			err = scan(rows)
		}
		if err := errors.Join(err, rows.Err(), rows.Close()); err != nil {
			return changed, err
		}
	}
	return changed, nil
}

// query reads rows outside a transaction. Texts are constants of this package.
func (db *DB) query(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	if err := db.asked.enter(); err != nil {
		return nil, err
	}
	defer db.asked.leave()
	ctx = db.engine.bound(ctx)
	if db.engine != sqlite {
		var rows *sql.Rows
		err := db.retry(ctx, func() (again bool, err error) {
			rows, err = db.read.QueryContext(ctx, text, args...)
			return db.engine.disconnected(err), err
		})
		return rows, unreachable(err)
	}
	s, err := db.statement(ctx, text)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(ctx, args...)
}

// queryRow reads one row outside a transaction into dest. It returns sql.ErrNoRows as it is.
func (db *DB) queryRow(ctx context.Context, text string, args []any, dest ...any) error {
	if db.engine == sqlite {
		s, err := db.statement(ctx, text)
		if err != nil {
			return err
		}
		return s.QueryRowContext(db.engine.bound(ctx), args...).Scan(dest...)
	}
	if err := db.asked.enter(); err != nil {
		return err
	}
	defer db.asked.leave()
	return unreachable(db.retry(ctx, func() (again bool, err error) {
		err = db.read.QueryRowContext(ctx, text, args...).Scan(dest...)
		return db.engine.disconnected(err), err
	}))
}

// gate bounds how many wait for a connection: a slow database would otherwise collect requests without end.
type gate struct {
	limit   int64
	waiting atomic.Int64
}

func (g *gate) enter() error {
	if g.waiting.Add(1) > g.limit {
		g.waiting.Add(-1)
		return ErrBusy
	}
	return nil
}

func (g *gate) leave() { g.waiting.Add(-1) }

// statement is the reading statement of a text, prepared once. Texts are constants of this package.
func (db *DB) statement(ctx context.Context, text string) (*sql.Stmt, error) {
	if s, ok := db.statements.Load(text); ok {
		return s.(*sql.Stmt), nil
	}
	s, err := db.read.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	if other, loaded := db.statements.LoadOrStore(text, s); loaded {
		s.Close()
		return other.(*sql.Stmt), nil
	}
	return s, nil
}
