package main

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/server"
)

type accountCmd struct {
	Create   accountCreateCmd   `cmd:"" help:"Make an account."`
	List     accountListCmd     `cmd:"" help:"List all accounts."`
	Show     accountShowCmd     `cmd:"" help:"Show an account."`
	Plan     accountPlanCmd     `cmd:"" help:"Give an account another plan."`
	Suspend  accountSuspendCmd  `cmd:"" help:"Refuse an account's key from now on."`
	Resume   accountResumeCmd   `cmd:"" help:"End a suspension."`
	Usage    accountUsageCmd    `cmd:"" help:"Show how many stamps an account has made, month by month."`
	Branding accountBrandingCmd `cmd:"" help:"Set what an account's next certificates show."`
}

func (c *accountCmd) settings() []*settings {
	return []*settings{
		&c.Create.settings, &c.List.settings, &c.Show.settings, &c.Plan.settings, &c.Suspend.settings, &c.Resume.settings,
		&c.Usage.settings, &c.Branding.settings,
	}
}

// accountSettings are what every command has that is about one account.
type accountSettings struct {
	settings
	Account string `arg:"" help:"The account's e-mail address, or its number."`
	JSON    bool   `name:"json" help:"Print JSON."`
}

// accounts does something with the accounts of the configured database.
func (s *settings) accounts(p *program, readOnly bool, do func(server.Config, *server.Accounts) error) error {
	config, err := s.load(p)
	if err != nil {
		return err
	}
	if err := config.CheckAccounts(); err != nil {
		return usageError{err}
	}
	all, err := server.OpenAccounts(p.ctx, config, readOnly)
	if err != nil {
		return err
	}
	return errors.Join(do(config, all), all.Close())
}

// change does something to the account and says what is true then.
func (s *accountSettings) change(p *program, do func(*server.Accounts) (server.Account, error), says func(server.Account) string) error {
	return s.accounts(p, false, func(_ server.Config, all *server.Accounts) error {
		a, err := do(all)
		if err != nil {
			return err
		}
		return p.print(s.JSON, a, says(a))
	})
}

type accountCreateCmd struct {
	settings
	Email string `arg:"" help:"The e-mail address of who keeps stamps."`
	Plan  string `placeholder:"NAME" help:"Its plan, one of the configuration's."`
	JSON  bool   `name:"json" help:"Print JSON."`
}

func (c *accountCreateCmd) Run(p *program) error {
	if err := account.CheckEmail(c.Email); err != nil {
		return usageError{err}
	}
	return c.accounts(p, false, func(config server.Config, all *server.Accounts) error {
		if err := config.CheckPlan(c.Plan); err != nil {
			return usageError{err}
		}
		a, err := all.Create(p.ctx, c.Email, c.Plan)
		if err != nil {
			return err
		}
		return p.print(c.JSON, a, fmt.Sprintf("made account %d for %s with the plan %s; datestoned key rotate %s makes its key", a.ID, a.Email, a.Plan, a.Email))
	})
}

type accountListCmd struct {
	settings
	JSON bool `name:"json" help:"Print JSON."`
}

func (c *accountListCmd) Run(p *program) error {
	return c.accounts(p, true, func(_ server.Config, all *server.Accounts) error {
		list, err := all.List(p.ctx)
		if err != nil {
			return err
		}
		return p.print(c.JSON, map[string][]server.Account{"accounts": list}, accountTable(list))
	})
}

