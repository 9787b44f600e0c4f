package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/store"
)

// lab measures one binary.
type lab struct {
	binary string
	round  time.Duration
	rounds int
}

// postRequest is a POST of a random digest.
func postRequest(_, _ int, b []byte) []byte {
	b = append(b, "POST /digest HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 32\r\n\r\n"...)
	n := len(b)
	b = append(b, make([]byte, 32)...)
	rand.Read(b[n:])
	return b
}

// compare drives both servers in turn and prints medians of the rounds.
func (l *lab) compare(ctx context.Context, what string, connections int, real, bare *server, request, bareRequest func(int, int, []byte) []byte) error {
	var ratios, perSecond, barePerSecond, micros, bareMicros, microsRatios []float64
	var medians []time.Duration
	for range l.rounds {
		b, err := drive(ctx, bare, connections, l.round, bareRequest)
		if err != nil {
			return fmt.Errorf("bare server: %w", err)
		}
		r, err := drive(ctx, real, connections, l.round, request)
		if err != nil {
			return fmt.Errorf("datestoned: %w", err)
		}
		ratios = append(ratios, r.perSecond()/b.perSecond())
		perSecond = append(perSecond, r.perSecond())
		barePerSecond = append(barePerSecond, b.perSecond())
		medians = append(medians, median(r.latencies))
		micros = append(micros, r.serverMicros())
		bareMicros = append(bareMicros, b.serverMicros())
		microsRatios = append(microsRatios, r.serverMicros()/b.serverMicros())
	}
	fmt.Printf("%-24s %5d connections: %8.0f/s, bare %8.0f/s, ratio %.2f, median %v",
		what, connections, median(perSecond), median(barePerSecond), median(ratios), median(medians).Round(time.Microsecond))
	if used := median(micros); used > 0 {
		fmt.Printf("; processor time of the server %.0f µs a request, bare %.0f µs, ratio %.2f", used, median(bareMicros), median(microsRatios))
	}
	fmt.Println()
	return nil
}

// post measures POST /digest within the token bucket's burst.
func (l *lab) post(ctx context.Context, connections []int) error {
	real, b, err := l.pair(ctx, "burst = 10000000\n")
	if err != nil {
		return err
	}
	defer real.stop()
	defer b.stop()
	commit, err := bareCommit(ctx, real.dir)
	if err != nil {
		return err
	}
	fmt.Printf("one durable commit of a row of the same size: median %v\n", commit.Round(time.Microsecond))
	for _, n := range connections {
		if err := l.compare(ctx, "POST /digest", n, real, b, postRequest, postRequest); err != nil {
			return err
		}
	}
	return nil
}

// sustained measures POST /digest past the burst.
func (l *lab) sustained(ctx context.Context) error {
	real, b, err := l.pair(ctx, "burst = 100\n")
	if err != nil {
		return err
	}
	defer real.stop()
	defer b.stop()
	if _, err := drive(ctx, real, 64, 3*time.Second, postRequest); err != nil {
		return err
	}
	return l.compare(ctx, "POST past the burst", 64, real, b, postRequest, postRequest)
}

// pair starts a datestoned over an empty log and a bare server that answers what it answers.
func (l *lab) pair(ctx context.Context, settings string) (real, b *server, err error) {
	dir, err := os.MkdirTemp("", "datestone-load-")
	if err != nil {
		return nil, nil, err
	}
	if real, err = l.serve(ctx, dir, settings); err != nil {
		return nil, nil, err
	}
	response, err := http.Post("http://"+real.address+"/digest", "application/octet-stream", bytes.NewReader(make([]byte, 32)))
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	reply, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, nil, err
	}
	b, err = bare(ctx, reply)
	return real, b, err
}

// bareCommit is the median time of one durable SQLite commit of a row like an entry's, on the same disk.
func bareCommit(ctx context.Context, dir string) (time.Duration, error) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "commit.db")+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate")
	if err != nil {
		return 0, err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, `CREATE TABLE entry (position INTEGER PRIMARY KEY, tip BLOB, nodes BLOB, at BIGINT)`); err != nil {
		return 0, err
	}
	row := make([]byte, 32)
	var all []time.Duration
	for i := range 2000 {
		start := time.Now()
		if _, err := db.ExecContext(ctx, `INSERT INTO entry VALUES ($1, $2, $3, $4)`, i, row, row, i); err != nil {
			return 0, err
		}
		all = append(all, time.Since(start))
	}
	return median(all), nil
}

