package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/datestone/datestone/internal/fsck"
	"github.com/datestone/datestone/internal/server"
)

type fsckCmd struct {
	settings
	Offline bool `help:"Compare attestations with no node."`
	JSON    bool `name:"json" help:"Print JSON."`
}

func (c *fsckCmd) Run(p *program) error {
	config, err := c.load(p)
	if err != nil {
		return err
	}
	r, err := server.Fsck(p.ctx, config, c.Offline, progressTo(p))
	if err != nil {
		return err
	}
	if err := p.print(c.JSON, r, fsckText(r)); err != nil {
		return err
	}
	if !r.Clean() {
		return foundError{fmt.Errorf("%d problems; nothing was repaired: keep the files as they are and look at docs/operations.md", len(r.Problems)+r.More)}
	}
	return nil
}

func fsckText(r *fsck.Report) string {
	var b strings.Builder
	for _, problem := range r.Problems {
		fmt.Fprintf(&b, "problem      %v\n", problem)
	}
	if r.More > 0 {
		fmt.Fprintf(&b, "             and %d more\n", r.More)
	}
	for _, u := range r.Unchecked {
		fmt.Fprintf(&b, "not checked  %s\n", u)
	}
	verdict := "everything recomputes"
	if !r.Clean() {
		verdict = "not clean"
	}
	fmt.Fprintf(&b, "checked      %d entries in %d epochs, %d attempts, %d attestations, %d signed digests: %s", r.Entries, r.Epochs, r.Attempts, r.Attestations, r.Signed, verdict)
	return b.String()
}

// progressTo shows progress on a terminal, now and then, on one line.
func progressTo(p *program) func(done, all int64) {
	f, ok := p.stderr.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	last := time.Now()
	return func(done, all int64) {
		if done < all && time.Since(last) < 200*time.Millisecond {
			return
		}
		last = time.Now()
		fmt.Fprintf(f, "\r%d of %d entries", done, all)
		if done >= all {
			fmt.Fprint(f, "\r\033[K")
		}
	}
}
