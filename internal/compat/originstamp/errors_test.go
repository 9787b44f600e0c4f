package originstamp

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/seed"
	"github.com/datestone/datestone/internal/store"
)

// Every number of the table is given for what it says, in the envelope and with HTTP 200 unless the request itself
// could not be understood.
func TestErrors(t *testing.T) {
	r := newRig(t)
	known, other, uid := hashOf(1), hashOf(2), "7d9f1c0a-4b1e-4c7e-9a51-2f6b0c1d2e3f"
	r.good(nil, "POST", "/v4/timestamp/create", r.aKey, `{"hash":"`+known+`","url":"`+uid+`"}`)
	const v3, v4, bulk = "/v3/timestamp/create", "/v4/timestamp/create", "/v4/timestamp/bulk/create"
	const link, register, information, start = "/v3/timestamp/proof/url", "/v3/webhook/register", "/v3/webhook/information", "/v3/webhook/start"
	with := func(more string) string { return `{"hash":"` + other + `",` + more + `}` }
	notify := func(n string) string { return with(`"notifications":[` + n + `]`) }
	about := func(hash, more string) string { return `{"currency":0,"hash":"` + hash + `",` + more + `}` }
	file := func(hash, more string) string { return `{"hash_string":"` + hash + `",` + more + `}` }
	hook := `"target":"https://ci.example.org/hook?id=17"`
	seen := make(map[Code]bool)
	for _, c := range []struct {
		code               Code
		method, path, body string
		keys               []string // that of account a where there is none
	}{
		{CodeHash, "POST", v3, `{}`, nil},
		{CodeHash, "POST", v4, `{"hash":null}`, nil},
		{CodeHash, "POST", v4, `{"hash":17}`, nil},
		{CodeHash, "POST", v4, `{"hash":"` + other[1:] + `"}`, nil},
		{CodeHash, "POST", v4, `{"hash":"` + other + `0"}`, nil},
		{CodeHash, "POST", v4, `{"hash":"` + other + other + `"}`, nil},
		{CodeHash, "POST", v4, `{"hash":"` + strings.Repeat("g", 64) + `"}`, nil},
		{CodeHash, "POST", v4, `{"hash":"` + strings.Repeat("ü", 32) + `"}`, nil},
		{CodeHash, "GET", "/v3/timestamp/abc", "", nil},
		{CodeHash, "GET", "/v4/timestamp/" + other + "00", "", nil},
		{CodeHash, "GET", "/v4/timestamp/%2F" + other, "", nil},
		{CodeHash, "POST", link, `{"currency":0,"proof_type":0}`, nil},
		{CodeHash, "POST", register, `{"currency":0,` + hook + `}`, nil},
		{CodeHash, "POST", start, `{"webhook_url":"https://ci.example.org/"}`, nil},
		{CodeComment, "POST", v4, with(`"comment":"` + strings.Repeat("ü", 257) + `"`), nil},
		{CodeComment, "POST", v4, with(`"comment":5`), nil},
		{CodeComment, "POST", v4, with(`"comment":"\u0000"`), nil},
		{CodeNotification, "POST", v4, with(`"notifications":{}`), nil},
		{CodeNotification, "POST", v4, notify(`5`), nil},
		{CodeNotification, "POST", v4, notify(`{"currency":0,"notification_type":2,` + hook + `}`), nil},
		{CodeNotification, "POST", v4, notify(`{"currency":0,` + hook + `}`), nil},
		{CodeNotification, "POST", v4, notify(`{"currency":0,"notification_type":1}`), nil},
		{CodeNotification, "POST", v4, notify(`{"currency":0,"notification_type":1,"target":"ops@example.org"}`), nil},
		{CodeNotification, "POST", v4, notify(`{"currency":0,"notification_type":1,"target":"http://169.254.169.254/latest"}`), nil},
		{CodeNotification, "POST", v4, notify(`{"currency":0,"notification_type":0,"target":"https://ci.example.org/"}`), nil},
		{CodeNotification, "POST", v4, notify(strings.Repeat(`{},`, seed.MaxAwaits) + `{}`), nil},
		{CodeNotification, "POST", register, about(known, `"target":"ftp://ci.example.org/"`), nil},
		{CodeNotification, "POST", register, about(known, `"target":null`), nil},
		{CodeNotification, "POST", information, about(known, `"target":"x"`), nil},
		{CodeNotification, "POST", start, `{"hash":"` + known + `","webhook_url":"http://127.0.0.1/"}`, nil},
		{CodeCount, "POST", bulk, `{}`, nil},
		{CodeCount, "POST", bulk, `{"timestamps":[]}`, nil},
		{CodeCount, "POST", bulk, `{"timestamps":{}}`, nil},
		{CodeCount, "POST", bulk, `{"timestamps":[` + strings.Repeat(`{},`, 100) + `{}]}`, nil},
		{CodeCurrency, "POST", v4, notify(`{"notification_type":1,` + hook + `}`), nil},
		{CodeCurrency, "POST", v4, notify(`{"currency":1,"notification_type":1,` + hook + `}`), nil},
		{CodeCurrency, "POST", v4, notify(`{"currency":0.5,"notification_type":1,` + hook + `}`), nil},
		{CodeCurrency, "POST", v4, notify(`{"currency":"bitcoin","notification_type":1,` + hook + `}`), nil},
		{CodeCurrency, "POST", register, `{"currency":2,"hash":"` + known + `",` + hook + `}`, nil},
		{CodeCurrency, "POST", link, file(known, `"currency":99,"proof_type":0`), nil},
		{CodeCurrency, "POST", "/v3/submission/times", `{"currency":-1}`, nil},
		{CodeCurrency, "POST", "/v3/submission/times", `{}`, nil},
		{CodeURL, "POST", v3, with(`"url":"string"`), nil},
		{CodeURL, "POST", v3, with(`"url":7`), nil},
		{CodeURL, "GET", "/v3/timestamp/url/x", "", nil},
		{CodeURLTaken, "POST", v3, with(`"url":"` + uid + `"`), []string{r.aKey, r.bKey}},
		{CodeProofType, "POST", link, file(known, `"currency":0,"proof_type":2`), nil},
		{CodeProofType, "POST", link, file(known, `"currency":0`), nil},
		{CodeKey, "POST", v3, `{}`, []string{"", "x", r.no, testPrefix + strings.Repeat("a", 64)}},
		{CodePlan, "GET", "/v3/currencies/get", "", []string{r.plain}},
		{CodeHashUnknown, "GET", "/v3/timestamp/" + other, "", nil},
		{CodeHashUnknown, "GET", "/v4/timestamp/" + other, "", nil},
		{CodeHashUnknown, "POST", register, about(other, hook), nil},
		{CodeHashUnknown, "POST", start, `{"hash":"` + other + `","webhook_url":"https://ci.example.org/"}`, nil},
		{CodeHashUnknown, "POST", link, file(other, `"currency":0,"proof_type":0`), nil},
		{CodeSeedUnknown, "GET", "/v4/timestamp/status/seed/" + uid, "", nil},
		{CodeSeedUnknown, "GET", "/v4/timestamp/status/seed/x", "", nil},
		{CodeNoProof, "POST", link, file(known, `"currency":0,"proof_type":0`), nil},
		{CodeNoProof, "POST", "/v3/timestamp/proof", file(known, `"currency":"0","proof_type":"1"`), nil},
		{CodeToken, "GET", "/v3/timestamp/proof/download", "", []string{"", r.aKey}},
		{CodeToken, "GET", "/v3/timestamp/proof/download?token=abc&name=x", "", []string{""}},
		{CodeURLUnknown, "GET", "/v3/timestamp/url/7d9f1c0a-4b1e-4c7e-9a51-000000000000", "", nil},
		{CodeNoWebhook, "POST", information, about(known, hook), nil},
		{CodePayload, "POST", v3, `{"hash":`, nil},
		{CodePayload, "POST", v3, ``, nil},
		{CodePayload, "POST", v4, `[]`, nil},
		{CodePayload, "POST", v4, `"hash"`, nil},
		{CodePayload, "POST", v4, `{"hash":"` + other + `","hash":"` + known + `"}`, nil},
		{CodePayload, "POST", bulk, `[{"hash":"` + other + `"}]`, nil},
		{CodePayload, "POST", v4, with(`"comment":"` + "\xff" + `"`), nil},
		{CodePayload, "POST", v4, with(`"comment":"\ud800"`), nil},
		{CodeTooLarge, "POST", v4, with(`"comment":"` + strings.Repeat("a", maxBody) + `"`), nil},
		{CodeTooLarge, "POST", bulk, `{"timestamps":"` + strings.Repeat("a", maxBulkBody) + `"}`, nil},
		{CodePath, "GET", "/v3", "", []string{""}},
		{CodePath, "GET", "/v3/", "", []string{""}},
		{CodePath, "POST", "/v3/timestamp/bulk/create", `{}`, []string{""}},
		{CodePath, "GET", "/v4/api_key/usage", "", []string{""}},
		{CodePath, "GET", "/v4/timestamp/url/" + uid, "", []string{""}},
		{CodePath, "GET", "/v3/timestamp/", "", []string{""}},
		{CodePath, "GET", "/v4/timestamp/" + known + "/", "", []string{""}},
		{CodePath, "GET", "/v5/timestamp/" + known, "", []string{""}},
	} {
		if c.keys == nil {
			c.keys = []string{r.aKey}
		}
		for _, key := range c.keys {
			r.bad(c.code, c.method, c.path, key, c.body)
		}
		seen[c.code] = true
	}
	if a := r.bad(CodeKey, "GET", "/v3/api_key/usage", "", ""); !strings.HasPrefix(a.body, `{"error_code":3201,"error_message":"You do not have a valid API key. [`) {
		t.Errorf("without a key: %s", a.body)
	}
	// Nothing above was kept, and nothing was charged.
	if _, err := r.store.Submitted(t.Context(), hash(other)); !errors.Is(err, seed.ErrUnknown) || r.used(r.aKey) != 1 || r.used(r.bKey) != 0 {
		t.Errorf("a refused request left something: %v, used %d and %d", err, r.used(r.aKey), r.used(r.bKey))
	}

	r.create(r.small, 10)
	r.create(r.small, 11)
	r.bad(CodeQuota, "POST", v4, r.small, `{"hash":"`+other+`"}`)
	for code, err := range map[Code]error{CodeInternal: errors.New("the disk burns"), CodeBusy: store.ErrBusy} {
		r.store.fail = err
		if a := r.bad(code, "GET", "/v3/timestamp/"+known, r.aKey, ""); strings.Contains(a.body, err.Error()) {
			t.Errorf("the client is told %s", a.body)
		}
		seen[code] = true
	}
	r.store.fail = nil
	if !strings.Contains(r.lines.String(), "the disk burns") {
		t.Error("the log does not have the cause")
	}
	for _, code := range []Code{CodeQuota, CodeMethod, CodeRate, CodeTokenOld} {
		seen[code] = true // here, in TestMethods, TestRates and TestProofs
	}
	for _, c := range Codes {
		if !seen[c.Code] {
			t.Errorf("nothing is answered with %d", c.Code)
		}
	}
	// The id in a message is in the log, and no key or hash is.
	a := r.bad(CodeHashUnknown, "GET", "/v3/timestamp/"+other, r.aKey, "")
	id := a.body[strings.Index(a.body, "[")+1 : strings.Index(a.body, "]")]
	if log := r.lines.String(); !strings.Contains(log, id) || strings.Contains(log, r.aKey) || strings.Contains(log, other) {
		t.Errorf("the log lacks the id %s, or tells too much", id)
	}
}

