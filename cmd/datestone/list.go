package main

import (
	"context"
	"fmt"

	"github.com/datestone/datestone/api"
)

type listCmd struct {
	Status string `enum:"all,pending,confirmed,failed" default:"all" placeholder:"STATUS" help:"Only those with this status: pending, confirmed or failed." group:"cmd"`
	Limit  int    `short:"n" default:"50" placeholder:"N" help:"How many at most; 0 is all. Default: 50." group:"cmd"`
}

type listDoc struct {
	Command    string          `json:"command"`
	Exit       int             `json:"exit"`
	More       bool            `json:"more"` // there are older ones
	Timestamps []api.Timestamp `json:"timestamps"`
}

func (c *listCmd) run(ctx context.Context, a *app) (int, error) {
	if c.Limit < 0 {
		return 0, usagef("0 is all", "-n %d is below 0", c.Limit)
	}
	client, err := a.account()
	if err != nil {
		return 0, err
	}
	doc := listDoc{Command: "list", Timestamps: []api.Timestamp{}}
	options := api.ListOptions{}
	if c.Status != "all" {
		options.Status = api.Status(c.Status)
	}
	n := 0
	for ts, err := range client.List(ctx, options) {
		if err != nil {
			return 0, accountError(err)
		}
		if n++; c.Limit > 0 && n > c.Limit {
			doc.More = true
			break
		}
		if a.JSON {
			doc.Timestamps = append(doc.Timestamps, ts)
			continue
		}
		status := string(ts.Status)
		if ts.BitcoinBlock != nil {
			status = fmt.Sprintf("%s %d", status, *ts.BitcoinBlock)
		}
		a.printf("%s  %-16s  %s  %s\n", utc(ts.CreatedAt.Time), show(status), show(ts.ID), show(ts.Filename))
	}
	switch {
	case a.JSON:
		a.writeJSON(doc)
	case n == 0:
		a.notef("no stamps")
	case doc.More:
		a.notef("there are more: -n says how many are shown")
	}
	return exitOK, nil
}
