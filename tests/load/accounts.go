package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/store"
)

const (
	loadKey = "datestone_live_" + "llllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllll"
	// loadPlan takes all limits off.
	loadPlan = "creates_per_address = 1000000000\n[plans.load]\nquota = 1000000000\napi = true\nrequests = 1000000000\ncreates = 1000000000\n"
	batch    = 10_000
)

// withAccount makes a database in dir with the account of loadKey.
func withAccount(ctx context.Context, dir string) (*store.DB, account.Account, error) {
	db, err := store.Open(ctx, filepath.Join(dir, "datestone.db"), store.Options{})
	if err != nil {
		return nil, account.Account{}, err
	}
	a, err := db.CreateAccount(ctx, time.Now(), "load@example.org", "load")
	if err == nil {
		err = db.SetKey(ctx, time.Now(), a.ID, account.KeyHash(loadKey), "llll")
	}
	return db, a, err
}

// serveAccounts serves the account of loadKey, with these tables more.
func serveAccounts(ctx context.Context, l *lab, tables string) (*server, error) {
	dir, err := os.MkdirTemp("", "datestone-load-")
	if err != nil {
		return nil, err
	}
	db, _, err := withAccount(ctx, dir)
	if err != nil {
		return nil, err
	}
	if err := db.Close(); err != nil {
		return nil, err
	}
	return l.serve(ctx, dir, loadPlan+tables)
}

func restRequest(b []byte, method, path string, body []byte) []byte {
	b = fmt.Appendf(b, "%s %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n", method, path, loadKey)
	if body != nil {
		b = fmt.Appendf(b, "Content-Type: application/json\r\nIdempotency-Key: %s\r\nContent-Length: %d\r\n", rand.Text(), len(body))
	}
	b = append(b, "\r\n"...)
	return append(b, body...)
}

func appendItem(b []byte) []byte {
	var digest [32]byte
	rand.Read(digest[:])
	b = hex.AppendEncode(append(b, `{"sha256_hash":"`...), digest[:])
	return append(b, `","filename":"plan.pdf","file_size_bytes":1024,"file_type":"application/pdf"}`...)
}

func createRequest(_, _ int, b []byte) []byte {
	return restRequest(b, "POST", "/api/v1/timestamps", appendItem(nil))
}

func batchRequest(_, _ int, b []byte) []byte {
	body := []byte(`{"items":[`)
	for i := range batch {
		if i > 0 {
			body = append(body, ',')
		}
		body = appendItem(body)
	}
	return restRequest(b, "POST", "/api/v1/timestamps/batch", append(body, "]}"...))
}

// bareRows inserts rows like those of width creates, with an idempotency key for each or one for all, in one
// transaction after the other, and returns how many stamps a second that makes.
func bareRows(ctx context.Context, db *sql.DB, first *int64, length time.Duration, width int, keyEach bool) (float64, error) {
	begin, n := time.Now(), 0
	for time.Since(begin) < length {
		err := func() error {
			t, err := db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			defer t.Rollback()
			stamp, err := t.PrepareContext(ctx, `INSERT INTO stamp (account, number, id, certificate, digest, name, size, type, created, branding, thumbnail, public, nonce, leaf, position)
				VALUES (1, $1, $2, $3, $4, 'plan.pdf', 1024, 'application/pdf', $5, '', NULL, 0, $6, $7, $8)`)
			if err != nil {
				return err
			}
			key, err := t.PrepareContext(ctx, `INSERT INTO idempotency (account, name, payload, existing, expires) VALUES (1, $1, $2, $3, $4)`)
			if err != nil {
				return err
			}
			for i := range width {
				*first++
				random := make([]byte, 64)
				rand.Read(random)
				if _, err := stamp.ExecContext(ctx, *first, random[:16], "TS-"+rand.Text()[:10], random[16:48], *first, random[48:], *first%4096, *first/4096); err != nil {
					return err
				}
				if keyEach || i == 0 {
					if _, err := key.ExecContext(ctx, rand.Text(), random[:32], random[:1], *first); err != nil {
						return err
					}
				}
			}
			return t.Commit()
		}()
		if err != nil {
			return 0, err
		}
		n += width
	}
	return float64(n) / time.Since(begin).Seconds(), nil
}

