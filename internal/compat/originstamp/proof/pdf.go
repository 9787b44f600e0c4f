package proof

import (
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/pdf"
	"github.com/datestone/datestone/internal/qr"
	"github.com/datestone/datestone/internal/seed"
)

// Certificate is what the PDF says of a hash whose seed is final.
type Certificate struct {
	Submitted seed.Submitted
	State     seed.State
	Branch    seed.Branch
	Currency  seed.Currency
	// Service is the public address, without a slash at the end.
	Service string
	// TestNetwork: the blocks of the currency's chain are without value.
	TestNetwork bool
	// OTS is the ordinary proof of the same hash, or empty. It may prove another time, by another block.
	OTS []byte
}

// Name is the name of a file as clients expect it: kind.Currency.hash.ending.
func Name(kind string, c seed.Currency, hash [32]byte, ending string) string {
	return kind + "." + CurrencyName(c) + "." + hex.EncodeToString(hash[:]) + "." + ending
}

// CurrencyName is what a currency is called in names of files and in sentences: Bitcoin for BITCOIN. Letters that are
// not ASCII are written as German does without them, or left out.
func CurrencyName(c seed.Currency) string {
	name := strings.NewReplacer("ä", "ae", "ö", "oe", "ü", "ue", "ß", "ss").Replace(strings.ToLower(c.Name))
	name = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, name)
	if name == "" {
		return "Currency" + strconv.Itoa(c.ID)
	}
	return strings.ToUpper(name[:1]) + name[1:]
}

// Measures in millimetres on A4, and sizes of type in points.
const (
	pageWidth  = 210.0
	pageHeight = 297.0
	margin     = 20.0
	textWidth  = pageWidth - 2*margin
	bodySize   = 10.0
	lineStep   = 4.9
)

// title is that of each page, with the ligature that the original's has: a program that takes the proof out of the
// text looks for it.
const title = "Timestamp Certi\ufb01cate"

// document is a certificate that is being drawn.
type document struct {
	*pdf.Drawing
	c    Certificate
	hash string
}

// PDF is the certificate: three pages, with the proof as XML and the .ots file attached. Programs take the hashes and
// the proof out of its text, so what stands on a line, in which order, and that nothing follows the proof on its page,
// is the contract.
func (c Certificate) PDF() ([]byte, error) {
	hash := hex.EncodeToString(c.Submitted.Hash[:])
	name := "Timestamp certificate of " + hash
	if c.TestNetwork {
		name = "TEST NETWORK - " + name
	}
	d := &document{pdf.New(name, c.State.Time.UTC()), c, hash}
	code, err := qr.Encode(d.address())
	if err != nil {
		return nil, err
	}
	d.Attach(pdf.File{Name: Name("proof", c.Currency, c.Submitted.Hash, "xml"), Type: "text/xml", Description: "The tree from the hash to the root", Content: XML(c.Branch)})
	if len(c.OTS) > 0 {
		d.Attach(pdf.File{Name: hash + ".ots", Type: "application/octet-stream", Description: "OpenTimestamps proof", Content: c.OTS})
	}
	d.SetMargins(margin, margin, margin)
	d.SetCellMargin(0)
	d.SetAutoPageBreak(false, 0)
	d.statement(code)
	d.proof()
	d.verification()
	b, err := d.Bytes()
	if err != nil {
		return nil, fmt.Errorf("the certificate of a submitted hash: %w", err)
	}
	return b, nil
}

// address is where the certificate's hash is shown.
func (d *document) address() string { return d.c.Service + "/s/" + d.hash }

// begin begins a page, with its title in one line.
func (d *document) begin(subtitle string) {
	d.AddPage()
	d.Use(pdf.Bold, 22, pdf.Ink)
	d.CellFormat(textWidth, 10, title, "", 1, "L", false, 0, "")
	d.Use(pdf.Regular, 13, pdf.Soft)
	d.CellFormat(textWidth, 7, subtitle, "", 1, "L", false, 0, "")
	d.Ln(2)
	d.warning()
	d.Draw(pdf.Rule, 0.3)
	d.Line(margin, d.GetY(), pageWidth-margin, d.GetY())
	d.Ln(6)
}

