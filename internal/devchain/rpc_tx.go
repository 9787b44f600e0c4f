package devchain

import (
	"errors"
	"fmt"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

var txMethods = map[string]method{
	"getrawtransaction":    {params: "txid verbosity? blockhash?", run: getRawTransaction},
	"decoderawtransaction": {params: "hexstring", run: decodeRawTransaction},
	"sendrawtransaction":   {params: "hexstring maxfeerate? maxburnamount?", run: sendRawTransaction},
	"testmempoolaccept":    {params: "rawtxs maxfeerate?", run: testMempoolAccept},
	"getmempoolinfo":       {run: getMempoolInfo},
	"getrawmempool":        {params: "verbose?", run: getRawMempool},
	"getmempoolentry":      {params: "txid", run: getMempoolEntry},
	"gettxspendingprevout": {params: "outputs", run: getTxSpendingPrevout},
	"estimatesmartfee":     {params: "conf_target estimate_mode?", run: estimateSmartFee},
	"sendtoaddress":        {params: "address amount", run: sendToAddress},
	"validateaddress":      {params: "address", run: validateAddress},
}

const (
	maxFeeRate = 10_000_000 // satoshi per 1000 vbytes, what sendrawtransaction allows by default
	noTx       = "No such mempool or blockchain transaction. Use gettransaction for wallet transactions."
)

var errTxDecode = &Error{codeDecode, "TX decode failed. Make sure the tx has at least one input."}

func getRawTransaction(c *Chain, a arguments) (any, error) {
	txid, err := a.hash(0, "parameter 1")
	if err != nil {
		return nil, err
	}
	verbosity, err := a.verbosity(1, 0)
	if err != nil {
		return nil, err
	}
	if txid == params.GenesisBlock.Header.MerkleRoot {
		return nil, &Error{codeNotFound, "The genesis block coinbase is not considered an ordinary transaction and cannot be retrieved"}
	}
	if e := c.pool.entries[txid]; e != nil && a[2] == nil {
		if verbosity <= 0 {
			return txHex(e.tx), nil
		}
		return transaction(e.tx), nil
	}
	b, missing := c.txBlocks[txid], noTx
	if a[2] != nil {
		if b, err = c.block(a, 2); err != nil {
			if errors.Is(err, errBlockNotFound) {
				err = &Error{codeNotFound, "Block hash not found"}
			}
			return nil, err
		}
		missing = "No such transaction found in the provided block. Use gettransaction for wallet transactions."
	}
	if b == nil {
		return nil, &Error{codeNotFound, missing}
	}
	m, err := c.read(b)
	if err != nil {
		return nil, err
	}
	for _, tx := range m.Transactions {
		if tx.TxHash() != txid {
			continue
		}
		if verbosity <= 0 {
			return txHex(tx), nil
		}
		t := c.inBlock(transaction(tx), b)
		if a[2] != nil {
			active := c.isActive(b)
			t.InActive = &active
		}
		return t, nil
	}
	return nil, &Error{codeNotFound, missing}
}

func decodeRawTransaction(_ *Chain, a arguments) (any, error) {
	tx, err := a.transaction(0)
	if err != nil {
		return nil, &Error{codeDecode, "TX decode failed"}
	}
	t := transaction(tx)
	t.Hex = ""
	return t, nil
}

func (a arguments) transaction(i int) (*wire.MsgTx, error) {
	var text string
	if err := a.value(i, &text); err != nil {
		return nil, err
	}
	tx, err := decodeTx(text)
	if err != nil {
		return nil, errTxDecode
	}
	return tx, nil
}

// sendRawTransaction answers the id again for what waits in the mempool already.
func sendRawTransaction(c *Chain, a arguments) (any, error) {
	tx, err := a.transaction(0)
	if err != nil {
		return nil, err
	}
	limit, burn := amount(maxFeeRate), amount(0)
	if err := a.value(1, &limit); err != nil {
		return nil, err
	}
	if err := a.value(2, &burn); err != nil {
		return nil, err
	}
	txid := tx.TxHash()
	for n, out := range tx.TxOut {
		if !spendable(out.PkScript) && amount(out.Value) > burn {
			return nil, &Error{codeVerify, "Unspendable output exceeds maximum configured by user (maxburnamount)"}
		}
		if c.coins[wire.OutPoint{Hash: txid, Index: uint32(n)}] != nil {
			return nil, &Error{codeInChain, "Transaction outputs already in utxo set"}
		}
	}
	if c.pool.entries[txid] != nil {
		return txid, nil
	}
	if c.closed {
		return nil, ErrClosed
	}
	e, _, err := c.judge(tx, fromWallet)
	if err == nil {
		if limit > 0 && e.fee > feeAt(int64(limit), e.vsize) {
			return nil, &Error{codeVerify, "Fee exceeds maximum configured by user (e.g. -maxtxfee, maxfeerate)"}
		}
		_, err = c.accept(tx, fromWallet)
	}
	if err != nil {
		return nil, refusal(err)
	}
	return txid, nil
}

func refusal(err error) error {
	r, ok := isRejection(err)
	switch {
	case !ok:
		return err
	case r.missing:
		return &Error{codeVerify, r.Reason}
	}
	return &Error{codeVerifyRejected, r.Error()}
}

func testMempoolAccept(c *Chain, a arguments) (any, error) {
	var list []string
	if err := a.value(0, &list); err != nil {
		return nil, err
	}
	if len(list) != 1 {
		return nil, &Error{codeParameter, "this chain tests exactly one transaction at a time"}
	}
	limit := amount(maxFeeRate)
	if err := a.value(1, &limit); err != nil {
		return nil, err
	}
	tx, err := decodeTx(list[0])
	if err != nil {
		return nil, &Error{codeDecode, fmt.Sprintf("TX decode failed: %.100s Make sure the tx has at least one input.", list[0])}
	}
	type fees struct {
		Base amount `json:"base"`
	}
	verdict := struct {
		TxID    chainhash.Hash `json:"txid"`
		WTxID   chainhash.Hash `json:"wtxid"`
		Allowed bool           `json:"allowed"`
		VSize   int            `json:"vsize,omitempty"`
		Fees    *fees          `json:"fees,omitempty"`
		Reason  string         `json:"reject-reason,omitempty"`
		Details string         `json:"reject-details,omitempty"`
	}{TxID: tx.TxHash(), WTxID: tx.WitnessHash()}
	e, _, err := c.judge(tx, fromWallet)
	r, refused := isRejection(err)
	switch {
	case refused && r.missing:
		verdict.Reason, verdict.Details = "missing-inputs", "missing-inputs"
	case refused:
		verdict.Reason, verdict.Details = r.Reason, r.Error()
	case err != nil:
		return nil, err
	case limit > 0 && e.fee > feeAt(int64(limit), e.vsize):
		verdict.Reason, verdict.Details = "max-fee-exceeded", "max-fee-exceeded"
	default:
		verdict.Allowed, verdict.VSize, verdict.Fees = true, e.vsize, &fees{amount(e.fee)}
	}
	return []any{verdict}, nil
}

func getMempoolInfo(c *Chain, _ arguments) (any, error) {
	size, usage, total := 0, 0, amount(0)
	for _, e := range c.pool.entries {
		size += e.vsize
		usage += e.tx.SerializeSize()
		total += amount(e.fee)
	}
	return struct {
		Loaded      bool   `json:"loaded"`
		Size        int    `json:"size"`
		Bytes       int    `json:"bytes"`
		Usage       int    `json:"usage"`
		TotalFee    amount `json:"total_fee"`
		Max         int    `json:"maxmempool"`
		MinFee      amount `json:"mempoolminfee"`
		MinRelay    amount `json:"minrelaytxfee"`
		Incremental amount `json:"incrementalrelayfee"`
		Unbroadcast int    `json:"unbroadcastcount"`
		FullRBF     bool   `json:"fullrbf"`
	}{true, len(c.pool.entries), size, usage, total, 300_000_000, minRelayRate, minRelayRate, incrementalRate, len(c.pool.entries), true}, nil
}

type feesJSON struct {
	Base       amount `json:"base"`
	Modified   amount `json:"modified"`
	Ancestor   amount `json:"ancestor"`
	Descendant amount `json:"descendant"`
}

type entryJSON struct {
	VSize           int              `json:"vsize"`
	Weight          int              `json:"weight"`
	Time            int64            `json:"time"`
	Height          int              `json:"height"`
	DescendantCount int              `json:"descendantcount"`
	DescendantSize  int              `json:"descendantsize"`
	AncestorCount   int              `json:"ancestorcount"`
	AncestorSize    int              `json:"ancestorsize"`
	WTxID           chainhash.Hash   `json:"wtxid"`
	Fees            feesJSON         `json:"fees"`
	Depends         []chainhash.Hash `json:"depends"`
	SpentBy         []chainhash.Hash `json:"spentby"`
	Replaceable     bool             `json:"bip125-replaceable"`
	Unbroadcast     bool             `json:"unbroadcast"`
}

func (c *Chain) entry(e *entry) entryJSON {
	below, above := c.pool.descendants(e), c.pool.ancestors(e.tx)
	above[e] = true
	belowSize, belowFees := totals(below)
	aboveSize, aboveFees := totals(above)
	j := entryJSON{VSize: e.vsize, Weight: e.weight, Time: e.time.Unix(), Height: e.height,
		DescendantCount: len(below), DescendantSize: belowSize, AncestorCount: len(above), AncestorSize: aboveSize,
		WTxID: e.tx.WitnessHash(), Fees: feesJSON{amount(e.fee), amount(e.fee), amount(aboveFees), amount(belowFees)},
		Depends: ids(c.pool.parents(e.tx)), SpentBy: ids(c.pool.children(e))}
	j.Unbroadcast = true // there is nobody to send it to
	for a := range above {
		for _, in := range a.tx.TxIn {
			j.Replaceable = j.Replaceable || in.Sequence < wire.MaxTxInSequenceNum-1
		}
	}
	return j
}

func ids(list []*entry) []chainhash.Hash {
	out := []chainhash.Hash{}
	for _, e := range list {
		out = append(out, e.txid)
	}
	return out
}

func getRawMempool(c *Chain, a arguments) (any, error) {
	verbose := false
	if err := a.value(0, &verbose); err != nil {
		return nil, err
	}
	if !verbose {
		return ids(c.pool.ordered()), nil
	}
	all := make(map[string]entryJSON)
	for _, e := range c.pool.entries {
		all[e.txid.String()] = c.entry(e)
	}
	return all, nil
}

func getMempoolEntry(c *Chain, a arguments) (any, error) {
	txid, err := a.hash(0, "txid")
	if err != nil {
		return nil, err
	}
	e := c.pool.entries[txid]
	if e == nil {
		return nil, &Error{codeNotFound, "Transaction not in mempool"}
	}
	return c.entry(e), nil
}

func getTxSpendingPrevout(c *Chain, a arguments) (any, error) {
	type output struct {
		TxID     chainhash.Hash  `json:"txid"`
		Vout     uint32          `json:"vout"`
		Spending *chainhash.Hash `json:"spendingtxid,omitempty"`
	}
	var list []output
	if err := a.value(0, &list); err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, &Error{codeParameter, "Invalid parameter, outputs are missing"}
	}
	for i := range list {
		list[i].Spending = nil
		if e := c.pool.spender[wire.OutPoint{Hash: list[i].TxID, Index: list[i].Vout}]; e != nil {
			list[i].Spending = &e.txid
		}
	}
	return list, nil
}

