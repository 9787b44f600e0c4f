package certificate

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"codeberg.org/go-pdf/fpdf"
)

// Measures of the PDF in millimetres on A4, and sizes of type in points.
const (
	pageWidth = 210.0
	margin    = 18.0
	textWidth = pageWidth - 2*margin
	labels    = 38.0 // width of the column of labels
	qrSize    = 30.0
	lineStep  = 4.4
	bodySize  = 9.2
)

// rgb is a colour.
type rgb struct{ r, g, b int }

var (
	ink   = rgb{0x1f, 0x23, 0x28}
	soft  = rgb{0x59, 0x60, 0x6a}
	rule  = rgb{0xc9, 0xc5, 0xbc}
	good  = rgb{0x1a, 0x7f, 0x37}
	wait  = rgb{0x8a, 0x5a, 0x00}
	bad   = rgb{0xb4, 0x23, 0x18}
	test  = rgb{0x7a, 0x1f, 0x5c}
	shade = rgb{0xf3, 0xf2, 0xee}
)

// drawing is a PDF that is being made.
type drawing struct {
	*fpdf.Fpdf
	loaded map[*typeface]bool
}

// PDF is the certificate on A4, with the proof attached.
func (c *Certificate) PDF() ([]byte, error) {
	d := &drawing{fpdf.New("P", "mm", "A4", ""), make(map[*typeface]bool)}
	d.SetCatalogSort(true)
	d.SetCreationDate(c.AsOf)
	d.SetModificationDate(c.AsOf)
	d.SetTitle(c.title(), true)
	d.SetCreator("Datestone", true)
	d.SetLang("en")
	d.SetAttachments([]fpdf.Attachment{{Content: c.Proof, Filename: c.FileName(".ots"), Description: "OpenTimestamps proof"}})
	d.SetMargins(margin, 14, margin)
	d.SetAutoPageBreak(true, 20)
	d.SetHeaderFunc(func() { d.top(c) })
	d.SetFooterFunc(func() { d.bottom(c) })
	d.AddPage()
	code, err := encodeQR(c.Address())
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
	var b bytes.Buffer
	if err := d.Output(&b); err != nil {
		return nil, fmt.Errorf("the PDF of certificate %s: %w", c.ID, err)
	}
	return b.Bytes(), nil
}

func (c *Certificate) title() string {
	if c.TestNetwork {
		return "TEST NETWORK - Certificate " + c.ID
	}
	return "Certificate " + c.ID
}

// use sets the font, its size and its colour.
func (d *drawing) use(f *typeface, size float64, color rgb) {
	if !d.loaded[f] {
		b, _ := f.load()
		d.AddUTF8FontFromBytes(f.name, f.style, bytes.Clone(b)) // the library writes into it
		d.loaded[f] = true
	}
	d.SetFont(f.name, f.style, size)
	d.SetTextColor(color.r, color.g, color.b)
}

// top begins each page: on a network without value it says so.
func (d *drawing) top(c *Certificate) {
	if !c.TestNetwork {
		return
	}
	d.SetDrawColor(test.r, test.g, test.b)
	d.SetLineWidth(0.9)
	y := d.GetY()
	d.Rect(margin, y, textWidth, 19, "D")
	d.use(bold, 26, test)
	d.SetXY(margin, y+1.5)
	d.CellFormat(textWidth, 11, "TEST NETWORK", "", 2, "C", false, 0, "")
	d.use(regular, bodySize, test)
	d.CellFormat(textWidth, 4.5, "Proves nothing: the blocks of this network cost nothing to make.", "", 0, "C", false, 0, "")
	d.SetXY(margin, y+24)
}

func (d *drawing) bottom(c *Certificate) {
	d.SetY(-15)
	d.SetDrawColor(rule.r, rule.g, rule.b)
	d.SetLineWidth(0.2)
	d.Line(margin, d.GetY(), pageWidth-margin, d.GetY())
	d.SetY(-13.5)
	d.use(regular, 8, soft)
	d.CellFormat(textWidth-20, 4, c.title()+" · status as of "+minute(c.AsOf)+" · "+c.Service, "", 0, "L", false, 0, "")
	d.CellFormat(20, 4, "Page "+strconv.Itoa(d.PageNo()), "", 0, "R", false, 0, "")
}

