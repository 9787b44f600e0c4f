package certificate

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/page"
	"github.com/datestone/datestone/internal/seed"
	"github.com/datestone/datestone/internal/store"
	"github.com/datestone/datestone/ots"
)

// unmarked is a page's text.
func unmarked(page string) string {
	_, page, _ = strings.Cut(page, "</style>")
	return strings.Join(strings.Fields(html.UnescapeString(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(page, " "))), " ")
}

// TestStatus: the page says what the position of the stamp is worth, and the proof beside it is as far.
func TestStatus(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		st := r.stamp(r.a, "plan", "plan.pdf")
		path := pathOf(st, "")
		attestations := func() string {
			t.Helper()
			f, err := ots.ParseFile([]byte(r.get(200, pathOf(st, ".ots")).body))
			if err != nil {
				t.Fatal(err)
			}
			var all []string
			if err := f.Timestamp.Walk(f.Digest, func(n *ots.Timestamp, _ []byte) error {
				for _, a := range n.Attestations() {
					all = append(all, a.String())
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			return strings.Join(all, " ")
		}
		pending := []string{"Not confirmed yet", "Nothing yet that could be checked without this service", "ots -l " + testURI + " upgrade " + st.Certificate + ".ots", "-TEST NETWORK", "-existed by"}
		r.contains("pending", unmarked(r.get(200, path).body), append(pending, digestOf(st), "Status pending (as of 2 May 2026, 08:30 UTC)", "Received 1 May 2026, 10:00:01 UTC", "-block 900001")...)
		r.contains("the proof of a pending stamp", attestations(), testURI, "-Bitcoin")

		r.mine(6)
		r.contains("mined", unmarked(r.get(200, path).body), append(pending, "in block 900001, waiting for more blocks", "when the block is 6 blocks deep; it was 1 deep")...)
		r.contains("the proof of a mined stamp", attestations(), testURI, "-Bitcoin")
		r.withdraw()
		r.contains("not in the block any more", unmarked(r.get(200, path).body), append(pending, "-withdrawn", "-900001")...)

		ref := r.mine(1)
		r.contains("confirmed", unmarked(r.get(200, path).body), "This file existed by 1 May 2026", "block 900001 of the Bitcoin blockchain", "1 May 2026, 11:00:00 UTC",
			"Transaction "+ref, "ab000000000000000000000000000000000000000000000000000000000000"+fmt.Sprintf("%02x", len(r.blocks)),
			"wrong by about two hours", "ots verify -f FILE "+st.Certificate+".ots", "datestone verify -f FILE", "sha256sum FILE", "-TEST NETWORK", "-upgrade")
		r.contains("the proof of a confirmed stamp", attestations(), "BitcoinBlockHeaderAttestation(900001)", "-"+testURI)

		r.withdraw()
		r.contains("withdrawn", unmarked(r.get(200, path).body), "The confirmation was withdrawn", "left the chain on 2 May 2026, 07:30:15 UTC", "900001 of the Bitcoin blockchain, which it is no longer in", "withdrawn, pending again", "Nothing yet that could", "-existed by")
		r.contains("the proof of a withdrawn stamp", attestations(), testURI, "-Bitcoin")
		later := r.stamp(r.a, "later", "later.pdf")
		r.contains("made after what was withdrawn", unmarked(r.get(200, pathOf(later, "")).body), "Not confirmed yet", "-withdrawn")
		r.mine(1)
		r.contains("confirmed again", unmarked(r.get(200, path).body), "This file existed by 1 May 2026", "-withdrawn")

		r.network("regtest", true)
		for where, a := range map[string]answer{
			"certificate": r.get(200, path), "none": r.get(404, "/cert/TS-ZZZZZZ"), "digest": r.get(200, "/verify/"+digestOf(st)), "no digest": r.get(404, "/verify/"+strings.Repeat("0f", 32)), "forms": r.get(200, "/verify"),
		} {
			r.contains(where, a.body, "<title>TEST NETWORK · ", "<strong>TEST NETWORK</strong>", "-existed by")
		}
		r.contains("on a test network", unmarked(r.get(200, path).body), "What is proven Nothing. The blocks of the Bitcoin test network regtest cost nothing", "ots --btc-regtest --bitcoin-node", "TEST-NETWORK-"+st.Certificate+".ots")
		for suffix, name := range map[string]string{".ots": ".ots", ".pdf": ".pdf", ".zip": "-evidence.zip"} {
			if got, want := r.get(200, pathOf(st, suffix)).header.Get("Content-Disposition"), `attachment; filename="TEST-NETWORK-`+st.Certificate+name+`"`; got != want {
				t.Errorf("%s: %s, want %s", suffix, got, want)
			}
		}
	})
}

// TestHidden: what the owner said of a file is in no form of a certificate that is not public, and what does not exist
// is not found in any.
func TestHidden(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		b := &account.Branding{Name: "Secret Client Ltd", LogoURL: "https://secret.example/logo.png", Color: "#123456"}
		if err := r.db.SetBranding(t.Context(), r.a.ID, b); err != nil {
			t.Fatal(err)
		}
		st := r.stamp(r.a, "secret", "secret-plan.pdf")
		if err := r.db.ChangeStamp(t.Context(), st.Account, st.ID, account.Change{Public: new(false), Thumbnail: &pngBytes}); err != nil {
			t.Fatal(err)
		}
		r.mine(1)
		private := []string{"-secret-plan", "-248", "-x-private", "-Secret Client", "-secret.example", "-#123456", "-a@example.org", "-<img"}
		hidden := func() {
			t.Helper()
			for _, query := range []string{"", "?sha256=" + digestOf(st)} {
				page := r.get(200, pathOf(st, "")+query)
				r.contains("the page", page.body, append(private, digestOf(st), "This file existed by", "not made this certificate public")...)
				r.contains("its policy", page.header.Get("Content-Security-Policy"), "img-src 'self';")
			}
			r.contains("the page of the digest", r.get(200, "/verify/"+digestOf(st)).body, append(private, st.Certificate, "This file existed by", "-made public")...)
			r.contains("the instructions", unzip(t, []byte(r.get(200, pathOf(st, ".zip")).body))[2].body, private...)
			r.contains("the PDF", pdfText(t, []byte(r.get(200, pathOf(st, ".pdf")).body)), private...)
			r.get(404, pathOf(st, "/thumbnail"))
		}
		hidden()
		r.publish(st, pngBytes)
		r.contains("once it is public", r.get(200, "/cert/"+st.Certificate).body, "secret-plan.pdf", "Secret Client Ltd", "application/x-private")
		r.contains("once it is public, by digest", r.get(200, "/verify/"+digestOf(st)).body, "secret-plan.pdf", st.Certificate)
		if err := r.db.ChangeStamp(t.Context(), st.Account, st.ID, account.Change{Public: new(false), Thumbnail: &pngBytes}); err != nil {
			t.Fatal(err)
		}
		hidden()
		for _, suffix := range []string{"", ".pdf", ".ots", ".zip", "/thumbnail"} {
			if a := r.get(404, "/cert/TS-ZZZZZZ"+suffix); a.header.Get("Cache-Control") != "no-store" {
				t.Errorf("what does not exist may be kept: %v", a.header)
			}
		}
		r.get(404, "/verify/"+strings.Repeat("0f", 32))
	})
}

