package main

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/datestone/datestone/internal/server"
)

type keyAddCmd struct {
	settings
	Account    string `required:"" placeholder:"ACCOUNT" help:"Who pays for what the key signs: an account's e-mail address, or its number."`
	PubKey     string `name:"pubkey" required:"" placeholder:"HEX" help:"The public key, compressed or uncompressed."`
	Callback   string `placeholder:"URL" help:"The address that is told of each attestation of a signed digest."`
	APIVersion string `name:"api-version" default:"0.3.0" placeholder:"V" help:"The version of the API that answers where a request names none (${default})."`
	JSON       bool   `name:"json" help:"Print JSON."`
}

func (c *keyAddCmd) Run(p *program) error {
	return c.accounts(p, false, func(_ server.Config, all *server.Accounts) error {
		k, err := all.AddPublicKey(p.ctx, c.Account, c.PubKey, c.Callback, c.APIVersion)
		if err != nil {
			return err
		}
		return p.print(c.JSON, k, fmt.Sprintf("%s pays for what %s signs (address %s)", k.Email, k.Key, k.Address))
	})
}

type keyListCmd struct {
	settings
	Account string `placeholder:"ACCOUNT" help:"Those of one account."`
	JSON    bool   `name:"json" help:"Print JSON."`
}

func (c *keyListCmd) Run(p *program) error {
	return c.accounts(p, true, func(_ server.Config, all *server.Accounts) error {
		list, err := all.PublicKeys(p.ctx, c.Account)
		if err != nil {
			return err
		}
		return p.print(c.JSON, map[string][]server.PublicKey{"keys": list}, publicKeyTable(list))
	})
}

func publicKeyTable(list []server.PublicKey) string {
	if len(list) == 0 {
		return "there are no public keys; datestoned key add enables one"
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "PUBLIC KEY\tACCOUNT\tVERSION\tSTATE\tCREATED\tCALLBACK")
	for _, k := range list {
		state := "active"
		if k.Removed != nil {
			state = "removed"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", k.Key, k.Email, k.Version, state, k.Created.UTC().Format(time.DateOnly), k.Callback)
	}
	w.Flush()
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRight(l, " ") // without a callback
	}
	return strings.Join(lines, "\n")
}

type keyRemoveCmd struct {
	settings
	PubKey string `arg:"" name:"pubkey" help:"The public key in hexadecimal digits."`
	JSON   bool   `name:"json" help:"Print JSON."`
}

func (c *keyRemoveCmd) Run(p *program) error {
	return c.accounts(p, false, func(_ server.Config, all *server.Accounts) error {
		if err := all.RemovePublicKey(p.ctx, c.PubKey); err != nil {
			return err
		}
		return p.print(c.JSON, map[string]string{"public_key": c.PubKey, "state": "removed"}, c.PubKey+" is refused; what it signed stays")
	})
}

// printSigned writes what an account's customers signed, as it is read.
func printSigned(p *program, all *server.Accounts, a server.Account, format string) error {
	out := bufio.NewWriter(p.stdout)
	write := func(s server.SignedDigest) error { return json.NewEncoder(out).Encode(s) }
	if format == "csv" {
		w := csv.NewWriter(out)
		row := func(fields ...string) error {
			err := w.Write(fields)
			w.Flush()
			return errors.Join(err, w.Error())
		}
		if err := row("digest", "signature", "public_key", "address", "created", "month", "op", "email"); err != nil {
			return err
		}
		write = func(s server.SignedDigest) error {
			return row(s.Digest, s.Signature, s.PublicKey, s.Address, s.Created.Format(time.RFC3339Nano), s.Month, s.Op, s.Email)
		}
	}
	if err := all.Signed(p.ctx, a, write); err != nil {
		return err
	}
	return out.Flush()
}
