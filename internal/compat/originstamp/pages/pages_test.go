package pages

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/notify"
	"github.com/datestone/datestone/internal/seed"
	"github.com/datestone/datestone/internal/store"
)

// TestHash: the page of a hash says how far each currency is, in words, and nothing of whose it is.
func TestHash(t *testing.T) {
	r := newRig(t)
	page := seed.UUID(account.NewID())
	hash := r.submit(r.a, "one", seed.Submission{
		Comment: "the comment", Preprint: &page, Awaits: []seed.Await{{Target: "bitcoin", Channel: notify.SeedMail, Address: "told@private.example"}},
	})
	if again := r.submit(r.b, "one", seed.Submission{Comment: "another's"}); again != hash {
		t.Fatal(again)
	}
	sub, err := r.db.Submitted(t.Context(), sha256.Sum256([]byte("one")))
	if err != nil {
		t.Fatal(err)
	}
	paths := []string{"/s/" + hash, "/u/" + account.ID(page).String()}
	for _, step := range []struct {
		states map[string]seed.Status
		test   bool
		want   []string
	}{
		{nil, false, []string{"Not tamper-proof yet", "Bitcoin: Waiting", "Ethereum: Waiting", "Suedkurier: Waiting", "being collected", "2 May 2026, 00:00:00 UTC", "-Root hash", "-Transaction", "-(XML)", "-TEST NETWORK"}},
		{map[string]seed.Status{"bitcoin": seed.Sent, "publication": seed.Sent}, false, []string{"Bitcoin: Sent", "no block has yet", "Root hash", "has not been printed yet", "Not tamper-proof yet", "-Transaction cd", "-(XML)"}},
		{map[string]seed.Status{"bitcoin": seed.Mined, "publication": seed.Mined}, false, []string{"Bitcoin: In a block", "may still be replaced", "Transaction cdcd", "Issue 2026-05-01", "Suedkurier: Printed", "-(XML)", "-1 May 2026, 12:07:36 UTC"}},
		{map[string]seed.Status{"bitcoin": seed.Final, "ethereum": seed.Final, "publication": seed.Final}, false, []string{"This hash existed by 1 May 2026", "Bitcoin: Tamper-proof", "Transaction 0xcdcd", "1 May 2026, 12:07:36 UTC", "before the issue was printed", "Proof (XML)", "-TEST NETWORK", "-Waiting"}},
		{map[string]seed.Status{"bitcoin": seed.Final}, true, []string{"TEST NETWORK", "A test: in Bitcoin", "The others are on their way", "-This hash existed by"}},
	} {
		if step.states != nil {
			r.closeSeeds()
			r.db.states = step.states
		}
		r.network(step.test)
		for _, path := range paths {
			a := r.get(200, path)
			r.says(a, append(step.want, hash, "1 May 2026, 10:00:00 UTC", "the comment", testURI+"/s/"+hash, "-another's", "-private.example")...)
			if a.header.Get("Content-Security-Policy") == "" || a.header.Get("Referrer-Policy") != "no-referrer" {
				t.Errorf("header %v", a.header)
			}
			if strings.Contains(a.body, account.ID(sub.Stamp).String()) || strings.Contains(a.body, "TS-") {
				t.Error("the stamp is told")
			}
		}
	}
	r.says(r.get(200, paths[0]), "The file itself never came here")
	r.says(r.get(200, paths[1]), "in which this address stands")
	r.change(func(c *Config) { c.Comments = false })
	r.says(r.get(200, paths[0]), hash, "-the comment", "-Search comments")
}