// bareDatabase is a database with the schema and nothing in it.
func bareDatabase(ctx context.Context) (*sql.DB, func(), error) {
	dir, err := os.MkdirTemp("", "datestone-load-")
	if err != nil {
		return nil, nil, err
	}
	made, _, err := withAccount(ctx, dir)
	if err != nil {
		return nil, nil, err
	}
	if err := made.Close(); err != nil {
		return nil, nil, err
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "datestone.db")+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=wal_autocheckpoint(10000)&_pragma=cache_size(-8000)&_txlock=immediate")
	if err != nil {
		return nil, nil, err
	}
	db.SetMaxOpenConns(1)
	return db, func() { db.Close(); os.RemoveAll(dir) }, nil
}

// creates measures durable creates against the bare insertion of the same rows into the same kind of database.
func (l *lab) creates(ctx context.Context, connections []int) error {
	for _, n := range connections {
		if err := l.againstRows(ctx, fmt.Sprintf("creates, %d connections", n), n, 1, createRequest, n, true); err != nil {
			return err
		}
	}
	return nil
}

// batches measures requests of 10,000 hashes, and the memory of ten at a time.
func (l *lab) batches(ctx context.Context) error {
	for _, n := range []int{2, 10} {
		if err := l.againstRows(ctx, fmt.Sprintf("batches of %d, %d at a time", batch, n), n, batch, batchRequest, batch, false); err != nil {
			return err
		}
	}
	return nil
}

func (l *lab) againstRows(ctx context.Context, what string, connections, perRequest int, request func(int, int, []byte) []byte, width int, keyEach bool) error {
	s, err := serveAccounts(ctx, l, "")
	if err != nil {
		return err
	}
	defer os.RemoveAll(s.dir)
	defer s.stop()
	db, remove, err := bareDatabase(ctx)
	if err != nil {
		return err
	}
	defer remove()
	var ratios, rates, bares, micros, bareMicros []float64
	self, first := &server{cmd: &exec.Cmd{Process: &os.Process{Pid: os.Getpid()}}}, int64(0)
	for range l.rounds {
		used, before := self.processorTime(), first
		b, err := bareRows(ctx, db, &first, l.round, width, keyEach)
		if err != nil {
			return err
		}
		bareMicros = append(bareMicros, float64(self.processorTime()-used)/1e3/float64(first-before))
		r, err := driveWith(ctx, s, connections, l.round, true, request)
		if err != nil {
			return err
		}
		micros = append(micros, r.serverMicros()/float64(perRequest))
		rate := r.perSecond() * float64(perRequest)
		rates, bares, ratios = append(rates, rate), append(bares, b), append(ratios, rate/b)
	}
	peak, err := s.memory("VmHWM")
	if err != nil {
		return err
	}
	fmt.Printf("%-34s %8.0f stamps/s, bare rows %8.0f/s, ratio %.2f; processor time %.0f µs a stamp, bare %.0f µs; at most %.0f MB of memory\n",
		what, median(rates), median(bares), median(ratios), median(micros), median(bareMicros), float64(peak)/1e6)
	return nil
}

// kept is an account with many stamps and a server over them.
type kept struct {
	*server
	n      int
	ids    []account.ID // some of them
	before []time.Time  // some of their times
	get    []time.Duration
	list   []time.Duration
}