// pngBytes is a picture of one pixel.
var pngBytes = []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89\x00\x00\x00\rIDATx\x9cc\xf8\xcf\xc0\xf0\x1f\x00\x05\x00\x01\xff\x89\x99=\x1d\x00\x00\x00\x00IEND\xaeB`\x82")

// TestPublic: the owner's data is shown, and nothing in it does any harm.
func TestPublic(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		plain := r.stamp(r.a, "plain", "plain.pdf")
		r.publish(plain, nil)
		r.contains("without branding and thumbnail", r.get(200, "/cert/"+plain.Certificate).body, "<bdi>plain.pdf</bdi>", "248.3 kB (248331 bytes)", "-<img", "-class=\"brand\"")
		r.get(404, "/cert/"+plain.Certificate+"/thumbnail")

		b := &account.Branding{Name: `<b>"A" & Co</b>`, LogoURL: "https://logo.example:8443/a;b,c'd e.png?x=1;script-src *", Color: "#8A2be2"}
		if err := r.db.SetBranding(t.Context(), r.a.ID, b); err != nil {
			t.Fatal(err)
		}
		for i, name := range []string{"<script>alert(1)</script>.pdf", "invoice\u202efdp.exe", `"><img src=x onerror=alert(1)>.pdf`, "{{.Proof}}", "${x}`y`", "a\u2028b.pdf", strings.Repeat("x", 255), strings.Repeat("長", 85), "עברית \u2067.pdf"} {
			st := r.stamp(r.a, fmt.Sprint("name ", i), name)
			r.publish(st, pngBytes)
			got := r.get(200, "/cert/"+st.Certificate)
			r.contains("the page of "+name, got.body, "<bdi>"+strings.ReplaceAll(html.EscapeString(page.Visible(name)), "+", "&#43;")+"</bdi>", "-<script", "-<b>", "-\u202e", "-\u2028", "-\u2067", `fill="#8A2be2"`,
				"&lt;b&gt;&#34;A&#34; &amp; Co&lt;/b&gt;", `referrerpolicy="no-referrer"`, `src="../cert/`+st.Certificate+`/thumbnail"`)
			if n := strings.Count(got.body, "<img"); n != 2 {
				t.Errorf("%s: %d pictures", name, n)
			}
		}
		st := r.stamp(r.a, "branded", "branded.pdf")
		r.publish(st, pngBytes)
		page := r.get(200, "/cert/"+st.Certificate)
		want := "default-src 'none'; style-src " + regexp.MustCompile(`'sha256-[^']+'`).FindString(page.header.Get("Content-Security-Policy")) +
			"; img-src 'self' https://logo.example:8443/a%3Bb%2Cc%27d%20e.png; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
		if d := cmp.Diff(want, page.header.Get("Content-Security-Policy")); d != "" {
			t.Error(d)
		}
		if got := page.header.Get("Referrer-Policy"); got != "no-referrer" {
			t.Errorf("Referrer-Policy %q", got)
		}
		picture := r.get(200, "/cert/"+st.Certificate+"/thumbnail")
		if picture.body != string(pngBytes) || picture.header.Get("Content-Type") != "image/png" || picture.header.Get("Content-Security-Policy") != "default-src 'none'; sandbox" || picture.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("the thumbnail: %v", picture.header)
		}

		// A hash that came without a file's name has none on its certificate.
		made, err := r.db.AppendStamps(t.Context(), r.now, []account.Create{{Account: r.a.ID, Quota: 1000, Items: []account.Item{{SHA256: [32]byte{1}, Submission: new(seed.Submission)}}}})
		if err != nil || made[0].Err != nil {
			t.Fatal(err, made)
		}
		submitted := made[0].Stamps[0]
		r.publish(submitted, nil)
		r.contains("a submitted hash", r.get(200, "/cert/"+submitted.Certificate).body, hex.EncodeToString(submitted.SHA256[:]), "-<dt>File", "-bytes)")

		// What is unchanged is not sent again.
		tag := page.header.Get("ETag")
		again := r.do("GET", "/cert/"+st.Certificate, "If-None-Match", tag)
		if tag == "" || again.status != http.StatusNotModified || again.body != "" || page.header.Get("Cache-Control") != "private, no-cache" {
			t.Errorf("asked again with %s: %d", tag, again.status)
		}
		r.mine(1)
		if again = r.do("GET", "/cert/"+st.Certificate, "If-None-Match", tag); again.status != 200 {
			t.Errorf("asked again after it was confirmed: %d", again.status)
		}
	})
}