// TestMissing: what was not submitted, and addresses that lead nowhere or to another form.
func TestMissing(t *testing.T) {
	r := newRig(t)
	hash := r.submit(r.a, "one", seed.Submission{})
	// A stamp that was not submitted is not there.
	native := sha256.Sum256([]byte("native"))
	results, err := r.db.AppendStamps(t.Context(), submitted, []account.Create{{Account: r.a.ID, Items: []account.Item{{SHA256: native, File: account.File{Name: "native", Size: 1}}}, Quota: 1000}})
	if err != nil || results[0].Err != nil {
		t.Fatal(err, results)
	}
	r.says(r.get(404, "/s/"+hex.EncodeToString(native[:])), "This hash was not submitted")
	r.get(404, "/s/"+hex.EncodeToString(native[:])+".ots")
	page := account.NewID().String()
	r.says(r.get(200, "/u/"+page), "Nothing has been submitted here yet", page)
	for _, path := range []string{"/s/", "/s/ab", "/s/" + hash + "0", "/s/" + hash + "/", "/s/" + hash + "/0.zip", "/s/" + hash + "/-1.xml", "/s/" + hash + "/9.xml", "/s/" + hash + "/0.xml/x", "/u/", "/u/x", "/u/" + page + "/"} {
		r.get(404, path)
	}
	for path, want := range map[string]string{
		"/s/" + strings.ToUpper(hash): hash, "/s/" + strings.ToUpper(hash) + "/0.pdf": "../" + hash + "/0.pdf", "/s/" + strings.ToUpper(hash) + ".ots": hash + ".ots", "/u/" + strings.ToUpper(page): page,
	} {
		if got := r.get(303, path).header.Get("Location"); got != want {
			t.Errorf("%s leads to %s, want %s", path, got, want)
		}
	}
	for _, path := range []string{"/s/" + hash, "/u/" + page, "/comments", searchPath} {
		if a := r.do("POST", path); a.status != 405 || a.header.Get("Allow") != "GET, HEAD" {
			t.Errorf("POST %s: %d", path, a.status)
		}
	}
	if a := r.do("HEAD", "/s/"+hash); a.status != 200 || a.body != "" {
		t.Errorf("HEAD: %d %q", a.status, a.body)
	}
}

// TestDocuments: the proofs of a hash, for everybody, once they are final. A verifier in another language takes that of
// each hash of a seed.
func TestDocuments(t *testing.T) {
	r := newRig(t)
	hash := r.submit(r.a, "one", seed.Submission{Comment: "c"})
	hashes := []string{hash}
	for _, content := range []string{"two", "three", "four", "five"} {
		hashes = append(hashes, r.submit(r.b, content, seed.Submission{}))
	}
	r.says(r.get(404, "/s/"+hash+"/0.xml"), "not tamper-proof yet in Bitcoin")
	r.closeSeeds()
	r.db.states = map[string]seed.Status{"bitcoin": seed.Final}
	sub, err := r.db.Submitted(t.Context(), sha256.Sum256([]byte("one")))
	if err != nil {
		t.Fatal(err)
	}
	states, err := r.db.SeedStates(t.Context(), sub.Number)
	if err != nil {
		t.Fatal(err)
	}
	root := hex.EncodeToString(states[0].Root[:])
	for _, hash := range hashes {
		cmd := exec.Command("/usr/bin/python3", "../proof/testdata/verify.py", hash, root)
		cmd.Stdin = strings.NewReader(r.get(200, "/s/"+hash+"/0.xml").body)
		if out, err := cmd.CombinedOutput(); err != nil || string(out) != "valid\nvalid\nvalid\n" {
			t.Errorf("%s: %v\n%s", hash, err, out)
		}
	}
	for path, want := range map[string]struct{ media, name, begins string }{
		"/0.xml": {"text/xml; charset=utf-8", "proof.Bitcoin." + hash + ".xml", `<?xml version="1.0" encoding="UTF-8" standalone="yes"?><node value="` + root + `" type="key">`},
		"/0.pdf": {"application/pdf", "certificate.Bitcoin." + hash + ".pdf", "%PDF-1.7"},
		".ots":   {"application/octet-stream", hash + ".ots", "ots of " + string(sub.Hash[:])},
	} {
		a := r.get(200, "/s/"+hash+path)
		if a.header.Get("Content-Type") != want.media || a.header.Get("Content-Disposition") != `attachment; filename="`+want.name+`"` || !strings.HasPrefix(a.body, want.begins) {
			t.Errorf("%s: %v %.300s", path, a.header, a.body)
		}
	}
	r.get(404, "/s/"+hash+"/1.pdf")
	r.get(404, "/s/"+hash+"/100.xml")
}

