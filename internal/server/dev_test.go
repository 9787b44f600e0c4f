package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/ots"
)

// runDev runs a development server over dir and returns it with what stops it.
func runDev(t *testing.T, dir string) (*Dev, func()) {
	t.Helper()
	d, err := OpenDev(t.Context(), DevOptions{
		Dir: dir, Listen: "127.0.0.1:0", RPCListen: "127.0.0.1:0", Every: 500 * time.Millisecond, Version: "test", Log: testLog{t},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	return d, func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("ended with %v", err)
		}
	}
}

// complete waits for the proof of a commitment.
func complete(t *testing.T, base string, commitment []byte) *ots.Timestamp {
	t.Helper()
	var status int
	var body string
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if status, body = get(t, fmt.Sprintf("%s/timestamp/%x", base, commitment)); status == 200 {
			stamp, err := ots.ParseTimestamp([]byte(body), len(commitment))
			if err != nil {
				t.Fatal(err)
			}
			return stamp
		}
		if body == "Not found" {
			t.Fatal("an acknowledged commitment is not found")
		}
	}
	t.Fatalf("no proof in time: %d %q", status, body)
	return nil
}

// verify checks every Bitcoin attestation of a proof against the chain's own headers.
func verify(t *testing.T, d *Dev, stamp *ots.Timestamp, commitment []byte) {
	t.Helper()
	checked := 0
	err := stamp.Walk(commitment, func(n *ots.Timestamp, msg []byte) error {
		for _, a := range n.Attestations() {
			height, ok := a.Height()
			if !ok {
				continue
			}
			var hash, raw string
			call(t, d, "getblockhash", &hash, height)
			call(t, d, "getblockheader", &raw, hash, false)
			var header []byte
			if _, err := fmt.Sscanf(raw, "%x", &header); err != nil {
				return err
			}
			h, err := ots.ParseHeader(header)
			if err != nil {
				return err
			}
			if _, err := a.VerifyHeader(msg, h); err != nil {
				return err
			}
			checked++
		}
		return nil
	})
	if err != nil || checked == 0 {
		t.Errorf("%d attestations hold, %v", checked, err)
	}
}

// call asks the chain's RPC.
func call(t *testing.T, d *Dev, method string, result any, params ...any) {
	t.Helper()
	body, err := json.Marshal(map[string]any{"jsonrpc": "1.0", "id": 1, "method": method, "params": params})
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.RPC(), bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth(DevUser, DevPassword)
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &struct{ Result any }{result}); err != nil {
		t.Fatalf("%s: %v in %s", method, err, text)
	}
}

// TestDev stamps, waits and verifies, restarts in the same folder, and does it again.
func TestDev(t *testing.T) {
	dir := t.TempDir()
	d, stop := runDev(t, dir)
	first := submitTo(t, d.URI(), "first", d.URI())
	verify(t, d, complete(t, d.URI(), first), first)
	if _, body := get(t, d.URI()+"/"); !strings.Contains(body, "TEST NETWORK") {
		t.Error("the page does not say that this is a test network")
	}
	stop()

	d, stop = runDev(t, dir)
	defer stop()
	verify(t, d, complete(t, d.URI(), first), first)
	second := submitTo(t, d.URI(), "second", d.URI())
	verify(t, d, complete(t, d.URI(), second), second)
}

func TestDevInATemporaryFolder(t *testing.T) {
	d, stop := runDev(t, "")
	if _, err := os.Stat(d.Dir); err != nil {
		t.Error(err)
	}
	stop()
	if _, err := os.Stat(d.Dir); !os.IsNotExist(err) {
		t.Errorf("the temporary folder is still there: %v", err)
	}
}

// TestDevAccount: a development server that keeps its folder has its account in the state that it promises, at
// every start.
func TestDevAccount(t *testing.T) {
	dir := t.TempDir()
	for start := range 2 {
		d, stop := runDev(t, dir)
		a, err := d.db.AccountByEmail(t.Context(), DevAccount)
		holder, keyErr := d.db.KeyHolder(t.Context(), account.KeyHash(DevKey))
		if err != nil || keyErr != nil || holder.ID != a.ID || a.Plan != "business" || a.Suspended || account.CheckKey("datestone_live_", DevKey) != nil {
			t.Errorf("start %d: %+v, %v, %v", start, a, err, keyErr)
		}
		all, err := d.db.Accounts(t.Context(), 0, 10)
		if err != nil || len(all) != 1 {
			t.Errorf("start %d: accounts %+v, %v", start, all, err)
		}
		for _, err := range []error{
			d.db.SetKey(t.Context(), time.Now(), a.ID, account.KeyHash("another"), "x"),
			d.db.SetPlan(t.Context(), a.ID, "free"), d.db.SetSuspended(t.Context(), a.ID, true),
		} {
			if err != nil {
				t.Error(err)
			}
		}
		stop()
	}
}
