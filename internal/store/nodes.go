package store

import (
	"sync"

	"github.com/datestone/datestone/internal/logtree"
)

// nodeCache keeps interior nodes of the log, which never change. It holds two generations of at
// most nodeGeneration nodes; a node that is asked for moves to the young one, and a full young
// generation becomes the old one. About 20 MB when full.
type nodeCache struct {
	mu    sync.Mutex
	young map[nodeKey][32]byte
	old   map[nodeKey][32]byte
}

type nodeKey struct {
	epoch int
	node  logtree.Node
}

const (
	nodeGeneration = 1 << 16
	// Lower nodes are as many as entries, and are asked for by one entry each.
	nodeCacheLevel = 2
)

func (c *nodeCache) get(epoch int, n logtree.Node) ([32]byte, bool) {
	if n.Level < nodeCacheLevel {
		return [32]byte{}, false
	}
	key := nodeKey{epoch, n}
	c.mu.Lock()
	defer c.mu.Unlock()
	if h, ok := c.young[key]; ok {
		return h, true
	}
	h, ok := c.old[key]
	if ok {
		c.add(key, h)
	}
	return h, ok
}

func (c *nodeCache) put(epoch int, n logtree.Node, h [32]byte) {
	if n.Level < nodeCacheLevel {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(nodeKey{epoch, n}, h)
}

// add requires c.mu.
func (c *nodeCache) add(key nodeKey, h [32]byte) {
	if len(c.young) >= nodeGeneration || c.young == nil {
		c.old, c.young = c.young, make(map[nodeKey][32]byte)
	}
	c.young[key] = h
}
