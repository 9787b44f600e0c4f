package eternity

import (
	"net"
	"net/http"
	"sync"

	"github.com/datestone/datestone/ots/signedmsg"
)

const (
	// oftenSigned is how many signatures a key has made when it gets a table.
	oftenSigned = 8
	// maxTables bounds the tables, of 115 kilobytes each, maxRemembered the clients and the counts.
	maxTables     = 128
	maxRemembered = 4096
)

// regulars are the keys of customers who sign often. A signature does not say whose it is, but who sent one by a key
// sends the next by the same: with that guess checking it takes a part of the time. A wrong guess costs time alone.
// The zero value is ready.
type regulars struct {
	mu      sync.Mutex // guards what follows
	clients map[string]*signedmsg.Table
	tables  map[[33]byte]*signedmsg.Table // nil while one is made
	counts  map[[33]byte]int
}

// recover finds the key of a signature that a client sent.
func (g *regulars) recover(client string, signature signedmsg.Signature, digest []byte) (signedmsg.PublicKey, error) {
	message := signedmsg.Digest(digest)
	g.mu.Lock()
	guess := g.clients[client]
	g.mu.Unlock()
	if guess != nil {
		if key, ok := guess.Recover(signature, message); ok {
			return key, nil
		}
	}
	return signature.Recover(message)
}

// seen remembers that a client sent a signature by the key of a customer.
func (g *regulars) seen(client string, key signedmsg.PublicKey) {
	point := key.Point()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.clients == nil || len(g.clients) > maxRemembered || len(g.counts) > maxRemembered {
		g.clients, g.counts = make(map[string]*signedmsg.Table), make(map[[33]byte]int)
	}
	table, has := g.tables[point]
	switch {
	case table != nil:
		g.clients[client] = table
	case has: // being made
	case g.counts[point] < oftenSigned:
		g.counts[point]++
	default:
		if g.tables == nil || len(g.tables) >= maxTables {
			g.tables, g.clients = make(map[[33]byte]*signedmsg.Table), make(map[string]*signedmsg.Table)
		}
		g.tables[point] = nil
		go g.make(key)
	}
}

func (g *regulars) make(key signedmsg.PublicKey) {
	table, err := signedmsg.NewTable(key)
	if err != nil {
		return // a key that recovered from a signature has one
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, wanted := g.tables[key.Point()]; wanted {
		g.tables[key.Point()] = table
	}
}

// clientOf is a name for who sent a request; behind a proxy it is what that says.
func clientOf(r *http.Request) string {
	if forwarded := r.Header.Get("X-Forwarded-For"); forwarded != "" && len(forwarded) < 256 {
		return forwarded
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
