// Package tests holds what can only be tested on the whole: which package may
// import which, and the real programs with real nodes and foreign clients.
package tests

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/datestone/datestone/"

// allowed is the import map: for each package the packages of this module that it
// may import, with the reason. One that is not here may not be imported.
var allowed = map[string]map[string]string{
	"ots": {},
	"ots/otshttp": {
		"ots": "its replies are timestamps",
	},
	"ots/headers": {
		"ots": "a header is a value of the proof library",
	},
	"ots/headers/headerstest": {
		"ots": "it makes headers",
	},
	"ots/headers/p2p": {
		"ots":         "a header is a value of the proof library",
		"ots/headers": "it is a source, and the rules are there",
	},
	"ots/headers/p2p/p2ptest": {
		"ots": "the size of a header",
	},
	"ots/signedmsg": {},
	"api":           {},
	"cmd/datestone": {
		"api":             "stamps that an account keeps",
		"ots":             "proofs",
		"ots/otshttp":     "calendars",
		"ots/headers":     "block headers",
		"ots/headers/p2p": "block headers from strangers",
		"ots/signedmsg":   "calendars that want a signature",
		"ots/printed":     "roots that were printed",
	},
	"cmd/datestoned": {
		"internal/account":  "what the commands for accounts are given",
		"internal/bitcoin":  "wallet new makes a key",
		"internal/ethereum": "wallet new-ethereum makes a key",
		"internal/server":   "serve and dev",
		"internal/devchain": "dev's chain",
		"internal/fsck":     "the fsck command",
		"internal/store":    "store copy is about two stores, and no server",
		"ots/printed":       "it checks notices that were typed",
	},
	"internal/logtree": {
		"ots": "an inclusion proof is a path of operations",
	},
	"internal/account": {
		"internal/logtree": "a stamp has a position",
		"internal/seed":    "submissions are stamps as well",
		"ots":              "the path from a stamp to its entry",
		"ots/signedmsg":    "the keys and signatures of signed digests",
	},
	"internal/calendar": {
		"internal/account": "the keeper's stamps",
		"internal/logtree": "entries and heads",
		"ots":              "receipts and proofs are timestamps",
	},
	"internal/anchor": {
		"internal/logtree": "what is attested is a head",
	},
	"internal/seed": {
		"internal/logtree": "a seed has a head, as the log has",
	},
	"internal/publish": {
		"internal/account": "ids, and the path from a stamp",
		"internal/anchor":  "the states of a target",
		"internal/logtree": "what is printed is a head",
		"internal/seed":    "and seeds are printed as well",
		"ots":              "the path to a printed root",
		"ots/printed":      "the lines of a notice",
	},
	"internal/testseed": {
		"internal/account": "hashes are submitted for one",
		"internal/seed":    "it makes them",
		"internal/store":   "which keeps them",
	},
	"internal/publish/delivery": {
		"api":              "the signature of what is posted",
		"internal/anchor":  "the states of a target",
		"internal/egress":  "the publisher's URL is asked with bounds",
		"internal/mail":    "e-mail",
		"internal/publish": "notices",
	},
	"ots/printed": {},
	"internal/bitcoin": {
		"internal/anchor":         "it is a target",
		"internal/bitcoin/ledger": "its coins and budget, as values",
		"internal/logtree":        "the head that it embeds",
		"ots":                     "the path to the block header",
	},
	"internal/ethereum": {
		"internal/anchor":  "it is a target",
		"internal/logtree": "the head that it carries",
		"ots":              "the path to the block header",
	},
	"internal/bitcoin/ledger": {
		"internal/logtree": "attempts carry heads",
	},
	"internal/upstream": {
		"internal/anchor":              "its state is a target's",
		"internal/calendar":            "how long proofs may be",
		"internal/logtree":             "the heads that it gives to calendars",
		"internal/upstream/submission": "what calendars promised, as values",
		"ots":                          "the path to the block header",
		"ots/headers":                  "the block headers that decide",
		"ots/otshttp":                  "the calendars' protocol",
	},
	"internal/upstream/submission": {
		"internal/logtree": "what was promised is of a head",
	},
	"internal/notify": {
		"internal/account": "ids of endpoints and stamps",
		"internal/logtree": "a stamp has a position",
	},
	"internal/notify/webhook": {
		"api":              "the events and their signature",
		"internal/account": "the id of an endpoint",
		"internal/egress":  "requests to customers' URLs",
		"internal/notify":  "what is sent",
		"internal/seal":    "secrets",
	},
	"internal/notify/letter": {
		"api":                     "what is said of a stamp",
		"internal/account":        "the id of an endpoint",
		"internal/anchor":         "the network of a target",
		"internal/httpkit":        "the page that switches e-mail off",
		"internal/logtree":        "whether an attestation counts",
		"internal/mail":           "e-mail",
		"internal/notify":         "what is sent",
		"internal/notify/webhook": "that there is nothing to tell",
		"internal/page":           "how that page looks",
		"internal/store":          "what its errors mean",
	},
	"internal/mail/mailtest": {},
	"internal/qr":            {},
	"internal/seal":          {},
	"internal/store": {
		"internal/account":             "values of accounts and stamps",
		"internal/anchor":              "values of attempts and attestations",
		"internal/bitcoin/ledger":      "values of coins",
		"internal/logtree":             "values of the log",
		"internal/notify":              "values of notices",
		"internal/publish":             "values of publications",
		"internal/seed":                "values of submissions and seeds",
		"ots":                          "the tree of a batch",
		"ots/signedmsg":                "the keys and signatures of signed digests",
		"internal/upstream/submission": "values of what calendars promised",
	},
	"internal/apidoc": {
		"api":              "the statuses of error codes",
		"internal/httpkit": "handlers",
	},
	"internal/devchain": {},
	"internal/egress":   {},
	"internal/fsck": {
		"internal/account":             "it checks what customers signed",
		"internal/anchor":              "it recomputes attestations",
		"internal/seed":                "and what targets were given of seeds",
		"internal/bitcoin/ledger":      "it recomputes the coins",
		"internal/logtree":             "it recomputes the log",
		"internal/publish":             "what a printed root is of",
		"internal/store":               "it reads everything",
		"ots":                          "it evaluates proofs",
		"ots/printed":                  "it reads notices",
		"ots/signedmsg":                "it recovers the keys of signatures",
		"internal/upstream/submission": "it recomputes what calendars promised",
	},
	"internal/httpkit": {},
	"internal/mail":    {},
	"internal/page": {
		"internal/httpkit": "errors are pages too",
	},
	"internal/pdf": {
		"internal/page": "how names are shown, as on pages",
		"internal/qr":   "QR codes",
	},
	"internal/compat/originstamp/delivery": {
		"internal/anchor":                   "which networks have no value",
		"internal/compat/originstamp/proof": "the proof that e-mail brings",
		"internal/egress":                   "webhooks are sent safely",
		"internal/mail":                     "e-mail",
		"internal/notify":                   "what is sent",
		"internal/page":                     "how comments are shown",
		"internal/seed":                     "what was submitted, and its seeds",
	},
	"internal/compat/originstamp/pages": {
		"api":                               "the codes of errors",
		"internal/account":                  "UUIDs in their usual form",
		"internal/anchor":                   "which networks have no value",
		"internal/compat/originstamp/proof": "the proofs that everybody may take",
		"internal/httpkit":                  "handlers",
		"internal/page":                     "how pages look",
		"internal/seed":                     "what was submitted, and its seeds",
		"internal/store":                    "what its errors mean",
	},
	"internal/compat/originstamp/proof": {
		"internal/anchor":  "which networks have no value",
		"internal/logtree": "the chain that has the root",
		"internal/pdf":     "how PDFs are drawn",
		"internal/qr":      "the address as a QR code",
		"internal/seed":    "the branch that is proven",
	},
	"internal/certificate": {
		"internal/account":  "whose stamps",
		"internal/anchor":   "the chains' names and networks",
		"internal/calendar": "the proof of a stamp",
		"internal/httpkit":  "handlers",
		"internal/logtree":  "the status is read off a position",
		"internal/page":     "how pages look",
		"internal/pdf":      "how PDFs are drawn",
		"internal/qr":       "the address of a certificate as a QR code",
		"internal/publish":  "the printed roots that a stamp is in",
		"internal/store":    "what is not found",
		"ots":               "the pending attestation",
	},
	"internal/compat/eternity": {
		"internal/account":  "whose signatures",
		"internal/calendar": "proofs, and the keeper of what was signed",
		"internal/egress":   "callbacks are asked safely",
		"internal/mail":     "receipts by e-mail",
		"internal/notify":   "it delivers both",
		"internal/httpkit":  "handlers",
		"internal/logtree":  "a commitment is an entry",
		"ots":               "proofs",
		"ots/headers":       "the blocks that a proof names",
		"ots/signedmsg":     "the signatures of its contract",
	},
	"internal/compat/originstamp": {
		"internal/account":                  "who submits, and what they may",
		"internal/anchor":                   "whether a target's chain is without value",
		"internal/calendar":                 "the keeper, and ordinary proofs",
		"internal/compat/originstamp/proof": "the documents",
		"internal/egress":                   "webhooks are started safely",
		"internal/httpkit":                  "handlers",
		"internal/logtree":                  "a stamp has a position",
		"internal/notify":                   "what an await is told by",
		"internal/seed":                     "submissions and seeds",
		"internal/store":                    "what its errors mean",
		"ots":                               "the pending attestation",
	},
	"internal/otscal": {
		"internal/anchor":   "the status page names the targets' states",
		"internal/calendar": "it is the calendar's surface",
		"internal/httpkit":  "handlers",
		"internal/logtree":  "positions and heads on the status page",
		"ots":               "replies are timestamps",
		"ots/otshttp":       "how a client asks for promises",
	},
	"internal/rest": {
		"api":                     "the resources and error codes of its contract",
		"internal/account":        "whose stamps",
		"internal/anchor":         "the health of targets",
		"internal/calendar":       "proofs, and the keeper of stamps",
		"internal/httpkit":        "handlers",
		"internal/logtree":        "a stamp's status is read off its position",
		"internal/notify":         "webhooks and their deliveries",
		"internal/publish":        "the printed roots that a stamp is in",
		"internal/notify/webhook": "the names of events, and secrets",
		"internal/seal":           "the key for secrets",
		"internal/store":          "ranges of positions, and what is not found",
		"ots":                     "proofs",
	},
	"internal/server": {
		"api":                       "the form of a webhook's secret",
		"internal/account":          "plans are settings, and the operator's commands",
		"internal/apidoc":           "a surface",
		"internal/egress":           "wiring",
		"internal/notify":           "wiring, and the operator's commands",
		"internal/notify/letter":    "wiring",
		"internal/notify/webhook":   "wiring",
		"internal/seal":             "the key for secrets",
		"internal/rest":             "a surface",
		"internal/anchor":           "it runs the targets",
		"internal/bitcoin":          "wiring",
		"internal/bitcoin/ledger":   "wiring",
		"internal/calendar":         "wiring",
		"internal/certificate":      "a surface",
		"internal/devchain":         "wiring of dev",
		"internal/ethereum":         "wiring",
		"internal/fsck":             "wiring of the check",
		"internal/httpkit":          "the listener",
		"internal/logtree":          "the high-water mark is a head",
		"internal/mail":             "the mail server is a setting",
		"internal/otscal":           "a surface",
		"internal/publish":          "settings and wiring, and the operator's commands",
		"internal/publish/delivery": "wiring",
		"internal/store":            "wiring",
		"ots":                       "limits of the proof format at start-up",
		"internal/compat/eternity":  "a surface",
		"ots/headers":               "where the authenticated calendar's blocks come from",
		"ots/signedmsg":             "the operator's commands for public keys",
		"internal/upstream":         "wiring",

		"internal/compat/originstamp":          "a surface",
		"internal/compat/originstamp/delivery": "who awaits seeds",
		"internal/compat/originstamp/pages":    "a surface",
		"internal/compat/originstamp/proof":    "the documents of the pages",
		"internal/seed":                        "the currencies",
	},
	"internal/testnode": {},
	"internal/testpg":   {},
	"tests/cluster": {
		"internal/devchain": "the nodes anchor in it",
		"internal/testnode": "it starts processes",
		"internal/testpg":   "it asks the database of the nodes",
		"ots":               "it verifies proofs",
	},
	"tests/scale": {
		"internal/calendar": "the size of a batch",
		"internal/logtree":  "the number of epochs and of their entries",
	},
	"tests/load": {
		"internal/account": "it makes an account with stamps",
		"internal/httpkit": "the bare handler listens as the service does",
		"internal/logtree": "it fills a log",
		"internal/store":   "it fills a log",
		"ots":              "it reads replies",
	},
}

