package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/datestone/datestone/api"
	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/egress"
	"github.com/datestone/datestone/internal/notify"
	"github.com/datestone/datestone/internal/seal"
)

// fake answers without a network, and keeps what it was asked.
type fake struct {
	answer egress.Answer
	err    error
	asked  []*http.Request
	bodies []string
}

func (f *fake) Do(_ context.Context, r *http.Request) (egress.Answer, error) {
	b := make([]byte, r.ContentLength)
	r.Body.Read(b)
	f.asked, f.bodies = append(f.asked, r), append(f.bodies, string(b))
	return f.answer, f.err
}

var now = time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)

func newSender(t *testing.T) (*Sender, *fake, notify.Endpoint, string) {
	t.Helper()
	key, err := seal.New(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{answer: egress.Answer{Status: 200}}
	s := &Sender{Client: f, Secrets: key, Now: func() time.Time { return now }, Describe: func(_ context.Context, n notify.Notice) (api.EventData, error) {
		return api.EventData{Target: n.Target, Timestamp: &api.Timestamp{ID: n.Stamp.String(), Filename: "a <b> & c"}}, nil
	}}
	e := notify.Endpoint{ID: 1, UID: account.NewID(), Account: 7, Channel: notify.Webhook, Address: "https://hooks.test/a"}
	secret := api.NewWebhookSecret()
	e.Secret = SealSecret(key, e.UID, secret)
	return s, f, e, secret
}

func TestSend(t *testing.T) {
	s, f, e, secret := newSender(t)
	n := notify.Notice{UID: account.NewID(), Account: 7, Stamp: account.NewID(), Target: "bitcoin", Kind: notify.Confirmed, Created: now.Add(-time.Hour)}
	if o := s.Send(t.Context(), e, n); o.Err != nil || o.Status != 200 {
		t.Fatalf("%+v", o)
	}
	r := f.asked[0]
	event, err := api.VerifyWebhookAt(now, []string{secret}, r.Header, []byte(f.bodies[0]))
	if err != nil || event.Type != api.EventConfirmed || event.ID != n.UID.String() || !event.Timestamp.Equal(n.Created) || event.Data.Timestamp.Filename != "a <b> & c" {
		t.Errorf("%+v, %v", event, err)
	}
	if r.Method != "POST" || r.URL.String() != e.Address || r.Header.Get("Content-Type") != "application/json" || !strings.Contains(f.bodies[0], "a <b> & c") {
		t.Errorf("%s %s %v %s", r.Method, r.URL, r.Header, f.bodies[0])
	}

	// While secrets are rotated both sign; later only the new one does.
	other := api.NewWebhookSecret()
	e.OldSecret, e.Secret, e.OldUntil = e.Secret, SealSecret(s.Secrets, e.UID, other), now.Add(time.Second)
	s.Send(t.Context(), e, n)
	e.OldUntil = now
	s.Send(t.Context(), e, n)
	for i, want := range []struct{ old, fresh bool }{1: {true, true}, 2: {false, true}} {
		if i == 0 {
			continue
		}
		_, old := api.VerifyWebhookAt(now, []string{secret}, f.asked[i].Header, []byte(f.bodies[i]))
		_, fresh := api.VerifyWebhookAt(now, []string{other}, f.asked[i].Header, []byte(f.bodies[i]))
		if (old == nil) != want.old || (fresh == nil) != want.fresh {
			t.Errorf("try %d: the old secret %v, the new one %v", i, old, fresh)
		}
		if f.asked[i].Header.Get(api.HeaderWebhookID) != n.UID.String() {
			t.Error("the webhook's id is not the notice's")
		}
	}
}

func TestOutcomes(t *testing.T) {
	s, f, e, _ := newSender(t)
	n := notify.Notice{UID: account.NewID(), Kind: notify.Test}
	for name, c := range map[string]struct {
		answer egress.Answer
		err    error
		want   notify.Outcome
		says   string
	}{
		"created":              {answer: egress.Answer{Status: 201}, want: notify.Outcome{Status: 201}},
		"a redirect":           {answer: egress.Answer{Status: 302}, want: notify.Outcome{Status: 302}, says: "redirects are not followed"},
		"an error":             {answer: egress.Answer{Status: 500}, want: notify.Outcome{Status: 500}, says: "answered 500"},
		"gone":                 {answer: egress.Answer{Status: 410}, want: notify.Outcome{Status: 410, Gone: true}, says: "answered 410"},
		"seconds":              {answer: egress.Answer{Status: 429, Header: http.Header{"Retry-After": {"90"}}}, want: notify.Outcome{Status: 429, RetryAfter: 90 * time.Second}, says: "429"},
		"a date":               {answer: egress.Answer{Status: 503, Header: http.Header{"Retry-After": {now.Add(time.Hour).Format(http.TimeFormat)}}}, want: notify.Outcome{Status: 503, RetryAfter: time.Hour}, says: "503"},
		"a past date":          {answer: egress.Answer{Status: 503, Header: http.Header{"Retry-After": {now.Add(-time.Hour).Format(http.TimeFormat)}}}, want: notify.Outcome{Status: 503}, says: "503"},
		"for ever":             {answer: egress.Answer{Status: 503, Header: http.Header{"Retry-After": {"999999999999"}}}, want: notify.Outcome{Status: 503}, says: "503"},
		"negative":             {answer: egress.Answer{Status: 503, Header: http.Header{"Retry-After": {"-5"}}}, want: notify.Outcome{Status: 503}, says: "503"},
		"no answer":            {err: &egress.Error{Message: "the connection was refused", Err: errors.New("dial tcp 10.1.2.3:443")}, says: "the connection was refused"},
		"an address of inside": {err: &egress.Error{Message: "the host has no address on the public internet", Err: egress.ErrInside}, says: "no address on the public internet"},
	} {
		f.answer, f.err = c.answer, c.err
		o := s.Send(t.Context(), e, n)
		if o.Status != c.want.Status || o.Gone != c.want.Gone || name != "for ever" && o.RetryAfter != c.want.RetryAfter || (o.Err != nil) != (c.says != "") {
			t.Errorf("%s: %+v", name, o)
		}
		if o.Err != nil && (!strings.Contains(o.Err.Error(), c.says) || strings.Contains(o.Err.Error(), "10.1.2.3") || errors.Is(o.Err, notify.ErrOurFault)) {
			t.Errorf("%s: %v", name, o.Err)
		}
	}
	s.Describe = func(context.Context, notify.Notice) (api.EventData, error) {
		return api.EventData{}, errors.New("the database is away")
	}
	n.Kind = notify.Confirmed
	asked := len(f.asked)
	if o := s.Send(t.Context(), e, n); !errors.Is(o.Err, notify.ErrOurFault) {
		t.Errorf("%+v", o)
	}
	s.Describe = func(context.Context, notify.Notice) (api.EventData, error) { return api.EventData{}, ErrNothing }
	if o := s.Send(t.Context(), e, n); o.Err == nil || errors.Is(o.Err, notify.ErrOurFault) {
		t.Errorf("%+v", o)
	}
	e.Secret = []byte("rubbish")
	n.Kind = notify.Test
	if o := s.Send(t.Context(), e, n); o.Err == nil || !strings.Contains(o.Err.Error(), "rotate it") {
		t.Errorf("%+v", o)
	}
	if len(f.asked) != asked {
		t.Error("something was sent that could not be made")
	}
	// After a rotation the one that cannot be read does not matter.
	e.OldSecret, e.OldUntil = e.Secret, now.Add(time.Hour)
	secret := api.NewWebhookSecret()
	e.Secret, f.answer, f.err = SealSecret(s.Secrets, e.UID, secret), egress.Answer{Status: 200}, nil
	if o := s.Send(t.Context(), e, n); o.Err != nil {
		t.Errorf("%+v", o)
	} else if _, err := api.VerifyWebhookAt(now, []string{secret}, f.asked[asked].Header, []byte(f.bodies[asked])); err != nil {
		t.Error(err)
	}
	if len(f.asked) != asked+1 {
		t.Error("something was sent that could not be made")
	}
}

func TestOperator(t *testing.T) {
	s, _, _, _ := newSender(t)
	f := &fake{answer: egress.Answer{Status: 200}}
	s.Operator = f
	e := notify.Endpoint{Channel: notify.Webhook, Address: "http://alerts.internal/"}
	n := notify.Notice{UID: account.NewID(), Target: "bitcoin", Kind: notify.Trouble, Ref: "no_funds", Message: "Send coins."}
	s.Send(t.Context(), e, n)
	s.OperatorSecret = api.NewWebhookSecret()
	if o := s.Send(t.Context(), e, n); o.Err != nil {
		t.Fatal(o.Err)
	}
	if len(f.asked) != 2 || f.asked[0].Header.Get(api.HeaderWebhookSignature) != "" || f.asked[0].Header.Get(api.HeaderWebhookID) == "" {
		t.Fatalf("without a secret: %v", f.asked)
	}
	event, err := api.VerifyWebhookAt(now, []string{s.OperatorSecret}, f.asked[1].Header, []byte(f.bodies[1]))
	if err != nil || event.Type != api.EventTarget || event.Data.Target != "bitcoin" || event.Data.Status != "no_funds" || event.Data.Message != "Send coins." {
		t.Errorf("%+v, %v", event, err)
	}
	var plain map[string]any
	if err := json.Unmarshal([]byte(f.bodies[0]), &plain); err != nil || plain["type"] != "target.status" {
		t.Errorf("%v, %v", plain, err)
	}
}

// Every kind has a name in the API, and customers may ask for those of stamps alone.
func TestKinds(t *testing.T) {
	for _, name := range api.EventTypes() {
		kind, ok := Kind(name)
		if !ok || Event(kind) != name || !notify.Set(kind).Has(kind) {
			t.Errorf("%s is %q, %v", name, kind, ok)
		}
	}
	for _, name := range []api.EventType{"", "timestamp.eaten", api.EventTest, api.EventTarget} {
		if kind, ok := Kind(name); ok {
			t.Errorf("%q is %q", name, kind)
		}
	}
}
