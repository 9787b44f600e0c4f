package rest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/datestone/datestone/api"
	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/publish"
	"github.com/datestone/datestone/ots/printed"
)

// print has the newest head printed and confirmed.
func (r *rig) print(string) publish.Publication {
	r.t.Helper()
	head, err := r.db.Head(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	day := time.Date(2026, 4, 17, 8, 0, 0, 0, time.UTC)
	n := publish.Notice{Service: testURI, Explains: testURI + "/publications", Language: publish.English, Root: publish.RootOf(head, day)}
	p := publish.Publication{UID: account.NewID(), Target: "publication", Paper: "Südkurier", Period: account.NewID().String(), Notice: n, Head: head, Text: n.Text(), Created: day}
	if err := r.db.AddPublication(r.t.Context(), &p); err != nil {
		r.t.Fatal(err)
	}
	place := publish.Place{Issue: "2026-04-18", Page: "12", URL: "https://paper.example.org/2026-04-18/12", By: "ann", At: day.AddDate(0, 0, 1)}
	if err := r.db.ConfirmPublication(r.t.Context(), p.ID, place); err != nil {
		r.t.Fatal(err)
	}
	return p
}

// follow does what the steps say.
func follow(t *testing.T, p api.Publication) string {
	t.Helper()
	v, err := hex.DecodeString(p.SHA256Hash)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range p.Steps {
		b, err := hex.DecodeString(s.Hex)
		if err != nil {
			t.Fatal(err)
		}
		switch s.Op {
		case "append":
			v = append(v, b...)
		case "prepend":
			v = append(bytes.Clone(b), v...)
		case "sha256":
			sum := sha256.Sum256(v)
			v = sum[:]
		default:
			t.Fatalf("the step %q", s.Op)
		}
	}
	return hex.EncodeToString(v)
}

// checkPublication fails the test unless the steps lead to the root that is printed.
func checkPublication(t *testing.T, p api.Publication) {
	t.Helper()
	for _, text := range []string{strings.Join(p.Printed, "\n"), p.Notice} {
		root, err := printed.Read(text)
		if err != nil || hex.EncodeToString(root.Hash[:]) != p.Root {
			t.Errorf("%q reads as %x, %v; the root is %s", text, root.Hash, err, p.Root)
		}
	}
	if got := follow(t, p); got != p.Root {
		t.Errorf("the steps lead to %s, not to %s", got, p.Root)
	}
}

// likePublication checks an answer and the document's example, and gives back the answer with the example's log.
func likePublication(t *testing.T, body, example string) string {
	t.Helper()
	var own, theirs api.Publications
	for text, into := range map[string]*api.Publications{body: &own, example: &theirs} {
		if err := json.Unmarshal([]byte(text), into); err != nil || len(into.Data) != 1 {
			t.Fatalf("%v in %s", err, text)
		}
		checkPublication(t, into.Data[0])
	}
	a, b := own.Data[0], theirs.Data[0]
	a.Steps, a.Root, a.Printed, a.Notice, a.ConfirmedAt = b.Steps, b.Root, b.Printed, b.Notice, b.ConfirmedAt
	text, err := json.Marshal(api.Publications{Data: []api.Publication{a}})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestPublications(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		first := r.create(r.aKey, 0)
		path := func(ts api.Timestamp) string { return "/api/v1/timestamps/" + ts.ID + "/publications" }
		if a := r.do("GET", path(first), r.aKey, ""); a.status != 200 || a.body != `{"data":[]}` {
			t.Errorf("%d %s", a.status, a.body)
		}
		one := r.print(first.ID)
		second := r.create(r.aKey, 1)
		two := r.print(second.ID)
		for ts, want := range map[api.Timestamp][]publish.Publication{first: {one, two}, second: {two}} {
			var got api.Publications
			r.must(&got, 200, "GET", path(ts), r.aKey, "")
			if len(got.Data) != len(want) {
				t.Fatalf("%+v", got)
			}
			for i, p := range got.Data {
				checkPublication(t, p)
				if p.Root != hex.EncodeToString(want[i].Head.Root[:]) || p.SHA256Hash != ts.SHA256Hash || p.Paper != "Südkurier" || p.Page != "12" {
					t.Errorf("%+v", p)
				}
			}
		}
		if err := r.db.WithdrawPublication(t.Context(), time.Now(), two.ID, "ann"); err != nil {
			t.Fatal(err)
		}
		if a := r.do("GET", path(second), r.aKey, ""); a.body != `{"data":[]}` {
			t.Errorf("withdrawn, and %s", a.body)
		}
		// The resource of a stamp does not change.
		if a := r.do("GET", "/api/v1/timestamps/"+first.ID, r.aKey, ""); strings.Contains(a.body, "paper") {
			t.Errorf("%s", a.body)
		}
	})
}
