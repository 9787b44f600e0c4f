package bitcoin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/datestone/datestone/internal/anchor"
)

// Error codes of Bitcoin Core's RPC that something depends on.
const (
	rpcMisc           = -1  // among much else: a block that is pruned
	rpcInvalidAddress = -5  // and: no such block, no such transaction
	rpcWallet         = -4  // a wallet's failure; locked coins
	rpcKeypoolOut     = -12 // an encrypted wallet ran out of addresses
	rpcUnlockNeeded   = -13
	rpcNoWallet       = -18
	rpcWalletUnclear  = -19
	rpcVerify         = -25 // a transaction with missing inputs
	rpcRejected       = -26
	rpcInChain        = -27
	rpcWarmup         = -28
	rpcNoMethod       = -32601
)

// rpcError is an error that the node itself answered.
type rpcError struct {
	Method  string `json:"-"`
	Code    int    `json:"code"`
	Message string `json:"message"`
}

func (e *rpcError) Error() string { return fmt.Sprintf("%s: %s (%d)", e.Method, e.Message, e.Code) }

// rpcCode is the node's error code, or 0 for another error.
func rpcCode(err error) int {
	var e *rpcError
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}

const (
	// maxReply bounds a reply: a block of 4 million bytes in hexadecimal, and room.
	maxReply = 16 << 20
	// callTimeout bounds a call; scanTimeout one that reads all unspent outputs.
	callTimeout = 30 * time.Second
	scanTimeout = 20 * time.Minute
)

// rpc is a client of a node's JSON-RPC: Bitcoin Core's, btcd's or Litecoin Core's.
type rpc struct {
	net        network
	url        string // without user and password
	user, pass string
	cookie     string // path; used when there is no user
	http       *http.Client

	mu          sync.Mutex // guards credentials
	credentials string     // from the cookie file as read last
}

func newRPC(c Config, net network) (*rpc, error) {
	u, err := url.Parse(c.RPCURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("the node's RPC address must be like http://127.0.0.1:" + net.port)
	}
	r := &rpc{net: net, user: c.RPCUser, pass: c.RPCPassword, cookie: c.RPCCookie}
	if u.User != nil {
		if r.user != "" {
			return nil, errors.New("the node's user is given twice, in the RPC address and by itself: leave one out")
		}
		r.user = u.User.Username()
		r.pass, _ = u.User.Password()
		u.User = nil
	}
	if (r.user == "") == (r.cookie == "") {
		return nil, errors.New("give either a user and a password for the node's RPC, or the path of its cookie file")
	}
	r.url = strings.TrimSuffix(u.String(), "/")
	// A node is near: an environment's proxy is not meant for it.
	r.http = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2, IdleConnTimeout: 20 * time.Second}}
	return r, nil
}

// call calls a method at a path below the node's address and decodes its result into out, which may
// be nil. Errors are faults, except those that the node answers to the method itself.
func (r *rpc) call(ctx context.Context, timeout time.Duration, path string, out any, method string, params ...any) error {
	if params == nil {
		params = []any{}
	}
	body, err := json.Marshal(map[string]any{"jsonrpc": "1.0", "id": "datestone", "method": method, "params": params})
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	status, reply, err := r.post(ctx, path, body, false)
	if err == nil && status == http.StatusUnauthorized && r.user == "" {
		// The node writes another cookie at each start.
		status, reply, err = r.post(ctx, path, body, true)
	}
	if err != nil {
		return err
	}
	return r.decodeReply(status, reply, out, method)
}

func (r *rpc) post(ctx context.Context, path string, body []byte, fresh bool) (int, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	user, pass, err := r.login(fresh)
	if err != nil {
		return 0, nil, err
	}
	request.SetBasicAuth(user, pass)
	request.Header.Set("Content-Type", "application/json")
	response, err := r.http.Do(request)
	if err != nil {
		return 0, nil, anchor.Faultf(anchor.NodeDown, withoutURL(err), "The %s node at %s does not answer; start it.", r.net.chain.name, r.url)
	}
	defer response.Body.Close()
	reply, err := io.ReadAll(io.LimitReader(response.Body, maxReply+1))
	if err != nil {
		return 0, nil, anchor.Faultf(anchor.NodeDown, withoutURL(err), "The %s node at %s broke off its answer.", r.net.chain.name, r.url)
	}
	if len(reply) > maxReply {
		return 0, nil, anchor.Faultf(anchor.NodeError, nil, "The %s node at %s answered more than %d bytes.", r.net.chain.name, r.url, maxReply)
	}
	return response.StatusCode, reply, nil
}

// login is the user and password to use now.
func (r *rpc) login(fresh bool) (string, string, error) {
	if r.user != "" {
		return r.user, r.pass, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.credentials == "" || fresh {
		b, err := os.ReadFile(r.cookie)
		if errors.Is(err, os.ErrNotExist) {
			return "", "", anchor.Faultf(anchor.NodeDown, err, "There is no cookie file at %s: the node is not running, or keeps it elsewhere.", r.cookie)
		} else if err != nil {
			return "", "", anchor.Faultf(anchor.NodeAuth, err, "The cookie file %s cannot be read; let this user read it.", r.cookie)
		}
		r.credentials = strings.TrimSpace(string(b))
	}
	user, pass, ok := strings.Cut(r.credentials, ":")
	if !ok {
		r.credentials = ""
		return "", "", anchor.Faultf(anchor.NodeAuth, nil, "The file %s is not a cookie file of a %s node.", r.cookie, r.net.chain.name)
	}
	return user, pass, nil
}

// withoutURL takes the request's address off an error of net/http.
func withoutURL(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

func (c *rpc) decodeReply(status int, reply []byte, out any, method string) error {
	var r struct {
		Result json.RawMessage `json:"result"`
		Error  *rpcError       `json:"error"`
	}
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return anchor.Faultf(anchor.NodeAuth, nil, "The %s node refuses our user and password; correct them.", c.net.chain.name)
	case status == http.StatusServiceUnavailable:
		return anchor.Faultf(anchor.NodeDown, nil, "The %s node has no room for another call.", c.net.chain.name)
	case json.Unmarshal(reply, &r) != nil:
		return anchor.Faultf(anchor.NodeError, nil, "What answers as the %s node (HTTP status %d) is none.", c.net.chain.name, status)
	}
	if r.Error != nil {
		r.Error.Method = method
		if r.Error.Code == rpcWarmup {
			return anchor.Faultf(anchor.NodeWarmup, r.Error, "The %s node is starting: %s", c.net.chain.name, r.Error.Message)
		}
		return r.Error
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(r.Result, out); err != nil {
		return anchor.Faultf(anchor.NodeError, err, "The %s node's answer to %s is not understood.", c.net.chain.name, method)
	}
	return nil
}
