package certificate

import (
	"fmt"

	"github.com/datestone/datestone/internal/publish"
)

// PrintedText says where the first root that the fingerprint is in appeared, or is empty.
func (c *Certificate) PrintedText() string {
	if c.Printed == nil {
		return ""
	}
	return Visible(c.Printed.Where())
}

// provenInPrint is what follows from the paper.
func (c *Certificate) provenInPrint() string {
	return fmt.Sprintf("The fingerprint existed before this was printed: %s. The number there depends on it, by a chain of computations that anybody can repeat; the ZIP file of this certificate has each step.", c.PrintedText())
}

// publicationFiles are what the evidence has of the printed root: how to check it in words, and for a program.
func (c *Certificate) publicationFiles() ([]file, error) {
	if c.Printed == nil {
		return nil, nil
	}
	steps := c.FileName("-publication.json")
	words, err := c.Printed.Words(steps)
	if err != nil {
		return nil, err
	}
	object, err := c.Printed.JSON()
	return []file{{c.FileName("-publication.txt"), []byte(words)}, {steps, object}}, err
}

// file is one in the evidence.
type file struct {
	name string
	body []byte
}

// first is the publication of the smallest head, or nil.
func first(all []publish.Shown) *publish.Shown {
	if len(all) == 0 {
		return nil
	}
	return &all[0]
}
