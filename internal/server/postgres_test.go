package server

import (
	"fmt"
	"testing"

	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/testpg"
)

// TestTwoNodes: two nodes over one PostgreSQL write one log, and each knows what the other acknowledged.
func TestTwoNodes(t *testing.T) {
	database := testpg.Shared(t).NewDatabase(t)
	var nodes []string
	for range 2 {
		s := runServer(t, Config{Database: database})
		nodes = append(nodes, "http://"+s.Addr().String())
	}
	for i := range 6 {
		commitment := submit(t, nodes[i%2], fmt.Sprintf("digest %d", i))
		if p := logtree.Entry(commitment).Position(); p.Epoch() != 0 || p.Index() != int64(i) {
			t.Errorf("digest %d has position %v", i, p)
		}
		if status, body := get(t, fmt.Sprintf("%s/timestamp/%x", nodes[1-i%2], commitment)); status != 404 || body != "Pending confirmation in Bitcoin blockchain" {
			t.Errorf("the other node says %d %q", status, body)
		}
	}
}
