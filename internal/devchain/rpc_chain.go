package devchain

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// methods is what the RPC knows. It is filled by init so that help can list it.
var methods map[string]method

func init() {
	methods = map[string]method{
		"help":              {params: "command?", run: help},
		"ping":              {run: func(*Chain, arguments) (any, error) { return nil, nil }},
		"uptime":            {run: func(c *Chain, _ arguments) (any, error) { return int(time.Since(c.started).Seconds()), nil }},
		"getblockcount":     {run: func(c *Chain, _ arguments) (any, error) { return c.tip().height, nil }},
		"getbestblockhash":  {run: func(c *Chain, _ arguments) (any, error) { return c.tip().hash, nil }},
		"getblockchaininfo": {run: getBlockchainInfo},
		"getnetworkinfo":    {run: getNetworkInfo},
		"getindexinfo":      {params: "index_name?", run: getIndexInfo},
		"getchaintips":      {run: getChainTips},
		"getblockhash":      {params: "height", run: getBlockHash},
		"getblockheader":    {params: "blockhash verbose?", run: getBlockHeader},
		"getblock":          {params: "blockhash verbosity?", run: getBlock},
		"waitfornewblock":   {params: "timeout?", wait: waitForNewBlock},
		"submitblock":       {params: "hexdata dummy?", run: submitBlock},
		"invalidateblock":   {params: "blockhash", run: invalidateBlock},
		"reconsiderblock":   {params: "blockhash", run: reconsiderBlock},
		"generatetoaddress": {params: "nblocks address maxtries?", run: generateToAddress},
		"generateblock":     {params: "output transactions submit?", run: generateBlock},
		"gettxout":          {params: "txid n include_mempool?", run: getTxOut},
		"scantxoutset":      {params: "action scanobjects?", run: scanTxOutSet},
	}
	maps.Copy(methods, txMethods)
}

func help(*Chain, arguments) (any, error) {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(methods)) {
		lines = append(lines, strings.TrimSpace(name+" "+methods[name].params))
	}
	return strings.Join(lines, "\n"), nil
}

func getBlockchainInfo(c *Chain, _ arguments) (any, error) {
	b := c.tip()
	return struct {
		Chain      string         `json:"chain"`
		Blocks     int            `json:"blocks"`
		Headers    int            `json:"headers"`
		Best       chainhash.Hash `json:"bestblockhash"`
		Bits       string         `json:"bits"`
		Target     string         `json:"target"`
		Difficulty float64        `json:"difficulty"`
		Time       int64          `json:"time"`
		MedianTime int64          `json:"mediantime"`
		Progress   float64        `json:"verificationprogress"`
		Initial    bool           `json:"initialblockdownload"`
		ChainWork  string         `json:"chainwork"`
		Size       int64          `json:"size_on_disk"`
		Pruned     bool           `json:"pruned"`
		Warnings   []string       `json:"warnings"`
	}{"regtest", b.height, b.height, b.hash, regtestBits, regtestTarget, regtestDifficulty, b.header.Timestamp.Unix(),
		medianTime(b).Unix(), 1, false, chainWork(b), c.file.size, false, []string{}}, nil
}

func getNetworkInfo(*Chain, arguments) (any, error) {
	return struct {
		Version     int      `json:"version"`
		Subversion  string   `json:"subversion"`
		Protocol    int      `json:"protocolversion"`
		Active      bool     `json:"networkactive"`
		Connections int      `json:"connections"`
		In          int      `json:"connections_in"`
		Out         int      `json:"connections_out"`
		Networks    []string `json:"networks"`
		RelayFee    amount   `json:"relayfee"`
		Incremental amount   `json:"incrementalfee"`
		Local       []string `json:"localaddresses"`
		Warnings    []string `json:"warnings"`
	}{290000, "/Satoshi:29.0.0(datestone development chain)/", 70016, false, 0, 0, 0, []string{},
		minRelayRate, incrementalRate, []string{}, []string{}}, nil
}

func getIndexInfo(c *Chain, a arguments) (any, error) {
	var only string
	if err := a.value(0, &only); err != nil {
		return nil, err
	}
	type index struct {
		Synced bool `json:"synced"`
		Height int  `json:"best_block_height"`
	}
	if only != "" && only != "txindex" {
		return struct{}{}, nil
	}
	return map[string]index{"txindex": {true, c.tip().height}}, nil
}

func getChainTips(c *Chain, _ arguments) (any, error) {
	type tip struct {
		Height int            `json:"height"`
		Hash   chainhash.Hash `json:"hash"`
		Length int            `json:"branchlen"`
		Status string         `json:"status"`
	}
	hasChild := make(map[*block]bool)
	for _, b := range c.blocks {
		hasChild[b.parent] = true
	}
	tips := []tip{}
	for _, b := range slices.Backward(c.byHeight()) {
		if hasChild[b] && b != c.tip() {
			continue
		}
		t := tip{b.height, b.hash, 0, "valid-fork"}
		for at := b; !c.isActive(at); at = at.parent {
			t.Length++
		}
		switch {
		case b == c.tip():
			t.Status = "active"
		case b.bad:
			t.Status = "invalid"
		}
		tips = append(tips, t)
	}
	return tips, nil
}