// TestLogo: a logo that a policy cannot name is not shown.
func TestLogo(t *testing.T) {
	for logo, want := range map[string]string{
		"https://logo.example/a.png":            "https://logo.example/a.png",
		"https://logo.example":                  "https://logo.example",
		"https://[2001:db8::1]/a.png":           "",
		"https://löge.example/a.png":            "",
		"http://logo.example/a.png":             "",
		"https://user@logo.example/a.png":       "",
		"https://logo.example; script-src *":    "",
		"https://logo.example'unsafe-inline'/x": "",
		"javascript:alert(1)":                   "",
	} {
		c := &Certificate{Branding: &account.Branding{Name: "x", LogoURL: logo}}
		if address, source := c.logo(); source != want || (address == "") != (want == "") {
			t.Errorf("%s: %q allowed by %q, want %q", logo, address, source, want)
		}
	}
}

// TestVerify: of several certificates of a digest the earliest public one answers, or else the earliest.
func TestVerify(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		first, second := r.stamp(r.a, "shared", "first.pdf"), r.stamp(r.b, "shared", "second.pdf")
		path := "/verify/" + digestOf(first)
		r.contains("while none is public", unmarked(r.get(200, path).body), first.Certificate, "-"+second.Certificate, "-first.pdf", "-second.pdf")
		r.publish(second, nil)
		r.contains("the second one is public", r.get(200, path).body, second.Certificate, "second.pdf", "-first", "-"+first.Certificate, `href="../cert/`+second.Certificate+`"`)
		r.publish(first, nil)
		r.contains("both are public", r.get(200, path).body, first.Certificate, "first.pdf", "-second")
		// Who has the file sees each certificate by its own id, and no other by it.
		r.contains("the second by its id", r.get(200, "/cert/"+second.Certificate).body, "second.pdf", "-first.pdf", "-is of another file", "-that you gave")
		// Who asks with a digest is told whether it is that of the certificate.
		r.contains("with its digest", r.get(200, pathOf(second, "")+"?sha256="+digestOf(second)).body, "that you gave is the one", "-is of another file")
		for _, other := range []string{strings.Repeat("0f", 32), "nonsense"} {
			r.contains("with another digest", r.get(200, "/cert/"+second.Certificate+"?sha256="+other).body, "This certificate is of another file", other, "-that you gave is the one")
		}
	})
}

