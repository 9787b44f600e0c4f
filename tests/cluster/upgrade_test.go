package cluster_test

import (
	"strings"
	"testing"

	"github.com/datestone/datestone/internal/testpg"
	"github.com/datestone/datestone/tests/cluster"
)

// Nodes that start at the same time over an empty database make one schema. Once a newer
// program has changed it, nodes that run go on, and one of this program that starts is
// told what it needs.
func TestRollingUpgrade(t *testing.T) {
	t.Parallel()
	pg := testpg.Shared(t)
	for range 5 {
		c := cluster.Start(t, cluster.Options{Program: program, Nodes: 3, Database: pg.NewDatabase(t)})
		load := c.Load(t, cluster.Clients{Count: 6})
		load.Acknowledged(t, 50)
		old := c.Nodes[0]
		old.Kill()
		c.SQL(t, `INSERT INTO migration (version, name, at) VALUES ((SELECT MAX(version) + 1 FROM migration), '9999_newer.sql', 0)`)
		load.Acknowledged(t, 50, c.Nodes[1:]...)
		old.Launch(t)
		if output, err := old.Ended(t); err == nil || !strings.Contains(output, "newer datestoned") {
			t.Errorf("an older program over a newer schema: %v\n%s", err, output)
		}
		load.End(t)
		c.SQL(t, `DELETE FROM migration WHERE name = '9999_newer.sql'`)
		c.Check(t)
		for _, n := range c.Nodes[1:] {
			n.Terminate(t)
		}
	}
}
