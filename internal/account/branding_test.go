package account

import (
	"strings"
	"testing"
)

func TestBranding(t *testing.T) {
	for _, c := range []struct {
		branding Branding
		want     string // in the error; empty is none
	}{
		{Branding{Name: "Müller & Co"}, ""},
		{Branding{"A", "https://a.example/logo.png?v=1", "#10A0fF"}, ""},
		{Branding{}, "the name"},
		{Branding{Name: strings.Repeat("a", 101)}, "1 to 100 bytes"},
		{Branding{Name: "a\x1b[31m"}, "the name"},
		{Branding{Name: "\xff"}, "the name"},
		{Branding{Name: "A", LogoURL: "http://a.example/logo.png"}, "https://"},
		{Branding{Name: "A", LogoURL: "javascript:alert(1)"}, "https://"},
		{Branding{Name: "A", LogoURL: "https:///logo.png"}, "https://"},
		{Branding{Name: "A", LogoURL: "https://u:p@a.example/"}, "https://"},
		{Branding{Name: "A", LogoURL: "https://a.example/" + strings.Repeat("a", 500)}, "500 bytes"},
		{Branding{Name: "A", Color: "red"}, "#rrggbb"},
		{Branding{Name: "A", Color: "#fff"}, "#rrggbb"},
		{Branding{Name: "A", Color: "#10203g"}, "#rrggbb"},
	} {
		err := c.branding.Check()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: got %v, want an error with %q", c.branding, err, c.want)
		}
	}
}

func TestCheckEmail(t *testing.T) {
	for email, sound := range map[string]bool{
		"a@example.org": true, "ä.b+c@example.org": true, "a@localhost": true,
		"": false, "a": false, "@b": false, "a@": false, "a@b@c": false, "a b@c": false, "a@b\n": false, "a\x1b@b": false, "\xff@b": false,
		strings.Repeat("a", 250) + "@b.c": true, strings.Repeat("a", 251) + "@b.c": false,
	} {
		if err := CheckEmail(email); (err == nil) != sound {
			t.Errorf("%q: %v", email, err)
		}
	}
}
