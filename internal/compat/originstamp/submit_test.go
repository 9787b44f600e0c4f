package originstamp

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/notify"
	"github.com/datestone/datestone/internal/seed"
)

// created is what a create answers, to the byte.
var created = regexp.MustCompile(`^\{"error_code":0,"error_message":null,"data":\{"created":(true|false),"date_created":([0-9]{13}),"comment":(null|"[^"]*"),"hash_string":"([0-9a-f]{64})","timestamps":\[` +
	`\{("seed_id":"` + uuidPattern + `",)?"currency_id":0,"transaction":null,"private_key":null,"timestamp":null,"submit_status":0\},` +
	`\{("seed_id":"` + uuidPattern + `",)?"currency_id":100,"transaction":null,"private_key":null,"timestamp":null,"submit_status":0\}\]\}\}$`)

// What is said of a hash is everybody's; an account, what it awaits and what it stamped elsewhere is never shown.
func TestTwoAccounts(t *testing.T) {
	r := newRig(t)
	upper := strings.ToUpper(hashOf(0xabc))
	hook := `"target":"https://ci.example.org/hook?id=17"`
	before := time.Now().UnixMilli()
	first := r.good(nil, "POST", "/v4/timestamp/create", r.aKey, `{"hash":"`+upper+`","comment":"build 17 <&>","notifications":[{"currency":"0","notification_type":"1",`+hook+`}],"more":true}`)
	m := created.FindStringSubmatch(first.body)
	if m == nil || m[1] != "true" || m[3] != `"build 17 <&>"` || m[4] != hashOf(0xabc) || m[5] == "" {
		t.Fatalf("created: %s", first.body)
	}
	if m[2] < fmt.Sprint(before) || m[2] > fmt.Sprint(time.Now().UnixMilli()) {
		t.Errorf("the date is %s, and it was %d", m[2], before)
	}
	again := strings.Replace(first.body, `"created":true`, `"created":false`, 1)
	seeds := regexp.MustCompile(`"seed_id":"[^"]*",`)
	for _, key := range []string{r.aKey, r.bKey} {
		body := `{"hash":"` + upper + `","comment":"mine","notifications":[{"currency":0,"notification_type":1,"target":"https://other.example.org/"}]}`
		same(t, "create of a known hash", r.good(nil, "POST", "/v4/timestamp/create", key, body).body, again)
		same(t, "the same of version 3", r.good(nil, "POST", "/v3/timestamp/create", key, body).body, seeds.ReplaceAllString(again, ""))
		same(t, "the hash", r.good(nil, "GET", "/v4/timestamp/"+upper, key, "").body, again)
		same(t, "the hash of version 3", r.good(nil, "GET", "/v3/timestamp/"+hashOf(0xabc), key, "").body, seeds.ReplaceAllString(again, ""))
		// The notifications of a known hash are ignored.
		r.bad(CodeNoWebhook, "POST", "/v3/webhook/information", key, `{"currency":0,"hash":"`+upper+`","target":"https://other.example.org/"}`)
	}
	if r.used(r.aKey) != 1 || r.used(r.bKey) != 0 {
		t.Errorf("used %d and %d", r.used(r.aKey), r.used(r.bKey))
	}
	var uid string
	for _, m := range regexp.MustCompile(`"seed_id":"([^"]*)"`).FindAllStringSubmatch(first.body, -1) {
		uid = m[1]
	}
	want := `{"error_code":0,"error_message":null,"data":{"seed_id":"` + uid + `","currency_id":100,"transaction":null,"private_key":null,"timestamp":null,"submit_status":0}}`
	same(t, "the seed", r.good(nil, "GET", "/v4/timestamp/status/seed/"+uid, r.bKey, "").body, want)

	// What one awaits is the account's own matter.
	triple := `{"currency":0,"hash":"` + hashOf(0xabc) + `",` + hook + `}`
	info := `{"error_code":0,"error_message":null,"data":{"currency":0,"hash":"` + hashOf(0xabc) + `","executed":false,"success":false,"tries":0}}`
	same(t, "information", r.good(nil, "POST", "/v3/webhook/information", r.aKey, triple).body, info)
	r.bad(CodeNoWebhook, "POST", "/v3/webhook/information", r.aKey, strings.Replace(triple, `"currency":0`, `"currency":100`, 1))
	r.bad(CodeNoWebhook, "POST", "/v3/webhook/information", r.bKey, triple)
	for range 2 {
		same(t, "register", r.do("POST", "/v3/webhook/register", r.bKey, triple).body, `{"error_code":0,"error_message":null}`)
	}
	same(t, "information", r.good(nil, "POST", "/v3/webhook/information", r.bKey, triple).body, info)

	// A stamp of the native API is no submission, and becomes one without being charged again.
	native := account.Item{SHA256: hash(hashOf(5)), File: account.File{Name: "plan.pdf", Size: 1}}
	if _, err := r.config.Keeper.Create(t.Context(), account.Create{Account: r.a.ID, Items: []account.Item{native}, Quota: 100}); err != nil {
		t.Fatal(err)
	}
	r.bad(CodeHashUnknown, "GET", "/v3/timestamp/"+hashOf(5), r.aKey, "")
	r.bad(CodeHashUnknown, "POST", "/v3/timestamp/proof/url", r.bKey, `{"currency":0,"hash_string":"`+hashOf(5)+`","proof_type":0}`)
	if !r.create(r.aKey, 5).Created || r.used(r.aKey) != 2 {
		t.Errorf("a native stamp that was submitted: used %d", r.used(r.aKey))
	}
}

