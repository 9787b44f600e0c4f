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

// The primary is lost with commits that its standby did not have. The nodes find out when
// they are led to the standby, refuse, and go on without a restart once the operator has
// begun an epoch. No position is given out twice.
func TestFailoverLosesCommits(t *testing.T) {
	t.Parallel()
	primary, chain := testpg.Start(t, testpg.Options{NoSync: true}), cluster.NewChain(t)
	standby := primary.Standby(t)
	both := strings.Replace(primary.URL(), fmt.Sprintf(":%d/", primary.Port), fmt.Sprintf(":%d,127.0.0.1:%d/", primary.Port, standby.Port), 1)
	c := cluster.Start(t, cluster.Options{Program: program, Nodes: 2, Database: both + "&target_session_attrs=read-write", Chain: chain})
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
			return status == http.StatusServiceUnavailable && strings.Contains(body, "behind what was acknowledged") && strings.Contains(n.Log(t), "datestoned epoch new --reason")
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
