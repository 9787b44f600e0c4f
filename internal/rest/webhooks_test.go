package rest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/datestone/datestone/api"
	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/notify"
	"github.com/datestone/datestone/internal/notify/webhook"
	"github.com/datestone/datestone/internal/seal"
)

// withWebhooks gives the surface what webhooks need.
func (r *rig) withWebhooks() *seal.Key {
	r.t.Helper()
	key, err := seal.New(bytes.Repeat([]byte{1}, 32))
	if err != nil {
		r.t.Fatal(err)
	}
	r.config.Secrets = key
	r.config.CheckURL = func(url string) error {
		if !strings.HasPrefix(url, "https://") {
			return errors.New("the URL must begin with https://")
		}
		return nil
	}
	r.restart(nil)
	return key
}

const hookBody = `{"url":"https://hooks.test/a","events":["timestamp.confirmed","proof.upgraded"]}`

func TestWebhooks(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		r.withWebhooks()
		ts := r.create(r.aKey, 0)
		var made, got api.Webhook
		r.must(&made, 201, "POST", "/api/v1/webhooks", r.aKey, hookBody)
		if !strings.HasPrefix(made.Secret, "whsec_") || made.TimestampID != nil || made.Status != "active" || len(made.Events) != 2 || made.URL != "https://hooks.test/a" {
			t.Errorf("%+v", made)
		}
		path := "/api/v1/webhooks/" + made.ID
		if a := r.must(&got, 200, "GET", path, r.aKey, ""); got.Secret != "" || strings.Contains(a.body, "secret\":") || got.ID != made.ID {
			t.Errorf("%s", a.body)
		}
		var one api.Webhook
		r.must(&one, 201, "POST", "/api/v1/webhooks", r.aKey, `{"url":"https://hooks.test/b","events":["timestamp.withdrawn"],"timestamp_id":"`+ts.ID+`"}`)
		if one.TimestampID == nil || *one.TimestampID != ts.ID {
			t.Errorf("%+v", one)
		}
		var all api.Webhooks
		r.must(&all, 200, "GET", "/api/v1/webhooks", r.aKey, "")
		if len(all.Data) != 2 || all.Data[0].ID != made.ID || all.Data[1].ID != one.ID {
			t.Errorf("%+v", all)
		}
		r.must(&all, 200, "GET", "/api/v1/webhooks", r.bKey, "")
		if len(all.Data) != 0 {
			t.Errorf("another tenant sees %+v", all)
		}
		var tests []string
		for range 3 {
			var test api.WebhookTest
			r.must(&test, 202, "POST", path+"/test", r.aKey, "")
			tests = append(tests, test.ID)
		}
		var log, rest api.WebhookDeliveries
		r.must(&log, 200, "GET", path+"/deliveries?limit=2", r.aKey, "")
		if len(log.Data) != 2 || log.Data[0].ID != tests[2] || log.Data[0].Event != api.EventTest || log.Data[0].Status != "due" || log.NextCursor == nil || log.NextAttemptAt == nil {
			t.Fatalf("%+v", log)
		}
		r.must(&rest, 200, "GET", path+"/deliveries?before="+*log.NextCursor, r.aKey, "")
		if len(rest.Data) != 1 || rest.Data[0].ID != tests[0] || rest.NextCursor != nil {
			t.Errorf("%+v", rest)
		}
		var rotated api.Webhook
		r.must(&rotated, 200, "POST", path+"/rotate", r.aKey, "")
		if rotated.Secret == made.Secret || rotated.OldSecretUntil == nil {
			t.Errorf("%+v", rotated)
		}
		r.clock.Store(int64(25 * time.Hour))
		r.must(&got, 200, "GET", path, r.aKey, "")
		if got.OldSecretUntil != nil {
			t.Errorf("a day later the old secret still signs: %+v", got)
		}
		r.must(nil, 204, "DELETE", path, r.aKey, "")
		for _, c := range []struct{ method, path string }{{"GET", path}, {"DELETE", path}, {"POST", path + "/test"}, {"POST", path + "/rotate"}, {"GET", path + "/deliveries"}} {
			if a := r.do(c.method, c.path, r.aKey, ""); a.status != 404 || !strings.Contains(a.body, "WEBHOOK_NOT_FOUND") {
				t.Errorf("%s %s after it was deleted: %d %s", c.method, c.path, a.status, a.body)
			}
		}
	})
}

