package seed

import "time"

// Over says whether what is submitted at a time is in a later seed than this open one. Clocks of nodes differ, so one that
// is a little behind does not end it; a seed that only a clock far ahead can have opened is over at once.
func (s Seed) Over(now time.Time) bool {
	return !now.Before(s.Closes) || s.Opened.Sub(now) > s.Closes.Sub(s.Opened)
}

// Next is the seed of a currency, without an id and hashes, that opens at a time after another one, or nil. It is not over.
// There is one for each period: what a clock that is behind opens is of the period after the last one's.
func Next(now time.Time, c Currency, last *Seed) Seed {
	at := func(t time.Time) Seed {
		opens, closes := c.PeriodOf(t)
		return Seed{Target: c.Target, Opened: opens, Closes: closes}
	}
	next := at(now)
	if last == nil {
		return next
	}
	if now.Before(last.Closes) {
		if later := at(last.Closes); !later.Over(now) {
			next = later
		}
	}
	if next.Opened.Before(last.Closes) && !now.Before(last.Closes) {
		next.Opened = last.Closes // the period was changed
	}
	return next
}
