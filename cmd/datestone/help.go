package main

import (
	"fmt"
	"slices"
	"strings"

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
  list         list the stamps of an account
  fetch        download proofs from an account
  keygen       make a key for a private calendar

A first session:
  datestone stamp letter.pdf           writes letter.pdf.ots; only a digest leaves the machine
  datestone upgrade letter.pdf.ots     some hours later, when Bitcoin has confirmed it
  datestone verify letter.pdf.ots      with your own Bitcoin node
  datestone verify --p2p letter.pdf.ots
                                       with nodes of strangers, whose word is checked
  datestone verify --esplora https://blockstream.info/api letter.pdf.ots

With an account of a Datestone service, its address in DATESTONE_API and a key in DATESTONE_API_KEY:
  datestone stamp letter.pdf           the account keeps the digest, and the file's name and size
  datestone list
  datestone fetch ID                   some hours later, the complete proof

Options of every command:
  --json           print one JSON document on standard output
  -v, -q           say more, say less
  -V, --version    print the version

'datestone COMMAND --help' shows the options of a command.

Exit codes: 0 done; 1 not proven, or not yet; 2 wrong use or bad input; 3 the proof does
not hold; 4 a calendar, a node or the disk failed, try again; 130 interrupted.
`

// groups are the parts of a command's help, in order.
var groups = []kong.Group{
	{Key: "cmd", Title: "Options"},
	{Key: "acc", Title: "An account of a service"},
	{Key: "src", Title: "Where block headers come from, at most one of"},
	{Key: "net", Title: "The network, when it is not Bitcoin itself"},
	{Key: "ltc", Title: "Litecoin attestations, which are checked when a node is named"},
	{Key: "cal", Title: "Calendars"},
	{Key: "out", Title: "Output"},
}

// relevant says which shared groups matter to a command.
var relevant = map[string]string{
	"stamp":   "cmd acc cal out",
	"upgrade": "cmd cal out",
	"verify":  "cmd src ltc net cal out",
	"info":    "cmd out",
	"prune":   "cmd src net out",
	"list":    "cmd acc out",
	"fetch":   "cmd acc out",
	"keygen":  "cmd out",
}

var examples = map[string]string{
	"stamp": `  datestone stamp letter.pdf photos/        one tree, one submission, a proof beside each file
  tar c folder | datestone stamp > folder.tar.ots
  datestone stamp -d $(sha256sum < disk.img | cut -c1-64)
  datestone stamp -c https://calendar.example.org letter.pdf
  datestone stamp --api https://stamps.example.org --api-key-file key.txt letter.pdf
  datestone stamp --private-calendar https://auth.example.org --key-file keys letter.pdf
`,
	"upgrade": `  datestone upgrade *.ots
  datestone upgrade --wait letter.pdf.ots
  datestone upgrade -l https://calendar.example.org letter.pdf.ots
`,
	"verify": `  datestone verify letter.pdf.ots                       with the Bitcoin node of this machine
  datestone verify --bitcoin-node http://user:password@10.0.0.5:8332 letter.pdf.ots
  datestone verify --p2p letter.pdf.ots                 without a node or a website
  datestone verify --headers headers.bin --offline letter.pdf.ots
  datestone verify --litecoin-node http://user:password@10.0.0.6:9332 letter.pdf.ots
  datestone verify -d 03ba204e... letter.pdf.ots
`,
	"info": `  datestone info letter.pdf.ots
  datestone info -v letter.pdf.ots                      also what each operation gives
`,
	"prune": `  datestone prune letter.pdf.ots                        keep the oldest Bitcoin attestation only
  datestone prune --discard unknown --discard pending:* letter.pdf.ots
`,
	"list": `  datestone list --api https://stamps.example.org --api-key-file key.txt
  datestone list --status pending -n 0                  all of them
`,
	"fetch": `  datestone fetch 0f8fad5b-d9cb-469f-a165-70867728950e
  datestone fetch $(sha256sum < letter.pdf | cut -c1-64)
  datestone fetch --wait -o letter.pdf.ots 0f8fad5b-d9cb-469f-a165-70867728950e
`,
	"keygen": `  datestone keygen --private-calendar https://auth.example.org keys
  datestone stamp --key-file keys letter.pdf            all calendars that the file has keys for
`,
}

func printHelp(_ kong.HelpOptions, ctx *kong.Context) error {
	node := ctx.Selected()
	if node == nil {
		_, err := fmt.Fprint(ctx.Stdout, rootHelp)
		return err
	}
	var b strings.Builder
	args := ""
	for _, arg := range node.Positional {
		name := strings.ToUpper(arg.Name) + " ..."
		if !arg.Required {
			name = "[" + name + "]"
		}
		args += " " + name
	}
	fmt.Fprintf(&b, "Usage: datestone %s [options]%s\n\n%s\n", node.Name, args, node.Help)
	for _, arg := range node.Positional {
		b.WriteByte('\n')
		row(&b, strings.ToUpper(arg.Name), arg.Help)
	}
	for _, g := range groups {
		if !slices.Contains(strings.Fields(relevant[node.Name]), g.Key) {
			continue
		}
		title := g.Title
		for n := node; n != nil; n = n.Parent {
			for _, f := range n.Flags {
				if f.Hidden || f.Group == nil || f.Group.Key != g.Key {
					continue
				}
				if title != "" {
					fmt.Fprintf(&b, "\n%s:\n", title)
					title = ""
				}
				name := "    --" + f.Name
				if f.Short != 0 {
					name = "-" + string(f.Short) + ", --" + f.Name
				}
				if !f.IsBool() && !f.IsCounter() {
					name += " " + f.PlaceHolder
				}
				row(&b, name, f.Help)
			}
		}
	}
	fmt.Fprintf(&b, "\nExamples:\n%s", examples[node.Name])
	_, err := fmt.Fprint(ctx.Stdout, b.String())
	return err
}

// row writes a name and, beside it, its help in lines of at most 90 columns.
func row(b *strings.Builder, name, help string) {
	const left, width = 31, 59
	col := len(name) + 2
	fmt.Fprintf(b, "  %s", name)
	if col >= left {
		b.WriteByte('\n')
		col = 0
	}
	b.WriteString(strings.Repeat(" ", left-col))
	n := 0
	for _, word := range strings.Fields(help) {
		if n > 0 && n+1+len(word) > width {
			fmt.Fprintf(b, "\n%s", strings.Repeat(" ", left))
			n = 0
		}
		if n > 0 {
			b.WriteByte(' ')
			n++
		}
		b.WriteString(word)
		n += len(word)
	}
	b.WriteByte('\n')
}
