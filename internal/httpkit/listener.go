package httpkit

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Listener bounds the open connections of a server. When all places are taken, a new connection takes
// the place of the one that has waited longest for its client: silent since it was accepted, idle
// between requests, or slow with a request. Connections at work are never closed, and young ones are
// not closed yet, so that a crowd does not show out a client whose request is on its way; when there
// is no other, accepting waits.
type Listener struct {
	net.Listener
	max int

	mu     sync.Mutex // guards what follows, and the links of every conn
	room   sync.Cond  // signalled when a place may have become free
	open   int
	all    map[*conn]struct{} // that are open
	oldest *conn              // waiting for their clients, in the order in which they began to
	newest *conn
	shed   int64
	closed bool
}

// young is how long a connection waits for its client before it may be closed to make room.
const young = 250 * time.Millisecond

// conn is a connection of a Listener.
type conn struct {
	net.Conn
	listener   *Listener
	prev, next *conn
	since      time.Time   // when it began to wait for its client
	waiting    atomic.Bool // in the listener's list; set under its lock
	gone       bool        // no longer counted
	deadlines  deadlines
}

// Limit bounds the connections that are open at a time.
func Limit(ln net.Listener, connections int) *Listener {
	l := &Listener{Listener: ln, max: connections, all: make(map[*conn]struct{})}
	l.room.L = &l.mu
	return l
}

// Accept waits for a connection and for a place for it. A lack of file descriptors is met by closing
// a waiting connection; when there is none the error goes to the caller, who tries again.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		inner, err := l.Listener.Accept()
		if err != nil {
			if outOfFiles(err) && l.makeRoom() {
				// The descriptor is free when the connection's reader has noticed.
				time.Sleep(time.Millisecond)
				continue
			}
			return nil, err
		}
		c := &conn{Conn: inner, listener: l}
		if err := l.admit(c); err != nil {
			inner.Close()
			return nil, err
		}
		return c, nil
	}
}

// admit gives the connection a place.
func (l *Listener) admit(c *conn) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.open >= l.max && !l.closed {
		if !l.shedOldest() {
			l.room.Wait()
		}
	}
	if l.closed {
		return net.ErrClosed
	}
	l.open++
	l.all[c] = struct{}{}
	l.append(c)
	return nil
}

func (l *Listener) makeRoom() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.shedOldest()
}

// shedOldest closes the connection that has waited longest. While that one is young it waits instead,
// until it is not, or until there may be room without it. It returns false when no connection waits
// for its client. It requires l.mu, which it releases meanwhile.
func (l *Listener) shedOldest() bool {
	victim := l.oldest
	if victim == nil {
		return false
	}
	if d := young - time.Since(victim.since); d > 0 {
		ripe := time.AfterFunc(d, func() {
			l.mu.Lock()
			l.room.Signal()
			l.mu.Unlock()
		})
		l.room.Wait()
		ripe.Stop()
		return true
	}
	l.shedOne(victim)
	return true
}

// shedOne requires l.mu, which it releases meanwhile.
func (l *Listener) shedOne(victim *conn) {
	l.remove(victim)
	l.shed++
	l.mu.Unlock()
	victim.Close()
	l.mu.Lock()
}

// shedWaiting closes every connection that waits for its client.
func (l *Listener) shedWaiting() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.oldest != nil {
		l.shedOne(l.oldest)
	}
}

// Close stops accepting. Open connections stay.
func (l *Listener) Close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.room.Broadcast()
	return l.Listener.Close()
}

// Count returns the number of open connections and how many were closed to make room.
func (l *Listener) Count() (open int, shed int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open, l.shed
}

// append requires l.mu.
func (l *Listener) append(c *conn) {
	c.prev, c.next, c.since = l.newest, nil, time.Now()
	c.waiting.Store(true)
	if l.newest != nil {
		l.newest.next = c
	} else {
		l.oldest = c
	}
	l.newest = c
}

// remove requires l.mu and that c is in the list.
func (l *Listener) remove(c *conn) {
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		l.oldest = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	} else {
		l.newest = c.prev
	}
	c.prev, c.next = nil, nil
	c.waiting.Store(false)
}

// Read leaves out the one byte that net/http asks for beside every handler, to learn whether the client
// hung up. For a request that is answered in milliseconds it costs more than it tells.
func (c *conn) Read(b []byte) (int, error) {
	if len(b) == 1 && !c.waiting.Load() {
		return 0, nil
	}
	return c.Conn.Read(b)
}

// Close closes the connection and frees its place.
func (c *conn) Close() error {
	l := c.listener
	l.mu.Lock()
	if c.waiting.Load() {
		l.remove(c)
	}
	freed := !c.gone
	if freed {
		c.gone = true
		l.open--
		delete(l.all, c)
	}
	l.mu.Unlock()
	if freed {
		l.room.Signal()
	}
	return c.Conn.Close()
}

// CloseWrite lets net/http end an answer without a reset when the request was not read to its end.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// busy takes the connection out of those that may be closed to make room.
func (c *conn) busy() {
	c.listener.mu.Lock()
	if c.waiting.Load() {
		c.listener.remove(c)
	}
	c.listener.mu.Unlock()
}

// idle puts the connection at the end of those that may be closed to make room.
func (c *conn) idle() {
	l := c.listener
	l.mu.Lock()
	if !c.gone {
		if c.waiting.Load() {
			l.remove(c)
		}
		l.append(c)
	}
	l.mu.Unlock()
	l.room.Signal()
}

type connKey struct{}

// connContext is the hook that lets Busy find the connection of a request.
func connContext(ctx context.Context, nc net.Conn) context.Context {
	if c, ok := nc.(*conn); ok {
		return context.WithValue(ctx, connKey{}, c)
	}
	return ctx
}

// connState is the hook that sees a connection become idle. StateActive comes only after the header
// of a request has been read; Busy says when the request itself is complete.
func connState(nc net.Conn, state http.ConnState) {
	if c, ok := nc.(*conn); ok && state == http.StateIdle {
		c.idle()
	}
}

// Busy says that the request was received in full: its connection is not closed to make room until
// it is idle again. The request's context may no longer end when the client hangs up.
func Busy(r *http.Request) {
	if c, ok := r.Context().Value(connKey{}).(*conn); ok {
		c.busy()
	}
}

func outOfFiles(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.ENOMEM)
}
