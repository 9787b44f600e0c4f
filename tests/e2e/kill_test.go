package e2e

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/datestone/datestone/internal/devchain"
	"github.com/datestone/datestone/ots"
)

var killRounds = flag.Int("kill.rounds", 50, "how often TestKill kills the service")

// acks are the commitments that the service acknowledged, by position.
type acks struct {
	mu    sync.Mutex
	all   map[uint64]string // position to commitment in hex
	order []string          // distinct commitments as they came
	count int               // acknowledged digests
}

// add notes one answer to POST /digest.
func (a *acks) add(digest, reply []byte) error {
	commitment, err := pending(digest, reply)
	if err != nil {
		return fmt.Errorf("the answer to a digest: %w", err)
	}
	if len(commitment) != 40 {
		return fmt.Errorf("a commitment of %d bytes", len(commitment))
	}
	position, text := binary.BigEndian.Uint64(commitment), hex.EncodeToString(commitment)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.count++
	before, known := a.all[position]
	if known && before != text {
		return fmt.Errorf("position %d was given out twice: %s and %s", position, before, text)
	}
	if !known {
		a.all[position] = text
		a.order = append(a.order, text)
	}
	return nil
}

func (a *acks) total() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.count
}

// since returns the commitments from number n on.
func (a *acks) since(n int) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.order[n:])
}

// pending returns the message that the pending attestation of a reply stands on.
func pending(digest, reply []byte) (message []byte, err error) {
	t, err := ots.ParseTimestamp(reply, len(digest))
	if err != nil {
		return nil, err
	}
	err = t.Walk(digest, func(n *ots.Timestamp, msg []byte) error {
		for _, a := range n.Attestations() {
			if a.Kind() == ots.KindPending {
				message = bytes.Clone(msg)
			}
		}
		return nil
	})
	if err == nil && message == nil {
		err = errors.New("no pending attestation")
	}
	return message, err
}

