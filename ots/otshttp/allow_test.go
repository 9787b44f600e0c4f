package otshttp

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestAllowlist(t *testing.T) {
	tests := []struct {
		pattern, uri string
		want         bool
	}{
		// The defaults' form.
		{"https://*.calendar.opentimestamps.org", "https://alice.btc.calendar.opentimestamps.org", true},
		{"https://*.calendar.opentimestamps.org", "https://bob.calendar.opentimestamps.org", true},
		{"https://*.calendar.opentimestamps.org", "https://calendar.opentimestamps.org", false},
		{"https://*.calendar.opentimestamps.org", "http://alice.btc.calendar.opentimestamps.org", false},
		{"https://*.calendar.opentimestamps.org", "https://alice.btc.calendar.opentimestamps.org/", false},
		{"https://*.calendar.opentimestamps.org", "https://alice.btc.calendar.opentimestamps.org:8443", false},
		{"https://*.calendar.opentimestamps.org", "https://evil.example/.calendar.opentimestamps.org", false},
		{"https://*.calendar.opentimestamps.org", "https://alice.calendar.opentimestamps.org.evil.example", false},
		{"https://*.calendar.opentimestamps.org", "https://evil.example#.calendar.opentimestamps.org", false},
		{"https://*.calendar.opentimestamps.org", "https://evil.example?.calendar.opentimestamps.org", false},
		{"https://*.calendar.opentimestamps.org", `https://evil.example\.calendar.opentimestamps.org`, false},
		{"https://*.calendar.opentimestamps.org", "https://user@a.calendar.opentimestamps.org", false},
		{"https://*.calendar.opentimestamps.org", "https://evil.example%2f.calendar.opentimestamps.org", false},
		// Scheme and path are equal, not alike.
		{"http://127.0.0.1:14788", "http://127.0.0.1:14788", true},
		{"http://127.0.0.1:14788", "https://127.0.0.1:14788", false},
		{"http://127.0.0.1:14788", "http://127.0.0.1", false},
		{"https://host/path", "https://host/path", true},
		{"https://host/path", "https://host/path/", false},
		{"https://host/path", "https://host/", false},
		{"https://host/*", "https://host/path", false},
		// Without a scheme it is both.
		{"calendar.example", "https://calendar.example", true},
		{"calendar.example", "http://calendar.example", true},
		{"calendar.example/x", "http://calendar.example/x", true},
		// Characters and sets.
		{"https://c?l.example", "https://cal.example", true},
		{"https://c?l.example", "https://cl.example", false},
		{"https://c[a-d]l.example", "https://cbl.example", true},
		{"https://c[!a-d]l.example", "https://cbl.example", false},
		{"https://c[!a-d]l.example", "https://cxl.example", true},
		{"https://c[]x]l.example", "https://cxl.example", true},
		{"https://c[x.example", "https://cy.example", false},
		{"http://[::1]:8080", "http://[::1]:8080", true},
		{"https://*", "https://anything.at.all:99", true},
		{"https://*a*b*c", "https://xxaxxbxxc", true},
		{"https://*a*b*c", "https://xxaxxcxxb", false},
		// Case counts in hosts, as in the reference client.
		{"https://cal.example", "https://CAL.example", false},
		{"https://cal.example", "HTTPS://cal.example", true},
		// What is no URL.
		{"https://*", "", false},
		{"https://*", "ftp://x", false},
		{"https://*", "cal.example", false},
		{"https://*", "https://a b", false},
	}
	for _, tt := range tests {
		l, err := NewAllowlist(tt.pattern)
		if err != nil {
			t.Errorf("%s: %v", tt.pattern, err)
			continue
		}
		if got := l.Allows(tt.uri); got != tt.want {
			t.Errorf("%s allows %s: %v, want %v", tt.pattern, tt.uri, got, tt.want)
		}
	}
	var none *Allowlist
	if none.Allows("https://x") || (&Allowlist{}).Allows("https://x") {
		t.Error("an empty list allows something")
	}
	for _, bad := range []string{"ftp://x", "https://", "https://x/?q", "https://x#f", "https://x/;p", ""} {
		if _, err := NewAllowlist(bad); !errors.Is(err, ErrBadURL) {
			t.Errorf("pattern %q: %v", bad, err)
		}
	}
}

// A pattern made to backtrack must not take long.
func TestMatchIsQuick(t *testing.T) {
	start := time.Now()
	if match(strings.Repeat("*a", 500)+"b", strings.Repeat("a", 1000)) {
		t.Error("it does not match")
	}
	if d := time.Since(start); d > time.Second {
		t.Errorf("took %s", d)
	}
}

func TestCleanReason(t *testing.T) {
	tests := []struct{ in, want string }{
		{"Pending confirmation in Bitcoin blockchain", "Pending confirmation in Bitcoin blockchain"},
		{"Timestamped by transaction ab12; waiting for 6 confirmations\n", "Timestamped by transaction ab12; waiting for 6 confirmations"},
		{"a\nerror: \x1b[31mred", "a_error_ __31mred"},
		{"grün", "gr__n"},
		{strings.Repeat("x", 500), strings.Repeat("x", 160)},
		{"", ""},
	}
	for _, tt := range tests {
		if got := CleanReason([]byte(tt.in)); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.in, got, tt.want)
		}
	}
}
