package ethereum

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

// RLP, the encoding of transactions and of the nodes of tries (Yellow Paper, appendix B).

// appendBytes appends a byte string.
func appendBytes(dst, b []byte) []byte {
	if len(b) == 1 && b[0] < 0x80 {
		return append(dst, b[0])
	}
	return append(appendLength(dst, 0x80, len(b)), b...)
}

// appendUint appends a number: big-endian without leading zeros.
func appendUint(dst []byte, n uint64) []byte { return appendBytes(dst, trimmed(n)) }

// appendList appends a list of items that are encoded already.
func appendList(dst, items []byte) []byte {
	return append(appendLength(dst, 0xc0, len(items)), items...)
}

func appendLength(dst []byte, base byte, n int) []byte {
	if n < 56 {
		return append(dst, base+byte(n))
	}
	length := trimmed(uint64(n))
	return append(append(dst, base+55+byte(len(length))), length...)
}

func trimmed(n uint64) []byte {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], n)
	return b[bits.LeadingZeros64(n)/8:]
}

var errRLP = errors.New("not canonical RLP")

// item is one decoded value.
type item struct {
	list    bool
	content []byte
}

// splitItem takes the first item off.
func splitItem(b []byte) (i item, rest []byte, err error) {
	if len(b) == 0 {
		return i, nil, errRLP
	}
	first, size, at := b[0], 0, 1
	i.list = first >= 0xc0
	base := byte(0x80)
	if i.list {
		base = 0xc0
	}
	switch {
	case first < 0x80:
		return item{content: b[:1]}, b[1:], nil
	case first-base < 56:
		size = int(first - base)
	default:
		n := int(first-base) - 55
		if n > 4 || len(b) < 1+n || b[1] == 0 {
			return i, nil, errRLP
		}
		for _, c := range b[1 : 1+n] {
			size = size<<8 | int(c)
		}
		if at = 1 + n; size < 56 {
			return i, nil, errRLP
		}
	}
	if len(b)-at < size || !i.list && size == 1 && b[at] < 0x80 {
		return i, nil, errRLP
	}
	i.content = b[at : at+size]
	return i, b[at+size:], nil
}

// splitList takes a list apart that is all of b. It has at most most items.
func splitList(b []byte, most int) ([]item, error) {
	whole, rest, err := splitItem(b)
	if err != nil || !whole.list || len(rest) > 0 {
		return nil, errRLP
	}
	var all []item
	for rest = whole.content; len(rest) > 0; {
		var i item
		if i, rest, err = splitItem(rest); err != nil {
			return nil, err
		}
		if all = append(all, i); len(all) > most {
			return nil, errRLP
		}
	}
	return all, nil
}

// uint is the number that an item is.
func (i item) uint() (uint64, error) {
	if i.list || len(i.content) > 8 || len(i.content) > 0 && i.content[0] == 0 {
		return 0, errRLP
	}
	var n uint64
	for _, c := range i.content {
		n = n<<8 | uint64(c)
	}
	return n, nil
}
