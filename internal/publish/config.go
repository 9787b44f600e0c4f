package publish

import "errors"

// Config are the settings of a publication: the newest root of the log is printed in a newspaper, say, at regular times.
// It is no proof of its own and completes none; what was printed is in the evidence of a stamp, once datestoned publish
// confirm has said where it appeared.
type Config struct {
	// Name is what the paper is called, for example "Südkurier". Required.
	Name string `toml:"name"`
	// Period is when a notice is made, if there is something new: "daily 06:30" or "weekly monday 09:00", in the
	// time zone TimeZone, for example "Europe/Berlin".
	Period   string `toml:"period"`
	TimeZone string `toml:"time_zone"`
	// MailTo is the publisher's e-mail address. It needs a mail server: the settings smtp_*.
	MailTo string `toml:"mail_to"`
	// Folder is where notices are written as files, for somebody to take.
	Folder string `toml:"folder"`
	// URL is where notices are posted as JSON. It may be inside your network. URLSecret signs them as webhooks are
	// signed: whsec_ and base64. At least one of MailTo, Folder and URL is required.
	URL       string `toml:"url"`
	URLSecret string `toml:"url_secret"`
	// Language is that of the notice: "en" or "de".
	Language string `toml:"language"`
	// Title is the heading of the notice, in characters of Latin, Greek or Cyrillic. The default is in its language.
	Title string `toml:"title"`
	// Explains is the address that the notice names for an explanation. The default is the page /publications here.
	Explains string `toml:"explains"`
}

// DefaultConfig is what applies where nothing is said.
func DefaultConfig() Config {
	return Config{Period: "weekly monday 09:00", TimeZone: "UTC", Language: string(English)}
}

// Configured says whether there is a publication.
func (c Config) Configured() bool {
	return c.Name != "" || c.MailTo != "" || c.Folder != "" || c.URL != "" || c.URLSecret != "" || c.Title != "" || c.Explains != ""
}

// Check refuses what cannot work, but for where notices go.
func (c Config) Check() error {
	switch {
	case c.Name == "" || !plain(c.Name, maxBy):
		return errors.New(`publication.name is missing, or longer than a line: write what the paper is called, for example name = "Südkurier"`)
	case c.MailTo == "" && c.Folder == "" && c.URL == "":
		return errors.New("publication has no way to the publisher: write mail_to, folder or url")
	case c.URLSecret != "" && c.URL == "":
		return errors.New("publication.url_secret is set and publication.url is not: write the address, or remove the secret")
	case !Language(c.Language).Known():
		return errors.New(`publication.language: write "en" or "de"`)
	}
	_, err := ParsePeriod(c.Period, c.TimeZone)
	return err
}
