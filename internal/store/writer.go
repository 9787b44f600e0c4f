package store

import (
	"context"
	"database/sql"
	"errors"
)

// hotTexts are the statements of appends to a SQLite file, and those that are run for each notice. They are prepared
// once, on the writer's one connection.
var hotTexts = []string{
	selectHead, insertEntry, selectTips, insertTile, updateHead,
	selectOwner, selectUsed, reserveKey, selectWanted(sqlite), selectByDigest, sumStamps, insertStamp, insertKept, updateOwner, upsertUsed,
	insertNotice, insertDelivery, wakeEndpoint, updateDelivery, endpointTook, insertSigned,
	selectAsked(sqlite), selectSubmitted, insertSubmitted, newestSeed,
}

// writer is the connection that writes to a SQLite file, which has one writer at a time. Its transactions begin and end with
// prepared statements: those of database/sql would cost a fifth of an append.
type writer struct {
	conn                    *sql.Conn
	begin, commit, rollback *sql.Stmt
	hot                     map[string]*sql.Stmt
	turn                    chan struct{} // holds one for whoever writes
}

func newWriter(ctx context.Context, pool *sql.DB) (*writer, error) {
	w := &writer{turn: make(chan struct{}, 1), hot: make(map[string]*sql.Stmt)}
	var err error
	if w.conn, err = pool.Conn(ctx); err != nil {
		return nil, err
	}
	for text, s := range map[string]**sql.Stmt{`BEGIN IMMEDIATE`: &w.begin, `COMMIT`: &w.commit, `ROLLBACK`: &w.rollback} {
		if *s, err = w.conn.PrepareContext(ctx, text); err != nil {
			return nil, errors.Join(err, w.conn.Close())
		}
	}
	return w, nil
}

// prepare prepares the hot statements, once there is a schema.
func (w *writer) prepare(ctx context.Context) (err error) {
	for _, text := range hotTexts {
		if w.hot[text], err = w.conn.PrepareContext(ctx, text); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) close() error {
	var errs []error
	for _, s := range w.hot {
		errs = append(errs, s.Close())
	}
	for _, s := range []*sql.Stmt{w.begin, w.commit, w.rollback} {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, w.conn.Close())...)
}

// run runs f in one transaction, in its turn.
func (w *writer) run(ctx context.Context, db *DB, commit func(transaction) error, f func(tx) error) error {
	select {
	case w.turn <- struct{}{}:
		defer func() { <-w.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if _, err := w.begin.ExecContext(context.WithoutCancel(ctx)); err != nil {
		// Whatever a fault left open ends here, so that the next transaction can begin.
		w.rollback.ExecContext(context.WithoutCancel(ctx))
		return err
	}
	t := &written{Conn: w.conn, ctx: ctx, writer: w}
	defer t.Rollback()
	if err := f(tx{t, w.conn, db, w.hot}); err != nil {
		return err
	}
	return commit(t)
}

// written is a transaction of the writer.
type written struct {
	*sql.Conn
	ctx    context.Context
	writer *writer
	ended  bool
}

// Commit returns when the transaction is on disk. After an error it is rolled back, or was committed.
func (t *written) Commit() error {
	if err := t.ctx.Err(); err != nil {
		return errors.Join(err, t.Rollback())
	}
	_, err := t.writer.commit.ExecContext(context.WithoutCancel(t.ctx))
	if err != nil {
		t.Rollback() // which fails where the database has done so by itself
	}
	t.ended = true
	return err
}

func (t *written) Rollback() error {
	if t.ended {
		return nil
	}
	t.ended = true
	_, err := t.writer.rollback.ExecContext(context.WithoutCancel(t.ctx))
	return err
}
