package cluster_test

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/datestone/datestone/internal/testpg"
	"github.com/datestone/datestone/tests/cluster"
)

// An older backup is put back. The nodes refuse to start over it and say what to do; after
// that they go on, what the backup has keeps its proofs, and no position is given out
// twice.
func TestRestore(t *testing.T) {
	t.Parallel()
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		pg := testpg.Shared(t)
		db, file := pg.NewDatabase(t), filepath.Join(t.TempDir(), "datestone.dump")
		restore(t, cluster.Options{Nodes: 2, Database: db},
			func(*cluster.Cluster) { testpg.Dump(t, db, file) },
			func(c *cluster.Cluster) {
				older := pg.NewDatabase(t)
				testpg.Restore(t, file, older)
				c.MoveTo(t, older)
			})
	})
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "datestone.db")
		restore(t, cluster.Options{},
			func(c *cluster.Cluster) {
				db, err := sql.Open("sqlite", filepath.Join(c.Nodes[0].Data(), "datestone.db"))
				if err != nil {
					t.Fatal(err)
				}
				defer db.Close()
				if _, err := db.ExecContext(t.Context(), "VACUUM INTO ?", file); err != nil {
					t.Fatal(err)
				}
			},
			func(c *cluster.Cluster) {
				old := filepath.Join(c.Nodes[0].Data(), "datestone.db")
				for _, part := range []string{"-wal", "-shm"} {
					if err := os.Remove(old + part); err != nil && !os.IsNotExist(err) {
						t.Fatal(err)
					}
				}
				if err := os.Rename(file, old); err != nil {
					t.Fatal(err)
				}
			})
	})
}

func restore(t *testing.T, o cluster.Options, backup, putBack func(*cluster.Cluster)) {
	chain := cluster.NewChain(t)
	o.Program, o.Chain = program, chain
	c := cluster.Start(t, o)
	load := c.Load(t, cluster.Clients{Count: 8})
	load.Acknowledged(t, 200)
	load.End(t)
	c.Attested(t)
	load = c.Load(t, cluster.Clients{Count: 8})
	load.Acknowledged(t, 200)
	load.End(t)
	kept := c.Acks.Commitments()
	backup(c)

	load = c.Load(t, cluster.Clients{Count: 8})
	load.Acknowledged(t, 200)
	load.End(t)
	c.Attested(t)
	c.Acks.Lose(c.Acks.Commitments()[len(kept):])
	for _, n := range c.Nodes {
		n.Kill()
	}
	putBack(c)
	for _, n := range c.Nodes {
		n.Launch(t)
		if output, err := n.Ended(t); err == nil || !strings.Contains(output, "datestoned epoch new --reason") {
			t.Errorf("%s over an older database: %v\n%s", n.Name, err, output)
		}
		if out, err := n.Command(t, "fsck"); err == nil || !strings.Contains(out, "high-water mark") {
			t.Errorf("fsck of an older database: %v\n%s", err, out)
		}
	}
	if out := c.Nodes[0].Must(t, "epoch", "new", "--reason", "restored from backup"); !strings.Contains(out, "epoch 1") {
		t.Error(out)
	}
	for _, n := range c.Nodes {
		n.Start(t)
	}
	load = c.Load(t, cluster.Clients{Count: 8})
	load.Acknowledged(t, 200)
	load.End(t)
	c.Check(t)
	if got := fmt.Sprint(c.Nodes[0].Status(t).Log.Epoch); got != "1" {
		t.Errorf("the log is in epoch %s", got)
	}
}
