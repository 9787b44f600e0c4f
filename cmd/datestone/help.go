package main

import (
	"fmt"

	"github.com/alecthomas/kong"
)

const rootHelp = `datestone proves that data existed at a time, with OpenTimestamps and Bitcoin.

Usage: datestone COMMAND [options] ...

Commands:
  stamp, s     make a proof for files, folders, standard input or a digest
  upgrade, u   complete proofs with what their calendars know by now
  verify, v    check a proof against the Bitcoin chain
  info, i      show what is in a proof; contacts nobody
  prune, p     make a complete proof smaller

A first session:
  datestone stamp letter.pdf           writes letter.pdf.ots; only a digest leaves the machine
  datestone upgrade letter.pdf.ots     some hours later, when Bitcoin has confirmed it
  datestone verify letter.pdf.ots      with your own Bitcoin node
  datestone verify --esplora https://blockstream.info/api letter.pdf.ots

Options of every command:
  --json           print one JSON document on standard output
  -v, -q           say more, say less
  -V, --version    print the version

'datestone COMMAND --help' shows the options of a command.

Exit codes: 0 done; 1 not proven, or not yet; 2 wrong use or bad input; 3 the proof does
not hold; 4 a calendar, a node or the disk failed, try again; 130 interrupted.
`

var helpGroups = []kong.Group{
	{Key: "cmd", Title: "Options:"},
	{Key: "src", Title: "Where block headers come from (at most one):"},
	{Key: "net", Title: "Bitcoin network:"},
	{Key: "cal", Title: "Calendars:"},
	{Key: "out", Title: "Output:"},
}

// helpFor says which groups matter to a command; the others are left out of its help.
var helpFor = map[string][]string{
	"stamp":   {"cmd", "cal", "out"},
	"upgrade": {"cmd", "cal", "out"},
	"verify":  {"cmd", "src", "net", "cal", "out"},
	"info":    {"cmd", "out"},
	"prune":   {"cmd", "src", "net", "out"},
}

func printHelp(options kong.HelpOptions, ctx *kong.Context) error {
	node := ctx.Selected()
	if node == nil {
		_, err := fmt.Fprint(ctx.Stdout, rootHelp)
		return err
	}
	show := map[string]bool{}
	for _, key := range helpFor[node.Name] {
		show[key] = true
	}
	for n := node; n != nil; n = n.Parent {
		for _, f := range n.Flags {
			if f.Name != "help" && (f.Group == nil || !show[f.Group.Key]) {
				f.Hidden = true
			}
		}
	}
	for _, f := range ctx.Model.Flags {
		if f.Name != "help" && (f.Group == nil || !show[f.Group.Key]) {
			f.Hidden = true
		}
	}
	return kong.DefaultHelpPrinter(options, ctx)
}
