package rest

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/datestone/datestone/api"
	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/calendar"
	"github.com/datestone/datestone/ots"
)

func batchBody(from, to int) string {
	var items []string
	for n := from; n < to; n++ {
		items = append(items, createBody(n))
	}
	return `{"items":[` + strings.Join(items, ",") + `]}`
}

// Paging shows every stamp once, newest first, with each filter, however the heads lie and while stamps are made.
func TestPaging(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		next := 0
		add := func(n int) {
			r.must(nil, 201, "POST", "/api/v1/timestamps/batch", r.aKey, batchBody(next, next+n))
			next += n
		}
		add(70)
		r.confirm()
		add(45)
		r.confirm()
		add(30)
		for status, want := range map[string]int{"all": 145, "confirmed": 115, "pending": 30, "failed": 0} {
			for _, limit := range []int{1, 7, 50, 1000} {
				if limit == 1 && status == "all" {
					continue
				}
				var all []string
				cursor := ""
				for page := 0; ; page++ {
					var list api.List
					r.must(&list, 200, "GET", fmt.Sprintf("/api/v1/timestamps?status=%s&limit=%d%s", status, limit, cursor), r.aKey, "")
					if list.TotalCount != int64(want) {
						t.Fatalf("%s: total %d, want %d", status, list.TotalCount, want)
					}
					if len(list.Data) == 0 {
						if list.NextCursor != nil {
							t.Errorf("%s: an empty page has a cursor", status)
						}
						break
					}
					if len(list.Data) > min(limit, 50) {
						t.Errorf("%s: a page of %d", status, len(list.Data))
					}
					for _, ts := range list.Data {
						if status != "all" && string(ts.Status) != status {
							t.Errorf("%s: %s is %s", status, ts.ID, ts.Status)
						}
						all = append(all, ts.SHA256Hash)
					}
					cursor = "&before=" + url.QueryEscape(*list.NextCursor)
				}
				newest := map[string]int{"all": 145, "confirmed": 115, "pending": 145}[status]
				for i, hash := range all {
					if hash != hashOf(newest-1-i) {
						t.Fatalf("%s by %d: place %d has another stamp", status, limit, i)
					}
				}
				if len(all) != want {
					t.Errorf("%s by %d: %d stamps, want %d", status, limit, len(all), want)
				}
			}
		}
	})
}