// load posts random digests over several connections until ctx ends. Requests that
// fail are not repeated; answers that are wrong are an error.
func (a *acks) load(ctx context.Context, url string, workers int) error {
	transport := &http.Transport{MaxIdleConnsPerHost: workers}
	defer transport.CloseIdleConnections()
	c := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	g, ctx := errgroup.WithContext(ctx)
	for w := range workers {
		source := rand.NewChaCha8([32]byte{byte(w), byte(a.total()), byte(a.total() >> 8), byte(a.total() >> 16)})
		g.Go(func() error {
			for ctx.Err() == nil {
				digest := make([]byte, 32)
				source.Read(digest)
				status, reply, err := post(ctx, c, url, digest)
				if err != nil || status == http.StatusServiceUnavailable {
					pause(ctx, 5*time.Millisecond)
					continue
				}
				if status != http.StatusOK {
					return fmt.Errorf("POST /digest: %d %.200s", status, reply)
				}
				if err := a.add(digest, reply); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

func post(ctx context.Context, c *http.Client, url string, digest []byte) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, "POST", url+"/digest", bytes.NewReader(digest))
	if err != nil {
		return 0, nil, err
	}
	res, err := c.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	reply, err := io.ReadAll(io.LimitReader(res.Body, 1<<16))
	return res.StatusCode, reply, err
}

// pause lets other goroutines run for a while; nothing depends on its length.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// known ends the test unless the service knows every commitment: it answers with a
// proof, or says that the proof is pending or waits for confirmations.
func known(t *testing.T, url string, commitments []string) (complete int) {
	t.Helper()
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(16)
	for _, commitment := range commitments {
		g.Go(func() error {
			status, body := get(url + "/timestamp/" + commitment)
			waits := strings.HasPrefix(body, "Pending") || strings.HasPrefix(body, "Timestamped by transaction")
			if status != http.StatusOK && (status != http.StatusNotFound || !waits) {
				return fmt.Errorf("acknowledged commitment %s: %d %.200s", commitment, status, body)
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

// proven ends the test unless each commitment has a proof whose Bitcoin attestation
// agrees with the chain.
func proven(t *testing.T, url string, c *devchain.Chain, commitments []string) {
	t.Helper()
	headers := make(map[uint64]ots.Header)
	for _, commitment := range commitments {
		status, body := get(url + "/timestamp/" + commitment)
		if status != http.StatusOK {
			t.Fatalf("commitment %s at the end: %d %.200s", commitment, status, body)
		}
		message, err := hex.DecodeString(commitment)
		if err != nil {
			t.Fatal(err)
		}
		proof, err := ots.ParseTimestamp([]byte(body), len(message))
		if err != nil {
			t.Fatalf("proof of %s: %v", commitment, err)
		}
		attested := 0
		err = proof.Walk(message, func(n *ots.Timestamp, msg []byte) error {
			for _, a := range n.Attestations() {
				height, ok := a.Height()
				if !ok {
					continue
				}
				if _, ok := headers[height]; !ok {
					headers[height] = header(t, c, height)
				}
				if _, err := a.VerifyHeader(msg, headers[height]); err != nil {
					return err
				}
				attested++
			}
			return nil
		})
		if err != nil || attested == 0 {
			t.Fatalf("proof of %s: %d attestations hold, %v", commitment, attested, err)
		}
	}
}

func header(t *testing.T, c *devchain.Chain, height uint64) ots.Header {
	t.Helper()
	hash, err := c.Call(t.Context(), "getblockhash", fmt.Appendf(nil, "[%d]", height))
	if err != nil {
		t.Fatal(err)
	}
	text, err := c.Call(t.Context(), "getblockheader", fmt.Appendf(nil, "[%q,false]", hash.(chainhash.Hash).String()))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := hex.DecodeString(text.(string))
	if err != nil {
		t.Fatal(err)
	}
	h, err := ots.ParseHeader(raw)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// The service is killed again and again under load, while it anchors, blocks come
// and go, and the node fails now and then. Whatever it acknowledged it knows ever after, no position is given out
// twice, every proof becomes complete, and fsck finds nothing.
func TestKill(t *testing.T) {
	c, dev := devChain(t)
	s := serve(t, &c.rpc, "", "confirmations = 3")
	c.funded(t, s)

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	blocks := make(chan error, 1)
	go func() { blocks <- dev.Run(ctx, 200*time.Millisecond) }()

	a := &acks{all: make(map[uint64]string)}
	random := rand.New(rand.NewPCG(1, 2))
	checked := 0
	began := time.Now()
	for round := range *killRounds {
		loading, end := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() { done <- a.load(loading, s.URL, 12) }()

		// A moment between the first answers and a few dozen commits later.
		before := a.total()
		limit := time.NewTimer(20 * time.Second)
		for want := before + 1 + random.IntN(1000); a.total() < want; {
			select {
			case <-limit.C:
				t.Fatalf("round %d: only %d answers in 20 s\n%s", round, a.total()-before, s.Tail())
			case err := <-done:
				t.Fatalf("round %d: %v", round, err)
			default:
				pause(ctx, time.Millisecond)
			}
		}
		limit.Stop()
		s.Kill()
		end()
		if err := <-done; err != nil {
			t.Fatalf("round %d: %v", round, err)
		}

		// The chain has its own troubles meanwhile.
		switch dev.Intercept(nil); round % 8 {
		case 2:
			if err := dev.Reorg(1 + random.IntN(6)); err != nil {
				t.Fatal(err)
			}
		case 4:
			dev.ForgetMempool()
		case 6:
			dev.Intercept(func(string) error { return errors.New("the node is down") })
		}
		s.start(t)
		known(t, s.URL, a.since(checked))
		checked = len(a.since(0))
		old := a.since(0)
		random.Shuffle(len(old), func(i, j int) { old[i], old[j] = old[j], old[i] })
		known(t, s.URL, old[:min(len(old), 100)])
	}
	t.Logf("%d kills in %v: %d digests acknowledged in %d entries", *killRounds, time.Since(began).Round(time.Millisecond), a.count, len(a.all))
	if len(a.all) < *killRounds {
		t.Fatalf("only %d entries were acknowledged in %d rounds", len(a.all), *killRounds)
	}

	dev.Intercept(nil)
	stop()
	if err := <-blocks; err != nil {
		t.Fatal(err)
	}
	last := a.all[slices.Max(slices.Collect(maps.Keys(a.all)))]
	c.until(t, "the newest commitment has its proof", func() bool { return known(t, s.URL, []string{last}) == 1 })
	proven(t, s.URL, dev, a.since(0))
	s.fsck(t)
	if err := s.Terminate(t, 30*time.Second); err != nil {
		t.Fatalf("SIGTERM: %v", err)
	}
	s.fsck(t)
}
