package bitcoin

import (
	"bytes"
	"encoding/hex"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/datestone/datestone/ots"
)

// extendedBlocks are blocks of a Litecoin Core on regtest with what it says are their transactions: the first with an
// extension block, which a coin goes into, and one that a coin comes out of.
var extendedBlocks = map[string][]string{
	"432": {"91038aab3e2b8e72b864e37d287ec18a8d0fa431a41238313f698ad89721cabb", "ed04082c28e6ced45a44d51552d8f884e05d96c43bf9bbaca96bb09410ca7714", "7873aadb344c04c43ec89a257dcdc6eb981b6f83ccd245fd417cf9f1930b62b4"},
	"434": {"c716418ba4ff1cdca912289f33a55852b19770b8d9b485a34a988e2682d6fd21", "9d94e9064fd2782e2e1efd736874e6c36eeb0454fbe39f61087d149501b6fcb1"},
}

func readExtended(t testing.TB, height string) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/litecoin-" + height + ".hex")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestExtendedBlock(t *testing.T) {
	for height, want := range extendedBlocks {
		raw := readExtended(t, height)
		b, err := Litecoin.parseBlock(raw)
		if err != nil {
			t.Fatal(err)
		}
		var ids []chainhash.Hash
		var names []string
		for i, tx := range b.Transactions {
			ids = append(ids, tx.TxHash())
			names = append(names, ids[i].String())
			if last := i == len(b.Transactions)-1; leavesExtension(tx) != last {
				t.Errorf("block %s: transaction %d leaves the extension block: %v", height, i, !last)
			}
		}
		if !slices.Equal(names, want) {
			t.Errorf("block %s has %v, want %v", height, names, want)
		}
		for i := range ids {
			root, err := merklePath(ots.Path{}, ids, i).Apply(ids[i][:])
			if err != nil || !bytes.Equal(root, b.Header.MerkleRoot[:]) {
				t.Errorf("block %s: the path of transaction %d leads to %x, %v", height, i, root, err)
			}
		}
		if _, err := Bitcoin.parseBlock(raw); err == nil {
			t.Errorf("block %s is taken for one of Bitcoin", height)
		}
		// A block that is cut short within its transactions is refused wherever that is.
		end := 0
		for n := range raw {
			if _, err := Litecoin.parseBlock(raw[:n]); err == nil {
				end = n
				break
			}
		}
		if last := b.Transactions[len(b.Transactions)-1]; end == 0 || !bytes.HasSuffix(raw[:end], []byte{0, byte(last.LockTime), 0, 0, 0}) {
			t.Errorf("block %s is complete with %d of %d bytes", height, end, len(raw))
		}
	}
}

// What comes out of the extension block in block 434 matures, as a coin of the coinbase does.
func TestCoinOutOfTheExtension(t *testing.T) {
	b, err := Litecoin.parseBlock(readExtended(t, "434"))
	if err != nil {
		t.Fatal(err)
	}
	paid := b.Transactions[1].TxOut[1]
	if !txscript.IsPayToWitnessPubKeyHash(paid.PkScript) || paid.Value != 100_000_000 {
		t.Fatalf("%d to %x came out", paid.Value, paid.PkScript)
	}
	o, err := watch{chain: Litecoin, scripts: map[string]int{string(paid.PkScript): 0}}.observe(b, 434)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, c := range o.Coins {
		if strings.HasPrefix(c.Outpoint, extendedBlocks["434"][1]) {
			found++
			if !c.Coinbase || c.Value != paid.Value {
				t.Errorf("the coin is %+v", c)
			}
		}
	}
	if found != 1 {
		t.Errorf("%d coins were found", found)
	}
}

func FuzzExtendedBlock(f *testing.F) {
	for height := range extendedBlocks {
		f.Add(readExtended(f, height))
	}
	f.Add([]byte{0, 0, 0, 0, 0, extended})
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := Litecoin.parseBlock(raw)
		if err != nil {
			return
		}
		// Its transactions are what they are without the extension.
		for _, tx := range b.Transactions {
			var plain bytes.Buffer
			if err := tx.Serialize(&plain); err != nil {
				t.Fatal(err)
			}
			again := new(wire.MsgTx)
			if len(tx.TxIn) == 0 {
				continue // which has no form of its own
			}
			if err := again.Deserialize(&plain); err != nil || again.TxHash() != tx.TxHash() {
				t.Fatalf("%v becomes %v: %v", tx.TxHash(), again.TxHash(), err)
			}
		}
	})
}
