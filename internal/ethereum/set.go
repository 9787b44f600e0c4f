package ethereum

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/datestone/datestone/internal/anchor"
)

// set are the attempts with the same nonce, oldest first. At most one is ever mined.
type set []anchor.Attempt

func nonceName(nonce uint64) string { return fmt.Sprintf("nonce/%d", nonce) }

// group makes sets of attempts, in the order of their first ones.
func group(attempts []anchor.Attempt) []set {
	var sets []set
	at := make(map[string]int)
	for _, a := range attempts {
		i, ok := at[a.Set()]
		if !ok {
			i = len(sets)
			at[a.Set()] = i
			sets = append(sets, nil)
		}
		sets[i] = append(sets[i], a)
	}
	return sets
}

func (s set) name() string { return s[0].Set() }

// purpose is that of the one that is mined, or else of the newest: after a reorganisation a nonce may have been used again.
func (s set) purpose() string {
	if a, ok := s.mined(); ok {
		return a.Purpose
	}
	if a, ok := s.newest(); ok {
		return a.Purpose
	}
	return s[0].Purpose
}

// nonce is the one that the attempts share.
func (s set) nonce() (n uint64) {
	fmt.Sscanf(s.name(), "nonce/%d", &n)
	return n
}

// mined is the one in the best chain.
func (s set) mined() (anchor.Attempt, bool) {
	for _, a := range s {
		if a.State == anchor.Mined || a.State == anchor.Settled {
			return a, true
		}
	}
	return anchor.Attempt{}, false
}

// newest is the live one that pays most: each replaced those before.
func (s set) newest() (newest anchor.Attempt, ok bool) {
	for _, a := range s {
		if a.State == anchor.Live {
			newest, ok = a, true
		}
	}
	return newest, ok
}

// open says whether one of the set may still be mined and none is.
func (s set) open() bool {
	_, mined := s.mined()
	_, live := s.newest()
	return live && !mined
}

// most is what the set may cost, in gwei: what is mined its fee, else what its bytes offer at most.
func (s set) most() (most int64) {
	if a, ok := s.mined(); ok {
		return a.Fee
	}
	for _, a := range s {
		if a.State == anchor.Live {
			most = max(most, a.Fee)
			if t, _, err := parseTransaction(a.Raw); err == nil {
				most = max(most, cost(t.gas, t.offer.price))
			}
		}
	}
	return most
}

// reserved is what sets may cost that are not settled.
func reserved(sets []set) (sum int64) {
	for _, s := range sets {
		if a, ok := s.mined(); ok && a.State == anchor.Settled {
			continue
		}
		sum += s.most()
	}
	return sum
}

// pause is the time between the transaction of this id and the next: interval times a factor from 1 to 2
// that nobody can choose and that stays the same after a restart.
func pause(interval time.Duration, ref string) time.Duration {
	sum := sha256.Sum256([]byte("pause after " + ref))
	part := float64(binary.BigEndian.Uint64(sum[:])>>11) / (1 << 53)
	return interval + time.Duration(part*float64(interval))
}
