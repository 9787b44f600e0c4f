package cluster

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/datestone/datestone/ots"
)

// Status is the part of the status page that tests read.
type Status struct {
	Address string `json:"address"`
	Log     struct {
		Epoch int   `json:"epoch"`
		Size  int64 `json:"size"`
	} `json:"log"`
	Targets []struct {
		Code     string `json:"code"`
		Message  string `json:"message"`
		Height   int64  `json:"height"`
		Attested []struct {
			Epoch   int   `json:"epoch"`
			Size    int64 `json:"size"`
			Counted int64 `json:"counted"`
		} `json:"attested"`
	} `json:"targets"`
}

// Status asks for the node's status page.
func (n *Node) Status(t testing.TB) (s Status) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", n.URL+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/json")
	res, err := httpClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&s); err != nil {
		t.Fatalf("status page of %s, %s: %v", n.Name, res.Status, err)
	}
	return s
}

// ask is [Node.Get] that goes on while the node says to try again.
func (n *Node) ask(path string) (status int, body string) {
	for deadline := time.Now().Add(limit); ; {
		if status, body = n.Get(path); status != http.StatusServiceUnavailable || time.Now().After(deadline) {
			return status, body
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// Knows ends the test unless the node knows every commitment: it answers with a
// proof, or says that the proof is pending or waits for confirmations. It returns how
// many proofs are complete.
func (n *Node) Knows(t testing.TB, commitments []string) (complete int) {
	t.Helper()
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(16)
	for _, commitment := range commitments {
		g.Go(func() error {
			status, body := n.ask("/timestamp/" + commitment)
			waits := strings.HasPrefix(body, "Pending") || strings.HasPrefix(body, "Timestamped by transaction")
			if status != http.StatusOK && (status != http.StatusNotFound || !waits) {
				return fmt.Errorf("acknowledged commitment %s at %s: %d %.200s", commitment, n.Name, status, body)
			}
			if status == http.StatusOK {
				mu.Lock()
				defer mu.Unlock()
				complete++
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	return complete
}

// Check waits until everything that was acknowledged has its proof and ends the test
// unless every living node has each, the chain agrees, positions are dense, nothing was written without its lease, and
// fsck finds nothing with the mark of any node. Without a chain no proof is looked for.
func (c *Cluster) Check(t testing.TB) {
	t.Helper()
	commitments, living := c.Acks.Commitments(), c.Living()
	if len(commitments) == 0 || len(living) == 0 {
		t.Fatalf("nothing to check: %d commitments, %d living nodes", len(commitments), len(living))
	}
	began := time.Now()
	defer func() {
		t.Logf("checked %d commitments on %d nodes in %v", len(commitments), len(living), time.Since(began).Round(time.Millisecond))
	}()
	if c.options.Chain != nil {
		c.Attested(t)
	}
	for _, n := range living {
		if n.Ready(t); c.options.Chain != nil {
			c.proven(t, n, commitments)
		} else {
			n.Knows(t, commitments)
		}
	}
	if c.options.Database != "" {
		c.Dense(t)
		if c.options.Chain != nil {
			c.Fenced(t)
		}
	}
	for _, n := range c.Nodes {
		n.Must(t, "fsck")
	}
}

// Attested mines until every acknowledged commitment has a proof.
func (c *Cluster) Attested(t testing.TB) {
	t.Helper()
	newest := make(map[string]string) // by epoch
	for _, commitment := range c.Acks.Commitments() {
		epoch := commitment[:4]
		newest[epoch] = max(newest[epoch], commitment) // positions come first, and are big-endian
	}
	last := slices.Collect(maps.Values(newest))
	asked := c.Living()[0]
	c.options.Chain.Until(t, "the newest commitments have their proofs", func() bool { return asked.Knows(t, last) == len(last) })
}

// proven ends the test unless the node has a proof of each commitment whose Bitcoin
// attestation agrees with the chain.
func (c *Cluster) proven(t testing.TB, n *Node, commitments []string) {
	t.Helper()
	var mu sync.Mutex
	headers := make(map[uint64]ots.Header)
	header := func(height uint64) (ots.Header, error) {
		mu.Lock()
		defer mu.Unlock()
		h, known := headers[height]
		if known {
			return h, nil
		}
		h, err := c.options.Chain.header(t.Context(), height)
		headers[height] = h
		return h, err
	}
	g, ctx := errgroup.WithContext(t.Context())
	g.SetLimit(8)
	for _, commitment := range commitments {
		g.Go(func() error {
			status, body := n.ask("/timestamp/" + commitment)
			if status != http.StatusOK {
				return fmt.Errorf("commitment %s at %s: %d %.200s", commitment, n.Name, status, body)
			}
			if err := verify(ctx, commitment, []byte(body), header); err != nil {
				return fmt.Errorf("proof of %s from %s: %w", commitment, n.Name, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
}

func verify(ctx context.Context, commitment string, proof []byte, header func(uint64) (ots.Header, error)) error {
	message, err := hex.DecodeString(commitment)
	if err != nil {
		return err
	}
	parsed, err := ots.ParseTimestamp(proof, len(message))
	if err != nil {
		return err
	}
	attested := 0
	err = parsed.Walk(message, func(n *ots.Timestamp, msg []byte) error {
		for _, a := range n.Attestations() {
			height, ok := a.Height()
			if !ok {
				continue
			}
			h, err := header(height)
			if err != nil {
				return err
			}
			if _, err := a.VerifyHeader(msg, h); err != nil {
				return err
			}
			attested++
		}
		return ctx.Err()
	})
	if err == nil && attested == 0 {
		err = fmt.Errorf("no attestation of a block")
	}
	return err
}

// Dense ends the test unless the database shows every position of every epoch up to
// its head and no other, at one moment that may be in the middle of load.
func (c *Cluster) Dense(t testing.TB) {
	t.Helper()
	holes := c.SQL(t, `
		SELECT 'epoch ' || epoch || ': ' || entries || ' entries up to index ' || last || ', and a head of size ' || size FROM (
			SELECT h.epoch, h.size, COUNT(e.position) AS entries, COALESCE(MAX(e.position & ((1::bigint << 48) - 1)), -1) AS last
			FROM (SELECT epoch, size FROM epoch UNION ALL SELECT epoch, size FROM head) h LEFT JOIN entry e ON e.position >> 48 = h.epoch
			GROUP BY h.epoch, h.size) x
		WHERE entries <> size OR last <> size - 1
		UNION ALL
		SELECT 'entry ' || position || ' is in no epoch' FROM entry
		WHERE position >> 48 NOT IN (SELECT epoch FROM epoch UNION SELECT epoch FROM head)`)
	if holes != "" {
		t.Fatalf("positions are not dense: %s", holes)
	}
}