// head has whose certificate it is, what it is, and its address as a QR code.
func (d *drawing) head(c *Certificate, code matrix) {
	top := d.GetY()
	d.qr(code, pageWidth-margin-qrSize, top, qrSize)
	d.LinkString(pageWidth-margin-qrSize, top, qrSize, qrSize, c.Address())
	width := textWidth - qrSize - 6
	if c.Branding != nil {
		x := margin
		if color, ok := parseColor(c.Branding.Color); ok {
			d.SetFillColor(color.r, color.g, color.b)
			d.Rect(margin, top+0.6, 2.2, 6.4, "F")
			x += 5
		}
		d.SetXY(x, top+1.2)
		d.name(c.Branding.Name, 12, ink, width-(x-margin))
		d.SetY(d.GetY() + 2.5)
	}
	d.use(bold, 21, ink)
	d.MultiCell(width, 9, "Certificate "+c.ID, "", "L", false)
	d.use(regular, bodySize+0.5, soft)
	d.MultiCell(width, lineStep, "That a file existed at a time, by its fingerprint. The service that made this document never had the file itself.", "", "L", false)
	d.Ln(1)
	d.use(regular, 8, soft)
	d.MultiCell(width, 3.8, c.Address(), "", "L", false)
	d.SetY(max(d.GetY(), top+qrSize) + 4)
}

// state is the headline, in a frame.
func (d *drawing) state(c *Certificate) {
	color := wait
	switch {
	case c.Status == Withdrawn:
		color = bad
	case c.Status == Confirmed && !c.TestNetwork:
		color = good
	}
	d.use(regular, bodySize+0.5, ink)
	height := 12 + lineStep*float64(len(d.SplitText(c.Lead(), textWidth-12)))
	y := d.GetY()
	d.SetFillColor(shade.r, shade.g, shade.b)
	d.Rect(margin, y, textWidth, height, "F")
	d.SetFillColor(color.r, color.g, color.b)
	d.Rect(margin, y, 1.6, height, "F")
	d.SetXY(margin+5, y+2.4)
	d.use(bold, 14, color)
	d.CellFormat(textWidth-10, 6.5, c.Headline(), "", 2, "L", false, 0, "")
	d.use(regular, bodySize+0.5, ink)
	d.MultiCell(textWidth-10, lineStep, c.Lead(), "", "L", false)
	d.SetY(y + height + 3.5)
}

func (d *drawing) facts(c *Certificate) {
	d.fact("Fingerprint (SHA-256)", c.SHA256, mono)
	if c.File != nil {
		d.label("File")
		d.name(c.File.Name, bodySize, ink, textWidth-labels)
		d.fact("Size", Size(c.File.Size), regular)
		if c.File.Type != "" {
			d.label("Type")
			d.name(c.File.Type, bodySize, ink, textWidth-labels)
		}
	}
	d.fact("Status", c.StatusText(), regular)
	if c.Block != nil {
		d.fact("Time of the block", moment(c.Block.BlockTime), regular)
		d.fact("Block", c.BlockText(), regular)
		d.fact("", c.BlockHash(), mono)
		d.fact("Transaction", c.Block.Ref, mono)
	}
	if c.Printed != nil {
		d.label("Printed")
		d.name(c.Printed.Where(), bodySize, ink, textWidth-labels)
	}
	d.fact("Received", moment(c.Received)+", by the clock of the service", regular)
}

func (d *drawing) label(text string) {
	d.use(regular, bodySize, soft)
	d.SetX(margin)
	d.CellFormat(labels, lineStep+0.3, text, "", 0, "L", false, 0, "")
}

