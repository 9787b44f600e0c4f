package certificate

import (
	"fmt"
	"strconv"

	"github.com/datestone/datestone/internal/pdf"
	"github.com/datestone/datestone/internal/qr"
)

// Measures of the PDF in millimetres on A4, and sizes of type in points.
const (
	pageWidth = 210.0
	margin    = 18.0
	textWidth = pageWidth - 2*margin
	labels    = 38.0 // width of the column of labels
	qrSize    = 30.0
	lineStep  = pdf.LineStep
	bodySize  = 9.2
)

// drawing is a PDF that is being made.
type drawing struct{ *pdf.Drawing }

// PDF is the certificate on A4, with the proof attached.
func (c *Certificate) PDF() ([]byte, error) {
	d := &drawing{pdf.New(c.title(), c.AsOf)}
	d.Attach(pdf.File{Name: c.FileName(".ots"), Type: "application/octet-stream", Description: "OpenTimestamps proof", Content: c.Proof})
	d.SetMargins(margin, 14, margin)
	d.SetAutoPageBreak(true, 20)
	d.SetHeaderFunc(func() { d.top(c) })
	d.SetFooterFunc(func() { d.bottom(c) })
	d.AddPage()
	code, err := qr.Encode(c.Address())
	if err != nil {
		return nil, err
	}
	d.head(c, code)
	d.state(c)
	d.facts(c)
	d.section("What is proven")
	d.points(c.Proven())
	d.section("What is not proven")
	d.points(c.NotProven())
	d.section("How to check it without this service")
	for i, step := range c.Steps() {
		d.point(strconv.Itoa(i+1)+".", step.Text)
		d.commands(step.Commands)
	}
	b, err := d.Bytes()
	if err != nil {
		return nil, fmt.Errorf("the PDF of certificate %s: %w", c.ID, err)
	}
	return b, nil
}

func (c *Certificate) title() string {
	if c.TestNetwork {
		return "TEST NETWORK - Certificate " + c.ID
	}
	return "Certificate " + c.ID
}

// top begins each page: on a network without value it says so.
func (d *drawing) top(c *Certificate) {
	if !c.TestNetwork {
		return
	}
	d.Draw(pdf.Test, 0.9)
	y := d.GetY()
	d.Rect(margin, y, textWidth, 19, "D")
	d.Use(pdf.Bold, 26, pdf.Test)
	d.SetXY(margin, y+1.5)
	d.CellFormat(textWidth, 11, "TEST NETWORK", "", 2, "C", false, 0, "")
	d.Use(pdf.Regular, bodySize, pdf.Test)
	d.CellFormat(textWidth, 4.5, "Proves nothing: the blocks of this network cost nothing to make.", "", 0, "C", false, 0, "")
	d.SetXY(margin, y+24)
}

func (d *drawing) bottom(c *Certificate) {
	d.SetY(-15)
	d.Draw(pdf.Rule, 0.2)
	d.Line(margin, d.GetY(), pageWidth-margin, d.GetY())
	d.SetY(-13.5)
	d.Use(pdf.Regular, 8, pdf.Soft)
	d.CellFormat(textWidth-20, 4, c.title()+" · status as of "+minute(c.AsOf)+" · "+c.Service, "", 0, "L", false, 0, "")
	d.CellFormat(20, 4, "Page "+strconv.Itoa(d.PageNo()), "", 0, "R", false, 0, "")
}

// head has whose certificate it is, what it is, and its address as a QR code.
func (d *drawing) head(c *Certificate, code qr.Matrix) {
	top := d.GetY()
	d.QR(code, pageWidth-margin-qrSize, top, qrSize)
	d.LinkString(pageWidth-margin-qrSize, top, qrSize, qrSize, c.Address())
	width := textWidth - qrSize - 6
	if c.Branding != nil {
		x := margin
		if color, ok := parseColor(c.Branding.Color); ok {
			d.Fill(color)
			d.Rect(margin, top+0.6, 2.2, 6.4, "F")
			x += 5
		}
		d.SetXY(x, top+1.2)
		d.Name(c.Branding.Name, 12, pdf.Ink, width-(x-margin))
		d.SetY(d.GetY() + 2.5)
	}
	d.Use(pdf.Bold, 21, pdf.Ink)
	d.MultiCell(width, 9, "Certificate "+c.ID, "", "L", false)
	d.Use(pdf.Regular, bodySize+0.5, pdf.Soft)
	d.MultiCell(width, lineStep, "That a file existed at a time, by its fingerprint. The service that made this document never had the file itself.", "", "L", false)
	d.Ln(1)
	d.Use(pdf.Regular, 8, pdf.Soft)
	d.MultiCell(width, 3.8, c.Address(), "", "L", false)
	d.SetY(max(d.GetY(), top+qrSize) + 4)
}

