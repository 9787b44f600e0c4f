package bitcoin

import (
	"context"
	"fmt"

	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/datestone/datestone/internal/bitcoin/ledger"
)

// wallet holds the keys of coins.
type wallet interface {
	// scripts are the scripts that blocks are searched for, with the branch of each.
	scripts() map[string]int
	// more are confirmed coins for funding that are not found by searching blocks.
	more(ctx context.Context) ([]ledger.Coin, error)
	// change is the script that change for a branch goes to.
	change(ctx context.Context, branch int) ([]byte, error)
	// sign signs all inputs, which spend these coins.
	sign(ctx context.Context, tx *wire.MsgTx, coins []ledger.Coin) (*wire.MsgTx, error)
	// address is where people send coins to; empty while it is not known.
	address() string
}

// ownWallet is the wallet with a key of our own.
type ownWallet struct{ keys *keys }

func newOwnWallet(c Config, net network) (*ownWallet, error) {
	master, err := readKeyFile(c.KeyFile, net)
	if err != nil {
		return nil, err
	}
	k, err := deriveKeys(master, net, c.Script)
	if err != nil {
		return nil, fmt.Errorf("deriving keys: %w", err)
	}
	return &ownWallet{k}, nil
}

func (w *ownWallet) scripts() map[string]int {
	all := make(map[string]int)
	for branch, b := range w.keys.branches {
		all[string(b.script)] = branch
	}
	return all
}

func (w *ownWallet) more(context.Context) ([]ledger.Coin, error) { return nil, nil }

func (w *ownWallet) change(_ context.Context, branch int) ([]byte, error) {
	return w.keys.branches[branch].script, nil
}

func (w *ownWallet) address() string { return w.keys.branches[ledger.Funding].address }

// sign signs, and checks its signatures as a node does.
func (w *ownWallet) sign(_ context.Context, tx *wire.MsgTx, coins []ledger.Coin) (*wire.MsgTx, error) {
	spent := make(map[wire.OutPoint]*wire.TxOut)
	for i, c := range coins {
		spent[tx.TxIn[i].PreviousOutPoint] = wire.NewTxOut(c.Value, c.Script)
	}
	outputs := txscript.NewMultiPrevOutFetcher(spent)
	hashes := txscript.NewTxSigHashes(tx, outputs)
	for i, c := range coins {
		key, ok := w.key(c.Script)
		if !ok {
			return nil, fmt.Errorf("the key file has no key for the coin %s", c.Outpoint)
		}
		var err error
		if w.keys.taproot {
			tx.TxIn[i].Witness, err = txscript.TaprootWitnessSignature(tx, hashes, i, c.Value, c.Script, txscript.SigHashDefault, key.private)
		} else {
			tx.TxIn[i].Witness, err = txscript.WitnessSignature(tx, hashes, i, c.Value, c.Script, txscript.SigHashAll, key.private, true)
		}
		if err != nil {
			return nil, fmt.Errorf("signing for the coin %s: %w", c.Outpoint, err)
		}
	}
	for i, c := range coins {
		engine, err := txscript.NewEngine(c.Script, tx, i, txscript.StandardVerifyFlags, nil, hashes, c.Value, outputs)
		if err == nil {
			err = engine.Execute()
		}
		if err != nil {
			return nil, fmt.Errorf("checking the signature for the coin %s: %w", c.Outpoint, err)
		}
	}
	return tx, nil
}

func (w *ownWallet) key(script []byte) (branchKey, bool) {
	for _, b := range w.keys.branches {
		if string(b.script) == string(script) {
			return b, true
		}
	}
	return branchKey{}, false
}