func TestForms(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		st := r.stamp(r.a, "plan", "plan.pdf")
		digest, upper := digestOf(st), strings.ToUpper(digestOf(st))
		for path, want := range map[string]string{
			"/cert?id=" + strings.ToLower(st.Certificate) + "&sha256=" + upper: "cert/" + st.Certificate + "?sha256=" + digest,
			"/cert?id=+" + st.Certificate + "+&sha256=":                        "cert/" + st.Certificate,
			"/verify?sha256=" + upper + "++plan.pdf":                           "verify/" + digest,
			"/cert/" + strings.ToLower(st.Certificate):                         "../cert/" + st.Certificate,
			"/cert/" + st.Certificate + "?sha256=" + upper:                     "../cert/" + st.Certificate + "?sha256=" + digest,
			"/cert/" + strings.ToLower(st.Certificate) + "/thumbnail":          "../../cert/" + st.Certificate + "/thumbnail",
			"/verify/" + upper: digest,
		} {
			if a := r.get(http.StatusSeeOther, path); a.header.Get("Location") != want {
				t.Errorf("%s leads to %s, want %s", path, a.header.Get("Location"), want)
			}
		}
		r.contains("an empty form", r.get(200, "/verify").body, `name="sha256"`, `name="id"`, "-That leads nowhere")
		r.contains("a wrong form", r.get(200, `/cert?id="><script>&sha256=12`).body, "That leads nowhere", "-<script>", `value="&#34;&gt;&lt;SCRIPT&gt;"`)
	})
}

// faulty is a store that fails as it is told.
type faulty struct {
	*store.DB
	shown, leaves error
}

func (f faulty) StampByCertificate(ctx context.Context, certificate string) (account.Stamp, error) {
	if f.shown != nil {
		return account.Stamp{}, f.shown
	}
	return f.DB.StampByCertificate(ctx, certificate)
}

func (f faulty) BatchLeaves(ctx context.Context, p logtree.Position) ([][32]byte, error) {
	if f.leaves != nil {
		return nil, f.leaves
	}
	return f.DB.BatchLeaves(ctx, p)
}

