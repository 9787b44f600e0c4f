package ethereum

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2"

	"github.com/datestone/datestone/internal/testnode"
)

// testKey is the key of the first account that anvil funds.
const testKey = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustKey(t testing.TB) *btcec.PrivateKey {
	t.Helper()
	k, err := readKeyFile(keyFile(t, testKey))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestBlocks has a real node make blocks of transactions of each kind: the path of every one ends at the transactionsRoot of the
// node, with the bytes made of the node's JSON and with those that it gives itself.
func TestBlocks(t *testing.T) {
	t.Parallel()
	chain := testnode.Anvil(t, "--disable-block-gas-limit", "--order", "fifo")
	client, err := newRPC(Config{RPCURL: chain.URL})
	if err != nil {
		t.Fatal(err)
	}
	n := node{client}
	k := mustKey(t)
	from := addressOf(k.PubKey())
	nonce := uint64(0)
	for _, size := range []int{1, 2, 127, 128, 129, 500} {
		for _, kind := range []string{"legacy", "EIP-1559", "both"} {
			if (size == 500) != (kind == "both") {
				continue
			}
			sent := make([][]byte, size)
			calls := make([]*call, size)
			for i := range sent {
				legacy := kind == "legacy" || kind == "both" && i%2 == 0
				tx := transaction{legacy: legacy, chainID: 31337, nonce: nonce, gas: 30_000, to: from, offer: offer{5_000_000_000, 1_000_000_000},
					data: bytes.Repeat([]byte{byte(i), byte(i >> 8)}, 16)}
				if legacy {
					tx.offer.tip = tx.offer.price
				}
				if sent[i], err = tx.sign(k); err != nil {
					t.Fatal(err)
				}
				calls[i] = &call{method: "eth_sendRawTransaction", params: []any{data(sent[i])}}
				nonce++
			}
			if err := n.do(t.Context(), calls...); err != nil {
				t.Fatal(err)
			}
			for _, c := range calls {
				if c.err != nil {
					t.Fatal(c.err)
				}
			}
			chain.Mine(t, 1)
			v, err := n.look(t.Context(), from, false)
			if err != nil {
				t.Fatal(err)
			}
			all, err := n.transactions(t.Context(), v.latest.Hash)
			if err != nil || len(all) != size {
				t.Fatalf("%d transactions of %d, %v", len(all), size, err)
			}
			raw, err := n.rawTransactions(t.Context(), v.latest.Hash, size, nil)
			if err != nil {
				t.Fatal(err)
			}
			for i := range all {
				if !bytes.Equal(all[i], raw[i]) || !bytes.Equal(all[i], sent[i]) {
					t.Fatalf("transaction %d of %d: %x from JSON, %x from the node, %x sent", i, size, all[i], raw[i], sent[i])
				}
				if i%16 > 1 && i != 127 && i != 128 && i != size-1 {
					continue
				}
				tx, signer, err := parseTransaction(all[i])
				if err != nil || signer != from || tx.legacy != (kind == "legacy" || kind == "both" && i%2 == 0) {
					t.Fatalf("transaction %d of %d: %+v by %v, %v", i, size, tx, signer, err)
				}
				if _, err := proof(all[i], [32]byte(tx.data), all, i, v.latest); err != nil {
					t.Errorf("transaction %d of %d, %s: %v", i, size, kind, err)
				}
			}
			if _, err := proof(all[0], [32]byte{1}, all, 0, v.latest); err == nil {
				t.Error("the path of a root that the transaction does not carry was made")
			}
			wrong := v.latest
			wrong.TransactionsRoot[0] ^= 1
			tx, _, _ := parseTransaction(all[0])
			if _, err := proof(all[0], [32]byte(tx.data), all, 0, wrong); err == nil {
				t.Error("a path to another root was accepted")
			}
		}
	}
}

// The vector of EIP-155, and the trie of the Ethereum tests' "dogs" example with short nodes inside others.
func TestVectors(t *testing.T) {
	k, err := readKeyFile(keyFile(t, "0x4646464646464646464646464646464646464646464646464646464646464646"))
	if err != nil {
		t.Fatal(err)
	}
	tx := transaction{legacy: true, chainID: 1, nonce: 9, gas: 21000, offer: offer{20_000_000_000, 20_000_000_000}, to: address(bytes.Repeat([]byte{0x35}, 20))}
	// The example of EIP-155 moves value, which ours never do: its account and the form of what is signed are the same.
	if got, want := addressOf(k.PubKey()).String(), "0x9d8a62f656a8d1615c1294fd71e9cfb3e4855a4f"; got != want {
		t.Errorf("address %s, want %s", got, want)
	}
	raw, err := tx.sign(k)
	if err != nil {
		t.Fatal(err)
	}
	if back, from, err := parseTransaction(raw); err != nil || from != addressOf(k.PubKey()) || back.chainID != 1 || back.nonce != 9 || back.gas != 21000 || back.offer != tx.offer {
		t.Errorf("read back: %+v by %v, %v", back, from, err)
	}
	if got := fmt.Sprintf("%x", emptyRoot); got != "56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421" {
		t.Errorf("root of an empty trie: %s", got)
	}
	// Values so short that nodes lie inside others: the path must still lead to the root.
	for _, n := range []int{1, 2, 3, 16, 17, 127, 128, 129, 300} {
		values := make([][]byte, n)
		for i := range values {
			values[i] = []byte{0x80 | byte(i), byte(i >> 8), 7}[:1+i%3]
		}
		var want [32]byte
		for i := range values {
			path, root, err := pathInTrie(values, i)
			if err != nil {
				t.Fatal(err)
			}
			end, err := path.Apply(values[i])
			if err != nil || !bytes.Equal(end, root[:]) {
				t.Fatalf("value %d of %d: the path ends at %x, %v; the root is %x", i, n, end, err, root)
			}
			if i > 0 && root != want {
				t.Fatalf("value %d of %d has another root", i, n)
			}
			want = root
		}
	}
}

// FuzzParse: what is read is what was signed, byte for byte, or an error.
func FuzzParse(f *testing.F) {
	k, err := readKeyFile(keyFile(f, testKey))
	if err != nil {
		f.Fatal(err)
	}
	for _, legacy := range []bool{true, false} {
		raw, err := transaction{legacy: legacy, chainID: 31337, nonce: 300, gas: 22000, offer: offer{7, 7}, data: make([]byte, 32)}.sign(k)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Add(unhex(f, "f800"))
	f.Add(unhex(f, "02c0"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		tx, from, err := parseTransaction(raw)
		if err != nil {
			return
		}
		_ = tx.digest()
		_ = from.String()
	})
}

// BenchmarkPath is the path of a transaction in a block of 500, as a node gives it.
func BenchmarkPath(b *testing.B) {
	k := mustKey(b)
	all := make([][]byte, 500)
	var root [32]byte
	for i := range all {
		data := keccak256([]byte{byte(i), byte(i >> 8)})
		tx := transaction{chainID: 1, nonce: uint64(i), gas: 22000, offer: offer{5e9, 1e9}, data: data[:]}
		raw, err := tx.sign(k)
		if err != nil {
			b.Fatal(err)
		}
		if all[i] = raw; i == 250 {
			root = data
		}
	}
	_, trie, err := pathInTrie(all, 250)
	if err != nil {
		b.Fatal(err)
	}
	block := header{Number: 1, TransactionsRoot: trie}
	for b.Loop() {
		if _, err := proof(all[250], root, all, 250, block); err != nil {
			b.Fatal(err)
		}
	}
}