func TestCursors(t *testing.T) {
	at := time.Date(2026, 5, 1, 10, 0, 0, 123456000, time.UTC)
	for text, want := range map[string]time.Time{
		"2026-05-01T10:00:00.123456Z":      at,
		"2026-05-01T12:00:00.123456+02:00": at,
		"2026-05-01T12:00:00.123456 02:00": at, // the plus sign was not escaped
		"2026-05-01T10:00:00.123456":       at,
		"2026-05-01T10:00:00.1234551Z":     at, // rounded up: what was before it still is
		"2026-05-01T10:00:00.123Z":         at.Truncate(time.Millisecond),
		"2026-05-01T10:00Z":                at.Truncate(time.Hour),
		"2026-05-01":                       at.Truncate(24 * time.Hour),
	} {
		if got, ok := parseCursor(text, true); !ok || !got.Equal(want) {
			t.Errorf("%q: %v, %v; want %v", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "1", "1777629600", "2026-13-01", "10:00:00", "2026-05-01T25:00:00Z", "now"} {
		if got, ok := parseCursor(text, true); ok {
			t.Errorf("%q: %v", text, got)
		}
	}
	if got := cursorAt(at); got != "2026-05-01T10:00:00.123456Z" {
		t.Error(got)
	}
	if got := cursorAt(at.Truncate(time.Millisecond)); got != "2026-05-01T10:00:00.123Z" {
		t.Error(got)
	}
}

// A replay is the first answer, byte for byte, whatever happened to the stamp since.
func TestReplay(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		picture := base64.StdEncoding.EncodeToString([]byte("\x89PNG\r\n\x1a\n..."))
		with := strings.TrimSuffix(createBody(1), "}") + `,"thumbnail":"` + picture + `"}`
		for i, body := range []string{createBody(0), with} {
			key := fmt.Sprint("key ", i)
			var ts api.Timestamp
			first := r.must(&ts, 201, "POST", "/api/v1/timestamps", r.aKey, body, "Idempotency-Key", key)
			if hasURL := strings.Contains(first.body, `"thumbnail_url":"/api/v1/timestamps/`+ts.ID+`/thumbnail"`); hasURL != (i == 1) {
				t.Errorf("thumbnail: %s", first.body)
			}
			r.confirm()
			change := `{"certificate_public":true,"thumbnail":"` + picture + `"}`
			if i == 1 {
				change = `{"thumbnail":null}`
			}
			r.must(nil, 200, "PATCH", "/api/v1/timestamps/"+ts.ID, r.aKey, change)
			again := r.must(nil, 201, "POST", "/api/v1/timestamps", r.aKey, body, "Idempotency-Key", key)
			if d := cmp.Diff(first.body, again.body); d != "" {
				t.Errorf("replay: %s", d)
			}
			// The key of another account is another key.
			r.must(nil, 201, "POST", "/api/v1/timestamps", r.bKey, body, "Idempotency-Key", key)
			if got := r.do("POST", "/api/v1/timestamps", r.aKey, body+" ", "Idempotency-Key", key); got.status != 409 || !strings.Contains(got.body, "IDEMPOTENCY_MISMATCH") {
				t.Errorf("one more byte: %+v", got)
			}
		}
		first := r.must(nil, 201, "POST", "/api/v1/timestamps/batch", r.aKey, batchBody(10, 20), "Idempotency-Key", "batch")
		again := r.must(nil, 201, "POST", "/api/v1/timestamps/batch", r.aKey, batchBody(10, 20), "Idempotency-Key", "batch")
		if d := cmp.Diff(first.body, again.body); d != "" {
			t.Errorf("replay of a batch: %s", d)
		}
		if used, err := r.db.QuotaUsed(t.Context(), r.a.ID, account.Month(time.Now())); err != nil || used != 12 {
			t.Errorf("%d of the quota used, want 12; %v", used, err)
		}
	})
}

// One key for a stamp and for a batch is a mismatch, also when one body would do for both.
func TestKeyOfAnotherOperation(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		both := strings.TrimSuffix(createBody(0), "}") + "," + strings.TrimPrefix(batchBody(1, 3), "{")
		one, batch := "/api/v1/timestamps", "/api/v1/timestamps/batch"
		for key, paths := range map[string][2]string{"stamp first": {one, batch}, "batch first": {batch, one}} {
			first := r.must(nil, 201, "POST", paths[0], r.aKey, both, "Idempotency-Key", key)
			checkError(t, r.do("POST", paths[1], r.aKey, both, "Idempotency-Key", key, "X-Request-Id", "req-7"), api.ErrIdempotencyMismatch, "The same Idempotency-Key was reused for a different create payload.", nil)
			if again := r.must(nil, 201, "POST", paths[0], r.aKey, both, "Idempotency-Key", key); again.body != first.body {
				t.Errorf("%s: replayed as %s", key, again.body)
			}
			both = strings.TrimSuffix(createBody(10), "}") + "," + strings.TrimPrefix(batchBody(11, 13), "{")
		}
	})
}

// Changes of different fields at the same time do not undo each other.
func TestPatchRaces(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		path := "/api/v1/timestamps/" + r.create(r.aKey, 0).ID
		picture := base64.StdEncoding.EncodeToString([]byte("\x89PNG\r\n\x1a\n"))
		for range 20 {
			r.must(nil, 200, "PATCH", path, r.aKey, `{"certificate_public":false,"thumbnail":null}`)
			answers := make([]answer, 2)
			var wg sync.WaitGroup
			for i, body := range []string{`{"certificate_public":true}`, `{"thumbnail":"` + picture + `"}`} {
				wg.Go(func() { answers[i] = r.do("PATCH", path, r.aKey, body) })
			}
			wg.Wait()
			st := r.stored(strings.TrimPrefix(path, "/api/v1/timestamps/"))
			if answers[0].status != 200 || answers[1].status != 200 || !st.Public || st.Thumbnail == nil {
				t.Fatalf("public %v, a thumbnail of %d bytes after %+v", st.Public, len(st.Thumbnail), answers)
			}
		}
	})
}

