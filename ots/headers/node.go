package headers

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"

	"github.com/datestone/datestone/ots"
)

// Node asks a Bitcoin or Litecoin node over JSON-RPC. It uses getblockhash, getblockheader and
// getblockcount only, in the form that Bitcoin Core, btcd and Litecoin Core take.
type Node struct {
	net    *Network
	url    url.URL // without user and password
	http   *http.Client
	user   string
	pass   string
	cookie string

	mu      sync.Mutex // guards genesis
	genesis bool       // block 0 was seen to be right
}

// NodeConfig says where a node is and how to get in.
type NodeConfig struct {
	// URL such as http://user:password@127.0.0.1:8332. A missing port is the
	// network's own.
	URL string
	// Cookie is the path of the node's .cookie file, which it writes anew at each
	// start; used when the URL has no user.
	Cookie string
	// HTTP performs the requests. Nil means a client with [DefaultTimeout] that uses
	// no proxy.
	HTTP *http.Client
}

// NewNode makes a source of a node's headers. Nothing is sent before the first question.
func NewNode(net *Network, cfg NodeConfig) (*Node, error) {
	u, err := baseURL(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("%s node: %w", strings.ToLower(net.Chain()), err)
	}
	n := &Node{net: net, url: *u, cookie: cfg.Cookie}
	if u.User != nil {
		n.user = u.User.Username()
		n.pass, _ = u.User.Password()
		n.url.User, n.cookie = nil, ""
	}
	if u.Port() == "" {
		n.url.Host = u.Host + ":" + net.RPCPort
	}
	if cfg.HTTP == nil {
		// A node is near; an environment's proxy is not meant for it.
		cfg.HTTP = &http.Client{Timeout: DefaultTimeout, Transport: &http.Transport{}}
	}
	n.http = client(cfg.HTTP)
	return n, nil
}

func (n *Node) String() string { return n.net.Chain() + " node " + n.url.Host }

// Unchecked implements [Source].
func (n *Node) Unchecked() []string {
	return []string{"that the block is in the best chain: taken from the " + n.net.Chain() + " node, which validates it"}
}

// Header implements [Source].
func (n *Node) Header(ctx context.Context, height uint64) (ots.Header, error) {
	if err := n.checkGenesis(ctx); err != nil {
		return ots.Header{}, err
	}
	if height > maxHeight {
		return ots.Header{}, fmt.Errorf("%w: %d", ErrNoBlock, height)
	}
	hash, err := n.blockHash(ctx, height)
	if err != nil {
		return ots.Header{}, err
	}
	var text string
	if err := n.call(ctx, &text, "getblockheader", hash, false); err != nil {
		return ots.Header{}, err
	}
	return parseNamed(n.net, height, hash, text)
}

// parseNamed parses a header given as hexadecimal text and checks that it is the one
// with the given hash, and its proof of work.
func parseNamed(net *Network, height uint64, hash, text string) (ots.Header, error) {
	raw, err := hex.DecodeString(strings.TrimSpace(text))
	if err != nil || len(raw) != headerLen {
		return ots.Header{}, fmt.Errorf("%w: block %d: not the hexadecimal digits of %d bytes", ErrBadHeader, height, headerLen)
	}
	h, err := ots.ParseHeader(raw)
	if err != nil {
		return ots.Header{}, fmt.Errorf("%w: block %d: %w", ErrBadHeader, height, err)
	}
	if HashString(h.Hash()) != hash {
		return ots.Header{}, fmt.Errorf("%w: block %d: its hash is not the one that was asked for", ErrBadHeader, height)
	}
	if height > 0 {
		if err := net.CheckWork(height, h); err != nil {
			return ots.Header{}, err
		}
	}
	return h, nil
}

// Tip implements [Source].
func (n *Node) Tip(ctx context.Context) (uint64, error) {
	if err := n.checkGenesis(ctx); err != nil {
		return 0, err
	}
	var tip uint64
	err := n.call(ctx, &tip, "getblockcount")
	return tip, err
}

