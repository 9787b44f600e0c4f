package headers

import (
	"fmt"
	"slices"
	"time"

	"github.com/datestone/datestone/ots"
)

// rule is how a network sets the target of the next block.
type rule int

const (
	retarget rule = iota // every 2016 blocks, as on mainnet
	fixed                // never
	twenty               // retarget, and a block 20 minutes after the one before may have the limit
	bip94                // twenty, with the repairs that BIP 94 makes for testnet4
)

const (
	medianBlocks = 11
	maxAhead     = 2 * time.Hour // a block's time after the clock's
	twentyMin    = 20 * 60
	maxTimewarp  = 600 // BIP 94, seconds
)

// Before gives of the header at a lower height, of the same chain, its Unix time and its
// target.
type Before func(height uint64) (at int64, bits uint32)

// Rules checks the headers of one chain in turn against the rules that headers alone
// can break: proof of work, the difficulty that the headers before lead to, a time after
// the median of the eleven before and at most two hours after the clock's. That a header
// names the one before it is the caller's to check. Signet's signatures are in
// the blocks, not in their headers.
//
// It remembers what the next header nearly always shares; it is not safe for concurrent use.
type Rules struct {
	net  *Network
	work workCheck
}

// NewRules makes a check of a network's headers.
func NewRules(n *Network) *Rules { return &Rules{net: n, work: workCheck{net: n}} }

// Work is [Network.CheckWork] for a header whose hash is known.
func (r *Rules) Work(height uint64, bits uint32, hash [32]byte) error {
	return r.work.check(height, bits, hash)
}

// Next checks the header at a height above 0. before is asked for at most the 2016 headers below
// it; lowest is the lowest height that it can answer for, 0 or a height at least 2027 lower.
// Errors match [ErrBadHeader].
func (r *Rules) Next(height uint64, h ots.Header, hash [32]byte, before Before, lowest uint64, now time.Time) error {
	if err := r.work.check(height, h.Bits, hash); err != nil {
		return err
	}
	at := h.Time.Unix()
	if want := r.net.wantedBits(height, at, before); h.Bits != want {
		return fmt.Errorf("%w: block %d has target %08x, the difficulty rule wants %08x", ErrBadHeader, height, h.Bits, want)
	}
	if median := medianTime(height, before, lowest); at <= median {
		return fmt.Errorf("%w: block %d has a time that is not after the median of the blocks before", ErrBadHeader, height)
	}
	if r.net.rule == bip94 && height%retargetInterval == 0 {
		if last, _ := before(height - 1); at < last-maxTimewarp {
			return fmt.Errorf("%w: block %d begins an interval more than ten minutes before the end of the last", ErrBadHeader, height)
		}
	}
	if h.Time.After(now.Add(maxAhead)) {
		return fmt.Errorf("%w: block %d has a time more than two hours ahead of the clock of this machine", ErrBadHeader, height)
	}
	return nil
}

func (n *Network) wantedBits(height uint64, at int64, before Before) uint32 {
	if n.rule == fixed {
		return n.limitBits
	}
	last, bits := before(height - 1)
	if height%retargetInterval == 0 {
		first, firstBits := before(height - retargetInterval)
		if n.rule == bip94 {
			// The last block may have had the limit as an exception; the first never has.
			bits = firstBits
		}
		return n.nextBits(bits, first, last)
	}
	if n.rule == retarget {
		return bits
	}
	if at > last+twentyMin {
		return n.limitBits
	}
	// The target of the last block that was no exception.
	for h := height - 1; bits == n.limitBits && h%retargetInterval != 0; {
		h--
		_, bits = before(h)
	}
	return bits
}

func medianTime(height uint64, before Before, lowest uint64) int64 {
	var times [medianBlocks]int64
	n := int(min(medianBlocks, height-lowest))
	for i := range n {
		times[i], _ = before(height - 1 - uint64(i))
	}
	slices.Sort(times[:n])
	return times[n/2]
}