// only says which of our packages may import a library or a standard package that
// ought to stay in one room; ours below a name are included.
var only = map[string][]string{
	"database/sql":                        {"internal/store", "tests/load"},
	"modernc.org/sqlite":                  {"internal/store"},
	"go.yaml.in/yaml/v3":                  {"internal/apidoc"},
	"github.com/yuin/goldmark":            {"internal/apidoc"},
	"github.com/prometheus/client_golang": {"internal/server"},
	"github.com/btcsuite/btcd":            {"ots/signedmsg", "ots/headers/p2p", "internal/bitcoin", "internal/ethereum", "internal/devchain", "internal/testnode", "tests/cluster", "internal/upstream"},
	"github.com/alecthomas/kong":          {"cmd"},
	"github.com/BurntSushi/toml":          {"cmd", "internal/server"},
	"code.dny.dev/ssrf":                   {"internal/egress"},
	"github.com/wneessen/go-mail":         {"internal/mail"},
	"golang.org/x/mod/sumdb":              {"internal/logtree", "internal/store"},
	"codeberg.org/go-pdf/fpdf":            {"internal/pdf", "internal/publish/delivery"},
	"os/exec":                             {"internal/testnode", "internal/testpg", "internal/testseed", "tests"},
	"testing":                             {"internal/mail/mailtest", "internal/testnode", "internal/testpg", "internal/testseed", "ots/headers/headerstest", "tests/cluster"},
}