func getBlockHash(c *Chain, a arguments) (any, error) {
	var height int
	if err := a.value(0, &height); err != nil {
		return nil, err
	}
	if height < 0 || height >= len(c.active) {
		return nil, &Error{codeParameter, "Block height out of range"}
	}
	return c.active[height].hash, nil
}

func getBlockHeader(c *Chain, a arguments) (any, error) {
	b, err := c.block(a, 0)
	if err != nil {
		return nil, err
	}
	verbose := true
	if err := a.value(1, &verbose); err != nil {
		return nil, err
	}
	if verbose {
		return c.header(b), nil
	}
	var raw bytes.Buffer
	if err := b.header.Serialize(&raw); err != nil {
		return nil, err
	}
	return hex.EncodeToString(raw.Bytes()), nil
}

func getBlock(c *Chain, a arguments) (any, error) {
	b, err := c.block(a, 0)
	if err != nil {
		return nil, err
	}
	verbosity, err := a.verbosity(1, 1)
	if err != nil {
		return nil, err
	}
	m, err := c.read(b)
	if err != nil {
		return nil, err
	}
	if verbosity <= 0 {
		var raw bytes.Buffer
		if err := m.Serialize(&raw); err != nil {
			return nil, err
		}
		return hex.EncodeToString(raw.Bytes()), nil
	}
	stripped, size := m.SerializeSizeStripped(), m.SerializeSize()
	answer := struct {
		headerJSON
		Stripped int   `json:"strippedsize"`
		Size     int   `json:"size"`
		Weight   int   `json:"weight"`
		Txs      []any `json:"tx"`
	}{c.header(b), stripped, size, weight(stripped, size), nil}
	spent := b.spent
	for i, tx := range m.Transactions {
		if verbosity == 1 {
			answer.Txs = append(answer.Txs, tx.TxHash())
			continue
		}
		t := transaction(tx)
		if i > 0 && len(spent) >= len(tx.TxIn) {
			fee := amount(0)
			for _, s := range spent[:len(tx.TxIn)] {
				fee += amount(s.coin.out.Value)
			}
			for _, out := range tx.TxOut {
				fee -= amount(out.Value)
			}
			t.Fee, spent = &fee, spent[len(tx.TxIn):]
		}
		answer.Txs = append(answer.Txs, t)
	}
	return answer, nil
}

type tipJSON struct {
	Hash   chainhash.Hash `json:"hash"`
	Height int            `json:"height"`
}

func waitForNewBlock(ctx context.Context, c *Chain, a arguments) (any, error) {
	var milliseconds int
	if err := a.value(0, &milliseconds); err != nil {
		return nil, err
	}
	if milliseconds < 0 {
		return nil, &Error{codeMisc, "Negative timeout"}
	}
	if milliseconds > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(milliseconds)*time.Millisecond)
		defer cancel()
	}
	select {
	case <-c.Changed():
	case <-ctx.Done():
	}
	hash, height := c.Tip()
	return tipJSON{hash, height}, nil
}

func submitBlock(c *Chain, a arguments) (any, error) {
	var text string
	if err := a.value(0, &text); err != nil {
		return nil, err
	}
	raw, err := hex.DecodeString(text)
	m := new(wire.MsgBlock)
	if err == nil {
		in := bytes.NewReader(raw)
		if err = m.Deserialize(in); err == nil && in.Len() > 0 {
			err = fmt.Errorf("%d bytes follow", in.Len())
		}
	}
	if err != nil {
		return nil, &Error{codeDecode, "Block decode failed"}
	}
	b, err := c.add(m)
	if r, ok := isRejection(err); ok {
		return r.Reason, nil
	}
	if err == nil && !c.isActive(b) {
		return "inconclusive", nil
	}
	return nil, err
}

func invalidateBlock(c *Chain, a arguments) (any, error) {
	b, err := c.block(a, 0)
	if err != nil {
		return nil, err
	}
	return nil, c.invalidate(b)
}

func reconsiderBlock(c *Chain, a arguments) (any, error) {
	b, err := c.block(a, 0)
	if err != nil {
		return nil, err
	}
	return nil, c.reconsider(b)
}

// maxGenerate bounds one call, which holds everybody else up.
const maxGenerate = 10_000

func generateToAddress(c *Chain, a arguments) (any, error) {
	var n int
	var addr string
	if err := a.value(0, &n); err != nil {
		return nil, err
	}
	if err := a.value(1, &addr); err != nil {
		return nil, err
	}
	s, err := parseAddress(addr)
	if err != nil {
		return nil, &Error{codeNotFound, "Error: Invalid address"}
	}
	if n < 0 || n > maxGenerate {
		return nil, &Error{codeParameter, fmt.Sprintf("nblocks must be between 0 and %d", maxGenerate)}
	}
	hashes, err := c.mine(s, n, c.template)
	if err != nil {
		return nil, err
	}
	return append([]chainhash.Hash{}, hashes...), nil
}