func TestPreprint(t *testing.T) {
	r := newRig(t)
	const uid = "7d9f1c0a-4b1e-4c7e-9a51-2f6b0c1d2e3f"
	page := "/v3/timestamp/url/" + strings.ToUpper(uid)
	r.bad(CodeURLUnknown, "GET", page, r.aKey, "")
	body := `{"hash":"` + hashOf(1) + `","url":"` + uid + `"}`
	r.good(nil, "POST", "/v3/timestamp/create", r.aKey, body)
	hashed := r.good(nil, "GET", "/v3/timestamp/"+hashOf(1), r.aKey, "").body
	for _, key := range []string{r.aKey, r.bKey} {
		same(t, "by the UUID", r.good(nil, "GET", page, key, "").body, hashed)
	}
	same(t, "again", r.good(nil, "POST", "/v3/timestamp/create", r.aKey, body).body, hashed)
	for _, empty := range []string{"null", `""`} {
		r.good(nil, "POST", "/v3/timestamp/create", r.aKey, `{"hash":"`+hashOf(2)+`","comment":null,"notifications":null,"url":`+empty+`}`)
	}
}

// bulk sends hashes and returns what became of each: its number, or whether it was created.
func (r *rig) bulk(key string, elements ...string) (results []string) {
	r.t.Helper()
	a := r.do("POST", "/v4/timestamp/bulk/create", key, `{"timestamps":[`+strings.Join(elements, ",")+`]}`)
	var list []json.RawMessage
	if err := json.Unmarshal([]byte(a.body), &list); err != nil || a.status != 200 || len(list) != len(elements) {
		r.t.Fatalf("bulk: %d %.300s", a.status, a.body)
	}
	for i, one := range list {
		if m := errorText.FindStringSubmatch(string(one)); m != nil {
			results = append(results, m[1])
			continue
		}
		m := created.FindStringSubmatch(string(one))
		if m == nil || m[5] == "" || !strings.Contains(elements[i], m[4]) {
			r.t.Fatalf("element %d of bulk: %s", i, one)
		}
		results = append(results, m[1])
	}
	return results
}