// TestHostileComments: whatever a comment is, no page and no answer does any harm, and what is not seen is shown.
func TestHostileComments(t *testing.T) {
	r := newRig(t)
	for i, text := range []string{
		"<script>alert(1)</script>", `"><img src=x onerror=alert(1)>`, "a\u202eb\u2066c", "two\nlines\x07\x1b[31m", "{{.Hash}} ${x} `y`", "</style></script><!--", "javascript:alert(1)",
		strings.Repeat("😀", 256), strings.Repeat("x", 256), strings.Repeat("Z͑", 128), "عربي \u061c", "👩\u200d👩\u200d👧",
	} {
		comment := "needle " + fmt.Sprint(i) + " " + text
		if r := []rune(comment); len(r) > seed.MaxComment {
			comment = string(r[:seed.MaxComment])
		}
		hash := r.submit(r.a, text, seed.Submission{Comment: comment})
		for _, path := range []string{"/s/" + hash, "/comments?q=needle+" + fmt.Sprint(i), "/comments?q=" + url.QueryEscape(text)} {
			if len([]rune(text)) > maxQuery && strings.Contains(path, url.QueryEscape(text)) {
				r.get(400, path)
				continue
			}
			a := r.get(200, path)
			_, body, _ := strings.Cut(a.body, "</style>")
			for _, bad := range []string{"<script", "<img", "<!--", "\u202e", "\u2066", "\u061c", "\x07", "\x1b", "</style", `href="javascript`} {
				if strings.Contains(body, bad) {
					t.Errorf("%s: %q is in %s", path, bad, body)
				}
			}
			r.says(a, strings.Join(strings.Fields(visible(comment)), " "))
		}
		a := r.get(200, searchPath+"?q=needle+"+fmt.Sprint(i))
		if strings.ContainsAny(a.body, "<>&") || a.header.Get("Content-Type") != "application/json" || a.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%v %s", a.header, a.body)
		}
		var got list
		if err := json.Unmarshal([]byte(a.body), &got); err != nil || len(got.Data) == 0 || got.Data[0].Comment != comment {
			t.Errorf("%q: %s", comment, a.body)
		}
	}
}

// visible is a comment as pages show it, before it is escaped.
func visible(comment string) string {
	return strings.NewReplacer("\u202e", "[U+202E]", "\u2066", "[U+2066]", "\u061c", "[U+061C]", "\n", "[U+000A]", "\x07", "[U+0007]", "\x1b", "[U+001B]").Replace(comment)
}

