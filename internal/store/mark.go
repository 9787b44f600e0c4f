package store

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/datestone/datestone/internal/logtree"
)

// ErrBehind says that the database lacks entries that were acknowledged: it is an older copy, or
// another one.
var ErrBehind = errors.New("the database is behind what was acknowledged")

// Mark is the high-water mark: a small file outside the database that holds the newest head this
// node has acknowledged, so that an older copy of the database cannot pass for the current one.
// Advance writes in place, without waiting for the disk: it survives the death of the process, and
// after a power cut it is at most some seconds old, which is behind the database and so harmless.
type Mark struct {
	mu   sync.Mutex
	file *os.File
	head logtree.Head
}

// markFormat is one line of constant length, so that writing it never needs space on the disk.
const markFormat = "datestone high-water mark: epoch %05d size %015d root %64s\n"

// OpenMark opens the mark in the file at path, and makes an empty one if it is not there.
func OpenMark(path string) (*Mark, error) {
	head, err := ReadMark(path)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the high-water mark: %w", err)
	}
	m := &Mark{file: f, head: head}
	if err := errors.Join(m.write(head), f.Sync()); err != nil {
		f.Close()
		return nil, fmt.Errorf("writing the high-water mark: %w", err)
	}
	return m, nil
}

// ReadMark reads the mark in the file at path: the zero Head where there is none.
func ReadMark(path string) (logtree.Head, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return logtree.Head{}, nil
	} else if err != nil {
		return logtree.Head{}, fmt.Errorf("reading the high-water mark: %w", err)
	}
	defer f.Close()
	line := make([]byte, 256)
	n, err := f.ReadAt(line, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return logtree.Head{}, fmt.Errorf("reading the high-water mark: %w", err)
	}
	if n == 0 { // it was being made when the process ended
		return logtree.Head{}, nil
	}
	var h logtree.Head
	var root string
	_, err = fmt.Sscanf(string(line[:n]), strings.TrimSuffix(markFormat, "\n"), &h.Epoch, &h.Size, &root)
	b, hexErr := hex.DecodeString(root)
	if err != nil || hexErr != nil || len(b) != 32 {
		return logtree.Head{}, fmt.Errorf("the high-water mark %s is damaged: if its database is known to be the newest, delete the file", path)
	}
	h.Root = [32]byte(b)
	return h, nil
}

// Head is the newest head that was acknowledged.
func (m *Mark) Head() logtree.Head {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.head
}

// Advance moves the mark to h unless it is there or further already.
func (m *Mark) Advance(h logtree.Head) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.head.Before(h) {
		return nil
	}
	if err := m.write(h); err != nil {
		return fmt.Errorf("advancing the high-water mark: %w", err)
	}
	m.head = h
	return nil
}

func (m *Mark) write(h logtree.Head) error {
	_, err := m.file.WriteAt(fmt.Appendf(nil, markFormat, h.Epoch, h.Size, hex.EncodeToString(h.Root[:])), 0)
	return err
}

// Sync waits until the mark is on disk.
func (m *Mark) Sync() error { return m.file.Sync() }

// Close syncs and closes the file.
func (m *Mark) Close() error { return errors.Join(m.file.Sync(), m.file.Close()) }

// CheckMark returns ErrBehind when the log lacks the head that was acknowledged, unless the operator has begun
// a new epoch since: its positions were never given out.
func (db *DB) CheckMark(ctx context.Context, acknowledged logtree.Head) error {
	return db.view(ctx, func(tx tx) error {
		h, _, err := tx.head(ctx, selectHead)
		if err != nil {
			return err
		}
		return tx.contains(ctx, h, acknowledged)
	})
}

// Observe advances the mark to the newest head, which another node may have written.
func (db *DB) Observe(ctx context.Context) error {
	if db.mark == nil {
		return nil
	}
	acknowledged := db.mark.Head() // before the log is read: it may move meanwhile
	var head logtree.Head
	err := db.view(ctx, func(tx tx) error {
		h, edge, err := tx.head(ctx, selectHead)
		if err != nil {
			return err
		}
		if h.Root, err = edge.Root(h.Size); err != nil {
			return err
		}
		head = h
		return tx.contains(ctx, h, acknowledged)
	})
	if err != nil {
		return fmt.Errorf("observing the log: %w", err)
	}
	return db.advance(head)
}

// checkMark refuses to append to a database that is behind the mark. Which entries there are is read only when
// a connection was made since the last time, for only then can it be another database.
func (t tx) checkMark(ctx context.Context, h logtree.Head) error {
	if t.db.mark == nil {
		return nil
	}
	connections, acknowledged := t.db.connections.Load(), t.db.mark.Head()
	if connections == t.db.checked.Load() && !h.Before(acknowledged) {
		return nil
	}
	if err := t.contains(ctx, h, acknowledged); err != nil {
		return err
	}
	t.db.checked.Store(connections)
	return nil
}

// contains returns ErrBehind when the log whose head is h lacks what was acknowledged.
func (t tx) contains(ctx context.Context, h, acknowledged logtree.Head) error {
	if acknowledged.Size == 0 {
		return nil
	}
	if h.Epoch > acknowledged.Epoch {
		var declared int
		if err := t.row(ctx, `SELECT COUNT(*) FROM epoch WHERE epoch >= $1 AND reason <> $2`, acknowledged.Epoch, epochFull).Scan(&declared); err != nil {
			return err
		}
		if declared > 0 {
			return nil
		}
	}
	if h.Before(acknowledged) {
		return fmt.Errorf("%w: the log is at epoch %d size %d, and epoch %d size %d was acknowledged", ErrBehind, h.Epoch, h.Size, acknowledged.Epoch, acknowledged.Size)
	}
	root, err := t.nodes(ctx, acknowledged.Epoch).Root(acknowledged.Size)
	if err != nil && !errors.Is(err, logtree.ErrInconsistent) {
		return err
	}
	if err != nil || root != acknowledged.Root {
		return fmt.Errorf("%w: the first %d entries of epoch %d are not those that were acknowledged", ErrBehind, acknowledged.Size, acknowledged.Epoch)
	}
	return nil
}

// nodes reads nodes of an epoch's tree as they are stored, one by one.
func (t tx) nodes(ctx context.Context, epoch int) logtree.Reader {
	return func(nodes []logtree.Node) ([][32]byte, error) {
		hashes := make([][32]byte, len(nodes))
		for i, n := range nodes {
			p, err := logtree.At(epoch, n.Index())
			if err != nil {
				return nil, err
			}
			var tip, stored []byte
			err = t.row(ctx, `SELECT tip, nodes FROM entry WHERE position = $1`, int64(p)).Scan(&tip, &stored)
			if errors.Is(err, sql.ErrNoRows) {
				return nil, fmt.Errorf("entry %v is missing: %w", p, logtree.ErrInconsistent)
			} else if err != nil {
				return nil, err
			}
			if hashes[i], err = nodeHash(p, tip, stored, n.Level); err != nil {
				return nil, err
			}
		}
		return hashes, nil
	}
}
