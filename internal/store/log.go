package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/datestone/datestone/internal/logtree"
)

const (
	defaultEpochEntries = logtree.MaxEpochEntries
	// epochFull is why an epoch ended by itself; any other reason is an operator's.
	epochFull = "full"
)

// Append adds an entry for each tip to the log, in order, and returns them. It returns nil only after
// all are on disk. After an error none is acknowledged: they may be in the log, are then nobody's, and
// harmless. A full epoch is ended, and the next begun, in the same transaction.
func (db *DB) Append(ctx context.Context, now time.Time, tips [][32]byte) ([]logtree.Entry, error) {
	entries := make([]logtree.Entry, 0, len(tips))
	var head logtree.Head
	err := db.append(ctx, func(tx tx) error {
		entries = entries[:0]
		h, edge, err := tx.lockHead(ctx)
		if err != nil {
			return err
		}
		if err := tx.checkMark(ctx, h); err != nil {
			return err
		}
		for _, tip := range tips {
			if h.Size >= db.epochMax {
				if h, edge, err = tx.beginEpoch(ctx, now, h, edge, h.Epoch+1, epochFull); err != nil {
					return err
				}
			}
			var entry logtree.Entry
			if entry, edge, err = tx.add(ctx, now, h, edge, tip); err != nil {
				return err
			}
			entries = append(entries, entry)
			h.Size++
		}
		head = h
		return tx.setHead(ctx, &head, edge)
	})
	if err != nil {
		return nil, fmt.Errorf("appending to the log: %w", err)
	}
	return entries, db.advance(head)
}

// BeginEpoch ends the current epoch with its last known head and begins the given one, which must be
// later. The first entry of the new epoch has that head's root as its tip.
func (db *DB) BeginEpoch(ctx context.Context, now time.Time, epoch int, reason string) (logtree.Head, error) {
	if reason == epochFull || reason == "" {
		return logtree.Head{}, errors.New("beginning an epoch: say why")
	}
	var head logtree.Head
	err := db.update(ctx, func(tx tx) error {
		h, edge, err := tx.lockHead(ctx)
		if err != nil {
			return err
		}
		if epoch <= h.Epoch {
			return fmt.Errorf("epoch %d is not after the current epoch %d", epoch, h.Epoch)
		}
		if head, edge, err = tx.beginEpoch(ctx, now, h, edge, epoch, reason); err != nil {
			return err
		}
		return tx.setHead(ctx, &head, edge)
	})
	if err != nil {
		return logtree.Head{}, fmt.Errorf("beginning an epoch: %w", err)
	}
	return head, db.advance(head)
}

// advance moves the high-water mark to a head that is on disk.
func (db *DB) advance(h logtree.Head) error {
	if db.mark == nil {
		return nil
	}
	return db.mark.Advance(h)
}

// lockHead reads the head row and keeps every other append out until the transaction ends.
func (t tx) lockHead(ctx context.Context) (logtree.Head, logtree.Edge, error) {
	return t.head(ctx, selectHead+t.db.engine.forUpdate)
}

func (t tx) head(ctx context.Context, text string) (logtree.Head, logtree.Edge, error) {
	var r headRow
	err := t.row(ctx, text).Scan(r.dest()...)
	if errors.Is(err, sql.ErrNoRows) {
		return logtree.Head{}, nil, ErrUnfinished
	} else if err != nil {
		return logtree.Head{}, nil, err
	}
	return r.parse()
}

// setHead stores the head and fills in its root.
func (t tx) setHead(ctx context.Context, h *logtree.Head, edge logtree.Edge) (err error) {
	if h.Root, err = edge.Root(h.Size); err != nil {
		return err
	}
	_, err = t.exec(ctx, updateHead, h.Epoch, h.Size, edge.Bytes())
	return err
}

const (
	insertEntry = `INSERT INTO entry (position, tip, nodes, at) VALUES ($1, $2, $3, $4)`
	insertTile  = `INSERT INTO tile (position, leaves) VALUES ($1, $2)`
	selectTips  = `SELECT position, tip FROM entry WHERE position >= $1 AND position <= $2 ORDER BY position`
	updateHead  = `UPDATE head SET epoch = $1, size = $2, edge = $3 WHERE id = 1`
)

