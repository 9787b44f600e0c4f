// Package delivery brings notices to their publisher: by e-mail, into a folder, and to a URL. Each names in its errors
// what a person can do.
package delivery

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/datestone/datestone/api"
	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/egress"
	"github.com/datestone/datestone/internal/mail"
	"github.com/datestone/datestone/internal/publish"
)

func ended(f *anchor.Fault) error { return &publish.Ended{Fault: f} }

// FileName is the name of a file about a publication. It is the same each time.
func FileName(p publish.Publication, ending string) string {
	r := p.Notice.Root
	return "datestone-" + r.Date + "-" + r.Purpose + "-" + strings.ReplaceAll(r.Name, "/", "-") + ending
}

// Mail sends notices to an address. Each time a notice is sent its Message-ID is the same.
type Mail struct {
	Client interface {
		Send(ctx context.Context, m mail.Message) error
	}
	To string
}

// Send sends a notice.
func (s *Mail) Send(ctx context.Context, p publish.Publication) error {
	document, err := PDF(p)
	if err != nil {
		return err
	}
	text := p.Notice.Letter() + "\n\n" + p.Text
	err = s.Client.Send(ctx, mail.Message{
		To: s.To, ID: p.UID.String(), Date: p.Created, Subject: p.Notice.Heading() + ", " + p.Notice.Root.Date,
		Text: text, HTML: "<!doctype html><html lang=\"" + string(p.Notice.Language) + "\"><body><p>" + html.EscapeString(p.Notice.Letter()) + "</p><pre>" + html.EscapeString(p.Text) + "</pre></body></html>",
		Attachments: []mail.Attachment{
			{Name: FileName(p, ".txt"), Type: "text/plain; charset=utf-8", Content: []byte(p.Text)},
			{Name: FileName(p, ".pdf"), Type: "application/pdf", Content: document},
		},
	})
	var e *mail.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &e) && e.Fault == mail.Refused:
		return ended(anchor.Faultf(anchor.MailRefused, nil, "no e-mail to %s is taken (%s): ask the publisher for the right address and write it in publication.mail_to", s.To, e.Message))
	case errors.As(err, &e) && e.Fault == mail.Misconfigured:
		return anchor.Faultf(anchor.MailMisconfigured, nil, "the mail server takes no e-mail of ours (%s): correct the settings smtp_* and mail_from", e.Message)
	}
	return anchor.Faultf(anchor.MailDown, nil, "the mail server did not take it (%v)", err)
}

// Folder writes notices into a folder, from which somebody takes them. Each file is whole or not there.
type Folder struct{ Path string }

// Send writes the notice as text and as PDF.
func (s *Folder) Send(_ context.Context, p publish.Publication) error {
	document, err := PDF(p)
	if err != nil {
		return err
	}
	for ending, content := range map[string][]byte{".txt": []byte(p.Text), ".pdf": document} {
		if err := s.write(FileName(p, ending), content); err != nil {
			return s.explain(err)
		}
	}
	return nil
}

func (s *Folder) write(name string, content []byte) (err error) {
	// The temporary name is always the same, so that crashes leave at most one behind, which the next try takes.
	temporary := filepath.Join(s.Path, "."+name+".part")
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(temporary, filepath.Join(s.Path, name))
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	if dir, err := os.Open(s.Path); err == nil { // so that the name outlives a power cut, where folders can be synced
		_ = dir.Sync()
		dir.Close()
	}
	return nil
}

func (s *Folder) explain(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return anchor.Faultf(anchor.FolderMissing, nil, "there is no folder %s: make it, or correct publication.folder", s.Path)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return anchor.Faultf(anchor.FolderFull, nil, "the disk of the folder %s is full: make room", s.Path)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return anchor.Faultf(anchor.FolderDenied, nil, "nothing may be written into the folder %s: give the user of datestoned the right to", s.Path)
	}
	return anchor.Faultf(anchor.FolderFailed, nil, "writing into the folder %s failed (%v)", s.Path, err)
}

// URL posts notices to an address, signed as webhooks are (https://www.standardwebhooks.com) when there is a secret. The
// webhook's id, which is the idempotency key too, is the notice's and always the same.
type URL struct {
	Client interface {
		Do(ctx context.Context, r *http.Request) (egress.Answer, error)
	}
	Address, Secret string
	Now             func() time.Time
}

// Posted is the body of the request.
type Posted struct {
	Type    string    `json:"type"` // publication.notice
	ID      string    `json:"id"`
	Made    time.Time `json:"made"`
	Title   string    `json:"title"`
	Purpose string    `json:"purpose"`
	Name    string    `json:"name"`
	Date    string    `json:"date"`
	Root    string    `json:"root"` // in hexadecimal
	Text    string    `json:"text"` // what is to be printed
	PDF     []byte    `json:"pdf"`  // the same as a page, in base64
}

// Send posts a notice.
func (s *URL) Send(ctx context.Context, p publish.Publication) error {
	document, err := PDF(p)
	if err != nil {
		return err
	}
	root := p.Notice.Root
	body, err := json.Marshal(Posted{
		Type: "publication.notice", ID: p.UID.String(), Made: p.Created, Title: p.Notice.Heading(), Purpose: root.Purpose, Name: root.Name,
		Date: root.Date, Root: fmt.Sprintf("%x", root.Hash), Text: p.Text, PDF: document,
	})
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.Address, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Idempotency-Key", p.UID.String())
	if s.Secret != "" {
		if err := api.SignWebhook(r.Header, []string{s.Secret}, p.UID.String(), s.Now(), body); err != nil {
			return err
		}
	}
	answer, err := s.Client.Do(ctx, r)
	if err != nil {
		return anchor.Faultf(anchor.URLDown, nil, "the publisher's URL does not answer (%v)", err)
	}
	switch status := answer.Status; {
	case status >= 200 && status <= 299:
		return nil
	case status >= 300 && status <= 399:
		return ended(anchor.Faultf(anchor.URLRefused, nil, "the publisher's URL answered %d: redirects are not followed, write the address that it leads to in publication.url", status))
	case status >= 400 && status <= 499 && status != http.StatusRequestTimeout && status != http.StatusConflict && status != http.StatusTooEarly && status != http.StatusTooManyRequests:
		return ended(anchor.Faultf(anchor.URLRefused, nil, "the publisher's URL answered %d: correct publication.url and publication.url_secret with the publisher", status))
	default:
		return anchor.Faultf(anchor.URLFailed, nil, "the publisher's URL answered %d: tell the publisher if it goes on", status)
	}
}
