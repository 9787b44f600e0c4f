package account

import (
	"fmt"
	"net/url"
	"regexp"
)

const (
	maxBrandingName = 100
	maxLogoURL      = 500
)

var soundColor = regexp.MustCompile(`^#[0-9a-fA-F]{6}$`)

// Check refuses branding that certificates could not show. The logo and the color may be left out.
func (b Branding) Check() error {
	logo, err := url.Parse(b.LogoURL)
	switch {
	case b.Name == "" || len(b.Name) > maxBrandingName || !printable(b.Name):
		return fmt.Errorf("the name is %q: write 1 to %d bytes of text", b.Name, maxBrandingName)
	case b.LogoURL != "" && (err != nil || logo.Scheme != "https" || logo.Host == "" || logo.User != nil || len(b.LogoURL) > maxLogoURL || !printable(b.LogoURL)):
		return fmt.Errorf("the logo is at %q: write an address of up to %d bytes that begins with https://", b.LogoURL, maxLogoURL)
	case b.Color != "" && !soundColor.MatchString(b.Color):
		return fmt.Errorf("the color is %q: write it as #rrggbb", b.Color)
	}
	return nil
}
