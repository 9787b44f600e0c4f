package certificate

import (
	"fmt"
	"strconv"
	"time"

	"github.com/datestone/datestone/internal/page"
)

// The words are here, once, so that the page, the PDF and the text in the ZIP file say the same.

const day = "2 January 2006"

func moment(t time.Time) string { return t.UTC().Format(day + ", 15:04:05 UTC") }

func minute(t time.Time) string { return t.UTC().Format(day + ", 15:04 UTC") }

// Headline says in a line what a certificate is worth.
func (c *Certificate) Headline() string {
	switch c.Status {
	case Confirmed:
		if c.TestNetwork {
			return "A test: in block " + c.height() + " of a network without value"
		}
		return "This file existed by " + c.Block.BlockTime.UTC().Format(day)
	case Mined:
		return "Not confirmed yet: in block " + c.height() + ", waiting for more blocks"
	case Withdrawn:
		return "The confirmation was withdrawn"
	}
	return "Not confirmed yet"
}

// Lead explains the headline.
func (c *Certificate) Lead() string {
	switch c.Status {
	case Confirmed:
		return fmt.Sprintf("The fingerprint of the file is anchored in block %s of %s, made on %s.", c.height(), c.Chain, moment(c.Block.BlockTime))
	case Mined:
		return fmt.Sprintf("The fingerprint of the file is in block %s of %s, made on %s. It counts as confirmed when the block is %d blocks deep; it was %d deep on %s.",
			c.height(), c.Chain, moment(c.Block.BlockTime), c.Needed, c.Block.Depth(), minute(c.AsOf))
	case Withdrawn:
		return fmt.Sprintf("This certificate was confirmed by block %s of %s. That block left the chain on %s. The fingerprint is still in the log of this service, and a later block will confirm it. A proof that was downloaded before does not hold any more.",
			c.height(), c.Chain, moment(c.Block.Changed))
	}
	return fmt.Sprintf("The service has received the fingerprint of the file and keeps it in its log. It becomes a proof when a block of %s carries it and is deep enough, usually within hours.", c.Chain)
}

// BlockText is the block and its chain.
func (c *Certificate) BlockText() string {
	text := c.height() + " of " + c.Chain
	if c.Status == Withdrawn {
		text += ", which it is no longer in"
	}
	return text
}

func (c *Certificate) height() string { return strconv.FormatInt(c.Block.Height, 10) }

// StatusText is the status in a word or two, with its time.
func (c *Certificate) StatusText() string {
	text := string(c.Status)
	switch c.Status {
	case Confirmed:
		text = "confirmed in block " + c.height()
	case Mined:
		text = "pending, in block " + c.height()
	case Withdrawn:
		text = "withdrawn, pending again"
	}
	return text + " (as of " + minute(c.AsOf) + ")"
}

// Proven is what follows from the proof, or the paper, alone.
func (c *Certificate) Proven() []string {
	if c.Printed != nil && !c.TestNetwork {
		if c.Status != Confirmed {
			return []string{c.provenInPrint()}
		}
		return append(c.provenByBlock(), c.provenInPrint())
	}
	return c.provenByBlock()
}

func (c *Certificate) provenByBlock() []string {
	if c.TestNetwork {
		return []string{"Nothing. The blocks of " + c.Chain + " cost nothing to make, so anybody can make one with any date. Everything else works as it would on a network that has value."}
	}
	if c.Status != Confirmed {
		return []string{"Nothing yet that could be checked without this service. The time at which it received the fingerprint is its own word."}
	}
	return []string{
		fmt.Sprintf("The fingerprint (SHA-256) existed when block %s of %s was made: the block depends on it, by a chain of computations that anybody can repeat. The file existed then, because there is no known way to make another file with the same fingerprint.", c.height(), c.Chain),
		fmt.Sprintf("The header of that block says %s. The miners of the chain set this time; it may be wrong by about two hours.", moment(c.Block.BlockTime)),
		"This holds without trust in this service, and when the service is gone: the proof file and a copy of the chain are enough.",
	}
}

