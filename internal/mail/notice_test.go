package mail

import (
	"html"
	"regexp"
	"strings"
	"testing"
	"time"
)

var (
	testStamp = Stamp{
		File: "Pläne & <Skizzen>.pdf", Digest: strings.Repeat("ab12", 16), Created: time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC),
		Certificate: "https://stamps.example.org/cert/abcdefgh", Verify: "https://stamps.example.org/verify/" + strings.Repeat("ab12", 16),
	}
	testAttestation = Attestation{
		Target: "bitcoin", Network: "mainnet", Height: 900000, BlockHash: strings.Repeat("0", 16) + strings.Repeat("3f", 24),
		BlockTime: time.Date(2026, 5, 1, 11, 30, 0, 0, time.FixedZone("", 3600)), Transaction: strings.Repeat("7c", 32),
	}
)

// Text and page say the same, and what they must.
func TestNotices(t *testing.T) {
	s := Service{URI: "https://stamps.example.org"}
	proof := []byte("\x00OpenTimestamps")
	onTest := testAttestation
	onTest.Network, onTest.TestNetwork = "signet", true
	trouble := Trouble{Target: "bitcoin", Network: "mainnet", Code: "no_funds", Message: "The wallet is empty: send coins to bc1qtest.", Since: time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)}
	over := trouble
	over.Code = "ok"
	unnamed := Stamp{Digest: testStamp.Digest, Hash: "ripemd160"}
	stampWords := []string{testStamp.File, testStamp.Digest, "SHA-256", "1 May 2026 10:00 UTC", testStamp.Certificate, testStamp.Verify}
	blockWords := []string{"900000 of Bitcoin", "1 May 2026 10:30 UTC", testAttestation.BlockHash, testAttestation.Transaction}
	for _, c := range []struct {
		name    string
		m       Message
		subject string
		file    string
		words   []string
		not     []string
	}{
		{"confirmed", s.Confirmed(testStamp, testAttestation, proof), "Timestamp confirmed: Pläne & <Skizzen>.pdf", "Pläne & _Skizzen_.pdf.ots",
			append([]string{`ots verify "Pläne & _Skizzen_.pdf.ots"`, "confirmed"}, append(stampWords, blockWords...)...), []string{"TEST NETWORK", "not attached"}},
		{"confirmed without a proof", s.Confirmed(testStamp, testAttestation, nil), "Timestamp confirmed: Pläne & <Skizzen>.pdf", "",
			append([]string{"The proof is not attached"}, stampWords...), []string{"ots verify"}},
		{"confirmed on a test network", s.Confirmed(testStamp, onTest, proof), "[TEST NETWORK] Timestamp confirmed: Pläne & <Skizzen>.pdf", "TEST-NETWORK-Pläne & _Skizzen_.pdf.ots",
			append([]string{"TEST NETWORK", "proves nothing", "900000 of Bitcoin signet"}, stampWords...), []string{"ots verify"}},
		{"withdrawn", s.Withdrawn(testStamp, testAttestation), "Timestamp no longer confirmed: Pläne & <Skizzen>.pdf", "",
			append([]string{"Do not rely on that confirmation"}, append(stampWords, blockWords...)...), []string{"TEST NETWORK", "ots verify"}},
		{"withdrawn on a test network", s.Withdrawn(testStamp, onTest), "[TEST NETWORK] Timestamp no longer confirmed: Pläne & <Skizzen>.pdf", "", []string{"TEST NETWORK"}, nil},
		{"trouble", s.Trouble(trouble), "bitcoin cannot anchor: no_funds", "", []string{"bitcoin", "mainnet", "cannot anchor", trouble.Message, "no_funds", "1 May 2026 10:00 UTC", "datestoned wallet"}, []string{"TEST NETWORK", "again"}},
		{"trouble over", s.Trouble(over), "bitcoin anchors again", "", []string{"anchors again"}, []string{"cannot", "bc1qtest"}},
		{"confirmed without a name", s.Confirmed(unnamed, onTest, proof), "[TEST NETWORK] Timestamp confirmed: ab12ab12ab12ab12…", "TEST-NETWORK-" + testStamp.Digest + ".ots",
			[]string{"RIPEMD160", testStamp.Digest}, []string{"Received", "File", "0001"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.m.Subject != c.subject {
				t.Errorf("the subject is %q", c.m.Subject)
			}
			switch {
			case c.file == "" && len(c.m.Attachments) != 0:
				t.Errorf("%q is attached", c.m.Attachments[0].Name)
			case c.file != "" && (len(c.m.Attachments) != 1 || c.m.Attachments[0].Name != c.file || string(c.m.Attachments[0].Content) != string(proof)):
				t.Errorf("%+v is attached, not %q", c.m.Attachments, c.file)
			}
			page := html.UnescapeString(c.m.HTML)
			for _, w := range append(c.words, s.URI) {
				if !strings.Contains(c.m.Text, w) || !strings.Contains(page, w) {
					t.Errorf("%q is missing in one of\n%s\n%s", w, c.m.Text, c.m.HTML)
				}
			}
			for _, w := range c.not {
				if strings.Contains(c.m.Text, w) || strings.Contains(page, w) {
					t.Errorf("%q is in one of\n%s\n%s", w, c.m.Text, c.m.HTML)
				}
			}
			if strings.Contains(c.m.HTML, "<Skizzen>") || strings.Contains(c.m.HTML, "ZgotmplZ") || regexp.MustCompile(`(?i)<(img|script|link|iframe)|url\(`).MatchString(c.m.HTML) {
				t.Errorf("the page has what it should not:\n%s", c.m.HTML)
			}
			if strings.Contains(c.m.Text, "\n\n\n") || strings.HasPrefix(c.m.Text, "\n") || strings.Contains(c.m.Text, "<no value>") {
				t.Errorf("the text has holes:\n%q", c.m.Text)
			}
			c.m.To, c.m.ID = "ann@example.org", "a"
			raw, err := testClient(t).compose(c.m)
			if err != nil {
				t.Fatal(err)
			}
			if l := read(t, raw); c.file != "" && l.files[c.file] == nil {
				t.Errorf("the files are %q", l.files)
			}
		})
	}
}
