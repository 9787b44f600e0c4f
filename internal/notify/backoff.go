package notify

import (
	"math/rand/v2"
	"time"
)

const (
	firstPause   = time.Minute
	longestPause = 24 * time.Hour
	// giveUpAfter is how long a notice is due before it is parked.
	giveUpAfter = 14 * 24 * time.Hour
)

// pause is how long an endpoint is left alone after so many failures in a row: from a minute on twice as long each
// time, up to a day, a tenth more or less so that endpoints that failed together do not return together.
func pause(failures int) time.Duration {
	p := longestPause
	if n := failures - 1; n < 11 {
		p = min(firstPause<<max(n, 0), longestPause)
	}
	return p - p/10 + rand.N(p/5)
}

// failed is the schedule of an endpoint after another failure. What the endpoint asked to wait is respected up to a day.
func (r *Result) failed(e Endpoint, retryAfter time.Duration) {
	r.Failures, r.Failing = e.Failures+1, e.Failing
	if r.Failing.IsZero() {
		r.Failing = r.At
	}
	r.Slow = true
	r.Next = r.At.Add(max(pause(r.Failures), min(retryAfter, longestPause)))
	r.GiveUp = r.At.Add(-giveUpAfter)
}
