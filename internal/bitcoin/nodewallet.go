package bitcoin

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/bitcoin/ledger"
)

const nodeWalletPrefix = "node:"

func isNodeWallet(text string) bool { return strings.HasPrefix(text, nodeWalletPrefix) }

// nodeWallet is a wallet of Bitcoin Core: it keeps the keys and knows the coins for funding. Coins
// that our transactions make are followed by us, as with the own wallet.
type nodeWallet struct {
	node node
	name string
	kind string // of new addresses: bech32 or bech32m
	net  network
	to   string         // the address for funding, once it is known
	next map[int][]byte // by branch the script for change that the next transaction gets
}

func newNodeWallet(c Config, net network, n node) *nodeWallet {
	kind := "bech32"
	if c.Script == "tr" {
		kind = "bech32m"
	}
	return &nodeWallet{node: n, name: strings.TrimPrefix(c.Wallet, nodeWalletPrefix), kind: kind, net: net, next: make(map[int][]byte)}
}

// ask calls a method of the wallet, which is loaded first if it is not.
func (w *nodeWallet) ask(ctx context.Context, out any, method string, params ...any) error {
	path := "/wallet/" + url.PathEscape(w.name)
	err := w.node.call(ctx, callTimeout, path, out, method, params...)
	if rpcCode(err) == rpcNoWallet {
		if loadErr := w.node.ask(ctx, nil, "loadwallet", w.name); loadErr != nil {
			return anchor.Faultf(anchor.WalletMissing, loadErr, "The node has no wallet %q; make it with createwallet, or correct the name.", w.name)
		}
		err = w.node.call(ctx, callTimeout, path, out, method, params...)
	}
	switch rpcCode(err) {
	case rpcNoMethod, rpcWalletUnclear:
		return anchor.Faultf(anchor.WalletMissing, err, "The node has no wallet to offer; use a node that has, or the own wallet.")
	case rpcUnlockNeeded, rpcKeypoolOut:
		return anchor.Faultf(anchor.WalletLocked, err, "The wallet %q of the node is locked; unlock it with walletpassphrase.", w.name)
	}
	return err
}

func (w *nodeWallet) scripts() map[string]int { return nil }

func (w *nodeWallet) address() string { return w.to }

// learn finds the address for funding, or makes it the first time.
func (w *nodeWallet) learn(ctx context.Context) error {
	if w.to != "" {
		return nil
	}
	const label = "datestone"
	var known map[string]json.RawMessage
	err := w.ask(ctx, &known, "getaddressesbylabel", label)
	if err != nil && rpcCode(err) == 0 {
		return err
	}
	var all []string
	for to := range known {
		if a, err := address.DecodeAddress(to, w.net.params); err == nil {
			if script, err := txscript.PayToAddrScript(a); err == nil && spendable(script) {
				all = append(all, to)
			}
		}
	}
	if len(all) > 0 {
		w.to = slices.Min(all)
		return nil
	}
	return w.ask(ctx, &w.to, "getnewaddress", label, w.kind)
}

// balance is what the wallet has in confirmed coins.
func (w *nodeWallet) balance(ctx context.Context) (int64, error) {
	coins, err := w.more(ctx)
	var sum int64
	for _, c := range coins {
		sum += c.Value
	}
	return sum, err
}

// more lists the wallet's confirmed coins that it would spend itself. Height is 0: see locate.
func (w *nodeWallet) more(ctx context.Context) ([]ledger.Coin, error) {
	var list []struct {
		Txid      string      `json:"txid"`
		Vout      uint32      `json:"vout"`
		Script    string      `json:"scriptPubKey"`
		Amount    json.Number `json:"amount"`
		Spendable bool        `json:"spendable"`
		Solvable  bool        `json:"solvable"`
		Safe      bool        `json:"safe"`
	}
	if err := w.ask(ctx, &list, "listunspent", 1); err != nil {
		return nil, w.node.strange(err)
	}
	var coins []ledger.Coin
	for _, u := range list {
		if u.Script == "" {
			continue // a coin of an extension block, which our transactions cannot spend
		}
		script, err := hex.DecodeString(u.Script)
		value, ok := w.node.coinAmount(u.Amount)
		if err != nil || !ok || len(u.Txid) != 64 {
			return nil, w.node.strange(fmt.Errorf("listunspent answered the coin %s:%d", u.Txid, u.Vout))
		}
		if u.Spendable && u.Solvable && u.Safe && spendable(script) {
			coins = append(coins, ledger.Coin{Outpoint: ledger.Outpoint(u.Txid, u.Vout), Value: value, Script: script, Branch: ledger.Funding})
		}
	}
	slices.SortFunc(coins, byValue)
	return coins, nil
}