// reads measures GET of one stamp and of a page of 50 by status, among few stamps of an account and among many.
func (l *lab) reads(ctx context.Context, sizes []int) error {
	all := make([]*kept, len(sizes))
	for i, n := range sizes {
		var err error
		if all[i], err = l.keep(ctx, n); err != nil {
			return err
		}
		defer os.RemoveAll(all[i].dir)
		defer all[i].stop()
	}
	for range l.rounds {
		for _, k := range all {
			get, err := drive(ctx, k.server, 8, l.round, func(_, _ int, b []byte) []byte {
				return restRequest(b, "GET", "/api/v1/timestamps/"+k.ids[mathrand.IntN(len(k.ids))].String(), nil)
			})
			if err != nil {
				return err
			}
			list, err := drive(ctx, k.server, 8, l.round, func(_, i int, b []byte) []byte {
				before := k.before[mathrand.IntN(len(k.before))].Format("2006-01-02T15:04:05.000000Z")
				return restRequest(b, "GET", "/api/v1/timestamps?limit=50&status="+[]string{"all", "pending", "confirmed"}[i%3]+"&before="+before, nil)
			})
			if err != nil {
				return err
			}
			k.get, k.list = append(k.get, percentile(get.latencies, 99)), append(k.list, percentile(list.latencies, 99))
		}
	}
	for _, k := range all {
		get, list := median(k.get), median(k.list)
		fmt.Printf("among %8d stamps: p99 of get %v (%.2f of the first), of list %v (%.2f)\n", k.n,
			get.Round(time.Microsecond), float64(get)/float64(median(all[0].get)), list.Round(time.Microsecond), float64(list)/float64(median(all[0].list)))
	}
	return nil
}

// keep fills a database with n stamps of an account, half of them confirmed, and serves it.
func (l *lab) keep(ctx context.Context, n int) (*kept, error) {
	dir, err := os.MkdirTemp("", "datestone-load-")
	if err != nil {
		return nil, err
	}
	db, a, err := withAccount(ctx, dir)
	if err != nil {
		return nil, err
	}
	k := &kept{n: n}
	for done := 0; done < n; done += min(batch, n) {
		items := make([]account.Item, min(batch, n))
		for i := range items {
			items[i] = account.Item{SHA256: tip(done + i), File: account.File{Name: fmt.Sprintf("contract-%07d.pdf", done+i), Size: 1024, Type: "application/pdf"}}
			rand.Read(items[i].Nonce[:])
		}
		r, err := db.AppendStamps(ctx, time.Now(), []account.Create{{Account: a.ID, Items: items, Quota: 1 << 40}})
		if err != nil {
			return nil, err
		}
		for range 20 {
			s := r[0].Stamps[mathrand.IntN(len(items))]
			k.ids, k.before = append(k.ids, s.ID), append(k.before, s.Created)
		}
	}
	head, err := db.Head(ctx)
	if err != nil {
		return nil, err
	}
	if err := db.Close(); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "datestone.db")
	if err := attest(ctx, path, (head.Size+1)/2); err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	fmt.Printf("%d stamps: %.0f bytes of disk each, the log with them\n", n, float64(info.Size())/float64(n))
	k.server, err = l.serve(ctx, dir, loadPlan)
	return k, err
}

// attest writes a counted attestation of the log's first entries, which nobody made.
func attest(ctx context.Context, path string, size int64) error {
	db, err := sql.Open("sqlite", path)
	if err != nil {
		return err
	}
	defer db.Close()
	for _, text := range []string{
		`INSERT INTO target (name, genesis, height, status, updated) VALUES ('bitcoin', '', 2000, '{}', 0)`,
		`INSERT INTO attestation (target, purpose, epoch, size, root, proof, height, block, block_time, ref, state, changed)
			VALUES ('bitcoin', 'log', 0, ` + fmt.Sprint(size) + `, zeroblob(32), zeroblob(800), 1000, zeroblob(32), 1700000000, '` + strings.Repeat("ab", 32) + `', 1, 0)`,
	} {
		if _, err := db.ExecContext(ctx, text); err != nil {
			return err
		}
	}
	return nil
}

// percentile is the smallest of the values that p in a hundred do not exceed. It sorts them.
func percentile(values []time.Duration, p int) time.Duration {
	slices.Sort(values)
	return values[min(len(values)-1, len(values)*p/100)]
}
