// Package cluster runs several datestoned processes over one database and one
// regtest chain, for tests that break them and look for what was lost.
//
//	chain := cluster.NewChain(t)
//	c := cluster.Start(t, cluster.Options{Program: path, Nodes: 3, Database: pg.URL(), Chain: chain})
//	load := c.Load(t, cluster.Clients{Count: 24}) // they go to another node on an error
//	c.Nodes[0].Kill()                             // and Stop, Continue, Restart
//	load.Acknowledged(t, 1000)                    // waits for so many more digests
//	load.End(t)
//	c.Check(t)                                    // everything acknowledged is proven, fsck is clean
package cluster

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/datestone/datestone/internal/testnode"
	"github.com/datestone/datestone/internal/testpg"
)

// Options say what runs.
type Options struct {
	Program  string // path of datestoned
	Nodes    int    // default 1
	Database string // address of PostgreSQL, as testpg gives it; empty is a SQLite file in the folder of each node
	Chain    *Chain // nil anchors nowhere
	Settings string // more lines and tables for every configuration
}

// Cluster is a service of several nodes, and what it acknowledged.
type Cluster struct {
	Nodes []*Node
	Acks  *Acks

	options Options
}

// URI is the address that all nodes say they have. Nothing answers there.
const URI = "http://calendar.example.org"

// New makes the folders and configurations of the nodes and starts none.
func New(t testing.TB, o Options) *Cluster {
	t.Helper()
	testnode.LookAtSources()
	c := &Cluster{Acks: newAcks(), options: o}
	key := filepath.Join(t.TempDir(), "wallet.key")
	write(t, key, strings.Repeat("2a", 32)+"\n")
	for i := range max(1, o.Nodes) {
		dir := t.TempDir()
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(testnode.FreePort(t)))
		n := &Node{Name: fmt.Sprintf("node %d", i+1), URL: "http://" + address, Session: fmt.Sprintf("node%d", i+1), Dir: dir, Config: filepath.Join(dir, "datestone.toml"), program: o.Program}
		text := fmt.Sprintf("listen = %q\nuri = %q\ndata = %q\nmetrics = \"same\"\n", address, URI, n.Data())
		if o.Database != "" {
			text += fmt.Sprintf("database = %q\n", o.Database+"&application_name="+n.Session)
		}
		if o.Chain == nil {
			text += "targets = \"none\"\n"
		}
		text += o.Settings + "\n"
		if o.Chain != nil {
			text += fmt.Sprintf("[bitcoin]\nnetwork = \"regtest\"\nrpc_url = %q\nrpc_user = %q\nrpc_password = %q\nkey_file = %q\ninterval = \"1s\"\nresend = \"1s\"\nconfirmations = 3\n",
				o.Chain.rpc.URL, o.Chain.rpc.User, o.Chain.rpc.Pass, key)
		}
		write(t, n.Config, text)
		c.Nodes = append(c.Nodes, n)
	}
	return c
}

// Start is [New], and waits until all nodes are ready and the wallet has money.
func Start(t testing.TB, o Options) *Cluster {
	t.Helper()
	c := New(t, o)
	for _, n := range c.Nodes {
		n.Launch(t)
	}
	for _, n := range c.Nodes {
		n.Ready(t)
	}
	if o.Chain != nil && o.Database != "" {
		c.audit(t)
	}
	if o.Chain != nil {
		o.Chain.fund(t, c.Nodes[0])
	}
	return c
}

// MoveTo makes the nodes use another database from their next start on.
func (c *Cluster) MoveTo(t testing.TB, database string) {
	t.Helper()
	for _, n := range c.Nodes {
		text, err := os.ReadFile(n.Config)
		if err != nil {
			t.Fatal(err)
		}
		write(t, n.Config, strings.ReplaceAll(string(text), c.options.Database, database))
	}
	c.options.Database = database
}

// Living are the nodes that run and are not stopped.
func (c *Cluster) Living() []*Node {
	var living []*Node
	for _, n := range c.Nodes {
		if n.Running() && !n.stopped.Load() {
			living = append(living, n)
		}
	}
	return living
}

// SQL runs statements in the database, as psql does.
func (c *Cluster) SQL(t testing.TB, text string) string {
	t.Helper()
	return testpg.SQL(t, c.options.Database, text)
}

func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
