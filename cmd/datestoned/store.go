package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/datestone/datestone/internal/fsck"
	"github.com/datestone/datestone/internal/store"
)

type storeCmd struct {
	Copy storeCopyCmd `cmd:"" help:"Copy a whole store into another database, or go on with it, and check the copy."`
}

type storeCopyCmd struct {
	From string `required:"" placeholder:"PLACE" help:"The database to copy, which nothing may be using: a file, or postgres://user@host:port/name. Keep passwords in PGPASSWORD or a .pgpass file."`
	To   string `required:"" placeholder:"PLACE" help:"The database to copy to: an empty one, or one that a copy was interrupted in."`
	JSON bool   `name:"json" help:"Print JSON."`
}

// copyResult is what a copy prints.
type copyResult struct {
	Already bool             `json:"already"` // everything was there before
	Epoch   int              `json:"epoch"`
	Size    int64            `json:"size"`
	Root    string           `json:"root"`
	Rows    map[string]int64 `json:"rows"` // by table
	Check   *fsck.Report     `json:"check"`
}

func (c *storeCopyCmd) Run(p *program) error {
	if err := c.check(); err != nil {
		return usageError{err}
	}
	copied, err := store.Copy(p.ctx, c.From, c.To, progressTo(p))
	if err != nil {
		return err
	}
	target, err := store.Open(p.ctx, c.To, store.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	defer target.Close()
	check, err := fsck.Check(p.ctx, target, fsck.Options{Progress: progressTo(p)})
	if err != nil {
		return err
	}
	result := copyResult{copied.Already, copied.Head.Epoch, copied.Head.Size, hex.EncodeToString(copied.Head.Root[:]), copied.Rows, check}
	if err := p.print(c.JSON, result, c.text(result)); err != nil {
		return err
	}
	if !check.Clean() {
		return foundError{fmt.Errorf("the copy is the same as the source, and %d problems are in both: look at docs/operations.md", len(check.Problems)+check.More)}
	}
	return nil
}

func (c *storeCopyCmd) check() error {
	for _, place := range []struct{ flag, value string }{{"--from", c.From}, {"--to", c.To}} {
		scheme, _, address := strings.Cut(place.value, "://")
		if place.value == "" || address && !store.IsPostgres(place.value) {
			return fmt.Errorf("%s is %q: write the path of a file, or postgres://user@host:port/name", place.flag, scheme)
		}
	}
	if c.From == c.To {
		return errors.New("--from and --to are the same place")
	}
	return nil
}

// text says what was copied and what comes next.
func (c *storeCopyCmd) text(r copyResult) string {
	var rows int64
	for _, n := range r.Rows {
		rows += n
	}
	verb := "copied"
	if r.Already {
		verb = "compared" // nothing was left to copy
	}
	place := c.To
	if address, err := url.Parse(place); err == nil && store.IsPostgres(place) {
		place = address.Redacted()
	}
	return fmt.Sprintf(`%-12s %d rows of %d tables, and each is the same in both
%s
next         write database = %q, keep the high-water mark where it is, and start datestoned
             never start it again over %s: its log would go on in two places`, verb, rows, len(r.Rows), fsckText(r.Check), place, c.source())
}

// source names the database that was copied, without a password.
func (c *storeCopyCmd) source() string {
	if store.IsPostgres(c.From) {
		return "the old database"
	}
	return c.From
}
