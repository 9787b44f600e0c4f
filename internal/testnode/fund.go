package testnode

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"testing"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// miner knows the keys that blocks pay to: number 0 first, a new one after each
// invalidated block.
type miner struct{ keys int }

func minerKey(i int) *btcec.PrivateKey {
	seed := sha256.Sum256(fmt.Appendf(nil, "datestone test miner %d", i))
	key, _ := btcec.PrivKeyFromBytes(seed[:])
	return key
}

func minerAddress(i int, chain *chaincfg.Params) address.Address {
	a, err := address.NewAddressWitnessPubKeyHash(
		address.Hash160(minerKey(i).PubKey().SerializeCompressed()), chain)
	if err != nil {
		panic(err) // a 20-byte hash is always accepted
	}
	return a
}

func (m miner) address(chain *chaincfg.Params) string {
	return minerAddress(m.keys, chain).EncodeAddress()
}

// keyFor returns the key that a hex output script pays to, or nil.
func (m miner) keyFor(script string) *btcec.PrivateKey {
	for i := range m.keys + 1 {
		own, err := txscript.PayToAddrScript(minerAddress(i, &chaincfg.RegressionNetParams))
		if err == nil && hex.EncodeToString(own) == script {
			return minerKey(i)
		}
	}
	return nil
}

// coin is a spendable coinbase of the miner.
type coin struct {
	out    wire.OutPoint
	value  int64
	script []byte
	key    *btcec.PrivateKey
}

// matureCoin finds a coinbase that can be spent now, mining what is missing.
func (n *Node) matureCoin(t testing.TB, atLeast int64) coin {
	t.Helper()
	for range 2 {
		for height := 1; height <= n.Height(t)-100; height++ {
			var hash string
			n.Must(t, &hash, "getblockhash", height)
			var block struct{ Tx []string }
			n.Must(t, &block, "getblock", hash, 1)
			var out *struct {
				Value        float64
				ScriptPubKey struct{ Hex string }
			}
			n.Must(t, &out, "gettxout", block.Tx[0], 0, true)
			if out == nil {
				continue
			}
			value := int64(math.Round(out.Value * 1e8))
			key := n.miner.keyFor(out.ScriptPubKey.Hex)
			if key == nil || value < atLeast {
				continue
			}
			txid, err := chainhash.NewHashFromStr(block.Tx[0])
			if err != nil {
				t.Fatal(err)
			}
			script, err := hex.DecodeString(out.ScriptPubKey.Hex)
			if err != nil {
				t.Fatal(err)
			}
			return coin{wire.OutPoint{Hash: *txid}, value, script, key}
		}
		n.Mine(t, 101)
	}
	t.Fatalf("the miner has no coin of %d satoshi", atLeast)
	return coin{}
}

// Fund sends an unconfirmed payment of amount satoshi to addr and returns the
// transaction's id. Mine a block to confirm it.
func (n *Node) Fund(t testing.TB, addr string, amount int64) string {
	t.Helper()
	if n.Kind == KindBtcd {
		to, err := address.DecodeAddress(addr, n.chain)
		if err != nil {
			t.Fatalf("address %q: %v", addr, err)
		}
		script, err := txscript.PayToAddrScript(to)
		if err != nil {
			t.Fatal(err)
		}
		return n.FundScript(t, script, amount)
	}
	var found struct {
		IsValid      bool
		ScriptPubKey string
	}
	n.Must(t, &found, "validateaddress", addr)
	script, err := hex.DecodeString(found.ScriptPubKey)
	if err != nil || !found.IsValid {
		t.Fatalf("the node knows no address %q: %v", addr, err)
	}
	return n.FundScript(t, script, amount)
}

// FundScript is [Node.Fund] for any output script.
func (n *Node) FundScript(t testing.TB, script []byte, amount int64) string {
	t.Helper()
	const fee, dust = 2000, 6000
	from := n.matureCoin(t, amount+fee)
	tx := wire.NewMsgTx(2)
	tx.AddTxIn(wire.NewTxIn(&from.out, nil, nil))
	tx.AddTxOut(wire.NewTxOut(amount, script))
	if change := from.value - amount - fee; change > dust {
		tx.AddTxOut(wire.NewTxOut(change, from.script))
	}
	prev := txscript.NewCannedPrevOutputFetcher(from.script, from.value)
	witness, err := txscript.WitnessSignature(tx, txscript.NewTxSigHashes(tx, prev), 0,
		from.value, from.script, txscript.SigHashAll, from.key, true)
	if err != nil {
		t.Fatal(err)
	}
	tx.TxIn[0].Witness = witness
	var raw bytes.Buffer
	if err := tx.Serialize(&raw); err != nil {
		t.Fatal(err)
	}
	var txid string
	n.Must(t, &txid, "sendrawtransaction", hex.EncodeToString(raw.Bytes()))
	return txid
}