func generateBlock(c *Chain, a arguments) (any, error) {
	var output string
	var list []string
	submit := true
	for i, out := range []any{&output, &list, &submit} {
		if err := a.value(i, out); err != nil {
			return nil, err
		}
	}
	s, err := parseAddress(output)
	if err != nil {
		scripts, err := parseDescriptor(output)
		if err != nil || len(scripts) != 1 {
			return nil, &Error{codeNotFound, "Error: Invalid address or descriptor"}
		}
		s = scripts[0]
	}
	if !submit {
		return nil, &Error{codeParameter, "submit=false is not supported by this chain"}
	}
	var txs []*wire.MsgTx
	for _, text := range list {
		if hash, err := chainhash.NewHashFromStr(text); err == nil && len(text) == 64 {
			e := c.pool.entries[*hash]
			if e == nil {
				return nil, &Error{codeNotFound, fmt.Sprintf("Transaction %s not in mempool.", text)}
			}
			txs = append(txs, e.tx)
			continue
		}
		tx, err := decodeTx(text)
		if err != nil {
			return nil, &Error{codeDecode, fmt.Sprintf("Transaction decode failed for %.100s. Make sure the tx has at least one input.", text)}
		}
		txs = append(txs, tx)
	}
	hashes, err := c.mine(s, 1, func(int) []*wire.MsgTx { return txs })
	if r, ok := isRejection(err); ok {
		return nil, &Error{codeVerify, "TestBlockValidity failed: " + r.Error()}
	}
	if err != nil {
		return nil, err
	}
	return struct {
		Hash chainhash.Hash `json:"hash"`
	}{hashes[0]}, nil
}

func getTxOut(c *Chain, a arguments) (any, error) {
	txid, err := a.hash(0, "txid")
	if err != nil {
		return nil, err
	}
	var n uint32
	withPool := true
	if err := a.value(1, &n); err != nil {
		return nil, err
	}
	if err := a.value(2, &withPool); err != nil {
		return nil, err
	}
	out := wire.OutPoint{Hash: txid, Index: n}
	found := c.coins[out]
	confirmations := 0
	if found != nil {
		confirmations = c.tip().height - found.height + 1
	}
	if withPool {
		if e := c.pool.entries[txid]; e != nil && int64(n) < int64(len(e.tx.TxOut)) && spendable(e.tx.TxOut[n].PkScript) {
			found = &coin{*e.tx.TxOut[n], unconfirmed, false}
		}
		if c.pool.spender[out] != nil {
			found = nil
		}
	}
	if found == nil {
		return nil, nil
	}
	return struct {
		Best          chainhash.Hash `json:"bestblock"`
		Confirmations int            `json:"confirmations"`
		Value         amount         `json:"value"`
		Script        scriptJSON     `json:"scriptPubKey"`
		Coinbase      bool           `json:"coinbase"`
	}{c.tip().hash, confirmations, amount(found.out.Value), script(found.out.PkScript), found.coinbase}, nil
}

type unspentJSON struct {
	TxID          chainhash.Hash `json:"txid"`
	Vout          uint32         `json:"vout"`
	Script        string         `json:"scriptPubKey"`
	Desc          string         `json:"desc"`
	Amount        amount         `json:"amount"`
	Coinbase      bool           `json:"coinbase"`
	Height        int            `json:"height"`
	BlockHash     chainhash.Hash `json:"blockhash"`
	Confirmations int            `json:"confirmations"`
}

func scanTxOutSet(c *Chain, a arguments) (any, error) {
	var action string
	if err := a.value(0, &action); err != nil {
		return nil, err
	}
	switch action {
	case "status":
		return nil, nil
	case "abort":
		return false, nil
	case "start":
	default:
		return nil, &Error{codeParameter, fmt.Sprintf("Invalid action '%s'", action)}
	}
	if a[1] == nil {
		return nil, &Error{codeMisc, "scanobjects argument is required for the start action"}
	}
	wanted, err := scanObjects(a)
	if err != nil {
		return nil, err
	}
	unspents := []unspentJSON{}
	var total amount
	for out, found := range c.coins {
		if !wanted[string(found.out.PkScript)] {
			continue
		}
		total += amount(found.out.Value)
		unspents = append(unspents, unspentJSON{out.Hash, out.Index, hex.EncodeToString(found.out.PkScript),
			descriptor(found.out.PkScript), amount(found.out.Value), found.coinbase, found.height,
			c.active[found.height].hash, c.tip().height - found.height + 1})
	}
	slices.SortFunc(unspents, func(a, b unspentJSON) int {
		return cmp.Or(bytes.Compare(a.TxID[:], b.TxID[:]), cmp.Compare(a.Vout, b.Vout))
	})
	return struct {
		Success  bool           `json:"success"`
		Outputs  int            `json:"txouts"`
		Height   int            `json:"height"`
		Best     chainhash.Hash `json:"bestblock"`
		Unspents []unspentJSON  `json:"unspents"`
		Total    amount         `json:"total_amount"`
	}{true, len(c.coins), c.tip().height, c.tip().hash, unspents, total}, nil
}
