package ethereum

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/datestone/datestone/internal/anchor"
)

// quantity is a number as JSON-RPC writes it: 0x and hexadecimal.
type quantity uint64

func (q *quantity) UnmarshalText(b []byte) error {
	digits, ok := strings.CutPrefix(string(b), "0x")
	n, err := strconv.ParseUint(digits, 16, 64)
	if err != nil || !ok {
		return errors.New("a number of at most 64 bits is expected")
	}
	*q = quantity(n)
	return nil
}

func (q quantity) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%#x", uint64(q)), nil }

// wide is a number of any size.
type wide struct{ n big.Int }

func (w *wide) UnmarshalText(b []byte) error {
	digits, ok := strings.CutPrefix(string(b), "0x")
	if _, good := w.n.SetString(digits, 16); !good || !ok || len(digits) > 64 || digits[0] == '-' || digits[0] == '+' {
		return errors.New("a number of at most 256 bits is expected")
	}
	return nil
}

// data are bytes as JSON-RPC writes them.
type data []byte

func (d *data) UnmarshalText(b []byte) error {
	digits, ok := strings.CutPrefix(string(b), "0x")
	raw, err := hex.DecodeString(digits)
	if err != nil || !ok {
		return errors.New("bytes in hexadecimal are expected")
	}
	*d = raw
	return nil
}

func (d data) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "0x%x", []byte(d)), nil }

type hash [32]byte

func (h *hash) UnmarshalText(b []byte) error {
	var d data
	if err := d.UnmarshalText(b); err != nil || len(d) != len(h) {
		return errors.New("a hash of 32 bytes is expected")
	}
	*h = hash(d)
	return nil
}

func (h hash) MarshalText() ([]byte, error) { return data(h[:]).MarshalText() }

func (h hash) String() string { return fmt.Sprintf("0x%x", h[:]) }

// header is what of a block's header is used.
type header struct {
	Number           quantity  `json:"number"`
	Hash             hash      `json:"hash"`
	TransactionsRoot hash      `json:"transactionsRoot"`
	Timestamp        quantity  `json:"timestamp"`
	BaseFee          *quantity `json:"baseFeePerGas"` // nil before EIP-1559
}

func (h header) time() time.Time { return time.Unix(int64(h.Timestamp), 0).UTC() }

type receipt struct {
	Hash     hash     `json:"transactionHash"`
	Block    hash     `json:"blockHash"`
	Number   quantity `json:"blockNumber"`
	Index    quantity `json:"transactionIndex"`
	Gas      quantity `json:"gasUsed"`
	GasPrice quantity `json:"effectiveGasPrice"`
}

// node is an Ethereum node.
type node struct{ *rpc }

// view is a node as it was seen at once.
type view struct {
	chain    uint64
	syncing  bool
	latest   header
	final    int64 // number of the finalized block, -1 if there is none or it was not asked for
	nonce    uint64
	balance  int64 // in gwei
	genesis  *header
	tip      uint64 // that the node suggests, wei per gas
	gasPrice uint64
}

// look asks what a step needs in one request.
func (n node) look(ctx context.Context, of address, final bool) (view, error) {
	var v view
	var chain, nonce, tip, price quantity
	var syncing any
	var latest, finalized, genesis *header
	var balance wide
	calls := []*call{
		{method: "eth_chainId", out: &chain},
		{method: "eth_syncing", out: &syncing},
		{method: "eth_getBlockByNumber", params: []any{"latest", false}, out: &latest},
		{method: "eth_getBlockByNumber", params: []any{"0x0", false}, out: &genesis},
		{method: "eth_getTransactionCount", params: []any{of.String(), "latest"}, out: &nonce},
		{method: "eth_getBalance", params: []any{of.String(), "latest"}, out: &balance},
		{method: "eth_gasPrice", out: &price},
		{method: "eth_maxPriorityFeePerGas", out: &tip},
		{method: "eth_getBlockByNumber", params: []any{"finalized", false}, out: &finalized},
	}
	needed := calls[:7]
	if !final {
		calls = calls[:8]
	}
	if err := n.do(ctx, calls...); err != nil {
		return v, err
	}
	for _, c := range needed {
		// A node that keeps no old headers may refuse the first one.
		if c.err != nil && c != calls[3] {
			return v, n.odd(c.err)
		}
	}
	if latest == nil {
		return v, n.odd(errors.New("there is no latest block"))
	}
	v = view{chain: uint64(chain), syncing: syncing != false, latest: *latest, final: -1, nonce: uint64(nonce), genesis: genesis,
		tip: uint64(tip), gasPrice: uint64(price)}
	gwei := new(big.Int).Div(&balance.n, big.NewInt(weiPerGwei))
	if v.balance = 1 << 62; gwei.IsInt64() {
		v.balance = min(v.balance, gwei.Int64())
	}
	if finalized != nil {
		v.final = int64(finalized.Number)
	}
	if latest.BaseFee != nil && calls[7].err != nil {
		// Nodes before the method was common.
		v.tip = v.gasPrice - min(v.gasPrice, uint64(*latest.BaseFee))
	}
	return v, nil
}

