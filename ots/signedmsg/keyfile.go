package signedmsg

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// MaxKeyFile bounds a key file, in bytes.
const MaxKeyFile = 1 << 20

// KeyFile are private keys by calendar, which is host[:port][/path]: a file of Java properties, as the
// clients of authenticated calendars have them, each on one line. The zero value has none.
//
//	# a comment
//	auth.calendar.example.org = L1...
type KeyFile struct{ keys map[string]PrivateKey }

// ParseKeyFile reads a key file.
func ParseKeyFile(data []byte) (KeyFile, error) {
	f := KeyFile{make(map[string]PrivateKey)}
	if len(data) > MaxKeyFile {
		return f, fmt.Errorf("a key file of more than %d bytes", MaxKeyFile)
	}
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		name, value := split(line)
		calendar := strings.TrimSuffix(strings.ToLower(name), "/")
		if calendar == "" || strings.Contains(calendar, "://") {
			return f, fmt.Errorf("line %d of the key file: want host=key, without a scheme", n)
		}
		if _, ok := f.keys[calendar]; ok {
			return f, fmt.Errorf("line %d of the key file: %q has a key already", n, calendar)
		}
		key, err := ParsePrivateKey(value)
		if err != nil {
			return f, fmt.Errorf("line %d of the key file: %w", n, err)
		}
		f.keys[calendar] = key
	}
	return f, nil
}

// Calendars are the names that have a key, in order.
func (f KeyFile) Calendars() []string { return slices.Sorted(maps.Keys(f.keys)) }

// Key is the key for a calendar, host[:port][/path].
func (f KeyFile) Key(calendar string) (PrivateKey, bool) {
	k, ok := f.keys[strings.TrimSuffix(strings.ToLower(calendar), "/")]
	return k, ok
}

// FormatKeyFile is a key file with one key.
func FormatKeyFile(calendar string, key PrivateKey) []byte {
	return fmt.Appendf(nil, "%s=%s\n", strings.NewReplacer(`\`, `\\`, `:`, `\:`, `=`, `\=`, ` `, `\ `).Replace(calendar), key.WIF())
}

// split cuts a line at the first separator that is not escaped.
func split(line string) (name, value string) {
	end := len(line)
	for i := 0; i < len(line); i++ {
		if line[i] == '\\' {
			i++
		} else if strings.IndexByte("=: \t\f", line[i]) >= 0 {
			end = i
			break
		}
	}
	value = strings.TrimLeft(line[end:], " \t\f")
	if value != "" && (value[0] == '=' || value[0] == ':') {
		value = strings.TrimLeft(value[1:], " \t\f")
	}
	return unescape(line[:end]), strings.TrimRight(unescape(value), " \t\f")
}

func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
