package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/datestone/datestone/ots"
)

// toolError is an error with what to do about it and the exit code that it means.
type toolError struct {
	err  error
	hint string
	code int
}

func (e *toolError) Error() string { return e.err.Error() }
func (e *toolError) Unwrap() error { return e.err }

func usage(err error, hint string) error { return &toolError{err, hint, exitUsage} }

func usagef(hint, format string, args ...any) error {
	return usage(fmt.Errorf(format, args...), hint)
}

// codeOf gives an error's exit code and hint. An error without a code of its own is
// something outside that failed.
func codeOf(err error) (code int, hint string) {
	var te *toolError
	if errors.As(err, &te) {
		return te.code, te.hint
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return exitUsage, ""
	}
	return exitUnreached, ""
}

// fail reports that a whole command failed and returns the exit code.
func (a *app) fail(command string, err error) int {
	code, hint := codeOf(err)
	if a.JSON {
		a.writeJSON(struct {
			Command string     `json:"command,omitempty"`
			Exit    int        `json:"exit"`
			Error   *jsonError `json:"error"`
		}{command, code, errJSON(err)})
	}
	a.complain(err.Error(), hint)
	return code
}

type jsonError struct {
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

func errJSON(err error) *jsonError {
	if err == nil {
		return nil
	}
	_, hint := codeOf(err)
	return &jsonError{Message: err.Error(), Hint: hint}
}

// complain prints an error and its hint; it is never silenced.
func (a *app) complain(msg, hint string) {
	fmt.Fprintln(a.stderr, "datestone: error: "+show(msg))
	if hint != "" {
		fmt.Fprintln(a.stderr, "datestone: hint: "+show(hint))
	}
}

// warnf says what deserves attention though the work goes on.
func (a *app) warnf(format string, args ...any) {
	if a.level() >= -1 {
		fmt.Fprintln(a.stderr, "datestone: warning: "+show(fmt.Sprintf(format, args...)))
	}
}

// notef says what happens; detailf the same for who asked with -v.
func (a *app) notef(format string, args ...any) {
	if a.level() >= 0 && !a.JSON {
		fmt.Fprintln(a.stderr, show(fmt.Sprintf(format, args...)))
	}
}

func (a *app) detailf(format string, args ...any) {
	if a.level() >= 1 {
		fmt.Fprintln(a.stderr, show(fmt.Sprintf(format, args...)))
	}
}

// printf writes a result to standard output, unless JSON or quiet was asked for.
func (a *app) printf(format string, args ...any) {
	if !a.JSON && a.level() >= 0 {
		fmt.Fprintf(a.stdout, format, args...)
	}
}

func (a *app) writeJSON(doc any) {
	enc := json.NewEncoder(a.stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(doc); err != nil {
		a.complain("writing the JSON document: "+err.Error(), "")
	}
}

// show makes text safe for a terminal and for one line: control characters, characters
// that change the direction of writing or have no width, and bytes that are no UTF-8 are
// written as escapes.
func show(s string) string {
	safe := true
	for _, r := range s {
		if r < ' ' || r > '~' {
			safe = false
			break
		}
	}
	if safe {
		return s
	}
	var b strings.Builder
	for i, w := 0, 0; i < len(s); i += w {
		var r rune
		r, w = utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && w == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r < 0x80 && !unicode.IsPrint(r):
			fmt.Fprintf(&b, `\x%02x`, r)
		case !unicode.IsPrint(r) && r != ' ':
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func lowerFirst(s string) string {
	r, w := utf8.DecodeRuneInString(s)
	return string(unicode.ToLower(r)) + s[w:]
}

// plural writes a number with its noun.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%s %ss", thousands(uint64(n)), noun)
}

func thousands(n uint64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func utc(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// attJSON is one attestation as --json shows it. Message is what it stands on.
type attJSON struct {
	Kind       string  `json:"kind"` // pending, bitcoin, litecoin, ethereum, unknown
	URI        string  `json:"uri,omitempty"`
	Height     *uint64 `json:"height,omitempty"`
	MerkleRoot string  `json:"merkle_root,omitempty"` // as block explorers write it
	Tag        string  `json:"tag,omitempty"`
	Payload    string  `json:"payload,omitempty"`
	Message    string  `json:"message"`
}

func newAttJSON(a ots.Attestation, msg []byte) attJSON {
	j := attJSON{Message: hex.EncodeToString(msg)}
	if h, ok := a.Height(); ok {
		j.Height = &h
	}
	switch a.Kind() {
	case ots.KindPending:
		j.Kind, j.URI = "pending", a.URI()
	case ots.KindBitcoin:
		j.Kind, j.MerkleRoot = "bitcoin", reversedHex(msg)
	case ots.KindLitecoin:
		j.Kind, j.MerkleRoot = "litecoin", reversedHex(msg)
	case ots.KindEthereum:
		j.Kind = "ethereum"
	default:
		tag := a.Tag()
		j.Kind, j.Tag, j.Payload = "unknown", hex.EncodeToString(tag[:]), hex.EncodeToString(a.Payload())
	}
	return j
}

func reversedHex(b []byte) string {
	r := make([]byte, len(b))
	for i, c := range b {
		r[len(b)-1-i] = c
	}
	return hex.EncodeToString(r)
}

// openError words a failed open for people.
func openError(name string, err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return usage(fmt.Errorf("%s: no such file", name), "")
	case errors.Is(err, os.ErrPermission):
		return usage(fmt.Errorf("%s: permission denied", name), "")
	}
	return fmt.Errorf("%s: %w", name, err)
}
