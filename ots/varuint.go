package ots

import "math"

// A varuint is an unsigned LEB128 number: seven bits a byte, least significant
// first, the high bit set on every byte but the last. Numbers are unbounded and
// may carry superfluous zero groups; the shortest form has none.

// varuint reads the number at s[pos:]. A number that does not fit 64 bits reads
// as math.MaxUint64, which exceeds every length the format allows. next is 0
// when s ends inside the number; shortest tells whether it has no superfluous
// group.
func varuint(s string, pos int) (v uint64, next int, shortest bool) {
	start := pos
	for shift := uint(0); pos < len(s); pos++ {
		c := s[pos]
		group := uint64(c & 0x7f)
		switch {
		case shift < 63 || shift == 63 && group <= 1:
			v |= group << shift
		case group != 0:
			v = math.MaxUint64
		}
		if c < 0x80 {
			return v, pos + 1, c != 0 || pos == start
		}
		// A long run of superfluous groups must not wrap the shift round.
		shift = min(shift+7, 70)
	}
	return 0, 0, false
}

// shortestVaruint drops the superfluous groups of s, which is one whole number
// of any size.
func shortestVaruint(s string) string {
	n := len(s)
	for n > 1 && s[n-1]&0x7f == 0 {
		n--
	}
	if n == len(s) {
		return s
	}
	b := []byte(s[:n])
	b[n-1] &= 0x7f
	return string(b)
}

func appendVaruint(b []byte, v uint64) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

func appendVarbytes[T string | []byte](b []byte, data T) []byte {
	return append(appendVaruint(b, uint64(len(data))), data...)
}