// odd is the fault for an answer that nobody expects.
func (n node) odd(err error) error {
	var f *anchor.Fault
	if errors.As(err, &f) {
		return err
	}
	return anchor.Faultf(anchor.NodeError, err, "The node at %s answers what is not expected of it: %v", n.shown, err)
}

// headers are the blocks of the best chain at these heights. Those that the node does not have are nil.
func (n node) headers(ctx context.Context, heights []int64) ([]*header, error) {
	all := make([]*header, len(heights))
	calls := make([]*call, len(heights))
	for i, h := range heights {
		calls[i] = &call{method: "eth_getBlockByNumber", params: []any{quantity(h), false}, out: &all[i]}
	}
	if err := n.do(ctx, calls...); err != nil {
		return nil, err
	}
	for i, c := range calls {
		if c.err != nil {
			return nil, n.odd(c.err)
		}
		if all[i] != nil && int64(all[i].Number) != heights[i] {
			return nil, n.odd(fmt.Errorf("asked for block %d and got %d", heights[i], all[i].Number))
		}
	}
	return all, nil
}

// receipts are those of transactions. Those that are in no block are nil.
func (n node) receipts(ctx context.Context, refs []string) ([]*receipt, error) {
	all := make([]*receipt, len(refs))
	calls := make([]*call, len(refs))
	for i, ref := range refs {
		calls[i] = &call{method: "eth_getTransactionReceipt", params: []any{ref}, out: &all[i]}
	}
	if err := n.do(ctx, calls...); err != nil {
		return nil, err
	}
	for i, c := range calls {
		switch {
		case c.err != nil && strings.Contains(strings.ToLower(c.err.Error()), "index"):
			return nil, anchor.Faultf(anchor.NodeWarmup, c.err, "The node at %s is making its index of transactions; waiting.", n.shown)
		case c.err != nil:
			return nil, n.odd(c.err)
		case all[i] != nil && all[i].Hash.String() != refs[i]:
			return nil, n.odd(fmt.Errorf("asked for the receipt of %s and got another", refs[i]))
		}
	}
	return all, nil
}

// estimate is how much gas a transaction needs.
func (n node) estimate(ctx context.Context, from, to address, root []byte) (uint64, error) {
	var gas quantity
	c := call{method: "eth_estimateGas", out: &gas, params: []any{map[string]string{
		"from": from.String(), "to": to.String(), "data": fmt.Sprintf("0x%x", root), "value": "0x0",
	}}}
	if err := n.do(ctx, &c); err != nil {
		return 0, err
	}
	if c.err != nil {
		return 0, anchor.Faultf(anchor.Refused, c.err, "The node at %s refuses a transaction from %v to %v: %v", n.shown, from, to, c.err)
	}
	if gas < 21000 || gas > 10_000_000 {
		return 0, n.odd(fmt.Errorf("a transaction with 32 bytes should need %d gas", gas))
	}
	return uint64(gas), nil
}

// verdict is what the node says of a transaction.
type verdict int

const (
	accepted verdict = iota // it has it
	spent                   // its nonce is used
	tooCheap
	tooEarly // a nonce before it is missing
	tooPoor
	refused
)

// verdicts are words in the answers of geth, anvil, reth, Nethermind, Besu, Erigon and those who copied them. They
// have no codes in common.
var verdicts = []struct {
	words   string
	verdict verdict
}{
	{"already known", accepted}, {"alreadyknown", accepted}, {"already imported", accepted}, {"known transaction", accepted},
	{"nonce too low", spent}, {"old nonce", spent}, {"oldnonce", spent}, {"nonce is too low", spent},
	{"nonce too high", tooEarly}, {"nonce gap", tooEarly}, {"noncegap", tooEarly}, {"nonce too distant", tooEarly}, {"too far in the future", tooEarly},
	{"insufficient funds", tooPoor}, {"insufficientfunds", tooPoor}, {"upfront cost exceeds", tooPoor},
	{"underpriced", tooCheap}, {"replacement", tooCheap}, {"feetoolow", tooCheap}, {"fee too low", tooCheap}, {"could not replace", tooCheap},
	{"less than block base fee", tooCheap}, {"less than base fee", tooCheap}, {"below base fee", tooCheap}, {"gas price too low", tooCheap}, {"below minimum", tooCheap},
}

// send gives the node a transaction. The error explains any verdict but accepted; it is a fault when there is none.
func (n node) send(ctx context.Context, raw []byte) (verdict, error) {
	c := call{method: "eth_sendRawTransaction", params: []any{data(raw)}}
	if err := n.do(ctx, &c); err != nil {
		return refused, err
	}
	if c.err == nil {
		return accepted, nil
	}
	text := strings.ToLower(c.err.Error())
	for _, v := range verdicts {
		if strings.Contains(text, v.words) {
			return v.verdict, c.err
		}
	}
	return refused, c.err
}
