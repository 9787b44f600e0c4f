package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/ots"
	"github.com/datestone/datestone/ots/signedmsg"
)

var samePublicKey = cmp.Comparer(func(a, b signedmsg.PublicKey) bool { return a == b })

// newSigner gives an account a public key.
func newSigner(t *testing.T, db *DB, owner int64) (account.Signer, signedmsg.PrivateKey) {
	t.Helper()
	key, err := signedmsg.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	s, err := db.AddSigner(t.Context(), epoch0, account.Signer{Account: owner, Key: key.Public(), Version: "0.3.0"})
	if err != nil {
		t.Fatal(err)
	}
	return s, key
}

// signedCreate asks for a digest that a key has signed.
func signedCreate(s account.Signer, key signedmsg.PrivateKey, digest []byte, quota int64) account.Create {
	signed := account.Signed{Signer: s.ID, Digest: digest, Signature: key.Sign(signedmsg.Digest(digest))}
	rand.Read(signed.Nonce[:])
	return account.Create{Account: s.Account, Signed: &signed, Quota: quota}
}

func TestSigners(t *testing.T) {
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		ctx := t.Context()
		db := open(Options{})
		a, b := newAccount(t, db, "a@example.org"), newAccount(t, db, "b@example.org")
		one, _ := newSigner(t, db, a.ID)
		uncompressed, err := signedmsg.NewPublicKey(bytesOf(one.Key.Point()), false)
		if err != nil {
			t.Fatal(err)
		}
		got, owner, err := db.Signer(ctx, uncompressed.Point())
		if err != nil || cmp.Diff(one, got, samePublicKey) != "" || owner.ID != a.ID {
			t.Errorf("the key is %+v of %v, %v", got, owner, err)
		}
		// Again: another form, version and callback.
		later := epoch0.Add(time.Hour)
		changed, err := db.AddSigner(ctx, later, account.Signer{Account: a.ID, Key: uncompressed, Version: "0.2.1", Callback: "https://a.example/called"})
		if err != nil || changed.ID != one.ID || !changed.Created.Equal(epoch0) {
			t.Errorf("added again as %+v, %v", changed, err)
		}
		if got, _, err := db.Signer(ctx, one.Key.Point()); err != nil || cmp.Diff(changed, got, samePublicKey) != "" {
			t.Errorf("changed to %+v, %v", got, err)
		}
		if _, err := db.AddSigner(ctx, later, account.Signer{Account: b.ID, Key: one.Key}); !errors.Is(err, account.ErrSignerExists) {
			t.Errorf("another account's: %v", err)
		}
		if _, err := db.AddSigner(ctx, later, account.Signer{Account: 999, Key: one.Key}); !errors.Is(err, account.ErrUnknown) {
			t.Errorf("nobody's: %v", err)
		}
		two, _ := newSigner(t, db, b.ID)
		if all, err := db.Signers(ctx, 0, 0, 10); err != nil || len(all) != 2 || all[1].ID != two.ID {
			t.Errorf("all keys: %v, %v", all, err)
		}
		if all, err := db.Signers(ctx, b.ID, 0, 10); err != nil || len(all) != 1 || all[0].ID != two.ID {
			t.Errorf("the keys of b: %v, %v", all, err)
		}
		if err := db.RemoveSigner(ctx, later, one.Key.Point()); err != nil {
			t.Error(err)
		}
		if _, _, err := db.Signer(ctx, one.Key.Point()); !errors.Is(err, account.ErrSigner) {
			t.Errorf("a removed key: %v", err)
		}
		if err := db.RemoveSigner(ctx, later, one.Key.Point()); !errors.Is(err, account.ErrSigner) {
			t.Errorf("removed twice: %v", err)
		}
		// It stays its account's, which may have it again.
		if _, err := db.AddSigner(ctx, later, account.Signer{Account: b.ID, Key: one.Key}); !errors.Is(err, account.ErrSignerExists) {
			t.Errorf("a removed key for another account: %v", err)
		}
		if s, err := db.AddSigner(ctx, later, account.Signer{Account: a.ID, Key: one.Key}); err != nil || s.ID != one.ID || !s.Created.Equal(later) {
			t.Errorf("a removed key again: %+v, %v", s, err)
		}
	})
}

