package store

import (
	"context"
	"database/sql"
)

// tx is one transaction.
type tx struct {
	*sql.Tx
	hot map[string]*sql.Stmt // by text; nil outside the writer
}

// hotTexts are the statements of an append. They are prepared once, on the writer's one connection.
var hotTexts = []string{selectHead, insertEntry, selectTips, insertTile, updateHead}

// update runs f in one writing transaction and commits it. When it returns nil the transaction is on
// disk. When it returns an error the transaction may still have happened: callers read again.
func (db *DB) update(ctx context.Context, f func(tx) error) error {
	// Both before and after: what is read meanwhile may be either state.
	db.version.Add(1)
	defer db.version.Add(1)
	return db.append(ctx, f)
}

// append is update for what changes the log alone.
func (db *DB) append(ctx context.Context, f func(tx) error) error {
	if db.write == nil {
		return ErrReadOnly
	}
	return run(ctx, db.write, nil, db.commit, db.hot, f)
}

// view runs f over one consistent state of the database.
func (db *DB) view(ctx context.Context, f func(tx) error) error {
	return run(ctx, db.read, &sql.TxOptions{ReadOnly: true}, (*sql.Tx).Commit, nil, f)
}

func run(ctx context.Context, pool *sql.DB, o *sql.TxOptions, commit func(*sql.Tx) error, hot map[string]*sql.Stmt, f func(tx) error) error {
	t, err := pool.BeginTx(ctx, o)
	if err != nil {
		return err
	}
	defer t.Rollback()
	if err := f(tx{t, hot}); err != nil {
		return err
	}
	return commit(t)
}

func (t tx) exec(ctx context.Context, text string, args ...any) (sql.Result, error) {
	if s, ok := t.hot[text]; ok {
		return t.StmtContext(local(ctx), s).ExecContext(local(ctx), args...)
	}
	return t.ExecContext(local(ctx), text, args...)
}

func (t tx) row(ctx context.Context, text string, args ...any) *sql.Row {
	if s, ok := t.hot[text]; ok {
		return t.StmtContext(local(ctx), s).QueryRowContext(local(ctx), args...)
	}
	return t.QueryRowContext(local(ctx), text, args...)
}

func (t tx) rows(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	if s, ok := t.hot[text]; ok {
		return t.StmtContext(local(ctx), s).QueryContext(local(ctx), args...)
	}
	return t.QueryContext(ctx, text, args...)
}

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

// queryRow reads one row outside a transaction into dest. It returns sql.ErrNoRows as it is.
func (db *DB) queryRow(ctx context.Context, text string, args []any, dest ...any) error {
	s, err := db.statement(ctx, text)
	if err != nil {
		return err
	}
	return s.QueryRowContext(local(ctx), args...).Scan(dest...)
}

// query reads rows outside a transaction.
func (db *DB) query(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	s, err := db.statement(ctx, text)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(local(ctx), args...)
}

// local is the context for statements that touch a few rows of a local file. The driver starts a goroutine for
// every statement that could be cancelled, which costs more than these take; and none can be cancelled while
// the disk hangs.
func local(ctx context.Context) context.Context { return context.WithoutCancel(ctx) }
