package pdf

import "unicode"

// The PDF's writer does not join letters, so Arabic letters are replaced by their joined forms, which Unicode has as
// characters of their own (Arabic Presentation Forms).

// forms are the joined forms of a letter: how many it has, and the first. Two are isolated and final; four go on with
// initial and medial.
type forms struct {
	first rune
	count rune
}

// arabic has the letters from U+0621 to U+064A, whose forms follow each other from U+FE80 on, and those of Persian and
// Urdu that have forms of their own.
var arabic = func() map[rune]forms {
	all := map[rune]forms{
		'\u067e': {0xfb56, 4}, '\u0686': {0xfb7a, 4}, '\u0698': {0xfb8a, 2}, '\u06a9': {0xfb8e, 4}, '\u06af': {0xfb92, 4}, '\u06cc': {0xfbfc, 4},
	}
	next := rune(0xfe80)
	for i, count := range "122224242444442222444444440000004444444224" {
		count -= '0'
		all['\u0621'+rune(i)] = forms{next, count}
		next += count
	}
	return all
}()

const (
	tatweel = '\u0640' // a line that joins on both sides
	lam     = '\u0644'
)

// lamAlef are the ligatures of lam with an alef: isolated, and final one after it.
var lamAlef = map[rune]rune{'\u0622': 0xfef5, '\u0623': 0xfef7, '\u0625': 0xfef9, '\u0627': 0xfefb}

// joined replaces Arabic letters by their joined forms, where a font has them.
func joined(text string) string {
	in := []rune(text)
	// next is the index of the letter after i, over marks that stand above or below.
	next := func(i int) int {
		for i++; i < len(in) && unicode.Is(unicode.Mn, in[i]); i++ {
		}
		return i
	}
	joinsBefore := func(r rune) bool { return r == tatweel || arabic[r].count >= 2 }
	joinsAfter := func(r rune) bool { return r == tatweel || arabic[r].count == 4 }
	var out []rune
	before := false // the letter before joins to this one
	for i := 0; i < len(in); i++ {
		r := in[i]
		if unicode.Is(unicode.Mn, r) {
			out = append(out, r)
			continue
		}
		j := next(i)
		form := arabic[r]
		linked := before && joinsBefore(r)
		switch ligature := rune(0); {
		case r == lam && j < len(in) && j == i+1 && lamAlef[in[j]] != 0:
			if ligature = lamAlef[in[j]]; linked {
				ligature++
			}
			out = append(out, ligature)
			i, before = j, false
			continue
		case form.count > 0:
			shape := form.first
			if linked {
				shape++
			}
			if form.count == 4 && j < len(in) && joinsBefore(in[j]) {
				shape += 2
			}
			if fontFor(shape) != nil {
				r = shape
			}
		}
		out = append(out, r)
		before = joinsAfter(in[i])
	}
	return string(out)
}
