package ots

import (
	"fmt"
	"io"
	"strings"
)

// MaxFile bounds what ReadFile takes, in bytes. The format sets no bound; a
// proof of a hundred thousand attestations is a tenth of this.
const MaxFile = 64 << 20

// Magic is the bytes with which a detached proof begins; the format version
// follows.
const Magic = "\x00OpenTimestamps\x00\x00Proof\x00\xbf\x89\xe2\xe8\x84\xe8\x92\x94"

const version = 1

// File is a detached proof, the content of an .ots file: the digest of the file
// that was stamped, and a timestamp whose first message is that digest.
type File struct {
	HashOp    Tag    // how the digest was made: OpSHA256, OpSHA1, OpRIPEMD160 or OpKeccak256
	Digest    []byte // as long as HashOp.DigestSize says
	Timestamp *Timestamp
}

// ParseFile reads a detached proof, which must be the whole of b. It keeps no
// reference to b.
func ParseFile(b []byte) (*File, error) { return parseFile(string(b)) }

// ReadFile reads a detached proof up to the end of r, and at most MaxFile bytes.
func ReadFile(r io.Reader) (*File, error) {
	var s strings.Builder
	n, err := io.Copy(&s, io.LimitReader(r, MaxFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading proof: %w", err)
	}
	if n > MaxFile {
		return nil, fmt.Errorf("reading proof: %w: more than %d bytes", ErrLimit, MaxFile)
	}
	return parseFile(s.String())
}

func parseFile(src string) (*File, error) {
	if !strings.HasPrefix(src, Magic) {
		if src != "" && strings.HasPrefix(Magic, src) {
			return nil, fmt.Errorf("parsing proof: byte %d: %w", len(src), ErrTruncated)
		}
		return nil, fmt.Errorf("parsing proof: %w: it does not begin with the magic bytes", ErrNotOTS)
	}
	p := parser{src: src, pos: len(Magic)}
	f, err := p.file()
	if err != nil {
		return nil, fmt.Errorf("parsing proof: %w", err)
	}
	return f, nil
}

// file reads what follows the magic bytes.
func (p *parser) file() (*File, error) {
	v, err := p.next()
	if err != nil {
		return nil, err
	}
	if v != version {
		return nil, p.fail(fmt.Errorf("%w %d", ErrVersion, v))
	}
	hash, err := p.next()
	if err != nil {
		return nil, err
	}
	op := Tag(hash)
	size := op.DigestSize()
	if size == 0 {
		return nil, p.fail(fmt.Errorf("%w: %#02x is not a file hash", ErrMalformed, hash))
	}
	if len(p.src)-p.pos < size {
		p.pos = len(p.src)
		return nil, p.fail(ErrTruncated)
	}
	first := new(firstPiece)
	f := &first.file
	f.HashOp = op
	f.Digest = append(first.digest[:0], p.src[p.pos:p.pos+size]...)
	p.pos += size
	f.Timestamp, err = p.whole(first, size)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// ParseTimestamp reads a bare timestamp, which must be the whole of b, for a
// message of msgLen bytes. It keeps no reference to b. Operations are counted
// from here: merged into a longer path, a timestamp that parses may still be too
// deep to be written.
func ParseTimestamp(b []byte, msgLen int) (*Timestamp, error) {
	if msgLen < 0 || msgLen > MaxMessage {
		return nil, fmt.Errorf("parsing timestamp: %w: a message has at most %d bytes, not %d", ErrLimit, MaxMessage, msgLen)
	}
	p := parser{src: string(b)}
	t, err := p.whole(new(firstPiece), msgLen)
	if err != nil {
		return nil, fmt.Errorf("parsing timestamp: %w", err)
	}
	return t, nil
}

// whole reads a timestamp after which nothing may follow.
func (p *parser) whole(first *firstPiece, msgLen int) (*Timestamp, error) {
	p.use(first)
	s := unfinishedPool.Get().(*unfinished)
	defer s.release()
	t, err := p.timestamp(s, msgLen, 0)
	if err != nil {
		return nil, err
	}
	if p.pos != len(p.src) {
		return nil, p.fail(ErrTrailing)
	}
	if p.repeats {
		t.compress()
	}
	return t, nil
}

// AppendBinary appends the canonical wire form of the detached proof. What it
// writes without an error, ParseFile reads. On failure it returns b.
func (f *File) AppendBinary(b []byte) ([]byte, error) {
	if n := f.HashOp.DigestSize(); n == 0 || n != len(f.Digest) {
		return b, fmt.Errorf("writing proof: %w: a digest of %d bytes for %v", ErrMalformed, len(f.Digest), f.HashOp)
	}
	w := writer{out: append(b, Magic...)}
	w.out = append(w.out, version, byte(f.HashOp))
	w.out = append(w.out, f.Digest...)
	if err := w.timestamp(f.Timestamp, len(f.Digest), 0); err != nil {
		return b, fmt.Errorf("writing proof: %w", err)
	}
	return w.out, nil
}
