package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"time"

	"github.com/datestone/datestone/api"
	"github.com/datestone/datestone/internal/mail"
	"github.com/datestone/datestone/internal/publish"
	"github.com/datestone/datestone/internal/publish/delivery"
	"github.com/datestone/datestone/internal/store"
)

// publicationName is the name of the target that is printed, in the store and wherever people see it.
const publicationName = "publication"

// checkPublication refuses settings of the publication that cannot work.
func (c Config) checkPublication() error {
	p := c.Publication
	if !p.Configured() {
		return nil
	}
	if err := p.Check(); err != nil {
		return err
	}
	if p.Title != "" {
		if err := delivery.CheckTitle(p.Title); err != nil {
			return fmt.Errorf("publication.title: %w", err)
		}
	}
	if p.Folder != "" && !filepath.IsAbs(p.Folder) {
		return fmt.Errorf("publication.folder is %q: write its whole path, which begins with /", p.Folder)
	}
	if p.MailTo != "" {
		if err := mail.CheckAddress(p.MailTo); err != nil {
			return fmt.Errorf("publication.mail_to: %w", err)
		}
		if c.SMTPAddress == "" {
			return errors.New(`publication.mail_to is set and smtp_address is not: write the mail server's address, for example smtp_address = "mail.example.org:587"`)
		}
	}
	if p.URL != "" {
		if _, err := operatorClient("publication.url", p.URL); err != nil {
			return err
		}
	}
	if p.URLSecret != "" {
		if err := api.SignWebhook(make(http.Header), []string{p.URLSecret}, "check", time.Unix(0, 0), nil); err != nil {
			return fmt.Errorf("publication.url_secret: %w", err)
		}
	}
	return nil
}

// publicationOptions are what the loop of the publication is made with.
func (c Config) publicationOptions(log *slog.Logger) (publish.Options, error) {
	p := c.Publication
	o := publish.Options{
		Name: publicationName, Every: p.Period + " " + p.TimeZone, Paper: p.Name, Title: p.Title, Service: c.URI, Explains: p.Explains,
		Language: publish.Language(p.Language), Senders: map[publish.Channel]publish.Sender{}, Log: log, Lost: isLost,
	}
	if o.Explains == "" {
		o.Explains = c.URI + "/publications"
	}
	var err error
	if o.Period, err = publish.ParsePeriod(p.Period, p.TimeZone); err != nil {
		return o, err
	}
	if p.MailTo != "" {
		client, err := c.newMail()
		if err != nil {
			return o, err
		}
		o.Senders[publish.Mail] = &delivery.Mail{Client: client, To: p.MailTo}
	}
	if p.Folder != "" {
		o.Senders[publish.Folder] = &delivery.Folder{Path: p.Folder}
	}
	if p.URL != "" {
		client, err := operatorClient("publication.url", p.URL)
		if err != nil {
			return o, err
		}
		o.Senders[publish.URL] = &delivery.URL{Client: client, Address: p.URL, Secret: p.URLSecret, Now: time.Now}
	}
	return o, nil
}

// publicationBuilder makes the loop of the publication.
func (c Config) publicationBuilder(log *slog.Logger) builder {
	return func(db *store.DB) (loop, error) {
		o, err := c.publicationOptions(log)
		if err != nil {
			return nil, err
		}
		return publish.New(db, o), nil
	}
}
