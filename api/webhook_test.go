package api

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// The vector of the specification's reference libraries.
const (
	vectorSecret    = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	vectorID        = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	vectorBody      = `{"test": 2432232314}`
	vectorSeconds   = 1614265330
	vectorSignature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
)

var vectorTime = time.Unix(vectorSeconds, 0)

func vectorHeader() http.Header {
	h := make(http.Header)
	h.Set("webhook-id", vectorID)
	h.Set("webhook-timestamp", strconv.Itoa(vectorSeconds))
	h.Set("webhook-signature", vectorSignature)
	return h
}

func TestWebhookVector(t *testing.T) {
	h := make(http.Header)
	if err := SignWebhook(h, []string{vectorSecret}, vectorID, vectorTime, []byte(vectorBody)); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(vectorHeader(), h); d != "" {
		t.Error(d)
	}
	e, err := VerifyWebhookAt(vectorTime, []string{vectorSecret}, vectorHeader(), []byte(vectorBody))
	if err != nil || e.ID != vectorID {
		t.Errorf("%+v, %v", e, err)
	}
}

var anEvent = Event{
	Type:      EventConfirmed,
	Timestamp: Time{time.Date(2026, 5, 1, 10, 0, 0, 123e6, time.UTC)},
	Data: EventData{
		Timestamp: &Timestamp{ID: "5c0bd1d2-8a0c-4b9e-9a0e-3f4ad5e2f001", SHA256Hash: strings.Repeat("ab", 32), Filename: "plan.pdf", FileSizeBytes: 3, Status: StatusConfirmed},
		Target:    "bitcoin",
		Attestation: &EventAttestation{
			Network: "mainnet", BlockHeight: 900000, BlockHash: strings.Repeat("0", 64), BlockTime: Time{time.Date(2026, 5, 1, 9, 0, 0, 0, time.UTC)},
			Transaction: strings.Repeat("1", 64), Confirmations: 6,
		},
	},
}

func TestEvent(t *testing.T) {
	body, err := json.Marshal(anEvent)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`{"type":"timestamp.confirmed","timestamp":"2026-05-01T10:00:00.123Z","data":{"timestamp":{"id":"5c0bd1d2-`,
		`},"target":"bitcoin","attestation":{"network":"mainnet","test_network":false,"block_height":900000,"block_hash":"0`,
		`","block_time":"2026-05-01T09:00:00.000Z","transaction":"1`, `","confirmations":6}}}`,
	} {
		if !bytes.Contains(body, []byte(want)) {
			t.Errorf("%s lacks %s", body, want)
		}
	}
	header := make(http.Header)
	secret := NewWebhookSecret()
	if err := SignWebhook(header, []string{secret}, "msg_1", vectorTime, body); err != nil {
		t.Fatal(err)
	}
	got, err := VerifyWebhookAt(vectorTime, []string{secret}, header, body)
	if err != nil {
		t.Fatal(err)
	}
	want := anEvent
	want.ID = "msg_1"
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if body, err := json.Marshal(Event{Type: EventTest, Timestamp: anEvent.Timestamp}); err != nil || string(body) != `{"type":"webhook.test","timestamp":"2026-05-01T10:00:00.123Z","data":{}}` {
		t.Errorf("%s, %v", body, err)
	}
}

