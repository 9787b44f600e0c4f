// Package printed is a 32-byte root as it stands in a newspaper: lines that a person can type again and that show
// where the person, or the typesetter, made a mistake.
//
//	log 0/12345 2026-11-28
//	1  3f2a 9c1e 77b0 d4e5  K7
//	2  0d31 ...
//	3
//	4
//	5  1a2b 3c4d  X2
//
// The first line says what the root is of: a purpose, a name and a date. Lines 1 to 4 are the root in hexadecimal.
// Line 5 is the CRC-32 (IEEE 802.3) of the first line, a space and the 64 digits of the root, in ASCII. Each numbered
// line ends in two check characters over its number and its digits by ISO 7064, MOD 1271-36.
//
// That standard is made for letters and digits which people copy. It finds every wrong character and every two that
// changed places, beside each other or one apart; a line that is wrong in another way passes one time in 1271.
// The number is checked as well, so a line in the place of another is found. The CRC binds the lines to each other
// and to the first line, and python3 -c 'import zlib; print("%08x" % zlib.crc32(b"..."))' recomputes it.
package printed

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Root is what is printed.
type Root struct {
	Purpose string // one word in lower case: log, seed
	Name    string // what of that it is: letters, digits and / . _ -
	Date    string // 2026-11-28
	Hash    [32]byte
}

var (
	soundPurpose = regexp.MustCompile(`^[a-z]{2,16}$`)
	soundName    = regexp.MustCompile(`^[0-9a-z][0-9a-z/._-]{0,63}$`)
)

// Check accepts what can be read again.
func (r Root) Check() error {
	if !soundPurpose.MatchString(r.Purpose) || !soundName.MatchString(r.Name) {
		return fmt.Errorf("a root that is printed is of %q %q: write a word in lower case, and a name in lower case letters, digits and / . _ -", r.Purpose, r.Name)
	}
	if _, err := time.Parse(time.DateOnly, r.Date); err != nil {
		return fmt.Errorf("a root that is printed has the date %q: write one such as 2026-11-28", r.Date)
	}
	return nil
}

const (
	rootLines = 4
	lines     = rootLines + 1
	perGroup  = 4
)

// digitsOf is how many digits a numbered line has.
func digitsOf(number int) int {
	if number > rootLines {
		return 8
	}
	return 64 / rootLines
}

func (r Root) first() string { return r.Purpose + " " + r.Name + " " + r.Date }

func (r Root) sum() string { return sumOf([]byte(r.first() + " " + hex.EncodeToString(r.Hash[:]))) }

func sumOf(covered []byte) string {
	return hex.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(covered)))
}

// digits are those of a numbered line.
func (r Root) digits(number int) string {
	if number > rootLines {
		return r.sum()
	}
	n := digitsOf(number)
	return hex.EncodeToString(r.Hash[:])[(number-1)*n : number*n]
}

// Lines are the first line and the five that are numbered.
func (r Root) Lines() []string {
	all := []string{r.first()}
	for number := 1; number <= lines; number++ {
		all = append(all, line(number, r.digits(number)))
	}
	return all
}

// line is a numbered line with its check characters.
func line(number int, digits string) string {
	n := strconv.Itoa(number)
	var b strings.Builder
	b.WriteString(n + " ")
	for rest := digits; rest != ""; {
		group := rest[:min(perGroup, len(rest))]
		rest = rest[len(group):]
		b.WriteString(" " + group)
	}
	return b.String() + "  " + checkCharacters(n+digits)
}

const (
	alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	modulus  = 1271
)

// weigh is the sum of ISO 7064's pure systems over letters and digits, or false for anything else.
func weigh(text string) (int, bool) {
	sum := 0
	for _, c := range []byte(strings.ToUpper(text)) {
		value := strings.IndexByte(alphabet, c)
		if value < 0 {
			return 0, false
		}
		sum = (sum*len(alphabet) + value) % modulus
	}
	return sum, true
}

// checkCharacters are the two that make the sum 1.
func checkCharacters(text string) string {
	sum, _ := weigh(text + "00")
	value := (modulus + 1 - sum) % modulus
	return string([]byte{alphabet[value/len(alphabet)], alphabet[value%len(alphabet)]})
}