// Of creates that race one makes the stamp; the others are told so, or get its answer.
func TestRaces(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		race := func(body string, fields ...string) map[string]int {
			answers := make([]answer, 20)
			var wg sync.WaitGroup
			for i := range answers {
				wg.Go(func() {
					answers[i] = r.do("POST", "/api/v1/timestamps", r.aKey, body, append(fields, "X-Request-Id", "one")...)
				})
			}
			wg.Wait()
			bodies := make(map[string]int)
			for _, a := range answers {
				bodies[fmt.Sprint(a.status, " ", a.body)]++
			}
			return bodies
		}
		bodies := race(createBody(0), "Idempotency-Key", "one")
		if len(bodies) != 1 {
			t.Errorf("with one key: %v", bodies)
		}
		for body := range bodies {
			if !strings.HasPrefix(body, "201 ") {
				t.Errorf("with one key: %s", body)
			}
		}
		created, duplicates := 0, 0
		for body, n := range race(createBody(1)) {
			switch {
			case strings.HasPrefix(body, "201 "):
				created += n
			case strings.Contains(body, "DUPLICATE_TIMESTAMP"):
				duplicates += n
			default:
				t.Error(body)
			}
		}
		if created != 1 || duplicates != 19 {
			t.Errorf("of one hash %d were created and %d refused", created, duplicates)
		}
	})
}

func TestBatch(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		before := r.create(r.aKey, 2)
		tx := r.confirm()
		body := `{"items":[` + createBody(0) + "," + createBody(1) + "," + createBody(2) + "," + createBody(0) + `]}`
		var got api.BatchAnswer
		r.must(&got, 201, "POST", "/api/v1/timestamps/batch", r.aKey, body)
		var results []string
		for i, d := range got.Data {
			results = append(results, d.Result)
			if want := hashOf([]int{0, 1, 2, 0}[i]); d.Timestamp.SHA256Hash != want {
				t.Errorf("item %d is of %s", i, d.Timestamp.SHA256Hash)
			}
		}
		if d := cmp.Diff([]string{"created", "created", "existing", "existing"}, results); d != "" || got.Created != 2 || got.Existing != 2 {
			t.Errorf("%d created, %d existing: %s", got.Created, got.Existing, d)
		}
		if d := got.Data[2].Timestamp; d.ID != before.ID || d.Status != api.StatusConfirmed || *d.BlockchainTx != tx {
			t.Errorf("what was there: %+v", d)
		}
		if got.Data[3].Timestamp.ID != got.Data[0].Timestamp.ID {
			t.Error("one hash has two stamps")
		}
		const many = calendar.MaxBatch + 100 // more than an entry takes
		r.must(&got, 201, "POST", "/api/v1/timestamps/batch", r.aKey, batchBody(100, 100+many))
		if got.Created != many {
			t.Errorf("%d created", got.Created)
		}
		seen := make(map[string]bool)
		for i, d := range got.Data {
			if d.Timestamp.SHA256Hash != hashOf(100+i) || seen[d.Timestamp.ID] {
				t.Fatalf("item %d: %+v", i, d)
			}
			seen[d.Timestamp.ID] = true
		}
		// Refused whole: not one is kept.
		_, key := r.account("small@example.org", "small")
		if got := r.do("POST", "/api/v1/timestamps/batch", key, batchBody(0, 3)); got.status != 403 {
			t.Errorf("over the quota: %+v", got)
		}
		var list api.List
		if r.must(&list, 200, "GET", "/api/v1/timestamps", key, ""); list.TotalCount != 0 {
			t.Errorf("%d stamps of a batch that was refused", list.TotalCount)
		}
	})
}

