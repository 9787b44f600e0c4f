package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// limit bounds everything that ought to take seconds.
const limit = 60 * time.Second

// Load is many clients that post random digests, one after another. They go to
// another node now and then, and when one fails them.
type Load struct {
	Refused     atomic.Int64 // answers 503
	Unreachable atomic.Int64 // connections that were refused or broke
	Unanswered  atomic.Int64 // requests that were given up for want of patience
	slowest     atomic.Int64 // the longest time to an answer, of either kind, in nanoseconds

	cluster *Cluster
	pause   time.Duration
	byNode  []atomic.Int64 // digests that each node acknowledged
	end     context.CancelFunc
	done    chan error
}

// Clients are how a load is made.
type Clients struct {
	Count    int
	Patience time.Duration // how long each waits for an answer; default 45 s
	Pause    time.Duration // between an answer and the next digest
}

// Load starts clients. Whoever starts them ends them with [Load.End].
func (c *Cluster) Load(t testing.TB, o Clients) *Load {
	t.Helper()
	if o.Patience == 0 {
		o.Patience = 45 * time.Second
	}
	ctx, end := context.WithCancel(t.Context())
	l := &Load{cluster: c, pause: o.Pause, byNode: make([]atomic.Int64, len(c.Nodes)), end: end, done: make(chan error, 1)}
	g, ctx := errgroup.WithContext(ctx)
	transport := &http.Transport{MaxIdleConnsPerHost: o.Count}
	for i := range o.Count {
		g.Go(func() error {
			return l.client(ctx, &http.Client{Transport: transport, Timeout: o.Patience}, i%len(c.Nodes))
		})
	}
	go func() {
		defer transport.CloseIdleConnections()
		l.done <- g.Wait()
	}()
	return l
}

// End ends the clients. Answers that are wrong end the test.
func (l *Load) End(t testing.TB) {
	t.Helper()
	l.end()
	err := <-l.done
	l.done <- nil
	if err != nil {
		t.Fatal(err)
	}
}

// Slowest is the longest time that an answer took.
func (l *Load) Slowest() time.Duration {
	return time.Duration(l.slowest.Load()).Round(time.Millisecond)
}

func (l *Load) String() string {
	return fmt.Sprintf("%d acknowledged, %d refused, %d unreachable, %d unanswered, slowest answer %v",
		l.acknowledged(), l.Refused.Load(), l.Unreachable.Load(), l.Unanswered.Load(), l.Slowest())
}

func (l *Load) acknowledged() (sum int64) {
	for i := range l.byNode {
		sum += l.byNode[i].Load()
	}
	return sum
}

// Acknowledged waits until n more digests were acknowledged, by the named nodes or
// by any, and returns how long that took.
func (l *Load) Acknowledged(t testing.TB, n int, by ...*Node) time.Duration {
	t.Helper()
	count := func() (sum int64) {
		for i, node := range l.cluster.Nodes {
			if len(by) == 0 || slices.Contains(by, node) {
				sum += l.byNode[i].Load()
			}
		}
		return sum
	}
	began, want := time.Now(), count()+int64(n)
	for count() < want {
		select {
		case err := <-l.done:
			l.done <- nil
			t.Fatalf("the clients ended: %v", err)
		case <-time.After(5 * time.Millisecond):
		}
		if time.Since(began) > 2*limit {
			t.Fatalf("not within %v: %d more digests are acknowledged, %d are missing; %v", 2*limit, n, want-count(), l)
		}
	}
	return time.Since(began)
}

// client posts digests until ctx ends. Only an answer that is wrong is an error.
func (l *Load) client(ctx context.Context, c *http.Client, node int) error {
	digest := make([]byte, 32)
	for ctx.Err() == nil {
		for i := range digest {
			digest[i] = byte(rand.Uint32())
		}
		began := time.Now()
		res, reply, err := post(ctx, c, l.cluster.Nodes[node].URL, digest)
		took := time.Since(began)
		var timeout net.Error
		switch {
		case ctx.Err() != nil && err != nil:
			return nil
		case errors.As(err, &timeout) && timeout.Timeout():
			l.Unanswered.Add(1)
		case err != nil:
			l.Unreachable.Add(1)
		default:
			if err := l.answered(node, digest, res, reply); err != nil {
				return fmt.Errorf("%s after %v: %w", l.cluster.Nodes[node].Name, took, err)
			}
			for old := l.slowest.Load(); int64(took) > old && !l.slowest.CompareAndSwap(old, int64(took)); {
				old = l.slowest.Load()
			}
			if res.StatusCode == http.StatusOK {
				if rand.IntN(8) == 0 {
					node = rand.IntN(len(l.byNode))
				}
				sleep(ctx, l.pause)
				continue
			}
		}
		node = (node + 1) % len(l.byNode)
		sleep(ctx, max(l.pause, 5*time.Millisecond))
	}
	return nil
}

// answered notes an acknowledgement, or a refusal in the calendar's own form.
func (l *Load) answered(node int, digest []byte, res *http.Response, reply []byte) error {
	switch res.StatusCode {
	case http.StatusOK:
		if err := l.cluster.Acks.Add(digest, reply); err != nil {
			return err
		}
		l.byNode[node].Add(1)
		return nil
	case http.StatusServiceUnavailable:
		l.Refused.Add(1)
		if res.Header.Get("Retry-After") == "" || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/plain") || !strings.Contains(string(reply), "try again") {
			return fmt.Errorf("503 not in the calendar's form: %v %.200q", res.Header, reply)
		}
		return nil
	default:
		return fmt.Errorf("POST /digest: %s %.200q", res.Status, reply)
	}
}

func post(ctx context.Context, c *http.Client, url string, digest []byte) (*http.Response, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, "POST", url+"/digest", bytes.NewReader(digest))
	if err != nil {
		return nil, nil, err
	}
	res, err := c.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	reply, err := io.ReadAll(io.LimitReader(res.Body, 1<<16))
	return res, reply, err
}

// sleep paces clients; no test waits for its length.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
