package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/datestone/datestone/internal/bitcoin"
	"github.com/datestone/datestone/internal/ethereum"
	"github.com/datestone/datestone/internal/server"
)

type walletCmd struct {
	Show walletShowCmd `cmd:"" default:"withargs" help:"Show the address, balance and public descriptors of each target's wallet."`
	New  walletNewCmd  `cmd:"" help:"Make a file with a new key."`

	NewEthereum walletNewEthereumCmd `cmd:"" help:"Make a file with a new key for an Ethereum-like chain."`
}

type walletShowCmd struct {
	Target string `arg:"" optional:"" help:"The target: bitcoin or litecoin. Without it those that are configured."`
	settings
	JSON bool `name:"json" help:"Print JSON: an object, or {\"wallets\": [...]} with several."`
}

func (c *walletShowCmd) Run(p *program) error {
	config, err := c.load(p)
	if err != nil {
		return err
	}
	wallets, err := server.ShowWallets(p.ctx, config, c.Target)
	if err != nil {
		return err
	}
	if len(wallets) == 1 {
		return p.print(c.JSON, wallets[0], walletText(wallets[0]))
	}
	var texts []string
	for _, w := range wallets {
		texts = append(texts, walletText(w))
	}
	return p.print(c.JSON, map[string][]server.Wallet{"wallets": wallets}, strings.Join(texts, "\n\n"))
}

func walletText(w server.Wallet) string {
	var text strings.Builder
	fmt.Fprintf(&text, "target       %s\nnetwork      %s\n", w.Target, w.Network)
	if w.TestNetwork {
		fmt.Fprintln(&text, "             TEST NETWORK: its coins have no value and its proofs prove nothing")
	}
	if w.Seen {
		fmt.Fprintf(&text, "address      %s\nbalance      %d %s, confirmed, at block %d\n", w.Address, w.Balance, w.Unit, w.Height)
		fmt.Fprintf(&text, "fees         %d %s in 24 hours, %d in 7 days\n", w.FeesDay, w.Unit, w.FeesWeek)
		if s := w.Seeds; s != nil {
			fmt.Fprintf(&text, "seeds        %d wait; of the fees %d %s in 24 hours, %d in 7 days\n", s.Waiting, s.FeesDay, w.Unit, s.FeesWeek)
			if s.Message != "" {
				fmt.Fprintf(&text, "             %s\n", s.Message)
			}
		}
	} else {
		fmt.Fprintln(&text, "address      known once datestoned serve has seen the chain")
	}
	for _, d := range w.Descriptors {
		fmt.Fprintf(&text, "descriptor   %s\n", d)
	}
	return strings.TrimSuffix(text.String(), "\n")
}

type walletNewCmd struct {
	File string `arg:"" help:"The file to make; the setting key_file of the target names it."`
	JSON bool   `name:"json" help:"Print JSON."`
}

func (c *walletNewCmd) Run(p *program) error {
	if strings.TrimSpace(c.File) == "" {
		return usageError{errors.New("name the file to make")}
	}
	if err := bitcoin.GenerateKeyFile(c.File); err != nil {
		return err
	}
	return p.print(c.JSON, map[string]string{"key_file": c.File},
		fmt.Sprintf("made %s: back it up, whoever has it can spend the coins\nwrite key_file = %q in the table [bitcoin], or of the target that it is for", c.File, c.File))
}

type walletNewEthereumCmd struct {
	File string `arg:"" help:"The file to make; key_file in the table [[ethereum]] names it."`
	JSON bool   `name:"json" help:"Print JSON."`
}

func (c *walletNewEthereumCmd) Run(p *program) error {
	if strings.TrimSpace(c.File) == "" {
		return usageError{errors.New("name the file to make")}
	}
	address, err := ethereum.GenerateKeyFile(c.File)
	if err != nil {
		return err
	}
	return p.print(c.JSON, map[string]string{"key_file": c.File, "address": address},
		fmt.Sprintf("made %s: back it up, whoever has it can spend the coins of %s\nsend coins there, and write key_file = %q in the table [[ethereum]]", c.File, address, c.File))
}
