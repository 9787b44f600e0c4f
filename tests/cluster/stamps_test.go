package cluster_test

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/testpg"
	"github.com/datestone/datestone/tests/cluster"
)

const plans = `
creates_per_address = 1000000
[plans.wide]
quota = 1000000
api = true
requests = 1000000
creates = 1000000
[plans.narrow]
quota = 20
api = true
requests = 1000000
creates = 1000000
`

// client is an account with its key.
type client struct{ key string }

func newClient(t *testing.T, n *cluster.Node, email, plan string) *client {
	t.Helper()
	n.Must(t, "account", "create", email, "--plan", plan)
	var made struct {
		Secret string `json:"secret"`
	}
	out := n.Must(t, "key", "rotate", email, "--json")
	if _, object, _ := strings.Cut(out, "\n"); json.Unmarshal([]byte(object), &made) != nil || made.Secret == "" {
		t.Fatalf("key rotate: %s", out)
	}
	return &client{made.Secret}
}

// answer is what a node answered; status is 0 when it did not.
type answer struct {
	status int
	retry  string
	body   string
	code   string // of an error
}

func (c *client) do(n *cluster.Node, method, path, key, body string) answer {
	r, err := http.NewRequest(method, n.URL+path, strings.NewReader(body))
	if err != nil {
		return answer{body: err.Error()}
	}
	r.Header.Set("Authorization", "Bearer "+c.key)
	r.Header.Set("Content-Type", "application/json")
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	res, err := (&http.Client{Timeout: time.Minute}).Do(r)
	if err != nil {
		return answer{body: err.Error()}
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		return answer{body: err.Error()}
	}
	var failed struct{ Error struct{ Code string } }
	json.Unmarshal(raw, &failed)
	return answer{res.StatusCode, res.Header.Get("Retry-After"), string(raw), failed.Error.Code}
}

func (c *client) create(n *cluster.Node, key, body string) answer {
	return c.do(n, "POST", "/api/v1/timestamps", key, body)
}

// made is how many stamps the account has, and how much of its quota they used.
func (c *client) made(t *testing.T, n *cluster.Node) (stamps, used int) {
	t.Helper()
	var list struct {
		Total int `json:"total_count"`
	}
	var usage struct {
		Used int `json:"used"`
	}
	for path, into := range map[string]any{"/api/v1/timestamps?limit=1": &list, "/api/v1/usage": &usage} {
		if a := c.do(n, "GET", path, "", ""); a.status != 200 || json.Unmarshal([]byte(a.body), into) != nil {
			t.Fatalf("%s: %d %s", path, a.status, a.body)
		}
	}
	return list.Total, usage.Used
}

func newBody() string {
	var digest [32]byte
	rand.Read(digest[:])
	return fmt.Sprintf(`{"sha256_hash":%q,"filename":"plan.pdf","file_size_bytes":1024}`, hex.EncodeToString(digest[:]))
}

// together runs f for i from 0 to n-1 at once.
func together(n int, f func(i int) answer) []answer {
	all := make([]answer, n)
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() { all[i] = f(i) })
	}
	wg.Wait()
	return all
}

// tally counts answers by their code, or by their body when they are good.
func tally(all []answer) map[string]int {
	counts := make(map[string]int)
	for _, a := range all {
		if a.status == http.StatusCreated {
			counts[a.body]++
		} else {
			counts[fmt.Sprint(a.status, " ", a.code)]++
		}
	}
	return counts
}

