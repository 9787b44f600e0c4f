package ethereum

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/datestone/datestone/ots"
)

// blockTransaction is a transaction as a node shows it, with all that its bytes are made of.
type blockTransaction struct {
	Hash       hash     `json:"hash"`
	Type       quantity `json:"type"`
	ChainID    wide     `json:"chainId"`
	Nonce      wide     `json:"nonce"`
	GasPrice   wide     `json:"gasPrice"`
	Tip        wide     `json:"maxPriorityFeePerGas"`
	MaxFee     wide     `json:"maxFeePerGas"`
	Gas        wide     `json:"gas"`
	To         *data    `json:"to"`
	Value      wide     `json:"value"`
	Input      data     `json:"input"`
	V          wide     `json:"v"`
	R          wide     `json:"r"`
	S          wide     `json:"s"`
	BlobFee    wide     `json:"maxFeePerBlobGas"`
	BlobHashes []data   `json:"blobVersionedHashes"`
	AccessList []struct {
		Address     data   `json:"address"`
		StorageKeys []data `json:"storageKeys"`
	} `json:"accessList"`
	Authorizations []struct {
		ChainID wide `json:"chainId"`
		Address data `json:"address"`
		Nonce   wide `json:"nonce"`
		YParity wide `json:"yParity"`
		R       wide `json:"r"`
		S       wide `json:"s"`
	} `json:"authorizationList"`
}

var errUnknownType = errors.New("a kind of transaction that is not known here")

// bytes are those of the transaction in its block's trie, of the kinds that Ethereum has: EIP-2718 with 2930, 1559,
// 4844 and 7702, and those before. They are checked against its hash.
func (t *blockTransaction) bytes() ([]byte, error) {
	var b []byte
	number := func(w *wide) { b = appendBytes(b, w.n.Bytes()) }
	kind := t.Type
	if kind > 4 {
		return nil, errUnknownType
	}
	if kind > 0 {
		number(&t.ChainID)
	}
	number(&t.Nonce)
	if kind < 2 {
		number(&t.GasPrice)
	} else {
		number(&t.Tip)
		number(&t.MaxFee)
	}
	number(&t.Gas)
	var to []byte
	if t.To != nil {
		to = *t.To
	}
	b = appendBytes(b, to)
	number(&t.Value)
	b = appendBytes(b, t.Input)
	if kind > 0 {
		var list []byte
		for _, a := range t.AccessList {
			var keys []byte
			for _, k := range a.StorageKeys {
				keys = appendBytes(keys, k)
			}
			list = appendList(list, appendList(appendBytes(nil, a.Address), keys))
		}
		b = appendList(b, list)
	}
	switch kind {
	case 3:
		number(&t.BlobFee)
		var list []byte
		for _, h := range t.BlobHashes {
			list = appendBytes(list, h)
		}
		b = appendList(b, list)
	case 4:
		var list []byte
		for i := range t.Authorizations {
			a := &t.Authorizations[i]
			fields := appendBytes(nil, a.ChainID.n.Bytes())
			fields = appendBytes(fields, a.Address)
			for _, w := range []*wide{&a.Nonce, &a.YParity, &a.R, &a.S} {
				fields = appendBytes(fields, w.n.Bytes())
			}
			list = appendList(list, fields)
		}
		b = appendList(b, list)
	}
	number(&t.V)
	number(&t.R)
	number(&t.S)
	var raw []byte
	if kind > 0 {
		raw = append(raw, byte(kind))
	}
	raw = appendList(raw, b)
	if keccak256(raw) != t.Hash {
		return nil, fmt.Errorf("the fields of transaction %v do not give its hash", t.Hash)
	}
	return raw, nil
}

// transactions are the bytes of all transactions of a block, or nil if the node does not have the block.
func (n node) transactions(ctx context.Context, block hash) ([][]byte, error) {
	var b *struct {
		Hash         hash                `json:"hash"`
		Transactions []*blockTransaction `json:"transactions"`
	}
	c := call{method: "eth_getBlockByHash", params: []any{block, true}, out: &b}
	if err := n.do(ctx, &c); err != nil {
		return nil, err
	}
	if c.err != nil {
		return nil, n.odd(c.err)
	}
	if b == nil {
		return nil, nil
	}
	if b.Hash != block {
		return nil, n.odd(fmt.Errorf("asked for block %v and got %v", block, b.Hash))
	}
	all := make([][]byte, len(b.Transactions))
	var err error
	for i, t := range b.Transactions {
		if t == nil {
			return nil, n.odd(errors.New("a block has a transaction of null"))
		}
		if all[i], err = t.bytes(); err != nil {
			return n.rawTransactions(ctx, block, len(all), err)
		}
	}
	return all, nil
}

// rawTransactions asks for the bytes of count transactions one by one, which not every node gives: of kinds that only some chains have.
func (n node) rawTransactions(ctx context.Context, block hash, count int, cause error) ([][]byte, error) {
	all := make([]data, count)
	calls := make([]*call, count)
	for i := range calls {
		calls[i] = &call{method: "eth_getRawTransactionByBlockHashAndIndex", params: []any{block, quantity(i)}, out: &all[i]}
	}
	if err := n.do(ctx, calls...); err != nil {
		return nil, err
	}
	values := make([][]byte, count)
	for i, c := range calls {
		if c.err != nil {
			return nil, n.odd(fmt.Errorf("block %v has %w, and the node does not give its bytes: %w", block, cause, c.err))
		}
		values[i] = all[i]
	}
	return values, nil
}

// proof leads from the root that a transaction carries to its block's transactionsRoot, and attests to that. Its bare
// timestamp recomputes, whatever the node said.
func proof(raw []byte, root [32]byte, transactions [][]byte, index int, block header) ([]byte, error) {
	if index >= len(transactions) || !bytes.Equal(transactions[index], raw) {
		return nil, fmt.Errorf("transaction %d of block %d is another", index, block.Number)
	}
	path, err := pathIn(raw, root[:])
	if err != nil {
		return nil, err
	}
	rest, trie, err := pathInTrie(transactions, index)
	if err != nil {
		return nil, err
	}
	path = path.Concat(rest)
	if end, err := path.Apply(root[:]); err != nil || !bytes.Equal(end, trie[:]) {
		return nil, fmt.Errorf("the path in block %d does not recompute: %w", block.Number, err)
	}
	if trie != block.TransactionsRoot {
		return nil, fmt.Errorf("the transactions of block %d give the root 0x%x, and its header has %v", block.Number, trie, block.TransactionsRoot)
	}
	return ots.New(path, ots.EthereumAttestation(uint64(block.Number))).AppendBinary(nil)
}
