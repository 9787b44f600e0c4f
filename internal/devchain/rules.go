package devchain

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// The rules that every block and transaction obeys, with the names that Core
// gives to their violations.

const (
	maxMoney       = 21_000_000 * 1e8
	maxWeight      = 4_000_000
	maxSigOpsCost  = 80_000
	maturity       = 100
	halving        = 150 // blocks, on regtest
	subsidy        = 50 * 1e8
	maxFutureBlock = 2 * time.Hour
	medianSpan     = 11
)

// Scripts in blocks: every soft fork is active from the first block on.
const blockFlags = txscript.ScriptBip16 | txscript.ScriptVerifyDERSignatures |
	txscript.ScriptVerifyCheckLockTimeVerify | txscript.ScriptVerifyCheckSequenceVerify |
	txscript.ScriptVerifyWitness | txscript.ScriptStrictMultiSig | txscript.ScriptVerifyTaproot

// Rejection says why a block or a transaction is refused, as Core does.
type Rejection struct {
	Reason  string // "bad-txns-in-belowout"
	Detail  string // may be empty
	missing bool   // its inputs are unknown or spent
}

func (r *Rejection) Error() string {
	if r.Detail == "" {
		return r.Reason
	}
	return r.Reason + ", " + r.Detail
}

func reject(reason string) error { return &Rejection{Reason: reason} }

