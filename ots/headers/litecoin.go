package headers

import (
	"fmt"

	"golang.org/x/crypto/scrypt"

	"github.com/datestone/datestone/ots"
)

// Litecoin's networks. Its headers are Bitcoin's, hash for hash, but for the proof of work, which is on their scrypt
// hash. They come from a [Node] alone: a [File] of them is refused, and an explorer's difficulty is not compared with
// what the chain had reached.
var (
	LitecoinMainnet = &Network{Name: "mainnet", RPCPort: "9332", Section: "main", limitBits: 0x1e0fffff, scrypt: true,
		Genesis: "12a765e31ffd4059bada1e25190f6e98c99d9714d334efa41a195a7e7e04bfe2"}
	LitecoinTestnet = &Network{Name: "testnet", RPCPort: "19332", Section: "test", Dir: "testnet4", limitBits: 0x1e0fffff, scrypt: true,
		Genesis: "4966625a4b2851d9fdee139e56211a0d88575f59ed816ff5e6a63deb4e3e29a0"}
	LitecoinRegtest = &Network{Name: "regtest", RPCPort: "19443", Section: "regtest", Dir: "regtest", limitBits: 0x207fffff, scrypt: true,
		Genesis: "530827f38f93b43ed12af0b3ad25a288dc02ed74d6d7857862df51fc56c416f9"}
)

// LitecoinNetworks lists them, as [Networks] does Bitcoin's.
var LitecoinNetworks = []*Network{LitecoinMainnet, LitecoinTestnet, LitecoinRegtest}

// Chain is the name of the chain: Bitcoin or Litecoin.
func (n *Network) Chain() string {
	if n.scrypt {
		return "Litecoin"
	}
	return "Bitcoin"
}

// workHash is the hash of a header that has to meet its target.
func (n *Network) workHash(h ots.Header) ([32]byte, error) {
	if !n.scrypt {
		return h.Hash(), nil
	}
	raw, err := h.AppendBinary(nil)
	if err != nil {
		return [32]byte{}, err
	}
	key, err := scrypt.Key(raw, raw, 1024, 1, 1, 32)
	if err != nil {
		return [32]byte{}, fmt.Errorf("hashing a header: %w", err)
	}
	return [32]byte(key), nil
}
