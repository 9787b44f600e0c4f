package testnode

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"
)

// RPC calls a node's JSON-RPC. It is deliberately not the client of the code
// under test.
type RPC struct {
	URL        string // "http://127.0.0.1:PORT", no trailing slash
	User, Pass string
	Version    string // of JSON-RPC; "1.0" if empty
}

// RPCError is an error that the node answered.
type RPCError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Status  int    `json:"-"` // the HTTP status that it came with
}

func (e *RPCError) Error() string {
	return fmt.Sprintf("node says %d: %s (HTTP %d)", e.Code, e.Message, e.Status)
}

// ErrorCode returns the node's error code, or 0 when err is not an [RPCError].
func ErrorCode(err error) int {
	if e, ok := errors.AsType[*RPCError](err); ok {
		return e.Code
	}
	return 0
}

var client = &http.Client{Timeout: 60 * time.Second}

// Call makes one call and decodes the result into out, unless out is nil. An
// error that the node itself answers is an [RPCError].
func (r RPC) Call(out any, method string, params ...any) error {
	if params == nil {
		params = []any{}
	}
	body, err := json.Marshal(map[string]any{"jsonrpc": cmp.Or(r.Version, "1.0"), "id": 1, "method": method, "params": params})
	if err != nil {
		return err
	}
	req, err := http.NewRequest("POST", r.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.SetBasicAuth(r.User, r.Pass)
	req.Header.Set("Content-Type", "application/json")
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(res.Body, 64<<20))
	if err != nil {
		return err
	}
	var answer struct {
		Result json.RawMessage `json:"result"`
		Error  *RPCError       `json:"error"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return fmt.Errorf("%s: HTTP %d and no JSON: %.200q", method, res.StatusCode, raw)
	}
	if answer.Error != nil {
		answer.Error.Status = res.StatusCode
		return answer.Error
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer.Result, out)
}

// Must is [RPC.Call] that ends the test on any error.
func (r RPC) Must(t testing.TB, out any, method string, params ...any) {
	t.Helper()
	if err := r.Call(out, method, params...); err != nil {
		t.Fatalf("%s %v: %v", method, params, err)
	}
}

// Wallet returns the same node's RPC for one loaded wallet of a bitcoind.
func (r RPC) Wallet(name string) RPC {
	r.URL += "/wallet/" + name
	return r
}

// Eventually calls ok until it is true, and ends the test when that takes longer
// than limit.
func Eventually(t testing.TB, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("not within %v: %s", limit, what)
		case <-tick.C:
		}
	}
}
