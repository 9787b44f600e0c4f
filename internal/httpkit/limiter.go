package httpkit

import (
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Limiter counts events by key, in minutes that begin with a key's first event. It is exact within one process; of
// several nodes each counts for itself, so that together they allow as many times the limit. It remembers a
// bounded number of keys and forgets first those that have been quiet longest. The zero value is ready.
type Limiter[K comparable] struct {
	mu         sync.Mutex // guards what follows
	young, old map[K]minute
}

type minute struct {
	begun time.Time
	used  int
}

// remembered is how many keys a generation has; there are two.
const remembered = 1 << 15

// Allowance is what is left of a limit.
type Allowance struct {
	OK        bool
	Limit     int
	Remaining int
	Reset     time.Time // when the whole limit is there again
	wait      time.Duration
}

// Take counts one event, unless there have been limit of them in the minute already.
func (l *Limiter[K]) Take(key K, limit int, now time.Time) Allowance {
	l.mu.Lock()
	defer l.mu.Unlock()
	m, ok := l.young[key]
	if !ok {
		m, ok = l.old[key]
	}
	// A clock that went back begins a new minute.
	if age := now.Sub(m.begun); !ok || age >= time.Minute || age < 0 {
		m = minute{begun: now}
	}
	a := Allowance{OK: m.used < limit, Limit: limit, Reset: m.begun.Add(time.Minute)}
	a.wait = a.Reset.Sub(now)
	if a.OK {
		m.used++
	}
	a.Remaining = max(0, limit-m.used)
	if l.young == nil || len(l.young) >= remembered {
		l.young, l.old = make(map[K]minute), l.young
	}
	l.young[key] = m
	return a
}

// Describe sets the X-RateLimit fields of an answer: the limit, what is left of it, and the Unix time, in seconds,
// at which the whole limit is there again.
func (a Allowance) Describe(h http.Header) {
	h.Set("X-RateLimit-Limit", strconv.Itoa(a.Limit))
	h.Set("X-RateLimit-Remaining", strconv.Itoa(a.Remaining))
	h.Set("X-RateLimit-Reset", strconv.FormatInt(seconds(a.Reset), 10))
}

// seconds rounds up: who comes at that second is not too early.
func seconds(t time.Time) int64 { return t.Add(time.Second - 1).Unix() }

// RetryAfter is how many seconds to wait, as the header field says it.
func (a Allowance) RetryAfter() string {
	return strconv.FormatInt(max(1, int64((a.wait+time.Second-1)/time.Second)), 10)
}
