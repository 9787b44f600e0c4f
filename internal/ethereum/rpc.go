package ethereum

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/datestone/datestone/internal/anchor"
)

const (
	// maxReply bounds a reply: a full block of transactions as JSON, and room.
	maxReply = 64 << 20
	// callTimeout bounds a request.
	callTimeout = 30 * time.Second
	// batch is how many calls go in one request.
	batch = 50
)

// call is one call of a method, and what becomes of it.
type call struct {
	method string
	params []any
	out    any   // decoded into, unless it is nil
	err    error // what the node answered to this call
}

// rpcError is an error that the node itself answered.
type rpcError struct {
	Method  string `json:"-"`
	Code    int    `json:"code"`
	Message string `json:"message"`
}

func (e *rpcError) Error() string { return fmt.Sprintf("%s: %s (%d)", e.Method, e.Message, e.Code) }

// rpc is a client of a node's JSON-RPC.
type rpc struct {
	url        string // with what may be secret in it
	shown      string // without that
	user, pass string
	jwtFile    string
	http       *http.Client
}

func newRPC(c Config) (*rpc, error) {
	u, err := url.Parse(c.RPCURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("rpc_url must be like http://127.0.0.1:8545")
	}
	r := &rpc{user: c.RPCUser, pass: c.RPCPassword, jwtFile: c.RPCJWTFile}
	if u.User != nil {
		if r.user != "" {
			return nil, errors.New("the node's user is given twice, in rpc_url and as rpc_user: leave one out")
		}
		r.user = u.User.Username()
		r.pass, _ = u.User.Password()
		u.User = nil
	}
	if r.user != "" && r.jwtFile != "" {
		return nil, errors.New("give a user and a password for the node or rpc_jwt_file, not both")
	}
	// A path or a query may be a key.
	r.url, r.shown = u.String(), u.Scheme+"://"+u.Host
	// A node is near: an environment's proxy is not meant for it.
	r.http = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2, IdleConnTimeout: 20 * time.Second}}
	return r, nil
}

// do makes the calls, in requests of batch each. Its error is a fault; what the node answered to a call is in the call.
func (r *rpc) do(ctx context.Context, calls ...*call) error {
	for ; len(calls) > batch; calls = calls[batch:] {
		if err := r.request(ctx, calls[:batch]); err != nil {
			return err
		}
	}
	if len(calls) == 0 {
		return nil
	}
	return r.request(ctx, calls)
}

type rpcRequest struct {
	Version string `json:"jsonrpc"`
	ID      int    `json:"id"`
	Method  string `json:"method"`
	Params  []any  `json:"params"`
}