// add inserts the entry that comes after head.
func (t tx) add(ctx context.Context, now time.Time, h logtree.Head, edge logtree.Edge, tip [32]byte) (logtree.Entry, logtree.Edge, error) {
	p, err := logtree.At(h.Epoch, h.Size)
	if err != nil {
		return logtree.Entry{}, nil, err
	}
	entry := logtree.NewEntry(p, tip)
	edge, nodes, err := edge.Append(h.Size, entry.Leaf())
	if err != nil {
		return logtree.Entry{}, nil, err
	}
	if _, err := t.exec(ctx, insertEntry, int64(p), tip[:], logtree.Edge(nodes).Bytes(), micros(now)); err != nil {
		return logtree.Entry{}, nil, err
	}
	if p.Index()%tileWidth == tileWidth-1 {
		if err := t.addTile(ctx, p-tileWidth+1); err != nil {
			return logtree.Entry{}, nil, err
		}
	}
	return entry, edge, nil
}

// addTile keeps the leaves of the whole run of entries from first on.
func (t tx) addTile(ctx context.Context, first logtree.Position) error {
	rows, err := t.rows(ctx, selectTips, int64(first), int64(first)+tileWidth-1)
	if err != nil {
		return err
	}
	defer rows.Close()
	leaves := make([]byte, 0, 32*tileWidth)
	for rows.Next() {
		var p int64
		var tip []byte
		if err := rows.Scan(&p, &tip); err != nil {
			return err
		}
		h, err := nodeHash(logtree.Position(p), tip, nil, 0)
		if err != nil {
			return err
		}
		leaves = append(leaves, h[:]...)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if len(leaves) != 32*tileWidth {
		return fmt.Errorf("the run from %v on has %d entries: %w", first, len(leaves)/32, logtree.ErrInconsistent)
	}
	_, err = t.exec(ctx, insertTile, int64(first), leaves)
	return err
}

// beginEpoch records the end of the epoch of h and returns the new epoch's head after its first
// entry. The head row is left to the caller.
func (t tx) beginEpoch(ctx context.Context, now time.Time, h logtree.Head, edge logtree.Edge, epoch int, reason string) (logtree.Head, logtree.Edge, error) {
	root, err := edge.Root(h.Size)
	if err != nil {
		return h, nil, err
	}
	if _, err := t.exec(ctx, `INSERT INTO epoch (epoch, size, root, ended, reason) VALUES ($1, $2, $3, $4, $5)`, h.Epoch, h.Size, root[:], micros(now), reason); err != nil {
		return h, nil, err
	}
	next := logtree.Head{Epoch: epoch}
	if _, edge, err = t.add(ctx, now, next, nil, root); err != nil {
		return h, nil, err
	}
	next.Size = 1
	return next, edge, nil
}

// Head is the newest head of the log.
func (db *DB) Head(ctx context.Context) (logtree.Head, error) {
	var r headRow
	err := db.queryRow(ctx, selectHead, nil, r.dest()...)
	if errors.Is(err, sql.ErrNoRows) {
		return logtree.Head{}, ErrUnfinished
	} else if err != nil {
		return logtree.Head{}, fmt.Errorf("reading the head: %w", err)
	}
	h, edge, err := r.parse()
	if err != nil {
		return h, fmt.Errorf("reading the head: %w", err)
	}
	h.Root, err = edge.Root(h.Size)
	return h, err
}

// EndedEpochs are the last heads of the epochs before the current one, oldest first.
func (db *DB) EndedEpochs(ctx context.Context) ([]logtree.Head, error) {
	rows, err := db.query(ctx, selectEpochs)
	if err != nil {
		return nil, fmt.Errorf("reading epochs: %w", err)
	}
	heads, err := scanEpochs(rows)
	if err != nil {
		return nil, fmt.Errorf("reading epochs: %w", err)
	}
	return heads, nil
}

const selectEpochs = `SELECT epoch, size, root FROM epoch ORDER BY epoch`

func scanEpochs(rows *sql.Rows) ([]logtree.Head, error) {
	defer rows.Close()
	var heads []logtree.Head
	for rows.Next() {
		var h logtree.Head
		var root []byte
		if err := rows.Scan(&h.Epoch, &h.Size, &root); err != nil {
			return nil, err
		}
		var err error
		if h.Root, err = hash32(root); err != nil {
			return nil, err
		}
		heads = append(heads, h)
	}
	return heads, rows.Err()
}

// Leaves reads the leaf hashes that are kept for the run of 64 entries from first on: none where the run is
// not whole.
func (db *DB) Leaves(ctx context.Context, first logtree.Position) ([][32]byte, error) {
	var b []byte
	err := db.queryRow(ctx, selectLeaves, []any{int64(first)}, &b)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("reading the leaves from %v on: %w", first, err)
	}
	if len(b) != 32*tileWidth {
		return nil, fmt.Errorf("the leaves from %v on have %d bytes: %w", first, len(b), logtree.ErrInconsistent)
	}
	leaves := make([][32]byte, tileWidth)
	for i := range leaves {
		leaves[i] = [32]byte(b[32*i:])
	}
	return leaves, nil
}

