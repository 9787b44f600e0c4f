package main

import (
	"fmt"

	"github.com/datestone/datestone/internal/server"
)

type keyCmd struct {
	Rotate keyRotateCmd `cmd:"" aliases:"create" help:"Make a new API key for an account and print it, once; the one before it is refused from now on."`
	Revoke keyRevokeCmd `cmd:"" help:"Refuse an account's API key from now on."`
	Show   keyShowCmd   `cmd:"" help:"Show the end of an account's API key, and when it was made."`
	Add    keyAddCmd    `cmd:"" help:"Enable a customer's Bitcoin public key for the authenticated calendar, or change one."`
	List   keyListCmd   `cmd:"" help:"List the Bitcoin public keys of customers."`
	Remove keyRemoveCmd `cmd:"" help:"Refuse a customer's Bitcoin public key from now on. What it signed stays."`
}

func (c *keyCmd) settings() []*settings {
	return []*settings{&c.Rotate.settings, &c.Revoke.settings, &c.Show.settings, &c.Add.settings, &c.List.settings, &c.Remove.settings}
}

type keyRotateCmd struct{ accountSettings }

func (c *keyRotateCmd) Run(p *program) error {
	return c.accounts(p, false, func(config server.Config, all *server.Accounts) error {
		a, key, err := all.RotateKey(p.ctx, c.Account)
		if err != nil {
			return err
		}
		// The key stands alone on standard output, so that a script can take it from there.
		fmt.Fprintf(p.stderr, "this is the key of %s: keep it, it is not shown again; a key before it is refused\n", a.Email)
		if !config.Plans[a.Plan].API {
			fmt.Fprintf(p.stderr, "the plan %s has no API, so this key is refused too: datestoned account plan changes it\n", a.Plan)
		}
		if a.Suspended {
			fmt.Fprintf(p.stderr, "%s is suspended, so this key is refused too: datestoned account resume ends that\n", a.Email)
		}
		found := struct {
			server.Account
			Secret string `json:"secret"`
		}{a, key}
		return p.print(c.JSON, found, key)
	})
}

type keyRevokeCmd struct{ accountSettings }

func (c *keyRevokeCmd) Run(p *program) error {
	return c.change(p, func(all *server.Accounts) (server.Account, error) {
		return all.RevokeKey(p.ctx, c.Account)
	}, func(a server.Account) string {
		return a.Email + " has no key; datestoned key rotate " + a.Email + " makes one"
	})
}

type keyShowCmd struct{ accountSettings }

func (c *keyShowCmd) Run(p *program) error {
	return c.accounts(p, true, func(_ server.Config, all *server.Accounts) error {
		a, err := all.Find(p.ctx, c.Account)
		if err != nil {
			return err
		}
		found := struct {
			Account int64       `json:"account"`
			Email   string      `json:"email"`
			Key     *server.Key `json:"key"`
		}{a.ID, a.Email, a.Key}
		return p.print(c.JSON, found, keyText(a))
	})
}
