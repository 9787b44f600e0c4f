package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/datestone/datestone/internal/server"
	"github.com/datestone/datestone/ots/printed"
)

type publishCmd struct {
	List     publishListCmd     `cmd:"" help:"List the notices, newest first."`
	Show     publishShowCmd     `cmd:"" help:"Show a notice and where it is on its way."`
	Send     publishSendCmd     `cmd:"" help:"Send a notice again, or make one of the newest root now."`
	Confirm  publishConfirmCmd  `cmd:"" help:"Say where a notice appeared."`
	Withdraw publishWithdrawCmd `cmd:"" help:"Take a wrong confirmation back."`
	Check    publishCheckCmd    `cmd:"" help:"Check a notice that was typed from the paper: say which line has a mistake."`
}

func (c *publishCmd) settings() []*settings {
	return []*settings{&c.List.settings, &c.Show.settings, &c.Send.settings, &c.Confirm.settings, &c.Withdraw.settings}
}

// publications does something with the notices of the configured database.
func (s *settings) publications(p *program, readOnly bool, do func(*server.Publications) error) error {
	config, err := s.load(p)
	if err != nil {
		return err
	}
	if err := config.CheckStore(); err != nil {
		return usageError{err}
	}
	all, err := server.OpenPublications(p.ctx, config, readOnly)
	if err != nil {
		return err
	}
	return errors.Join(do(all), all.Close())
}

type publishListCmd struct {
	settings
	Limit int  `default:"50" placeholder:"N" help:"The number of notices to show at most (${default})."`
	JSON  bool `name:"json" help:"Print JSON."`
}

func (c *publishListCmd) Run(p *program) error {
	if c.Limit < 1 || c.Limit > maxNotices {
		return usageError{fmt.Errorf("--limit is %d: write a number from 1 to %d", c.Limit, maxNotices)}
	}
	return c.publications(p, true, func(all *server.Publications) error {
		list, err := all.List(p.ctx, c.Limit)
		if err != nil {
			return err
		}
		return p.print(c.JSON, map[string][]server.Published{"publications": list}, publishTable(list))
	})
}

