package store

import (
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/logtree"
)

func item(n int) account.Item {
	i := account.Item{SHA256: tip(n), File: account.File{Name: fmt.Sprintf("plan %d.pdf", n), Size: int64(n + 1), Type: "application/pdf"}}
	rand.Read(i.Nonce[:])
	return i
}

func items(from, to int) (all []account.Item) {
	for n := from; n < to; n++ {
		all = append(all, item(n))
	}
	return all
}

func newAccount(t *testing.T, db *DB, email string) account.Account {
	t.Helper()
	a, err := db.CreateAccount(t.Context(), epoch0, email, "business")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// change gives an account the plan, the suspension and the branding of a.
func change(t *testing.T, db *DB, a account.Account) error {
	return errors.Join(db.SetPlan(t.Context(), a.ID, a.Plan), db.SetSuspended(t.Context(), a.ID, a.Suspended), db.SetBranding(t.Context(), a.ID, a.Branding))
}

func TestAccounts(t *testing.T) {
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		ctx := t.Context()
		db := open(Options{})
		a := newAccount(t, db, "a@example.org")
		if _, err := db.CreateAccount(ctx, epoch0, "a@example.org", "free"); !errors.Is(err, account.ErrExists) {
			t.Errorf("an account with the same address: %v", err)
		}
		if _, err := db.CreateAccount(ctx, epoch0, "A@Example.Org", "free"); !errors.Is(err, account.ErrExists) {
			t.Errorf("an account with the same address in other letters: %v", err)
		}
		if same, err := db.AccountByEmail(ctx, "A@EXAMPLE.ORG"); err != nil || same.ID != a.ID {
			t.Errorf("the address in capital letters: %v, %v", same.ID, err)
		}
		b := newAccount(t, db, "b@example.org")
		one, two := account.KeyHash("one"), account.KeyHash("two")
		if err := db.SetKey(ctx, epoch0, a.ID, one, "one"); err != nil {
			t.Fatal(err)
		}
		if got, err := db.KeyHolder(ctx, one); err != nil || got != (account.KeyHolder{ID: a.ID, Plan: a.Plan}) {
			t.Errorf("by key: %+v, %v", got, err)
		}
		if got, err := db.Account(ctx, a.ID); err != nil || got.KeyHint != "one" || !got.KeyCreated.Equal(epoch0) {
			t.Errorf("with a key: %+v, %v", got, err)
		}
		if err := db.SetKey(ctx, epoch0, a.ID, two, "two"); err != nil {
			t.Fatal(err)
		}
		if _, err := db.KeyHolder(ctx, one); !errors.Is(err, account.ErrUnknown) {
			t.Errorf("by a key that was replaced: %v", err)
		}
		if err := db.SetKey(ctx, epoch0, b.ID, two, "two"); err == nil {
			t.Error("two accounts have one key")
		}
		if err := db.RevokeKey(ctx, a.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := db.KeyHolder(ctx, two); !errors.Is(err, account.ErrUnknown) {
			t.Errorf("by a key that was revoked: %v", err)
		}
		a.Plan, a.Suspended, a.Branding = "pro", true, &account.Branding{Name: "A & Co", Color: "#102030"}
		if err := change(t, db, a); err != nil {
			t.Fatal(err)
		}
		if got, err := db.AccountByEmail(ctx, a.Email); err != nil || cmp.Diff(a, got) != "" {
			t.Errorf("after a change: %v %s", err, cmp.Diff(a, got))
		}
		if err := db.SetPlan(ctx, 99, "pro"); !errors.Is(err, account.ErrUnknown) {
			t.Errorf("changing an account that is not there: %v", err)
		}
		if all, err := db.Accounts(ctx, a.ID, 10); err != nil || len(all) != 1 || all[0].Email != b.Email {
			t.Errorf("accounts after the first: %v, %v", all, err)
		}
	})
}

