package certificate

import (
	"archive/zip"
	"bytes"
	"fmt"
	"image"
	"image/color"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/page"
	"github.com/datestone/datestone/internal/qr"
)

// tool runs a program of poppler-utils, which script/setup installs, over a PDF.
func tool(t *testing.T, file []byte, name string, args ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "certificate.pdf")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	for i, a := range args {
		if a == "PDF" {
			args[i] = path
		}
	}
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v (script/setup installs poppler-utils)\n%s", name, err, out)
	}
	return string(out)
}

// pdfText is the text of a PDF with its lines joined.
func pdfText(t *testing.T, file []byte) string {
	t.Helper()
	return strings.Join(strings.Fields(tool(t, file, "pdftotext", "-layout", "PDF", "-")), " ")
}

type zipped struct {
	name, body string
	modified   time.Time
}

func unzip(t *testing.T, file []byte) (all []zipped) {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, zipped{f.Name, string(body), f.Modified})
	}
	return all
}

// TestPDF: the PDF says what the page says, and another program takes out of it the proof as it is.
func TestPDF(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		b := &account.Branding{Name: "Łódź & Søn 株式会社", Color: "#8a2be2"}
		if err := r.db.SetBranding(t.Context(), r.a.ID, b); err != nil {
			t.Fatal(err)
		}
		st := r.stamp(r.a, "plan", "契約書 최종 Ελλάδα Ñandú.pdf")
		r.publish(st, nil)
		check := func(want ...string) {
			t.Helper()
			a := r.get(200, "/cert/"+st.Certificate+".pdf")
			if a.header.Get("Content-Type") != "application/pdf" {
				t.Errorf("header %v", a.header)
			}
			file := []byte(a.body)
			r.contains("the PDF", pdfText(t, file), append(want, st.Certificate, digestOf(st), testURI+"/cert/"+st.Certificate, "契約書 최종 Ελλάδα Ñandú.pdf", "Łódź & Søn 株式会社", "248.3 kB (248331 bytes)")...)
			name := st.Certificate + ".ots"
			for _, w := range want {
				if w == "TEST NETWORK" {
					name = "TEST-NETWORK-" + name
				}
			}
			dir := t.TempDir()
			tool(t, file, "pdfdetach", "-saveall", "-o", dir, "PDF")
			got, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if proof := r.get(200, "/cert/"+st.Certificate+".ots").body; string(got) != proof {
				t.Error("the proof in the PDF is another")
			}
			if info := tool(t, file, "pdfinfo", "PDF"); !strings.Contains(info, "(A4)") {
				t.Error(info)
			}
			for i, line := range strings.Split(strings.TrimSpace(tool(t, file, "pdffonts", "PDF")), "\n") {
				if fields := strings.Fields(line); i >= 2 && fields[len(fields)-5] != "yes" {
					t.Errorf("a font that is not embedded: %s", line)
				}
			}
		}
		check("Not confirmed yet", "Nothing yet that could be checked", "-TEST NETWORK")
		r.mine(1)
		check("This file existed by 1 May 2026", "block 900001 of the Bitcoin blockchain", "ots verify -f FILE", "Page 1", "-Page 2", "-TEST NETWORK")
		r.withdraw()
		check("The confirmation was withdrawn", "left the chain on 2 May 2026", "-existed by")
		r.network("regtest", true)
		check("TEST NETWORK", "Proves nothing")
	})
}