// The proof is there at once, with the promise of this calendar, and complete once a head is confirmed.
func TestProofs(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		var batch api.BatchAnswer
		r.must(&batch, 201, "POST", "/api/v1/timestamps/batch", r.aKey, batchBody(0, 5))
		ts := batch.Data[3].Timestamp
		download := func() (*ots.File, []byte) {
			t.Helper()
			a := r.must(nil, 200, "GET", ts.OTSURL, r.aKey, "")
			if a.header.Get("Content-Type") != "application/octet-stream" || a.header.Get("Content-Disposition") != `attachment; filename="plan 3.pdf.ots"` {
				t.Errorf("header %v", a.header)
			}
			f, err := ots.ParseFile([]byte(a.body))
			if err != nil {
				t.Fatal(err)
			}
			if hex.EncodeToString(f.Digest) != ts.SHA256Hash {
				t.Errorf("a proof of %x", f.Digest)
			}
			return f, []byte(a.body)
		}
		attestations := func(f *ots.File) (all []string) {
			t.Helper()
			if err := f.Timestamp.Walk(f.Digest, func(n *ots.Timestamp, message []byte) error {
				for _, a := range n.Attestations() {
					if a.Kind() == ots.KindPending {
						if _, err := r.config.Proofs.Proof(t.Context(), message, false); err != nil {
							t.Errorf("the calendar does not know the commitment: %v", err)
						}
					}
					all = append(all, a.String())
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			return all
		}
		verify := func(file []byte, query string) (v api.Verification) {
			t.Helper()
			r.must(&v, 200, "POST", "/api/v1/verify"+query, r.aKey, string(file), "Content-Type", "application/octet-stream")
			return v
		}
		pending, pendingBytes := download()
		if got := attestations(pending); len(got) != 1 || !strings.Contains(got[0], testURI) {
			t.Errorf("a pending proof has %v", got)
		}
		if v := verify(pendingBytes, ""); v.Status != api.ProofPending || v.Digest != ts.SHA256Hash || v.Time != nil || len(v.NotChecked) != 2 {
			t.Errorf("a pending proof: %+v", v)
		}
		r.confirm()
		complete, completeBytes := download()
		if got := attestations(complete); !slices.Equal(got, []string{"BitcoinBlockHeaderAttestation(900001)"}) {
			t.Errorf("a complete proof has %v", got)
		}
		v := verify(completeBytes, "?sha256_hash="+ts.SHA256Hash)
		if v.Status != api.ProofVerified || v.Time == nil || !v.Time.Equal(blockTime) || v.Attestations[0].Result != api.AttestationVerified || len(v.NotChecked) == 0 {
			t.Errorf("a complete proof: %+v", v)
		}
		if v := verify(completeBytes, "?sha256_hash="+hashOf(77)); v.Status != api.ProofMismatch || v.Time != nil {
			t.Errorf("another digest: %+v", v)
		}
		if got := r.do("POST", "/api/v1/verify?sha256_hash=abc", r.aKey, string(completeBytes)); got.status != 400 || !strings.Contains(got.body, "INVALID_SHA256_HASH") {
			t.Errorf("no digest: %+v", got)
		}
		// The block's Merkle root is another one: the proof is false.
		forged := bytes.Replace(completeBytes, []byte("rest of the block"), []byte("REST of the block"), 1)
		if v := verify(forged, ""); v.Status != api.ProofFalse || v.Attestations[0].Result != api.AttestationFalse {
			t.Errorf("a forged proof: %+v", v)
		}
		// A block that this log has no part in is not checked.
		foreign, err := (&ots.File{HashOp: ots.OpSHA256, Digest: make([]byte, 32), Timestamp: ots.New(ots.Path{}.SHA256(), ots.BitcoinAttestation(7))}).AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		if v := verify(foreign, ""); v.Status != api.ProofUnchecked || v.Attestations[0].Result != api.AttestationNotChecked || len(v.NotChecked) != 2 {
			t.Errorf("a foreign proof: %+v", v)
		}

		r.withdraw()
		if got, _ := download(); len(attestations(got)) != 1 || attestations(got)[0] == attestations(complete)[0] {
			t.Errorf("after the block left the chain: %v", attestations(got))
		}

		// On a network without value the file's name says so.
		status := anchor.Status{Target: "bitcoin", Network: "regtest", TestNetwork: true, Code: anchor.OK, Message: "Fine.", Height: 3, Confirmations: 6, Updated: blockTime}
		if err := r.db.SaveStatus(t.Context(), time.Now(), status); err != nil {
			t.Fatal(err)
		}
		if got := r.must(nil, 200, "GET", ts.OTSURL, r.aKey, "").header.Get("Content-Disposition"); got != `attachment; filename="TEST-NETWORK-plan 3.pdf.ots"` {
			t.Error(got)
		}
		want := `{"data":[{"name":"bitcoin","network":"regtest","test_network":true,"status":"ok","message":"Fine.","height":3,"confirmations":6,"updated_at":"2026-05-01T11:00:00.000Z"}]}`
		if d := cmp.Diff(want, r.must(nil, 200, "GET", "/api/v1/targets", r.aKey, "").body); d != "" {
			t.Error(d)
		}
	})
}

// TestEvidence: the owner gets a ZIP file with the proof of the /ots route in it, pending and confirmed.
func TestEvidence(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		ts := r.create(r.aKey, 0)
		path := "/api/v1/timestamps/" + ts.ID + "/evidence.zip"
		for _, word := range []string{"Not confirmed yet", "This file existed by"} {
			a := r.must(nil, 200, "GET", path, r.aKey, "")
			if a.header.Get("Content-Type") != "application/zip" || a.header.Get("Content-Disposition") != `attachment; filename="`+ts.CertificateID+`-evidence.zip"` || a.header.Get("Cache-Control") != "no-store" {
				t.Errorf("header %v", a.header)
			}
			z, err := zip.NewReader(strings.NewReader(a.body), int64(len(a.body)))
			if err != nil {
				t.Fatal(err)
			}
			read := func(name string) string {
				t.Helper()
				b, err := fs.ReadFile(z, ts.CertificateID+name)
				if err != nil {
					t.Fatal(err)
				}
				return string(b)
			}
			if read(".ots") != r.must(nil, 200, "GET", ts.OTSURL, r.aKey, "").body {
				t.Error("another proof")
			}
			if text := read("-verify.txt"); !strings.Contains(text, word) || !strings.Contains(text, ts.Filename) {
				t.Errorf("the instructions: %s", text)
			}
			if !strings.HasPrefix(read(".pdf"), "%PDF-") {
				t.Error("no PDF")
			}
			r.confirm()
		}
		if head := r.do("HEAD", path, r.aKey, ""); head.status != 200 || head.body != "" {
			t.Errorf("HEAD: %d", head.status)
		}
		if a := r.do("GET", "/api/v1/timestamps/nonsense/evidence.zip", r.aKey, ""); a.status != 400 || !strings.Contains(a.body, "INVALID_ID") {
			t.Errorf("no id: %+v", a)
		}
	})
}

