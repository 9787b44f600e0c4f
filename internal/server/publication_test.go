package server

import (
	"strings"
	"testing"

	"github.com/datestone/datestone/api"
	"github.com/datestone/datestone/internal/publish"
)

func TestSettingsOfPublication(t *testing.T) {
	mail := func(c *Config) { c.SMTPAddress, c.MailFrom = "mail.example.org:587", "stamps@example.org" }
	for name, c := range map[string]struct {
		change func(c *Config, p *publish.Config)
		says   string
	}{
		"none":     {func(*Config, *publish.Config) {}, ""},
		"a folder": {func(_ *Config, p *publish.Config) { p.Name, p.Folder = "Paper", "/srv/notices" }, ""},
		"everything": {func(c *Config, p *publish.Config) {
			mail(c)
			*p = publish.Config{
				Name: "Südkurier", Period: "daily 06:30", TimeZone: "Europe/Berlin", MailTo: "notices@paper.example.org", Folder: "/srv/notices", URL: "http://10.0.0.7:9000/notices",
				URLSecret: api.NewWebhookSecret(), Language: "de", Title: "Fingerabdruck", Explains: "https://example.org/why",
			}
		}, ""},
		"no name":            {func(_ *Config, p *publish.Config) { p.Folder = "/srv/notices" }, "publication.name"},
		"no way":             {func(_ *Config, p *publish.Config) { p.Name = "Paper" }, "mail_to, folder or url"},
		"a relative folder":  {func(_ *Config, p *publish.Config) { p.Name, p.Folder = "Paper", "notices" }, "publication.folder"},
		"no such period":     {func(_ *Config, p *publish.Config) { p.Name, p.Folder, p.Period = "Paper", "/srv", "monthly" }, "weekly monday 09:00"},
		"no such zone":       {func(_ *Config, p *publish.Config) { p.Name, p.Folder, p.TimeZone = "Paper", "/srv", "Konstanz" }, "Europe/Berlin"},
		"no such language":   {func(_ *Config, p *publish.Config) { p.Name, p.Folder, p.Language = "Paper", "/srv", "fr" }, "publication.language"},
		"a title of no font": {func(_ *Config, p *publish.Config) { p.Name, p.Folder, p.Title = "Paper", "/srv", "公告" }, "publication.title"},
		"a title like a line": {func(_ *Config, p *publish.Config) {
			p.Name, p.Folder, p.Title = "Paper", "/srv", "1 0000 0000 0000 0000 XX"
		}, "another title"},
		"no address":          {func(_ *Config, p *publish.Config) { p.Name, p.Folder, p.Explains = "Paper", "/srv", "our page" }, "publication.explains"},
		"mail to nobody":      {func(c *Config, p *publish.Config) { mail(c); p.Name, p.MailTo = "Paper", "notices" }, "publication.mail_to"},
		"mail with no server": {func(_ *Config, p *publish.Config) { p.Name, p.MailTo = "Paper", "a@example.org" }, "smtp_address"},
		"no URL":              {func(_ *Config, p *publish.Config) { p.Name, p.URL = "Paper", "paper.example.org" }, "publication.url"},
		"a secret alone":      {func(_ *Config, p *publish.Config) { p.Name, p.Folder, p.URLSecret = "Paper", "/srv", "hunter2" }, "publication.url_secret"},
		"no secret": {func(_ *Config, p *publish.Config) {
			p.Name, p.URL, p.URLSecret = "Paper", "https://paper.example.org/", "hunter2"
		}, "publication.url_secret"},
	} {
		config := Defaults()
		c.change(&config, &config.Publication)
		err := config.checkPublication()
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error has the secret: %v", name, err)
		}
	}
}
