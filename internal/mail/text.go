package mail

import (
	"net/url"
	"strings"
	"unicode"
)

// clean makes a stranger's words one line of printable characters, at most so many.
func clean(text string, most int) string {
	runes := []rune(strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			return ' '
		case !unicode.IsPrint(r) || r == unicode.ReplacementChar:
			return -1 // formatting characters can make words look like others
		}
		return r
	}, text))
	if len(runes) > most {
		runes = append(runes[:most-1], '…')
	}
	return strings.TrimSpace(string(runes))
}

// In characters. Encoded, either fits into a line.
const (
	maxFileName   = 64
	maxAttachment = maxFileName + len("TEST-NETWORK-") + len(".ots")
)

// fileName is the last part of a file's name, without what a file system, a header or the shell could take for
// something else: it is shown inside a command.
func fileName(name string, most int) string {
	name = clean(name[strings.LastIndexAny(name, `/\`)+1:], 1000)
	name = strings.Map(func(r rune) rune {
		if strings.ContainsRune("\"*:<>?|%;$`!", r) {
			return '_'
		}
		return r
	}, name)
	if runes := []rune(name); len(runes) > most {
		// The end says what kind of file it is.
		name = string(runes[:most/2-1]) + "…" + string(runes[len(runes)-most/2:])
	}
	if name = strings.Trim(name, "-. "); name == "" {
		return "timestamp"
	}
	return name
}

// disposition names an attachment (RFC 2231): in ASCII, and by its own name if that is another.
func disposition(name string) string {
	ascii := strings.Map(func(r rune) rune {
		if r > unicode.MaxASCII {
			return '_'
		}
		return r
	}, name)
	field := `attachment; filename="` + ascii + `"`
	if ascii != name {
		field += ";\r\n filename*=UTF-8''" + strings.ReplaceAll(url.QueryEscape(name), "+", "%20")
	}
	return field
}