// warning says that the network has no value.
func (d *document) warning() {
	if !d.c.TestNetwork {
		return
	}
	y := d.GetY() + 2
	d.Draw(pdf.Test, 0.8)
	d.Rect(margin, y, textWidth, 15, "D")
	d.Use(pdf.Bold, 18, pdf.Test)
	d.SetXY(margin, y+1.5)
	d.CellFormat(textWidth, 7.5, "TEST NETWORK", "", 1, "C", false, 0, "")
	d.Use(pdf.Regular, 9, pdf.Test)
	d.CellFormat(textWidth, 4, "Proves nothing: the blocks of this network cost nothing to make.", "", 1, "C", false, 0, "")
	d.SetY(y + 20)
}

// statement is the first page: what was timestamped, when, and where that stands.
func (d *document) statement(code qr.Matrix) {
	d.AddPage()
	d.seal(pageWidth-margin-16, margin+20)
	d.SetXY(margin, margin+4)
	d.Use(pdf.Bold, 34, pdf.Ink)
	first, second, _ := strings.Cut(title, " ")
	d.CellFormat(textWidth, 14, first, "", 1, "L", false, 0, "")
	d.CellFormat(textWidth, 14, second, "", 1, "L", false, 0, "")
	d.Ln(3)
	d.Use(pdf.Regular, 13, pdf.Soft)
	d.CellFormat(textWidth, 7, "This timestamp was created with "+CurrencyName(d.c.Currency), "", 1, "L", false, 0, "")
	d.Ln(3)
	d.warning()
	d.when()
	footer := d.footer(code)
	// The hashes have their place, and the comment the room that is left.
	const hashes = 3 * (labelStep + valueStep)
	d.comment(footer - hashes - 10 - d.GetY())
	d.value("Hash:", d.hash)
	d.value("Transaction:", d.c.State.Ref)
	d.value("Root Hash:", hex.EncodeToString(d.c.Branch.Root[:]))
}

// when is the time, in a frame.
func (d *document) when() {
	const height = 21
	y, color := d.GetY(), pdf.Good
	if d.c.TestNetwork {
		color = pdf.Test
	}
	d.Fill(pdf.Shade)
	d.Rect(margin, y, textWidth, height, "F")
	d.Fill(color)
	d.Rect(margin, y, 1.6, height, "F")
	d.SetXY(margin+7, y+3)
	d.Use(pdf.Regular, bodySize, pdf.Soft)
	d.CellFormat(textWidth-14, 5, "Timestamp", "", 2, "L", false, 0, "")
	d.Use(pdf.Bold, 19, pdf.Ink)
	d.CellFormat(textWidth-14, 10, d.c.State.Time.UTC().Format("Jan-02-2006 15:04:05 UTC"), "", 2, "L", false, 0, "")
	d.SetXY(margin, y+height+7)
}

// comment is what the submitter said, in a size in which it fits a height.
func (d *document) comment(height float64) {
	if d.c.Submitted.Comment == "" {
		return
	}
	d.label("Comment")
	const after = 4.0
	height -= labelStep + after
	for size := 11.0; ; size -= 0.5 {
		step := size * 0.45
		lines := d.Lines(d.c.Submitted.Comment, size, textWidth)
		if float64(len(lines))*step <= height || size <= 4 {
			d.WriteLines(lines, size, step, pdf.Ink)
			break
		}
	}
	d.Ln(after)
}

func (d *document) label(text string) {
	d.SetX(margin)
	d.Use(pdf.Regular, labelSize, pdf.Soft)
	d.CellFormat(textWidth, labelStep, text, "", 1, "L", false, 0, "")
}

// From a label to what it is of, and from that to the next label. A value is near its label and of the same size, or
// some programs see an empty line between them.
const (
	labelSize = 11.0
	labelStep = 4.8
	valueStep = 8.0
)