type goPackage struct {
	ImportPath string
	Standard   bool
	Imports    []string
	Deps       []string
}

func list(t *testing.T, args ...string) map[string]goPackage {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Standard,Imports,Deps"}, args...)...)
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			t.Fatalf("go list: %s", exit.Stderr)
		}
		t.Fatal(err)
	}
	packages := make(map[string]goPackage)
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := d.Decode(&p); err == io.EOF {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages[p.ImportPath] = p
	}
}

func TestImportMap(t *testing.T) {
	ours := list(t, "./...")
	if len(ours) < 10 {
		t.Fatalf("go list found only %d packages", len(ours))
	}
	for _, path := range slices.Sorted(maps.Keys(ours)) {
		name := strings.TrimPrefix(path, module)
		reasons, known := allowed[name]
		if !known && len(ours[path].Imports) > 0 {
			t.Errorf("%s is not in the import map: say what it may import, and why", name)
			continue
		}
		for _, imported := range ours[path].Imports {
			if other, is := strings.CutPrefix(imported, module); is && reasons[other] == "" {
				t.Errorf("%s imports %s, which the import map does not allow", name, other)
			}
			for library, rooms := range only {
				if within(imported, library) && !slices.ContainsFunc(rooms, func(room string) bool { return within(name, room) }) {
					t.Errorf("%s imports %s, which only %v may", name, imported, rooms)
				}
			}
		}
	}
}

