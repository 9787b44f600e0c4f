package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/datestone/datestone/api"
	"github.com/datestone/datestone/internal/mail"
	"github.com/datestone/datestone/internal/mail/mailtest"
	"github.com/datestone/datestone/internal/notify"
	"github.com/datestone/datestone/internal/notify/letter"
	"github.com/datestone/datestone/ots"
)

// post delivers notices by e-mail until the test ends, by the clock of the rig.
func (r *rig) post(office *mailtest.Office) {
	r.t.Helper()
	client, err := mail.New(mail.Config{Address: office.Address, TLS: "implicit", RootCAs: office.RootCAs, From: "Datestone <stamps@example.org>"})
	if err != nil {
		r.t.Fatal(err)
	}
	sender := &letter.Sender{Client: client, Service: mail.Service{URI: testURI}, Store: r.db, Describe: r.server.Describe, Proof: r.server.Proof}
	loop := notify.New(r.db, map[string]notify.Sender{notify.Mail: sender}, notify.Options{Timeout: time.Minute, Now: r.config.Now, Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- loop.Run(ctx) }()
	r.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Error(err)
		}
	})
}

// await waits until something holds.
func (r *rig) await(what string, holds func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("%s: not within a minute", what)
		}
	}
}

// due waits until an account has so many notices in a state.
func (r *rig) due(owner int64, state notify.DeliveryState, n int) (all []notify.Delivery) {
	r.t.Helper()
	r.await(fmt.Sprintf("%d notices %v", n, state), func() bool {
		var err error
		if all, _, err = r.db.Deliveries(r.t.Context(), notify.Filter{Account: &owner, State: &state}, 10_000); err != nil {
			r.t.Fatal(err)
		}
		return len(all) == n
	})
	return all
}

// Who asked for e-mail is told once of what happens together, and no other; the first proofs are attached; a server that
// refuses gets it again; what is withdrawn is told; and one click ends it.
func TestLetters(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		office := mailtest.New(t)
		r.create(r.bKey, 5000)
		r.confirm() // what is kept from now on is told
		var hook api.EmailNotifications
		r.must(&hook, 200, "PUT", emailPath, r.aKey, "{}")
		r.post(office)
		mine := r.create(r.aKey, 0)
		r.create(r.bKey, 1)
		r.confirm()
		r.due(r.a.ID, notify.Due, 1)
		if len(office.Letters()) != 0 {
			t.Error("it did not wait for more")
		}
		office.Refuse(451)
		r.clock.Add(int64(10 * time.Minute))
		r.await("a refusal", func() bool {
			r.must(&hook, 200, "GET", emailPath, r.aKey, "")
			return hook.Failures == 1
		})
		if all := r.due(r.a.ID, notify.Due, 1); all[0].Tries != 1 || all[0].Status != 451 {
			t.Errorf("%+v", all)
		}
		office.Refuse(0)
		r.clock.Add(int64(2 * time.Minute))
		told := r.due(r.a.ID, notify.Done, 1)[0]
		if len(office.Letters()) != 1 {
			t.Fatalf("%d e-mails", len(office.Letters()))
		}
		l := office.Letters()[0]
		off := strings.TrimSuffix(strings.TrimPrefix(l.Header.Get("List-Unsubscribe"), "<"), ">")
		if l.To != "a@example.org" || l.Header.Get("Subject") != "Timestamp confirmed: plan 0.pdf" || l.Header.Get("Message-Id") != "<"+told.Notice.UID.String()+"@example.org>" ||
			l.Header.Get("List-Unsubscribe-Post") != "List-Unsubscribe=One-Click" || len(off) != len(testURI)+len("/unsubscribe/")+64 {
			t.Errorf("to %s with %v", l.To, l.Header)
		}
		for _, text := range []string{l.Text, l.HTML} {
			for _, words := range []string{off, mine.SHA256Hash, mine.CertificateURL, "plan 0.pdf"} {
				if !strings.Contains(text, words) {
					t.Errorf("%q is missing in\n%s", words, text)
				}
			}
		}
		if f, err := ots.ParseFile(l.Files["plan 0.pdf.ots"]); err != nil || fmt.Sprintf("%x", f.Digest) != mine.SHA256Hash || !complete(f) {
			t.Errorf("the attached proof: %v, %v", f, err)
		}

		// Many at once are one e-mail.
		const many = 60
		items := make([]json.RawMessage, many)
		for i := range items {
			items[i] = json.RawMessage(createBody(100 + i))
		}
		body, err := json.Marshal(map[string]any{"items": items})
		if err != nil {
			t.Fatal(err)
		}
		r.must(nil, 201, "POST", "/api/v1/timestamps/batch", r.aKey, string(body))
		r.confirm()
		r.due(r.a.ID, notify.Due, many)
		r.clock.Add(int64(11 * time.Minute))
		r.due(r.a.ID, notify.Done, many+1)
		if len(office.Letters()) != 2 {
			t.Fatalf("%d e-mails", len(office.Letters()))
		}
		l = office.Letters()[1]
		if l.Header.Get("Subject") != "60 timestamps confirmed" || len(l.Files) != letter.Listed || !strings.Contains(l.Text, "And 40 more") || !strings.Contains(l.HTML, "And 40 more") ||
			strings.Count(l.Text, "SHA-256: ") != letter.Listed || !strings.Contains(l.Text, off) {
			t.Errorf("%v, %d files\n%s", l.Header, len(l.Files), l.Text)
		}
		for name, content := range l.Files {
			if f, err := ots.ParseFile(content); err != nil || !complete(f) {
				t.Errorf("%s: %v, %v", name, f, err)
			}
		}

		r.withdraw()
		r.due(r.a.ID, notify.Due, many)
		r.clock.Add(int64(11 * time.Minute))
		r.due(r.a.ID, notify.Done, 2*many+1)
		if len(office.Letters()) != 3 {
			t.Fatalf("%d e-mails", len(office.Letters()))
		}
		if l = office.Letters()[2]; l.Header.Get("Subject") != "60 timestamps no longer confirmed" || len(l.Files) != 0 || !strings.Contains(l.Text, "Do not rely on those confirmations") {
			t.Errorf("%v, %d files\n%s", l.Header, len(l.Files), l.Text)
		}

		// What came and went before the e-mail is told as it is then.
		r.connect(r.nextBlock(), 1)
		r.confirm()
		r.due(r.a.ID, notify.Due, many)
		r.withdraw()
		r.due(r.a.ID, notify.Due, 2*many)
		r.clock.Add(int64(11 * time.Minute))
		r.due(r.a.ID, notify.Done, 4*many+1)
		if all := office.Letters(); len(all) != 4 || all[3].Header.Get("Subject") != "60 timestamps no longer confirmed" {
			t.Fatalf("%d e-mails, the last %v", len(all), all[len(all)-1].Header)
		}

		r.unsubscribes(strings.TrimPrefix(off, testURI))
		r.connect(r.nextBlock(), 1)
		r.confirm()
		r.create(r.aKey, 6000)
		r.confirm()
		r.await("the walk", func() bool {
			more, err := r.db.Walk(t.Context(), r.config.Now())
			return err == nil && !more
		})
		r.due(r.a.ID, notify.Due, 0)
		if len(office.Letters()) != 4 {
			t.Errorf("%d e-mails", len(office.Letters()))
		}
		if wrong, err := r.db.CheckNotices(t.Context(), 10); err != nil || len(wrong) != 0 {
			t.Errorf("%v, %v", wrong, err)
		}
	})
}

