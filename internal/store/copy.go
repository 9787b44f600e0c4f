package store

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/datestone/datestone/internal/logtree"
)

// ErrUnfinished says that a copy into this database has begun and did not end.
var ErrUnfinished = errors.New("a copy into this database was not finished: run datestoned store copy again")

// table is a table that Copy copies, with all its columns. The numbers of a serial one go on after its
// largest id.
type table struct {
	name    string
	columns string
	serial  bool
	batch   int // rows of one transaction, where that is less than usual
}

// key is the name of the first column.
func (t table) key() string { return t.columns[:strings.IndexByte(t.columns, ',')] }

// logTables only grow. They are copied in the order of their key, the first column, batch by batch.
var logTables = []table{
	{name: "entry", columns: "position, tip, nodes, at"},
	{name: "tile", columns: "position, leaves"},
	{name: "kept", columns: "position, leaves"},
	{name: "submitted", columns: "number, hash, account, stamp, created, comment, nonce, leaf, position"},
	{name: "seed_tile", columns: "tile, smallest, node, leaves", batch: 40}, // of 32 KB each
}

// stateTables fit the head, and are copied with it in one transaction. It comes last: a database without a
// head is not a store.
var stateTables = []table{
	{name: "epoch", columns: "epoch, size, root, ended, reason"},
	{name: "target", columns: "name, genesis, height, status, updated"},
	{name: "attestation", columns: "id, target, purpose, epoch, size, root, proof, height, block, block_time, ref, state, changed, first_counted, kind", serial: true},
	{name: "attempt", columns: "id, target, purpose, epoch, size, root, conflict, raw, ref, fee, vsize, created, sent, state, height, changed", serial: true},
	{name: "attempt_use", columns: "attempt, name"},
	{name: "chain", columns: "target, base, most_work"},
	{name: "block", columns: "target, height, hash, work"},
	{name: "coin", columns: "target, outpoint, value, script, branch, coinbase, height, lost, spent_by, spent_height"},
	{name: "submission", columns: "id, target, epoch, size, root, calendar, uri, path, commitment, proof, height, ref, state, created, changed, next, tries", serial: true},
	{name: "account", columns: "id, email, plan, suspended, created, branding, key_hash, key_hint, key_created, stamps, last_stamp", serial: true},
	{name: "quota_use", columns: "account, month, used"},
	{name: "stamp", columns: "account, number, id, certificate, digest, name, size, type, created, branding, thumbnail, public, nonce, leaf, position"},
	{name: "signer", columns: "id, account, point, compressed, version, callback, created, removed, endpoint", serial: true},
	signedTable,
	{name: "idempotency", columns: "account, name, payload, existing, expires"},
	{name: "endpoint", columns: "id, uid, account, channel, address, kinds, stamp, position, secret, old_secret, old_until, state, created, slow, next, failures, failing, gather", serial: true},
	{name: "notice_cursor", columns: "target, kind, epoch, size, upto, account, position, created"},
	{name: "notice", columns: "id, uid, account, stamp, target, kind, ref, position, message, stands, created", serial: true},
	{name: "delivery", columns: "id, endpoint, notice, state, due, tries, tried, status, error", serial: true},
	{name: "trouble", columns: "target, told, seen, since"},
	{name: "publication", columns: "id, uid, target, paper, purpose, period, name, day, epoch, size, root, title, service, explains, language, text, created", serial: true},
	{name: "publication_period", columns: "target, period"},
	{name: "publication_delivery", columns: "publication, channel, state, due, tries, tried, code, error"},
	{name: "publication_place", columns: "id, publication, issue, page, url, confirmer, confirmed, withdrawer, withdrawn", serial: true},
	{name: "preprint", columns: "uid, account, number"},
	{name: "seed", columns: "number, uid, target, opened, closes, first, before, root, made, final", serial: true},
	{name: "seed_await", columns: "target, number, endpoint"},
	{name: "secret_key", columns: "id, check_value"},
	{name: "head", columns: "id, epoch, size, edge"},
}

// keptTables are not copied: leases are taken anew, and each database has its own migrations.
var keptTables = []string{"lease", "migration"}

