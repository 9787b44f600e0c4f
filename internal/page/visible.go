package page

import (
	"fmt"
	"strings"
	"unicode"
)

// Visible writes as their codes the characters of a text that would not be seen and could make it look like another:
// controls, and marks that change the direction. Joiners, which scripts need, stay.
func Visible(text string) string {
	var b strings.Builder
	for _, r := range text {
		if unicode.IsControl(r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r) || unicode.Is(unicode.Cf, r) && r != ZeroWidthJoiner && r != ZeroWidthNonJoiner {
			b.WriteString(Code(r))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// The joiners.
const (
	ZeroWidthNonJoiner = '\u200c'
	ZeroWidthJoiner    = '\u200d'
)

// Code writes a character as its number.
func Code(r rune) string { return fmt.Sprintf("[U+%04X]", r) }
