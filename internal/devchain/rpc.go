package devchain

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// Error is a JSON-RPC error with Core's codes.
type Error struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

func (e *Error) Error() string { return fmt.Sprintf("%s (%d)", e.Message, e.Code) }

// Core's error codes.
const (
	codeMisc           = -1
	codeType           = -3
	codeNotFound       = -5 // also for invalid addresses and descriptors
	codeParameter      = -8
	codeDecode         = -22
	codeVerify         = -25
	codeVerifyRejected = -26
	codeInChain        = -27
	codeInvalidRequest = -32600
	codeNoMethod       = -32601
	codeParse          = -32700
)

var errBlockNotFound = &Error{codeNotFound, "Block not found"}

const (
	maxBody  = 2*maxBlockSize + 64<<10 // a block in hex
	maxBatch = 1000
)

// Handler serves the chain's JSON-RPC at the path "/" with HTTP basic
// authentication, in the dialect of Bitcoin Core: versions 1.0, 1.1 and 2.0,
// batches, positional and named parameters. The caller's http.Server sets the
// timeouts.
func (c *Chain) Handler(user, pass string) http.Handler {
	want := sha256.Sum256([]byte(user + ":" + pass))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		if r.Method != http.MethodPost {
			http.Error(w, "JSONRPC server handles only POST requests", http.StatusMethodNotAllowed)
			return
		}
		u, p, _ := r.BasicAuth()
		got := sha256.Sum256([]byte(u + ":" + p))
		if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			w.Header().Set("WWW-Authenticate", `Basic realm="jsonrpc"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			http.Error(w, "the request's body cannot be read or is too large", http.StatusRequestEntityTooLarge)
			return
		}
		status, answer := c.serve(r.Context(), body)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		if answer != nil {
			w.Write(append(answer, '\n'))
		}
	})
}

type request struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Method  json.RawMessage `json:"method"`
	Params  json.RawMessage `json:"params"`
}

// serve answers one body: a call or a batch of them.
func (c *Chain) serve(ctx context.Context, body []byte) (int, []byte) {
	body = bytes.TrimLeft(body, " \t\r\n")
	if len(body) == 0 || body[0] != '[' {
		return c.serveOne(ctx, body)
	}
	var calls []json.RawMessage
	if err := json.Unmarshal(body, &calls); err != nil {
		return reply(request{}, nil, &Error{codeParse, "Parse error"})
	}
	if len(calls) > maxBatch {
		return reply(request{}, nil, &Error{codeInvalidRequest, fmt.Sprintf("a batch has at most %d calls", maxBatch)})
	}
	answers := []json.RawMessage{}
	for _, call := range calls {
		if _, answer := c.serveOne(ctx, call); answer != nil {
			answers = append(answers, answer)
		}
	}
	if len(answers) == 0 && len(calls) > 0 {
		return http.StatusNoContent, nil
	}
	all, err := json.Marshal(answers)
	if err != nil {
		return reply(request{}, nil, &Error{codeMisc, err.Error()})
	}
	return http.StatusOK, all
}

func (c *Chain) serveOne(ctx context.Context, body []byte) (int, []byte) {
	var r request
	if !json.Valid(body) {
		return reply(r, nil, &Error{codeParse, "Parse error"})
	}
	if err := json.Unmarshal(body, &r); err != nil || body[0] != '{' {
		return reply(r, nil, &Error{codeInvalidRequest, "Invalid Request object"})
	}
	if r.Method == nil {
		return reply(r, nil, &Error{codeInvalidRequest, "Missing method"})
	}
	var name string
	if err := json.Unmarshal(r.Method, &name); err != nil {
		return reply(r, nil, &Error{codeInvalidRequest, "Method must be a string"})
	}
	result, err := c.Call(ctx, name, r.Params)
	return reply(r, result, err)
}

// reply encodes an answer with the HTTP status that goes with it.
func reply(r request, result any, err error) (int, []byte) {
	var failure *Error
	if err != nil {
		var ok bool
		if failure, ok = errors.AsType[*Error](err); !ok {
			failure = &Error{codeMisc, err.Error()}
		}
	}
	status := http.StatusOK
	var answer any
	if r.Version == "2.0" {
		if r.ID == nil {
			return http.StatusNoContent, nil
		}
		type success struct {
			Version string          `json:"jsonrpc"`
			Result  any             `json:"result"`
			ID      json.RawMessage `json:"id"`
		}
		type fault struct {
			Version string          `json:"jsonrpc"`
			Error   *Error          `json:"error"`
			ID      json.RawMessage `json:"id"`
		}
		answer = success{"2.0", result, r.ID}
		if failure != nil {
			answer = fault{"2.0", failure, r.ID}
		}
	} else {
		answer = struct {
			Result any             `json:"result"`
			Error  *Error          `json:"error"`
			ID     json.RawMessage `json:"id"`
		}{result, failure, r.ID}
		switch {
		case failure == nil:
		case failure.Code == codeNoMethod:
			status = http.StatusNotFound
		case failure.Code == codeInvalidRequest:
			status = http.StatusBadRequest
		default:
			status = http.StatusInternalServerError
		}
	}
	raw, err := json.Marshal(answer)
	if err != nil {
		return http.StatusInternalServerError, nil
	}
	return status, raw
}

// Call makes one RPC call without HTTP. Params is a JSON array, an object with
// named parameters, or nil. The result encodes to the JSON that Core answers; an
// error is usually an [*Error].
func (c *Chain) Call(ctx context.Context, name string, params json.RawMessage) (any, error) {
	c.mu.Lock()
	hook := c.hook
	c.mu.Unlock()
	if hook != nil {
		if err := hook(name); err != nil {
			if _, ok := errors.AsType[*Error](err); ok {
				return nil, err
			}
			panic(http.ErrAbortHandler)
		}
	}
	m, ok := methods[name]
	if !ok {
		return nil, &Error{codeNoMethod, "Method not found"}
	}
	a, err := m.arguments(name, params)
	if err != nil {
		return nil, err
	}
	if m.wait != nil {
		return m.wait(ctx, c, a)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return m.run(c, a)
}

// method is one RPC method. Its parameters are named "height", or "verbose?" when
// one may be left out.
type method struct {
	params string
	run    func(c *Chain, a arguments) (any, error)
	wait   func(ctx context.Context, c *Chain, a arguments) (any, error) // in place of run, and without the lock
}

func (m method) usage(name string) *Error {
	return &Error{codeMisc, strings.TrimSpace(name + " " + m.params)}
}

// arguments are the values by position; one that was left out is nil.
type arguments []json.RawMessage

func (m method) arguments(name string, params json.RawMessage) (arguments, error) {
	names := strings.Fields(m.params)
	var given arguments
	switch first := bytes.TrimLeft(params, " \t\r\n"); {
	case len(first) == 0 || bytes.Equal(first, []byte("null")):
	case first[0] == '[':
		if err := json.Unmarshal(params, &given); err != nil {
			return nil, &Error{codeParse, "Parse error"}
		}
	case first[0] == '{':
		byName := make(map[string]json.RawMessage)
		if err := json.Unmarshal(params, &byName); err != nil {
			return nil, &Error{codeParse, "Parse error"}
		}
		given = make(arguments, len(names))
		for key, value := range byName {
			i := slices.IndexFunc(names, func(n string) bool { return strings.TrimSuffix(n, "?") == key })
			if i < 0 {
				return nil, &Error{codeParameter, "Unknown named parameter " + key}
			}
			given[i] = value
		}
	default:
		return nil, &Error{codeInvalidRequest, "Params must be an array or object"}
	}
	if len(given) > len(names) {
		return nil, m.usage(name)
	}
	a := make(arguments, len(names))
	copy(a, given)
	for i, n := range names {
		if bytes.Equal(a[i], []byte("null")) {
			a[i] = nil
		}
		if a[i] == nil && !strings.HasSuffix(n, "?") {
			return nil, m.usage(name)
		}
	}
	return a, nil
}

// value decodes argument i into out, which keeps its value when there is none.
func (a arguments) value(i int, out any) error {
	if a[i] == nil {
		return nil
	}
	if err := json.Unmarshal(a[i], out); err != nil {
		if e, ok := errors.AsType[*Error](err); ok {
			return e
		}
		return &Error{codeType, fmt.Sprintf("Wrong type passed: position %d: %v", i+1, err)}
	}
	return nil
}

// verbosity decodes a number or a truth value.
func (a arguments) verbosity(i, otherwise int) (int, error) {
	switch string(a[i]) {
	case "true":
		return 1, nil
	case "false":
		return 0, nil
	}
	n := otherwise
	return n, a.value(i, &n)
}

func (a arguments) hash(i int, name string) (chainhash.Hash, error) {
	var text string
	if err := a.value(i, &text); err != nil {
		return chainhash.Hash{}, err
	}
	if len(text) != 2*chainhash.HashSize {
		return chainhash.Hash{}, &Error{codeParameter, fmt.Sprintf("%s must be of length %d (not %d, for '%.100s')", name, 2*chainhash.HashSize, len(text), text)}
	}
	h, err := chainhash.NewHashFromStr(text)
	if err != nil {
		return chainhash.Hash{}, &Error{codeParameter, fmt.Sprintf("%s must be hexadecimal string (not '%s')", name, text)}
	}
	return *h, nil
}

func (c *Chain) block(a arguments, i int) (*block, error) {
	hash, err := a.hash(i, "hash")
	if err != nil {
		return nil, err
	}
	b := c.blocks[hash]
	if b == nil {
		return nil, errBlockNotFound
	}
	return b, nil
}
