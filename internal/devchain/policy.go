package devchain

import (
	"errors"
	"math"
	"slices"
	"time"

	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// Core's relay policy. Rates are in satoshi per 1000 vbytes.
const (
	minRelayRate     = 1000
	incrementalRate  = 1000
	dustRate         = 3000
	maxStandard      = 400_000 // weight of a transaction
	minStandard      = 65      // bytes without witnesses
	maxScriptSig     = 1650
	maxDataCarrier   = 83 // bytes of an output script that begins with OP_RETURN
	maxAncestors     = 25
	maxAncestorVsize = 101_000
	maxReplaced      = 100
	maxTxSigOps      = maxSigOpsCost / 5
)

// source tells where a transaction comes from.
type source int

const (
	fromWallet source = iota // it is sent
	fromBlock                // it was accepted before; rates and limits do not count
)

// Words for the two ways of knowing a transaction already.
const (
	reasonInMempool = "txn-already-in-mempool"
	reasonInChain   = "txn-already-known"
)

// accept adds a transaction to the mempool, in place of what it may replace.
func (c *Chain) accept(tx *wire.MsgTx, from source) (*entry, error) {
	e, conflicts, err := c.judge(tx, from)
	if err != nil {
		return nil, err
	}
	for _, other := range conflicts {
		c.pool.remove(other)
	}
	c.pool.insert(e)
	return e, nil
}

// judge decides about a transaction and changes nothing. It returns the entry that
// it would be and the entries that it would replace, without their descendants.
// The order of the checks is Core's.
func (c *Chain) judge(tx *wire.MsgTx, from source) (*entry, []*entry, error) {
	tip := c.tip()
	if err := checkTransaction(tx); err != nil {
		return nil, nil, err
	}
	if isCoinbase(tx) {
		return nil, nil, reject("coinbase")
	}
	if err := checkStandard(tx); err != nil {
		return nil, nil, err
	}
	if !final(tx, tip.height+1, medianTime(tip)) {
		return nil, nil, reject("non-final")
	}
	e := &entry{tx: tx, txid: tx.TxHash(), weight: txWeight(tx), time: time.Now(), height: tip.height}
	if same := c.pool.entries[e.txid]; same != nil {
		if same.tx.WitnessHash() == tx.WitnessHash() {
			return nil, nil, reject(reasonInMempool)
		}
		return nil, nil, reject("txn-same-nonwitness-data-in-mempool")
	}
	var conflicts []*entry
	for _, in := range tx.TxIn {
		if other := c.pool.spender[in.PreviousOutPoint]; other != nil && !slices.Contains(conflicts, other) {
			conflicts = append(conflicts, other)
		}
	}
	spent, err := c.mempoolCoins(e)
	if err != nil {
		return nil, nil, err
	}
	if !sequenceFinal(tx, atNextHeight(spent, tip.height+1), tip) {
		return nil, nil, reject("non-BIP68-final")
	}
	if e.fee, err = checkInputs(tx, spent, tip.height+1); err != nil {
		return nil, nil, err
	}
	if err := checkStandardInputs(tx, spent); err != nil {
		return nil, nil, err
	}
	cost := sigOpsCost(tx, spent)
	if cost > maxTxSigOps {
		return nil, nil, rejectf("bad-txns-too-many-sigops", "%d", cost)
	}
	// One output of dust may be there if nothing is paid for it.
	if e.fee != 0 && slices.ContainsFunc(tx.TxOut, isDust) {
		return nil, nil, rejectf("dust", "tx with dust output must be 0-fee")
	}
	e.vsize = (max(e.weight, cost*20) + 3) / 4
	if from == fromWallet {
		if need := feeAt(minRelayRate, e.vsize); e.fee < need {
			return nil, nil, rejectf("min relay fee not met", "%d < %d", e.fee, need)
		}
		if err := c.checkAncestors(e, conflicts); err != nil {
			return nil, nil, err
		}
	}
	if len(conflicts) > 0 {
		if err := c.checkReplacement(e, conflicts); err != nil {
			return nil, nil, err
		}
	}
	if err := checkScripts(tx, spent, txscript.StandardVerifyFlags); err != nil {
		return nil, nil, rejectf("mempool-script-verify-flag-failed", "%v", err)
	}
	return e, conflicts, nil
}

// mempoolCoins finds what an entry spends, at the tip or in the mempool.
func (c *Chain) mempoolCoins(e *entry) ([]spentCoin, error) {
	var spent []spentCoin
	for _, in := range e.tx.TxIn {
		out := in.PreviousOutPoint
		from := c.coins[out]
		if parent := c.pool.entries[out.Hash]; from == nil && parent != nil && int64(out.Index) < int64(len(parent.tx.TxOut)) {
			from = &coin{*parent.tx.TxOut[out.Index], unconfirmed, false}
		}
		if from == nil {
			for n := range e.tx.TxOut {
				if c.coins[wire.OutPoint{Hash: e.txid, Index: uint32(n)}] != nil {
					return nil, reject(reasonInChain)
				}
			}
			return nil, &Rejection{Reason: "bad-txns-inputs-missingorspent", missing: true}
		}
		spent = append(spent, spentCoin{out, from})
	}
	return spent, nil
}

// atNextHeight gives mempool outputs the height that they may have at the soonest.
func atNextHeight(spent []spentCoin, next int) []spentCoin {
	spent = slices.Clone(spent)
	for i, s := range spent {
		if s.height == unconfirmed {
			spent[i].coin = &coin{s.coin.out, next, false}
		}
	}
	return spent
}

// feeAt rounds down as Core does, but never to nothing.
func feeAt(rate int64, vsize int) int64 {
	fee := rate * int64(vsize) / 1000
	if fee == 0 && rate > 0 && vsize > 0 {
		return 1
	}
	return fee
}

func checkStandard(tx *wire.MsgTx) error {
	if tx.Version < 1 || tx.Version > 3 {
		return reject("version")
	}
	if txWeight(tx) > maxStandard {
		return reject("tx-size")
	}
	for _, in := range tx.TxIn {
		if len(in.SignatureScript) > maxScriptSig {
			return reject("scriptsig-size")
		}
		if !txscript.IsPushOnlyScript(in.SignatureScript) {
			return reject("scriptsig-not-pushonly")
		}
	}
	data, small := 0, 0
	for _, out := range tx.TxOut {
		if isData(out.PkScript) {
			if len(out.PkScript) > maxDataCarrier {
				return reject("scriptpubkey")
			}
			data++
			continue
		}
		if !standardScript(out.PkScript) {
			return reject("scriptpubkey")
		}
		if isDust(out) {
			small++
		}
	}
	if data > 1 {
		return reject("multi-op-return")
	}
	if small > 1 {
		return reject("dust")
	}
	if tx.SerializeSizeStripped() < minStandard {
		return reject("tx-size-small")
	}
	return nil
}

// isData reports whether a script is OP_RETURN and pushes.
func isData(script []byte) bool {
	return len(script) > 0 && script[0] == txscript.OP_RETURN && txscript.IsPushOnlyScript(script[1:])
}

func standardScript(script []byte) bool {
	switch txscript.GetScriptClass(script) {
	case txscript.NonStandardTy:
		return txscript.IsWitnessProgram(script) // of a later version
	case txscript.MultiSigTy:
		keys, _, err := txscript.CalcMultiSigStats(script)
		return err == nil && keys <= 3
	}
	return true
}

// isDust reports whether spending an output would cost more than it is worth.
func isDust(out *wire.TxOut) bool {
	script := out.PkScript
	if isData(script) {
		return false
	}
	size := 8 + wire.VarIntSerializeSize(uint64(len(script))) + len(script)
	if txscript.IsWitnessProgram(script) {
		size += 32 + 4 + 1 + 107/4 + 4
	} else {
		size += 32 + 4 + 1 + 107 + 4
	}
	return out.Value < feeAt(dustRate, size)
}

func checkStandardInputs(tx *wire.MsgTx, spent []spentCoin) error {
	for i, s := range spent {
		class := txscript.GetScriptClass(s.coin.out.PkScript)
		if class == txscript.NonStandardTy {
			return reject("bad-txns-nonstandard-inputs")
		}
		if class == txscript.ScriptHashTy && txscript.GetPreciseSigOpCount(tx.TxIn[i].SignatureScript, s.coin.out.PkScript, true) > 15 {
			return reject("bad-txns-nonstandard-inputs")
		}
		if class == txscript.WitnessV0ScriptHashTy && !standardWitnessScript(tx.TxIn[i].Witness) {
			return reject("bad-witness-nonstandard")
		}
	}
	return nil
}

func standardWitnessScript(w wire.TxWitness) bool {
	if len(w) == 0 || len(w[len(w)-1]) > 3600 || len(w)-1 > 100 {
		return false
	}
	return !slices.ContainsFunc(w[:len(w)-1], func(item []byte) bool { return len(item) > 80 })
}

// checkAncestors bounds chains of unconfirmed transactions.
func (c *Chain) checkAncestors(e *entry, conflicts []*entry) error {
	tooLong := func(set map[*entry]bool) bool {
		size, _ := totals(set)
		return len(set)+1 > maxAncestors || size+e.vsize > maxAncestorVsize
	}
	ancestors := c.pool.ancestors(e.tx)
	if tooLong(ancestors) {
		return rejectf("too-long-mempool-chain", "too many unconfirmed ancestors [limit: %d]", maxAncestors)
	}
	for a := range ancestors {
		below := c.pool.descendants(a)
		for _, other := range conflicts {
			for d := range c.pool.descendants(other) {
				delete(below, d)
			}
		}
		if tooLong(below) {
			return rejectf("too-long-mempool-chain", "too many descendants for tx %v [limit: %d]", a.txid, maxAncestors)
		}
	}
	return nil
}

// checkReplacement applies BIP 125's rules 2 to 5, and Core's that the fee rate
// must rise. Nothing needs to signal that it may be replaced.
func (c *Chain) checkReplacement(e *entry, conflicts []*entry) error {
	ancestors := c.pool.ancestors(e.tx)
	for _, other := range conflicts {
		if ancestors[other] {
			return rejectf("bad-txns-spends-conflicting-tx", "%v spends conflicting transaction %v", e.txid, other.txid)
		}
	}
	rate := float64(e.fee) / float64(e.vsize)
	for _, other := range conflicts {
		if old := float64(other.fee) / float64(other.vsize); rate <= old {
			return rejectf("insufficient fee", "rejecting replacement %v; new feerate %s <= old feerate %s",
				e.txid, perKVB(e.fee, e.vsize), perKVB(other.fee, other.vsize))
		}
	}
	all := closure(conflicts, c.pool.children)
	if len(all) > maxReplaced {
		return rejectf("too many potential replacements", "rejecting replacement %v; too many potential replacements (%d > %d)", e.txid, len(all), maxReplaced)
	}
	for i, in := range e.tx.TxIn {
		if c.pool.entries[in.PreviousOutPoint.Hash] == nil {
			continue
		}
		known := slices.ContainsFunc(conflicts, func(other *entry) bool {
			return slices.ContainsFunc(other.tx.TxIn, func(o *wire.TxIn) bool { return o.PreviousOutPoint.Hash == in.PreviousOutPoint.Hash })
		})
		if !known {
			return rejectf("replacement-adds-unconfirmed", "replacement %v adds unconfirmed input, idx %d", e.txid, i)
		}
	}
	_, fees := totals(all)
	if e.fee < fees {
		return rejectf("insufficient fee", "rejecting replacement %v, less fees than conflicting txs; %v < %v", e.txid, amount(e.fee), amount(fees))
	}
	if more, need := e.fee-fees, feeAt(incrementalRate, e.vsize); more < need {
		return rejectf("insufficient fee", "rejecting replacement %v, not enough additional fees to relay; %v < %v", e.txid, amount(more), amount(need))
	}
	return nil
}

func perKVB(fee int64, vsize int) string {
	return amount(math.Floor(float64(fee)*1000/float64(vsize))).String() + " BTC/kvB"
}

// isRejection returns the rejection in err.
func isRejection(err error) (*Rejection, bool) {
	return errors.AsType[*Rejection](err)
}
