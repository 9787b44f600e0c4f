package store

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/ots"
)

// What a check reads is all of what was signed, once, with its key and its leaf.
func TestAllSigned(t *testing.T) {
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		ctx := t.Context()
		db := open(Options{EpochEntries: 2})
		a, b := newAccount(t, db, "a@example.org"), newAccount(t, db, "b@example.org")
		want := make(map[int64][]account.Signed)
		keys := make(map[int64]account.Signer)
		for _, owner := range []account.Account{b, a} {
			s, key := newSigner(t, db, owner.ID)
			keys[owner.ID] = s
			for n := range 3 {
				r, err := db.AppendStamps(ctx, epoch0, []account.Create{
					signedCreate(s, key, fmt.Append(nil, n, "first"), 100), {Account: owner.ID, Items: items(n, n+1), Quota: 100}, signedCreate(s, key, fmt.Append(nil, n, "second"), 100),
				})
				if err != nil || r[0].Err != nil || r[1].Err != nil || r[2].Err != nil {
					t.Fatal(err, r)
				}
				want[owner.ID] = append(want[owner.ID], *r[0].Signed, *r[2].Signed)
			}
		}
		var got []account.Signed
		for after := (account.Signed{Account: -1, Created: time.Unix(0, 0)}); ; {
			page, err := db.AllSigned(ctx, after, 5)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range page {
				if leaf := c.LeafHash(); !bytes.Equal(c.Leaf, leaf[:]) || c.Signer == nil || cmp.Diff(keys[c.Account], *c.Signer, samePublicKey) != "" {
					t.Errorf("%x has the leaf %x and the key %+v", c.Digest, c.Leaf, c.Signer)
				}
				got = append(got, c.Signed)
			}
			if len(page) < 5 {
				break
			}
			after = page[len(page)-1].Signed
		}
		if diff := cmp.Diff(append(want[a.ID], want[b.ID]...), got); diff != "" {
			t.Error(diff)
		}
		batches, err := db.Batches(ctx, -1, 100)
		if err != nil || len(batches) != 6 {
			t.Fatalf("%d batches, %v", len(batches), err)
		}
		for _, batch := range batches {
			leaves, err := db.BatchLeaves(ctx, batch.Position)
			if err != nil || len(batch.Leaves) != 3*32 {
				t.Fatalf("%v: %d bytes, %v", batch.Position, len(batch.Leaves), err)
			}
			if root := ots.MerkleTree(leaves).Root(); !bytes.Equal(root[:], batch.Tip) {
				t.Errorf("%v: the entry has %x, want %x", batch.Position, batch.Tip, root)
			}
		}
		if rest, err := db.Batches(ctx, batches[3].Position, 1); err != nil || len(rest) != 1 || rest[0].Position != batches[4].Position {
			t.Errorf("after the fourth: %+v, %v", rest, err)
		}
		if wrong, err := db.CheckUse(ctx, 10); err != nil || wrong != nil {
			t.Errorf("the use of a sound store: %v, %v", wrong, err)
		}
		if _, err := db.write.ExecContext(ctx, `UPDATE quota_use SET used = 10 WHERE account = $1`, b.ID); err != nil {
			t.Fatal(err)
		}
		if wrong, err := db.CheckUse(ctx, 10); err != nil || len(wrong) != 1 || wrong[0] != fmt.Sprintf("account %d is charged for 10 and keeps 9", b.ID) {
			t.Errorf("charged for too much: %v, %v", wrong, err)
		}
	})
}
