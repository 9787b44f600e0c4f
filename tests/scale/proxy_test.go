package main

import (
	"net"
	"net/url"
	"sync/atomic"
	"testing"
	"time"
)

// network is the way to a server, as long as a network would make it.
type network struct {
	trips atomic.Int64 // how often somebody asked and waited for the answer
}

// through leads to the same database, half a round trip away.
func (n *network) through(t testing.TB, database string, trip time.Duration) string {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	server := u.Host
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go n.connect(client, server, trip/2)
		}
	}()
	u.Host = listener.Addr().String()
	return u.String()
}

func (n *network) connect(client net.Conn, address string, delay time.Duration) {
	server, err := net.Dial("tcp", address)
	if err != nil {
		client.Close()
		return
	}
	var answered atomic.Bool
	answered.Store(true)
	go carry(client, server, delay, func() { answered.Store(true) })
	carry(server, client, delay, func() {
		if answered.Swap(false) {
			n.trips.Add(1)
		}
	})
}

// carry takes what comes from one end to the other, each part after the delay, and closes both.
func carry(to, from net.Conn, delay time.Duration, passes func()) {
	type part struct {
		bytes []byte
		due   time.Time
	}
	parts := make(chan part, 1<<10)
	go func() {
		defer close(parts)
		for {
			b := make([]byte, 32<<10)
			n, err := from.Read(b)
			if err != nil {
				return
			}
			passes()
			parts <- part{b[:n], time.Now().Add(delay)}
		}
	}()
	for p := range parts {
		time.Sleep(time.Until(p.due))
		if _, err := to.Write(p.bytes); err != nil {
			break
		}
	}
	to.Close()
	from.Close()
	for range parts {
	}
}
