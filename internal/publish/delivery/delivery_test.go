package delivery

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/datestone/datestone/api"
	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/egress"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/mail"
	"github.com/datestone/datestone/internal/publish"
)

var now = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)

func sample(language publish.Language) publish.Publication {
	head := logtree.Head{Epoch: 2, Size: 12345, Root: [32]byte{1, 2, 3, 31: 9}}
	n := publish.Notice{Title: "Öffentliche Anzeige", Service: "https://stamps.example.org", Explains: "https://stamps.example.org/publications", Language: language, Root: publish.RootOf(head, now)}
	return publish.Publication{ID: 7, UID: account.ID{1: 7}, Notice: n, Head: head, Text: n.Text(), Created: now}
}

// codeOf says which state an error is, and whether no other try ends it.
func codeOf(err error) string {
	text := string(anchor.CodeOf(err))
	if e := (*publish.Ended)(nil); errors.As(err, &e) {
		text += ", ended"
	}
	return text
}

type post struct {
	err error
	all []mail.Message
}

func (p *post) Send(_ context.Context, m mail.Message) error {
	p.all = append(p.all, m)
	return p.err
}

func TestMail(t *testing.T) {
	p := &post{}
	s := &Mail{Client: p, To: "notices@paper.test"}
	notice := sample(publish.German)
	for range 2 {
		if err := s.Send(t.Context(), notice); err != nil {
			t.Fatal(err)
		}
	}
	m := p.all[0]
	if diff := cmp.Diff(m, p.all[1]); diff != "" {
		t.Errorf("sent again it is another message: %s", diff)
	}
	if m.To != s.To || m.ID != notice.UID.String() || !m.Date.Equal(now) || !strings.Contains(m.Text, notice.Text) || !strings.Contains(m.HTML, "Prüfzeichen") ||
		len(m.Attachments) != 2 || string(m.Attachments[0].Content) != notice.Text || !bytes.HasPrefix(m.Attachments[1].Content, []byte("%PDF-")) {
		t.Errorf("%+v", m)
	}
	for _, c := range []struct {
		err  error
		want string
	}{
		{&mail.Error{Fault: mail.Temporary, Message: "no answer"}, "mail_down"},
		{&mail.Error{Fault: mail.Misconfigured, Message: "535"}, "mail_misconfigured"},
		{&mail.Error{Fault: mail.Refused, Message: "550 no such user"}, "mail_refused, ended"},
		{context.DeadlineExceeded, "mail_down"},
	} {
		p.err = c.err
		if got := codeOf(s.Send(t.Context(), notice)); got != c.want {
			t.Errorf("%v: %s, want %s", c.err, got, c.want)
		}
	}
}

func TestFolder(t *testing.T) {
	notice := sample(publish.English)
	dir := t.TempDir()
	s := &Folder{Path: dir}
	// What a crash left behind is in nobody's way.
	if err := os.WriteFile(filepath.Join(dir, "."+FileName(notice, ".txt")+".part"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Send(t.Context(), notice); err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(dir)
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		if diff := cmp.Diff([]string{"datestone-2026-11-23-log-2-12345.pdf", "datestone-2026-11-23-log-2-12345.txt"}, names); diff != "" || err != nil {
			t.Error(diff, err)
		}
		if b, err := os.ReadFile(filepath.Join(dir, FileName(notice, ".txt"))); err != nil || string(b) != notice.Text {
			t.Errorf("%q, %v", b, err)
		}
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for where, want := range map[string]string{filepath.Join(dir, "none"): "folder_missing", file: "folder_missing"} {
		if got := codeOf((&Folder{Path: where}).Send(t.Context(), notice)); got != want {
			t.Errorf("%s: %s, want %s", where, got, want)
		}
	}
	for cause, want := range map[error]string{
		syscall.ENOSPC: "folder_full", syscall.EDQUOT: "folder_full", syscall.EACCES: "folder_denied", syscall.EROFS: "folder_denied", syscall.EIO: "folder_failed",
	} {
		if got := codeOf(s.explain(&os.PathError{Op: "write", Path: dir, Err: cause})); got != want {
			t.Errorf("%v: %s, want %s", cause, got, want)
		}
	}
	// A real disk without room, where the kernel has one.
	if _, err := os.Stat("/dev/full"); err == nil {
		full := t.TempDir()
		if err := os.Symlink("/dev/full", filepath.Join(full, "."+FileName(notice, ".txt")+".part")); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("/dev/full", filepath.Join(full, "."+FileName(notice, ".pdf")+".part")); err != nil {
			t.Fatal(err)
		}
		if got := codeOf((&Folder{Path: full}).Send(t.Context(), notice)); got != "folder_full" {
			t.Errorf("on a full disk: %s", got)
		}
	}
}

type asked struct {
	status int
	err    error
	last   *http.Request
	body   []byte
}

func (a *asked) Do(_ context.Context, r *http.Request) (egress.Answer, error) {
	a.last = r
	a.body, _ = io.ReadAll(r.Body)
	return egress.Answer{Status: a.status}, a.err
}

func TestURL(t *testing.T) {
	notice := sample(publish.English)
	secret := api.NewWebhookSecret()
	a := &asked{status: 204}
	s := &URL{Client: a, Address: "https://paper.test/notices", Secret: secret, Now: func() time.Time { return now }}
	if err := s.Send(t.Context(), notice); err != nil {
		t.Fatal(err)
	}
	var got Posted
	if err := json.Unmarshal(a.body, &got); err != nil || got.Text != notice.Text || got.ID != notice.UID.String() || got.Root != fmt.Sprintf("%x", notice.Head.Root) || !bytes.HasPrefix(got.PDF, []byte("%PDF-")) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := api.VerifyWebhookAt(now, []string{secret}, a.last.Header, a.body); err != nil && !strings.Contains(err.Error(), "type") {
		t.Errorf("the signature: %v", err)
	}
	if a.last.Header.Get("Idempotency-Key") != notice.UID.String() || a.last.Header.Get("webhook-id") != notice.UID.String() {
		t.Errorf("%v", a.last.Header)
	}
	for status, want := range map[int]string{301: "url_refused, ended", 404: "url_refused, ended", 410: "url_refused, ended", 429: "url_failed", 500: "url_failed", 503: "url_failed"} {
		a.status = status
		if got := codeOf(s.Send(t.Context(), notice)); got != want {
			t.Errorf("%d: %s, want %s", status, got, want)
		}
	}
	a.err = &egress.Error{Message: "the connection was refused", Err: syscall.ECONNREFUSED}
	if got := codeOf(s.Send(t.Context(), notice)); got != "url_down" {
		t.Error(got)
	}
}

func TestPDF(t *testing.T) {
	for _, language := range []publish.Language{publish.English, publish.German} {
		p := sample(language)
		first, err := PDF(p)
		if err != nil {
			t.Fatal(err)
		}
		again, err := PDF(p)
		if err != nil || !bytes.Equal(first, again) {
			t.Errorf("made again the PDF is another one, %v", err)
		}
		if dir := os.Getenv("DATESTONE_KEEP_PDF"); dir != "" {
			if err := os.WriteFile(filepath.Join(dir, "notice-"+string(language)+".pdf"), first, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for title, want := range map[string]bool{"Öffentliche Anzeige – Südkurier": true, "Δημόσια": true, "公告": false, " a": false, "a\nb": false, strings.Repeat("a", 81): false} {
		if err := CheckTitle(title); (err == nil) != want {
			t.Errorf("%q: %v", title, err)
		}
	}
}
