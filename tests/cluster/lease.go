package cluster

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/datestone/datestone/internal/testnode"
)

// TargetLease is the lease of the loop that brings heads to the chain.
const TargetLease = "target/bitcoin"

// guarded are the tables that only the holder of a lease writes, by lease.
var guarded = map[string][]string{
	TargetLease: {"attempt", "attempt_use", "attestation", "block", "chain", "coin"},
}

// Holder waits until exactly one of the living nodes says that it runs the loop of
// this lease, and returns it.
func (c *Cluster) Holder(t testing.TB, lease string) (holder *Node) {
	t.Helper()
	testnode.Eventually(t, limit, "one living node has lease "+lease, func() bool {
		var all []*Node
		for _, n := range c.Living() {
			if _, metrics := n.Get("/metrics"); strings.Contains(metrics, fmt.Sprintf("\ndatestone_lease_held{name=%q} 1\n", lease)) {
				all = append(all, n)
			}
		}
		if len(all) != 1 {
			return false
		}
		holder = all[0]
		return true
	})
	return holder
}

// audit makes the database note which node takes a lease, and which writes what a
// lease guards. A node is known by the name of its sessions.
func (c *Cluster) audit(t testing.TB) {
	t.Helper()
	var b strings.Builder
	b.WriteString(`
		CREATE TABLE audit (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
			node TEXT NOT NULL DEFAULT current_setting('application_name'), lease TEXT NOT NULL, wrote TEXT, early BOOLEAN NOT NULL DEFAULT FALSE);
		CREATE INDEX audit_takes ON audit (lease, id) WHERE wrote IS NULL;
		CREATE FUNCTION note_take() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			INSERT INTO audit (lease, early) VALUES (NEW.name, TG_OP = 'UPDATE' AND OLD.holder <> NEW.holder AND
				OLD.expires > EXTRACT(EPOCH FROM clock_timestamp()) * 1000000); RETURN NULL; END $$;
		CREATE FUNCTION note_write() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			INSERT INTO audit (lease, wrote) VALUES (TG_ARGV[0], TG_OP || ' ' || TG_TABLE_NAME); RETURN NULL; END $$;
		CREATE TRIGGER note_take AFTER INSERT ON lease FOR EACH ROW EXECUTE FUNCTION note_take();
		CREATE TRIGGER note_take_again AFTER UPDATE ON lease FOR EACH ROW WHEN (NEW.token <> OLD.token) EXECUTE FUNCTION note_take();
	`)
	for lease, tables := range guarded {
		for _, table := range tables {
			fmt.Fprintf(&b, "CREATE TRIGGER note_write AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION note_write('%s');\n", table, lease)
		}
	}
	c.SQL(t, b.String())
}

// Fenced ends the test unless everything that a lease guards was written by the node
// that had taken the lease last, and no node took one that another still had.
func (c *Cluster) Fenced(t testing.TB) {
	t.Helper()
	if stale := c.SQL(t, `
		SELECT a.node || ': ' || a.wrote || ' at ' || a.at || ' while ' || held.node || ' had lease ' || a.lease
		FROM audit a CROSS JOIN LATERAL (SELECT node FROM audit WHERE lease = a.lease AND wrote IS NULL AND id < a.id ORDER BY id DESC LIMIT 1) held
		WHERE a.wrote IS NOT NULL AND a.node <> held.node
		UNION ALL
		SELECT node || ' took lease ' || lease || ' at ' || at || ' from its holder' FROM audit WHERE early AND node <> 'psql' LIMIT 20`); stale != "" {
		t.Fatalf("written without the lease:\n%s", stale)
	}
}

// Saved ends the test unless every transaction of ours in the best chain is in the
// database, where it was put before it was sent. A database that was restored does not
// have all.
func (c *Cluster) Saved(t testing.TB) {
	t.Helper()
	saved := strings.Fields(c.SQL(t, "SELECT ref FROM attempt"))
	anchors := c.options.Chain.Anchors(t)
	if len(anchors) == 0 {
		t.Error("no transaction of ours is in the chain")
	}
	for _, txid := range anchors {
		if !slices.Contains(saved, txid) {
			t.Errorf("transaction %s is in the chain and was not saved", txid)
		}
	}
}