type rpcReply struct {
	ID     *int            `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *rpcError       `json:"error"`
}

func (r *rpc) request(ctx context.Context, calls []*call) error {
	requests := make([]rpcRequest, len(calls))
	for i, c := range calls {
		requests[i] = rpcRequest{"2.0", i, c.method, c.params}
		if c.params == nil {
			requests[i].Params = []any{}
		}
	}
	var body []byte
	var err error
	if len(calls) == 1 { // some nodes are told to take no batches
		body, err = json.Marshal(requests[0])
	} else {
		body, err = json.Marshal(requests)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", calls[0].method, err)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	status, reply, err := r.post(ctx, body)
	if err != nil {
		return err
	}
	return r.decode(status, reply, calls)
}

func (r *rpc) post(ctx context.Context, body []byte) (int, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	if r.user != "" {
		request.SetBasicAuth(r.user, r.pass)
	}
	if r.jwtFile != "" {
		token, err := jwt(r.jwtFile, time.Now())
		if err != nil {
			return 0, nil, err
		}
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := r.http.Do(request)
	if err != nil {
		return 0, nil, anchor.Faultf(anchor.NodeDown, withoutURL(err), "The node at %s does not answer; start it, or correct rpc_url.", r.shown)
	}
	defer response.Body.Close()
	reply, err := io.ReadAll(io.LimitReader(response.Body, maxReply+1))
	if err != nil {
		return 0, nil, anchor.Faultf(anchor.NodeDown, err, "The node at %s broke off its answer.", r.shown)
	}
	if len(reply) > maxReply {
		return 0, nil, anchor.Faultf(anchor.NodeError, nil, "The node at %s answered more than %d bytes.", r.shown, maxReply)
	}
	return response.StatusCode, reply, nil
}

// decode hands the replies out to their calls.
func (r *rpc) decode(status int, reply []byte, calls []*call) error {
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return anchor.Faultf(anchor.NodeAuth, nil, "The node at %s refuses our user and password or token; correct rpc_user and rpc_password, or rpc_jwt_file.", r.shown)
	case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable || status == http.StatusBadGateway || status == http.StatusGatewayTimeout:
		return anchor.Faultf(anchor.NodeDown, nil, "The node at %s has no room for another call (HTTP status %d); waiting.", r.shown, status)
	}
	var replies []rpcReply
	if bytes.HasPrefix(bytes.TrimLeft(reply, " \t\r\n"), []byte("[")) {
		if err := json.Unmarshal(reply, &replies); err != nil {
			return r.strange(status, err)
		}
	} else {
		var one rpcReply
		if err := json.Unmarshal(reply, &one); err != nil {
			return r.strange(status, err)
		}
		if len(calls) > 1 {
			if one.Error != nil {
				return anchor.Faultf(anchor.NodeError, one.Error, "The node at %s refuses several calls in one request; use one that takes them.", r.shown)
			}
			return r.strange(status, nil)
		}
		zero := 0
		one.ID = &zero
		replies = []rpcReply{one}
	}
	answered := make([]bool, len(calls))
	for _, a := range replies {
		if a.ID == nil || *a.ID < 0 || *a.ID >= len(calls) || answered[*a.ID] {
			return r.strange(status, nil)
		}
		c := calls[*a.ID]
		answered[*a.ID] = true
		c.err = nil
		if a.Error != nil {
			a.Error.Method = c.method
			c.err = a.Error
			continue
		}
		if a.Result == nil {
			return r.strange(status, nil)
		}
		if c.out == nil {
			continue
		}
		if err := json.Unmarshal(a.Result, c.out); err != nil {
			return anchor.Faultf(anchor.NodeError, err, "The answer of the node at %s to %s is not understood.", r.shown, c.method)
		}
	}
	for i := range calls {
		if !answered[i] {
			return r.strange(status, nil)
		}
	}
	return nil
}

func (r *rpc) strange(status int, cause error) error {
	return anchor.Faultf(anchor.NodeError, cause, "What answers at %s (HTTP status %d) is no Ethereum node; correct rpc_url.", r.shown, status)
}

// withoutURL takes the request's address off an error of net/http.
func withoutURL(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

// jwt is a token of the secret in a file, as the engine API wants one: HS256 over the time.
func jwt(path string, now time.Time) (string, error) {
	text, err := readSecret(path)
	if err != nil {
		return "", anchor.Faultf(anchor.NodeAuth, err, "The file of rpc_jwt_file cannot be used: %v", err)
	}
	secret, err := hex.DecodeString(strings.TrimPrefix(text, "0x"))
	if err != nil || len(secret) != 32 {
		return "", anchor.Faultf(anchor.NodeAuth, nil, "The file %s holds no secret of 64 hexadecimal digits.", path)
	}
	part := base64.RawURLEncoding.EncodeToString
	signed := part([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + part(fmt.Appendf(nil, `{"iat":%d}`, now.Unix()))
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(signed))
	return signed + "." + part(mac.Sum(nil)), nil
}

// readSecret reads a short file that nobody else may read. Its errors never hold what the file holds.
func readSecret(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if private && info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("%s can be read by others: chmod 600 it", path)
	}
	b, err := io.ReadAll(io.LimitReader(f, 64<<10))
	return strings.TrimSpace(string(b)), err
}
