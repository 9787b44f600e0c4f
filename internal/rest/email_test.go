package rest

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/datestone/datestone/api"
	"github.com/datestone/datestone/internal/notify"
)

const emailPath = "/api/v1/notifications/email"

// E-mail is off until the account asks for it, is at its own address whatever is asked, and is off again when it says so.
func TestEmail(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		both := []api.EventType{api.EventConfirmed, api.EventWithdrawn}
		var got api.EmailNotifications
		want := func(what string, enabled bool, events ...api.EventType) {
			t.Helper()
			expected := api.EmailNotifications{Available: true, Enabled: enabled, Address: "a@example.org", Events: append([]api.EventType{}, events...)}
			if diff := cmp.Diff(expected, got); diff != "" {
				t.Errorf("%s:\n%s", what, diff)
			}
		}
		r.must(&got, 200, "GET", emailPath, r.aKey, "")
		want("before it was asked for", false)
		r.must(nil, 204, "DELETE", emailPath, r.aKey, "")
		r.must(&got, 200, "PUT", emailPath, r.aKey, `{"address":"victim@example.org","email":"victim@example.org"}`)
		want("with another's address", true, both...)
		first, err := r.db.Mail(t.Context(), r.a.ID)
		if err != nil || first.Address != "a@example.org" || first.Gather != 10*time.Minute || len(first.Secret) != 16 {
			t.Fatalf("%+v, %v", first, err)
		}
		r.must(&got, 200, "PUT", emailPath, r.aKey, `{"events":["timestamp.confirmed"]}`)
		want("with one event", true, api.EventConfirmed)
		r.must(&got, 200, "GET", emailPath, r.aKey, "")
		want("asked again", true, api.EventConfirmed)
		for _, body := range []string{`{"events":[]}`, `{"events":"timestamp.confirmed"}`, `{"events":["proof.upgraded"]}`, `{"events":["timestamp.confirmed","timestamp.anchored"]}`} {
			if a := r.do("PUT", emailPath, r.aKey, body); a.status != 400 || !strings.Contains(a.body, "INVALID_EVENTS") || !strings.Contains(a.body, "some of timestamp.confirmed, timestamp.withdrawn.") {
				t.Errorf("%s: %d %s", body, a.status, a.body)
			}
		}
		again, err := r.db.Mail(t.Context(), r.a.ID)
		if err != nil || again.ID != first.ID || string(again.Secret) != string(first.Secret) || again.Kinds != notify.Set(notify.Confirmed) {
			t.Errorf("%+v, %v; before %+v", again, err, first)
		}
		r.must(&got, 200, "GET", emailPath, r.bKey, "")
		if got.Enabled || got.Address != "b@example.org" {
			t.Errorf("another tenant gets %+v", got)
		}
		// It is no webhook, and can neither be seen nor changed as one.
		var hooks api.Webhooks
		r.must(&hooks, 200, "GET", "/api/v1/webhooks", r.aKey, "")
		if a := r.do("DELETE", "/api/v1/webhooks/"+first.UID.String(), r.aKey, ""); len(hooks.Data) != 0 || a.status != 404 {
			t.Errorf("webhooks %+v, %d %s", hooks, a.status, a.body)
		}
		for range 2 {
			r.must(nil, 204, "DELETE", emailPath, r.aKey, "")
		}
		r.must(&got, 200, "GET", emailPath, r.aKey, "")
		want("switched off", false)
		if wrong, err := r.db.CheckNotices(t.Context(), 10); err != nil || len(wrong) != 0 {
			t.Errorf("%v, %v", wrong, err)
		}
	})
}

// A service without a mail server says so, and so does one that cannot write to the account's address.
func TestNoEmail(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		odd, oddKey := r.account("bücher@example.org", "fast")
		refused := func(key, message string) {
			t.Helper()
			if a := r.do("PUT", emailPath, key, "{}"); a.status != 503 || !strings.Contains(a.body, "SERVICE_UNAVAILABLE") || !strings.Contains(a.body, message) {
				t.Errorf("%d %s, want %q", a.status, a.body, message)
			}
			var got api.EmailNotifications
			if r.must(&got, 200, "GET", emailPath, key, ""); got.Available || got.Enabled {
				t.Errorf("%+v", got)
			}
		}
		refused(oddKey, "sends no e-mail to the account's address: ")
		r.restart(func(c *Config) { c.CheckMail = nil })
		refused(r.aKey, "This service sends no e-mail.")
		for _, id := range []int64{odd.ID, r.a.ID} {
			if _, err := r.db.Mail(t.Context(), id); err == nil {
				t.Errorf("account %d gets e-mail", id)
			}
		}
	})
}