// Copied is what Copy found to be the same in both databases.
type Copied struct {
	Head logtree.Head
	Rows map[string]int64 // by table
	// Already says that everything was there before.
	Already bool
}

// Copy makes the database at one place hold what the one at another holds, and compares all of it. The
// source is only read, and nothing may be using it. The target must be empty, or left over from a copy of
// the same source that was interrupted: Copy then goes on where that one ended. progress, when it is not
// nil, is called now and then with the number of entries that are copied, and then compared.
func Copy(ctx context.Context, from, to string, progress func(done, all int64)) (Copied, error) {
	source, err := openSource(ctx, from)
	if err != nil {
		return Copied{}, fmt.Errorf("the source: %w", err)
	}
	defer source.Close()
	if sameFile(from, to) {
		return Copied{}, errSamePlace
	}
	target, err := Open(ctx, to, Options{Migrate: MigrateEmpty})
	if err != nil {
		return Copied{}, fmt.Errorf("the target: %w", err)
	}
	defer target.Close()
	c := copier{source: source, target: target, progress: progress, batch: copyBatch}
	copied, err := c.run(ctx)
	if err != nil && ctx.Err() != nil {
		return copied, fmt.Errorf("the copy was interrupted, run it again and it goes on: %w", err)
	}
	return copied, err
}

// openSource opens a database for reading that nobody else writes to.
func openSource(ctx context.Context, where string) (*DB, error) {
	db, err := Open(ctx, where, Options{ReadOnly: true})
	if err == nil && db.engine == sqlite {
		if db.lock, err = lockFile(where + ".lock"); err != nil {
			err = errors.Join(fmt.Errorf("database %s: %w: stop datestoned first", where, err), db.Close())
		}
	}
	return db, err
}

var errSamePlace = errors.New("the source and the target are the same database")

func sameFile(a, b string) bool {
	one, err := os.Stat(a)
	if err != nil {
		return false
	}
	other, err := os.Stat(b)
	return err == nil && os.SameFile(one, other)
}

const (
	// copyBatch is how many rows of a table that only grows are copied in one transaction.
	copyBatch = 4000
	// insertValues bounds the values of one INSERT.
	insertValues = 100
	// finishWithin bounds the transaction that copies everything but the log.
	finishWithin = time.Hour
)

// copier carries the state of one copy.
type copier struct {
	source, target *DB
	progress       func(done, all int64)
	batch          int

	ended []logtree.Head // of the source
	head  logtree.Head   // of the source, when the copy began
	rows  map[string]int64
}

func (c *copier) run(ctx context.Context) (Copied, error) {
	if err := c.source.checkIdle(ctx); err != nil {
		return Copied{}, fmt.Errorf("the source: %w", err)
	}
	if err := c.target.checkIdle(ctx); err != nil {
		return Copied{}, fmt.Errorf("the target: %w", err)
	}
	if err := c.checkPlaces(ctx); err != nil {
		return Copied{}, err
	}
	var err error
	if c.head, err = c.source.Head(ctx); err != nil {
		return Copied{}, fmt.Errorf("the source: %w", err)
	}
	if c.ended, err = c.source.EndedEpochs(ctx); err != nil {
		return Copied{}, fmt.Errorf("the source: %w", err)
	}
	c.rows = make(map[string]int64)
	already, err := c.begin(ctx)
	if err != nil {
		return Copied{}, fmt.Errorf("the target: %w", err)
	}
	if !already {
		for _, t := range logTables {
			if err := c.grow(ctx, t); err != nil {
				return Copied{}, fmt.Errorf("copying table %s: %w", t.name, err)
			}
		}
	}
	err = c.compareLog(ctx)
	if err == nil {
		err = c.finish(ctx, already)
	}
	if already && errors.Is(err, errDiffers) {
		return Copied{}, fmt.Errorf("the target holds a store of its own, nothing was written: name an empty database (%w)", err)
	}
	return Copied{Head: c.head, Rows: c.rows, Already: already}, err
}

