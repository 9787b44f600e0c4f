package ots

import (
	"crypto/sha256"
	"fmt"
	"slices"
)

// scratch is a message under evaluation: the window buf[lo:hi], with room on
// both sides so that neither append nor prepend moves it. It never grows beyond
// three times MaxMessage.
type scratch struct {
	buf    []byte
	lo, hi int
}

const scratchSize = 512 // enough for the transactions that calendars make

// message is the current message; it is valid until the next set or apply.
func (s *scratch) message() []byte { return s.buf[s.lo:s.hi:s.hi] }

// set starts anew from a copy of msg.
func (s *scratch) set(msg []byte) error {
	if len(msg) > MaxMessage {
		return fmt.Errorf("%w: a message has at most %d bytes, not %d", ErrLimit, MaxMessage, len(msg))
	}
	s.lo, s.hi = 0, 0
	s.reserve(len(msg))
	s.hi = s.lo + copy(s.buf[s.lo:], msg)
	return nil
}

// reserve makes room for more bytes before as well as after the message.
func (s *scratch) reserve(more int) {
	old, n := s.buf[s.lo:s.hi], s.hi-s.lo
	if need := 3 * (n + more); len(s.buf) < max(need, scratchSize) {
		s.buf = make([]byte, max(scratchSize, min(2*need, 3*MaxMessage)))
	}
	s.lo = (len(s.buf) - n) / 2
	s.hi = s.lo + copy(s.buf[s.lo:], old)
}

// digest makes sum the message.
func (s *scratch) digest(sum []byte) {
	s.lo = (len(s.buf) - len(sum)) / 2
	s.hi = s.lo + copy(s.buf[s.lo:], sum)
}

// apply runs the operations of a canonical wire form.
func (s *scratch) apply(wire string) error {
	for wire != "" {
		tag, arg, size := firstOp(wire)
		wire = wire[size:]
		if tag == OpSHA256 {
			sum := sha256.Sum256(s.buf[s.lo:s.hi])
			s.digest(sum[:])
			continue
		}
		n, err := resultLen(tag, s.hi-s.lo, len(arg))
		if err != nil {
			return err
		}
		switch tag {
		case OpAppend:
			if len(s.buf)-s.hi < len(arg) {
				s.reserve(len(arg))
			}
			s.hi += copy(s.buf[s.hi:], arg)
		case OpPrepend:
			if s.lo < len(arg) {
				s.reserve(len(arg))
			}
			s.lo -= len(arg)
			copy(s.buf[s.lo:], arg)
		case OpReverse:
			// Two in a row undo each other; a bomb may hold thousands.
			odd := true
			for ; wire != "" && Tag(wire[0]) == OpReverse; wire = wire[1:] {
				odd = !odd
			}
			if odd {
				slices.Reverse(s.buf[s.lo:s.hi])
			}
		case OpHexlify:
			s.reserve(n / 2)
			s.hi = s.lo + n
			// Backwards, because each byte's two digits lie at or after it.
			hexlify(s.buf[s.lo:s.hi])
		default:
			var sum [32]byte
			s.digest(appendDigest(sum[:0], tag, s.buf[s.lo:s.hi]))
		}
	}
	return nil
}

// hexlify spreads the first half of b over the whole of it, as digits.
func hexlify(b []byte) {
	const digits = "0123456789abcdef"
	for i := len(b)/2 - 1; i >= 0; i-- {
		b[2*i], b[2*i+1] = digits[b[i]>>4], digits[b[i]&0xf]
	}
}
