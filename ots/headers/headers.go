// Package headers says where Bitcoin block headers come from when a proof is
// verified. An attestation in a proof claims that a message is the Merkle root in the
// header of the block at some height; package ots compares the two, this package
// fetches the header.
//
// # What each source proves
//
// A header in itself proves nothing: whoever hands it over could have made it. What
// stands behind it differs, and [Source.Unchecked] says in words what a caller takes on trust.
//
//   - [Node] asks a Bitcoin node over its RPC interface. The node has validated the
//     chain; the caller trusts the node, and the connection to it.
//
//   - [Esplora] asks a block explorer over HTTP. The header must hash to the block hash
//     that the explorer names and meet its own proof of work; on mainnet its difficulty
//     must also be at least half of what the chain had reached by about that height,
//     so that a forged header costs real money. That the block is in the best chain is
//     the explorer's word.
//
//   - [File] reads headers from a file. A full file, from the genesis block on, is
//     checked link by link, proof of work by proof of work, and against the rules for
//     difficulty and time; what is left to trust is that no chain with more work exists. A
//     sparse file is taken at its word, but for each header's own proof of work.
//
//   - Package p2p asks nodes of the peer-to-peer network, which anyone can run.
//
// Every source first shows that it is on the network that was asked for, by the hash of
// the genesis block; only a sparse file without block 0 cannot.
package headers

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/datestone/datestone/ots"
)

// Source gives block headers of one network's best chain by height. Sources are safe
// for concurrent use.
type Source interface {
	// Header returns the header of the block at a height. The error matches
	// [ErrNoBlock] when the source knows no such block, [ErrWrongNetwork] when it
	// speaks of another chain, [ErrUnreachable] when it gave no answer, and
	// [ErrBadHeader] when what it gave cannot be true.
	Header(ctx context.Context, height uint64) (ots.Header, error)
	// Tip returns the height of the highest block that the source knows, so a block
	// at height h has tip-h+1 confirmations, or at least that many.
	Tip(ctx context.Context) (uint64, error)
	// String names the source for people, without secrets.
	String() string
	// Unchecked says in a few words each thing that a header from this source is
	// trusted for, lower case, no full stop.
	Unchecked() []string
}

var (
	ErrNoBlock      = errors.New("no block at that height")
	ErrWrongNetwork = errors.New("wrong network")
	ErrUnreachable  = errors.New("the header source gave no answer")
	ErrBadHeader    = errors.New("a header that cannot be true")
)

// maxHeight bounds heights before they go into a request: 320 years of blocks.
const maxHeight = 1 << 24

// Network is one of the networks of Bitcoin or Litecoin.
type Network struct {
	// Name as Bitcoin Core's -chain has it, with "testnet3" for its "test".
	Name string
	// Genesis is the hash of block 0 as people write it.
	Genesis string
	// RPCPort is the port where a node of this network listens by default.
	RPCPort string
	// Dir is the network's folder below Bitcoin Core's data folder.
	Dir string
	// Sections are the names of its section in bitcoin.conf.
	Section string

	limitBits uint32
	rule      rule
	floors    []floor
	scrypt    bool // the proof of work is Litecoin's
}

// The networks.
var (
	Mainnet = &Network{Name: "mainnet", RPCPort: "8332", Section: "main", limitBits: 0x1d00ffff, floors: mainnetFloors,
		Genesis: "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"}
	Testnet3 = &Network{Name: "testnet3", RPCPort: "18332", Section: "test", Dir: "testnet3", limitBits: 0x1d00ffff, rule: twenty,
		Genesis: "000000000933ea01ad0ee984209779baaec3ced90fa3f408719526f8d77f4943"}
	Testnet4 = &Network{Name: "testnet4", RPCPort: "48332", Section: "testnet4", Dir: "testnet4", limitBits: 0x1d00ffff, rule: bip94,
		Genesis: "00000000da84f2bafbbc53dee25a72ae507ff4914b867c565be350b0da8bf043"}
	Signet = &Network{Name: "signet", RPCPort: "38332", Section: "signet", Dir: "signet", limitBits: 0x1e0377ae,
		Genesis: "00000008819873e925422c1ff0f99f7cc9bbb232af63a077a480a3633bee1ef6"}
	Regtest = &Network{Name: "regtest", RPCPort: "18443", Section: "regtest", Dir: "regtest", limitBits: 0x207fffff, rule: fixed,
		Genesis: "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206"}
)

// Networks lists those of Bitcoin.
var Networks = []*Network{Mainnet, Testnet3, Testnet4, Signet, Regtest}

func (n *Network) String() string {
	if n.scrypt {
		return n.Chain() + " " + n.Name
	}
	return n.Name
}

// Test says that the network's coins, and so its proofs, are worth nothing.
func (n *Network) Test() bool { return n != Mainnet && n != LitecoinMainnet }

// checkGenesis compares the hash of block 0 that a source names with the network's.
func (n *Network) checkGenesis(hash, source string) error {
	if hash == n.Genesis {
		return nil
	}
	for _, other := range slices.Concat(Networks, LitecoinNetworks) {
		if hash == other.Genesis {
			return fmt.Errorf("%w: %s is on %s, not %s", ErrWrongNetwork, source, other, n)
		}
	}
	return fmt.Errorf("%w: %s is not on %s, nor on any network that is known here", ErrWrongNetwork, source, n)
}
