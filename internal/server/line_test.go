package server

import (
	"net"
	"net/url"
	"sync"
	"testing"
)

// line is a network line to a database that can be cut: nothing gets through then, and nobody is told.
type line struct {
	url string

	passes sync.RWMutex // held for writing while the line is cut
	isCut  bool         // the test's own, like cut and mend
	mu     sync.Mutex   // guards conns and closed
	conns  []net.Conn
	closed bool
}

func newLine(t *testing.T, database string) *line {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	ln, to := listen(t), u.Host
	u.Host = ln.Addr().String()
	l := &line{url: u.String()}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			near, err := ln.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil || !l.keep(near, far) {
				near.Close()
				continue
			}
			all.Go(func() { l.carry(near, far) })
			all.Go(func() { l.carry(far, near) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		if l.isCut {
			l.mend()
		}
		l.mu.Lock()
		l.closed = true
		for _, c := range l.conns {
			c.Close()
		}
		l.mu.Unlock()
		all.Wait()
	})
	return l
}

// keep remembers connections to close at the end.
func (l *line) keep(conns ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns = append(l.conns, conns...)
	if l.closed {
		for _, c := range conns {
			c.Close()
		}
	}
	return !l.closed
}

func (l *line) carry(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		l.passes.RLock()
		_, writeErr := to.Write(b[:n])
		l.passes.RUnlock()
		if err != nil || writeErr != nil {
			return
		}
	}
}

func (l *line) cut() {
	l.passes.Lock()
	l.isCut = true
}

func (l *line) mend() {
	l.isCut = false
	l.passes.Unlock()
}
