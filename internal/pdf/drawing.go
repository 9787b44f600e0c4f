package pdf

import (
	"bytes"
	"strings"
	"time"

	"codeberg.org/go-pdf/fpdf"

	"github.com/datestone/datestone/internal/qr"
)

// RGB is a colour.
type RGB struct{ R, G, B int }

// The colours of documents.
var (
	Ink   = RGB{0x1f, 0x23, 0x28}
	Soft  = RGB{0x59, 0x60, 0x6a}
	Rule  = RGB{0xc9, 0xc5, 0xbc}
	Good  = RGB{0x1a, 0x7f, 0x37}
	Wait  = RGB{0x8a, 0x5a, 0x00}
	Bad   = RGB{0xb4, 0x23, 0x18}
	Test  = RGB{0x7a, 0x1f, 0x5c}
	Shade = RGB{0xf3, 0xf2, 0xee}
)

// LineStep is from one line of text to the next, in millimetres.
const LineStep = 4.4

// Drawing is a document on A4 that is being made, in millimetres, and in points for sizes of type. The same one is
// made to the same bytes.
type Drawing struct {
	*fpdf.Fpdf
	loaded map[*Typeface]bool
	files  []File
}

// New makes an empty document of a time.
func New(title string, made time.Time) *Drawing {
	d := &Drawing{Fpdf: fpdf.New("P", "mm", "A4", ""), loaded: make(map[*Typeface]bool)}
	d.SetCatalogSort(true)
	d.SetCreationDate(made)
	d.SetModificationDate(made)
	d.SetTitle(title, true)
	d.SetCreator("Datestone", true)
	d.SetLang("en")
	return d
}

// Use sets the font, its size and its colour.
func (d *Drawing) Use(f *Typeface, size float64, color RGB) {
	if !d.loaded[f] {
		b, _ := f.load()
		d.AddUTF8FontFromBytes(f.name, f.style, bytes.Clone(b)) // the library writes into it
		d.loaded[f] = true
	}
	d.SetFont(f.name, f.style, size)
	d.SetTextColor(color.R, color.G, color.B)
}

// Fill sets the colour of what is filled.
func (d *Drawing) Fill(color RGB) { d.SetFillColor(color.R, color.G, color.B) }

// Draw sets the colour of lines, and their width.
func (d *Drawing) Draw(color RGB, width float64) {
	d.SetDrawColor(color.R, color.G, color.B)
	d.SetLineWidth(width)
}

// Ends says whether there is less room on the page than a height.
func (d *Drawing) Ends(height float64) bool {
	_, page := d.GetPageSize()
	breaks, bottom := d.GetAutoPageBreak()
	return breaks && d.GetY()+height > page-bottom
}

// Paragraph is text of ours, which may have a name in it.
func (d *Drawing) Paragraph(text string, size float64, color RGB, width float64) {
	for _, r := range text {
		if !Regular.has(r) {
			d.Name(text, size, color, width)
			return
		}
	}
	d.Use(Regular, size, color)
	d.MultiCell(width, LineStep, text, "", "L", false)
}

// Name writes text in whatever script, in lines of a width that begin where the text begins, and goes to the next line.
func (d *Drawing) Name(text string, size float64, color RGB, width float64) {
	d.WriteLines(d.Lines(text, size, width), size, LineStep+0.3, color)
}

// WriteLines writes lines that Lines made, a step apart.
func (d *Drawing) WriteLines(lines []string, size, step float64, color RGB) {
	left := d.GetX()
	for _, line := range lines {
		if d.Ends(LineStep) {
			d.AddPage()
		}
		d.SetX(left)
		for _, run := range runs(visual(line)) {
			d.Use(run.font, size, color)
			d.CellFormat(d.GetStringWidth(run.text), step, run.text, "", 0, "L", false, 0, "")
		}
		d.Ln(step)
	}
}

// Lines are those of text in whatever script: broken at a width after a space where there is one, else anywhere.
func (d *Drawing) Lines(text string, size, width float64) (all []string) {
	width -= 2 * d.GetCellMargin()
	line, used, space := []rune{}, 0.0, 0 // space is where the next line may begin
	measure := func(r rune) float64 {
		d.Use(fontFor(r), size, Ink)
		return d.GetStringWidth(string(r))
	}
	for _, r := range glyphs(text) {
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

// QR draws a code in a square.
func (d *Drawing) QR(m qr.Matrix, x, y, size float64) {
	step := size / float64(len(m)+2*qr.Quiet)
	d.SetFillColor(0, 0, 0)
	m.Runs(func(column, row, width int) {
		// A hair more than its module, so that printers leave no gap between rows.
		d.Rect(x+float64(column+qr.Quiet)*step, y+float64(row+qr.Quiet)*step, float64(width)*step, step+0.02, "F")
	})
}
