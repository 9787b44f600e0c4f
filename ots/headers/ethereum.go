package headers

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Ethereum is the RPC of a node of Ethereum, or of a chain like it. It is trusted for its blocks: nothing of a
// header is checked but that it is for the block that was asked for.
type Ethereum struct {
	url   *url.URL
	user  *url.Userinfo
	chain uint64
	http  *http.Client
}

// EthereumBlock is what an attestation of Ethereum is compared with.
type EthereumBlock struct {
	Hash             [32]byte
	TransactionsRoot [32]byte // the message of an attestation
	Time             time.Time
}

// NewEthereum makes a source of the node at an address such as http://127.0.0.1:8545, which may hold a user and a
// password. chain is the id of the chain that it must be on, or 0 for any. Nothing is contacted yet; c may be nil.
func NewEthereum(address string, chain uint64, c *http.Client) (*Ethereum, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return nil, errors.New("the URL of an Ethereum node must be like http://127.0.0.1:8545")
	}
	e := &Ethereum{url: u, user: u.User, chain: chain, http: client(c)}
	u.User = nil
	return e, nil
}

// String is the node's host: a path may be a key.
func (e *Ethereum) String() string { return "Ethereum node " + e.url.Scheme + "://" + e.url.Host }

// Unchecked implements what [Source] says of it.
func (e *Ethereum) Unchecked() []string {
	return []string{"that the Ethereum node tells the truth: it is trusted for its blocks"}
}

// Chain is the id of the node's chain: 1 for Ethereum. The error matches [ErrWrongNetwork] when another was asked for.
func (e *Ethereum) Chain(ctx context.Context) (uint64, error) {
	var id ethereumNumber
	if err := e.call(ctx, &id, "eth_chainId"); err != nil {
		return 0, err
	}
	if e.chain != 0 && uint64(id) != e.chain {
		return uint64(id), fmt.Errorf("%w: %s is on chain %d, not %d", ErrWrongNetwork, e, id, e.chain)
	}
	return uint64(id), nil
}

// Tip is the height of the node's newest block.
func (e *Ethereum) Tip(ctx context.Context) (uint64, error) {
	var height ethereumNumber
	err := e.call(ctx, &height, "eth_blockNumber")
	return uint64(height), err
}

// Block is the block at a height. The error is one of those of [Source].
func (e *Ethereum) Block(ctx context.Context, height uint64) (EthereumBlock, error) {
	var b *struct {
		Number           ethereumNumber `json:"number"`
		Hash             ethereumHash   `json:"hash"`
		TransactionsRoot ethereumHash   `json:"transactionsRoot"`
		Timestamp        ethereumNumber `json:"timestamp"`
	}
	if err := e.call(ctx, &b, "eth_getBlockByNumber", fmt.Sprintf("%#x", height), false); err != nil {
		return EthereumBlock{}, err
	}
	if b == nil {
		return EthereumBlock{}, fmt.Errorf("%w: %s has no block %d", ErrNoBlock, e, height)
	}
	if uint64(b.Number) != height || b.Timestamp > math.MaxInt64 || b.Hash == (ethereumHash{}) || b.TransactionsRoot == (ethereumHash{}) {
		return EthereumBlock{}, fmt.Errorf("%w: %s gave another block for %d", ErrBadHeader, e, height)
	}
	return EthereumBlock{b.Hash, b.TransactionsRoot, time.Unix(int64(b.Timestamp), 0)}, nil
}

func (e *Ethereum) call(ctx context.Context, result any, method string, params ...any) error {
	if params == nil {
		params = []any{}
	}
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if err != nil {
		return fmt.Errorf("calling %s: %w", method, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url.String(), bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("calling %s: %w", method, err)
	}
	req.Header.Set("Content-Type", "application/json")
	if e.user != nil {
		password, _ := e.user.Password()
		req.SetBasicAuth(e.user.Username(), password)
	}
	resp, err := e.http.Do(req)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrUnreachable, e, plainError(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden {
		return fmt.Errorf("%w: %s refuses the user and password, or wants some (status %d)", ErrUnreachable, e, resp.StatusCode)
	}
	text, err := readAll(resp.Body)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrUnreachable, e, err)
	}
	var answer struct {
		Result json.RawMessage `json:"result"`
		Error  *rpcError       `json:"error"`
	}
	if err := json.Unmarshal(text, &answer); err != nil || answer.Error == nil && answer.Result == nil {
		return fmt.Errorf("%w: %s: status %d and no JSON-RPC answer", ErrUnreachable, e, resp.StatusCode)
	}
	if answer.Error != nil {
		return fmt.Errorf("%w: %s: calling %s: %w", ErrUnreachable, e, method, answer.Error)
	}
	if err := json.Unmarshal(answer.Result, result); err != nil {
		return fmt.Errorf("%w: %s: the answer to %s is not understood", ErrBadHeader, e, method)
	}
	return nil
}

// ethereumNumber is written as 0x and hexadecimal.
type ethereumNumber uint64

func (n *ethereumNumber) UnmarshalText(b []byte) error {
	digits, ok := strings.CutPrefix(string(b), "0x")
	v, err := strconv.ParseUint(digits, 16, 64)
	if err != nil || !ok {
		return errors.New("no number")
	}
	*n = ethereumNumber(v)
	return nil
}

type ethereumHash [32]byte

func (h *ethereumHash) UnmarshalText(b []byte) error {
	digits, ok := strings.CutPrefix(string(b), "0x")
	raw, err := hex.DecodeString(digits)
	if err != nil || !ok || len(raw) != len(h) {
		return errors.New("no hash")
	}
	copy(h[:], raw)
	return nil
}
