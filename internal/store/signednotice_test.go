package store

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/notify"
	"github.com/datestone/datestone/ots/signedmsg"
)

// toldSigned are the deliveries of a channel, oldest first: where to, what, of which digest, by which target.
func toldSigned(t *testing.T, db *DB, channel string) []string {
	t.Helper()
	rows, err := db.query(t.Context(), `SELECT `+endpointColumns+` FROM endpoint e WHERE e.channel = $1 ORDER BY e.id`, channel)
	if err != nil {
		t.Fatal(err)
	}
	endpoints, err := scanEndpoints(rows)
	if err != nil {
		t.Fatal(err)
	}
	lines := []string{}
	for _, e := range endpoints {
		all, _, err := db.Deliveries(t.Context(), notify.Filter{Endpoint: &e.UID}, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range slices.Backward(all) {
			s, k, err := db.SignedOf(t.Context(), d.Notice)
			if err != nil || k.ID != s.Signer {
				t.Fatalf("notice %v is about %v, %v", d.Notice, s, err)
			}
			lines = append(lines, fmt.Sprint(e.Address, " ", d.Notice.Kind, " ", string(s.Digest), " ", d.Notice.Target))
		}
	}
	return lines
}

// Callbacks hear of each counted attestation once, also of one in place of another that was withdrawn; an e-mail is due
// once, with the first of all. Stamps and webhooks of the same account are not disturbed.
func TestSignedNotices(t *testing.T) {
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		ctx := t.Context()
		db := open(Options{})
		a, b := newAccount(t, db, "a@example.org"), newAccount(t, db, "b@example.org")
		signer := func(owner account.Account, callback string) (account.Signer, signedmsg.PrivateKey) {
			s, key := newSigner(t, db, owner.ID)
			s.Callback = callback
			s, err := db.AddSigner(ctx, epoch0, s)
			if err != nil {
				t.Fatal(err)
			}
			return s, key
		}
		one, oneKey := signer(a, "https://one.test/")
		two, twoKey := signer(b, "https://two.test/")
		silent, silentKey := signer(a, "")
		sign := func(s account.Signer, key signedmsg.PrivateKey, digest, email string) {
			t.Helper()
			c := signedCreate(s, key, []byte(digest), 1000)
			c.Signed.Email = email
			if r, err := db.AppendStamps(ctx, epoch0, []account.Create{c}); err != nil || r[0].Err != nil {
				t.Fatal(err, r)
			}
		}
		chain := newTestChain(t, db, "bitcoin")
		webhook := listen(t, db, a.ID, allKinds)
		sign(one, oneKey, "1", "")
		sign(two, twoKey, "2", "to@example.org")
		sign(silent, silentKey, "3", "")
		stamps := keep(t, db, a, 1)
		walkAll(t, db)
		same(t, "before", toldSigned(t, db, notify.Callback), []string{})

		chain.block(map[string]logtree.Head{"first": head(t, db)})
		walkAll(t, db)
		same(t, "mined and not deep", toldSigned(t, db, notify.Callback), []string{})
		chain.block(nil)
		walkAll(t, db)
		walkAll(t, db)
		first := []string{"https://one.test/ attested 1 bitcoin", "https://two.test/ attested 2 bitcoin"}
		receipts := []string{"to@example.org complete 2 "}
		same(t, "confirmed", toldSigned(t, db, notify.Callback), first)
		same(t, "confirmed, by e-mail", toldSigned(t, db, notify.Receipt), receipts)
		same(t, "webhooks", told(t, db, webhook), []string{"anchored 1", "confirmed 1", "upgraded 1"})

		// The same transaction returns: nothing new. Another one in its place: told again, but not by e-mail.
		last := chain.blocks[len(chain.blocks)-2:]
		chain.back(2)
		walkAll(t, db)
		for _, b := range last {
			if _, err := db.ConnectBlock(ctx, epoch0, "bitcoin", b, 2); err != nil {
				t.Fatal(err)
			}
			chain.blocks = append(chain.blocks, b)
		}
		walkAll(t, db)
		same(t, "restored", toldSigned(t, db, notify.Callback), first)
		chain.back(2)
		walkAll(t, db)
		chain.confirm("second")
		walkAll(t, db)
		again := []string{first[0], first[0], first[1], first[1]}
		same(t, "another transaction", toldSigned(t, db, notify.Callback), again)
		same(t, "another transaction, by e-mail", toldSigned(t, db, notify.Receipt), receipts)

		// Another target is told of for what comes after it began.
		other := newTestChain(t, db, "other")
		sign(one, oneKey, "4", "late@example.org")
		other.confirm("elsewhere")
		walkAll(t, db)
		again = slices.Insert(again, 2, "https://one.test/ attested 4 other")
		receipts = append(receipts, "late@example.org complete 4 ")
		same(t, "another target", toldSigned(t, db, notify.Callback), again)
		same(t, "another target, by e-mail", toldSigned(t, db, notify.Receipt), receipts)

		// A callback that changes gets what comes then; one that is taken away nothing.
		two.Callback = "https://new.test/"
		var err error
		if two, err = db.AddSigner(ctx, epoch0, two); err != nil {
			t.Fatal(err)
		}
		one.Callback = ""
		if one, err = db.AddSigner(ctx, epoch0, one); err != nil {
			t.Fatal(err)
		}
		sign(one, oneKey, "5", "")
		sign(two, twoKey, "6", "")
		chain.confirm("third")
		walkAll(t, db)
		got := toldSigned(t, db, notify.Callback)
		same(t, "changed", got[len(got)-1:], []string{"https://new.test/ attested 6 bitcoin"})
		if slices.ContainsFunc(got, func(line string) bool { return strings.Contains(line, " 5 ") }) {
			t.Errorf("no callback, and told: %v", got)
		}

		// None of these endpoints is the account's to see or to count.
		if all, err := db.Endpoints(ctx, b.ID, 100); err != nil || len(all) != 0 {
			t.Errorf("the endpoints of b are %v, %v", all, err)
		}
		if n, err := db.CountStamps(ctx, a.ID, nil); err != nil || n != int64(len(stamps)) {
			t.Errorf("%d stamps, %v", n, err)
		}
	})
}