// A path has one method, and HEAD where that is GET.
func TestMethods(t *testing.T) {
	r := newRig(t)
	for _, rt := range r.server.routes {
		path := "/" + strings.ReplaceAll(strings.Join(rt.path, "/"), "{}", hashOf(1))
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
			if method == rt.method || method == "HEAD" && rt.method == "GET" {
				continue
			}
			a := r.do(method, path, r.aKey, "")
			if a.status != 405 || !strings.HasPrefix(a.header.Get("Allow"), rt.method) {
				t.Errorf("%s %s: %d, Allow %q", method, path, a.status, a.header.Get("Allow"))
			}
			if method != "HEAD" {
				r.bad(CodeMethod, method, path, "", "")
			}
		}
	}
	if a := r.do("HEAD", "/v3/api_key/usage", r.aKey, ""); a.status != 200 || a.body != "" {
		t.Errorf("HEAD: %d %q", a.status, a.body)
	}
}

// The limits of a minute are those of the plan, of the address for bad keys and of the address for files.
func TestRates(t *testing.T) {
	r := newRig(t)
	_, key := r.account("usual@example.org", "usual")
	for n := range 30 {
		r.create(key, n)
	}
	r.bad(CodeRate, "POST", "/v4/timestamp/create", key, `{}`)
	for range 89 {
		r.good(nil, "GET", "/v3/currencies/get", key, "")
	}
	if a := r.bad(CodeRate, "GET", "/v3/currencies/get", key, ""); a.header.Get("Retry-After") == "" || a.header.Get("X-RateLimit-Limit") != "120" {
		t.Errorf("over the limit: %v", a.header)
	}
	r.good(nil, "GET", "/v3/currencies/get", r.aKey, "") // another account
	r.clock.Add(int64(time.Minute))
	r.good(nil, "GET", "/v3/currencies/get", key, "")

	r.site = "192.0.2.7:1"
	for range failuresPerSite {
		r.bad(CodeKey, "GET", "/v3/currencies/get", "x", "")
	}
	r.bad(CodeRate, "GET", "/v3/currencies/get", "x", "")
	r.good(nil, "GET", "/v3/currencies/get", r.aKey, "")
	for range filesPerSite {
		r.bad(CodeToken, "GET", "/v3/timestamp/proof/download", "", "")
	}
	r.bad(CodeRate, "GET", "/v3/timestamp/proof/download", "", "")
}

