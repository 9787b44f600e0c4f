package certificate

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"strings"
)

// evidence is a ZIP file: the proof, the PDF, how to verify them, and how to check what was printed.
func (s *Server) evidence(ctx context.Context, c *Certificate) ([]byte, error) {
	document, err := s.document(ctx, c)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	files := []file{{c.FileName(".ots"), c.Proof}, {c.FileName(".pdf"), document}, {c.FileName("-verify.txt"), []byte(c.Instructions())}}
	printed, err := c.publicationFiles()
	if err != nil {
		return nil, err
	}
	for _, f := range append(files, printed...) {
		w, err := z.CreateHeader(&zip.FileHeader{Name: f.name, Method: zip.Deflate, Modified: c.Received.UTC()})
		if err != nil {
			return nil, err
		}
		if _, err := w.Write(f.body); err != nil {
			return nil, err
		}
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("the evidence of %s: %w", c.ID, err)
	}
	return b.Bytes(), nil
}

// Instructions are the certificate as text, with lines that every editor shows.
func (c *Certificate) Instructions() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	if c.TestNetwork {
		line("TEST NETWORK: proves nothing. The blocks of this network cost nothing to make.\r\n")
	}
	line("Certificate %s\r\n%s\r\n", c.ID, strings.Repeat("=", len("Certificate ")+len(c.ID)))
	line("%s.\r\n%s\r\n", c.Headline(), c.Lead())
	line("Fingerprint (SHA-256)  %s", c.SHA256)
	if c.File != nil {
		line("File                   %s", c.Name())
		line("Size                   %s", Size(c.File.Size))
		if c.File.Type != "" {
			line("Type                   %s", c.Type())
		}
	}
	line("Status                 %s", c.StatusText())
	if c.Block != nil {
		line("Time of the block      %s", moment(c.Block.BlockTime))
		line("Block                  %s", c.BlockText())
		line("                       %s", c.BlockHash())
		line("Transaction            %s", c.Block.Ref)
	}
	if c.Printed != nil {
		line("Printed                %s", c.PrintedText())
	}
	line("Received               %s, by the clock of the service", moment(c.Received))
	line("Address                %s", c.Address())
	list := func(title string, points []string) {
		line("\r\n%s\r\n", title)
		for _, p := range points {
			line("- %s", p)
		}
	}
	list("What is proven", c.Proven())
	list("What is not proven", c.NotProven())
	line("\r\nHow to check it without this service\r\n")
	for i, step := range c.Steps() {
		line("%d. %s", i+1, step.Text)
		for _, command := range step.Commands {
			line("       %s", command)
		}
	}
	line("\r\nThe files here: %s is the proof, %s the certificate, which has the same proof inside.", c.FileName(".ots"), c.FileName(".pdf"))
	if c.Printed != nil {
		line("%s says how to check the root that was printed, without any proof file, and %s has the same steps for a program.", c.FileName("-publication.txt"), c.FileName("-publication.json"))
	}
	return b.String()
}