// state is the headline, in a frame.
func (d *drawing) state(c *Certificate) {
	color := pdf.Wait
	switch {
	case c.Status == Withdrawn:
		color = pdf.Bad
	case c.Status == Confirmed && !c.TestNetwork:
		color = pdf.Good
	}
	d.Use(pdf.Regular, bodySize+0.5, pdf.Ink)
	height := 12 + lineStep*float64(len(d.SplitText(c.Lead(), textWidth-12)))
	y := d.GetY()
	d.Fill(pdf.Shade)
	d.Rect(margin, y, textWidth, height, "F")
	d.Fill(color)
	d.Rect(margin, y, 1.6, height, "F")
	d.SetXY(margin+5, y+2.4)
	d.Use(pdf.Bold, 14, color)
	d.CellFormat(textWidth-10, 6.5, c.Headline(), "", 2, "L", false, 0, "")
	d.Use(pdf.Regular, bodySize+0.5, pdf.Ink)
	d.MultiCell(textWidth-10, lineStep, c.Lead(), "", "L", false)
	d.SetY(y + height + 3.5)
}

func (d *drawing) facts(c *Certificate) {
	d.fact("Fingerprint (SHA-256)", c.SHA256, pdf.Mono)
	if c.File != nil {
		d.label("File")
		d.Name(c.File.Name, bodySize, pdf.Ink, textWidth-labels)
		d.fact("Size", Size(c.File.Size), pdf.Regular)
		if c.File.Type != "" {
			d.label("Type")
			d.Name(c.File.Type, bodySize, pdf.Ink, textWidth-labels)
		}
	}
	d.fact("Status", c.StatusText(), pdf.Regular)
	if c.Block != nil {
		d.fact("Time of the block", moment(c.Block.BlockTime), pdf.Regular)
		d.fact("Block", c.BlockText(), pdf.Regular)
		d.fact("", c.BlockHash(), pdf.Mono)
		d.fact("Transaction", c.Block.Ref, pdf.Mono)
	}
	if c.Printed != nil {
		d.label("Printed")
		d.Name(c.Printed.Where(), bodySize, pdf.Ink, textWidth-labels)
	}
	d.fact("Received", moment(c.Received)+", by the clock of the service", pdf.Regular)
}

func (d *drawing) label(text string) {
	d.Use(pdf.Regular, bodySize, pdf.Soft)
	d.SetX(margin)
	d.CellFormat(labels, lineStep+0.3, text, "", 0, "L", false, 0, "")
}

func (d *drawing) fact(label, text string, f *pdf.Typeface) {
	d.label(label)
	size := bodySize
	if f == pdf.Mono {
		size = 8.6 // 64 digits in a line
	}
	d.Use(f, size, pdf.Ink)
	d.MultiCell(textWidth-labels, lineStep+0.3, text, "", "L", false)
}

func (d *drawing) section(title string) {
	const keep = 25 // with what follows it
	if d.Ends(keep) {
		d.AddPage()
	}
	d.Ln(2.6)
	d.Use(pdf.Bold, 11.5, pdf.Ink)
	d.CellFormat(textWidth, 6, title, "", 1, "L", false, 0, "")
}

func (d *drawing) points(all []string) {
	for _, text := range all {
		d.point("–", text)
	}
}

// point is a paragraph with a mark before it.
func (d *drawing) point(mark, text string) {
	const indent = 5
	d.Use(pdf.Regular, bodySize, pdf.Ink)
	lines := float64(len(d.SplitText(text, textWidth-indent-2)))
	if d.Ends(lines * lineStep) {
		d.AddPage()
		d.Use(pdf.Regular, bodySize, pdf.Ink)
	}
	d.SetX(margin)
	d.CellFormat(indent, lineStep, mark, "", 0, "L", false, 0, "")
	d.Paragraph(text, bodySize, pdf.Ink, textWidth-indent)
	d.Ln(0.7)
}

func (d *drawing) commands(all []string) {
	for _, text := range all {
		d.Use(pdf.Mono, 8, pdf.Ink)
		d.Fill(pdf.Shade)
		d.SetX(margin + 5)
		d.MultiCell(textWidth-5, lineStep, text, "", "L", true)
	}
	if len(all) > 0 {
		d.Ln(0.9)
	}
}

// parseColor reads #rrggbb.
func parseColor(text string) (c pdf.RGB, ok bool) {
	n, err := fmt.Sscanf(text, "#%02x%02x%02x", &c.R, &c.G, &c.B)
	return c, err == nil && n == 3
}
