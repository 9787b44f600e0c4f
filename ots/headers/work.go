package headers

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/big"
	"slices"

	"github.com/datestone/datestone/ots"
)

// floor is a lower bound of the difficulty of every block from a height on.
type floor struct {
	height     uint64
	difficulty int64
}

// mainnetFloors are half of the difficulty at each height, rounded down; it never fell
// below that later on. They make a forged header dear, they do not replace the chain.
var mainnetFloors = []floor{
	{300_000, 4_000_000_000},
	{400_000, 80_000_000_000},
	{500_000, 900_000_000_000},
	{600_000, 6_000_000_000_000},
	{700_000, 9_000_000_000_000},
	{800_000, 26_000_000_000_000},
}

// retargetInterval is the number of blocks between two changes of the difficulty, and
// retargetSeconds the time that they should take.
const (
	retargetInterval = 2016
	retargetSeconds  = 14 * 24 * 60 * 60
)

// HashString writes a block hash or Merkle root as people do, last byte first.
func HashString(h [32]byte) string {
	slices.Reverse(h[:])
	return hex.EncodeToString(h[:])
}

// CheckWork checks what a header shows by itself: that its target is one that the
// network allows, on mainnet not far easier than the chain's at that height, and that
// its hash meets the target. Errors match [ErrBadHeader].
func (n *Network) CheckWork(height uint64, h ots.Header) error {
	c := workCheck{net: n}
	hash, err := n.workHash(h)
	if err != nil {
		return err
	}
	return c.check(height, h.Bits, hash)
}

// workCheck checks the work of headers in turn and remembers the last target: the next
// header's is the same nearly always.
type workCheck struct {
	net    *Network
	known  bool
	bits   uint32
	floor  int
	target [32]byte // most significant byte first
}

func (c *workCheck) check(height uint64, bits uint32, hash [32]byte) error {
	floor := len(c.net.floors) - 1
	for floor >= 0 && height < c.net.floors[floor].height {
		floor--
	}
	if !c.known || bits != c.bits || floor != c.floor {
		target, err := c.net.target(bits)
		if err != nil {
			return fmt.Errorf("%w: block %d: %w", ErrBadHeader, height, err)
		}
		if floor >= 0 {
			limit, _ := expand(c.net.limitBits)
			if target.Cmp(limit.Div(limit, big.NewInt(c.net.floors[floor].difficulty))) > 0 {
				return fmt.Errorf("%w: block %d: its proof of work is too easy for that height", ErrBadHeader, height)
			}
		}
		target.FillBytes(c.target[:])
		c.known, c.bits, c.floor = true, bits, floor
	}
	slices.Reverse(hash[:])
	if bytes.Compare(hash[:], c.target[:]) > 0 {
		return fmt.Errorf("%w: block %d: its hash does not meet its proof of work", ErrBadHeader, height)
	}
	return nil
}

func (n *Network) target(bits uint32) (*big.Int, error) {
	t, ok := expand(bits)
	if !ok || t.Sign() <= 0 {
		return nil, fmt.Errorf("target %08x is not valid", bits)
	}
	if limit, _ := expand(n.limitBits); t.Cmp(limit) > 0 {
		return nil, fmt.Errorf("target %08x is easier than %s allows", bits, n)
	}
	return t, nil
}

// expand reads the compact form of a target: a byte of exponent, base 256, and 23 bits
// of mantissa below a sign bit.
func expand(bits uint32) (*big.Int, bool) {
	exp := uint(bits >> 24)
	if bits&0x800000 != 0 || exp > 34 {
		return nil, false
	}
	t := big.NewInt(int64(bits & 0x7fffff))
	if exp <= 3 {
		return t.Rsh(t, 8*(3-exp)), true
	}
	return t.Lsh(t, 8*(exp-3)), true
}

func compact(t *big.Int) uint32 {
	size := uint((t.BitLen() + 7) / 8)
	var m uint32
	if size <= 3 {
		m = uint32(t.Uint64()) << (8 * (3 - size))
	} else {
		m = uint32(new(big.Int).Rsh(t, 8*(size-3)).Uint64())
	}
	// The sign bit must stay clear.
	if m&0x800000 != 0 {
		m >>= 8
		size++
	}
	return uint32(size)<<24 | m
}

// nextBits is the target that follows an interval which began and ended at the given
// Unix times: scaled by the time it took, by at most four either way.
func (n *Network) nextBits(bits uint32, first, last int64) uint32 {
	span := min(max(last-first, retargetSeconds/4), retargetSeconds*4)
	t, _ := expand(bits)
	t.Mul(t, big.NewInt(span))
	t.Div(t, big.NewInt(retargetSeconds))
	if limit, _ := expand(n.limitBits); t.Cmp(limit) > 0 {
		return n.limitBits
	}
	return compact(t)
}

// Work is how many hashes it takes on average to meet a target: what a chain's blocks are
// weighed by. It is 0 for a target that is not valid.
func Work(bits uint32) *big.Int {
	t, ok := expand(bits)
	if !ok || t.Sign() <= 0 {
		return new(big.Int)
	}
	all := new(big.Int).Lsh(big.NewInt(1), 256)
	return all.Div(all, t.Add(t, big.NewInt(1)))
}