func TestAppendStamps(t *testing.T) {
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		ctx := t.Context()
		db := open(Options{EpochEntries: 8})
		a, b := newAccount(t, db, "a@example.org"), newAccount(t, db, "b@example.org")
		b.Branding = &account.Branding{Name: "B", LogoURL: "https://b.example/logo.png", Color: "#fff"}
		if err := change(t, db, b); err != nil {
			t.Fatal(err)
		}
		payload := [32]byte{1}
		one := func(n int, change func(*account.Create)) account.Create {
			c := account.Create{Account: a.ID, Items: items(n, n+1), Whole: true, Quota: 100}
			if change != nil {
				change(&c)
			}
			return c
		}
		do := func(now time.Time, creates ...account.Create) []account.Result {
			t.Helper()
			r, err := db.AppendStamps(ctx, now, creates)
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		keyed := one(1, func(c *account.Create) { c.Key, c.Payload = "k", payload })
		first := do(epoch0,
			one(0, nil), keyed,
			one(0, nil), // a duplicate within the transaction
			one(2, func(c *account.Create) { c.Account = 999 }),                    // nobody's
			one(0, func(c *account.Create) { c.Account, c.Branding = b.ID, true }), // another owner's
			keyed, // the key again, within the transaction
			one(3, func(c *account.Create) { c.Quota = 2 }),
		)
		for i, want := range []error{nil, nil, account.ErrDuplicate, account.ErrSuspended, nil, nil, account.ErrQuota} {
			if !errors.Is(first[i].Err, want) {
				t.Errorf("request %d: %v, want %v", i, first[i].Err, want)
			}
		}
		if !first[5].Replayed || cmp.Diff(first[1].Stamps, first[5].Stamps) != "" {
			t.Errorf("the key again: %s", cmp.Diff(first[1].Stamps, first[5].Stamps))
		}
		if diff := cmp.Diff(b.Branding, first[4].Stamps[0].Branding); diff != "" {
			t.Errorf("branding: %s", diff)
		}

		// Later, on a clock that went back.
		back := epoch0.Add(-time.Hour)
		second := do(back,
			keyed,
			one(1, func(c *account.Create) { c.Key, c.Payload = "k", [32]byte{2} }),
			one(1, nil),
			one(4, nil),
			account.Create{Account: a.ID, Items: items(0, 7), Quota: 100, Key: "batch"},
		)
		for i, want := range []error{nil, account.ErrMismatch, account.ErrDuplicate, nil, nil} {
			if !errors.Is(second[i].Err, want) {
				t.Errorf("later request %d: %v, want %v", i, second[i].Err, want)
			}
		}
		if diff := cmp.Diff(first[1].Stamps, second[0].Stamps); diff != "" || !second[0].Replayed {
			t.Errorf("a replay: %s", diff)
		}
		if got := second[4].Existing; cmp.Diff(got, []bool{true, true, false, false, true, false, false}) != "" {
			t.Errorf("a batch: existing %v", got)
		}
		if used, err := db.QuotaUsed(ctx, a.ID, account.Month(epoch0)); err != nil || used != 7 {
			t.Errorf("%d of the quota used, want 7; %v", used, err)
		}
		again := do(back, account.Create{Account: a.ID, Items: items(0, 7), Quota: 100, Key: "batch"})
		if diff := cmp.Diff(second[4].Created, again[0].Created, cmp.FilterPath(func(p cmp.Path) bool { return p.String() == "Replayed" }, cmp.Ignore())); diff != "" {
			t.Errorf("a batch replayed: %s", diff)
		}
		// After its time a key is free.
		late := do(epoch0.Add(account.IdempotencyKept+time.Hour), one(1, func(c *account.Create) { c.Key, c.Payload = "k", [32]byte{2} }))
		if !errors.Is(late[0].Err, account.ErrDuplicate) {
			t.Errorf("an expired key: %v", late[0].Err)
		}

		// Every stamp leads to its entry, and created times grow with positions.
		stored, err := db.Stamps(ctx, a.ID, nil, epoch0.Add(time.Hour), 100)
		if err != nil || len(stored) != 7 {
			t.Fatalf("%d stamps, want 7; %v", len(stored), err)
		}
		for i, s := range stored {
			if i > 0 && (!s.Created.Before(stored[i-1].Created) || s.Position > stored[i-1].Position) {
				t.Errorf("stamp %d is at %v and %v, the newer one at %v and %v", i, s.Created, s.Position, stored[i-1].Created, stored[i-1].Position)
			}
			leaves, err := db.BatchLeaves(ctx, s.Position)
			if err != nil {
				t.Fatal(err)
			}
			path, entry, err := s.Path(leaves)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := db.Find(ctx, entry); err != nil {
				t.Errorf("the entry of stamp %d: %v", i, err)
			}
			if got, err := path.Apply(s.SHA256[:]); err != nil || string(got) != string(entry[:]) {
				t.Errorf("the path of stamp %d leads to %x, want %v; %v", i, got, entry, err)
			}
			byID, err := db.Stamp(ctx, s.ID)
			byCertificate, err2 := db.StampByCertificate(ctx, s.Certificate)
			byDigest, err3 := db.StampByDigest(ctx, a.ID, s.SHA256)
			if err := errors.Join(err, err2, err3); err != nil || cmp.Diff(s, byID)+cmp.Diff(s, byCertificate)+cmp.Diff(s, byDigest) != "" {
				t.Errorf("stamp %d by its id, certificate and digest: %v", i, err)
			}
		}
		recompute(t, db)

		// A suspended account makes nothing.
		a.Suspended = true
		if err := change(t, db, a); err != nil {
			t.Fatal(err)
		}
		if r := do(epoch0, one(50, nil)); !errors.Is(r[0].Err, account.ErrSuspended) {
			t.Errorf("a suspended account: %v", r[0].Err)
		}
		if n, err := db.ForgetIdempotency(ctx, epoch0.Add(48*time.Hour), 1); err != nil || n != 1 {
			t.Errorf("forgot %d keys, %v", n, err)
		}
	})
}

