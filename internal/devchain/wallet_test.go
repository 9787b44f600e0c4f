package devchain_test

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// purse holds one key, whose coins the tests spend in good and bad ways.
type purse struct {
	key    *btcec.PrivateKey
	addr   string
	script []byte
	coins  []owned
}

type owned struct {
	out   wire.OutPoint
	value int64
}

func newPurse(t testing.TB) *purse {
	t.Helper()
	key, _ := btcec.PrivKeyFromBytes(bytes.Repeat([]byte{7}, 32))
	a, err := address.NewAddressWitnessPubKeyHash(address.Hash160(key.PubKey().SerializeCompressed()), &chaincfg.RegressionNetParams)
	if err != nil {
		t.Fatal(err)
	}
	script, err := txscript.PayToAddrScript(a)
	if err != nil {
		t.Fatal(err)
	}
	return &purse{key: key, addr: a.EncodeAddress(), script: script}
}

// next takes a coin that no test has spent.
func (p *purse) next(t testing.TB) owned {
	t.Helper()
	if len(p.coins) == 0 {
		t.Fatal("the purse is empty")
	}
	c := p.coins[0]
	p.coins = p.coins[1:]
	return c
}

// pay builds a signed transaction back to the purse that leaves fee. Change may
// alter it before it is signed.
func (p *purse) pay(t testing.TB, fee int64, from []owned, change ...func(*wire.MsgTx)) *wire.MsgTx {
	t.Helper()
	tx := wire.NewMsgTx(2)
	in := int64(0)
	for _, c := range from {
		tx.AddTxIn(wire.NewTxIn(&c.out, nil, nil))
		in += c.value
	}
	tx.AddTxOut(wire.NewTxOut(in-fee, p.script))
	for _, f := range change {
		f(tx)
	}
	p.sign(t, tx, from)
	return tx
}

func (p *purse) sign(t testing.TB, tx *wire.MsgTx, from []owned) {
	t.Helper()
	outs := make(map[wire.OutPoint]*wire.TxOut)
	for _, c := range from {
		outs[c.out] = wire.NewTxOut(c.value, p.script)
	}
	hashes := txscript.NewTxSigHashes(tx, txscript.NewMultiPrevOutFetcher(outs))
	for i, c := range from {
		w, err := txscript.WitnessSignature(tx, hashes, i, c.value, p.script, txscript.SigHashAll, p.key, true)
		if err != nil {
			t.Fatal(err)
		}
		tx.TxIn[i].Witness = w
	}
}

// output is the coin that a transaction gives back to the purse.
func output(tx *wire.MsgTx, n uint32) owned {
	return owned{wire.OutPoint{Hash: tx.TxHash(), Index: n}, tx.TxOut[n].Value}
}

func data(t testing.TB, n int) []byte {
	t.Helper()
	script, err := txscript.NewScriptBuilder().AddOp(txscript.OP_RETURN).AddFullData(bytes.Repeat([]byte{1}, n)).Script()
	if err != nil {
		t.Fatal(err)
	}
	return script
}

func txHex(t testing.TB, tx *wire.MsgTx) string {
	t.Helper()
	var raw bytes.Buffer
	if err := tx.Serialize(&raw); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(raw.Bytes())
}

func unknownOutput() owned {
	return owned{wire.OutPoint{Hash: chainhash.HashH([]byte("nowhere"))}, 100_000}
}
