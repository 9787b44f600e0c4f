package fsck_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/publish"
	"github.com/datestone/datestone/internal/store"
	"github.com/datestone/datestone/internal/testseed"
	"github.com/datestone/datestone/ots/printed"
)

// buildPrinted is a log with two notices, one of them confirmed, and a seed that was printed.
func buildPrinted(t *testing.T) made {
	t.Helper()
	m := made{t: t, path: filepath.Join(t.TempDir(), "datestone.db")}
	db, err := store.Open(t.Context(), m.path, store.Options{EpochEntries: 8})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	add := func(period string, n publish.Notice, head logtree.Head) {
		t.Helper()
		p := &publish.Publication{UID: account.NewID(), Target: "publication", Paper: "Paper", Period: period, Notice: n, Head: head, Text: n.Text(), Created: now, Deliveries: []publish.Delivery{{Channel: publish.Folder, Due: now}}}
		if made, err := db.DecidePublication(t.Context(), "publication", period, p); err != nil || !made {
			t.Fatal(made, err)
		}
	}
	service := "https://stamps.test"
	for i, period := range []string{"2026-11-16", "2026-11-23"} {
		for range 3 {
			if _, err := db.Append(t.Context(), now, [][32]byte{{byte(i)}}); err != nil {
				t.Fatal(err)
			}
		}
		head, err := db.Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		add(period, publish.Notice{Service: service, Language: publish.English, Root: publish.RootOf(head, now)}, head)
	}
	for _, target := range []string{"another", "publication"} {
		s := testseed.Make(t, db, now, target, 2)
		root := printed.Root{Purpose: publish.PurposeSeed, Name: fmt.Sprint(s.Number), Date: "2026-11-30", Hash: s.Root}
		if target == "publication" {
			add("2026-11-30", publish.Notice{Service: service, Language: publish.German, Root: root}, s.Head())
		}
	}
	if err := db.ConfirmPublication(t.Context(), 1, publish.Place{Issue: "2026-11-17", Page: "3", By: "ann", At: now}); err != nil {
		t.Fatal(err)
	}
	if m.mark, err = db.Head(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.chain = chain{tip: 105}
	return m
}

func TestDamagedPublications(t *testing.T) {
	for name, c := range map[string]struct {
		damage func(m *made)
		want   string
	}{
		"nothing":             {func(*made) {}, ""},
		"root":                {func(m *made) { m.sql(`UPDATE publication SET root = $1 WHERE id = 2`, make([]byte, 32)) }, "publication 2 of publication: it has the root"},
		"size":                {func(m *made) { m.sql(`UPDATE publication SET size = 5 WHERE id = 2`) }, "publication 2 of publication: it is printed as 0/6, and its head is 0/5"},
		"size that never was": {func(m *made) { m.sql(`UPDATE publication SET size = 99 WHERE id = 2`) }, "publication 2 of publication: it names a head"},
		"text":                {func(m *made) { m.sql(`UPDATE publication SET text = replace(text, '1  ', '2  ') WHERE id = 1`) }, "publication 1 of publication: its text cannot be read"},
		"text of another": {func(m *made) {
			m.sql(`UPDATE publication SET text = (SELECT text FROM publication WHERE id = 1) WHERE id = 2`)
		}, "publication 2 of publication: its text is of log 0/3"},
		"seed":             {func(m *made) { m.sql(`UPDATE publication SET root = $1 WHERE id = 3`, make([]byte, 32)) }, "publication 3 of publication: its text is of seed 2"},
		"another seed":     {func(m *made) { m.sql(`UPDATE publication SET epoch = 1 WHERE id = 3`) }, "publication 3 of publication: it carries seed 1, which is one of another"},
		"no such seed":     {func(m *made) { m.sql(`UPDATE publication SET epoch = 9 WHERE id = 3`) }, "publication 3 of publication: it carries seed 9, which is not there or not made"},
		"hashes of a seed": {func(m *made) { m.sql(`UPDATE publication SET size = 3 WHERE id = 3`) }, "publication 3 of publication: it carries "},
		"nowhere":          {func(m *made) { m.sql(`UPDATE publication_place SET page = ''`) }, "publication 1 of publication: it is confirmed and has no place"},
		"no issue":         {func(m *made) { m.sql(`UPDATE publication_place SET issue = ''`) }, "place 1 of publication 1 has no issue"},
		"a lost notice":    {func(m *made) { m.sql(`DELETE FROM publication WHERE id = 1`) }, "place 1 is of publication 1, which is not there"},
		"a lost delivery":  {func(m *made) { m.sql(`DELETE FROM publication WHERE id = 2`) }, "a delivery by folder is of publication 2, which is not there"},
		"the period":       {func(m *made) { m.sql(`UPDATE publication_period SET period = '2026-11-20'`) }, "publication 2 is of the period 2026-11-23, which is later"},
	} {
		t.Run(name, func(t *testing.T) {
			m := buildPrinted(t)
			c.damage(&m)
			r := m.check()
			var all []string
			for _, p := range r.Problems {
				all = append(all, p.String())
			}
			if found := strings.Join(all, "\n"); !strings.Contains(found, c.want) || c.want == "" && (found != "" || r.Publications != 3) {
				t.Errorf("found %q in %d publications, want %q", found, r.Publications, c.want)
			}
		})
	}
}