// NotProven is what people may think is proven.
func (c *Certificate) NotProven() []string {
	all := []string{
		"Who made the file, who owned it, and who had it timestamped.",
		"That what the file says is true, or that the file did not exist long before.",
		fmt.Sprintf("That the fingerprint was received on %s: that is the clock and the word of this service.", moment(c.Received)),
	}
	if c.File != nil {
		all = append(all, "The name, size and type of the file: whoever had it timestamped said so, and nobody checked it. Only the fingerprint counts.")
	}
	if c.Branding != nil {
		all = append(all, "That “"+page.Visible(c.Branding.Name)+"” is who they say they are: the name is shown as they gave it.")
	}
	return all
}

// Step is one thing to do, with the commands that do it.
type Step struct {
	Text     string
	Commands []string
}

// Steps are how to check the certificate without this service.
func (c *Certificate) Steps() []Step {
	proof := c.FileName(".ots")
	fingerprint := Step{"Compute the fingerprint of your file. It must be the one of this certificate, digit by digit.", []string{
		"sha256sum FILE                    (Linux)",
		"shasum -a 256 FILE                (macOS)",
		"certutil -hashfile FILE SHA256    (Windows)",
	}}
	keep := Step{"Take the proof, " + proof + ". The page of this certificate offers it, and it is attached to the PDF (pdfdetach -saveall takes it out). Keep it with the file.", nil}
	if c.Status != Confirmed {
		return []Step{fingerprint, keep, {
			"The proof is not complete yet. When this certificate says that it is confirmed, download it again, or complete it with one of these:",
			[]string{"ots -l " + c.Service + " upgrade " + proof, "datestone upgrade -l " + c.Service + " " + proof},
		}, {"Then verify it as the confirmed certificate explains.", nil}}
	}
	flags, node := "", "your own Bitcoin node"
	if c.TestNetwork {
		flags, node = networkFlag(c.Network)+" --bitcoin-node http://USER:PASSWORD@HOST:PORT", "a node of the test network"
	}
	steps := []Step{fingerprint, keep, {
		"Verify the proof against " + node + ", with any OpenTimestamps client. Either of these does it; both read the fingerprint off the file itself:",
		[]string{"ots" + flags + " verify -f FILE " + proof, "datestone verify" + flags + " -f FILE " + proof},
	}}
	if !c.TestNetwork {
		steps = append(steps, Step{
			"Without a node of your own, trust a public explorer for what the chain is:",
			[]string{"datestone verify --esplora https://blockstream.info/api -f FILE " + proof},
		})
	}
	return append(steps, Step{"The answer must be that block " + c.height() + " attests that the file existed.", nil})
}

// networkFlag is how clients are told the network.
func networkFlag(network string) string {
	switch network {
	case "testnet3":
		return " --btc-testnet"
	case "":
		return ""
	}
	return " --btc-" + network
}

// Type is the type that the owner gave the file, for people.
func (c *Certificate) Type() string { return page.Visible(c.File.Type) }

// Name is the file's name for people.
func (c *Certificate) Name() string { return page.Visible(c.File.Name) }

// Brand is the owner's name for people, or empty.
func (c *Certificate) Brand() string {
	if c.Branding == nil {
		return ""
	}
	return page.Visible(c.Branding.Name)
}

// Size is a number of bytes for people.
func Size(n int64) string {
	const k = 1000
	exact := strconv.FormatInt(n, 10) + " bytes"
	if n == 1 {
		return "1 byte"
	}
	if n < k {
		return exact
	}
	value, units := float64(n)/k, []string{"kB", "MB", "GB", "TB", "PB", "EB"}
	for value >= k && len(units) > 1 {
		value, units = value/k, units[1:]
	}
	return fmt.Sprintf("%.1f %s (%s)", value, units[0], exact)
}
