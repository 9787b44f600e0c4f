package cluster_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/datestone/datestone/internal/testnode"
	"github.com/datestone/datestone/internal/testpg"
	"github.com/datestone/datestone/tests/cluster"
)

const limit = 60 * time.Second

// bounded is the longest time that an answer may take whatever the database does: the
// calendar gives a commit 10 s, and a busy machine takes its time.
const bounded = 30 * time.Second

// PostgreSQL restarts, crashes and freezes under load. Clients are told to try again
// within a bounded time, the nodes say that they are not ready, and all goes on by itself
// when the database is back.
func TestPostgresGoesAway(t *testing.T) {
	t.Parallel()
	pg, chain := testpg.Start(t, testpg.Options{}), cluster.NewChain(t)
	c := cluster.Start(t, cluster.Options{Program: program, Nodes: 2, Database: pg.URL(), Chain: chain})
	load := c.Load(t, cluster.Clients{Count: 16})
	for _, fault := range []struct {
		name       string
		away, back func(testing.TB)
	}{
		{"restart", pg.Stop, pg.Start},
		{"crash", pg.Kill, pg.Start},
		{"pause", pg.Pause, pg.Resume},
		{"crash again", pg.Kill, pg.Start},
	} {
		load.Acknowledged(t, 200)
		refused, known := load.Refused.Load(), c.Acks.Commitments()[0]
		fault.away(t)
		var answers errgroup.Group
		for _, n := range c.Nodes {
			answers.Go(func() error {
				began := time.Now()
				status, body := n.Get("/timestamp/" + known)
				if took := time.Since(began); took > bounded || status != http.StatusServiceUnavailable || !strings.Contains(body, "try again") {
					return fmt.Errorf("a proof asked of %s: %d %q after %v", n.Name, status, body, took)
				}
				return nil
			})
		}
		testnode.Eventually(t, limit, "clients are told to try again", func() bool { return load.Refused.Load() > refused })
		for _, n := range c.Nodes {
			testnode.Eventually(t, limit, n.Name+" says that it is not ready", func() bool {
				status, _ := n.Get("/readyz")
				return status == http.StatusServiceUnavailable
			})
		}
		if err := answers.Wait(); err != nil {
			t.Errorf("%s: %v", fault.name, err)
		}
		fault.back(t)
		began := time.Now()
		for _, n := range c.Nodes {
			load.Acknowledged(t, 50, n)
			n.Ready(t)
		}
		t.Logf("%s: back after %v; %v", fault.name, time.Since(began).Round(time.Millisecond), load)
		c.Dense(t)
	}
	load.End(t)
	if load.Unanswered.Load() > 0 || load.Unreachable.Load() > 0 || load.Slowest() > bounded {
		t.Errorf("not every answer came within %v: %v", bounded, load)
	}
	c.Check(t)
	c.Saved(t)
}

// A node that is stopped in the middle of a transaction holds the lock that every other
// append waits for. The database takes it away within seconds, and the stopped node's
// digest was not acknowledged.
func TestStoppedInATransaction(t *testing.T) {
	t.Parallel()
	pg := testpg.Start(t, testpg.Options{NoSync: true})
	c := cluster.Start(t, cluster.Options{Program: program, Nodes: 3, Database: pg.URL()})
	load := c.Load(t, cluster.Clients{Count: 24, Patience: 2 * time.Second})
	load.Acknowledged(t, 100)

	stopped, others := c.Nodes[0], c.Nodes[1:]
	caught := func() bool {
		stopped.Stop(t)
		time.Sleep(200 * time.Millisecond) // for transactions that are not held up to end
		if c.SQL(t, `SELECT COUNT(*) FROM pg_stat_activity WHERE state = 'idle in transaction'
			AND xact_start < clock_timestamp() - interval '150 ms' AND backend_xid IS NOT NULL`) != "0" {
			return true
		}
		stopped.Continue(t)
		load.Acknowledged(t, 20)
		return false
	}
	testnode.Eventually(t, 2*limit, "the node is stopped in the middle of a transaction", caught)
	took := max(load.Acknowledged(t, 200, others[0]), load.Acknowledged(t, 200, others[1]))
	t.Logf("the others went on after %v; %v", took.Round(time.Millisecond), load)
	c.Dense(t)
	stopped.Continue(t)
	load.Acknowledged(t, 50, stopped)
	load.End(t)
	c.Check(t)
}

// Sessions of the nodes are ended and their statements cancelled in the middle of load,
// and transactions are chosen as victims of deadlocks. Clients see at most that they
// should try again.
func TestAbortedTransactions(t *testing.T) {
	t.Parallel()
	pg, chain := testpg.Start(t, testpg.Options{NoSync: true}), cluster.NewChain(t)
	c := cluster.Start(t, cluster.Options{Program: program, Nodes: 2, Database: pg.URL(), Chain: chain})
	stop := chain.Blocks(t, 200*time.Millisecond)
	defer stop()
	load := c.Load(t, cluster.Clients{Count: 16})
	load.Acknowledged(t, 100)
	began := time.Now()

	const ours = `FROM pg_stat_activity WHERE application_name LIKE 'node_' AND state <> 'idle'`
	hit := 0
	for range 20 {
		for _, how := range []string{"pg_terminate_backend", "pg_cancel_backend"} {
			if n := pg.Exec(t, fmt.Sprintf("SELECT COUNT(*) FROM (SELECT %s(pid) AS done %s) x WHERE done", how, ours)); n != "0" {
				hit++
			}
		}
		load.Acknowledged(t, 10)
	}
	if hit < 5 {
		t.Errorf("only %d of 40 shots hit a transaction", hit)
	}

	// An append holds the head and wants to insert, while this session holds the table
	// and wants the head; what the target writes holds the lease and wants to insert. The
	// session never looks for deadlocks, so the nodes lose.
	for _, locks := range [][2]string{{"entry", "head"}, {"block", "lease"}, {"entry", "head"}, {"block", "lease"}} {
		pg.Exec(t, fmt.Sprintf(`SET deadlock_timeout = '1h'; BEGIN; LOCK TABLE %s IN SHARE MODE; SELECT pg_sleep(0.4);
			SELECT 1 FROM %s FOR UPDATE; COMMIT`, locks[0], locks[1]))
		load.Acknowledged(t, 10)
	}
	deadlocks := pg.Exec(t, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
	if deadlocks == "0" {
		t.Error("there was no deadlock")
	}
	load.End(t)
	t.Logf("%d shots hit, %s deadlocks, in %v: %v", hit, deadlocks, time.Since(began).Round(time.Millisecond), load)
	if load.Unanswered.Load() > 0 || load.Unreachable.Load() > 0 || load.Slowest() > bounded {
		t.Errorf("not every answer came within %v: %v", bounded, load)
	}
	stop()
	c.Check(t)
	c.Saved(t)
}