// TestHostileNames: whatever the name, there is a PDF, and it shows what a person could not see.
func TestHostileNames(t *testing.T) {
	certificate := func(name string) *Certificate {
		return &Certificate{
			ID: "TS-ABC123", SHA256: strings.Repeat("ab", 32), Received: received, AsOf: testNow, Status: Confirmed, Chain: "the Bitcoin blockchain", Network: "mainnet",
			Block: &logtree.Attestation{Height: 900_001, BlockTime: blockTime, Ref: strings.Repeat("cd", 32)}, Proof: []byte("proof"), Service: testURI,
			File: &account.File{Name: name, Size: 1, Type: name}, Branding: &account.Branding{Name: name},
		}
	}
	for name, want := range map[string]string{
		"<script>alert(1)</script>.pdf": "File <script>alert(1)</script>.pdf Size 1 byte",
		"invoice\u202efdp.exe":          "File invoice[U+202E]fdp.exe",
		"two\nlines.pdf":                "File two[U+000A]lines.pdf",
		"smile 😀 \ufe0f.txt":            "File smile [U+1F600] .txt",
		"हि.pdf":                        "File [U+0939][U+093F].pdf",
		"(a) \\ ) endobj":               `File (a) \ ) endobj`,
		"\x00\x7f":                      "File [U+0000][U+007F]",
		"bad \xff utf8":                 "File bad \ufffd utf8",
	} {
		file, err := certificate(name).PDF()
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		if text := pdfText(t, file); !strings.Contains(text, want) {
			t.Errorf("%q: no %q in %s", name, want, text)
		}
	}
	// Long names are broken into lines and nothing of them is lost.
	for _, name := range []string{strings.Repeat("x", 255), strings.Repeat("長", 85), strings.Repeat("ab ", 85), strings.Repeat("\u202e", 85)} {
		file, err := certificate(name).PDF()
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(pdfText(t, file), " ", "")
		if want := strings.ReplaceAll(page.Visible(name), " ", ""); !strings.Contains(text, want) {
			t.Errorf("%q: not in %s", want, text)
		}
	}
	// Documents are made side by side from the same fonts.
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			if _, err := certificate(fmt.Sprint("長 عقد ", i)).PDF(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// TestSizes: sizes for people.
func TestSizes(t *testing.T) {
	for n, want := range map[int64]string{1: "1 byte", 999: "999 bytes", 1024: "1.0 kB (1024 bytes)", 5_250_000_000: "5.2 GB (5250000000 bytes)", 1<<63 - 1: "9.2 EB (9223372036854775807 bytes)"} {
		if got := Size(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
}

// TestQR: another program reads the code on the page and in the PDF's matrix as the page's own address.
func TestQR(t *testing.T) {
	for _, c := range []*Certificate{
		{ID: "TS-ABC123", Public: true, Service: testURI},
		{ID: "TS-ABC123", SHA256: strings.Repeat("ab", 32), Service: "https://a-rather-long-name.of-a-service.example:8443"},
	} {
		m, err := qr.Encode(c.Address())
		if err != nil {
			t.Fatal(err)
		}
		const scale = 4
		size := (len(m) + 2*qr.Quiet) * scale
		picture := image.NewGray(image.Rect(0, 0, size, size))
		for i := range picture.Pix {
			picture.Pix[i] = 0xff
		}
		// The path of the page, drawn as a browser does.
		for _, part := range strings.Split(strings.TrimSuffix(m.Path(), "z"), "z") {
			var x, y, w, back int
			if n, err := fmt.Sscanf(part, "M%d %dh%dv1h-%d", &x, &y, &w, &back); err != nil || n != 4 || back != w {
				t.Fatalf("%q: %v", part, err)
			}
			for dy := range scale {
				for dx := range w * scale {
					picture.SetGray(x*scale+dx, y*scale+dy, color.Gray{})
				}
			}
		}
		bitmap, err := gozxing.NewBinaryBitmapFromImage(picture)
		if err != nil {
			t.Fatal(err)
		}
		result, err := qrcode.NewQRCodeReader().Decode(bitmap, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := result.GetText(); got != c.Address() {
			t.Errorf("the code leads to %s, want %s", got, c.Address())
		}
	}
}

// TestEvidence: for its owner the evidence has all that the owner said, in files of fixed names, order and times.
func TestEvidence(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		st := r.stamp(r.a, "plan", "CON:plan?.pdf")
		for _, status := range []string{"Not confirmed yet", "This file existed by 1 May 2026"} {
			name, file, err := r.server.Evidence(t.Context(), st)
			if err != nil {
				t.Fatal(err)
			}
			if name != st.Certificate+"-evidence.zip" {
				t.Error(name)
			}
			files := unzip(t, file)
			var names []string
			for _, f := range files {
				names = append(names, f.name)
				if !f.modified.Equal(st.Created.Truncate(time.Second)) {
					t.Errorf("%s is of %v", f.name, f.modified)
				}
			}
			if got, want := strings.Join(names, " "), strings.ReplaceAll("ID.ots ID.pdf ID-verify.txt", "ID", st.Certificate); got != want {
				t.Fatalf("%s, want %s", got, want)
			}
			if files[0].body != r.get(200, pathOf(st, ".ots")).body {
				t.Error("another proof")
			}
			want := []string{status, "CON:plan?.pdf", digestOf(st), testURI + "/cert/" + st.Certificate}
			r.contains("the PDF", pdfText(t, []byte(files[1].body)), want[:3]...)
			r.contains("the instructions", files[2].body, append(want, "sha256sum FILE", "\r\n", "-\n\n")...)
			r.mine(1)
		}
	})
}
