package headers

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/datestone/datestone/ots"
)

const (
	headerLen   = 80
	maxLine     = 4096
	maxTextSize = 1 << 28
)

// File reads headers from a file of one of two forms:
//
//   - full: the 80-byte headers of blocks 0, 1, 2 and so on, one after the other, with
//     nothing between and around them (79 MB for mainnet in 2026);
//   - sparse: lines of text, each a height, space, and the 160 hexadecimal digits of
//     that block's header; empty lines and lines that begin with # are skipped.
//
// The form is told from the first byte. The file is read and checked as a whole at the
// first question, which takes about a second for mainnet, and must not change afterwards.
type File struct {
	net  *Network
	path string

	load   sync.Mutex // held while loading
	loaded bool
	full   bool
	raw    []byte // full: all headers
	sparse map[uint64]ots.Header
	tip    uint64
}

// NewFile makes a source of a headers file. It is not opened before the first question.
func NewFile(net *Network, path string) *File {
	return &File{net: net, path: path}
}

func (f *File) String() string { return "headers file " + filepath.Base(f.path) }

// Unchecked implements [Source].
func (f *File) Unchecked() []string {
	f.load.Lock()
	defer f.load.Unlock()
	if f.loaded && f.full {
		s := []string{"that no chain with more work exists than the one in the headers file"}
		if f.net == Signet {
			s = append(s, "whether signet's signers made the blocks: headers do not show it")
		}
		return s
	}
	return []string{"that the block is in the best chain: taken from the headers file, which does not hold the whole chain"}
}

// Header implements [Source].
func (f *File) Header(ctx context.Context, height uint64) (ots.Header, error) {
	if err := f.ready(ctx); err != nil {
		return ots.Header{}, err
	}
	if f.full {
		if height > f.tip {
			return ots.Header{}, fmt.Errorf("%w: the headers file ends at block %d", ErrNoBlock, f.tip)
		}
		return ots.ParseHeader(f.raw[height*headerLen : (height+1)*headerLen])
	}
	h, ok := f.sparse[height]
	if !ok {
		return ots.Header{}, fmt.Errorf("%w: the headers file has no line for block %d", ErrNoBlock, height)
	}
	return h, nil
}

// Tip implements [Source].
func (f *File) Tip(ctx context.Context) (uint64, error) {
	if err := f.ready(ctx); err != nil {
		return 0, err
	}
	return f.tip, nil
}

func (f *File) ready(ctx context.Context) error {
	f.load.Lock()
	defer f.load.Unlock()
	if f.loaded {
		return nil
	}
	if err := f.read(ctx); err != nil {
		if !errors.Is(err, ErrBadHeader) && !errors.Is(err, ErrWrongNetwork) {
			err = fmt.Errorf("%w: %w", ErrUnreachable, err)
		}
		return fmt.Errorf("reading the headers file: %w", err)
	}
	f.loaded = true
	return nil
}

func (f *File) read(ctx context.Context) error {
	if f.net.scrypt {
		return fmt.Errorf("%w: a headers file of %v cannot be checked: ask a node", ErrWrongNetwork, f.net)
	}
	file, err := os.Open(f.path)
	if err != nil {
		return err
	}
	defer file.Close()
	st, err := file.Stat()
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", f.path)
	}
	if st.Size() == 0 {
		return fmt.Errorf("%w: the file is empty", ErrBadHeader)
	}
	r := bufio.NewReaderSize(file, 1<<16)
	first, err := r.Peek(1)
	if err != nil {
		return err
	}
	// Block 0 of every network has version 1: a full file begins with the byte 01.
	if first[0] == 0x01 {
		if st.Size()%headerLen != 0 {
			return fmt.Errorf("%w: its length, %d bytes, is not a multiple of %d", ErrBadHeader, st.Size(), headerLen)
		}
		if st.Size()/headerLen > maxHeight {
			return fmt.Errorf("%w: it holds more than %d headers", ErrBadHeader, maxHeight)
		}
		return f.readFull(ctx, r, int(st.Size()))
	}
	if st.Size() > maxTextSize {
		return fmt.Errorf("%w: longer than %d bytes of text", ErrBadHeader, maxTextSize)
	}
	return f.readSparse(ctx, r)
}

