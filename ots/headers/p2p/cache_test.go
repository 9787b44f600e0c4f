package p2p

import (
	"bytes"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/datestone/datestone/ots"
)

// What is kept and damaged is fetched anew.
func TestDamagedCache(t *testing.T) {
	raw := blocks(600)
	damage := map[string]func(b []byte) []byte{
		"empty":               func(b []byte) []byte { return nil },
		"cut off":             func(b []byte) []byte { return b[:len(b)-1] },
		"without its end":     func(b []byte) []byte { return b[:len(b)-ots.HeaderSize] },
		"a header of another": func(b []byte) []byte { b[len(b)/2]++; return b },
		"last header":         func(b []byte) []byte { b[len(b)-40]++; return b },
		"checksum":            func(b []byte) []byte { b[len(b)-1]++; return b },
		"another version":     func(b []byte) []byte { b[18] = '2'; return b },
		"another network":     func(b []byte) []byte { b[30]++; return b },
		"another base":        func(b []byte) []byte { b[len(cacheMagic)+32]++; return b },
		"something else":      func(b []byte) []byte { return bytes.Repeat([]byte("hello "), 100) },
	}
	for name, damaged := range damage {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := Config{Dir: t.TempDir()}
				want(t, source(t, cfg, newFake(raw)), raw)
				file := filepath.Join(cfg.Dir, "regtest", "0.headers")
				b, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, damaged(bytes.Clone(b)), 0o600); err != nil {
					t.Fatal(err)
				}
				f := newFake(raw)
				want(t, source(t, cfg, f), raw)
				if _, served := f.Counts(); served != 600 {
					t.Errorf("%d headers were fetched", served)
				}
				if again, err := os.ReadFile(file); err != nil || !bytes.Equal(again, b) {
					t.Errorf("the file was not repaired: %d bytes, %v", len(again), err)
				}
			})
		})
	}
}

// A header that breaks a rule is not believed because it lay in the cache with a right checksum.
func TestForgedCache(t *testing.T) {
	raw := blocks(50)
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{Dir: t.TempDir()}
		s := source(t, cfg, newFake(raw))
		forged := bytes.Clone(raw)
		forged[30*ots.HeaderSize+40]++ // a Merkle root
		c := s.empty(0)
		c.run = run{}
		c.run.append(forged)
		if err := s.write(c); err != nil {
			t.Fatal(err)
		}
		want(t, s, raw)
	})
}

// Where nothing can be written the answer is the same.
func TestUnwritableCache(t *testing.T) {
	raw := blocks(50)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		want(t, source(t, Config{Dir: file}, newFake(raw)), raw)
	})
}

// What a killed process left is removed after an hour.
func TestLeftOver(t *testing.T) {
	dir := t.TempDir()
	young, old := filepath.Join(dir, "regtest", ".new-1"), filepath.Join(dir, "regtest", ".new-2")
	if err := os.Mkdir(filepath.Dir(old), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{young, old} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(old, time.Time{}, time.Now().Add(-2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	s := source(t, Config{Dir: dir}, newFake(blocks(0)))
	s.save(s.empty(0))
	if _, err := os.Stat(old); !os.IsNotExist(err) {
		t.Errorf("the old one: %v", err)
	}
	if _, err := os.Stat(young); err != nil {
		t.Errorf("the young one, which another process may be writing: %v", err)
	}
}

// Several at once use one folder, and each finds a whole file or none.
func TestCacheOfTwo(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	for i := range 4 {
		raw := blocks(600, 300+i, i+1)
		wg.Go(func() {
			for range 3 {
				s := source(t, Config{Dir: dir}, newFake(raw))
				s.save(s.load(0))
				c := s.empty(0)
				b, err := c.branch(0)
				if err != nil {
					t.Error(err)
					return
				}
				for h := ots.HeaderSize; h < len(raw); h += ots.HeaderSize {
					if err := b.add(raw[h:h+ots.HeaderSize], now); err != nil {
						t.Error(err)
						return
					}
				}
				b.join()
				if err := s.write(c); err != nil {
					t.Error(err)
				}
				if err := s.read(s.empty(0)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	left, err := filepath.Glob(filepath.Join(dir, "regtest", ".new-*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
}