// byValue orders coins, the most valuable first.
func byValue(a, b ledger.Coin) int {
	return cmp.Or(cmp.Compare(b.Value, a.Value), strings.Compare(a.Outpoint, b.Outpoint))
}

// locate says in which block a coin was made, or 0 for none.
func (w *nodeWallet) locate(ctx context.Context, c ledger.Coin) (int64, error) {
	var tx struct {
		Height        int64 `json:"blockheight"`
		Confirmations int64 `json:"confirmations"`
	}
	if err := w.ask(ctx, &tx, "gettransaction", c.Outpoint[:64]); err != nil {
		return 0, w.node.strange(err)
	}
	if tx.Confirmations < 1 {
		return 0, nil
	}
	return tx.Height, nil
}

// change asks for a new address only when the last one was used.
func (w *nodeWallet) change(ctx context.Context, branch int) ([]byte, error) {
	if script, ok := w.next[branch]; ok {
		return script, nil
	}
	var text string
	if err := w.ask(ctx, &text, "getrawchangeaddress", w.kind); err != nil {
		return nil, w.node.strange(err)
	}
	to, err := address.DecodeAddress(text, w.net.params)
	if err != nil {
		return nil, w.node.strange(fmt.Errorf("getrawchangeaddress: %w", err))
	}
	script, err := txscript.PayToAddrScript(to)
	if err != nil {
		return nil, err
	}
	w.next[branch] = script
	return script, nil
}

func (w *nodeWallet) sign(ctx context.Context, tx *wire.MsgTx, coins []ledger.Coin) (*wire.MsgTx, error) {
	var raw bytes.Buffer
	if err := tx.SerializeNoWitness(&raw); err != nil {
		return nil, err
	}
	type previous struct {
		Txid   string      `json:"txid"`
		Vout   uint32      `json:"vout"`
		Script string      `json:"scriptPubKey"`
		Amount json.Number `json:"amount"`
	}
	var spent []previous
	for i, c := range coins {
		from := tx.TxIn[i].PreviousOutPoint
		spent = append(spent, previous{from.Hash.String(), from.Index, hex.EncodeToString(c.Script), json.Number(fmt.Sprintf("%d.%08d", c.Value/1e8, c.Value%1e8))})
	}
	var reply struct {
		Hex      string `json:"hex"`
		Complete bool   `json:"complete"`
	}
	if err := w.ask(ctx, &reply, "signrawtransactionwithwallet", hex.EncodeToString(raw.Bytes()), spent); err != nil {
		return nil, w.node.strange(err)
	}
	if !reply.Complete {
		return nil, anchor.Faultf(anchor.WalletMissing, nil, "The wallet %q of the node cannot sign for its coins; use one with private keys.", w.name)
	}
	signedRaw, err := hex.DecodeString(reply.Hex)
	if err != nil {
		return nil, w.node.strange(err)
	}
	signed := new(wire.MsgTx)
	if err := signed.Deserialize(bytes.NewReader(signedRaw)); err != nil {
		return nil, w.node.strange(err)
	}
	if signed.TxHash() != tx.TxHash() {
		return nil, w.node.strange(errors.New("the wallet signed another transaction than it was given"))
	}
	maps.DeleteFunc(w.next, func(_ int, script []byte) bool {
		return slices.ContainsFunc(tx.TxOut, func(out *wire.TxOut) bool { return bytes.Equal(out.PkScript, script) })
	})
	return signed, nil
}