func publishTable(list []server.Published) string {
	if len(list) == 0 {
		return "there are no notices"
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tDATE\tPAPER\tROOT OF\tSENT\tPRINTED")
	for _, n := range list {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s %s\t%s\t%s\n", n.ID, n.Date, n.Paper, n.Purpose, n.Name, ways(n), printedWhere(n))
	}
	w.Flush()
	return strings.TrimSuffix(b.String(), "\n")
}

func ways(n server.Published) string {
	var all []string
	for _, d := range n.Deliveries {
		all = append(all, d.Channel+": "+d.State)
	}
	if len(all) == 0 {
		return "-"
	}
	return strings.Join(all, ", ")
}

func printedWhere(n server.Published) string {
	if n.Place == nil {
		return "not confirmed"
	}
	text := n.Place.Issue
	if n.Place.Page != "" {
		text += ", page " + n.Place.Page
	}
	if n.Place.URL != "" {
		text += ", " + n.Place.URL
	}
	return text
}

// publishText is all of a notice.
func publishText(n server.Published) string {
	var b strings.Builder
	fmt.Fprintf(&b, "notice    %d, of %s, for %s\nmade      %s, for the period %s\nroot of   %s %s\n", n.ID, n.Date, n.Paper, moment(n.Made), n.Period, n.Purpose, n.Name)
	for _, d := range n.Deliveries {
		fmt.Fprintf(&b, "%-9s %s, tries: %d", d.Channel, d.State, d.Tries)
		if d.State == "due" {
			fmt.Fprintf(&b, ", next %s", moment(d.Due))
		}
		if d.Error != "" {
			fmt.Fprintf(&b, "\n          %s", d.Error)
		}
		fmt.Fprintln(&b)
	}
	fmt.Fprintf(&b, "printed   %s", printedWhere(n))
	if n.Place != nil {
		fmt.Fprintf(&b, "\n          said by %s on %s", n.Place.By, moment(n.Place.At))
	}
	return b.String() + "\n\n" + strings.TrimSuffix(n.Text, "\n")
}

// publishSettings are what every command has that is about one notice.
type publishSettings struct {
	settings
	ID   int64 `arg:"" name:"id" help:"The notice's number, which datestoned publish list shows."`
	JSON bool  `name:"json" help:"Print JSON."`
}

type publishShowCmd struct {
	publishSettings
	PDF string `name:"pdf" placeholder:"FILE" help:"Write the notice as a PDF to this new file as well."`
}

func (c *publishShowCmd) Run(p *program) error {
	return c.publications(p, true, func(all *server.Publications) error {
		n, err := all.Find(p.ctx, c.ID)
		if err != nil {
			return err
		}
		if c.PDF != "" {
			document, err := all.PDF(p.ctx, c.ID)
			if err != nil {
				return err
			}
			f, err := os.OpenFile(c.PDF, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
			if err != nil {
				return err
			}
			_, err = f.Write(document)
			if err := errors.Join(err, f.Close()); err != nil {
				return err
			}
		}
		return p.print(c.JSON, n, publishText(n))
	})
}

type publishSendCmd struct {
	settings
	ID   int64 `arg:"" optional:"" name:"id" help:"The notice's number; it is sent again with the same message id."`
	New  bool  `help:"Make a notice of the newest root now, whatever the period."`
	JSON bool  `name:"json" help:"Print JSON."`
}

func (c *publishSendCmd) Run(p *program) error {
	if c.New == (c.ID != 0) {
		return usageError{errors.New("say what to send: the number of a notice, or --new for the newest root")}
	}
	return c.publications(p, false, func(all *server.Publications) (err error) {
		var n server.Published
		if c.New {
			n, err = all.SendNew(p.ctx)
		} else {
			n, err = all.Send(p.ctx, c.ID)
		}
		if err != nil {
			return err
		}
		return p.print(c.JSON, n, fmt.Sprintf("notice %d is sent by the running server: %s", n.ID, ways(n)))
	})
}

// by is who says something.
type by struct {
	By string `placeholder:"NAME" help:"Who says so; the default is the user who runs this."`
}

func (b by) name(p *program) string {
	if b.By != "" {
		return b.By
	}
	for _, line := range p.env {
		if name, value, _ := strings.Cut(line, "="); value != "" && (name == "USER" || name == "LOGNAME" || name == "USERNAME") {
			return value
		}
	}
	return "operator"
}

type publishConfirmCmd struct {
	publishSettings
	by
	Issue string `required:"" placeholder:"DATE" help:"The date of the issue, such as 2026-11-28."`
	Page  string `placeholder:"PAGE" help:"The page."`
	URL   string `name:"url" placeholder:"URL" help:"Where the page can be read."`
}

func (c *publishConfirmCmd) Run(p *program) error {
	return c.publications(p, false, func(all *server.Publications) error {
		n, err := all.Confirm(p.ctx, c.ID, c.Issue, c.Page, c.URL, c.name(p))
		if err != nil {
			return err
		}
		return p.print(c.JSON, n, fmt.Sprintf("notice %d is confirmed: %s", n.ID, printedWhere(n)))
	})
}

type publishWithdrawCmd struct {
	publishSettings
	by
}

func (c *publishWithdrawCmd) Run(p *program) error {
	return c.publications(p, false, func(all *server.Publications) error {
		n, err := all.Withdraw(p.ctx, c.ID, c.name(p))
		if err != nil {
			return err
		}
		return p.print(c.JSON, n, fmt.Sprintf("notice %d is not confirmed any more", n.ID))
	})
}

type publishCheckCmd struct {
	File string `arg:"" optional:"" help:"The file with the lines; standard input without it."`
	JSON bool   `name:"json" help:"Print JSON."`
}

// checked is what was found in a notice that was typed.
type checked struct {
	OK       bool              `json:"ok"`
	Purpose  string            `json:"purpose,omitempty"`
	Name     string            `json:"name,omitempty"`
	Date     string            `json:"date,omitempty"`
	Root     string            `json:"root,omitempty"`
	Problems []printed.Problem `json:"problems"`
}

func (c *publishCheckCmd) Run(p *program) error {
	in, name := io.Reader(os.Stdin), "standard input"
	if c.File != "" {
		f, err := os.Open(c.File)
		if err != nil {
			return err
		}
		defer f.Close()
		in, name = f, c.File
	}
	text, err := io.ReadAll(io.LimitReader(in, printed.MaxText+1))
	if err != nil {
		return fmt.Errorf("reading %s: %w", name, err)
	}
	root, err := printed.Read(string(text))
	var wrong *printed.Misread
	switch {
	case err == nil:
		return p.print(c.JSON, checked{OK: true, Purpose: root.Purpose, Name: root.Name, Date: root.Date, Root: fmt.Sprintf("%x", root.Hash), Problems: []printed.Problem{}},
			fmt.Sprintf("every line is right\nroot of   %s %s, of %s\nroot      %x", root.Purpose, root.Name, root.Date, root.Hash))
	case !errors.As(err, &wrong):
		return err
	}
	if err := p.print(c.JSON, checked{Problems: wrong.Problems}, wrong.Error()); err != nil {
		return err
	}
	return foundError{fmt.Errorf("%s is not what was printed: correct the lines that are named", name)}
}