// The key of a request that was refused is free, for the next request of the same transaction too.
func TestKeysOfRefused(t *testing.T) {
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		db := open(Options{})
		a := newAccount(t, db, "a@example.org")
		create := func(key string, n int, quota int64) account.Create {
			return account.Create{Account: a.ID, Items: items(n, n+1), Whole: true, Quota: quota, Key: key, Payload: tip(n)}
		}
		do := func(want []error, creates ...account.Create) {
			t.Helper()
			r, err := db.AppendStamps(t.Context(), epoch0, creates)
			if err != nil {
				t.Fatal(err)
			}
			for i := range want {
				if !errors.Is(r[i].Err, want[i]) {
					t.Errorf("request %d: %v, want %v", i, r[i].Err, want[i])
				}
			}
		}
		do([]error{account.ErrQuota}, create("alone", 0, 0))
		do([]error{account.ErrQuota, nil, account.ErrMismatch}, create("together", 1, 0), create("together", 2, 10), create("together", 1, 10))
		do([]error{nil, nil, account.ErrMismatch, account.ErrMismatch},
			create("alone", 3, 10), create("together", 2, 0), create("together", 1, 10), create("alone", 0, 10))
		// A key that has expired is free, whatever becomes of its next request.
		late := epoch0.Add(account.IdempotencyKept + time.Second)
		r, err := db.AppendStamps(t.Context(), late, []account.Create{create("alone", 3, 10), create("together", 4, 10)})
		if err != nil || !errors.Is(r[0].Err, account.ErrDuplicate) || r[1].Err != nil {
			t.Errorf("expired keys: %+v, %v", r, err)
		}
		if n, err := db.ForgetIdempotency(t.Context(), late, 10); err != nil || n != 0 {
			t.Errorf("%d keys had expired, %v", n, err)
		}
		if n, err := db.ForgetIdempotency(t.Context(), late.Add(account.IdempotencyKept), 10); err != nil || n != 1 {
			t.Errorf("%d keys were kept, %v", n, err)
		}
	})
}

// A request of more stamps than fit into one entry is decided at once and takes several.
func TestManyStampsAtOnce(t *testing.T) {
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		ctx := t.Context()
		db := open(Options{})
		a := newAccount(t, db, "a@example.org")
		r, err := db.AppendStamps(ctx, epoch0, []account.Create{{Account: a.ID, Items: items(0, 10_000), Quota: 10_000}})
		if err != nil || r[0].Err != nil {
			t.Fatal(err, r[0].Err)
		}
		if h, err := db.Head(ctx); err != nil || h.Size != 3 {
			t.Errorf("%d entries, want 3; %v", h.Size, err)
		}
		if r[0].Stamps[9_999].Position != 2 || r[0].Stamps[9_999].Leaf != 9_999-2*maxLeaves {
			t.Errorf("the last stamp is leaf %d of %v", r[0].Stamps[9_999].Leaf, r[0].Stamps[9_999].Position)
		}
		// Paging never skips or repeats one.
		before, seen := time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), 0
		for {
			page, err := db.Stamps(ctx, a.ID, []Range{{0, 1}, {2, 9}}, before, 1000)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			seen, before = seen+len(page), page[len(page)-1].Created
		}
		want := 10_000 - maxLeaves
		if n, err := db.CountStamps(ctx, a.ID, []Range{{0, 1}, {2, 9}}); err != nil || seen != want || n != int64(want) {
			t.Errorf("%d stamps on all pages, %d counted, want %d; %v", seen, n, want, err)
		}
		if n, err := db.CountStamps(ctx, a.ID, nil); err != nil || n != 10_000 {
			t.Errorf("%d stamps counted, want 10000; %v", n, err)
		}
		if r, err := db.AppendStamps(ctx, epoch0, []account.Create{{Account: a.ID, Items: items(0, 10_000), Quota: 10_000}}); err != nil || r[0].Err != nil {
			t.Errorf("all of them again: %v, %v", err, r[0].Err)
		}
	})
}