// TestFaults: what is wrong with the store is said without its cause, and never looks like a certificate that is not
// there.
func TestFaults(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		st := r.stamp(r.a, "plan", "plan.pdf")
		for _, c := range []struct {
			store  faulty
			status int
			retry  string
			text   string
		}{
			{faulty{shown: errors.New("private cause")}, 500, "", "Internal error."},
			{faulty{shown: fmt.Errorf("private cause: %w", store.ErrBusy)}, 503, "1", "The service has too much to do"},
			{faulty{shown: fmt.Errorf("private cause: %w", context.DeadlineExceeded)}, 503, "1", "The service has too much to do"},
			{faulty{leaves: fmt.Errorf("private cause: %w", store.ErrNotFound)}, 503, "60", "The proof cannot be read now"},
		} {
			c.store.DB = r.db
			r.server.config.Store = c.store
			for _, suffix := range []string{"", ".pdf", ".ots", ".zip"} {
				a := r.get(c.status, pathOf(st, suffix))
				r.contains("the answer", a.body, c.text, "-private")
				if a.header.Get("Retry-After") != c.retry || a.header.Get("Cache-Control") != "no-store" || a.header.Get("Content-Disposition") != "" || a.header.Get("Content-Type") != "text/html; charset=utf-8" {
					t.Errorf("header %v", a.header)
				}
			}
		}
		r.server.config.Store = r.db
		r.get(200, pathOf(st, ""))
	})
}

func TestRefusals(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		st := r.stamp(r.a, "plan", "plan.pdf")
		r.publish(st, nil)
		for _, path := range []string{
			"/cert/", "/cert/TS-12345", "/cert/TS-12345678901234", "/cert/XX-123456", "/cert/TS-12345%C3%A9", "/cert/" + st.Certificate + ".exe", "/cert/" + st.Certificate + "/", "/cert/" + st.Certificate + "/x",
			"/cert/TS-%00%00%00%00%00%00", "/cert/TS-'OR'1'=", "/verify/", "/verify/abc", "/verify/" + strings.Repeat("g", 64), "/verify/" + digestOf(st) + "/", "/verify/" + digestOf(st) + "00",
		} {
			a := r.get(404, path)
			r.contains(path, a.body, "<h1>Not Found</h1>")
			r.contains(path, a.header.Get("Content-Type"), "text/html; charset=utf-8")
			if a.header.Get("X-Request-Id") == "" {
				t.Errorf("%s has no request id", path)
			}
		}
		for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS"} {
			if a := r.do(method, "/cert/"+st.Certificate); a.status != 405 || a.header.Get("Allow") != "GET, HEAD" || !strings.Contains(a.body, "<h1>Method Not Allowed</h1>") {
				t.Errorf("%s: %d %v", method, a.status, a.header)
			}
		}
		for _, path := range []string{"/cert/" + st.Certificate, "/cert/" + st.Certificate + ".ots", "/verify/" + digestOf(st), "/cert/TS-ZZZZZZ", "/cert"} {
			r.now = testNow
			got := r.do("GET", path)
			r.now = testNow
			head := r.do("HEAD", path)
			if head.status != got.status || head.body != "" || head.header.Get("Content-Length") != fmt.Sprint(len(got.body)) || head.header.Get("Content-Type") != got.header.Get("Content-Type") {
				t.Errorf("HEAD %s: %d %v, GET %d with %d bytes", path, head.status, head.header, got.status, len(got.body))
			}
		}

		// Found or not, an address has so many look-ups in a minute; others have theirs.
		r.now = testNow.Add(time.Hour)
		r.site = "198.51.100.7:1000"
		ask := func(path string) answer {
			at := r.now
			a := r.do("GET", path)
			r.now = at
			return a
		}
		paths := []string{"/cert/TS-ZZZZZZ", "/cert/" + st.Certificate, "/verify/" + digestOf(st), "/cert/" + st.Certificate + ".ots"}
		for i := range lookupsPerSite {
			if a := ask(paths[i%len(paths)]); a.status == 429 {
				t.Fatalf("look-up %d is refused", i)
			}
		}
		for _, path := range paths {
			a := ask(path)
			r.contains("a look-up too many", a.body, "<h1>Too Many Requests</h1>", "try again in 60 seconds", "-"+st.Certificate)
			if a.status != 429 || a.header.Get("Retry-After") != "60" || a.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %d %v", path, a.status, a.header)
			}
		}
		if a := ask("/cert/nonsense"); a.status != 404 {
			t.Errorf("what cannot be an id: %d", a.status)
		}
		r.site = "198.51.100.8:1000"
		if a := ask(paths[1]); a.status != 200 {
			t.Errorf("another address: %d", a.status)
		}
		r.site = "198.51.100.7:1000"
		r.now = r.now.Add(time.Minute)
		if a := ask(paths[1]); a.status != 200 {
			t.Errorf("a minute later: %d", a.status)
		}
	})
}