// checkIdle refuses a database while a node holds a lease in it. A file has its lock.
func (db *DB) checkIdle(ctx context.Context) error {
	if !db.Shared() {
		return nil
	}
	var name, holder string
	var left int64
	err := db.queryRow(ctx, `SELECT name, holder, expires - `+db.engine.now+` FROM lease WHERE expires > `+db.engine.now+` ORDER BY expires DESC LIMIT 1`,
		nil, &name, &holder, &left)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	} else if err != nil {
		return fmt.Errorf("reading the leases: %w", err)
	}
	return fmt.Errorf("%w: node %s holds the lease %s for another %d seconds: stop every node first", ErrInUse, holder, name, left/1e6+1)
}

// checkPlaces refuses two addresses of the same PostgreSQL database.
func (c *copier) checkPlaces(ctx context.Context) error {
	if !c.source.Shared() || !c.target.Shared() {
		return nil
	}
	var places [2]string
	for i, db := range []*DB{c.source, c.target} {
		if err := db.queryRow(ctx, `SELECT CONCAT_WS(' ', pg_postmaster_start_time(), current_database(), current_schema())`, nil, &places[i]); err != nil {
			return err
		}
	}
	if places[0] == places[1] {
		return errSamePlace
	}
	return nil
}

// lockCopy keeps other copies into the database out until the transaction ends: also one whose process was
// killed and whose last statement still runs.
func (t tx) lockCopy(ctx context.Context) error {
	var version int
	return t.row(ctx, `SELECT version FROM migration WHERE version = 1`+t.db.engine.forUpdate).Scan(&version)
}

// begin takes the head away from an empty target, so that nothing can be appended to it. It refuses the rest
// of a copy of another source, and says whether the target has a head to stay: it is a store.
func (c *copier) begin(ctx context.Context) (store bool, err error) {
	err = c.target.update(ctx, func(tx tx) error {
		if err := tx.lockCopy(ctx); err != nil {
			return err
		}
		head, _, err := tx.head(ctx, selectHead+tx.db.engine.forUpdate)
		if errors.Is(err, ErrUnfinished) {
			return c.checkRest(ctx, tx)
		} else if err != nil {
			return err
		}
		empty, err := tx.empty(ctx)
		if store = head.Epoch > 0 || head.Size > 0 || !empty; store || err != nil {
			return err
		}
		_, err = tx.exec(ctx, `DELETE FROM head`)
		return err
	})
	return store, err
}

// empty says whether all tables but head are empty.
func (t tx) empty(ctx context.Context) (bool, error) {
	for _, table := range slices.Concat(logTables, stateTables) {
		if table.name == "head" {
			continue
		}
		var some bool
		if err := t.row(ctx, `SELECT EXISTS (SELECT 1 FROM `+table.name+`)`).Scan(&some); err != nil || some {
			return false, err
		}
	}
	return true, nil
}

// checkRest refuses what is left of a copy unless it is of this source: its last rows are there.
func (c *copier) checkRest(ctx context.Context, tx tx) error {
	for _, t := range logTables {
		last, err := lastKey(ctx, tx, t)
		if err != nil {
			return err
		}
		have, err := t.readAfter(ctx, tx.rows, last-1, 1)
		if err != nil {
			return err
		}
		want, err := t.readAfter(ctx, c.source.query, last-1, 1)
		if err != nil {
			return err
		}
		if len(have) > 0 && !sameRows(have, want) {
			return errors.New("it holds what is left of an interrupted copy of another source: go on with that one, or name an empty database")
		}
	}
	return nil
}

// lastKey is the largest key of a table that only grows; -1 when it is empty.
func lastKey(ctx context.Context, tx tx, t table) (key int64, err error) {
	err = tx.row(ctx, `SELECT COALESCE(MAX(`+t.key()+`), -1) FROM `+t.name).Scan(&key)
	return key, err
}