func bytesOf(point [33]byte) []byte { return point[:] }

func TestSigned(t *testing.T) {
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		ctx := t.Context()
		db := open(Options{EpochEntries: 4})
		a, b := newAccount(t, db, "a@example.org"), newAccount(t, db, "b@example.org")
		first, firstKey := newSigner(t, db, a.ID)
		second, secondKey := newSigner(t, db, b.ID)
		do := func(creates ...account.Create) []account.Result {
			t.Helper()
			r, err := db.AppendStamps(ctx, epoch0, creates)
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		digest, short, long := bytes.Repeat([]byte{7}, 32), []byte{7}, bytes.Repeat([]byte{7}, 64)
		full := signedCreate(first, firstKey, digest, 4)
		full.Signed.HashOp, full.Signed.Email = ots.OpSHA256, "to@example.org"
		r := do(
			account.Create{Account: a.ID, Items: items(0, 1), Quota: 4}, // an ordinary stamp in the same batch
			full,
			signedCreate(first, firstKey, digest, 4), // again within the transaction
			signedCreate(second, secondKey, digest, 4),
			signedCreate(first, firstKey, short, 4),
			signedCreate(first, firstKey, long, 4),
			signedCreate(first, firstKey, []byte("one too many"), 4),
			signedCreate(first, firstKey, nil, 4),
			signedCreate(first, firstKey, make([]byte, 65), 4),
		)
		for i, want := range []error{nil, nil, nil, nil, nil, nil, account.ErrQuota, account.ErrItem, account.ErrItem} {
			if !errors.Is(r[i].Err, want) {
				t.Errorf("request %d: %v, want %v", i, r[i].Err, want)
			}
		}
		if !r[2].Replayed || r[2].Signed != r[1].Signed || r[1].Replayed {
			t.Errorf("within the transaction: %+v and %+v", r[1].Created, r[2].Created)
		}
		// Later, and over quota: free, and what was kept first.
		again := signedCreate(first, firstKey, digest, 0)
		again.Signed.HashOp, again.Signed.Email = ots.OpKeccak256, "thief@example.org"
		later := do(again)[0]
		if diff := cmp.Diff(r[1].Signed, later.Signed); diff != "" || !later.Replayed || later.Err != nil {
			t.Errorf("kept again: %v %s", later.Err, diff)
		}
		if used, err := db.QuotaUsed(ctx, a.ID, account.Month(epoch0)); err != nil || used != 4 {
			t.Errorf("%d used, %v; want 4", used, err)
		}
		for _, made := range []account.Result{r[1], r[3], r[4], r[5]} {
			leaves, err := db.BatchLeaves(ctx, made.Signed.Position)
			if err != nil {
				t.Fatal(err)
			}
			path, entry, err := made.Signed.Path(ots.MerkleTree(leaves))
			if err != nil {
				t.Fatal(err)
			}
			if now, _, err := made.Signed.Path(made.Tree); err != nil || !bytes.Equal(now.Bytes(), path.Bytes()) {
				t.Errorf("the path when it was made is %v, %v", now, err)
			}
			if _, err := db.Find(ctx, entry); err != nil {
				t.Errorf("its entry: %v", err)
			}
		}
		// By digest it is the oldest.
		s, key, err := db.SignedDigest(ctx, digest)
		if err != nil || cmp.Diff(*r[1].Signed, s) != "" || key.ID != first.ID {
			t.Errorf("by digest: %s %v, %v", cmp.Diff(*r[1].Signed, s), key, err)
		}
		if recovered, err := s.Signature.Recover(signedmsg.Digest(s.Digest)); err != nil || recovered != firstKey.Public() {
			t.Errorf("the kept signature recovers %v, %v", recovered, err)
		}
		if _, _, err := db.SignedDigest(ctx, []byte("other")); !errors.Is(err, account.ErrUnsigned) {
			t.Errorf("an unknown digest: %v", err)
		}
		// All of an account's, in pages; its list of stamps has the stamp alone.
		var listed []account.Signed
		for after := time.Unix(0, 0); ; {
			page, err := db.SignedBy(ctx, a.ID, after, 2)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			listed, after = append(listed, page...), page[len(page)-1].Created
		}
		if diff := cmp.Diff([]account.Signed{*r[1].Signed, *r[4].Signed, *r[5].Signed}, listed); diff != "" {
			t.Errorf("signed by a: %s", diff)
		}
		if n, err := db.CountStamps(ctx, a.ID, nil); err != nil || n != 1 {
			t.Errorf("%d stamps, %v; want 1", n, err)
		}
		if err := db.SetSuspended(ctx, a.ID, true); err != nil {
			t.Fatal(err)
		}
		if r := do(signedCreate(first, firstKey, digest, 4)); !errors.Is(r[0].Err, account.ErrSuspended) {
			t.Errorf("of a suspended account: %v", r[0].Err)
		}
		recompute(t, db)
	})
}