// Idempotency keys, duplicates and quotas are exact when two processes decide them.
func TestStampsOfTwoNodes(t *testing.T) {
	t.Parallel()
	pg := testpg.Start(t, testpg.Options{})
	c := cluster.Start(t, cluster.Options{Program: program, Nodes: 2, Database: pg.URL(), Settings: plans})
	wide := newClient(t, c.Nodes[0], "wide@example.org", "wide")

	t.Run("one key", func(t *testing.T) {
		for range 20 {
			key, body := rand.Text(), newBody()
			if got := tally(together(6, func(i int) answer { return wide.create(c.Nodes[i%2], key, body) })); len(got) != 1 || got["500 "] != 0 {
				t.Fatalf("one request, repeated at once on both nodes: %v", got)
			}
		}
		if stamps, used := wide.made(t, c.Nodes[1]); stamps != 20 || used != 20 {
			t.Errorf("%d stamps, %d of the quota, want 20 of each", stamps, used)
		}
	})
	t.Run("one key, two requests", func(t *testing.T) {
		for range 20 {
			key, bodies := rand.Text(), []string{newBody(), newBody()}
			got := tally(together(6, func(i int) answer { return wide.create(c.Nodes[i%2], key, bodies[i%2]) }))
			if len(got) != 2 || got["409 IDEMPOTENCY_MISMATCH"] != 3 {
				t.Fatalf("two requests with one key on two nodes: %v", got)
			}
		}
	})
	t.Run("one hash", func(t *testing.T) {
		for range 20 {
			body := newBody()
			got := tally(together(6, func(i int) answer { return wide.create(c.Nodes[i%2], "", body) }))
			if len(got) != 2 || got["409 DUPLICATE_TIMESTAMP"] != 5 {
				t.Fatalf("one hash on two nodes: %v", got)
			}
		}
	})
	t.Run("quota", func(t *testing.T) {
		narrow := newClient(t, c.Nodes[1], "narrow@example.org", "narrow")
		got := tally(together(40, func(i int) answer { return narrow.create(c.Nodes[i%2], "", newBody()) }))
		if len(got) != 21 || got["403 MONTHLY_LIMIT_REACHED"] != 20 {
			t.Errorf("40 requests against a quota of 20: %v", got)
		}
		if stamps, used := narrow.made(t, c.Nodes[0]); stamps != 20 || used != 20 {
			t.Errorf("%d stamps, %d of the quota, want 20 of each", stamps, used)
		}
	})
	// The account is locked by somebody for longer than a request waits, as by a node that froze.
	t.Run("in progress", func(t *testing.T) {
		locked := make(chan string, 1)
		go func() { locked <- c.SQL(t, "BEGIN; SELECT id FROM account FOR UPDATE; SELECT pg_sleep(12); COMMIT") }()
		key, body := rand.Text(), newBody()
		deadline := time.Now().Add(10 * time.Second)
		seen := answer{status: http.StatusCreated}
		for time.Now().Before(deadline) && seen.status == http.StatusCreated { // the lock comes in a moment
			key, body = rand.Text(), newBody()
			seen = wide.create(c.Nodes[0], key, body)
		}
		if seen.status != http.StatusConflict || seen.code != "IDEMPOTENCY_IN_PROGRESS" || seen.retry != "1" {
			t.Errorf("while the account is locked: %+v", seen)
		}
		<-locked
		first := wide.create(c.Nodes[1], key, body)
		if again := wide.create(c.Nodes[0], key, body); first.status != http.StatusCreated || again != first {
			t.Errorf("after it: %+v, then %+v", first, again)
		}
	})
	c.Dense(t)
	c.Nodes[0].Must(t, "fsck")
}

// After a node was killed in the middle of its work each of its idempotency keys replays or was never used.
func TestKeysAfterKill(t *testing.T) {
	t.Parallel()
	pg := testpg.Start(t, testpg.Options{})
	c := cluster.Start(t, cluster.Options{Program: program, Nodes: 2, Database: pg.URL(), Settings: plans})
	wide := newClient(t, c.Nodes[0], "wide@example.org", "wide")
	total, lost := 0, 0
	for range 5 {
		type request struct {
			key, body string
			answer    answer
		}
		var mu sync.Mutex
		var all []*request
		var clients sync.WaitGroup
		for range 16 {
			clients.Go(func() {
				for {
					r := &request{key: rand.Text(), body: newBody()}
					mu.Lock()
					all = append(all, r)
					mu.Unlock()
					if r.answer = wide.create(c.Nodes[0], r.key, r.body); r.answer.status == 0 {
						return // killed
					}
				}
			})
		}
		deadline := time.Now().Add(time.Minute)
		for n := 0; n < 200 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			mu.Lock()
			n = len(all)
			mu.Unlock()
		}
		c.Nodes[0].Kill()
		clients.Wait()
		for _, r := range all {
			again := wide.create(c.Nodes[1], r.key, r.body)
			switch {
			case again.status != http.StatusCreated:
				t.Errorf("a request of before, repeated: %+v, before %+v", again, r.answer)
			case r.answer.status == 0:
				lost++
			case again != r.answer:
				t.Errorf("repeated:\n%+v\nbefore:\n%+v", again, r.answer)
			}
		}
		total += len(all)
		if stamps, used := wide.made(t, c.Nodes[1]); stamps != total || used != total {
			t.Errorf("%d requests made %d stamps and used %d of the quota", total, stamps, used)
		}
		c.Nodes[0].Start(t)
	}
	t.Logf("%d requests, %d without an answer at first", total, lost)
	c.Dense(t)
	c.Nodes[0].Must(t, "fsck")
}