// Clients in the field send the key in each of these ways.
func TestKeys(t *testing.T) {
	r := newRig(t)
	path := "/v3/currencies/get"
	for _, field := range []string{r.aKey, "Token " + r.aKey, "token " + r.aKey, "Bearer " + r.aKey, " " + r.aKey + " "} {
		r.good(nil, "GET", path, field, "")
	}
	for _, fields := range [][]string{{"X-Api-Key", r.aKey}, {"X-Api-Key", r.aKey, "Authorization", "Basic eDp5"}} {
		if a := r.do("GET", path, "", "", fields...); a.status != 200 || !strings.HasPrefix(a.body, `{"error_code":0,`) {
			t.Errorf("%v: %s", fields[0], a.body)
		}
	}
	for _, field := range []string{"Basic " + r.aKey, "Token", "Token  ", r.aKey + "x", r.aKey + " " + r.aKey} {
		r.bad(CodeKey, "GET", path, field, "")
	}
	r.bad(CodeKey, "GET", path+"?key="+r.aKey, "", "")
	for _, rt := range r.server.routes {
		path := "/" + strings.ReplaceAll(strings.Join(rt.path, "/"), "{}", hashOf(1))
		if code := CodeKey; !strings.HasSuffix(path, "/download") {
			r.bad(code, rt.method, path, "d3d00ee5-3b6a-4f9b-8a7b-0a9c1f0e7b11", fmt.Sprintf(`{"hash":"%s"}`, hashOf(1)))
		}
	}
}