// grow copies what the target lacks of a table that only grows.
func (c *copier) grow(ctx context.Context, t table) error {
	for {
		var rows [][]any
		err := c.target.update(ctx, func(tx tx) error {
			if err := tx.lockCopy(ctx); err != nil {
				return err
			}
			last, err := lastKey(ctx, tx, t)
			if err != nil {
				return err
			}
			if rows, err = t.readAfter(ctx, c.source.query, last, c.batch); err != nil {
				return err
			}
			return t.insert(ctx, tx, rows)
		})
		if err != nil || len(rows) == 0 {
			return err
		}
		c.report(t, rows)
	}
}

// report shows how far the entries are copied or compared. The other tables take no time beside them.
func (c *copier) report(t table, rows [][]any) {
	if c.progress == nil || t.name != "entry" {
		return
	}
	p := logtree.Position(rows[len(rows)-1][0].(int64))
	done, all := p.Index()+1, c.head.Size
	for _, h := range c.ended {
		all += h.Size
		if h.Epoch < p.Epoch() {
			done += h.Size
		}
	}
	c.progress(done, all)
}

var errDiffers = errors.New("the source and the target differ")

// compareLog compares the tables that only grow, row by row.
func (c *copier) compareLog(ctx context.Context) error {
	for _, t := range logTables {
		c.rows[t.name] = 0
		for last := int64(-1); ; {
			want, err := t.readAfter(ctx, c.source.query, last, c.batch)
			if err != nil {
				return fmt.Errorf("comparing: %w", err)
			}
			have, err := t.readAfter(ctx, c.target.query, last, c.batch)
			if err != nil {
				return fmt.Errorf("comparing: %w", err)
			}
			if !sameRows(have, want) {
				return c.differs(ctx, t)
			}
			if len(want) == 0 {
				break
			}
			c.rows[t.name] += int64(len(want))
			c.report(t, want)
			last = want[len(want)-1][0].(int64)
		}
	}
	return nil
}

// differs says that a table is not the same in both, unless a node is still writing to the source.
func (c *copier) differs(ctx context.Context, t table) error {
	if err := c.checkUnmoved(ctx); err != nil {
		return err
	}
	return fmt.Errorf("%w in table %s", errDiffers, t.name)
}

// checkUnmoved fails when somebody uses the source.
func (c *copier) checkUnmoved(ctx context.Context) error {
	if err := c.source.checkIdle(ctx); err != nil {
		return fmt.Errorf("the source: %w", err)
	}
	now, err := c.source.Head(ctx)
	if err != nil {
		return fmt.Errorf("the source: %w", err)
	}
	if now != c.head {
		return errors.New("the source has grown while it was copied: stop every node that uses it, then run datestoned store copy again")
	}
	return nil
}

