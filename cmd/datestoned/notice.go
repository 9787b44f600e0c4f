package main

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/datestone/datestone/internal/server"
)

type noticeCmd struct {
	List  noticeListCmd  `cmd:"" help:"List what was sent to webhooks and what is due, newest first."`
	Retry noticeRetryCmd `cmd:"" help:"Send again what was parked, and try at once what is due; an endpoint that answered 410 Gone gets notices again."`
	Drop  noticeDropCmd  `cmd:"" help:"Send what is due or parked no more."`
}

func (c *noticeCmd) settings() []*settings {
	return []*settings{&c.List.settings, &c.Retry.settings, &c.Drop.settings}
}

// noticeSettings choose notices.
type noticeSettings struct {
	settings
	Account  string `placeholder:"WHO" help:"Those of an account: its e-mail address or its number, 0 for the operator's."`
	Endpoint string `placeholder:"ID" help:"Those to one webhook."`
	State    string `placeholder:"STATE" help:"Those that are due, delivered, parked or dropped."`
	ID       string `name:"id" placeholder:"ID" help:"One notice."`
	JSON     bool   `name:"json" help:"Print JSON."`
}

func (s *noticeSettings) notices() server.Notices {
	return server.Notices{Account: s.Account, Endpoint: s.Endpoint, State: s.State, ID: s.ID}
}

type noticeListCmd struct {
	noticeSettings
	Limit int `default:"100" placeholder:"N" help:"The number of notices to show at most (${default})."`
}

const maxNotices = 10_000

func (c *noticeListCmd) Run(p *program) error {
	if c.Limit < 1 || c.Limit > maxNotices {
		return usageError{fmt.Errorf("--limit is %d: write a number from 1 to %d", c.Limit, maxNotices)}
	}
	return c.accounts(p, true, func(_ server.Config, all *server.Accounts) error {
		list, err := all.ListNotices(p.ctx, c.notices(), c.Limit)
		if err != nil {
			return err
		}
		return p.print(c.JSON, map[string][]server.Delivery{"notices": list}, noticeTable(list))
	})
}

func noticeTable(list []server.Delivery) string {
	if len(list) == 0 {
		return "there are no such notices"
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tACCOUNT\tENDPOINT\tEVENT\tSTATE\tTRIES\tSTATUS\tDUE\tERROR")
	for _, d := range list {
		status := "-"
		if d.Status != 0 {
			status = fmt.Sprint(d.Status)
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%d\t%s\t%s\t%s\n", d.ID, d.Account, d.Endpoint, d.Event, d.State, d.Tries, status, moment(d.Due), d.Error)
	}
	w.Flush()
	return strings.TrimSuffix(b.String(), "\n")
}

type noticeRetryCmd struct {
	noticeSettings
	All bool `help:"Those of everybody."`
}

func (c *noticeRetryCmd) Run(p *program) error {
	return c.change(p, c.All, func(all *server.Accounts) (int, error) { return all.RetryNotices(p.ctx, c.notices()) }, "sent again")
}

type noticeDropCmd struct {
	noticeSettings
	All bool `help:"Those of everybody."`
}

func (c *noticeDropCmd) Run(p *program) error {
	return c.change(p, c.All, func(all *server.Accounts) (int, error) { return all.DropNotices(p.ctx, c.notices()) }, "not sent any more")
}

func (s *noticeSettings) change(p *program, everybody bool, do func(*server.Accounts) (int, error), what string) error {
	if chosen := s.notices() != (server.Notices{}); chosen == everybody {
		return usageError{errors.New("say which notices: --account, --endpoint, --state or --id, or --all alone")}
	}
	return s.accounts(p, false, func(_ server.Config, all *server.Accounts) error {
		n, err := do(all)
		if err != nil {
			return err
		}
		return p.print(s.JSON, map[string]int{"changed": n}, fmt.Sprintf("notices that are %s: %d", what, n))
	})
}
