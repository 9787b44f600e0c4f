// Package testseed makes seeds for tests.
package testseed

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/seed"
	"github.com/datestone/datestone/internal/store"
)

// Make has so many new hashes submitted, at most seed.TileLeaves, and makes their seed, as if its period had ended.
func Make(t testing.TB, db *store.DB, now time.Time, target string, hashes int) seed.Seed {
	t.Helper()
	ctx := t.Context()
	owner, err := db.CreateAccount(ctx, now, fmt.Sprintf("%s@example.org", rand.Text()), "business")
	if err != nil {
		t.Fatal(err)
	}
	create := account.Create{Account: owner.ID, Quota: int64(hashes), Currencies: []seed.Currency{{Target: target, Period: time.Hour}}}
	for range hashes {
		item := account.Item{Submission: &seed.Submission{}}
		rand.Read(item.SHA256[:])
		rand.Read(item.Nonce[:])
		create.Items = append(create.Items, item)
	}
	results, err := db.AppendStamps(ctx, now, []account.Create{create})
	if err != nil || results[0].Err != nil || len(results[0].Seeds) != 1 {
		t.Fatalf("submitting: %v, %+v", err, results)
	}
	number, closes := results[0].Seeds[0].Number, results[0].Seeds[0].Closes
	if _, err := db.EndSeeds(ctx, closes); err != nil {
		t.Fatal(err)
	}
	all, err := db.UnmadeSeeds(ctx, 1)
	if err != nil || len(all) != 1 || all[0].Number != number {
		t.Fatalf("seed %d is not closed: %v, %v", number, all, err)
	}
	leaves, err := db.SubmittedHashes(ctx, all[0].First, all[0].Before, seed.TileLeaves)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(leaves, func(a, b [32]byte) int { return bytes.Compare(a[:], b[:]) })
	tile := seed.Tile{Leaves: leaves}
	root := tile.Node(true)
	if err := db.AddSeedTiles(ctx, number, []seed.Tile{tile}, [][32]byte{root}); err != nil {
		t.Fatal(err)
	}
	if err := db.MakeSeed(ctx, closes, number, root); err != nil {
		t.Fatal(err)
	}
	made, err := db.MadeSeed(ctx, number)
	if err != nil {
		t.Fatal(err)
	}
	return made
}