func tip(i int) [32]byte { return sha256.Sum256(fmt.Append(nil, i)) }

// fill makes a log of n entries in the folder of a datestoned.
func fill(ctx context.Context, dir string, n int) error {
	db, err := store.Open(ctx, filepath.Join(dir, "datestone.db"), store.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	for done := 0; done < n; {
		tips := make([][32]byte, min(10_000, n-done))
		for i := range tips {
			tips[i] = tip(done + i)
		}
		if _, err := db.Append(ctx, time.Now(), tips); err != nil {
			return err
		}
		done += len(tips)
	}
	return nil
}

// get measures GET /timestamp of random confirmed entries in logs of these sizes.
func (l *lab) get(ctx context.Context, sizes []int) error {
	for _, n := range sizes {
		dir, err := os.MkdirTemp("", "datestone-load-")
		if err != nil {
			return err
		}
		if err := fill(ctx, filepath.Join(dir, "calendar"), n); err != nil {
			return err
		}
		if err := l.getFrom(ctx, dir, n); err != nil {
			return fmt.Errorf("log of %d: %w", n, err)
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}

func (l *lab) getFrom(ctx context.Context, dir string, n int) error {
	real, err := l.dev(ctx, dir)
	if err != nil {
		return err
	}
	defer real.stop()
	reply, err := confirmed(ctx, real.address, logtree.NewEntry(logtree.Position(n/2), tip(n/2)))
	if err != nil {
		return err
	}
	b, err := bare(ctx, reply)
	if err != nil {
		return err
	}
	defer b.stop()
	request := func(_, _ int, b []byte) []byte {
		i := mathrand.IntN(n)
		e := logtree.NewEntry(logtree.Position(i), tip(i))
		b = append(b, "GET /timestamp/"...)
		b = hex.AppendEncode(b, e[:])
		return append(b, " HTTP/1.1\r\nHost: x\r\nAccept: application/vnd.opentimestamps.v1\r\n\r\n"...)
	}
	return l.compare(ctx, fmt.Sprintf("GET, log of %d", n), 64, real, b, request, request)
}

// confirmed waits for the proof of an entry.
func confirmed(ctx context.Context, address string, e logtree.Entry) ([]byte, error) {
	deadline := time.Now().Add(3 * time.Minute)
	for time.Now().Before(deadline) {
		response, err := http.Get("http://" + address + "/timestamp/" + e.String())
		if err != nil {
			return nil, err
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil {
			return nil, err
		}
		if response.StatusCode == http.StatusOK {
			return body, nil
		}
		time.Sleep(500 * time.Millisecond)
	}
	return nil, errors.New("no proof in three minutes")
}

// start measures the time to the first answer, memory after a round of GETs of pending entries, and
// the disk, with logs of these sizes.
func (l *lab) start(ctx context.Context, sizes []int) error {
	for _, n := range sizes {
		dir, err := os.MkdirTemp("", "datestone-load-")
		if err != nil {
			return err
		}
		if err := fill(ctx, dir, n); err != nil {
			return err
		}
		info, err := os.Stat(filepath.Join(dir, "datestone.db"))
		if err != nil {
			return err
		}
		begin := time.Now()
		s, err := l.serve(ctx, dir, "")
		if err != nil {
			return err
		}
		took := time.Since(begin)
		if _, err := drive(ctx, s, 64, l.round, postRequest); err != nil {
			return err
		}
		memory, err := s.memory("VmRSS")
		if err != nil {
			return err
		}
		s.stop()
		fmt.Printf("log of %d entries: starts in %v, %.0f MB of memory after load, %.1f bytes of disk an entry\n",
			n, took.Round(time.Millisecond), float64(memory)/1e6, float64(info.Size())/float64(n))
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}