func TestDisposition(t *testing.T) {
	for name, want := range map[string]string{
		"plan.pdf":            `attachment; filename="plan.pdf.ots"`,
		"../../etc/passwd":    `attachment; filename="passwd.ots"`,
		`C:\temp\a.pdf`:       `attachment; filename="a.pdf.ots"`,
		`a"b; filename=c.exe`: `attachment; filename="a_b_ filename=c.exe.ots"`,
		"a\r\nSet-Cookie: x":  `attachment; filename="aSet-Cookie_ x.ots"`,
		"..":                  `attachment; filename="timestamp.ots"`,
		".bashrc":             `attachment; filename="bashrc.ots"`,
		"Verträge 100%.pdf":   `attachment; filename="Vertr_ge 100_.pdf.ots"; filename*=UTF-8''Vertr%C3%A4ge%20100_.pdf.ots`,
		"日本.pdf":              `attachment; filename="__.pdf.ots"; filename*=UTF-8''%E6%97%A5%E6%9C%AC.pdf.ots`,
		"evil\u202efdp.exe":   `attachment; filename="evilfdp.exe.ots"`,
		"folder/":             `attachment; filename="timestamp.ots"`,
		"a+b ~ (1).pdf":       `attachment; filename="a+b ~ (1).pdf.ots"`,
		"\u00a0":              "attachment; filename=\"_.ots\"; filename*=UTF-8''%C2%A0.ots",
	} {
		if got := disposition(safeName(name) + ".ots"); got != want {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
	}
}

func TestPatch(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		ts := r.create(r.aKey, 0)
		path := "/api/v1/timestamps/" + ts.ID
		for kind, picture := range map[string]string{"image/png": "\x89PNG\r\n\x1a\n", "image/jpeg": "\xff\xd8\xff\xe0", "image/webp": "RIFF\x04\x00\x00\x00WEBP"} {
			text := base64.StdEncoding.EncodeToString([]byte(picture))
			for _, text := range []string{text, "data:" + kind + ";base64," + text} {
				got := r.must(&ts, 200, "PATCH", path, r.aKey, `{"thumbnail":"`+text+`"}`)
				if ts.ThumbnailURL == nil || *ts.ThumbnailURL != path+"/thumbnail" {
					t.Fatalf("%s: %s", kind, got.body)
				}
				shown := r.must(nil, 200, "GET", *ts.ThumbnailURL, r.aKey, "")
				if shown.body != picture || shown.header.Get("Content-Type") != kind {
					t.Errorf("%s: %+v", kind, shown)
				}
			}
		}
		large := base64.StdEncoding.EncodeToString(append([]byte("\xff\xd8\xff"), make([]byte, account.MaxThumbnail)...))
		if got := r.do("PATCH", path, r.aKey, `{"thumbnail":"`+large+`"}`); got.status != 400 || !strings.Contains(got.body, "INVALID_THUMBNAIL") {
			t.Errorf("too large: %d %s", got.status, got.body)
		}
		gif := base64.StdEncoding.EncodeToString([]byte("GIF89a"))
		png := base64.StdEncoding.EncodeToString([]byte("\x89PNG\r\n\x1a\n"))
		for _, text := range []string{"", gif, "data:image/gif;base64," + gif, "data:image/png;base64," + gif, "data:text/html;base64," + png, "data:image/jpeg;base64," + png, "data:image/png," + png} {
			if got := r.do("PATCH", path, r.aKey, `{"thumbnail":"`+text+`"}`); got.status != 400 || !strings.Contains(got.body, "INVALID_THUMBNAIL") {
				t.Errorf("%s: %d %s", text, got.status, got.body)
			}
		}
		r.must(nil, 200, "PATCH", path, r.aKey, `{"certificate_public":true}`)
		if st := r.stored(ts.ID); !st.Public || st.Thumbnail == nil {
			t.Errorf("public %v, thumbnail of %d bytes", st.Public, len(st.Thumbnail))
		}
		r.must(nil, 200, "PATCH", path, r.aKey, `{"thumbnail":null}`)
		if st := r.stored(ts.ID); !st.Public || st.Thumbnail != nil {
			t.Errorf("public %v, thumbnail of %d bytes", st.Public, len(st.Thumbnail))
		}
		r.must(nil, 200, "PATCH", path, r.aKey, `{"certificate_public":false}`)
		if r.stored(ts.ID).Public {
			t.Error("still public")
		}
	})
}

func TestUsage(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		now := time.Now().UTC()
		first := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
		text := func(month time.Time, used int, more string) string {
			return fmt.Sprintf(`{"plan":"fast","month":"%s","quota":100000,"used":%d,"remaining":%d,"resets_at":"%s","months":[{"month":"%[1]s","used":%[2]d}%[5]s]}`,
				month.Format("2006-01"), used, 100000-used, month.AddDate(0, 1, 0).Format("2006-01-02T15:04:05.000Z"), more)
		}
		get := func() string { return r.must(nil, 200, "GET", "/api/v1/usage", r.aKey, "").body }
		if d := cmp.Diff(text(first, 0, ""), get()); d != "" {
			t.Error(d)
		}
		r.must(nil, 201, "POST", "/api/v1/timestamps/batch", r.aKey, batchBody(0, 3))
		if d := cmp.Diff(text(first, 3, ""), get()); d != "" {
			t.Error(d)
		}
		next := first.AddDate(0, 1, 0)
		r.clock.Store(int64(next.Add(time.Hour).Sub(now)))
		if d := cmp.Diff(text(next, 0, fmt.Sprintf(`,{"month":"%s","used":3}`, first.Format("2006-01"))), get()); d != "" {
			t.Error(d)
		}
	})
}