func (d *drawing) fact(label, text string, f *typeface) {
	d.label(label)
	size := bodySize
	if f == mono {
		size = 8.6 // 64 digits in a line
	}
	d.use(f, size, ink)
	d.MultiCell(textWidth-labels, lineStep+0.3, text, "", "L", false)
}

func (d *drawing) section(title string) {
	const keep = 25 // with what follows it
	if _, height := d.GetPageSize(); d.GetY() > height-20-keep {
		d.AddPage()
	}
	d.Ln(2.6)
	d.use(bold, 11.5, ink)
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
	d.use(regular, bodySize, ink)
	lines := float64(len(d.SplitText(text, textWidth-indent-2)))
	if _, height := d.GetPageSize(); d.GetY()+lines*lineStep > height-20 {
		d.AddPage()
		d.use(regular, bodySize, ink)
	}
	d.SetX(margin)
	d.CellFormat(indent, lineStep, mark, "", 0, "L", false, 0, "")
	d.paragraph(text, bodySize, ink, textWidth-indent)
	d.Ln(0.7)
}

func (d *drawing) commands(all []string) {
	for _, text := range all {
		d.use(mono, 8, ink)
		d.SetFillColor(shade.r, shade.g, shade.b)
		d.SetX(margin + 5)
		d.MultiCell(textWidth-5, lineStep, text, "", "L", true)
	}
	if len(all) > 0 {
		d.Ln(0.9)
	}
}

// paragraph is text of ours, which may have a name in it.
func (d *drawing) paragraph(text string, size float64, color rgb, width float64) {
	for _, r := range text {
		if !regular.has(r) {
			d.name(text, size, color, width)
			return
		}
	}
	d.use(regular, size, color)
	d.MultiCell(width, lineStep, text, "", "L", false)
}

// name writes text in whatever script, in lines of a width that begin where the text begins, and goes to the next line.
func (d *drawing) name(text string, size float64, color rgb, width float64) {
	left := d.GetX()
	for _, line := range d.lines(glyphs(text), size, width) {
		if _, height := d.GetPageSize(); d.GetY()+lineStep > height-20 {
			d.AddPage()
		}
		d.SetX(left)
		for _, run := range runs(visual(line)) {
			d.use(run.font, size, color)
			d.CellFormat(d.GetStringWidth(run.text), lineStep+0.3, run.text, "", 0, "L", false, 0, "")
		}
		d.Ln(lineStep + 0.3)
	}
}

// lines breaks text at a width: after a space where there is one, else anywhere.
func (d *drawing) lines(text string, size, width float64) (all []string) {
	width -= 2 * d.GetCellMargin()
	line, used, space := []rune{}, 0.0, 0 // space is where the next line may begin
	measure := func(r rune) float64 {
		d.use(fontFor(r), size, ink)
		return d.GetStringWidth(string(r))
	}
	for _, r := range text {
		w := measure(r)
		if used+w > width && len(line) > 0 {
			if space == 0 {
				space = len(line)
			}
			all = append(all, strings.TrimRight(string(line[:space]), " "))
			line, space, used = append([]rune{}, line[space:]...), 0, 0
			for _, r := range line {
				used += measure(r)
			}
		}
		line, used = append(line, r), used+w
		if r == ' ' {
			space = len(line)
		}
	}
	return append(all, string(line))
}

// qr draws a code in a square.
func (d *drawing) qr(m matrix, x, y, size float64) {
	step := size / float64(len(m)+2*quiet)
	d.SetFillColor(0, 0, 0)
	m.runs(func(column, row, width int) {
		// A hair more than its module, so that printers leave no gap between rows.
		d.Rect(x+float64(column+quiet)*step, y+float64(row+quiet)*step, float64(width)*step, step+0.02, "F")
	})
}

// parseColor reads #rrggbb.
func parseColor(text string) (c rgb, ok bool) {
	n, err := fmt.Sscanf(text, "#%02x%02x%02x", &c.r, &c.g, &c.b)
	return c, err == nil && n == 3
}
