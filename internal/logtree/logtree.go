// Package logtree holds the values of the log: positions, entries, heads and the
// attestations that targets give to heads, with the tree arithmetic between them. It does no I/O.
//
// The log is a sequence of epochs. Each epoch is an RFC 6962 Merkle tree of entries:
//
//	position = epoch (16 bits, big-endian) || index in the epoch (48 bits, big-endian)
//	entry    = position || tip                     40 bytes; tip is a batch's 32-byte Merkle root
//	leaf     = sha256(0x00 || entry)
//	node     = sha256(0x01 || left || right)
//
// An entry is what the calendar protocol calls a commitment: pending attestations stand on it and
// GET /timestamp/<hex> asks for it. A [Head] (epoch, size, root) covers every entry of its epoch
// with an index below its size. The first entry of a later epoch has the root of the last known
// head of the epoch before it as its tip.
//
// Interior nodes are kept beside the entry whose arrival completed them, lowest level first: the
// stored-hash order of [golang.org/x/mod/sumdb/tlog], which does the arithmetic.
package logtree

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
)

const (
	// EntrySize is the length of an entry, which is a commitment, in bytes.
	EntrySize = 40
	// MaxEpoch is the highest epoch: positions must stay positive as signed 64-bit integers.
	MaxEpoch = 1<<15 - 1
	// MaxEpochEntries is the largest number of entries that an epoch may be configured to hold. With
	// 2^26 the operations from a digest to the root of a head are at most 107 (see MaxPathOps).
	MaxEpochEntries = 1 << 26

	indexBits = 48
)

var (
	// ErrPosition says that an epoch or an index cannot be a position.
	ErrPosition = errors.New("no such position in a log")
	// ErrUnknown says that a log does not have an entry.
	ErrUnknown = errors.New("the log has no such entry")
)

// Position is an entry's place: a 16-bit epoch and a 48-bit index in it.
type Position int64

// At is the position of the entry with this index in this epoch.
func At(epoch int, index int64) (Position, error) {
	if epoch < 0 || epoch > MaxEpoch || index < 0 || index >= 1<<indexBits {
		return 0, fmt.Errorf("epoch %d, index %d: %w", epoch, index, ErrPosition)
	}
	return Position(int64(epoch)<<indexBits | index), nil
}

// Epoch is the position's epoch.
func (p Position) Epoch() int { return int(p >> indexBits) }

// Index is the position's index in its epoch, from 0.
func (p Position) Index() int64 { return int64(p) & (1<<indexBits - 1) }

func (p Position) String() string { return fmt.Sprintf("%d/%d", p.Epoch(), p.Index()) }

// Entry is a log entry: 8 bytes of position, big-endian, and 32 bytes of tip.
type Entry [EntrySize]byte

// NewEntry is the entry with this tip at this position.
func NewEntry(p Position, tip [32]byte) Entry {
	var e Entry
	binary.BigEndian.PutUint64(e[:8], uint64(p))
	copy(e[8:], tip[:])
	return e
}

// Position is where the entry says that it stands. For bytes that came from outside it may be
// negative, which no entry of a log is.
func (e Entry) Position() Position { return Position(binary.BigEndian.Uint64(e[:8])) }

// Tip is the root of the batch that the entry stands for.
func (e Entry) Tip() [32]byte { return [32]byte(e[8:]) }

func (e Entry) String() string { return hex.EncodeToString(e[:]) }

// Head is the state of an epoch's tree after its first Size entries. The zero Head is an empty log.
type Head struct {
	Epoch int
	Size  int64
	Root  [32]byte // RFC 6962 tree hash; the message that is given to targets
}

// Covers says whether the entry at p is in the tree of h.
func (h Head) Covers(p Position) bool { return p.Epoch() == h.Epoch && p.Index() < h.Size }

// Before says whether h was passed by the log on its way to g.
func (h Head) Before(g Head) bool {
	return h.Epoch < g.Epoch || h.Epoch == g.Epoch && h.Size < g.Size
}

func (h Head) String() string { return fmt.Sprintf("%d/%d %x", h.Epoch, h.Size, h.Root) }
