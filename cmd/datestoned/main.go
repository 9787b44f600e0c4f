// Command datestoned is the timestamping service: it runs the calendar and has its operator's
// commands. It only reads the command line; internal/server does the work.
//
// Exit codes: 0, done; 1, it failed; 2, the command line or the configuration is wrong; 3, a check
// found what is wrong.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kong"
)

// The tool's voice: errors are lower case, without a full stop, and say what to do. What a command
// finds goes to standard output, all else to standard error; --json makes what it finds one line of JSON.

const (
	exitFailed = 1
	exitUsage  = 2
	exitFound  = 3
)

type commands struct {
	Serve   serveCmd   `cmd:"" help:"Run the calendar."`
	Dev     devCmd     `cmd:"" help:"Run a calendar over a Bitcoin regtest chain of its own, to try things out."`
	Fsck    fsckCmd    `cmd:"" help:"Recompute the log and all that was made of it; never repairs."`
	Config  configCmd  `cmd:"" help:"Print the settings and their defaults, or check a configuration file."`
	Epoch   epochCmd   `cmd:"" help:"Begin a new epoch of the log."`
	Migrate migrateCmd `cmd:"" help:"Show the version of the database's schema, or bring it up to date."`
	Account accountCmd `cmd:"" help:"Make, list and change accounts. The server may run meanwhile."`
	Key     keyCmd     `cmd:"" help:"The API keys of accounts, and the Bitcoin keys of the authenticated calendar's customers."`
	Notice  noticeCmd  `cmd:"" help:"List, send again or drop notices to webhooks. The server may run meanwhile."`
	Publish publishCmd `cmd:"" help:"The roots that are printed: list, send, confirm where they appeared, check. The server may run meanwhile."`
	Store   storeCmd   `cmd:"" help:"Copy the store between databases."`
	Wallet  walletCmd  `cmd:"" help:"Show the wallet, or make its key."`
	Version versionCmd `cmd:"" help:"Print the version."`
}

// settings are those of the commands that args may name: some two hundred flags each, which take longer to make than most
// commands to run.
func (c *commands) settings(args []string) []*settings {
	if len(args) == 0 {
		return nil
	}
	switch args[0] {
	case "serve":
		return []*settings{&c.Serve.settings}
	case "fsck":
		return []*settings{&c.Fsck.settings}
	case "epoch":
		return []*settings{&c.Epoch.New.settings}
	case "migrate":
		return []*settings{&c.Migrate.Status.settings, &c.Migrate.Up.settings}
	case "account":
		return c.Account.settings()
	case "key":
		return c.Key.settings()
	case "notice":
		return c.Notice.settings()
	case "publish":
		return c.Publish.settings()
	case "wallet":
		return []*settings{&c.Wallet.Show.settings}
	}
	return nil
}

// program is what commands run in.
type program struct {
	ctx    context.Context // ends at SIGINT and SIGTERM
	stdout io.Writer
	stderr io.Writer
	env    []string
}

// usageError is an error of the command line or the configuration.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// foundError is what a check found to be wrong.
type foundError struct{ error }

func (e foundError) Unwrap() error { return e.error }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	os.Exit(run(&program{ctx: ctx, stdout: os.Stdout, stderr: os.Stderr, env: os.Environ()}, os.Args[1:]))
}

// exited carries the exit code that kong asks for out of its parser.
type exited int

// run runs one command line and returns the exit code.
func run(p *program, args []string) (code int) {
	defer func() {
		switch cause := recover().(type) {
		case nil:
		case exited:
			code = int(cause)
		default:
			panic(cause)
		}
	}()
	var c commands
	for _, s := range c.settings(args) {
		*s = newSettings()
	}
	parser, err := kong.New(&c,
		kong.Name("datestoned"),
		kong.Description("A self-hosted OpenTimestamps calendar."),
		kong.Writers(p.stdout, p.stderr),
		kong.Exit(func(code int) { panic(exited(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Bind(p),
	)
	if err != nil {
		panic(err)
	}
	parsed, err := parser.Parse(args)
	if err == nil {
		err = parsed.Run()
	} else {
		err = usageError{fmt.Errorf("%w; datestoned --help lists the commands", err)}
	}
	if err == nil {
		return 0
	}
	fmt.Fprintf(p.stderr, "datestoned: %v\n", err)
	var usage usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	var found foundError
	if errors.As(err, &found) {
		return exitFound
	}
	return exitFailed
}

// print writes what a command found: as text, or as one line of JSON.
func (p *program) print(asJSON bool, value any, text string) error {
	if asJSON {
		return json.NewEncoder(p.stdout).Encode(value)
	}
	_, err := fmt.Fprintln(p.stdout, text)
	return err
}

type versionCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

func (c *versionCmd) Run(p *program) error {
	return p.print(c.JSON, map[string]string{"version": version()}, "datestoned "+version())
}

// version is that of the module that the program was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "devel"
	}
	return info.Main.Version
}