// The reference library believes what we sign, and we what it signs, now and with several secrets.
func TestWebhookSameAsReference(t *testing.T) {
	secrets := []string{NewWebhookSecret(), NewWebhookSecret()}
	now := time.Now()
	body := []byte(`{"type":"webhook.test","timestamp":"2026-05-01T10:00:00.000Z","data":{}}`)
	ours := make(http.Header)
	if err := SignWebhook(ours, secrets, "msg_1", now, body); err != nil {
		t.Fatal(err)
	}
	if len(strings.Split(ours.Get(HeaderWebhookSignature), " ")) != 2 {
		t.Errorf("two secrets sign %q", ours.Get(HeaderWebhookSignature))
	}
	for i, s := range secrets {
		reference, err := standardwebhooks.NewWebhook(s)
		if err != nil {
			t.Fatal(err)
		}
		if err := reference.Verify(body, ours); err != nil {
			t.Errorf("secret %d: the reference does not believe ours: %v", i, err)
		}
		signature, err := reference.Sign("msg_1", now, body)
		if err != nil {
			t.Fatal(err)
		}
		theirs := ours.Clone()
		theirs.Set(HeaderWebhookSignature, signature)
		if e, err := VerifyWebhook(secrets, theirs, body); err != nil || e.Type != EventTest {
			t.Errorf("secret %d: the reference's gives %+v, %v", i, e, err)
		}
		// Either side of a rotation.
		if _, err := VerifyWebhook([]string{s}, ours, body); err != nil {
			t.Errorf("secret %d alone: %v", i, err)
		}
	}
	if _, err := VerifyWebhook([]string{NewWebhookSecret()}, ours, body); !errors.Is(err, ErrWebhookSignature) {
		t.Errorf("another secret gives %v", err)
	}
}

func TestVerifyWebhookRefuses(t *testing.T) {
	signature := vectorSignature[len(signaturePrefix):]
	raw, err := base64.StdEncoding.DecodeString(signature)
	if err != nil {
		t.Fatal(err)
	}
	set := func(name, value string) func(http.Header) {
		return func(h http.Header) { h.Set(name, value) }
	}
	wrong := "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc="
	for _, c := range []struct {
		name   string
		change func(http.Header)
		body   string
		after  time.Duration
		want   error // nil is believed
	}{
		{name: "nothing changed"},
		{name: "no id", change: func(h http.Header) { h.Del(HeaderWebhookID) }, want: ErrWebhookHeaders},
		{name: "no time", change: func(h http.Header) { h.Del(HeaderWebhookTimestamp) }, want: ErrWebhookHeaders},
		{name: "no signature", change: func(h http.Header) { h.Del(HeaderWebhookSignature) }, want: ErrWebhookHeaders},
		{name: "no headers", change: func(h http.Header) { clear(h) }, want: ErrWebhookHeaders},
		{name: "another id", change: set(HeaderWebhookID, "msg_2"), want: ErrWebhookSignature},
		{name: "an id with a full stop", change: set(HeaderWebhookID, vectorID+".1"), want: ErrWebhookHeaders},
		{name: "a long id", change: set(HeaderWebhookID, strings.Repeat("a", 129)), want: ErrWebhookHeaders},
		{name: "another time", change: set(HeaderWebhookTimestamp, "1614265331"), want: ErrWebhookSignature},
		{name: "no number", change: set(HeaderWebhookTimestamp, "yesterday"), want: ErrWebhookHeaders},
		{name: "a number with a sign", change: set(HeaderWebhookTimestamp, "+1614265330"), want: ErrWebhookHeaders},
		{name: "a fraction", change: set(HeaderWebhookTimestamp, "1614265330.0"), want: ErrWebhookHeaders},
		{name: "a time beyond all times", change: set(HeaderWebhookTimestamp, "9223372036854775807"), want: ErrWebhookHeaders},
		{name: "another body", body: `{"test": 2432232315}`, want: ErrWebhookSignature},
		{name: "a body with a space", body: vectorBody + " ", want: ErrWebhookSignature},
		{name: "a wrong signature", change: set(HeaderWebhookSignature, wrong), want: ErrWebhookSignature},
		{name: "half a signature", change: set(HeaderWebhookSignature, "v1,"+base64.StdEncoding.EncodeToString(raw[:16])), want: ErrWebhookSignature},
		{name: "an empty signature", change: set(HeaderWebhookSignature, "v1,"), want: ErrWebhookSignature},
		{name: "no version", change: set(HeaderWebhookSignature, signature), want: ErrWebhookSignature},
		{name: "another version", change: set(HeaderWebhookSignature, "v2,"+signature), want: ErrWebhookSignature},
		{name: "an asymmetric one", change: set(HeaderWebhookSignature, "v1a,"+signature), want: ErrWebhookSignature},
		{name: "among others", change: set(HeaderWebhookSignature, wrong+" v2,"+signature+" "+vectorSignature+" "+wrong)},
		{name: "after more than are looked at", change: set(HeaderWebhookSignature, strings.Repeat(wrong+" ", maxSignatures)+vectorSignature), want: ErrWebhookSignature},
		{name: "five minutes late", after: WebhookTolerance},
		{name: "later", after: WebhookTolerance + time.Second, want: ErrWebhookTime},
		{name: "five minutes early", after: -WebhookTolerance},
		{name: "earlier", after: -WebhookTolerance - time.Second, want: ErrWebhookTime},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, body := vectorHeader(), vectorBody
			if c.change != nil {
				c.change(h)
			}
			if c.body != "" {
				body = c.body
			}
			e, err := VerifyWebhookAt(vectorTime.Add(c.after), []string{vectorSecret}, h, []byte(body))
			if !errors.Is(err, c.want) || (err != nil) != (c.want != nil) {
				t.Errorf("it gives %v, not %v", err, c.want)
			}
			if err != nil && !cmp.Equal(e, Event{}) {
				t.Errorf("an error comes with %+v", e)
			}
		})
	}
}

