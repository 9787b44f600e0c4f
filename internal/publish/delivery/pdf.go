package delivery

import (
	"bytes"
	"fmt"
	"strings"

	"codeberg.org/go-pdf/fpdf"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/gomono"
	"golang.org/x/image/font/gofont/gomonobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/sfnt"

	"github.com/datestone/datestone/internal/publish"
)

// Measures in millimetres: two columns of a newspaper. Sizes of type are in points.
const (
	width     = 92.0
	margin    = 4.5
	inner     = width - 2*margin
	titleSize = 12.0
	textSize  = 8.0
	rootSize  = 11.0
	textLine  = 3.7
	rootLine  = 5.2
)

// PDF is a notice as a page of its own size, to be set as it is. The same publication gives the same bytes.
func PDF(p publish.Publication) ([]byte, error) {
	n := p.Notice
	lines := n.Root.Lines()
	draw := func(height float64) (*fpdf.Fpdf, float64) {
		d := fpdf.NewCustom(&fpdf.InitType{OrientationStr: "P", UnitStr: "mm", Size: fpdf.SizeType{Wd: width, Ht: height}})
		d.SetCatalogSort(true)
		d.SetCreationDate(p.Created)
		d.SetModificationDate(p.Created)
		d.SetTitle(n.Heading()+" "+n.Root.Date, true)
		d.SetCreator("Datestone", true)
		d.SetLang(string(n.Language))
		// The library writes into the fonts that it is given.
		for _, f := range []struct {
			name, style string
			file        []byte
		}{{"go", "", goregular.TTF}, {"go", "B", gobold.TTF}, {"gomono", "", gomono.TTF}, {"gomono", "B", gomonobold.TTF}} {
			d.AddUTF8FontFromBytes(f.name, f.style, bytes.Clone(f.file))
		}
		d.SetMargins(margin, margin, margin)
		d.SetAutoPageBreak(false, 0)
		d.AddPage()
		d.SetFont("go", "B", titleSize)
		d.MultiCell(inner, 5.4, n.Heading(), "", "C", false)
		d.SetFont("go", "", textSize)
		d.MultiCell(inner, textLine, n.Day(), "", "C", false)
		d.Ln(1.6)
		d.SetFont("gomono", "", textSize+0.6)
		d.CellFormat(inner, textLine+0.8, lines[0], "", 1, "C", false, 0, "")
		d.SetFont("gomono", "B", rootSize)
		// The short last line begins where the others do.
		left := margin + (inner-d.GetStringWidth(lines[1]))/2
		for _, l := range lines[1:] {
			d.SetX(left)
			d.CellFormat(inner, rootLine, l, "", 1, "L", false, 0, "")
		}
		d.Ln(1.6)
		d.SetFont("go", "", textSize)
		d.MultiCell(inner, textLine, n.Sentence()+" "+n.How(), "", "L", false)
		d.SetFont("go", "B", textSize)
		d.MultiCell(inner, textLine, n.Explains, "", "L", false)
		end := d.GetY() + margin
		d.SetLineWidth(0.35)
		d.Rect(1, 1, width-2, height-2, "D")
		return d, end
	}
	_, height := draw(200)
	d, _ := draw(height)
	var b bytes.Buffer
	if err := d.Output(&b); err != nil {
		return nil, fmt.Errorf("the PDF of publication %d: %w", p.ID, err)
	}
	return b.Bytes(), nil
}

// CheckTitle accepts a title that the font can print.
func CheckTitle(title string) error {
	const most = 80
	if len([]rune(title)) > most || strings.TrimSpace(title) != title {
		return fmt.Errorf("%.100q has more than %d characters, or spaces around it", title, most)
	}
	font, err := sfnt.Parse(gobold.TTF)
	if err != nil {
		return err
	}
	var b sfnt.Buffer
	for _, r := range title {
		if i, err := font.GlyphIndex(&b, r); err != nil || i == 0 || r < ' ' {
			return fmt.Errorf("%q has %q, which the notice's font does not have", title, r)
		}
	}
	return nil
}