func estimateSmartFee(c *Chain, a arguments) (any, error) {
	var target int
	if err := a.value(0, &target); err != nil {
		return nil, err
	}
	if target < 1 || target > 1008 {
		return nil, &Error{codeParameter, "Invalid conf_target, must be between 1 and 1008"}
	}
	answer := struct {
		Rate   *amount  `json:"feerate,omitempty"`
		Errors []string `json:"errors,omitempty"`
		Blocks int      `json:"blocks"`
	}{Blocks: max(target, 2)}
	if c.feeRate > 0 {
		rate := amount(c.feeRate)
		answer.Rate = &rate
	} else {
		answer.Errors, answer.Blocks = []string{"Insufficient data or no feerate found"}, 0
	}
	return answer, nil
}

// sendToAddress pays from the miner's coins.
func sendToAddress(c *Chain, a arguments) (any, error) {
	var to string
	var value amount
	if err := a.value(0, &to); err != nil {
		return nil, err
	}
	if err := a.value(1, &value); err != nil {
		return nil, err
	}
	s, err := parseAddress(to)
	if err != nil {
		return nil, &Error{codeNotFound, "Invalid address: " + to}
	}
	if c.closed {
		return nil, ErrClosed
	}
	txid, err := c.pay(s, int64(value))
	if errors.Is(err, errNoMoney) {
		return nil, &Error{-6, "Insufficient funds: " + err.Error()}
	}
	if err != nil {
		return nil, refusal(err)
	}
	return txid, nil
}

func validateAddress(_ *Chain, a arguments) (any, error) {
	var text string
	if err := a.value(0, &text); err != nil {
		return nil, err
	}
	s, err := parseAddress(text)
	if err != nil {
		return struct {
			Valid bool   `json:"isvalid"`
			Error string `json:"error"`
		}{false, err.Error()}, nil
	}
	return struct {
		Valid   bool   `json:"isvalid"`
		Address string `json:"address"`
		Script  string `json:"scriptPubKey"`
	}{true, text, fmt.Sprintf("%x", s)}, nil
}
