package ots

import (
	"fmt"
	"slices"
	"sync"
)

// parser reads the wire form in one scan. It follows the lengths of messages,
// never their bytes: every limit of the format can be decided from those.
type parser struct {
	src string
	pos int
	arena
	repeats bool // some node had two branches that begin with the same operation
}

// unfinished holds the items of the nodes that are being read: those of a node lie
// above those of the nodes around it, and move to the arena when it ends.
type unfinished struct {
	atts     []Attestation
	branches []Branch
}

var unfinishedPool = sync.Pool{New: func() any { return new(unfinished) }}

// release returns s to the pool, without what it referred to, unless an unusual
// proof made it large.
func (s *unfinished) release() {
	if cap(s.atts) > arenaPiece || cap(s.branches) > arenaPiece {
		return
	}
	clear(s.atts[:cap(s.atts)])
	clear(s.branches[:cap(s.branches)])
	s.atts, s.branches = s.atts[:0], s.branches[:0]
	unfinishedPool.Put(s)
}

// run is a run of operations under way.
type run struct {
	start    int
	ops      int32
	overlong bool // some length is not in its shortest form
}

// path is the run that ends where src does.
func (r run) path(src string) Path {
	wire := src[r.start:]
	if !r.overlong {
		return Path{wire: wire, ops: r.ops}
	}
	b := make([]byte, 0, len(wire))
	for pos := 0; pos < len(wire); {
		tag := Tag(wire[pos])
		b = append(b, byte(tag))
		pos++
		if tag.takesArg() {
			n, next, _ := varuint(wire, pos)
			pos = next + int(n)
			b = appendVarbytes(b, wire[next:pos])
		}
	}
	return Path{wire: string(b), ops: r.ops}
}

func (p *parser) fail(err error) error { return fmt.Errorf("byte %d: %w", p.pos, err) }

// next reads one byte.
func (p *parser) next() (byte, error) {
	if p.pos >= len(p.src) {
		return 0, p.fail(ErrTruncated)
	}
	p.pos++
	return p.src[p.pos-1], nil
}

// bytes reads a length between lo and hi, and that many bytes. Nothing is set
// aside for a length before the bytes are known to be there.
func (p *parser) bytes(lo, hi int, of string) (data string, shortest bool, err error) {
	n, at, shortest := varuint(p.src, p.pos)
	if at == 0 {
		p.pos = len(p.src)
		return "", false, p.fail(ErrTruncated)
	}
	if n < uint64(lo) || n > uint64(hi) {
		return "", false, p.fail(fmt.Errorf("%w: %s has %d to %d bytes, not %d", ErrLimit, of, lo, hi, n))
	}
	if len(p.src)-at < int(n) {
		p.pos = len(p.src)
		return "", false, p.fail(ErrTruncated)
	}
	p.pos = at + int(n)
	return p.src[at:p.pos], shortest, nil
}

// timestamp reads a node whose message has msgLen bytes and is depth operations
// away from the first. It calls itself once a level at most, so MaxDepth bounds
// the recursion.
func (p *parser) timestamp(s *unfinished, msgLen, depth int) (*Timestamp, error) {
	atts, branches := len(s.atts), len(s.branches)
	for more := true; more; {
		tag, err := p.next()
		if err != nil {
			return nil, err
		}
		if more = tag == tagFork; more {
			if tag, err = p.next(); err != nil {
				return nil, err
			}
		}
		if tag == tagAttestation {
			a, err := p.attestation()
			if err != nil {
				return nil, err
			}
			s.atts = append(s.atts, a)
			continue
		}
		p.pos--
		path, n, err := p.path(msgLen, depth)
		if err != nil {
			return nil, err
		}
		child, err := p.timestamp(s, n, depth+path.Len())
		if err != nil {
			return nil, err
		}
		s.branches = append(s.branches, Branch{path, child})
	}
	t := p.node()
	t.atts = p.keepAttestations(sortAttestations(s.atts[atts:]))
	t.branches = p.keepBranches(p.sortBranches(s.branches[branches:]))
	s.atts, s.branches = s.atts[:atts], s.branches[:branches]
	return t, nil
}