// Many requests at once, more than share an entry, and then again together with new ones.
func TestManySigned(t *testing.T) {
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		db := open(Options{})
		a := newAccount(t, db, "a@example.org")
		s, key := newSigner(t, db, a.ID)
		signature := key.Sign(nil)
		var creates []account.Create
		for n := range maxLeaves + 300 {
			creates = append(creates, account.Create{Account: a.ID, Quota: 10_000, Signed: &account.Signed{Signer: s.ID, Digest: fmt.Append(nil, n), Signature: signature}})
		}
		var before []account.Result
		for _, n := range []int{300, len(creates)} {
			all, err := db.AppendStamps(t.Context(), epoch0, creates[:n])
			if err != nil {
				t.Fatal(err)
			}
			for i, r := range all {
				if r.Err != nil || r.Replayed != (i < len(before)) || string(r.Signed.Digest) != string(creates[i].Signed.Digest) {
					t.Fatalf("request %d of %d: %+v", i, n, r)
				}
				if i < len(before) && cmp.Diff(before[i].Signed, r.Signed) != "" {
					t.Fatalf("request %d is another: %s", i, cmp.Diff(before[i].Signed, r.Signed))
				}
			}
			before = all
		}
		if used, err := db.QuotaUsed(t.Context(), a.ID, account.Month(epoch0)); err != nil || used != int64(len(creates)) {
			t.Errorf("%d used, %v; want %d", used, err, len(creates))
		}
		recompute(t, db)
	})
}

// The same signed digests race from several nodes: each is kept once, and the quota is exact.
func TestRacingSigned(t *testing.T) {
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		first := open(Options{})
		nodes := []*DB{first, first}
		if first.Shared() {
			nodes[1] = open(Options{})
		}
		a := newAccount(t, first, "a@example.org")
		s, key := newSigner(t, first, a.ID)
		const quota, tries = 10, 48
		var mu sync.Mutex
		made, refused, kept := 0, 0, map[string][]byte{}
		var wg sync.WaitGroup
		for n := range tries {
			wg.Go(func() {
				digest := fmt.Append(nil, "digest ", n/4) // each four times
				r, err := nodes[n%2].AppendStamps(t.Context(), epoch0, []account.Create{signedCreate(s, key, digest, quota)})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				if errors.Is(r[0].Err, account.ErrQuota) {
					refused++
					return
				} else if r[0].Err != nil {
					t.Error(r[0].Err)
					return
				}
				if !r[0].Replayed {
					made++
				}
				if nonce, ok := kept[string(digest)]; ok && !bytes.Equal(nonce, r[0].Signed.Nonce[:]) {
					t.Errorf("%s was kept twice", digest)
				}
				kept[string(digest)] = r[0].Signed.Nonce[:]
			})
		}
		wg.Wait()
		if made != quota || len(kept) != quota {
			t.Errorf("%d made, %d kept, want %d; %d refused", made, len(kept), quota, refused)
		}
		recompute(t, first)
	})
}

