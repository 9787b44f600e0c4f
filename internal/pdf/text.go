// Package pdf is how PDFs are drawn: the fonts, text in any script in lines that fit, and files that a document brings
// with it. It knows no document.
package pdf

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"io"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/gomono"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/text/unicode/bidi"

	"github.com/datestone/datestone/internal/page"
)

//go:embed fonts/DejaVuSans.ttf.gz
var dejavuPacked []byte

//go:embed fonts/DroidSansFallback.ttf.gz
var droidPacked []byte

// Typeface is a font of the PDFs: its name there, its file, and which characters it has.
type Typeface struct {
	name, style string
	load        func() ([]byte, *sfnt.Font)
}

func newTypeface(name, style string, file func() []byte) *Typeface {
	return &Typeface{name, style, sync.OnceValues(func() ([]byte, *sfnt.Font) {
		b := file()
		f, err := sfnt.Parse(b)
		if err != nil {
			panic("font " + name + ": " + err.Error()) // it is part of the program
		}
		return b, f
	})}
}

func plain(b []byte) func() []byte { return func() []byte { return b } }

func packed(b []byte) func() []byte {
	return func() []byte {
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			panic("a font that is part of the program: " + err.Error())
		}
		all, err := io.ReadAll(z)
		if err != nil {
			panic("a font that is part of the program: " + err.Error())
		}
		return all
	}
}

var (
	Regular = newTypeface("go", "", plain(goregular.TTF))
	Bold    = newTypeface("go", "B", plain(gobold.TTF))
	Mono    = newTypeface("gomono", "", plain(gomono.TTF))
	dejavu  = newTypeface("dejavu", "", packed(dejavuPacked))
	droid   = newTypeface("droid", "", packed(droidPacked))
)

// has says whether the font has a glyph for a character. Those beyond the first 65,536 the PDF cannot use.
func (f *Typeface) has(r rune) bool {
	if r > 0xffff {
		return false
	}
	_, font := f.load()
	var b sfnt.Buffer
	i, err := font.GlyphIndex(&b, r)
	return err == nil && i != 0
}

// fallbacks are the fonts for names, in order.
var fallbacks = []*Typeface{Regular, dejavu, droid}

// fontFor is the first font that has a character, or nil.
func fontFor(r rune) *Typeface {
	for _, f := range fallbacks {
		if f.has(r) {
			return f
		}
	}
	return nil
}

// run is text in one font.
type run struct {
	font *Typeface
	text string
}

// glyphs is a text with only such characters as some font has: joiners are left out, for nothing here joins by them,
// and the others become codes.
func glyphs(text string) string {
	var b strings.Builder
	for _, r := range page.Visible(text) {
		switch {
		case r == page.ZeroWidthJoiner || r == page.ZeroWidthNonJoiner || unicode.Is(unicode.Variation_Selector, r):
		case fontFor(r) != nil:
			b.WriteRune(r)
		default:
			b.WriteString(page.Code(r))
		}
	}
	return b.String()
}

// visual is a line in the order in which it is seen from left to right. Stretches of right-to-left letters are turned
// round, each in its place; numbers, brackets and all else stay as they are, so that a name keeps its end at the end.
func visual(line string) string {
	var out, stretch, neutral strings.Builder
	flush := func() {
		out.WriteString(bidi.ReverseString(joined(stretch.String())))
		out.WriteString(neutral.String())
		stretch.Reset()
		neutral.Reset()
	}
	for _, r := range line {
		properties, _ := bidi.LookupRune(r)
		switch class := properties.Class(); {
		case class == bidi.R || class == bidi.AL || class == bidi.NSM && stretch.Len() > 0:
			stretch.WriteString(neutral.String())
			neutral.Reset()
			stretch.WriteRune(r)
		case stretch.Len() > 0 && !properties.IsBracket() && class != bidi.L && class != bidi.EN && class != bidi.AN:
			neutral.WriteRune(r) // part of the stretch if letters follow
		default:
			flush()
			out.WriteRune(r)
		}
	}
	flush()
	return out.String()
}

// runs cuts a line of glyphs by the fonts that it needs.
func runs(line string) (all []run) {
	for _, r := range line {
		f := fontFor(r)
		if n := len(all); n > 0 && all[n-1].font == f {
			all[n-1].text += string(r)
		} else {
			all = append(all, run{f, string(r)})
		}
	}
	return all
}