// path reads operations up to the next node, and the length of its message.
func (p *parser) path(msgLen, depth int) (Path, int, error) {
	src, pos := p.src, p.pos
	r := run{start: pos}
	for {
		if depth+int(r.ops) == MaxDepth {
			p.pos = pos
			return Path{}, 0, p.fail(ErrTooDeep)
		}
		// The two commonest cases stand apart for speed; op reads the others.
		tag := Tag(src[pos])
		short := 0 // an append's or prepend's argument, where its length is one byte
		if tag.takesArg() && pos+1 < len(src) && src[pos+1] < 0x80 {
			short = int(src[pos+1])
		}
		switch {
		case tag == OpSHA256:
			msgLen = 32
			r.ops++
			pos++
		case short > 0 && msgLen+short <= MaxMessage:
			msgLen += short
			r.ops++
			pos += 2 + short
		default:
			p.pos = pos
			argLen, err := p.op(&r)
			if err != nil {
				return Path{}, 0, err
			}
			if msgLen, err = resultLen(tag, msgLen, argLen); err != nil {
				return Path{}, 0, p.fail(err)
			}
			pos = p.pos
		}
		if pos >= len(src) {
			p.pos = len(src)
			return Path{}, 0, p.fail(ErrTruncated)
		}
		if c := src[pos]; c == tagAttestation || c == tagFork {
			p.pos = pos
			return r.path(src[:pos]), msgLen, nil
		}
	}
}

// op reads one operation into r; there is at least one byte.
func (p *parser) op(r *run) (argLen int, err error) {
	tag := Tag(p.src[p.pos])
	switch tag {
	case OpSHA256, OpSHA1, OpRIPEMD160, OpKeccak256, OpReverse, OpHexlify:
		p.pos++
	case OpAppend, OpPrepend:
		p.pos++
		arg, shortest, err := p.bytes(1, MaxMessage, "an argument")
		if err != nil {
			return 0, err
		}
		argLen = len(arg)
		r.overlong = r.overlong || !shortest
	default:
		return 0, p.fail(fmt.Errorf("%w: %v", ErrMalformed, tag))
	}
	r.ops++
	return argLen, nil
}

// attestation reads what follows the byte that announces one.
func (p *parser) attestation() (Attestation, error) {
	start := p.pos
	if len(p.src)-start < tagSize {
		p.pos = len(p.src)
		return Attestation{}, p.fail(ErrTruncated)
	}
	p.pos += tagSize
	payload, shortest, err := p.bytes(0, MaxPayload, "an attestation's payload")
	if err != nil {
		return Attestation{}, err
	}
	a := Attestation{p.src[start:p.pos]}
	kind := a.Kind()
	canonical := payload
	switch kind {
	case KindPending:
		canonical, err = readURI(payload)
	case KindBitcoin, KindLitecoin, KindEthereum:
		canonical, err = readHeight(payload)
	}
	if err != nil {
		return Attestation{}, p.fail(fmt.Errorf("payload of a %v attestation: %w", kind, err))
	}
	if !shortest || len(canonical) != len(payload) {
		a = newAttestation(p.src[start:start+tagSize], canonical)
	}
	return a, nil
}

// readURI checks the payload of a pending attestation and returns it in its
// canonical form.
func readURI(payload string) (string, error) {
	p := parser{src: payload}
	uri, shortest, err := p.bytes(0, MaxURI, "a calendar's URI")
	if err != nil {
		return "", err
	}
	if p.pos != len(payload) {
		return "", ErrTrailing
	}
	if err := checkURI(uri); err != nil {
		return "", err
	}
	if !shortest {
		return string(appendVarbytes(nil, uri)), nil
	}
	return payload, nil
}

// readHeight is readURI for a block height, which may have any size.
func readHeight(payload string) (string, error) {
	_, next, _ := varuint(payload, 0)
	if next == 0 {
		return "", ErrTruncated
	}
	if next != len(payload) {
		return "", ErrTrailing
	}
	return shortestVaruint(payload), nil
}

// sortBranches puts branches in canonical order, in place. Of several that
// begin with the same operation the last one read counts, whole: the reference
// implementation, too, forgets the others.
func (p *parser) sortBranches(branches []Branch) []Branch {
	sorted := true
	for i := 1; i < len(branches) && sorted; i++ {
		sorted = compareFirst(branches[i-1].Path.wire, branches[i].Path.wire) < 0
	}
	if sorted {
		return branches
	}
	slices.SortStableFunc(branches, func(a, b Branch) int { return compareFirst(a.Path.wire, b.Path.wire) })
	kept := branches[:0]
	for i, b := range branches {
		if i+1 < len(branches) && compareFirst(b.Path.wire, branches[i+1].Path.wire) == 0 {
			p.repeats = true
			continue
		}
		kept = append(kept, b)
	}
	return kept
}
