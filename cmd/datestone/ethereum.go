package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/datestone/datestone/ots"
	"github.com/datestone/datestone/ots/headers"
)

// errNoEthereum says why attestations of Ethereum are not checked.
var errNoEthereum = errors.New("no node was named: --ethereum-rpc URL")

// ethereumNodes are the nodes that --ethereum-rpc names; nothing is contacted yet.
func (a *app) ethereumNodes() ([]*headers.Ethereum, error) {
	var nodes []*headers.Ethereum
	for _, text := range a.EthereumRPC {
		address, chain := text, uint64(0)
		if id, rest, ok := strings.Cut(text, "="); ok && !strings.Contains(id, ":") {
			n, err := strconv.ParseUint(id, 10, 64)
			if err != nil || n == 0 {
				return nil, usagef("such as --ethereum-rpc 1=http://127.0.0.1:8545", "--ethereum-rpc: %q is no number of a chain", id)
			}
			address, chain = rest, n
		}
		node, err := headers.NewEthereum(address, chain, a.client(seconds(headers.DefaultTimeout)))
		if err != nil {
			return nil, usage(fmt.Errorf("--ethereum-rpc: %w", err), "such as --ethereum-rpc 1=http://127.0.0.1:8545")
		}
		nodes = append(nodes, node)
	}
	return nodes, nil
}

// lookUpEthereum compares an attestation with the block of the first node that has what it says. An attestation does not name
// its chain, so it is false only where every node has such a block, and none with that root.
func lookUpEthereum(ctx context.Context, nodes []*headers.Ethereum, x found) (*blockJSON, error) {
	var failed error
	for _, node := range nodes {
		chain, err := node.Chain(ctx)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		b, err := node.Block(ctx, x.height)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		if string(b.TransactionsRoot[:]) != string(x.msg) {
			continue
		}
		block := &blockJSON{node: node, Chain: "ethereum", ChainID: chain, Height: x.height, Hash: fmt.Sprintf("0x%x", b.Hash), Time: b.Time.UTC()}
		if tip, err := node.Tip(ctx); err == nil && tip >= x.height {
			n := tip - x.height + 1
			block.Confirmations = &n
		}
		return block, nil
	}
	if failed != nil {
		return nil, failed
	}
	return nil, ots.ErrMismatch
}

// safeEthereumDepth is how many blocks make one hard to replace: two epochs, after which it is usually final.
const safeEthereumDepth = 64

// ethereumCaveats lists what a verified attestation of Ethereum leaves to trust.
func ethereumCaveats(b *blockJSON) []string {
	out := b.node.Unchecked()
	switch {
	case b.Confirmations == nil:
		out = append(out, "how deep the block is buried")
	case *b.Confirmations < safeEthereumDepth:
		out = append(out, fmt.Sprintf("that the block stays: it has %s, and %d are safe", plural(int(*b.Confirmations), "confirmation"), safeEthereumDepth))
	}
	if b.ChainID != 1 {
		out = append(out, fmt.Sprintf("what chain %d is worth: it is not Ethereum's main one", b.ChainID))
	}
	return out
}

// chainName is what people call the block's chain.
func (b *blockJSON) chainName() string {
	switch {
	case b.node == nil:
		return b.net.Chain()
	case b.ChainID == 1:
		return "Ethereum"
	}
	return fmt.Sprintf("chain %d", b.ChainID)
}

func (b *blockJSON) sourceName() string {
	if b.node != nil {
		return b.node.String()
	}
	return b.source.String()
}
