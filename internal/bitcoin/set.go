package bitcoin

import (
	"fmt"
	"slices"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/bitcoin/ledger"
)

// set are the attempts that spend the same first coin for the same purpose, oldest first. At most one is ever mined. All of a
// seed's carry that one seed.
type set []anchor.Attempt

// setOf names the set that an attempt is in.
func setOf(a anchor.Attempt) string {
	if a.Purpose == anchor.PurposeSeed {
		return fmt.Sprintf("%s %d %s", a.Purpose, a.Head.Epoch, a.Set())
	}
	return a.Purpose + " " + a.Set()
}

func (s set) purpose() string { return s[0].Purpose }

// group makes sets of attempts, in the order of their first ones: parents before children.
func group(attempts []anchor.Attempt) []set {
	var sets []set
	at := make(map[string]int)
	for _, a := range attempts {
		i, ok := at[setOf(a)]
		if !ok {
			i = len(sets)
			at[setOf(a)] = i
			sets = append(sets, nil)
		}
		sets[i] = append(sets[i], a)
	}
	return sets
}

// mined says whether one of the set is in the best chain.
func (s set) mined() bool {
	return slices.ContainsFunc(s, func(a anchor.Attempt) bool { return a.State == anchor.Mined || a.State == anchor.Settled })
}

// live are the attempts that may still be mined.
func (s set) live() set {
	var live set
	for _, a := range s {
		if a.State == anchor.Live {
			live = append(live, a)
		}
	}
	return live
}

// toSend is the one to give to the node, while none is mined: one that was mined before a
// reorganisation, so that what spends its change lives on, else the newest.
func (s set) toSend() (anchor.Attempt, bool) {
	live := s.live()
	if s.mined() || len(live) == 0 {
		return anchor.Attempt{}, false
	}
	best := live[len(live)-1]
	for _, a := range live {
		if a.Changed.After(a.Created) && (!best.Changed.After(best.Created) || a.Changed.After(best.Changed)) {
			best = a
		}
	}
	return best, true
}

// shown is the one that a status speaks of: the mined one, else the one to send.
func (s set) shown() (anchor.Attempt, bool) {
	for _, a := range s {
		if a.State == anchor.Mined {
			return a, true
		}
	}
	return s.toSend()
}

// highest is the live attempt with the highest fee: what a replacement has to outbid.
func (s set) highest() anchor.Attempt {
	return slices.MaxFunc(s.live(), func(a, b anchor.Attempt) int { return int(a.Fee - b.Fee) })
}

// purse is what is known of coins and attempts at a best block.
type purse struct {
	height int64
	depth  int64
	coins  map[string]ledger.Coin
	sets   []set
	live   map[string]anchor.Attempt // by transaction
}

func newPurse(height, depth int64, coins []ledger.Coin, attempts []anchor.Attempt) purse {
	p := purse{height: height, depth: depth, coins: make(map[string]ledger.Coin), sets: group(attempts), live: make(map[string]anchor.Attempt)}
	for _, c := range coins {
		p.coins[c.Outpoint] = c
	}
	for _, a := range attempts {
		if a.State == anchor.Live {
			p.live[a.Ref] = a
		}
	}
	return p
}

// prospect is what is to be expected of spending a coin.
type prospect int

const (
	ready   prospect = iota // it is in the best chain and unspent
	pending                 // it left the best chain and may well come back
	gone                    // it is spent, or left the best chain long ago, or never was
)

func (p purse) prospect(outpoint string) prospect {
	c, ok := p.coins[outpoint]
	switch {
	case !ok:
		return gone
	case c.Height > 0:
		return ready
	}
	// The change of an attempt comes back with that; other coins are given up after a while.
	if a, ours := p.live[outpoint[:64]]; ours && p.mineable(a) || !ours && p.height-c.Lost < p.depth {
		return pending
	}
	return gone
}

// open are the sets of which one may still be mined and none is, parents first.
func (p purse) open() []set {
	var open []set
	for _, s := range p.sets {
		if !s.mined() && slices.ContainsFunc(s.live(), p.mineable) {
			open = append(open, s)
		}
	}
	return open
}

// openFor are the open sets of a purpose.
func (p purse) openFor(purpose string) []set {
	return slices.DeleteFunc(p.open(), func(s set) bool { return s.purpose() != purpose })
}

// evicted are the transactions of an open set, and those that spend their outputs: a replacement evicts them all. fees are
// what they pay at most.
func (p purse) evicted(first set) (all map[string]bool, fees int64) {
	all = make(map[string]bool)
	for _, s := range p.open() {
		live := s.live()
		if setOf(s[0]) != setOf(first[0]) && !slices.ContainsFunc(live, func(a anchor.Attempt) bool {
			return slices.ContainsFunc(a.Uses, func(outpoint string) bool { return all[outpoint[:64]] })
		}) {
			continue
		}
		for _, a := range live {
			all[a.Ref] = true
		}
		fees += s.highest().Fee
	}
	return all, fees
}

// mineable says whether every coin of an attempt is there or may well come back.
func (p purse) mineable(a anchor.Attempt) bool {
	return !slices.ContainsFunc(a.Uses, func(outpoint string) bool { return p.prospect(outpoint) == gone })
}

// payable says whether every coin of an attempt is there.
func (p purse) payable(a anchor.Attempt) bool {
	return !slices.ContainsFunc(a.Uses, func(outpoint string) bool { return p.prospect(outpoint) != ready })
}

// coinbaseDepth is how deep a coinbase must be to be spent by the next block.
const coinbaseDepth = 100

// free are the coins that a new transaction may spend: confirmed, mature and in no open set but
// the given one. The most valuable are first.
func (p purse) free(except set) []ledger.Coin {
	taken := make(map[string]bool)
	for _, s := range p.open() {
		if len(except) > 0 && setOf(s[0]) == setOf(except[0]) {
			continue
		}
		for _, a := range s.live() {
			for _, outpoint := range a.Uses {
				taken[outpoint] = true
			}
		}
	}
	var free []ledger.Coin
	for _, c := range p.coins {
		mature := !c.Coinbase || p.height-c.Height+1 >= coinbaseDepth
		if p.prospect(c.Outpoint) == ready && mature && !taken[c.Outpoint] {
			free = append(free, c)
		}
	}
	slices.SortFunc(free, byValue)
	return free
}