// TestSearch: comments are found page by page, newest first, by people and programs.
func TestSearch(t *testing.T) {
	r := newRig(t)
	var hashes []string
	for i := range 45 {
		hashes = append(hashes, r.submit([]account.Account{r.a, r.b}[i%2], fmt.Sprint("file ", i), seed.Submission{Comment: fmt.Sprintf("Build <%d> of Ünit", i)}))
	}
	r.submit(r.a, "without", seed.Submission{})
	cursor, seen := "", 0
	for pages := 0; ; pages++ {
		var got list
		if err := json.Unmarshal([]byte(r.get(200, searchPath+"?q=%C3%BCnit+build&limit=20"+cursor).body), &got); err != nil {
			t.Fatal(err)
		}
		for _, c := range got.Data {
			seen++
			want := hashes[len(hashes)-seen]
			if c.HashString != want || c.URL != testURI+"/s/"+want || c.DateCreated != submitted.UnixMilli() || c.Comment != fmt.Sprintf("Build <%d> of Ünit", len(hashes)-seen) {
				t.Errorf("%d: %+v", seen, c)
			}
		}
		if got.NextCursor == nil {
			if pages != 2 {
				t.Errorf("%d pages", pages+1)
			}
			break
		}
		cursor = "&before=" + *got.NextCursor
	}
	if seen != len(hashes) {
		t.Errorf("%d of %d were found", seen, len(hashes))
	}
	// The same by links.
	path, found := "/comments?q=build", 0
	for range 3 {
		a := r.get(200, path)
		found += strings.Count(a.body, `<a href="s/`)
		_, next, more := strings.Cut(a.body, `<li><a href="comments?`)
		if more != (found < len(hashes)) {
			t.Errorf("after %d: more %v", found, more)
		}
		next, _, _ = strings.Cut(next, `"`)
		path = "/comments?" + html.UnescapeString(next)
	}
	if found != len(hashes) {
		t.Errorf("%d of %d were found", found, len(hashes))
	}
	r.says(r.get(200, "/comments"), "Words that the comment has", "-No comment has")
	r.says(r.get(200, "/comments?q=nothing+such"), "No comment has nothing such")
	r.says(r.get(200, "/comments?q=build&before=1"), "There are no more")
	if body := r.get(200, searchPath+"?q=nothing+such").body; body != `{"data":[],"next_cursor":null}` {
		t.Error(body)
	}
	for query, code := range map[string]string{
		"": "INVALID_QUERY", "?q=+": "INVALID_QUERY", "?q=%ff": "INVALID_QUERY", "?q=a%00": "INVALID_QUERY", "?q=" + strings.Repeat("x", 201): "INVALID_QUERY", "?q=a&before=x": "INVALID_CURSOR", "?q=a&before=-1": "INVALID_CURSOR",
		"?q=a&before=99999999999999999999": "INVALID_CURSOR", "?q=a&limit=0": "INVALID_LIMIT", "?q=a&limit=101": "INVALID_LIMIT",
	} {
		if a := r.get(400, searchPath+query); !strings.HasPrefix(a.body, `{"error":{"code":"`+code+`"`) {
			t.Errorf("%s: %s", query, a.body)
		}
	}
	r.get(400, "/comments?q="+strings.Repeat("x", 201))
	r.db.err = fmt.Errorf("searching: %w", store.ErrBusy)
	if a := r.get(503, searchPath+"?q=a"); a.header.Get("Retry-After") != "1" || !strings.Contains(a.body, "SERVICE_UNAVAILABLE") {
		t.Errorf("%v %s", a.header, a.body)
	}
	r.get(503, "/comments?q=a")
	r.db.err = fmt.Errorf("a secret cause")
	for _, path := range []string{"/comments?q=a", searchPath + "?q=a"} {
		if a := r.get(500, path); strings.Contains(a.body, "secret") {
			t.Error(a.body)
		}
	}
	r.change(func(c *Config) { c.Comments = false })
	r.get(404, "/comments?q=build")
	if a := r.get(404, searchPath+"?q=build"); !strings.Contains(a.body, "NOT_FOUND") {
		t.Error(a.body)
	}
}

// TestLimits: an address may look up and search so often a minute, and another may go on.
func TestLimits(t *testing.T) {
	r := newRig(t)
	hash := r.submit(r.a, "one", seed.Submission{Comment: "c"})
	for path, limit := range map[string]int{"/s/" + hash: lookupsPerSite, "/comments?q=c": searchesPerSite} {
		r.now = r.now.Add(time.Hour)
		for i := range limit + 1 {
			a := r.do("GET", path)
			if limited := a.status == http.StatusTooManyRequests; limited != (i == limit) || limited && a.header.Get("Retry-After") != "60" {
				t.Fatalf("%s: request %d: %d", path, i, a.status)
			}
		}
		here := r.site
		r.site = "198.51.100.1:1000"
		r.get(200, path)
		r.site = here
	}
	if a := r.do("GET", searchPath+"?q=c"); a.status != http.StatusTooManyRequests && a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
}
