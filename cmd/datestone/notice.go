package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/datestone/datestone/ots/printed"
)

type noticeCmd struct {
	File string `arg:"" optional:"" help:"The file with the lines that were typed; standard input without it."`
}

type noticeDoc struct {
	Command  string            `json:"command"`
	Exit     int               `json:"exit"`
	Purpose  string            `json:"purpose,omitempty"`
	Name     string            `json:"name,omitempty"`
	Date     string            `json:"date,omitempty"`
	Root     string            `json:"root,omitempty"`
	Problems []printed.Problem `json:"problems"`
}

func (c *noticeCmd) run(_ context.Context, a *app) (int, error) {
	in, name := a.stdin, "standard input"
	if c.File != "" && c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return 0, openError(c.File, err)
		}
		defer f.Close()
		in, name = f, c.File
	}
	text, err := io.ReadAll(io.LimitReader(in, printed.MaxText+1))
	if err != nil {
		return 0, openError(name, err)
	}
	doc := noticeDoc{Command: "notice", Exit: exitOK, Problems: []printed.Problem{}}
	root, err := printed.Read(string(text))
	var wrong *printed.Misread
	switch {
	case err == nil:
		doc.Purpose, doc.Name, doc.Date, doc.Root = root.Purpose, root.Name, root.Date, fmt.Sprintf("%x", root.Hash)
	case errors.As(err, &wrong):
		doc.Exit, doc.Problems = exitFalse, wrong.Problems
	default:
		return 0, usage(fmt.Errorf("%s: %w", name, err), "")
	}
	if a.JSON {
		a.writeJSON(doc)
		return doc.Exit, nil
	}
	if wrong == nil {
		a.printf("every line is right\n%s %s of %s\n%s\n", root.Purpose, root.Name, root.Date, doc.Root)
		return exitOK, nil
	}
	for _, p := range wrong.Problems {
		a.printf("%s\n", show(p.String()))
	}
	a.complain(name+" is not what was printed", "correct the lines that are named")
	return exitFalse, nil
}