// A secret that is too short could be guessed, and none is said in an error.
func TestWebhookSecrets(t *testing.T) {
	short := secretPrefix + base64.StdEncoding.EncodeToString(make([]byte, minSecretBytes-1))
	long := secretPrefix + base64.StdEncoding.EncodeToString(make([]byte, maxSecretBytes+1))
	for _, secrets := range [][]string{nil, {""}, {"whsec_"}, {short}, {long}, {"whsec_!!!!"}, {vectorSecret, short}} {
		_, err := VerifyWebhookAt(vectorTime, secrets, vectorHeader(), []byte(vectorBody))
		signErr := SignWebhook(make(http.Header), secrets, "a", vectorTime, nil)
		if err == nil || signErr == nil {
			t.Errorf("%q is taken: %v, %v", secrets, err, signErr)
			continue
		}
		for _, s := range secrets {
			if len(s) > len(secretPrefix) && strings.Contains(err.Error()+signErr.Error(), s) {
				t.Errorf("%v has the secret in it", err)
			}
		}
	}
	if a, b := NewWebhookSecret(), NewWebhookSecret(); a == b || !strings.HasPrefix(a, "whsec_") {
		t.Errorf("new secrets are %q and %q", a, b)
	}
	for _, id := range []string{"", "a.b", "a b", "a\nb", "ä"} {
		if err := SignWebhook(make(http.Header), []string{vectorSecret}, id, vectorTime, nil); err == nil {
			t.Errorf("the id %q is taken", id)
		}
	}
}

// Whatever comes in, what is believed is what the reference library believes.
func FuzzVerifyWebhook(f *testing.F) {
	f.Add(vectorID, strconv.Itoa(vectorSeconds), vectorSignature, []byte(vectorBody))
	f.Add("a", "0", "v1, v1a,x v1,====", []byte("{"))
	f.Add("a.b", "-1", " ", []byte(nil))
	reference, err := standardwebhooks.NewWebhook(vectorSecret)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, id, sent, signature string, body []byte) {
		h := make(http.Header)
		h.Set(HeaderWebhookID, id)
		h.Set(HeaderWebhookTimestamp, sent)
		h.Set(HeaderWebhookSignature, signature)
		_, err := VerifyWebhookAt(vectorTime, []string{vectorSecret}, h, body)
		believed := err == nil || !errors.Is(err, ErrWebhookHeaders) && !errors.Is(err, ErrWebhookSignature)
		if believed && reference.VerifyIgnoringTimestamp(body, h) != nil {
			t.Errorf("%q %q %q %q is believed", id, sent, signature, body)
		}
	})
}
