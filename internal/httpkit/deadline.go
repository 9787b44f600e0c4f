package httpkit

import (
	"sync"
	"time"
)

// deadlines are a connection's limits of time as net/http sets them, several for each request. A timer of the runtime
// for each costs more than what it bounds, so they are only written down, and a sweep looks for those that have passed:
// they end up to a tick late.
type deadlines struct {
	mu          sync.Mutex // guards what follows
	read, write deadline
}

type deadline struct {
	at     time.Time // zero is never
	passed bool      // the connection itself was told
}

// longAgo is when a deadline has passed at once.
var longAgo = time.Unix(1, 0)

// set writes a deadline down. apply sets that of the connection itself.
func (d *deadline) set(t time.Time, apply func(time.Time) error) error {
	d.at = t
	if !t.IsZero() && !t.After(longAgo) {
		d.at, d.passed = time.Time{}, true
		return apply(t)
	}
	if d.passed {
		d.passed = false
		return apply(time.Time{})
	}
	return nil
}

// expire tells the connection itself that its deadline has passed, if it has.
func (d *deadline) expire(now time.Time, apply func(time.Time) error) {
	if !d.at.IsZero() && now.After(d.at) {
		d.at, d.passed = time.Time{}, true
		apply(longAgo)
	}
}

// SetReadDeadline ends reads after t, or up to a tick later.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.deadlines.mu.Lock()
	defer c.deadlines.mu.Unlock()
	return c.deadlines.read.set(t, c.Conn.SetReadDeadline)
}

// SetWriteDeadline ends writes after t, or up to a tick later.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.deadlines.mu.Lock()
	defer c.deadlines.mu.Unlock()
	return c.deadlines.write.set(t, c.Conn.SetWriteDeadline)
}

// SetDeadline is SetReadDeadline and SetWriteDeadline.
func (c *conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// sweep ends what took too long, at each tick, until stop is closed.
func (l *Listener) sweep(tick time.Duration, stop <-chan struct{}) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	var all []*conn
	for {
		select {
		case <-ticker.C:
		case <-stop:
			return
		}
		l.mu.Lock()
		all = all[:0]
		for c := range l.all {
			all = append(all, c)
		}
		l.mu.Unlock()
		now := time.Now()
		for _, c := range all {
			c.deadlines.mu.Lock()
			c.deadlines.read.expire(now, c.Conn.SetReadDeadline)
			c.deadlines.write.expire(now, c.Conn.SetWriteDeadline)
			c.deadlines.mu.Unlock()
		}
		clear(all)
	}
}