// A commit whose answer was lost is an error to its client, who asks again and gets what was kept, once.
func TestSignedAfterALostCommit(t *testing.T) {
	where := filepath.Join(t.TempDir(), "datestone.db")
	db, err := Open(t.Context(), where, Options{})
	if err != nil {
		t.Fatal(err)
	}
	a := newAccount(t, db, "a@example.org")
	s, key := newSigner(t, db, a.ID)
	lost := errors.New("the answer was lost")
	commit := db.commit
	db.commit = func(tx transaction) error { return errors.Join(commit(tx), lost) }
	create := signedCreate(s, key, []byte("digest"), 1)
	if _, err := db.AppendStamps(t.Context(), epoch0, []account.Create{create}); !errors.Is(err, lost) {
		t.Fatalf("kept with %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if db, err = Open(context.Background(), where, Options{}); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	retry := signedCreate(s, key, []byte("digest"), 1)
	for range 2 {
		r, err := db.AppendStamps(t.Context(), epoch0, []account.Create{retry})
		if err != nil || r[0].Err != nil || !r[0].Replayed || r[0].Signed.Nonce != create.Signed.Nonce {
			t.Fatalf("asked again: %+v, %v", r, err)
		}
	}
	if used, err := db.QuotaUsed(t.Context(), a.ID, account.Month(epoch0)); err != nil || used != 1 {
		t.Errorf("%d used, %v; want 1", used, err)
	}
}

// Of what is kept at some positions the oldest is found, be it a stamp or a signed digest, of the plan alone.
func TestWaitingSince(t *testing.T) {
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		ctx := t.Context()
		db := open(Options{EpochEntries: 3})
		a, b := newAccount(t, db, "a@example.org"), newAccount(t, db, "b@example.org")
		if err := db.SetPlan(ctx, b.ID, "other"); err != nil {
			t.Fatal(err)
		}
		s, key := newSigner(t, db, a.ID)
		at := func(minute int) time.Time { return epoch0.Add(time.Duration(minute) * time.Minute) }
		for minute, c := range []account.Create{
			{Account: b.ID, Items: items(0, 1), Quota: 9}, {Account: a.ID, Items: items(0, 1), Quota: 9}, signedCreate(s, key, []byte("x"), 9), // epoch 0
			{Account: a.ID, Items: items(1, 2), Quota: 9}, // epoch 1, after the entry that begins it
		} {
			if r, err := db.AppendStamps(ctx, at(minute), []account.Create{c}); err != nil || r[0].Err != nil {
				t.Fatal(err, r)
			}
		}
		for _, c := range []struct {
			plan         string
			epoch        int
			from, before int64
			want         int // minute, or -1
		}{
			{"business", 0, 0, 3, 1}, {"business", 0, 2, 3, 2}, {"business", 0, 0, 1, -1}, {"business", 0, 3, 3, -1}, {"business", 1, 0, 9, 3},
			{"other", 0, 0, 3, 0}, {"other", 1, 0, 9, -1}, {"nobody's", 0, 0, 3, -1},
		} {
			since, some, err := db.WaitingSince(ctx, c.plan, c.epoch, c.from, c.before)
			if err != nil || some != (c.want >= 0) || some && !since.Equal(at(c.want)) {
				t.Errorf("%s in epoch %d from %d: %v %v %v, want minute %d", c.plan, c.epoch, c.from, since, some, err, c.want)
			}
		}
	})
}