// Each element has an envelope of its own, whatever the others have.
func TestBulk(t *testing.T) {
	r := newRig(t)
	element := func(n int) string { return `{"hash":"` + hashOf(n) + `"}` }
	var all []string
	for n := range maxBulk {
		all = append(all, element(n))
	}
	if results := strings.Join(r.bulk(r.aKey, all...), " "); results != strings.TrimSpace(strings.Repeat("true ", maxBulk)) {
		t.Errorf("100 hashes: %s", results)
	}
	if used := r.used(r.aKey); used != maxBulk {
		t.Errorf("100 hashes used %d", used)
	}
	uid := func(n int) string { return fmt.Sprintf("7d9f1c0a-4b1e-4c7e-9a51-%012d", n) }
	got := r.bulk(r.aKey, element(200), element(0), element(200), `{}`, `5`, `null`, `{"hash":"`+hashOf(201)+`","comment":"`+strings.Repeat("a", 257)+`"}`, element(202))
	if want := "[true false false 3101 3101 3101 3102 true]"; fmt.Sprint(got) != want {
		t.Errorf("a mixed request: %v, want %s", got, want)
	}
	if got := r.bulk(r.aKey, `{}`); fmt.Sprint(got) != "[3101]" {
		t.Errorf("a bad element alone: %v", got)
	}
	withUID := func(n, u int) string { return `{"hash":"` + hashOf(n) + `","url":"` + uid(u) + `"}` }
	if got := r.bulk(r.aKey, withUID(300, 1), withUID(301, 1), withUID(302, 2)); fmt.Sprint(got) != "[true 3107 true]" {
		t.Errorf("a UUID twice: %v", got)
	}
	// A quota that does not suffice for all is used up in their order.
	if got := r.bulk(r.small, element(0), element(400), element(401), element(402), element(1)); fmt.Sprint(got) != "[false true true 3202 false]" {
		t.Errorf("a small quota: %v", got)
	}
	if used := r.used(r.small); used != 2 {
		t.Errorf("a quota of 2 used %d", used)
	}
	r.bad(CodeKey, "POST", "/v4/timestamp/bulk/create", "x", `{"timestamps":[`+element(500)+`]}`)
}

// full is a keeper of an account that is to be told at as many addresses as it may.
type full struct{ Keeper }

func (f full) Create(ctx context.Context, c account.Create) (account.Created, error) {
	for _, item := range c.Items {
		if len(item.Submission.Awaits) > 0 {
			return account.Created{}, notify.ErrLimit
		}
	}
	return f.Keeper.Create(ctx, c)
}

func TestTooManyAddresses(t *testing.T) {
	r := newRig(t)
	r.config.Keeper = full{r.config.Keeper}
	r.allow()
	told := `{"hash":"` + hashOf(1) + `","notifications":[{"currency":0,"notification_type":0,"target":"ops@example.org"}]}`
	r.bad(CodeNotification, "POST", "/v4/timestamp/create", r.aKey, told)
	if got := r.bulk(r.aKey, `{"hash":"`+hashOf(2)+`"}`, told, `{"hash":"`+hashOf(3)+`"}`); fmt.Sprint(got) != "[true 3103 true]" {
		t.Errorf("bulk: %v", got)
	}
}

func TestUsage(t *testing.T) {
	r := newRig(t)
	r.create(r.small, 1)
	same(t, "usage", r.good(nil, "GET", "/v3/api_key/usage", r.small, "").body,
		`{"error_code":0,"error_message":null,"data":{"credits_per_month":2.0,"remaining_credits":1.0,"consumed_credits":1.0,"timestamps_per_month":0,"consumed_timestamps":1,"certificate_per_month":0,"consumed_certificates":0,"limitation_type":0}}`)
	same(t, "currencies", r.good(nil, "GET", "/v3/currencies/get", r.small, "").body,
		`{"error_code":0,"error_message":null,"data":[{"currency_id":0,"currency":"BITCOIN"},{"currency_id":100,"currency":"SÜDKURIER"}]}`)
	for _, c := range r.config.Currencies {
		var next submissionTime
		r.good(&next, "POST", "/v3/submission/times", r.small, fmt.Sprintf(`{"currency":"%d"}`, c.ID))
		if _, closes := c.PeriodOf(time.Now()); next.Time != closes.UnixMilli() {
			t.Errorf("the next submission of %s is %d, want %v", c.Name, next.Time, closes)
		}
	}
	r.clock.Store(int64(62 * 24 * time.Hour))
	if used := r.used(r.small); used != 0 {
		t.Errorf("two months later %d are used", used)
	}
}

// A seed that has changed its state is shown so wherever it is shown.
func TestProgress(t *testing.T) {
	r := newRig(t)
	made := r.create(r.aKey, 1)
	for status := seed.Queued; status <= seed.Final; status++ {
		r.store.status["bitcoin"] = status
		var known TimestampResponse
		r.good(&known, "GET", "/v4/timestamp/"+hashOf(1), r.bKey, "")
		var one TimestampData
		r.good(&one, "GET", "/v4/timestamp/status/seed/"+made.Timestamps[0].SeedID, r.bKey, "")
		if written(t, known.Timestamps[0]) != written(t, one) || one.SubmitStatus != int(status) || known.Timestamps[1].SubmitStatus != 0 {
			t.Errorf("at %d: %s and %s", status, written(t, known), written(t, one))
		}
	}
}