// An id of a certificate that is taken is drawn again, without the others.
func TestCertificatesCollide(t *testing.T) {
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		ctx := t.Context()
		db := open(Options{})
		a := newAccount(t, db, "a@example.org")
		n := 0
		db.draw = func(int) string { n++; return fmt.Sprintf("TS-%06d", n/3) }
		seen := make(map[string]account.ID)
		for i := range 3 {
			r, err := db.AppendStamps(ctx, epoch0, []account.Create{{Account: a.ID, Items: items(10*i, 10*i+10), Quota: 100}})
			if err != nil || r[0].Err != nil {
				t.Fatal(err, r[0].Err)
			}
			for _, s := range r[0].Stamps {
				if other, ok := seen[s.Certificate]; ok {
					t.Errorf("%v and %v are both %s", other, s.ID, s.Certificate)
				}
				seen[s.Certificate] = s.ID
				if got, err := db.StampByCertificate(ctx, s.Certificate); err != nil || cmp.Diff(s, got) != "" {
					t.Errorf("%s: %v %s", s.Certificate, err, cmp.Diff(s, got))
				}
			}
		}
		if n, err := db.CountStamps(ctx, a.ID, nil); err != nil || n != 30 || len(seen) != 30 {
			t.Errorf("%d stamps, %d ids; %v", n, len(seen), err)
		}
		db.draw = func(int) string { return "TS-000000" }
		if _, err := db.AppendStamps(ctx, epoch0, []account.Create{{Account: a.ID, Items: items(90, 91), Quota: 100}}); err == nil {
			t.Error("two certificates have one id")
		}
	})
}

// Racing requests of several nodes: quotas and idempotency are exact.
func TestRacingStamps(t *testing.T) {
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		ctx := t.Context()
		first := open(Options{})
		nodes := []*DB{first, first}
		if first.Shared() {
			nodes[1] = open(Options{})
		}
		a, b := newAccount(t, first, "a@example.org"), newAccount(t, first, "b@example.org")
		const quota, tries = 25, 60
		var mu sync.Mutex
		var made, refused int
		byKey := map[string]account.ID{}
		var wg sync.WaitGroup
		for n := range tries {
			wg.Go(func() {
				// Two accounts in both orders, one key for each two requests.
				key := fmt.Sprint(n / 2)
				creates := []account.Create{
					{Account: a.ID, Items: []account.Item{item(n / 2)}, Whole: true, Quota: quota, Key: key},
					{Account: b.ID, Items: []account.Item{item(n)}, Whole: true, Quota: 1000},
				}
				if n%3 == 0 {
					creates[0], creates[1] = creates[1], creates[0]
				}
				results, err := nodes[n%2].AppendStamps(ctx, epoch0, creates)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				for i, r := range results {
					switch {
					case creates[i].Account == b.ID:
						if r.Err != nil {
							t.Errorf("a neighbour's request: %v", r.Err)
						}
					case errors.Is(r.Err, account.ErrQuota):
						refused++
					case r.Err != nil:
						t.Error(r.Err)
					default:
						id := r.Stamps[0].ID
						if other, ok := byKey[key]; ok && other != id {
							t.Errorf("key %s made two stamps", key)
						}
						byKey[key] = id
						if !r.Replayed {
							made++
						}
					}
				}
			})
		}
		wg.Wait()
		if made != quota || len(byKey) != quota {
			t.Errorf("%d stamps and %d keys, want %d; %d refused", made, len(byKey), quota, refused)
		}
		if n, err := first.CountStamps(ctx, a.ID, nil); err != nil || n != quota {
			t.Errorf("%d stamps are stored, want %d; %v", n, quota, err)
		}
		recompute(t, first)
	})
}

// What is confirmed is read off positions.
func TestConfirmed(t *testing.T) {
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		ctx := t.Context()
		db := open(Options{})
		if err := db.update(ctx, func(tx tx) error {
			for i, row := range [][3]int{{0, 5, 1}, {0, 9, 3}, {0, 7, 1}, {2, 4, 1}, {3, 8, 0}} {
				if _, err := tx.exec(ctx, `INSERT INTO attestation (target, purpose, epoch, size, root, proof, height, block, block_time, ref, state, changed)
					VALUES ('bitcoin', 'log', $1, $2, $3, $3, 1, $3, 0, $4, $5, 0)`, row[0], row[1], make([]byte, 32), fmt.Sprint(i), row[2]); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		second, _ := logtree.At(2, 0)
		got, err := db.Confirmed(ctx)
		if diff := cmp.Diff([]Range{{0, 7}, {second, second + 4}}, got); err != nil || diff != "" {
			t.Errorf("%v %s", err, diff)
		}
	})
}