const selectLeaves = `SELECT leaves FROM tile WHERE position = $1`

// TileEntries is the number of entries whose leaves are kept together.
const TileEntries = tileWidth

// Epochs reads the stored state of the log at one moment, for those who check it: the heads of ended
// epochs, and the current epoch with its right edge. The current head's root is left to the edge.
func (db *DB) Epochs(ctx context.Context) (ended []logtree.Head, current logtree.Head, edge logtree.Edge, err error) {
	err = db.view(ctx, func(tx tx) error {
		if current, edge, err = tx.head(ctx, selectHead); err != nil {
			return err
		}
		rows, err := tx.rows(ctx, selectEpochs)
		if err != nil {
			return err
		}
		ended, err = scanEpochs(rows)
		return err
	})
	if err != nil {
		err = fmt.Errorf("reading the log's state: %w", err)
	}
	return ended, current, edge, err
}

// Entry reads the entry at a position. It returns ErrNotFound where there is none.
func (db *DB) Entry(ctx context.Context, p logtree.Position) (logtree.Entry, error) {
	var tip []byte
	err := db.queryRow(ctx, `SELECT tip FROM entry WHERE position = $1`, []any{int64(p)}, &tip)
	if errors.Is(err, sql.ErrNoRows) {
		return logtree.Entry{}, ErrNotFound
	} else if err != nil {
		return logtree.Entry{}, fmt.Errorf("reading entry %v: %w", p, err)
	}
	t, err := hash32(tip)
	if err != nil {
		return logtree.Entry{}, fmt.Errorf("reading entry %v: %w", p, err)
	}
	return logtree.NewEntry(p, t), nil
}

// Row is one entry as it is stored, for those who check the whole log.
type Row struct {
	Entry logtree.Entry
	Nodes [][32]byte
	At    time.Time
}

// Entries reads up to limit rows from a position on, in order.
func (db *DB) Entries(ctx context.Context, from logtree.Position, limit int) ([]Row, error) {
	rows, err := db.query(ctx, `SELECT position, tip, nodes, at FROM entry WHERE position >= $1 ORDER BY position LIMIT $2`, int64(from), limit)
	if err != nil {
		return nil, fmt.Errorf("reading entries from %v: %w", from, err)
	}
	defer rows.Close()
	var out []Row
	for rows.Next() {
		var p, at int64
		var tip, nodes []byte
		if err := rows.Scan(&p, &tip, &nodes, &at); err != nil {
			return nil, fmt.Errorf("reading entries from %v: %w", from, err)
		}
		t, err := hash32(tip)
		if err != nil || len(nodes)%32 != 0 {
			return nil, fmt.Errorf("entry %v is damaged: tip of %d bytes, nodes of %d bytes", logtree.Position(p), len(tip), len(nodes))
		}
		row := Row{Entry: logtree.NewEntry(logtree.Position(p), t), At: fromMicros(at)}
		for ; len(nodes) > 0; nodes = nodes[32:] {
			row.Nodes = append(row.Nodes, [32]byte(nodes))
		}
		out = append(out, row)
	}
	return out, rows.Err()
}

const selectHead = `SELECT epoch, size, edge FROM head WHERE id = 1`

// headRow is the head row as it is read.
type headRow struct {
	epoch int
	size  int64
	edge  []byte
}

func (r *headRow) dest() []any { return []any{&r.epoch, &r.size, &r.edge} }

func (r *headRow) parse() (logtree.Head, logtree.Edge, error) {
	edge, err := logtree.ParseEdge(r.edge, r.size)
	return logtree.Head{Epoch: r.epoch, Size: r.size}, edge, err
}

func hash32(b []byte) ([32]byte, error) {
	if len(b) != 32 {
		return [32]byte{}, fmt.Errorf("a hash of %d bytes: %w", len(b), logtree.ErrInconsistent)
	}
	return [32]byte(b), nil
}