func accountTable(list []server.Account) string {
	if len(list) == 0 {
		return "there are no accounts; datestoned account create makes one"
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NUMBER\tE-MAIL\tPLAN\tSTATE\tKEY\tCREATED")
	for _, a := range list {
		key := "none"
		if a.Key != nil {
			key = "..." + a.Key.Hint
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\n", a.ID, a.Email, a.Plan, stateOf(a), key, a.Created.UTC().Format(time.DateOnly))
	}
	w.Flush()
	return strings.TrimSuffix(b.String(), "\n")
}

func stateOf(a server.Account) string {
	if a.Suspended {
		return "suspended"
	}
	return "active"
}

type accountShowCmd struct{ accountSettings }

func (c *accountShowCmd) Run(p *program) error {
	return c.accounts(p, true, func(_ server.Config, all *server.Accounts) error {
		a, err := all.Find(p.ctx, c.Account)
		if err != nil {
			return err
		}
		used, err := all.Usage(p.ctx, a, time.Now(), 1)
		if err != nil {
			return err
		}
		found := struct {
			server.Account
			server.Usage
		}{a, used}
		return p.print(c.JSON, found, accountText(a, used))
	})
}

func accountText(a server.Account, u server.Usage) string {
	var b strings.Builder
	fmt.Fprintf(&b, "account      %d\n", a.ID)
	fmt.Fprintf(&b, "e-mail       %s\n", a.Email)
	fmt.Fprintf(&b, "plan         %s\n", a.Plan)
	fmt.Fprintf(&b, "state        %s\n", stateOf(a))
	fmt.Fprintf(&b, "created      %s\n", moment(a.Created))
	fmt.Fprintf(&b, "key          %s\n", keyText(a))
	if a.Branding != nil {
		fmt.Fprintf(&b, "branding     %s\n", strings.Join(strings.Fields(a.Branding.Name+" "+a.Branding.LogoURL+" "+a.Branding.Color), " "))
	}
	fmt.Fprintf(&b, "used         %s", usedText(u.Months[0], u))
	return b.String()
}

func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

func keyText(a server.Account) string {
	if a.Key == nil {
		return "none; datestoned key rotate " + a.Email + " makes one"
	}
	return fmt.Sprintf("ends in %s, made %s", a.Key.Hint, moment(a.Key.Created))
}

func usedText(m server.Used, u server.Usage) string {
	if u.Quota == 0 {
		return fmt.Sprintf("%d in %s, of a plan that is not defined", m.Used, m.Month)
	}
	return fmt.Sprintf("%d of %d in %s", m.Used, u.Quota, m.Month)
}

type accountPlanCmd struct {
	settings
	Account string `arg:"" help:"The account's e-mail address, or its number."`
	Name    string `arg:"" help:"The plan, one of the configuration's."`
	JSON    bool   `name:"json" help:"Print JSON."`
}

func (c *accountPlanCmd) Run(p *program) error {
	return c.accounts(p, false, func(config server.Config, all *server.Accounts) error {
		if err := config.CheckPlan(c.Name); err != nil {
			return usageError{err}
		}
		a, err := all.SetPlan(p.ctx, c.Account, c.Name)
		if err != nil {
			return err
		}
		return p.print(c.JSON, a, fmt.Sprintf("%s has the plan %s", a.Email, a.Plan))
	})
}

type accountSuspendCmd struct{ accountSettings }

func (c *accountSuspendCmd) Run(p *program) error { return c.suspend(p, true) }

type accountResumeCmd struct{ accountSettings }

func (c *accountResumeCmd) Run(p *program) error { return c.suspend(p, false) }

func (s *accountSettings) suspend(p *program, suspended bool) error {
	return s.change(p, func(all *server.Accounts) (server.Account, error) {
		return all.SetSuspended(p.ctx, s.Account, suspended)
	}, func(a server.Account) string { return a.Email + " is " + stateOf(a) })
}

type accountUsageCmd struct {
	accountSettings
	Months int    `default:"12" placeholder:"N" help:"The number of months to show at most (${default})."`
	Signed bool   `help:"Print each digest that the account's customers signed, with its signature, so that anybody can count again."`
	Format string `default:"jsonl" enum:"jsonl,csv" help:"How: a line of JSON each, or CSV (${default})."`
}

func (c *accountUsageCmd) Run(p *program) error {
	if c.Months < 1 {
		return usageError{fmt.Errorf("--months is %d: write a number from 1 on", c.Months)}
	}
	return c.accounts(p, true, func(_ server.Config, all *server.Accounts) error {
		a, err := all.Find(p.ctx, c.Account)
		if err != nil {
			return err
		}
		if c.Signed {
			return printSigned(p, all, a, c.Format)
		}
		u, err := all.Usage(p.ctx, a, time.Now(), c.Months)
		if err != nil {
			return err
		}
		var lines []string
		for _, m := range u.Months {
			lines = append(lines, usedText(m, u))
		}
		found := struct {
			Account int64  `json:"account"`
			Email   string `json:"email"`
			Plan    string `json:"plan"`
			server.Usage
		}{a.ID, a.Email, a.Plan, u}
		return p.print(c.JSON, found, strings.Join(lines, "\n"))
	})
}

type accountBrandingCmd struct {
	accountSettings
	Name    string `placeholder:"TEXT" help:"The name to show."`
	LogoURL string `name:"logo-url" placeholder:"URL" help:"The https address of a picture."`
	Color   string `placeholder:"#RRGGBB" help:"The color of headings."`
	Clear   bool   `help:"Show no branding any more."`
}

func (c *accountBrandingCmd) Run(p *program) error {
	var b *account.Branding
	switch given := (account.Branding{Name: c.Name, LogoURL: c.LogoURL, Color: c.Color}); {
	case c.Clear && given != account.Branding{}:
		return usageError{errors.New("--clear stands alone")}
	case c.Clear:
	case c.Name == "":
		return usageError{errors.New("say what to show, for example --name 'Example & Co', or --clear")}
	default:
		if err := given.Check(); err != nil {
			return usageError{err}
		}
		b = &given
	}
	return c.accounts(p, false, func(config server.Config, all *server.Accounts) error {
		a, err := all.SetBranding(p.ctx, c.Account, b)
		if err != nil {
			return err
		}
		says := a.Email + " has no branding"
		if b != nil {
			says = fmt.Sprintf("%s shows %q on what is stamped from now on", a.Email, b.Name)
			if !config.Plans[a.Plan].Branding {
				fmt.Fprintf(p.stderr, "the plan %s shows no branding: datestoned account plan changes it\n", a.Plan)
			}
		}
		return p.print(c.JSON, a, says)
	})
}
