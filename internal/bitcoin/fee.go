package bitcoin

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"time"

	"github.com/datestone/datestone/internal/anchor"
)

// feeRate is in satoshi per 1000 virtual bytes.
type feeRate int64

// perByte makes a rate of satoshi per virtual byte.
func perByte(f float64) feeRate { return feeRate(math.Ceil(f * 1000)) }

// fee is what so many virtual bytes cost, rounded up.
func (r feeRate) fee(vsize int64) int64 { return (int64(r)*vsize + 999) / 1000 }

func (r feeRate) perByte() float64 { return float64(r) / 1000 }

// rateOf is the rate that an attempt pays, rounded down.
func rateOf(a anchor.Attempt) feeRate { return feeRate(a.Fee * 1000 / max(1, a.VSize)) }

// reserved is what the attempts of a purpose, or of all when it is empty, may cost that are not settled: for each set the highest
// fee of those that may still be mined, however old it is. A set of which one is settled costs what
// that one paid, which is not counted here; one whose attempts are all dead costs nothing.
func reserved(attempts []anchor.Attempt, purpose string) int64 {
	highest, settled := make(map[string]int64), make(map[string]bool)
	for _, a := range attempts {
		switch {
		case purpose != "" && a.Purpose != purpose:
		case a.State == anchor.Settled:
			settled[setOf(a)] = true
		case a.Unsettled():
			highest[setOf(a)] = max(highest[setOf(a)], a.Fee)
		}
	}
	var sum int64
	for set, fee := range highest {
		if !settled[set] {
			sum += fee
		}
	}
	return sum
}

// reservedWith is reserved after an attempt was added to its set, new or not.
func reservedWith(attempts []anchor.Attempt, purpose string, a anchor.Attempt) int64 {
	return reserved(append(attempts[:len(attempts):len(attempts)], a), purpose)
}

// pause is the time between the transaction of this id and the next: interval times a factor from 1 to 2
// that nobody can choose and that stays the same after a restart.
func pause(interval time.Duration, ref string) time.Duration {
	sum := sha256.Sum256([]byte("pause after " + ref))
	part := float64(binary.BigEndian.Uint64(sum[:])>>11) / (1 << 53)
	return interval + time.Duration(part*float64(interval))
}