// finish copies the state, the head last, or compares it with that of a target which has one already.
func (c *copier) finish(ctx context.Context, already bool) error {
	ctx, cancel := context.WithTimeout(ctx, finishWithin)
	defer cancel()
	state := make(map[string][][]any)
	err := c.source.view(ctx, func(tx tx) (err error) {
		for _, t := range stateTables {
			if state[t.name], err = t.readAll(ctx, tx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("the source: %w", err)
	}
	if already {
		return c.target.view(ctx, func(tx tx) error { return c.compareState(ctx, tx, state) })
	}
	err = c.target.update(ctx, func(tx tx) error {
		if err := tx.lockCopy(ctx); err != nil {
			return err
		}
		// Another copy of the same source may have ended meanwhile.
		if _, _, err := tx.head(ctx, selectHead); errors.Is(err, ErrUnfinished) {
			for _, t := range stateTables {
				if err := t.insert(ctx, tx, state[t.name]); err != nil {
					return fmt.Errorf("copying table %s: %w", t.name, err)
				}
			}
		} else if err != nil {
			return err
		}
		if err := c.compareState(ctx, tx, state); err != nil {
			return err
		}
		return c.checkUnmoved(ctx)
	})
	return err
}

// compareState compares all tables but those of the log with what was read of the source.
func (c *copier) compareState(ctx context.Context, tx tx, state map[string][][]any) error {
	for _, t := range stateTables {
		have, err := t.readAll(ctx, tx)
		if err != nil {
			return err
		}
		if !sameRows(have, state[t.name]) {
			return c.differs(ctx, t)
		}
		c.rows[t.name] = int64(len(have))
	}
	return nil
}

// width is the number of columns.
func (t table) width() int { return strings.Count(t.columns, ",") + 1 }

// insert adds rows, many at a time.
func (t table) insert(ctx context.Context, tx tx, rows [][]any) error {
	var statement *sql.Stmt // for n rows; it ends with the transaction
	n := 0
	for part := range slices.Chunk(rows, insertValues/t.width()) {
		if len(part) != n {
			var err error
			if statement, err = tx.PrepareContext(ctx, t.insertText(len(part))); err != nil {
				return err
			}
			n = len(part)
		}
		if _, err := statement.ExecContext(tx.db.engine.bound(ctx), slices.Concat(part...)...); err != nil {
			return err
		}
	}
	if t.serial && tx.db.engine.follows != "" {
		_, err := tx.exec(ctx, fmt.Sprintf(tx.db.engine.follows, t.name, t.key()))
		return err
	}
	return nil
}

// insertText is the INSERT for n rows.
func (t table) insertText(n int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "INSERT INTO %s (%s) VALUES ", t.name, t.columns)
	for i := range n * t.width() {
		switch {
		case i == 0:
			b.WriteString("(")
		case i%t.width() == 0:
			b.WriteString("), (")
		default:
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "$%d", i+1)
	}
	b.WriteString(")")
	return b.String()
}

// asker is a DB's query or a transaction's rows.
type asker func(ctx context.Context, text string, args ...any) (*sql.Rows, error)

// atOnce is how many rows are read and written together.
func (t table) atOnce(limit int) int {
	if t.batch > 0 {
		return min(t.batch, limit)
	}
	return limit
}

// readAfter reads rows of a table that only grows, in the order of their keys.
func (t table) readAfter(ctx context.Context, ask asker, key int64, limit int) ([][]any, error) {
	return t.read(ctx, ask, ` WHERE `+t.key()+` > $1 ORDER BY `+t.key()+` LIMIT $2`, key, t.atOnce(limit))
}

// readAll reads a table in an order that is the same in every database.
func (t table) readAll(ctx context.Context, tx tx) ([][]any, error) {
	rows, err := t.read(ctx, tx.rows, "")
	slices.SortFunc(rows, compareRows)
	return rows, err
}

func (t table) read(ctx context.Context, ask asker, which string, args ...any) ([][]any, error) {
	rows, err := ask(ctx, `SELECT `+t.columns+` FROM `+t.name+which, args...)
	if err != nil {
		return nil, fmt.Errorf("reading table %s: %w", t.name, err)
	}
	defer rows.Close()
	var all [][]any
	for rows.Next() {
		row := make([]any, t.width())
		dest := make([]any, len(row))
		for i := range row {
			dest[i] = &row[i]
		}
		if err := rows.Scan(dest...); err != nil {
			return nil, fmt.Errorf("reading table %s: %w", t.name, err)
		}
		for i, value := range row {
			switch v := value.(type) {
			case nil, int64, string:
			case []byte:
				if v == nil { // an empty one, as SQLite's driver has it
					row[i] = []byte{}
				}
			default:
				return nil, fmt.Errorf("reading table %s: a value of type %T", t.name, value)
			}
		}
		all = append(all, row)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading table %s: %w", t.name, err)
	}
	return all, nil
}

func sameRows(a, b [][]any) bool {
	return slices.EqualFunc(a, b, func(a, b []any) bool { return compareRows(a, b) == 0 })
}

func compareRows(a, b []any) int { return slices.CompareFunc(a, b, compareValues) }

// compareValues orders whole numbers, texts, bytes and nil, and each before or after the others.
func compareValues(a, b any) int {
	switch a := a.(type) {
	case int64:
		if b, ok := b.(int64); ok {
			return cmp.Compare(a, b)
		}
	case string:
		if b, ok := b.(string); ok {
			return cmp.Compare(a, b)
		}
	case []byte:
		if b, ok := b.([]byte); ok {
			return bytes.Compare(a, b)
		}
	}
	return cmp.Compare(fmt.Sprintf("%T", a), fmt.Sprintf("%T", b))
}
