package ots

import (
	"fmt"
	"iter"
	"strings"
)

// Path is a straight run of operations, kept in wire form. The zero value is
// the empty path. A Path is a value: its methods return a new one and never
// change what another holds. Two paths are equal when == says so.
//
// A path that was given an impossible argument (see [Path.Append]) remembers
// it: Apply and every AppendBinary then return an error.
type Path struct {
	wire string // canonical: every length is in its shortest form
	ops  int32
	bad  bool // some argument was empty or longer than MaxMessage
}

// ParsePath reads a run of operations with nothing before or after it.
func ParsePath(wire []byte) (Path, error) {
	p := parser{src: string(wire)}
	var r run
	for p.pos < len(p.src) {
		if _, err := p.op(&r); err != nil {
			return Path{}, err
		}
	}
	return r.path(p.src), nil
}

// Append adds an append operation. Its argument has 1 to MaxMessage bytes.
func (p Path) Append(arg []byte) Path { return p.Then(Op{Tag: OpAppend, Arg: arg}) }

// Prepend adds a prepend operation. Its argument has 1 to MaxMessage bytes.
func (p Path) Prepend(arg []byte) Path { return p.Then(Op{Tag: OpPrepend, Arg: arg}) }

// SHA256 adds a sha256 operation.
func (p Path) SHA256() Path { return p.Then(Op{Tag: OpSHA256}) }

// Then adds one operation.
func (p Path) Then(op Op) Path {
	b := make([]byte, 0, len(p.wire)+3+len(op.Arg))
	b = append(b, p.wire...)
	b = append(b, byte(op.Tag))
	if op.Tag.takesArg() {
		b = appendVarbytes(b, op.Arg)
	}
	return Path{wire: string(b), ops: p.ops + 1, bad: p.bad || checkArg(op.Tag, len(op.Arg)) != nil}
}

// Concat adds all of q's operations.
func (p Path) Concat(q Path) Path {
	return Path{wire: p.wire + q.wire, ops: p.ops + q.ops, bad: p.bad || q.bad}
}

// Len is the number of operations.
func (p Path) Len() int { return int(p.ops) }

// Bytes is the path in wire form, in memory of its own.
func (p Path) Bytes() []byte { return []byte(p.wire) }

// Ops yields the operations in order; each argument is a copy.
func (p Path) Ops() iter.Seq[Op] {
	return func(yield func(Op) bool) {
		for rest := p.wire; rest != ""; {
			tag, arg, size := firstOp(rest)
			op := Op{Tag: tag}
			if tag.takesArg() {
				op.Arg = []byte(arg)
			}
			if !yield(op) {
				return
			}
			rest = rest[size:]
		}
	}
}

// String prints the operations as [Op.String] does, with commas between.
func (p Path) String() string {
	var b strings.Builder
	for op := range p.Ops() {
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		b.WriteString(op.String())
	}
	return b.String()
}

// Apply returns the message at the path's end for msg at its beginning.
func (p Path) Apply(msg []byte) ([]byte, error) {
	if p.bad {
		return nil, errBadPath
	}
	var s scratch
	if err := s.set(msg); err != nil {
		return nil, err
	}
	if err := s.apply(p.wire); err != nil {
		return nil, err
	}
	return s.message(), nil
}

var errBadPath = fmt.Errorf("%w: a path holds an operation with an impossible argument", ErrLimit)

// slice returns the operations in the wire bytes from..to, of which there are
// ops.
func (p Path) slice(from, to int, ops int32) Path {
	return Path{wire: p.wire[from:to], ops: ops, bad: p.bad}
}

// firstOp splits the first operation off a non-empty canonical wire form.
func firstOp(wire string) (tag Tag, arg string, size int) {
	tag = Tag(wire[0])
	if !tag.takesArg() {
		return tag, "", 1
	}
	n, at := int(wire[1]), 2
	if n >= 0x80 {
		v, next, _ := varuint(wire, 1)
		n, at = int(v), next
	}
	return tag, wire[at : at+n], at + n
}

// compareFirst orders two non-empty wire forms by their first operation: by
// tag, then by argument.
func compareFirst(a, b string) int {
	ta, argA, _ := firstOp(a)
	tb, argB, _ := firstOp(b)
	if ta != tb {
		return int(ta) - int(tb)
	}
	return strings.Compare(argA, argB)
}

// commonPrefix is the run of whole operations with which both wire forms begin.
func commonPrefix(a, b string) (size int, ops int32) {
	for size < len(a) && size < len(b) {
		_, _, n := firstOp(a[size:])
		if size+n > len(b) || a[size:size+n] != b[size:size+n] {
			break
		}
		size += n
		ops++
	}
	return size, ops
}

// resultLen is the length of the path's last message for a first of msgLen
// bytes, or an error where a message between them breaks a limit. What follows
// from an unknown length is checked from the first hash on.
func (p Path) resultLen(msgLen int) (int, error) {
	rest := p.wire
	for msgLen == unknownLen && rest != "" {
		tag, _, size := firstOp(rest)
		if n := tag.DigestSize(); n != 0 {
			msgLen = n
		}
		rest = rest[size:]
	}
	for rest != "" {
		// The two commonest cases stand apart for speed.
		switch tag := Tag(rest[0]); {
		case tag == OpSHA256:
			msgLen = 32
			rest = rest[1:]
		case tag.takesArg() && rest[1] < 0x80 && msgLen+int(rest[1]) <= MaxMessage:
			msgLen += int(rest[1])
			rest = rest[2+int(rest[1]):]
		default:
			tag, arg, size := firstOp(rest)
			var err error
			if msgLen, err = resultLen(tag, msgLen, len(arg)); err != nil {
				return 0, err
			}
			rest = rest[size:]
		}
	}
	return msgLen, nil
}
