package devchain

import (
	"bytes"
	"encoding/hex"
	"fmt"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// The JSON shapes of Core's answers, with its order of fields.

type headerJSON struct {
	Hash          chainhash.Hash  `json:"hash"`
	Confirmations int             `json:"confirmations"` // -1 outside the best branch
	Height        int             `json:"height"`
	Version       int32           `json:"version"`
	VersionHex    string          `json:"versionHex"`
	MerkleRoot    chainhash.Hash  `json:"merkleroot"`
	Time          int64           `json:"time"`
	MedianTime    int64           `json:"mediantime"`
	Nonce         uint32          `json:"nonce"`
	Bits          string          `json:"bits"`
	Target        string          `json:"target"`
	Difficulty    float64         `json:"difficulty"`
	ChainWork     string          `json:"chainwork"`
	Txs           int             `json:"nTx"`
	Previous      *chainhash.Hash `json:"previousblockhash,omitempty"`
	Next          *chainhash.Hash `json:"nextblockhash,omitempty"`
}

// Of regtest's one difficulty.
const (
	regtestDifficulty = 4.656542373906925e-10
	regtestBits       = "207fffff"
	regtestTarget     = "7fffff0000000000000000000000000000000000000000000000000000000000"
)

// chainWork counts two hashes for each block, the genesis block included.
func chainWork(b *block) string { return fmt.Sprintf("%064x", 2*(b.height+1)) }

func (c *Chain) confirmations(b *block) int {
	if !c.isActive(b) {
		return -1
	}
	return c.tip().height - b.height + 1
}

func (c *Chain) header(b *block) headerJSON {
	h := headerJSON{
		Hash: b.hash, Confirmations: c.confirmations(b), Height: b.height,
		Version: b.header.Version, VersionHex: fmt.Sprintf("%08x", uint32(b.header.Version)),
		MerkleRoot: b.header.MerkleRoot, Time: b.header.Timestamp.Unix(), MedianTime: medianTime(b).Unix(),
		Nonce: b.header.Nonce, Bits: regtestBits, Target: regtestTarget, Difficulty: regtestDifficulty,
		ChainWork: chainWork(b), Txs: b.txs,
	}
	if b.parent != nil {
		h.Previous = &b.parent.hash
	}
	if c.isActive(b) && b != c.tip() {
		h.Next = &c.active[b.height+1].hash
	}
	return h
}

type scriptJSON struct {
	Asm     string `json:"asm"`
	Desc    string `json:"desc"`
	Hex     string `json:"hex"`
	Address string `json:"address,omitempty"`
	Type    string `json:"type"`
}

func script(raw []byte) scriptJSON {
	asm, err := txscript.DisasmString(raw)
	if err != nil {
		asm += "[error]"
	}
	s := scriptJSON{Asm: asm, Hex: hex.EncodeToString(raw), Address: addressOf(raw)}
	class := txscript.GetScriptClass(raw)
	s.Type = map[txscript.ScriptClass]string{
		txscript.PubKeyTy: "pubkey", txscript.PubKeyHashTy: "pubkeyhash", txscript.ScriptHashTy: "scripthash",
		txscript.WitnessV0PubKeyHashTy: "witness_v0_keyhash", txscript.WitnessV0ScriptHashTy: "witness_v0_scripthash",
		txscript.WitnessV1TaprootTy: "witness_v1_taproot", txscript.MultiSigTy: "multisig",
	}[class]
	switch {
	case s.Type != "":
	case isData(raw):
		s.Type = "nulldata"
	case txscript.IsWitnessProgram(raw):
		s.Type = "witness_unknown"
	default:
		s.Type = "nonstandard"
	}
	s.Desc = descriptor(raw)
	return s
}

// addressOf returns a script's one address, or nothing. Bare keys have none.
func addressOf(raw []byte) string {
	class, addrs, _, err := txscript.ExtractPkScriptAddrs(raw, params)
	if err != nil || len(addrs) != 1 || class == txscript.PubKeyTy || class == txscript.MultiSigTy {
		return ""
	}
	return addrs[0].EncodeAddress()
}

type inputJSON struct {
	Coinbase  string          `json:"coinbase,omitempty"`
	TxID      *chainhash.Hash `json:"txid,omitempty"`
	Vout      *uint32         `json:"vout,omitempty"`
	ScriptSig *sigJSON        `json:"scriptSig,omitempty"`
	Witness   []string        `json:"txinwitness,omitempty"`
	Sequence  uint32          `json:"sequence"`
}

type sigJSON struct {
	Asm string `json:"asm"`
	Hex string `json:"hex"`
}

type outputJSON struct {
	Value  amount     `json:"value"`
	N      int        `json:"n"`
	Script scriptJSON `json:"scriptPubKey"`
}

type txJSON struct {
	TxID     chainhash.Hash `json:"txid"`
	Hash     chainhash.Hash `json:"hash"`
	Version  uint32         `json:"version"`
	Size     int            `json:"size"`
	VSize    int            `json:"vsize"`
	Weight   int            `json:"weight"`
	LockTime uint32         `json:"locktime"`
	In       []inputJSON    `json:"vin"`
	Out      []outputJSON   `json:"vout"`
	Fee      *amount        `json:"fee,omitempty"`
	Hex      string         `json:"hex,omitempty"`

	InActive      *bool           `json:"in_active_chain,omitempty"`
	BlockHash     *chainhash.Hash `json:"blockhash,omitempty"`
	Confirmations *int            `json:"confirmations,omitempty"`
	Time          int64           `json:"time,omitempty"`
	BlockTime     int64           `json:"blocktime,omitempty"`
}

func transaction(tx *wire.MsgTx) txJSON {
	w := txWeight(tx)
	t := txJSON{TxID: tx.TxHash(), Hash: tx.WitnessHash(), Version: uint32(tx.Version), Size: tx.SerializeSize(),
		VSize: (w + 3) / 4, Weight: w, LockTime: tx.LockTime, Hex: txHex(tx), In: []inputJSON{}, Out: []outputJSON{}}
	for _, in := range tx.TxIn {
		j := inputJSON{Sequence: in.Sequence}
		for _, item := range in.Witness {
			j.Witness = append(j.Witness, hex.EncodeToString(item))
		}
		if isCoinbase(tx) {
			j.Coinbase = hex.EncodeToString(in.SignatureScript)
		} else {
			j.TxID, j.Vout = &in.PreviousOutPoint.Hash, &in.PreviousOutPoint.Index
			asm, err := txscript.DisasmString(in.SignatureScript)
			if err != nil {
				asm += "[error]"
			}
			j.ScriptSig = &sigJSON{asm, hex.EncodeToString(in.SignatureScript)}
		}
		t.In = append(t.In, j)
	}
	for n, out := range tx.TxOut {
		t.Out = append(t.Out, outputJSON{amount(out.Value), n, script(out.PkScript)})
	}
	return t
}

// inBlock adds where a transaction is confirmed. Outside the best branch it has no
// confirmations, and only those know its time.
func (c *Chain) inBlock(t txJSON, b *block) txJSON {
	t.BlockHash = &b.hash
	n := 0
	if c.isActive(b) {
		n = c.confirmations(b)
		t.Time, t.BlockTime = b.header.Timestamp.Unix(), b.header.Timestamp.Unix()
	}
	t.Confirmations = &n
	return t
}

func txHex(tx *wire.MsgTx) string {
	var raw bytes.Buffer
	raw.Grow(tx.SerializeSize())
	if err := tx.Serialize(&raw); err != nil {
		return "" // a buffer takes everything
	}
	return hex.EncodeToString(raw.Bytes())
}