// readFull checks every header against the one before it.
func (f *File) readFull(ctx context.Context, r io.Reader, size int) error {
	raw := make([]byte, size)
	if _, err := io.ReadFull(r, raw); err != nil {
		return err
	}
	var (
		hash  [32]byte
		now   = time.Now()
		rules = NewRules(f.net)
	)
	before := func(height uint64) (int64, uint32) {
		h := raw[height*headerLen:]
		return int64(binary.LittleEndian.Uint32(h[68:])), binary.LittleEndian.Uint32(h[72:])
	}
	n := uint64(size / headerLen)
	for height := range n {
		if height%4096 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		h, err := ots.ParseHeader(raw[height*headerLen : (height+1)*headerLen])
		if err != nil {
			return fmt.Errorf("%w: block %d: %w", ErrBadHeader, height, err)
		}
		own := h.Hash()
		if height == 0 {
			if err := f.net.checkGenesis(HashString(own), "the headers file"); err != nil {
				return err
			}
		} else {
			if h.Prev != hash {
				return fmt.Errorf("%w: block %d does not follow block %d", ErrBadHeader, height, height-1)
			}
			if err := rules.Next(height, h, own, before, 0, now); err != nil {
				return err
			}
		}
		hash = own
	}
	f.full, f.raw, f.tip = true, raw, n-1
	return nil
}

func (f *File) readSparse(ctx context.Context, r io.Reader) error {
	f.sparse, f.tip = make(map[uint64]ots.Header), 0
	sc := bufio.NewScanner(r)
	sc.Buffer(make([]byte, 0, maxLine), maxLine)
	for line := 1; sc.Scan(); line++ {
		if line%4096 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		text := strings.TrimSpace(string(bytes.TrimPrefix(sc.Bytes(), []byte("\xef\xbb\xbf"))))
		if text == "" || text[0] == '#' {
			continue
		}
		bad := func(what string) error {
			return fmt.Errorf("%w: line %d: %s; want a height and the 160 hexadecimal digits of a header", ErrBadHeader, line, what)
		}
		fields := strings.Fields(text)
		if len(fields) != 2 {
			return bad(fmt.Sprintf("%d fields", len(fields)))
		}
		height, err := strconv.ParseUint(fields[0], 10, 64)
		if err != nil || height > maxHeight {
			return bad("not a height")
		}
		raw, err := hex.DecodeString(fields[1])
		if err != nil || len(raw) != headerLen {
			return bad("not a header")
		}
		h, err := ots.ParseHeader(raw)
		if err != nil {
			return bad(err.Error())
		}
		if height == 0 {
			if err := f.net.checkGenesis(HashString(h.Hash()), "the headers file"); err != nil {
				return err
			}
		} else if err := f.net.CheckWork(height, h); err != nil {
			return fmt.Errorf("line %d: %w", line, err)
		}
		if old, ok := f.sparse[height]; ok && old != h {
			return fmt.Errorf("%w: line %d: another header for block %d", ErrBadHeader, line, height)
		}
		f.sparse[height] = h
		f.tip = max(f.tip, height)
	}
	if err := sc.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			return fmt.Errorf("%w: a line is longer than %d bytes", ErrBadHeader, maxLine)
		}
		return err
	}
	if len(f.sparse) == 0 {
		return fmt.Errorf("%w: the file holds no header", ErrBadHeader)
	}
	for height, h := range f.sparse {
		if before, ok := f.sparse[height-1]; ok && height > 0 && before.Hash() != h.Prev {
			return fmt.Errorf("%w: block %d does not follow block %d", ErrBadHeader, height, height-1)
		}
	}
	return nil
}