func within(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

// What holds through any number of imports.
func TestImportClosure(t *testing.T) {
	all := list(t, "-deps", "./...")
	check := func(name, rule string, bad func(path string) bool) {
		p, found := all[module+name]
		if !found {
			t.Errorf("there is no package %s", name)
			return
		}
		for _, dep := range p.Deps {
			if bad(dep) {
				t.Errorf("%s depends on %s: %s", name, dep, rule)
			}
		}
	}
	check("ots", "the proof library takes the standard library and x/crypto alone", func(dep string) bool {
		standard := all[dep].Standard || strings.HasPrefix(dep, "vendor/")
		return !standard && !within(dep, "golang.org/x/crypto") && !within(dep, "golang.org/x/sys")
	})
	check("ots", "the proof library does no I/O of its own and has no clock", func(dep string) bool {
		return within(dep, "net") || dep == "os/exec" || dep == "log/slog" || dep == "context"
	})
	check("cmd/datestone", "the user's tool shows that the public packages are enough", func(dep string) bool {
		return within(dep, module+"internal")
	})
	check("api", "the client takes the standard library alone", func(dep string) bool {
		return !all[dep].Standard && !strings.HasPrefix(dep, "vendor/")
	})
	check("internal/otscal", "a surface knows no chain and no SQL", func(dep string) bool {
		return within(dep, module+"internal/bitcoin") || within(dep, module+"internal/store") || dep == "database/sql"
	})
	check("internal/calendar", "no HTTP, no SQL, no chain", func(dep string) bool {
		return dep == "net/http" || dep == "database/sql" || within(dep, module+"internal/bitcoin")
	})
	for name := range all {
		short, ours := strings.CutPrefix(name, module)
		if ours && !within(short, "cmd/datestoned") {
			check(short, "only the daemon's command wires the server", func(dep string) bool {
				return dep == module+"internal/server"
			})
		}
	}
}
