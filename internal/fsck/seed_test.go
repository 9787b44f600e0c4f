package fsck_test

import (
	"crypto/sha256"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/notify"
	"github.com/datestone/datestone/internal/seed"
	"github.com/datestone/datestone/internal/store"
)

// buildSeeds is a database with three seeds of a target: one of three tiles, one of two hashes, and an open one. Of a second
// target there is one.
func buildSeeds(t *testing.T) made {
	t.Helper()
	m := made{t: t, path: filepath.Join(t.TempDir(), "datestone.db")}
	db, err := store.Open(t.Context(), m.path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	owner, err := db.CreateAccount(t.Context(), now, "a@example.org", "business")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	submit := func(at time.Time, hashes int, targets ...string) {
		t.Helper()
		create := account.Create{Account: owner.ID, Quota: 1 << 20}
		for _, target := range targets {
			create.Currencies = append(create.Currencies, seed.Currency{Target: target, Period: 24 * time.Hour})
		}
		for range hashes {
			n++
			create.Items = append(create.Items, account.Item{SHA256: sha256.Sum256(fmt.Append(nil, n)), Submission: &seed.Submission{}})
		}
		page := seed.UUID(account.NewID())
		create.Items[0].Submission = &seed.Submission{Preprint: &page, Awaits: []seed.Await{{Target: "bitcoin", Channel: notify.SeedHook, Address: "https://a.test/"}}}
		results, err := db.AppendStamps(t.Context(), at, []account.Create{create})
		if err != nil || results[0].Err != nil {
			t.Fatal(err, results)
		}
		loop := seed.New(db, seed.Options{Now: func() time.Time { return at }, Log: slog.New(slog.DiscardHandler)})
		if err := loop.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	submit(now, 2*seed.TileLeaves+3, "bitcoin")
	submit(now.AddDate(0, 0, 1), 2, "bitcoin", "ethereum")
	submit(now.AddDate(0, 0, 2), 1, "bitcoin", "ethereum")
	return m
}

func TestSeeds(t *testing.T) {
	sound := buildSeeds(t)
	if r := sound.check(); !r.Clean() || r.Seeds != 3 {
		t.Errorf("three closed seeds: %+v", r)
	}
	file, err := os.ReadFile(sound.path)
	if err != nil {
		t.Fatal(err)
	}
	const first = `1 * 16777216`
	for name, c := range map[string]struct{ damage, want string }{
		"a submitted hash":     {`UPDATE submitted SET hash = zeroblob(32) WHERE number = 5`, "seed 1 of bitcoin: its root is"},
		"and its stamp":        {`UPDATE submitted SET hash = zeroblob(32) WHERE number = 5`, "submission 5 is of a stamp that is not there, or has another hash"},
		"no submission":        {`DELETE FROM submitted WHERE number = 5`, "submission 6 follows number 4"},
		"and its seed":         {`DELETE FROM submitted WHERE number = 5`, "seed 1 of bitcoin: there are 2050 submitted hashes from 1 to 2051"},
		"no stamp":             {`DELETE FROM stamp WHERE id = (SELECT stamp FROM submitted WHERE number = 9)`, "submission 9 is of a stamp that is not there"},
		"a nonce":              {`UPDATE submitted SET nonce = randomblob(16) WHERE number = 9`, "submission 9, leaf 8 of the batch at 0/0: hash and nonce give the leaf"},
		"a leaf":               {`UPDATE submitted SET leaf = 100000 WHERE number = 9`, "submission 9, leaf 100000 of the batch at 0/0: there is no such leaf"},
		"another's stamp":      {`UPDATE submitted SET account = 7 WHERE number = 9`, "submission 9 is of a stamp"},
		"a root":               {`UPDATE seed SET root = zeroblob(32) WHERE number = 1`, "seed 1 of bitcoin: its root is 0000"},
		"a tile's leaves":      {`UPDATE seed_tile SET leaves = zeroblob(32768) WHERE tile = ` + first, "seed 1 of bitcoin: tile 0 is not of what was submitted, from its leaf 0 on"},
		"cut leaves":           {`UPDATE seed_tile SET leaves = zeroblob(31) WHERE tile = ` + first, "seed 1 of bitcoin: tile 0: tile 0 of seed 1 has 31 bytes"},
		"a tile's node":        {`UPDATE seed_tile SET node = zeroblob(32) WHERE tile = ` + first, "gives 0000"},
		"a tile's beginning":   {`UPDATE seed_tile SET smallest = zeroblob(32) WHERE tile = ` + first, "tile 0 says that it begins with 0000"},
		"no tile":              {`DELETE FROM seed_tile WHERE tile = ` + first, "seed 1 of bitcoin: seed 1 has no tile 0"},
		"no last tile":         {`DELETE FROM seed_tile WHERE tile = 2 + ` + first, "it has 2 tiles, and 2051 hashes have 3"},
		"a tile too many":      {`INSERT INTO seed_tile (tile, smallest, node, leaves) SELECT tile + 1, smallest, node, leaves FROM seed_tile WHERE tile = 2 + ` + first, "it has 4 tiles"},
		"a tile of no seed":    {`INSERT INTO seed_tile (tile, smallest, node, leaves) SELECT tile + 100 * 16777216, smallest, node, leaves FROM seed_tile WHERE tile = ` + first, "a tile is of seed 101, which is not there, or open"},
		"no seed":              {`DELETE FROM seed WHERE number = 2`, "of bitcoin begins with 2054, and the one before it ends before 2052"},
		"overlapping seeds":    {`UPDATE seed SET first = 2050 WHERE number = 2`, "seed 2 of bitcoin begins with 2050, and the one before it ends before 2052"},
		"an open one too many": {`UPDATE seed SET before = 0, made = 0 WHERE number = 1`, "and the one before it ends before 0"},
		"beyond what there is": {`UPDATE seed SET first = 5000 WHERE before = 0 AND target = 'bitcoin'`, "has no hash, or such as are not there"},
		"made and open":        {`UPDATE seed SET made = 1, root = zeroblob(32) WHERE before = 0 AND target = 'bitcoin'`, "is made and open"},
		"no time":              {`UPDATE seed SET closes = opened WHERE number = 1`, "seed 1 of bitcoin ends when it begins"},
		"final and not made":   {`UPDATE seed SET final = 1 WHERE before = 0 AND target = 'bitcoin'`, "is final and not made"},
		"a page of nothing":    {`UPDATE preprint SET number = 9999 WHERE number = 1`, "is of submission 9999, which is not there"},
		"an await of nobody":   {`UPDATE seed_await SET endpoint = 77 WHERE number = 1`, "number 1 is awaited by endpoint 77, which is not there"},
		"an await of nothing":  {`UPDATE seed_await SET target = 'litecoin' WHERE number = 1`, "number 1 is awaited of litecoin, and no such seed has it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := made{t: t, path: filepath.Join(t.TempDir(), "datestone.db")}
			if err := os.WriteFile(m.path, file, 0o600); err != nil {
				t.Fatal(err)
			}
			m.sql(c.damage)
			r := m.check()
			for _, p := range r.Problems {
				if strings.Contains(p.String(), c.want) {
					return
				}
			}
			t.Errorf("got %v, want a problem with %q", r.Problems, c.want)
		})
	}
}
