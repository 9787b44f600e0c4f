package httpkit

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// Listener bounds the open connections of a server. When all places are taken, a new connection takes
// the place of the one that has waited longest for its client: silent since it was accepted, idle
// between requests, or slow with a request. Connections at work are never closed; when all are at
// work, accepting waits.
type Listener struct {
	net.Listener
	max int

	mu     sync.Mutex // guards what follows, and the links of every conn
	room   sync.Cond  // signalled when a place may have become free
	open   int
	oldest *conn // waiting for their clients, in the order in which they began to
	newest *conn
	shed   int64
	closed bool
}

// conn is a connection of a Listener.
type conn struct {
	net.Conn
	listener   *Listener
	prev, next *conn
	waiting    bool // in the listener's list
	gone       bool // no longer counted
}

// Limit bounds the connections that are open at a time.
func Limit(ln net.Listener, connections int) *Listener {
	l := &Listener{Listener: ln, max: connections}
	l.room.L = &l.mu
	return l
}

// Accept waits for a connection and for a place for it. A lack of file descriptors is met by closing
// a waiting connection; when there is none the error goes to the caller, who tries again.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		inner, err := l.Listener.Accept()
		if err != nil {
			if outOfFiles(err) && l.shedOldest() {
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
		victim := l.oldest
		if victim == nil {
			l.room.Wait()
			continue
		}
		l.remove(victim)
		l.shed++
		l.mu.Unlock()
		victim.Close()
		l.mu.Lock()
	}
	if l.closed {
		return net.ErrClosed
	}
	l.open++
	l.append(c)
	return nil
}

// shedOldest closes the connection that has waited longest, and says whether there was one.
func (l *Listener) shedOldest() bool {
	l.mu.Lock()
	victim := l.oldest
	if victim != nil {
		l.remove(victim)
		l.shed++
	}
	l.mu.Unlock()
	if victim == nil {
		return false
	}
	victim.Close()
	return true
}

// shedWaiting closes every connection that waits for its client.
func (l *Listener) shedWaiting() {
	for l.shedOldest() {
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
	c.prev, c.next, c.waiting = l.newest, nil, true
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
	c.prev, c.next, c.waiting = nil, nil, false
}

// Close closes the connection and frees its place.
func (c *conn) Close() error {
	l := c.listener
	l.mu.Lock()
	if c.waiting {
		l.remove(c)
	}
	freed := !c.gone
	if freed {
		c.gone = true
		l.open--
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
	if c.waiting {
		c.listener.remove(c)
	}
	c.listener.mu.Unlock()
}

// idle puts the connection at the end of those that may be closed to make room.
func (c *conn) idle() {
	l := c.listener
	l.mu.Lock()
	if !c.gone {
		if c.waiting {
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
// it is idle again.
func Busy(r *http.Request) {
	if c, ok := r.Context().Value(connKey{}).(*conn); ok {
		c.busy()
	}
}

func outOfFiles(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.ENOMEM)
}