func (n *Node) checkGenesis(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.genesis {
		return nil
	}
	hash, err := n.blockHash(ctx, 0)
	if err != nil {
		return err
	}
	if err := n.net.checkGenesis(hash, "the "+n.net.Chain()+" node"); err != nil {
		return err
	}
	n.genesis = true
	return nil
}

func (n *Node) blockHash(ctx context.Context, height uint64) (string, error) {
	var hash string
	if err := n.call(ctx, &hash, "getblockhash", height); err != nil {
		var re *rpcError
		// Out of range: Core says -8, btcd -1.
		if errors.As(err, &re) && (re.Code == -8 || re.Code == -1) {
			return "", fmt.Errorf("%w: the %s node has no block %d yet", ErrNoBlock, n.net.Chain(), height)
		}
		return "", err
	}
	return checkHash(hash)
}

func checkHash(hash string) (string, error) {
	hash = strings.TrimSpace(hash)
	if b, err := hex.DecodeString(hash); err != nil || len(b) != 32 || hash != strings.ToLower(hash) {
		return "", fmt.Errorf("%w: the answer is not a block hash", ErrBadHeader)
	}
	return hash, nil
}

// rpcError is an error that the node gave as such.
type rpcError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

func (e *rpcError) Error() string {
	return fmt.Sprintf("the node says: %s (%d)", clean(e.Message), e.Code)
}

func (n *Node) call(ctx context.Context, result any, method string, params ...any) error {
	if params == nil {
		params = []any{}
	}
	// btcd gives an empty answer to a request without "jsonrpc".
	body, err := json.Marshal(map[string]any{"jsonrpc": "1.0", "id": "datestone", "method": method, "params": params})
	if err != nil {
		return fmt.Errorf("calling %s: %w", method, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, n.url.String(), bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("calling %s: %w", method, err)
	}
	req.Header.Set("Content-Type", "application/json")
	user, pass, err := n.credentials()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	if user != "" || pass != "" {
		req.SetBasicAuth(user, pass)
	}
	resp, err := n.http.Do(req)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrUnreachable, n, plainError(err))
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		what := "refuses the user and password"
		if user == "" && pass == "" {
			what = "wants a user and password"
		}
		return fmt.Errorf("%w: %s %s (status %d)", ErrUnreachable, n, what, resp.StatusCode)
	}
	text, err := readAll(resp.Body)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrUnreachable, n, err)
	}
	// Core sends errors with status 404 and 500, so the body is read whatever it is.
	var answer struct {
		Result json.RawMessage `json:"result"`
		Error  *rpcError       `json:"error"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return fmt.Errorf("%w: %s: status %d and no JSON-RPC answer", ErrUnreachable, n, resp.StatusCode)
	}
	if answer.Error != nil {
		if answer.Error.Code == -28 {
			return fmt.Errorf("%w: %w", ErrUnreachable, answer.Error)
		}
		return fmt.Errorf("calling %s: %w", method, answer.Error)
	}
	if err := json.Unmarshal(answer.Result, result); err != nil {
		return fmt.Errorf("%w: %s: %s gave something else than expected", ErrUnreachable, n, method)
	}
	return nil
}

// credentials reads the cookie at each call: a restarted node has a new one.
func (n *Node) credentials() (user, pass string, err error) {
	if n.user != "" || n.pass != "" || n.cookie == "" {
		return n.user, n.pass, nil
	}
	f, err := os.Open(n.cookie)
	if err != nil {
		return "", "", fmt.Errorf("reading the node's cookie: %w", err)
	}
	defer f.Close()
	b := make([]byte, 1024)
	k, _ := f.Read(b)
	user, pass, ok := strings.Cut(strings.TrimSpace(string(b[:k])), ":")
	if !ok {
		return "", "", fmt.Errorf("reading the node's cookie: %s does not hold user:password", n.cookie)
	}
	return user, pass, nil
}