func TestWebhookErrors(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		if a := r.do("POST", "/api/v1/webhooks", r.aKey, hookBody); a.status != 503 || !strings.Contains(a.body, "SERVICE_UNAVAILABLE") {
			t.Errorf("without a key for secrets: %d %s", a.status, a.body)
		}
		r.withWebhooks()
		foreign := r.create(r.bKey, 1)
		for body, code := range map[string]api.Code{
			`not JSON`:                            api.ErrInvalidJSON,
			`[]`:                                  api.ErrInvalidJSON,
			`{}`:                                  api.ErrInvalidURL,
			`{"url":7,"events":[]}`:               api.ErrInvalidURL,
			`{"url":"http://a.b/c"}`:              api.ErrInvalidURL,
			`{"url":"https://a.b/c"}`:             api.ErrInvalidEvents,
			`{"url":"https://a.b/c","events":[]}`: api.ErrInvalidEvents,
			`{"url":"https://a.b/c","events":"timestamp.confirmed"}`:                                                     api.ErrInvalidEvents,
			`{"url":"https://a.b/c","events":["timestamp.confirmed","timestamp.eaten"]}`:                                 api.ErrInvalidEvents,
			`{"url":"https://a.b/c","events":["target.status"]}`:                                                         api.ErrInvalidEvents,
			`{"url":"https://a.b/c","events":["webhook.test"]}`:                                                          api.ErrInvalidEvents,
			`{"url":"https://a.b/c","events":["timestamp.confirmed"],"timestamp_id":"x"}`:                                api.ErrInvalidID,
			`{"url":"https://a.b/c","events":["timestamp.confirmed"],"timestamp_id":7}`:                                  api.ErrInvalidID,
			`{"url":"https://a.b/c","events":["timestamp.confirmed"],"timestamp_id":"` + foreign.ID + `"}`:               api.ErrTimestampNotFound,
			`{"url":"https://a.b/c","events":["timestamp.confirmed"],"timestamp_id":"` + account.NewID().String() + `"}`: api.ErrTimestampNotFound,
			`{"url":"https://a.b/` + strings.Repeat("c", maxBody) + `"}`:                                                 api.ErrPayloadTooLarge,
		} {
			if a := r.do("POST", "/api/v1/webhooks", r.aKey, body); a.status != code.Status() || !strings.Contains(a.body, `"`+string(code)+`"`) {
				t.Errorf("%.200s: %d %s, want %s", body, a.status, a.body, code)
			}
		}
		var hook api.Webhook
		r.must(&hook, 201, "POST", "/api/v1/webhooks", r.aKey, hookBody)
		for query, code := range map[string]api.Code{
			"?before=x":                           api.ErrInvalidCursor,
			"?before=" + account.NewID().String(): api.ErrInvalidCursor,
			"?limit=0":                            api.ErrInvalidLimit,
			"?before=" + hook.ID + "&before=" + hook.ID: api.ErrInvalidCursor,
		} {
			if a := r.do("GET", "/api/v1/webhooks/"+hook.ID+"/deliveries"+query, r.aKey, ""); a.status != 400 || !strings.Contains(a.body, string(code)) {
				t.Errorf("%s: %d %s", query, a.status, a.body)
			}
		}
		for range webhookLimits.Wide - 1 {
			r.must(nil, 201, "POST", "/api/v1/webhooks", r.aKey, hookBody)
		}
		if a := r.do("POST", "/api/v1/webhooks", r.aKey, hookBody); a.status != 403 || !strings.Contains(a.body, "WEBHOOK_LIMIT_REACHED") {
			t.Errorf("one too many: %d %s", a.status, a.body)
		}
		ts := r.create(r.aKey, 2)
		single := fmt.Sprintf(`{"url":"https://a.b/c","events":["timestamp.confirmed"],"timestamp_id":"%s"}`, ts.ID)
		for range webhookLimits.Stamp {
			r.must(nil, 201, "POST", "/api/v1/webhooks", r.aKey, single)
		}
		if a := r.do("POST", "/api/v1/webhooks", r.aKey, single); a.status != 403 || !strings.Contains(a.body, "WEBHOOK_LIMIT_REACHED") {
			t.Errorf("one too many of a stamp: %d %s", a.status, a.body)
		}
		r.must(nil, 201, "POST", "/api/v1/webhooks", r.bKey, hookBody) // others are not limited by it
	})
}

// What an event says of a stamp is as it is when it is sent.
func TestDescribe(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		r.withWebhooks()
		ts := r.create(r.aKey, 0)
		st := r.stored(ts.ID)
		tx := r.confirm()
		n := notify.Notice{Account: st.Account, Stamp: st.ID, Target: "bitcoin", Kind: notify.Confirmed, Ref: tx, Position: st.Position}
		data, err := r.server.Describe(t.Context(), n)
		if err != nil || data.Timestamp.Status != api.StatusConfirmed || data.Attestation == nil || data.Attestation.Transaction != tx ||
			data.Attestation.Confirmations != 1 || !data.Attestation.BlockTime.Equal(blockTime) {
			t.Fatalf("%+v, %v", data, err)
		}
		anchored := n
		anchored.Kind, anchored.Ref = notify.Anchored, ""
		if data, err := r.server.Describe(t.Context(), anchored); err != nil || data.Attestation == nil || data.Attestation.Transaction != tx {
			t.Errorf("%+v, %v", data, err)
		}
		r.withdraw()
		n.Kind = notify.Withdrawn
		if data, err = r.server.Describe(t.Context(), n); err != nil || data.Timestamp.Status != api.StatusPending || data.Attestation == nil || data.Attestation.Confirmations != 0 {
			t.Errorf("withdrawn: %+v %+v, %v", data, data.Attestation, err)
		}
		for name, n := range map[string]notify.Notice{"another owner": {Account: r.b.ID, Stamp: st.ID}, "no stamp": {Account: r.a.ID, Stamp: account.NewID()}} {
			if data, err := r.server.Describe(t.Context(), n); !errors.Is(err, webhook.ErrNothing) || data.Timestamp != nil {
				t.Errorf("%s: %+v, %v", name, data, err)
			}
		}
	})
}
