package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/store"
	"github.com/datestone/datestone/internal/testpg"
)

func openStore(t *testing.T, where string, o store.Options) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), where, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// wholeLog reads the head and all entries.
func wholeLog(t *testing.T, where string) (logtree.Head, []store.Row) {
	t.Helper()
	db := openStore(t, where, store.Options{ReadOnly: true})
	defer db.Close()
	head, err := db.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rows, err := db.Entries(t.Context(), 0, 1_000_000)
	if err != nil {
		t.Fatal(err)
	}
	return head, rows
}

// halfCopied says whether a copy into a database has begun and not ended.
func halfCopied(t *testing.T, where string) bool {
	db, err := store.Open(t.Context(), where, store.Options{ReadOnly: true})
	if err != nil {
		return false // nothing is there yet
	}
	defer db.Close()
	_, err = db.Head(t.Context())
	return errors.Is(err, store.ErrUnfinished)
}

// TestStoreCopyKilled: kill -9 at any moment of a copy, and then again, loses nothing and leaves nothing that
// could be taken for a store.
func TestStoreCopyKilled(t *testing.T) {
	const entries, rounds = 8000, 5
	file, server := filepath.Join(t.TempDir(), "datestone.db"), testpg.Shared(t).NewDatabase(t)
	for _, where := range []string{file, server} {
		db := openStore(t, where, store.Options{EpochEntries: 3000})
		for range 4 {
			tips := make([][32]byte, entries/4)
			for i := range tips {
				tips[i] = [32]byte{byte(rand.Uint32()), byte(i), byte(i >> 8), byte(rand.Uint32())}
			}
			if _, err := db.Append(t.Context(), time.Now(), tips); err != nil {
				t.Fatal(err)
			}
		}
		db.Close()
	}
	ways := []struct {
		from string
		to   func() string
	}{
		{file, func() string { return testpg.Shared(t).NewDatabase(t) }},
		{server, func() string { return filepath.Join(t.TempDir(), "datestone.db") }},
	}
	halves := 0
	for _, way := range ways {
		head, rows := wholeLog(t, way.from)
		began := time.Now()
		if out, err := exec.Command("datestoned", "store", "copy", "--from="+way.from, "--to="+way.to()).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		takes := time.Since(began)
		for round := range rounds {
			to := way.to()
			// First as soon as it copies, then at any moment.
			for _, aimed := range []bool{true, false} {
				cmd := exec.Command("datestoned", "store", "copy", "--from="+way.from, "--to="+to)
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				ended := make(chan struct{})
				go func() {
					cmd.Wait()
					close(ended)
				}()
				var moment <-chan time.Time
				if !aimed {
					moment = time.After(rand.N(takes))
				}
				for waits := true; waits; {
					select {
					case <-moment:
						waits = false
					case <-ended:
						waits = false
					case <-time.After(time.Millisecond):
						waits = !aimed || !halfCopied(t, to)
					}
				}
				cmd.Process.Kill()
				<-ended
				if halfCopied(t, to) {
					halves++
				}
			}
			out, err := exec.Command("datestoned", "store", "copy", "--json", "--from="+way.from, "--to="+to).CombinedOutput()
			var result copyResult
			if err != nil || json.Unmarshal(out, &result) != nil || !result.Check.Clean() || result.Check.Entries != int64(len(rows)) {
				t.Fatalf("round %d: %v\n%s", round, err, out)
			}
			gotHead, gotRows := wholeLog(t, to)
			if gotHead != head || !reflect.DeepEqual(gotRows, rows) {
				t.Fatalf("round %d: the copy has another log", round)
			}
		}
	}
	t.Logf("%d kills left half a copy", halves)
	if halves == 0 {
		t.Error("no copy was killed between its beginning and its end")
	}
}

// TestStoreCopyAndServe moves a calendar with an attestation to PostgreSQL: half a copy is not served, a whole one
// goes on at the next position.
func TestStoreCopyAndServe(t *testing.T) {
	folder := t.TempDir()
	dev := start(t, "dev", "--listen=127.0.0.1:0", "--rpc-listen=127.0.0.1:0", "--every=500ms", "--dir="+folder)
	dir := filepath.Join(folder, "calendar")
	from, to := filepath.Join(dir, "datestone.db"), testpg.Shared(t).NewDatabase(t)
	if code, _, stderr := runHere(t, "store", "copy", "--from="+from, "--to="+to); code != exitFailed || !strings.Contains(stderr, "in use by another process: stop datestoned first") {
		t.Fatalf("copying what is in use: code %d, %s", code, stderr)
	}
	c, err := dial(dev.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if status, _, err := c.post(fmt.Sprintf("%032d", 1)); err != nil || status != http.StatusOK {
		t.Fatal(status, err)
	}
	db := openStore(t, from, store.Options{ReadOnly: true})
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		all, err := db.AllAttestations(t.Context(), 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		if len(all) > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the entry is not attested")
		}
	}
	db.Close()
	dev.stop(t)

	code, stdout, stderr := runHere(t, "store", "copy", "--json", "--from="+from, "--to="+to)
	var result copyResult
	if err := json.Unmarshal([]byte(stdout), &result); code != 0 || err != nil || result.Check.Attestations == 0 || result.Check.Attempts == 0 || result.Already {
		t.Fatalf("code %d: %s\n%s", code, stdout, stderr)
	}
	address, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := address.User.Password()
	code, stdout, stderr = runHere(t, "store", "copy", "--from="+from, "--to="+to)
	if code != 0 || !strings.Contains(stdout, "everything recomputes") || strings.Contains(stdout+stderr, password) {
		t.Fatalf("code %d: %s\n%s", code, stdout, stderr)
	}

	// What a copy leaves until its last transaction.
	testpg.SQL(t, to, `CREATE TABLE put_aside AS SELECT * FROM head; DELETE FROM head`)
	for _, command := range []string{"serve --uri=" + testURI + " --targets=none", "fsck --offline", "epoch new --reason=no"} {
		code, _, stderr = runHere(t, append(strings.Fields(command), "--data="+dir, "--database="+to)...)
		if code == 0 || !strings.Contains(stderr, store.ErrUnfinished.Error()) {
			t.Errorf("%s on half a copy: code %d, %s", command, code, stderr)
		}
	}
	testpg.SQL(t, to, `INSERT INTO head SELECT * FROM put_aside; DROP TABLE put_aside`)

	node := serve(t, dir, "--database="+to)
	if c, err = dial(node.addr); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	digest := fmt.Sprintf("%032d", 2)
	status, body, err := c.post(digest)
	if err != nil || status != http.StatusOK {
		t.Fatal(status, err)
	}
	if e, err := entryOf(body, []byte(digest)); err != nil || e.Position() != logtree.Position(result.Size) {
		t.Errorf("the first position after the copy of %d entries is %v: %v", result.Size, e.Position(), err)
	}
	node.stop(t)
}
