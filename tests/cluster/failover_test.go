package cluster_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/testnode"
	"github.com/datestone/datestone/internal/testpg"
	"github.com/datestone/datestone/tests/cluster"
)

// either is the address of a database on two servers, of which the primary is used.
func either(primary, standby *testpg.Server) string {
	one := fmt.Sprintf("127.0.0.1:%d", primary.Port)
	return strings.Replace(primary.URL(), one, fmt.Sprintf("%s,127.0.0.1:%d", one, standby.Port), 1) + "&target_session_attrs=read-write"
}

// The primary dies under load and its synchronous standby takes its place. Nothing that
// was acknowledged is lost and nobody has to do anything.
func TestFailover(t *testing.T) {
	t.Parallel()
	primary, chain := testpg.Start(t, testpg.Options{NoSync: true, Synchronous: true}), cluster.NewChain(t)
	standby := primary.Standby(t)
	c := cluster.Start(t, cluster.Options{Program: program, Nodes: 2, Database: either(primary, standby), Chain: chain})
	load := c.Load(t, cluster.Clients{Count: 12})
	load.Acknowledged(t, 300)
	primary.Kill(t)
	standby.Promote(t)
	began := time.Now()
	for _, n := range c.Nodes {
		load.Acknowledged(t, 50, n)
		n.Ready(t)
	}
	t.Logf("back %v after the standby was promoted; %v", time.Since(began).Round(time.Millisecond), load)
	load.End(t)
	c.Check(t)
}

// While a synchronous standby is away nothing is acknowledged, also not when the server
// is told to stop waiting for it, and so nothing that was is lost with the primary. What
// became visible meanwhile may have moved the marks: then the operator is asked.
func TestFailoverToStandbyThatWasAway(t *testing.T) {
	t.Parallel()
	primary, chain := testpg.Start(t, testpg.Options{NoSync: true, Synchronous: true}), cluster.NewChain(t)
	standby := primary.Standby(t)
	c := cluster.Start(t, cluster.Options{Program: program, Nodes: 2, Database: either(primary, standby), Chain: chain})
	load := c.Load(t, cluster.Clients{Count: 12})
	load.Acknowledged(t, 300)
	standby.Stop(t)
	refused := load.Refused.Load()
	testnode.Eventually(t, limit, "digests are refused", func() bool {
		primary.Exec(t, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
		return load.Refused.Load() > refused+30
	})
	primary.Kill(t)
	standby.Start(t)
	standby.Promote(t)
	began, asked := time.Now(), false
	for _, n := range c.Nodes {
		testnode.Eventually(t, limit, n.Name+" is ready, or asks for a new epoch", func() bool {
			status, body := n.Get("/readyz")
			if status == http.StatusServiceUnavailable && strings.Contains(body, behind) && !asked {
				n.Must(t, "epoch", "new", "--reason", "failover")
				asked = true
			}
			return status == http.StatusOK
		})
		load.Acknowledged(t, 50, n)
	}
	t.Logf("back %v after the standby was promoted, a new epoch was asked for: %v; %v", time.Since(began).Round(time.Millisecond), asked, load)
	load.End(t)
	c.Check(t)
}

const behind = "behind what was acknowledged"

// The primary is lost with commits that its standby did not have. The nodes find out when
// they are led to the standby, refuse, and go on without a restart once the operator has
// begun an epoch. No position is given out twice.
func TestFailoverLosesCommits(t *testing.T) {
	t.Parallel()
	primary, chain := testpg.Start(t, testpg.Options{NoSync: true}), cluster.NewChain(t)
	standby := primary.Standby(t)
	c := cluster.Start(t, cluster.Options{Program: program, Nodes: 2, Database: either(primary, standby), Chain: chain})
	load := c.Load(t, cluster.Clients{Count: 12})
	load.Acknowledged(t, 300, c.Nodes[0])
	load.Acknowledged(t, 300, c.Nodes[1])
	load.End(t)
	c.Attested(t)
	standby.CaughtUp(t)
	kept := c.Acks.Commitments()

	standby.Stop(t)
	load = c.Load(t, cluster.Clients{Count: 12})
	load.Acknowledged(t, 100, c.Nodes[0])
	load.Acknowledged(t, 100, c.Nodes[1])
	chain.Until(t, "lost commits are anchored", func() bool {
		return c.SQL(t, `SELECT COUNT(*) FROM attestation WHERE state = 1 AND size > `+fmt.Sprint(len(kept)+10)) != "0"
	})
	primary.Kill(t)
	load.End(t)
	lost := c.Acks.Commitments()[len(kept):]
	standby.Start(t)
	standby.Promote(t)

	load = c.Load(t, cluster.Clients{Count: 12})
	for _, n := range c.Nodes {
		testnode.Eventually(t, limit, n.Name+" says what is wrong", func() bool {
			status, body := n.Get("/readyz")
			return status == http.StatusServiceUnavailable && strings.Contains(body, behind) && strings.Contains(n.Log(t), "datestoned epoch new --reason")
		})
		if out, err := n.Command(t, "fsck"); err == nil || !strings.Contains(out, "high-water mark") {
			t.Errorf("fsck of a log that lacks what was acknowledged: %v\n%s", err, out)
		}
	}
	digests := c.Acks.Digests()
	refused := load.Refused.Load()
	testnode.Eventually(t, limit, "digests are refused", func() bool { return load.Refused.Load() > refused+50 })
	if n := c.Acks.Digests() - digests; n > 0 {
		t.Errorf("%d digests were acknowledged over a log that lacks what was acknowledged before", n)
	}

	began := time.Now()
	t.Log(strings.TrimSpace(c.Nodes[0].Must(t, "epoch", "new", "--reason", "failover")))
	c.Acks.Lose(lost)
	load.Acknowledged(t, 100, c.Nodes[0])
	load.Acknowledged(t, 100, c.Nodes[1])
	t.Logf("%d entries were lost; both nodes go on %v after the new epoch", len(lost), time.Since(began).Round(time.Millisecond))
	load.End(t)
	c.Check(t)
	for _, n := range c.Nodes {
		if status, body := n.Get("/timestamp/" + lost[len(lost)-1]); status != http.StatusNotFound {
			t.Errorf("a lost commitment: %d %q", status, body)
		}
	}
}