// value is a label, and below it what programs look for after the label.
func (d *document) value(label, text string) {
	d.label(label)
	d.Use(pdf.Mono, labelSize, pdf.Ink)
	if w := d.GetStringWidth(text); w > textWidth {
		d.SetFontSize(labelSize * textWidth / w)
	}
	y := d.GetY()
	d.CellFormat(textWidth, labelStep, text, "", 1, "L", false, 0, "")
	d.SetY(y + valueStep)
}

// footer is at the end of the first page, and returns where it begins.
func (d *document) footer(code qr.Matrix) float64 {
	const height, square = 30.0, 30.0
	const width = textWidth - square
	x, y := d.GetXY()
	top := pageHeight - margin - height
	d.Draw(pdf.Rule, 0.3)
	d.Line(margin, top, pageWidth-margin, top)
	// The code's border is white: the code itself ends where the line does.
	d.QR(code, pageWidth-margin-square+2.4, top+2, square)
	d.LinkString(pageWidth-margin-square, top+2, square, square, d.address())
	d.SetXY(margin, top+5)
	d.Use(pdf.Regular, bodySize, pdf.Ink)
	d.CellFormat(width, 5, "Verify this timestamp", "", 1, "L", false, 0, "")
	const size = 8.5
	d.Use(pdf.Regular, size, pdf.Soft)
	if w := d.GetStringWidth(d.address()); w > width {
		d.SetFontSize(size * width / w)
	}
	d.CellFormat(width, 5, d.address(), "", 1, "L", false, 0, d.address())
	d.Ln(2)
	d.Use(pdf.Regular, 9, pdf.Soft)
	text := "This certificate is valid only together with the original file, and by the open procedure that the next pages describe. The proof is attached to it as XML"
	if len(d.c.OTS) > 0 {
		text += ", and as an OpenTimestamps file"
	}
	d.MultiCell(width, pdf.LineStep, text+".", "", "L", false)
	d.SetXY(x, y)
	return top
}

// seal is an ornament: a ring of points with a check mark in it.
func (d *document) seal(x, y float64) {
	color := pdf.Good
	if d.c.TestNetwork {
		color = pdf.Test
	}
	d.Fill(color)
	const points, radius = 36, 15.0
	for i := range points {
		angle := 2 * math.Pi * float64(i) / points
		d.Circle(x+radius*math.Cos(angle), y+radius*math.Sin(angle), 0.55, "F")
	}
	d.Draw(color, 0.7)
	d.Circle(x, y, 12, "D")
	d.SetLineCapStyle("round")
	d.SetLineJoinStyle("round")
	d.Draw(color, 2.2)
	d.MoveTo(x-5.5, y+0.5)
	d.LineTo(x-1.5, y+4.5)
	d.LineTo(x+6, y-4.5)
	d.DrawPath("D")
	d.SetLineCapStyle("butt")
	d.SetLineJoinStyle("miter")
}

// proof is the second page: the tree, which nothing follows.
func (d *document) proof() {
	d.begin("Proof")
	d.Use(pdf.Regular, bodySize, pdf.Ink)
	d.CellFormat(textWidth, 5, "Keep this proof with the original file: it is necessary for the reproducibility of your document.", "", 1, "L", false, 0, "")
	d.Ln(6)
	lines := printed(d.c.Branch)
	longest := 0
	for _, line := range lines {
		longest = max(longest, len(line))
	}
	// The largest size in which all lines fit the page, and none is broken.
	const largest, perPoint = 8.0, 0.47 // millimetres from line to line for a point of size
	d.Use(pdf.Mono, largest, pdf.Ink)
	size := min(largest, largest*textWidth/d.GetStringWidth(strings.Repeat("0", longest)), (pageHeight-margin-d.GetY())/float64(len(lines))/perPoint)
	d.Use(pdf.Mono, size, pdf.Ink)
	for _, line := range lines {
		d.CellFormat(textWidth, size*perPoint, line, "", 1, "L", false, 0, "")
	}
}

