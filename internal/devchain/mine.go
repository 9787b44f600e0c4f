package devchain

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// The miner's key is the same everywhere, like the rest of regtest.
var minerKey = sync.OnceValue(func() *btcec.PrivateKey {
	k := sha256.Sum256([]byte("devchain miner"))
	p, _ := btcec.PrivKeyFromBytes(k[:])
	return p
})

var minerScript = sync.OnceValue(func() []byte {
	return witnessKeyScript(address.Hash160(minerKey().PubKey().SerializeCompressed()))
})

func witnessKeyScript(hash []byte) []byte {
	return append([]byte{txscript.OP_0, txscript.OP_DATA_20}, hash...)
}

func noTransactions(int) []*wire.MsgTx { return nil }

// mine adds n blocks, each with the transactions that choose gives for its height.
func (c *Chain) mine(script []byte, n int, choose func(height int) []*wire.MsgTx) ([]chainhash.Hash, error) {
	var hashes []chainhash.Hash
	for range n {
		m, err := c.newBlock(script, choose(c.tip().height+1))
		if err != nil {
			return hashes, err
		}
		// Checked before it is written, so that a block of bad transactions leaves no trace.
		if _, err := c.checkConnect(c.tip().height+1, m); err != nil {
			return hashes, fmt.Errorf("the block would not be valid: %w", err)
		}
		b, err := c.add(m)
		if err != nil {
			return hashes, err
		}
		hashes = append(hashes, b.hash)
	}
	return hashes, nil
}

// newBlock builds a valid block on the tip, with its proof of work.
func (c *Chain) newBlock(script []byte, txs []*wire.MsgTx) (*wire.MsgBlock, error) {
	parent := c.tip()
	height := parent.height + 1
	// A random number keeps two branches at the same height and second apart.
	var extra [8]byte
	rand.Read(extra[:])
	sigScript, err := txscript.NewScriptBuilder().AddInt64(int64(height)).AddData(extra[:]).Script()
	if err != nil {
		return nil, err
	}
	total := reward(height)
	for _, tx := range txs {
		if e := c.pool.entries[tx.TxHash()]; e != nil {
			total += e.fee
		} else if spent := c.spentBy(tx, txs); spent != nil {
			fee, err := checkInputs(tx, spent, height)
			if err != nil {
				return nil, err
			}
			total += fee
		}
	}
	coinbase := wire.NewMsgTx(2)
	coinbase.AddTxIn(wire.NewTxIn(&wire.OutPoint{Index: wire.MaxPrevOutIndex}, sigScript, wire.TxWitness{make([]byte, 32)}))
	coinbase.AddTxOut(wire.NewTxOut(total, script))
	m := &wire.MsgBlock{Transactions: append([]*wire.MsgTx{coinbase}, txs...)}
	commitment := witnessCommitment(m, coinbase.TxIn[0].Witness[0])
	coinbase.AddTxOut(wire.NewTxOut(0, slices.Concat(commitmentHead, commitment[:])))

	at := time.Unix(time.Now().Unix(), 0)
	if earliest := medianTime(parent).Add(time.Second); at.Before(earliest) {
		at = earliest
	}
	m.Header = wire.BlockHeader{Version: 0x20000000, PrevBlock: parent.hash, MerkleRoot: merkleRoot(txids(m)), Timestamp: at, Bits: params.PowLimitBits}
	for !hasWork(&m.Header) {
		m.Header.Nonce++
	}
	return m, nil
}

// spentBy finds what tx spends, at the tip or in siblings; nil when some is missing.
func (c *Chain) spentBy(tx *wire.MsgTx, siblings []*wire.MsgTx) []spentCoin {
	var spent []spentCoin
	for _, in := range tx.TxIn {
		out := in.PreviousOutPoint
		from := c.coins[out]
		for _, s := range siblings {
			if s.TxHash() == out.Hash && int(out.Index) < len(s.TxOut) {
				from = &coin{*s.TxOut[out.Index], c.tip().height + 1, false}
			}
		}
		if from == nil {
			return nil
		}
		spent = append(spent, spentCoin{out, from})
	}
	return spent
}

// The miner pays a fixed rate and leaves no output that is not worth spending.
const (
	payRate = 2 // satoshi per vbyte
	dust    = 1000
)

// ownCoins lists what the miner can spend now, its own unconfirmed change
// included, the largest confirmed coin first.
func (c *Chain) ownCoins() []spentCoin {
	var own []spentCoin
	take := func(out wire.OutPoint, from *coin) {
		ripe := !from.coinbase || c.tip().height+1-from.height >= maturity
		if ripe && from.out.Value > dust && bytes.Equal(from.out.PkScript, minerScript()) && c.pool.spender[out] == nil {
			own = append(own, spentCoin{out, from})
		}
	}
	for out, from := range c.coins {
		take(out, from)
	}
	for _, e := range c.pool.entries {
		for n, out := range e.tx.TxOut {
			take(wire.OutPoint{Hash: e.txid, Index: uint32(n)}, &coin{*out, unconfirmed, false})
		}
	}
	slices.SortFunc(own, func(a, b spentCoin) int {
		return cmp.Or(
			cmp.Compare(a.coin.height/unconfirmed, b.coin.height/unconfirmed),
			-cmp.Compare(a.coin.out.Value, b.coin.out.Value),
			bytes.Compare(a.out.Hash[:], b.out.Hash[:]))
	})
	return own
}

// pay spends coins of the miner.
func (c *Chain) pay(script []byte, value int64) (chainhash.Hash, error) {
	if value <= 0 || value > maxMoney {
		return chainhash.Hash{}, fmt.Errorf("%d satoshi cannot be paid", value)
	}
	tx := wire.NewMsgTx(2)
	tx.AddTxOut(wire.NewTxOut(value, script))
	var in int64
	var spent []spentCoin
	for _, s := range c.ownCoins() {
		tx.AddTxIn(wire.NewTxIn(&s.out, nil, nil))
		tx.TxIn[len(tx.TxIn)-1].Sequence = wire.MaxTxInSequenceNum - 2
		in += s.coin.out.Value
		spent = append(spent, s)
		fee := int64(payRate * (11 + 68*len(spent) + 9 + len(script) + 31))
		change := in - value - fee
		if change < 0 {
			continue
		}
		if change > dust {
			tx.AddTxOut(wire.NewTxOut(change, minerScript()))
		}
		if err := signMiner(tx, spent); err != nil {
			return chainhash.Hash{}, err
		}
		e, err := c.accept(tx, fromWallet)
		if err != nil {
			return chainhash.Hash{}, err
		}
		return e.txid, nil
	}
	return chainhash.Hash{}, errNoMoney
}

var errNoMoney = errors.New("the miner has too few coins that can be spent now: mine up to 100 more blocks")

func signMiner(tx *wire.MsgTx, spent []spentCoin) error {
	outs := make(map[wire.OutPoint]*wire.TxOut)
	for _, s := range spent {
		outs[s.out] = &s.coin.out
	}
	hashes := txscript.NewTxSigHashes(tx, txscript.NewMultiPrevOutFetcher(outs))
	for i, s := range spent {
		w, err := txscript.WitnessSignature(tx, hashes, i, s.coin.out.Value, minerScript(), txscript.SigHashAll, minerKey(), true)
		if err != nil {
			return err
		}
		tx.TxIn[i].Witness = w
	}
	return nil
}