// More than a step takes: each digest is told of once, whichever the order of keys and positions.
func TestManySignedNotices(t *testing.T) {
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		ctx := t.Context()
		db := open(Options{})
		a := newAccount(t, db, "a@example.org")
		chain := newTestChain(t, db, "bitcoin")
		var creates []account.Create
		for k := range 3 {
			s, key := newSigner(t, db, a.ID)
			s.Callback = fmt.Sprintf("https://%d.test/", k)
			if k == 1 {
				s.Callback = ""
			}
			s, err := db.AddSigner(ctx, epoch0, s)
			if err != nil {
				t.Fatal(err)
			}
			for n := range walkStamps + 50 {
				c := signedCreate(s, key, fmt.Append(nil, k, " ", n), 1<<30)
				if k == 1 && n%2 == 0 {
					c.Signed.Email = "to@example.org"
				}
				creates = append(creates, c)
			}
		}
		rand.Shuffle(len(creates), func(i, j int) { creates[i], creates[j] = creates[j], creates[i] })
		for part := range slices.Chunk(creates, 97) {
			if _, err := db.AppendStamps(ctx, epoch0, part); err != nil {
				t.Fatal(err)
			}
		}
		chain.confirm("all")
		walkAll(t, db)
		for channel, want := range map[string]int{notify.Callback: 2 * (walkStamps + 50), notify.Receipt: (walkStamps + 50) / 2} {
			lines := toldSigned(t, db, channel)
			slices.Sort(lines)
			if n := len(lines); n != want || len(slices.Compact(lines)) != want {
				t.Errorf("%s: %d were told, want %d", channel, len(lines), want)
			}
		}
	})
}