func complete(f *ots.File) bool {
	_, bitcoin := f.Timestamp.Shrink()
	return bitcoin
}

// unsubscribes holds the page at a path to what it promises, and leaves a's e-mail switched off.
func (r *rig) unsubscribes(path string) {
	r.t.Helper()
	page := letter.NewOff(letter.OffConfig{Store: r.db, Log: r.config.Log})
	ask := func(method, path string, body io.Reader, want int) string {
		r.t.Helper()
		req := httptest.NewRequest(method, path, body)
		if body != nil {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		w := httptest.NewRecorder()
		if !page.Serves(req.URL.Path) {
			r.t.Fatalf("%s is not served", path)
		}
		page.ServeHTTP(w, req)
		if w.Code != want || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") || w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Referrer-Policy") != "no-referrer" {
			r.t.Errorf("%s %s: %d %v", method, path, w.Code, w.Header())
		}
		return w.Body.String()
	}
	on := func() bool {
		var got api.EmailNotifications
		r.must(&got, 200, "GET", emailPath, r.aKey, "")
		return got.Enabled
	}
	flipped := []byte(path)
	flipped[len(flipped)-1] ^= 1
	unknown := []string{string(flipped), path[:len(path)-1], path + "00", "/unsubscribe/", "/unsubscribe/../../etc", "/unsubscribe/" + strings.Repeat("0", 64), "/unsubscribe/" + strings.Repeat("f", 5000)}
	asked := ask("GET", path, nil, 200)
	if !strings.Contains(asked, `<form method="post">`) || !strings.Contains(asked, "<button>Switch it off</button>") {
		r.t.Errorf("the page asks\n%s", asked)
	}
	ask("HEAD", path, nil, 200)
	ask("DELETE", path, nil, 405)
	var done string
	for _, p := range unknown {
		if got := ask("GET", p, nil, 200); got != asked {
			r.t.Errorf("%s looks different:\n%s", p, got)
		}
		done = ask("POST", p, strings.NewReader("List-Unsubscribe=One-Click"), 200)
	}
	if !on() {
		r.t.Fatal("it was switched off by another address, or by reading it")
	}
	for _, body := range []io.Reader{strings.NewReader("List-Unsubscribe=One-Click"), nil, strings.NewReader(strings.Repeat("a", 1<<20))} {
		if got := ask("POST", path, body, 200); got != done || !strings.Contains(got, "E-mail is off") {
			r.t.Errorf("one that is in use looks different:\n%s", got)
		}
		if on() {
			r.t.Fatal("it was not switched off")
		}
	}
	codes := make(map[int]bool)
	for range 400 {
		w := httptest.NewRecorder()
		page.ServeHTTP(w, httptest.NewRequest("POST", path, nil))
		codes[w.Code] = true
	}
	if len(codes) != 2 || !codes[http.StatusTooManyRequests] {
		r.t.Errorf("400 requests in a minute: %v", codes)
	}
}
