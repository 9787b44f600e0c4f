// Command datestone stamps files with OpenTimestamps calendars, completes the proofs
// and verifies them against Bitcoin block headers. It is a user of the public packages
// only; README.md beside this file has its exit codes and the JSON that it prints.
package main

// The tool's voice: lower case, no full stop at the end of an error, an error comes with
// a hint where there is something to do. Results go to standard output, everything else
// to standard error. Whatever a stranger could have chosen goes through show.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/term"
)

// Exit codes. Where several proofs end differently the one furthest down counts.
const (
	exitOK         = 0 // done
	exitIncomplete = 1 // not proven, or not yet
	exitUnreached  = 4 // a calendar, a node or the disk failed; worth another try
	exitUsage      = 2 // wrong options, or a file that is not what it should be
	exitFalse      = 3 // the proof does not hold, or is for other data
	exitInterrupt  = 130
)

// worse says which of two exit codes counts.
func worse(a, b int) int {
	rank := map[int]int{exitOK: 0, exitIncomplete: 1, exitUnreached: 2, exitUsage: 3, exitFalse: 4, exitInterrupt: 5}
	if rank[b] > rank[a] {
		return b
	}
	return a
}

type cli struct {
	Stamp   stampCmd   `cmd:"" aliases:"s" help:"Make a proof for files, folders, standard input or a digest."`
	Upgrade upgradeCmd `cmd:"" aliases:"u" help:"Complete proofs with what their calendars know by now."`
	Verify  verifyCmd  `cmd:"" aliases:"v" help:"Check a proof against the Bitcoin chain."`
	Info    infoCmd    `cmd:"" aliases:"i" help:"Show what is in a proof. Contacts nobody."`
	Prune   pruneCmd   `cmd:"" aliases:"p" help:"Make a complete proof smaller."`
	List    listCmd    `cmd:"" help:"List the stamps of an account, newest first."`
	Fetch   fetchCmd   `cmd:"" help:"Download proofs from an account. A proof that is there already is completed."`
	Keygen  keygenCmd  `cmd:"" help:"Make a key for a private calendar, which takes signed digests, and print its public key."`

	JSON    bool        `name:"json" help:"Print one JSON document on standard output." group:"out"`
	Verbose int         `short:"v" type:"counter" help:"Say more. Repeat for still more." group:"out"`
	Quiet   int         `short:"q" type:"counter" help:"Say less. Errors are always shown." group:"out"`
	Version versionFlag `short:"V" help:"Print the version and exit." group:"out"`

	Whitelist          []string `short:"l" sep:"none" placeholder:"URL" help:"Also ask calendars that match URL when a proof names them; * matches any text." group:"cal"`
	NoDefaultWhitelist bool     `help:"Do not ask the well-known public calendars." group:"cal"`
	Wait               bool     `short:"w" help:"Wait until the proof is complete." group:"cal"`
	WaitInterval       seconds  `hidden:"" default:"30" group:"cal"`
	Socks5Proxy        string   `name:"socks5-proxy" placeholder:"HOST[:PORT]" help:"Send all traffic through a SOCKS5 proxy, names included." group:"cal"`

	accountFlags
	sourceFlags
}

type versionFlag bool

// BeforeReset prints the version before anything else is looked at.
func (versionFlag) BeforeReset(k *kong.Kong) error {
	fmt.Fprintln(k.Stdout, "datestone "+version())
	k.Exit(exitOK)
	return nil
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// seconds is a time span given as a number of seconds or as Go writes durations.
type seconds time.Duration

func (s *seconds) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	if n, err2 := strconv.ParseFloat(string(text), 64); err2 == nil {
		d, err = time.Duration(n*float64(time.Second)), nil
	}
	if err != nil || d <= 0 || d > 24*time.Hour {
		return fmt.Errorf("want a number of seconds, or a time such as 500ms or 1m")
	}
	*s = seconds(d)
	return nil
}

func (s seconds) duration() time.Duration { return time.Duration(s) }

// app is what commands run with.
type app struct {
	*cli
	stdin          io.Reader
	stdout, stderr io.Writer
	stdinTTY       bool
	stdoutTTY      bool
	stderrTTY      bool
	http           *http.Client // for calendars and explorers
	socks5         string       // the proxy's address
}

// command is one subcommand: it reports through the app and returns an exit code, or
// fails as a whole with an error.
type command interface {
	run(ctx context.Context, a *app) (int, error)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], &app{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		stdinTTY:  term.IsTerminal(int(os.Stdin.Fd())),
		stdoutTTY: term.IsTerminal(int(os.Stdout.Fd())),
		stderrTTY: term.IsTerminal(int(os.Stderr.Fd())),
	})
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, a *app) int {
	a.cli = &cli{}
	parser, err := kong.New(a.cli,
		kong.Name("datestone"),
		kong.Writers(a.stdout, a.stderr),
		kong.Help(printHelp),
		kong.ExplicitGroups(groups),
	)
	if err != nil {
		panic(err) // the struct above is wrong
	}
	if len(args) == 0 {
		fmt.Fprint(a.stderr, rootHelp)
		return exitUsage
	}
	kctx, err := parser.Parse(args)
	if err != nil {
		a.JSON = a.JSON || wantsJSON(args)
		var pe *kong.ParseError
		hint := "see 'datestone --help'"
		if errors.As(err, &pe) && pe.Context != nil && pe.Context.Command() != "" {
			hint = fmt.Sprintf("see 'datestone %s --help'", pe.Context.Selected().Name)
		}
		msg := lowerFirst(err.Error())
		if strings.HasPrefix(msg, `expected "<proof>`) {
			msg = "name a proof"
		}
		if strings.HasPrefix(msg, `expected "<stamp>`) {
			msg = "name a stamp by its id or its SHA-256"
		}
		return a.fail("", usage(errors.New(msg), hint))
	}
	name := kctx.Selected().Name
	cmd := map[string]command{"stamp": &a.Stamp, "upgrade": &a.Upgrade, "verify": &a.Verify, "info": &a.Info, "prune": &a.Prune, "list": &a.List, "fetch": &a.Fetch, "keygen": &a.Keygen}[name]
	if err := a.setUp(); err != nil {
		return a.fail(name, err)
	}
	code, err := cmd.run(ctx, a)
	if err != nil {
		if ctx.Err() != nil {
			return a.fail(name, &toolError{err: errors.New("interrupted"), code: exitInterrupt})
		}
		return a.fail(name, err)
	}
	return code
}

// wantsJSON finds --json in a command line that did not parse.
func wantsJSON(args []string) bool {
	for _, s := range args {
		if s == "--" {
			return false
		}
		if s == "--json" {
			return true
		}
	}
	return false
}

// level is how much to say: 0 as usual, more with -v, less with -q.
func (a *app) level() int { return a.Verbose - a.Quiet }
