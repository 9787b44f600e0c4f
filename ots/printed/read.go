package printed

import (
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// Misread says which lines of a notice are wrong.
type Misread struct{ Problems []Problem }

// Problem is a line that is wrong.
type Problem struct {
	// Line is 1 to 5, or 0 for the first line, which has the date.
	Line    int    `json:"line"`
	Read    string `json:"read,omitempty"` // as it was given
	Message string `json:"message"`
	// Instead is what the line says on the paper if it has just one mistake; empty when that is not known.
	Instead string `json:"instead,omitempty"`
}

func (p Problem) String() string {
	name := "line " + strconv.Itoa(p.Line)
	if p.Line == 0 {
		name = "the line with the date"
	}
	text := name + ": " + p.Message
	if p.Instead != "" {
		text += "; it reads " + strconv.Quote(p.Instead) + " if that is its only mistake"
	}
	return text
}

func (m *Misread) Error() string {
	var all []string
	for _, p := range m.Problems {
		all = append(all, p.String())
	}
	return strings.Join(all, "\n")
}

// MaxText is how much of a text Read takes.
const MaxText = 64 << 10

var firstLine = regexp.MustCompile(`(?i)(?:^|\s)([a-z]{2,16})\s+([0-9a-z][0-9a-z/._-]{0,63})\s+([0-9]{4}-[0-9]{2}-[0-9]{2})(?:\s|$)`)

// numbered is a line that was typed.
type numbered struct {
	text   string
	number string // its first character
	digits string
	check  string
}

// Read reads a notice that was typed again, with or without the words around the six lines, however it is spaced and in
// either case. The error is a *Misread that names each wrong line.
func Read(text string) (Root, error) {
	if len(text) > MaxText {
		return Root{}, fmt.Errorf("the text has %d bytes: a notice has less than %d", len(text), MaxText)
	}
	var r Root
	var found []numbered
	for l := range strings.Lines(text) {
		if m := firstLine.FindStringSubmatch(l); m != nil && r.Date == "" {
			r.Purpose, r.Name, r.Date = strings.ToLower(m[1]), strings.ToLower(m[2]), m[3]
		} else if n, ok := readNumbered(l); ok {
			found = append(found, n)
		}
	}
	var problems []Problem
	if r.Date == "" {
		problems = append(problems, Problem{Message: "it is missing or cannot be read: it is like log 0/12345 2026-11-28"})
	} else if err := r.Check(); err != nil {
		problems = append(problems, Problem{Read: r.first(), Message: err.Error()})
	}
	all, missing := arrange(found)
	var wrong []int
	for i, n := range all {
		number := i + 1
		switch message := n.wrong(number); {
		case n.text == "":
			wrong = append(wrong, number)
			problems = append(problems, Problem{Line: number, Message: missing})
		case message != "":
			wrong = append(wrong, number)
			problems = append(problems, Problem{Line: number, Read: n.text, Message: message})
		}
	}
	switch {
	case len(wrong) == 1 && r.Date != "" && all[wrong[0]-1].text != "":
		problems[len(problems)-1].Instead = mend(r, all, wrong[0])
	case len(wrong) == 0 && r.Date != "":
		if r = r.of(all); len(problems) == 0 && r.sum() != all[lines-1].digits {
			problems = append(problems, Problem{Read: r.first(), Message: "lines 1 to 5 are right in themselves, and line 5 is not the check of this line with them"})
		}
	}
	if len(problems) > 0 {
		return Root{}, &Misread{problems}
	}
	return r, nil
}

// of is the root that the lines give.
func (r Root) of(all []numbered) Root {
	var digits string
	for _, n := range all[:rootLines] {
		digits += n.digits
	}
	hex.Decode(r.Hash[:], []byte(digits))
	return r
}

// readNumbered reads a line that begins with one character alone and goes on with what may be digits.
func readNumbered(text string) (numbered, bool) {
	fields := strings.FieldsFunc(text, func(r rune) bool { return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	if len(fields) < 2 || len(fields[0]) != 1 {
		return numbered{}, false
	}
	rest := strings.Join(fields[1:], "")
	digits := 0
	for _, c := range rest {
		if strings.ContainsRune("0123456789abcdefABCDEF", c) {
			digits++
		}
	}
	if len(rest) < 7 || len(rest) > 24 || 2*digits < len(rest) {
		return numbered{}, false
	}
	at := len(rest) - 2
	return numbered{strings.TrimSpace(text), fields[0], strings.ToLower(rest[:at]), strings.ToUpper(rest[at:])}, true
}

// arrange puts lines into their places: in the order in which they came when there are as many as there must be, else
// by their numbers. What is missing has no text.
func arrange(found []numbered) (all []numbered, missing string) {
	if len(found) == lines {
		return found, ""
	}
	all = make([]numbered, lines)
	for _, n := range found {
		number, err := strconv.Atoi(n.number)
		if err != nil || number < 1 || number > lines {
			continue
		}
		if have := all[number-1]; have.text != "" && (have.digits != n.digits || have.check != n.check) {
			return make([]numbered, lines), "there is more than one line with a number: give the six lines of one notice alone"
		}
		all[number-1] = n
	}
	return all, "it is missing: it begins with its number, and has groups of four digits and two check characters"
}

// wrong says what is wrong with a line in a place, or nothing.
func (n numbered) wrong(number int) string {
	want := digitsOf(number)
	switch {
	case n.number != strconv.Itoa(number):
		return fmt.Sprintf("it begins with %s", n.number)
	case len(n.digits) != want:
		return fmt.Sprintf("it has %d digits before its two check characters, and %d on the paper", len(n.digits), want)
	}
	for _, c := range n.digits {
		if !strings.ContainsRune("0123456789abcdef", c) {
			return fmt.Sprintf("%q is none of the digits 0 to 9 and a to f", c)
		}
	}
	if sum, ok := weigh(n.number + n.digits + n.check); !ok || sum != 1 {
		return "its digits and its check characters do not fit"
	}
	return ""
}

// mend finds what a line must be, when all others are right and it has one mistake: a wrong character, two that changed
// places, one that is missing or one too many.
func mend(r Root, all []numbered, number int) string {
	if number > rootLines {
		return line(number, r.of(all).sum())
	}
	want := digitsOf(number)
	covered := []byte(r.first() + " ")
	at := len(covered) + (number-1)*want
	for _, n := range all[:rootLines] {
		covered = append(covered, (n.digits + strings.Repeat(" ", want))[:want]...)
	}
	sum, err := strconv.ParseUint(all[lines-1].digits, 16, 32)
	if err != nil {
		return ""
	}
	found := map[string]bool{}
	try := func(digits string) {
		if len(digits) != want {
			return
		}
		copy(covered[at:], digits)
		if crc32.ChecksumIEEE(covered) == uint32(sum) && strings.Trim(digits, "0123456789abcdef") == "" {
			found[digits] = true
		}
	}
	given := all[number-1].digits
	try(given)
	for i := 0; i <= len(given); i++ {
		for _, c := range "0123456789abcdef" {
			try(given[:i] + string(c) + given[i:])
			if i < len(given) {
				try(given[:i] + string(c) + given[i+1:])
			}
		}
		if i < len(given) {
			try(given[:i] + given[i+1:])
		}
		if i+1 < len(given) {
			try(given[:i] + given[i+1:i+2] + given[i:i+1] + given[i+2:])
		}
	}
	// A missing digit moved the first check character among the digits, and one too many the last digit out.
	typed := given + strings.ToLower(all[number-1].check)
	if len(typed) == want+1 {
		short := typed[:want-1]
		for i := 0; i <= len(short); i++ {
			for _, c := range "0123456789abcdef" {
				try(short[:i] + string(c) + short[i:])
			}
		}
	}
	if len(found) != 1 {
		return ""
	}
	for digits := range found {
		return line(number, digits)
	}
	return ""
}
