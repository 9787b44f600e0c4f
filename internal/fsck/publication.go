package fsck

import (
	"context"
	"fmt"

	"github.com/datestone/datestone/internal/publish"
	"github.com/datestone/datestone/ots/printed"
)

// readPublications has the root of every notice held against the log at its size, and reads the notice as a person would.
func (c *checker) readPublications(ctx context.Context) error {
	for after := int64(0); ; {
		part, err := c.db.AllPublications(ctx, after, rowsAtOnce)
		if err != nil || len(part) == 0 {
			return err
		}
		for _, p := range part {
			c.report.Publications++
			c.checkPublication(p)
			after = p.ID
		}
	}
}

func (c *checker) checkPublication(p publish.Publication) {
	where := fmt.Sprintf("publication %d of %s", p.ID, p.Target)
	root := p.Notice.Root
	c.carries(where, p.Target, root.Purpose, p.Head)
	switch root.Purpose {
	case publish.PurposeLog:
		if want := fmt.Sprintf("%d/%d", p.Head.Epoch, p.Head.Size); root.Name != want {
			c.report.problem(where, "it is printed as %s, and its head is %s", root.Name, want)
		}
	case publish.PurposeSeed:
		if want := fmt.Sprint(p.Head.Epoch); root.Name != want {
			c.report.problem(where, "it is printed as seed %s, and is of seed %s", root.Name, want)
		}
	}
	if got, err := printed.Read(p.Text); err != nil {
		c.report.problem(where, "its text cannot be read: %v", err)
	} else if got != root {
		c.report.problem(where, "its text is of %s %s, root %s, and its row of %s %s, root %s", got.Purpose, got.Name, short(got.Hash), root.Purpose, root.Name, short(root.Hash))
	}
	if p.Place != nil && p.Place.Page == "" && p.Place.URL == "" {
		c.report.problem(where, "it is confirmed and has no place: withdraw it, and confirm it with --page or --url")
	}
}

// checkPublications says which rows belong to no notice, and which confirmed one has no date.
func (c *checker) checkPublications(ctx context.Context) error {
	wrong, err := c.db.CheckPublications(ctx, MaxProblems)
	for _, text := range wrong {
		c.report.problem("publications", "%s", text)
	}
	return err
}
