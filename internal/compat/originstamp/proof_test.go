package originstamp

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/seed"
)

// A proof is there once the currency's seed is final: by a link that lives five minutes on every node, or at once.
func TestProofs(t *testing.T) {
	r := newRig(t)
	const h = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
	r.good(nil, "POST", "/v3/timestamp/create", r.aKey, `{"hash":"`+h+`"}`)
	body := func(kind int) string {
		return fmt.Sprintf(`{"currency":"0","hash_string":"%s","proof_type":%d}`, strings.ToUpper(h), kind)
	}
	for _, status := range []seed.Status{seed.Queued, seed.Sent, seed.Mined} {
		r.store.status["bitcoin"] = status
		r.bad(CodeNoProof, "POST", "/v3/timestamp/proof/url", r.aKey, body(0))
	}
	r.store.status["bitcoin"] = seed.Final
	r.bad(CodeNoProof, "POST", "/v3/timestamp/proof/url", r.aKey, strings.Replace(body(0), `"0"`, `100`, 1))
	for kind, c := range []struct{ name, old, begin string }{
		{"proof.Bitcoin." + h + ".xml", "proof_" + h + ".xml", `<?xml version="1.0" encoding="UTF-8" standalone="yes"?><node value="`},
		{"certificate.Bitcoin." + h + ".pdf", "certificate_" + h + ".pdf", "%PDF-"},
	} {
		var l link
		a := r.good(&l, "POST", "/v3/timestamp/proof/url", r.bKey, body(kind))
		address, err := url.Parse(l.URL)
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf(`{"error_code":0,"error_message":null,"data":{"download_url":"%s/v3/timestamp/proof/download?token=%s&name=%s","file_name":"%s","file_size_bytes":%d}}`,
			testURI, address.Query().Get("token"), c.name, c.name, l.Size)
		same(t, "the link", a.body, want)
		other, err := New(r.config) // another node
		if err != nil {
			t.Fatal(err)
		}
		r.server = other
		file := r.do("GET", address.RequestURI(), "", "", "Accept", "application/octet-stream")
		if file.status != 200 || !strings.HasPrefix(file.body, c.begin) || len(file.body) != l.Size || file.header.Get("Content-Type") != "application/octet-stream" ||
			file.header.Get("Content-Disposition") != `attachment; filename="`+c.name+`"` || file.header.Get("Cache-Control") != "no-store" {
			t.Errorf("the file: %d %v %.100q", file.status, file.header, file.body)
		}
		renamed := r.do("GET", "/v3/timestamp/proof/download?name=x%22%0d%0ay&token="+address.Query().Get("token"), "", "")
		if renamed.header.Get("Content-Disposition") != `attachment; filename="`+c.name+`"` || renamed.body != file.body {
			t.Errorf("with another name: %v", renamed.header)
		}
		old := r.do("POST", "/v3/timestamp/proof", r.aKey, body(kind))
		if old.body != file.body || old.header.Get("Content-Disposition") != `attachment; filename="`+c.old+`"` {
			t.Errorf("the older request: %v %.100q", old.header, old.body)
		}
		// The proof of a seed that is not final any more is not given out, whoever has a link.
		r.store.status["bitcoin"] = seed.Sent
		r.bad(CodeNoProof, "GET", address.RequestURI(), "", "")
		r.store.status["bitcoin"] = seed.Final
		r.clock.Add(int64(5*time.Minute - 10*time.Second))
		if a := r.do("GET", address.RequestURI(), "", ""); a.body != file.body {
			t.Errorf("before five minutes are over: %.200s", a.body)
		}
		r.clock.Add(int64(11 * time.Second))
		r.bad(CodeTokenOld, "GET", address.RequestURI(), "", "")
		r.config.LinkKey = bytes.Repeat([]byte{byte(kind)}, 32) // of another service
		if r.server, err = New(r.config); err != nil {
			t.Fatal(err)
		}
		r.bad(CodeToken, "GET", address.RequestURI(), "", "")
	}
}

// start posts at once what is known, bare, and says what came of it.
func TestStart(t *testing.T) {
	r := newRig(t)
	made := r.create(r.aKey, 1)
	var mu sync.Mutex
	var got []string
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		got = append(got, req.Method+" "+req.RequestURI+" "+req.Header.Get("Content-Type")+" "+string(body))
		mu.Unlock()
		if req.URL.Path == "/down" {
			w.WriteHeader(500)
		}
	}))
	defer hook.Close()
	r.allow(strings.TrimPrefix(hook.URL, "http://"))
	r.store.status["bitcoin"] = seed.Mined
	made.Created = false
	made.Timestamps[0].Transaction, made.Timestamps[0].SubmitStatus = new(strings.Repeat("ab", 32)), 2
	made.Timestamps[0].PrivateKey = new("010203" + strings.Repeat("00", 29))
	for path, want := range map[string]string{
		"/hook?id=17&x=%20y": "The webhook was called and answered with the status 200. That counts as a success.",
		"/down":              "The webhook was called and answered with the status 500. Other answers than 2xx count as failures.",
	} {
		mu.Lock()
		got = nil
		mu.Unlock()
		var said string
		r.good(&said, "POST", "/v3/webhook/start", r.bKey, `{"hash":"`+hashOf(1)+`","webhook_url":"`+hook.URL+path+`"}`)
		same(t, "the result", said, want)
		mu.Lock()
		if len(got) != 1 {
			t.Errorf("%s was called %d times", path, len(got))
		} else {
			same(t, "the webhook", got[0], "POST "+path+" application/json "+written(t, made))
		}
		mu.Unlock()
	}
	hook.Close()
	var said string
	r.good(&said, "POST", "/v3/webhook/start", r.bKey, `{"hash":"`+hashOf(1)+`","webhook_url":"`+hook.URL+`"}`)
	same(t, "the result", said, "The webhook was not reached: the connection was refused.")
}
