package devchain

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// blockFile keeps the chain's history: records of a four-byte mark, a four-byte
// little-endian length and a body. A block's record has regtest's network magic
// and the serialized block, as in Core's blk*.dat files. Records are appended and
// never changed, in the order in which the chain took them.
type blockFile struct {
	f    *os.File // nil: in memory
	lock *os.File
	mem  []byte
	size int64 // up to where all records are whole
}

const (
	magicBlock      = 0xdab5bffa // fa bf b5 da
	magicInvalidate = 0x49565244 // "DRVI", then a block hash
	magicReconsider = 0x43455244 // "DREC", then a block hash

	recordHead   = 8
	maxBlockSize = 4_000_000
)

func openBlockFile(dir string) (*blockFile, error) {
	if dir == "" {
		return &blockFile{}, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lockFile(lock); err != nil {
		lock.Close()
		return nil, fmt.Errorf("another process has this chain open: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "blocks.dat"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		lock.Close()
		return nil, err
	}
	s := &blockFile{f: f, lock: lock}
	if err := syncDir(dir); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// syncDir makes the names in a folder durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func (s *blockFile) Close() error {
	if s.f == nil {
		return nil
	}
	return errors.Join(s.f.Close(), s.lock.Close())
}

// record is one decoded record: a block, or the hash that a mark names.
type record struct {
	magic uint32
	at    int64 // of the body
	block *wire.MsgBlock
	size  int
	hash  chainhash.Hash
}

func encodeRecord(magic uint32, body []byte) []byte {
	raw := binary.LittleEndian.AppendUint32(nil, magic)
	raw = binary.LittleEndian.AppendUint32(raw, uint32(len(body)))
	return append(raw, body...)
}

// decodeRecord reads the record at the start of raw and returns its length. A
// block counts only if its header has the work and commits to its transactions and
// their witnesses, which that of a half-written one does not.
func decodeRecord(raw []byte) (record, int, bool) {
	if len(raw) < recordHead {
		return record{}, 0, false
	}
	r := record{magic: binary.LittleEndian.Uint32(raw), at: recordHead}
	n := int(binary.LittleEndian.Uint32(raw[4:]))
	if n > maxBlockSize || len(raw) < recordHead+n {
		return record{}, 0, false
	}
	body := raw[recordHead : recordHead+n]
	switch r.magic {
	case magicBlock:
		r.block = new(wire.MsgBlock)
		in := bytes.NewReader(body)
		if err := r.block.Deserialize(in); err != nil || in.Len() != 0 {
			return record{}, 0, false
		}
		r.size, r.hash = n, r.block.BlockHash()
		m := r.block
		if !hasWork(&m.Header) || len(m.Transactions) == 0 || merkleRoot(txids(m)) != m.Header.MerkleRoot ||
			checkWitness(m, m.Transactions[0]) != nil {
			return record{}, 0, false
		}
	case magicInvalidate, magicReconsider:
		if n != chainhash.HashSize {
			return record{}, 0, false
		}
		r.hash = chainhash.Hash(body)
	default:
		return record{}, 0, false
	}
	return r, recordHead + n, true
}

var errDamaged = errors.New("blocks.dat is damaged before its end: move the folder away to begin a new chain")

// load calls add for each record. A last record that is not whole is cut off; one
// that is not whole although others follow is an error, because no crash does that.
func (s *blockFile) load(add func(record) error) error {
	if s.f == nil {
		return nil
	}
	raw, err := io.ReadAll(s.f)
	if err != nil {
		return err
	}
	for int(s.size) < len(raw) {
		r, n, ok := decodeRecord(raw[s.size:])
		if !ok {
			break
		}
		r.at += s.size
		if err := add(r); err != nil {
			return fmt.Errorf("block file at byte %d: %w", s.size, err)
		}
		s.size += int64(n)
	}
	if int(s.size) == len(raw) {
		return nil
	}
	for rest := raw[s.size+1:]; len(rest) >= recordHead; rest = rest[1:] {
		if _, _, ok := decodeRecord(rest); ok {
			return errDamaged
		}
	}
	if err := s.f.Truncate(s.size); err != nil {
		return err
	}
	return s.f.Sync()
}

// append writes records and returns once they are durable, with the place of the
// first body. When it fails, nothing was appended as far as a later load can see.
func (s *blockFile) append(raw []byte) (int64, error) {
	at := s.size + recordHead
	if s.f == nil {
		s.mem = append(s.mem, raw...)
		s.size += int64(len(raw))
		return at, nil
	}
	_, err := s.f.WriteAt(raw, s.size)
	if err == nil {
		err = s.f.Sync()
	}
	if err != nil {
		return 0, errors.Join(fmt.Errorf("writing the block file: %w", err), s.f.Truncate(s.size))
	}
	s.size += int64(len(raw))
	return at, nil
}

// read returns the serialized block that stands at a place.
func (s *blockFile) read(at int64, size int) ([]byte, error) {
	if s.f == nil {
		return s.mem[at : at+int64(size) : at+int64(size)], nil
	}
	raw := make([]byte, size)
	if _, err := s.f.ReadAt(raw, at); err != nil {
		return nil, fmt.Errorf("reading the block file: %w", err)
	}
	return raw, nil
}