func rejectf(reason, format string, args ...any) error {
	return &Rejection{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}

// hasWork reports whether a header's hash meets regtest's constant target.
func hasWork(h *wire.BlockHeader) bool {
	if h.Bits != params.PowLimitBits {
		return false
	}
	hash := h.BlockHash()
	slices.Reverse(hash[:])
	return new(big.Int).SetBytes(hash[:]).Cmp(params.PowLimit) <= 0
}

func txids(m *wire.MsgBlock) []chainhash.Hash {
	ids := make([]chainhash.Hash, len(m.Transactions))
	for i, tx := range m.Transactions {
		ids[i] = tx.TxHash()
	}
	return ids
}

// merkleRoot computes Bitcoin's tree: a lone last node is paired with itself.
func merkleRoot(level []chainhash.Hash) chainhash.Hash {
	if len(level) == 0 {
		return chainhash.Hash{}
	}
	level = slices.Clone(level)
	for len(level) > 1 {
		if len(level)%2 == 1 {
			level = append(level, level[len(level)-1])
		}
		for i := 0; i < len(level); i += 2 {
			level[i/2] = chainhash.DoubleHashH(append(level[i][:], level[i+1][:]...))
		}
		level = level[:len(level)/2]
	}
	return level[0]
}

// mutated reports whether a list of transactions repeats a pair so that another
// list has the same root.
func mutated(level []chainhash.Hash) bool {
	level = slices.Clone(level)
	for len(level) > 1 {
		for i := 0; i+1 < len(level); i += 2 {
			if level[i] == level[i+1] {
				return true
			}
		}
		if len(level)%2 == 1 {
			level = append(level, level[len(level)-1])
		}
		for i := 0; i < len(level); i += 2 {
			level[i/2] = chainhash.DoubleHashH(append(level[i][:], level[i+1][:]...))
		}
		level = level[:len(level)/2]
	}
	return false
}

// commitmentHead begins the coinbase output that commits to the witnesses (BIP 141).
var commitmentHead = []byte{txscript.OP_RETURN, 36, 0xaa, 0x21, 0xa9, 0xed}

// witnessCommitment hashes the witness root with the coinbase's reserved value.
func witnessCommitment(m *wire.MsgBlock, reserved []byte) chainhash.Hash {
	ids := make([]chainhash.Hash, len(m.Transactions)) // the coinbase counts as zero
	for i, tx := range m.Transactions[1:] {
		ids[i+1] = tx.WitnessHash()
	}
	root := merkleRoot(ids)
	return chainhash.DoubleHashH(append(root[:], reserved...))
}

func isCoinbase(tx *wire.MsgTx) bool {
	return len(tx.TxIn) == 1 && tx.TxIn[0].PreviousOutPoint == wire.OutPoint{Index: math.MaxUint32}
}

func weight(stripped, total int) int { return 3*stripped + total }

func txWeight(tx *wire.MsgTx) int { return weight(tx.SerializeSizeStripped(), tx.SerializeSize()) }

// spendable reports whether an output belongs to the unspent set.
func spendable(script []byte) bool {
	return len(script) <= txscript.MaxScriptSize && (len(script) == 0 || script[0] != txscript.OP_RETURN)
}

// medianTime is the median of a block's and its last ten ancestors' times.
func medianTime(b *block) time.Time {
	var times []int64
	for ; b != nil && len(times) < medianSpan; b = b.parent {
		times = append(times, b.header.Timestamp.Unix())
	}
	slices.Sort(times)
	return time.Unix(times[len(times)/2], 0)
}

func reward(height int) int64 {
	if height/halving >= 64 {
		return 0
	}
	return subsidy >> (height / halving)
}

// heightScript is what BIP 34 wants at the start of a coinbase's input script.
func heightScript(height int) ([]byte, error) {
	return txscript.NewScriptBuilder().AddInt64(int64(height)).Script()
}

// checkTransaction makes the checks that need nothing but the transaction.
func checkTransaction(tx *wire.MsgTx) error {
	switch {
	case len(tx.TxIn) == 0:
		return reject("bad-txns-vin-empty")
	case len(tx.TxOut) == 0:
		return reject("bad-txns-vout-empty")
	case tx.SerializeSizeStripped()*4 > maxWeight:
		return reject("bad-txns-oversize")
	}
	var total int64
	for _, out := range tx.TxOut {
		if out.Value < 0 {
			return reject("bad-txns-vout-negative")
		}
		if out.Value > maxMoney {
			return reject("bad-txns-vout-toolarge")
		}
		if total += out.Value; total > maxMoney {
			return reject("bad-txns-txouttotal-toolarge")
		}
	}
	seen := make(map[wire.OutPoint]bool, len(tx.TxIn))
	for _, in := range tx.TxIn {
		if seen[in.PreviousOutPoint] {
			return reject("bad-txns-inputs-duplicate")
		}
		seen[in.PreviousOutPoint] = true
	}
	if isCoinbase(tx) {
		if n := len(tx.TxIn[0].SignatureScript); n < 2 || n > 100 {
			return reject("bad-cb-length")
		}
		return nil
	}
	if seen[wire.OutPoint{Index: math.MaxUint32}] {
		return reject("bad-txns-prevout-null")
	}
	return nil
}

// final reports whether lock time allows tx in a block of this height above a
// block of this median time (BIP 113).
func final(tx *wire.MsgTx, height int, median time.Time) bool {
	if tx.LockTime == 0 {
		return true
	}
	now := int64(height)
	if tx.LockTime >= txscript.LockTimeThreshold {
		now = median.Unix()
	}
	if int64(tx.LockTime) < now {
		return true
	}
	return !slices.ContainsFunc(tx.TxIn, func(in *wire.TxIn) bool { return in.Sequence != wire.MaxTxInSequenceNum })
}

// sequenceFinal reports whether relative lock times allow tx in a block on parent
// (BIP 68).
func sequenceFinal(tx *wire.MsgTx, spent []spentCoin, parent *block) bool {
	if uint32(tx.Version) < 2 {
		return true
	}
	for i, in := range tx.TxIn {
		if in.Sequence&wire.SequenceLockTimeDisabled != 0 {
			continue
		}
		wait := int(in.Sequence & wire.SequenceLockTimeMask)
		if in.Sequence&wire.SequenceLockTimeIsSeconds == 0 {
			if parent.height+1 < spent[i].height+wait {
				return false
			}
			continue
		}
		from := parent
		for from.height > max(spent[i].height-1, 0) {
			from = from.parent
		}
		until := medianTime(from).Add(time.Duration(wait) << wire.SequenceLockTimeGranularity * time.Second)
		if medianTime(parent).Before(until) {
			return false
		}
	}
	return true
}

// checkInputs checks maturity and amounts for a block of this height and returns
// the fee.
func checkInputs(tx *wire.MsgTx, spent []spentCoin, height int) (int64, error) {
	var in, out int64
	for _, s := range spent {
		if s.coinbase && height-s.height < maturity {
			return 0, rejectf("bad-txns-premature-spend-of-coinbase", "tried to spend coinbase at depth %d", height-s.height)
		}
		if in += s.coin.out.Value; s.coin.out.Value < 0 || in > maxMoney {
			return 0, reject("bad-txns-inputvalues-outofrange")
		}
	}
	for _, o := range tx.TxOut {
		out += o.Value
	}
	if in < out {
		return 0, rejectf("bad-txns-in-belowout", "value in (%v) < value out (%v)", amount(in), amount(out))
	}
	return in - out, nil
}

// checkScripts runs every input's scripts.
func checkScripts(tx *wire.MsgTx, spent []spentCoin, flags txscript.ScriptFlags) error {
	outs := make(map[wire.OutPoint]*wire.TxOut, len(spent))
	for _, s := range spent {
		outs[s.out] = &s.coin.out
	}
	fetch := txscript.NewMultiPrevOutFetcher(outs)
	hashes := txscript.NewTxSigHashes(tx, fetch)
	for i, s := range spent {
		engine, err := txscript.NewEngine(s.coin.out.PkScript, tx, i, flags, nil, hashes, s.coin.out.Value, fetch)
		if err == nil {
			err = engine.Execute()
		}
		if err != nil {
			return fmt.Errorf("input %d: %w", i, err)
		}
	}
	return nil
}

// sigOpsCost counts signature operations as BIP 141 does.
func sigOpsCost(tx *wire.MsgTx, spent []spentCoin) int {
	cost := 0
	for _, in := range tx.TxIn {
		cost += 4 * txscript.GetSigOpCount(in.SignatureScript)
	}
	for _, out := range tx.TxOut {
		cost += 4 * txscript.GetSigOpCount(out.PkScript)
	}
	for i, s := range spent {
		in, script := tx.TxIn[i], s.coin.out.PkScript
		if txscript.GetScriptClass(script) == txscript.ScriptHashTy {
			cost += 4 * txscript.GetPreciseSigOpCount(in.SignatureScript, script, true)
		}
		cost += txscript.GetWitnessSigOpCount(in.SignatureScript, script, in.Witness)
	}
	return cost
}

// checkBlock makes the checks that need no outputs, and those of the header.
func (c *Chain) checkBlock(m *wire.MsgBlock) error {
	if c.blocks[m.BlockHash()] != nil {
		return reject("duplicate")
	}
	parent := c.blocks[m.Header.PrevBlock]
	if parent == nil {
		return reject("prev-blk-not-found")
	}
	if parent.bad {
		return reject("bad-prevblk")
	}
	switch h := &m.Header; {
	case h.Bits != params.PowLimitBits:
		return reject("bad-diffbits")
	case !hasWork(h):
		return reject("high-hash")
	case !h.Timestamp.After(medianTime(parent)):
		return reject("time-too-old")
	case h.Timestamp.After(time.Now().Add(maxFutureBlock)):
		return reject("time-too-new")
	case h.Version < 4:
		return reject(fmt.Sprintf("bad-version(0x%08x)", uint32(h.Version)))
	}
	return checkBody(m, parent)
}

func checkBody(m *wire.MsgBlock, parent *block) error {
	ids := txids(m)
	switch {
	case len(m.Transactions) == 0 || weight(m.SerializeSizeStripped(), 0) > 3*maxWeight/4:
		return reject("bad-blk-length")
	case merkleRoot(ids) != m.Header.MerkleRoot:
		return reject("bad-txnmrklroot")
	case mutated(ids):
		return reject("bad-txns-duplicate")
	case !isCoinbase(m.Transactions[0]):
		return reject("bad-cb-missing")
	case slices.ContainsFunc(m.Transactions[1:], isCoinbase):
		return reject("bad-cb-multiple")
	}
	height, median := parent.height+1, medianTime(parent)
	for _, tx := range m.Transactions {
		if err := checkTransaction(tx); err != nil {
			return err
		}
		if !final(tx, height, median) {
			return reject("bad-txns-nonfinal")
		}
	}
	want, err := heightScript(height)
	if err != nil {
		return err
	}
	coinbase := m.Transactions[0]
	if !bytes.HasPrefix(coinbase.TxIn[0].SignatureScript, want) {
		return reject("bad-cb-height")
	}
	if weight(m.SerializeSizeStripped(), m.SerializeSize()) > maxWeight {
		return reject("bad-blk-weight")
	}
	return checkWitness(m, coinbase)
}

func checkWitness(m *wire.MsgBlock, coinbase *wire.MsgTx) error {
	if len(coinbase.TxIn) == 0 {
		return reject("bad-cb-missing")
	}
	for _, out := range slices.Backward(coinbase.TxOut) {
		if len(out.PkScript) < 38 || !bytes.HasPrefix(out.PkScript, commitmentHead) {
			continue
		}
		w := coinbase.TxIn[0].Witness
		if len(w) != 1 || len(w[0]) != chainhash.HashSize {
			return reject("bad-witness-nonce-size")
		}
		if want := witnessCommitment(m, w[0]); !bytes.Equal(out.PkScript[6:38], want[:]) {
			return reject("bad-witness-merkle-match")
		}
		return nil
	}
	if slices.ContainsFunc(m.Transactions, (*wire.MsgTx).HasWitness) {
		return reject("unexpected-witness")
	}
	return nil
}

// checkConnect makes the checks that need the outputs at the tip, on which m is to
// stand, and returns what it spends, in order.
func (c *Chain) checkConnect(height int, m *wire.MsgBlock) ([]spentCoin, error) {
	parent := c.tip()
	var all []spentCoin
	made := make(map[wire.OutPoint]*coin)
	gone := make(map[wire.OutPoint]bool)
	var fees int64
	cost := 0
	for i, tx := range m.Transactions {
		var spent []spentCoin
		if i > 0 {
			for _, in := range tx.TxIn {
				out := in.PreviousOutPoint
				from := made[out]
				if from == nil {
					from = c.coins[out]
				}
				if from == nil || gone[out] {
					return nil, reject("bad-txns-inputs-missingorspent")
				}
				gone[out] = true
				spent = append(spent, spentCoin{out, from})
			}
			fee, err := checkInputs(tx, spent, height)
			if err != nil {
				return nil, err
			}
			fees += fee
			if !sequenceFinal(tx, spent, parent) {
				return nil, reject("bad-txns-nonfinal")
			}
			if err := checkScripts(tx, spent, blockFlags); err != nil {
				return nil, rejectf("block-script-verify-flag-failed", "%v", err)
			}
		}
		if cost += sigOpsCost(tx, spent); cost > maxSigOpsCost {
			return nil, reject("bad-blk-sigops")
		}
		all = append(all, spent...)
		txid := tx.TxHash()
		for n, out := range tx.TxOut {
			made[wire.OutPoint{Hash: txid, Index: uint32(n)}] = &coin{*out, height, i == 0}
		}
	}
	var paid int64
	for _, out := range m.Transactions[0].TxOut {
		paid += out.Value
	}
	if limit := reward(height) + fees; paid > limit {
		return nil, rejectf("bad-cb-amount", "coinbase pays too much (actual=%d vs limit=%d)", paid, limit)
	}
	return all, nil
}

// decodeTx reads a transaction in hex, as the RPC takes it.
func decodeTx(s string) (*wire.MsgTx, error) {
	raw, err := hex.DecodeString(s)
	if err != nil {
		return nil, err
	}
	tx := new(wire.MsgTx)
	in := bytes.NewReader(raw)
	if err := tx.Deserialize(in); err != nil {
		return nil, err
	}
	if in.Len() > 0 {
		return nil, errors.New("bytes follow the transaction")
	}
	return tx, nil
}