// verification is the third page: what to do without this service.
func (d *document) verification() {
	d.begin("Verification")
	d.Use(pdf.Regular, bodySize, pdf.Ink)
	d.MultiCell(textWidth, lineStep, "Nobody has to be trusted for this timestamp. Five steps verify it, with any program that computes SHA-256:", "", "L", false)
	d.Ln(3)
	for i, step := range d.c.steps() {
		y := d.GetY()
		d.Use(pdf.Bold, 14, pdf.Good)
		d.CellFormat(9, 6, strconv.Itoa(i+1), "", 0, "L", false, 0, "")
		d.SetXY(margin+9, y)
		d.SetLeftMargin(margin + 9)
		d.Use(pdf.Bold, bodySize+0.5, pdf.Ink)
		d.CellFormat(textWidth-9, 6, step.title, "", 1, "L", false, 0, "")
		d.Use(pdf.Regular, bodySize, pdf.Ink)
		d.MultiCell(textWidth-9, lineStep, step.text, "", "L", false)
		d.SetLeftMargin(margin)
		d.Ln(4)
	}
	for _, text := range d.c.notes() {
		d.Use(pdf.Regular, 9, pdf.Soft)
		d.SetX(margin)
		d.MultiCell(textWidth, pdf.LineStep, text, "", "L", false)
		d.Ln(2)
	}
}

type step struct{ title, text string }

func (c Certificate) steps() []step {
	name := CurrencyName(c.Currency)
	steps := []step{
		{"Compute the hash of the original file", "Its SHA-256 must be the Hash on the first page, digit by digit. On Linux: sha256sum FILE; on macOS: shasum -a 256 FILE; on Windows: certutil -hashfile FILE SHA256."},
		{"Find the hash in the proof", "The proof is attached to this document (" + Name("proof", c.Currency, c.Submitted.Hash, "xml") + "), and the second page shows the same. The element of the type “hash” must have the Hash as its value."},
		{"Compute the way to the root", "The value of each element that has a left and a right one is the SHA-256 of the text of their two values, left before right: 128 hexadecimal digits in lower case, without anything between them. Compute it from the hash up to the element “node”, whose value must be the Root Hash."},
	}
	switch c.State.Attestation.Kind {
	case "":
		steps = append(steps,
			step{"Find the root in the newspaper", "The notice in the issue of " + c.State.Ref + " must have the Root Hash, in the 64 digits of its lines 1 to 4."},
			step{"Read the date", "The hash existed before that issue was printed, and the file with it."})
	case logtree.Ethereum:
		steps = append(steps,
			step{"Find the root in the blockchain", "Look the Transaction up in a node of your own of " + name + ", or an explorer that you trust. Its input data must be the Root Hash."},
			step{"Read the time", "The time of the block that has the transaction is the time of the timestamp: the hash existed then, and the file with it."})
	default:
		steps = append(steps,
			step{"Find the root in the blockchain", "Look the Transaction up in a node of your own of " + name + ", or an explorer that you trust. Its first output must be OP_RETURN, followed by the Root Hash."},
			step{"Read the time", "The time of the block that has the transaction is the time of the timestamp: the hash existed then, and the file with it. Miners set that time; it may be wrong by about two hours."})
	}
	return steps
}

func (c Certificate) notes() []string {
	notes := []string{"What is not proven: who made the file or had it timestamped, that what it says is true, and that it did not exist long before."}
	if c.Submitted.Comment != "" {
		notes[0] += " The comment is what the submitter wrote; nobody checked it."
	}
	if len(c.OTS) > 0 {
		notes = append(notes, "The attached file "+hex.EncodeToString(c.Submitted.Hash[:])+".ots is a proof of the same hash in the open format of OpenTimestamps, for any of its clients: ots verify -f FILE PROOF. If it is not complete yet, ots upgrade PROOF completes it. It leads to Bitcoin by another transaction, so that it may show another time.")
	}
	return notes
}
