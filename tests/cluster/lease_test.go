package cluster_test

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/testnode"
	"github.com/datestone/datestone/internal/testpg"
	"github.com/datestone/datestone/tests/cluster"
)

// leased starts nodes that anchor, with clients and blocks all the time.
func leased(t *testing.T, nodes int) (*cluster.Cluster, *cluster.Chain, *cluster.Load, func()) {
	t.Helper()
	pg, chain := testpg.Start(t, testpg.Options{NoSync: true}), cluster.NewChain(t)
	c := cluster.Start(t, cluster.Options{Program: program, Nodes: nodes, Database: pg.URL(), Chain: chain})
	stop := chain.Blocks(t, 500*time.Millisecond)
	t.Cleanup(stop)
	return c, chain, c.Load(t, cluster.Clients{Count: 6, Patience: 5 * time.Second, Pause: 20 * time.Millisecond}), stop
}

// at does something in the middle of the next call of an RPC method, which then fails
// with the error, if there is one.
func at(t *testing.T, chain *cluster.Chain, method string, answer error, do func()) {
	t.Helper()
	var first sync.Once
	reached, done := make(chan struct{}), make(chan struct{})
	finish := sync.OnceFunc(func() { close(done) })
	defer finish()
	defer chain.Intercept(nil)
	chain.Intercept(func(m string) (err error) {
		if m == method {
			first.Do(func() {
				close(reached)
				<-done
				err = answer
			})
		}
		return err
	})
	select {
	case <-reached:
	case <-time.After(limit):
		t.Fatalf("no %s within %v", method, limit)
	}
	do()
}

// newest is the largest id in a table.
func newest(t *testing.T, c *cluster.Cluster, table, where string) int {
	t.Helper()
	n, err := strconv.Atoi(c.SQL(t, fmt.Sprintf("SELECT COALESCE(MAX(id), 0) FROM %s WHERE %s", table, where)))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// anchoring waits until an attempt that is newer than all was made and counted.
func anchoring(t *testing.T, c *cluster.Cluster) time.Duration {
	t.Helper()
	began, last := time.Now(), newest(t, c, "attempt", "TRUE")
	testnode.Eventually(t, 2*limit, "a new transaction is mined and counts", func() bool {
		return newest(t, c, "attempt", "state = 2") > last
	})
	return time.Since(began).Round(time.Millisecond)
}

// once ends the test when more than one coin is being spent, which would pay twice.
func once(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	if sets := c.SQL(t, `SELECT COUNT(DISTINCT conflict) FROM attempt a WHERE state = 0
		AND NOT EXISTS (SELECT 1 FROM attempt b WHERE b.conflict = a.conflict AND b.state <> 0)`); sets != "0" && sets != "1" {
		t.Errorf("%s coins are being spent at the same time", sets)
	}
}

// The node that anchors is killed: at any moment, and between saving a transaction and
// sending it, and after the chain's node took it. Another one goes on within seconds.
func TestHolderIsKilled(t *testing.T) {
	t.Parallel()
	c, chain, load, stop := leased(t, 3)
	for _, moment := range []struct {
		name   string
		method string
		err    error
	}{
		{"at any moment", "", nil},
		{"before it was sent", "sendrawtransaction", errors.New("the line broke")},
		{"after it was sent", "sendrawtransaction", nil},
		{"with a block in its hands", "getblock", nil},
	} {
		holder := c.Holder(t, cluster.TargetLease)
		load.Acknowledged(t, 50)
		if moment.method == "" {
			holder.Kill()
		} else {
			at(t, chain, moment.method, moment.err, holder.Kill)
		}
		killed := time.Now()
		next := c.Holder(t, cluster.TargetLease)
		took := time.Since(killed).Round(time.Millisecond)
		t.Logf("killed %s: %s took over from %s after %v and anchored %v later", moment.name, next.Name, holder.Name, took, anchoring(t, c))
		once(t, c)
		holder.Start(t)
	}
	load.End(t)
	stop()
	c.Check(t)
	c.Saved(t)
}

// The node that anchors is stopped past its lease, with a transaction that it saved and
// did not send, or at any moment. Another one goes on; the stopped one wakes up, saves and
// confirms nothing, and does not take the lease from its holder.
func TestHolderIsStopped(t *testing.T) {
	t.Parallel()
	c, chain, load, stop := leased(t, 2)
	for _, method := range []string{"sendrawtransaction", ""} {
		holder := c.Holder(t, cluster.TargetLease)
		load.Acknowledged(t, 50)
		if method == "" {
			holder.Stop(t)
		} else {
			at(t, chain, method, nil, func() { holder.Stop(t) })
		}
		stopped := time.Now()
		next := c.Holder(t, cluster.TargetLease)
		took := time.Since(stopped).Round(time.Millisecond)
		anchored := anchoring(t, c)
		holder.Continue(t)
		load.Acknowledged(t, 20, holder)
		again := anchoring(t, c)
		t.Logf("stopped in %q: %s took over from %s after %v, anchored %v later, and again %v after that", method, next.Name, holder.Name, took, anchored, again)
		c.Fenced(t)
		once(t, c)
		for _, n := range c.Nodes {
			testnode.Eventually(t, limit, n.Name+" shows that the target is well", func() bool {
				s := n.Status(t)
				return len(s.Targets) == 1 && s.Targets[0].Code == "ok"
			})
		}
	}
	load.End(t)
	stop()
	c.Check(t)
	c.Saved(t)
}

// The lease goes to somebody else while its holder believes that it has seconds left, as
// after a machine was suspended: it goes on with a block that it was about to store, a
// transaction that it was about to save, or one that it was about to send. All that it
// writes then is refused.
func TestStaleLease(t *testing.T) {
	t.Parallel()
	c, chain, load, stop := leased(t, 2)
	methods := []string{"getblock", "estimatesmartfee", "sendrawtransaction"}
	for i := range 2 * len(methods) {
		c.Holder(t, cluster.TargetLease)
		at(t, chain, methods[i%len(methods)], nil, func() {
			c.SQL(t, "UPDATE lease SET token = token + 1, holder = 'somebody', expires = 0 WHERE name = '"+cluster.TargetLease+"'")
		})
	}
	c.Fenced(t)
	once(t, c)
	anchoring(t, c)
	load.End(t)
	stop()
	c.Check(t)
	c.Saved(t)
}
