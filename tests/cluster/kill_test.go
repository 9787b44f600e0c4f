package cluster_test

import (
	"errors"
	"flag"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/testpg"
	"github.com/datestone/datestone/tests/cluster"
)

var killRounds = flag.Int("kill.rounds", 30, "how often TestKill kills a node")

// Nodes are killed again and again under load, one or all at a time, while blocks come
// and go and the chain's node fails now and then. What any of them acknowledged all know
// ever after, no position is given out twice, positions are dense at every moment, every
// proof becomes complete, and fsck finds nothing.
func TestKill(t *testing.T) {
	t.Parallel()
	pg, chain := testpg.Start(t, testpg.Options{}), cluster.NewChain(t)
	c := cluster.Start(t, cluster.Options{Program: program, Nodes: 3, Database: pg.URL(), Chain: chain})
	stop := chain.Blocks(t, 200*time.Millisecond)
	defer stop()

	random := rand.New(rand.NewPCG(1, 2))
	load := c.Load(t, cluster.Clients{Count: 16})
	began, checked := time.Now(), 0
	for round := range *killRounds {
		load.Acknowledged(t, 1+random.IntN(250))
		victims := c.Nodes[round%3 : round%3+1]
		if round%10 == 9 {
			victims = c.Nodes // a power cut
		}
		for _, n := range victims {
			n.Kill()
		}
		switch chain.Intercept(nil); round % 8 {
		case 2:
			if err := chain.Reorg(1 + random.IntN(6)); err != nil {
				t.Fatal(err)
			}
		case 4:
			chain.ForgetMempool()
		case 6:
			chain.Intercept(func(string) error { return errors.New("the node is down") })
		}
		if len(victims) < len(c.Nodes) {
			load.Acknowledged(t, 1+random.IntN(100)) // the others go on
		}
		c.Dense(t)
		for _, n := range victims {
			n.Launch(t)
		}
		for _, n := range victims {
			n.Ready(t)
		}
		all := c.Acks.Commitments()
		victims[0].Knows(t, all[checked:])
		checked = len(all)
		random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		c.Nodes[(round+1)%3].Knows(t, all[:min(len(all), 100)])
	}
	load.End(t)
	t.Logf("%d kills in %v: %v", *killRounds, time.Since(began).Round(time.Millisecond), load)
	chain.Intercept(nil)
	stop()
	c.Check(t)
	c.Saved(t)
	for _, n := range c.Nodes {
		n.Terminate(t)
	}
}
