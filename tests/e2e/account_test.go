package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/datestone/datestone/api"
	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/store"
)

// owner makes an account beside the running service, and a client with its key.
func (s *service) owner(t *testing.T, email, plan string) (*api.Client, string, *store.DB, account.Account) {
	t.Helper()
	db, err := store.Open(t.Context(), filepath.Join(s.Dir, "data", "datestone.db"), store.Options{Accounts: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	a, err := db.CreateAccount(t.Context(), time.Now(), email, plan)
	if err != nil {
		t.Fatal(err)
	}
	key := account.NewKey("datestone_live_")
	if err := db.SetKey(t.Context(), time.Now(), a.ID, account.KeyHash(key), account.KeyHint(key)); err != nil {
		t.Fatal(err)
	}
	client, err := api.New(s.URL, key, api.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return client, key, db, a
}

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// The tool and the Go client with a real service: what an account keeps is complete in the end, and any verifier
// accepts it.
func TestAccount(t *testing.T) {
	t.Parallel()
	c, _ := devChain(t)
	// Without the limits for each minute, which fetching again and again would reach.
	s := serve(t, &c.rpc, `
[plans.business]
quota = 1000
api = true
requests = 100000
creates = 100000
[plans.pro]
quota = 1000
api = true
[plans.free]
quota = 10
`, "")
	client, key, db, owner := s.owner(t, "owner@example.org", "business")
	ctx := t.Context()

	node, err := url.Parse(c.rpc.URL)
	if err != nil {
		t.Fatal(err)
	}
	node.User = url.UserPassword(c.rpc.User, c.rpc.Pass)
	env := []string{"HOME=" + t.TempDir(), "DATESTONE_API=" + s.URL, "DATESTONE_API_KEY=" + key}
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one.txt"), filepath.Join(dir, "zwei ä.txt")
	write(t, one, "one\n")
	write(t, two, "two\n")
	if out := must(t, env, program("datestone"), "stamp", one, two); !strings.Contains(out, "pending") {
		t.Errorf("stamp says\n%s", out)
	}
	if out := must(t, env, program("datestone"), "info", one+".ots"); !strings.Contains(out, "PendingAttestation('"+s.URL+"')") {
		t.Errorf("the proof is\n%s", out)
	}
	// Run again it gets the same stamps.
	if err := os.Remove(one + ".ots"); err != nil {
		t.Fatal(err)
	}
	if out := must(t, env, program("datestone"), "stamp", one); !strings.Contains(out, "the account had 1 of 1 stamp already") {
		t.Errorf("stamp says\n%s", out)
	}
	if out := must(t, env, program("datestone"), "list"); strings.Count(out, "pending") != 2 || !strings.Contains(out, "zwei ä.txt") {
		t.Errorf("list says\n%s", out)
	}

	// One key, one stamp; a second create of the hash is told so.
	request := api.CreateRequest{SHA256Hash: hashOf("three"), Filename: "three <&>.pdf", FileSizeBytes: 5, FileType: "application/pdf", IdempotencyKey: "three"}
	three, err := client.Create(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	if three.Filename != request.Filename || three.Status != api.StatusPending || three.FileType == nil || *three.FileType != request.FileType {
		t.Errorf("created %+v", three)
	}
	if again, err := client.Create(ctx, request); err != nil || again.ID != three.ID {
		t.Errorf("replayed as %s, %v; it was %s", again.ID, err, three.ID)
	}
	other := request
	other.Filename = "other.pdf"
	if _, err := client.Create(ctx, other); !errors.Is(err, api.ErrIdempotencyMismatch) {
		t.Errorf("another payload: %v", err)
	}
	other.IdempotencyKey = ""
	if _, err := client.Create(ctx, other); !errors.Is(err, api.ErrDuplicateTimestamp) {
		t.Errorf("a duplicate: %v", err)
	} else if e, ok := errors.AsType[*api.Error](err); !ok || e.Status != 409 || e.RequestID == "" {
		t.Errorf("a duplicate: %+v", e)
	}
	if found, err := client.ByHash(ctx, request.SHA256Hash); err != nil || found.ID != three.ID {
		t.Errorf("by hash: %+v, %v", found, err)
	}
	if _, err := client.ByHash(ctx, hashOf("nothing")); !errors.Is(err, api.ErrTimestampNotFound) {
		t.Errorf("an unknown hash: %v", err)
	}

	// More than a page, and what was there before, in one request.
	batch := api.BatchRequest{Items: []api.CreateRequest{{SHA256Hash: request.SHA256Hash, Filename: "x", FileSizeBytes: 1}}}
	for i := range 120 {
		batch.Items = append(batch.Items, api.CreateRequest{SHA256Hash: hashOf(fmt.Sprint("batch ", i)), Filename: fmt.Sprintf("%d.txt", i), FileSizeBytes: 1})
	}
	answer, err := client.CreateBatch(ctx, batch)
	if err != nil || answer.Created != 120 || answer.Existing != 1 || answer.Data[0].Timestamp.ID != three.ID {
		t.Fatalf("batch: %d created, %d existing, %v", answer.Created, answer.Existing, err)
	}
	var ids []string
	for ts, err := range client.List(ctx, api.ListOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, ts.ID)
	}
	want := []string{three.ID}
	for _, r := range answer.Data[1:] {
		want = append(want, r.Timestamp.ID)
	}
	slices.Reverse(want)
	if len(ids) != 123 || !slices.Equal(ids[:121], want) {
		t.Errorf("the list has %d stamps, in the order %v", len(ids), ids)
	}
	if u, err := client.Usage(ctx); err != nil || u.Used != 123 || u.Plan != "business" || u.Remaining != u.Quota-123 {
		t.Errorf("usage %+v, %v", u, err)
	}

	// Another account sees none of it, and a plan without the API is told so.
	stranger, _, _, _ := s.owner(t, "stranger@example.org", "pro")
	if _, err := stranger.Get(ctx, three.ID); !errors.Is(err, api.ErrTimestampNotFound) {
		t.Errorf("a stranger: %v", err)
	}
	if _, err := stranger.OTS(ctx, three.ID); !errors.Is(err, api.ErrTimestampNotFound) {
		t.Errorf("a stranger: %v", err)
	}
	free, _, _, _ := s.owner(t, "free@example.org", "free")
	if _, err := free.Usage(ctx); !errors.Is(err, api.ErrPlanNotEntitled) {
		t.Errorf("a plan without the API: %v", err)
	}

	// Bitcoin confirms.
	c.funded(t, s)
	c.until(t, "the tool fetches a complete proof", func() bool {
		out, err := command(t, env, program("datestone"), "fetch", "-o", one+".ots", hashOf("one\n"))
		if err != nil {
			t.Fatalf("fetch: %v\n%s", err, out)
		}
		return strings.Contains(out, "complete: bitcoin")
	})
	must(t, env, program("datestone"), "verify", "--btc-regtest", "--bitcoin-node", node.String(), one+".ots")
	must(t, env, program("datestone"), "upgrade", "-l", s.URL, two+".ots")
	must(t, env, program("datestone"), "verify", "--btc-regtest", "--bitcoin-node", node.String(), two+".ots")

	confirmed, err := client.Wait(ctx, three.ID)
	if err != nil || confirmed.BitcoinBlock == nil || confirmed.BlockchainTx == nil || confirmed.ConfirmedAt == nil {
		t.Fatalf("confirmed as %+v, %v", confirmed, err)
	}
	proof, err := client.OTS(ctx, three.ID)
	if err != nil {
		t.Fatal(err)
	}
	for hash, want := range map[string]string{request.SHA256Hash: api.ProofVerified, hashOf("nothing"): api.ProofMismatch} {
		v, err := client.Verify(ctx, proof, hash)
		if err != nil || v.Status != want || v.Digest != request.SHA256Hash || !v.TestNetwork || len(v.NotChecked) == 0 {
			t.Errorf("verified as %+v, %v; want %s", v, err, want)
		}
	}
	if _, err := client.Verify(ctx, []byte("no proof"), ""); !errors.Is(err, api.ErrInvalidProof) {
		t.Errorf("no proof: %v", err)
	}
	if targets, err := client.Targets(ctx); err != nil || len(targets) != 1 || !targets[0].TestNetwork || targets[0].UpdatedAt == nil {
		t.Errorf("targets %+v, %v", targets, err)
	}
	page, err := client.Page(ctx, api.ListOptions{Status: api.StatusConfirmed, Limit: 3})
	if err != nil || page.TotalCount != 123 || len(page.Data) != 3 || page.Data[0].Status != api.StatusConfirmed {
		t.Errorf("page of %d of %d, %v", len(page.Data), page.TotalCount, err)
	}

	// A thumbnail comes and goes.
	png := append([]byte("\x89PNG\r\n\x1a\n"), make([]byte, 100)...)
	if ts, err := client.Patch(ctx, three.ID, api.PatchRequest{Thumbnail: png}); err != nil || ts.ThumbnailURL == nil {
		t.Errorf("a thumbnail: %+v, %v", ts, err)
	}
	if ts, err := client.Patch(ctx, three.ID, api.PatchRequest{RemoveThumbnail: true}); err != nil || ts.ThumbnailURL != nil {
		t.Errorf("no thumbnail: %+v, %v", ts, err)
	}
	if _, err := client.Patch(ctx, three.ID, api.PatchRequest{Thumbnail: []byte("GIF89a")}); !errors.Is(err, api.ErrInvalidThumbnail) {
		t.Errorf("a wrong thumbnail: %v", err)
	}

	// A key that was revoked opens nothing any more.
	if err := db.RevokeKey(ctx, owner.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Get(ctx, three.ID); !errors.Is(err, api.ErrInvalidAPIKey) {
		t.Errorf("a revoked key: %v", err)
	}
	if out, err := command(t, env, program("datestone"), "list"); err == nil || strings.Contains(out, key) || !strings.Contains(out, "INVALID_API_KEY") {
		t.Errorf("list with a revoked key: %v\n%s", err, out)
	}
	s.fsck(t)
}
