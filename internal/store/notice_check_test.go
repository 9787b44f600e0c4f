package store

import (
	"context"
	"strings"
	"testing"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/notify"
)

func TestCheckNotices(t *testing.T) {
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		db := open(Options{EpochEntries: 3})
		chain := newTestChain(t, db, "bitcoin")
		a := newAccount(t, db, "a@example.org")
		stamps := keep(t, db, a, 1, 2, 3, 4)
		listen(t, db, a.ID, allKinds)
		listen(t, db, a.ID, allKinds, stamps[3])
		signer, key := newSigner(t, db, a.ID)
		signer.Callback = "https://hooks.test/"
		if _, err := db.AddSigner(t.Context(), epoch0, signer); err != nil {
			t.Fatal(err)
		}
		signed := signedCreate(signer, key, []byte("digest"), 1000)
		signed.Signed.Email = "to@example.org"
		if r, err := db.AppendStamps(t.Context(), epoch0, []account.Create{signed}); err != nil || r[0].Err != nil {
			t.Fatal(err, r)
		}
		chain.confirm("tx1")
		walkAll(t, db)
		check := func() []string {
			t.Helper()
			wrong, err := db.CheckNotices(t.Context(), 10)
			if err != nil {
				t.Fatal(err)
			}
			return wrong
		}
		same(t, "a sound store", check(), nil)
		chain.back(2)
		walkAll(t, db)
		same(t, "after a withdrawal", check(), nil)
		n, err := db.DropDeliveries(t.Context(), epoch0, notify.Filter{})
		if err != nil || n == 0 {
			t.Fatal(n, err)
		}
		same(t, "after all was dropped", check(), nil)
		for damage, want := range map[string]string{
			`UPDATE notice SET position = position + 1 WHERE id = 1`:            "notice 1 is about a stamp",
			`UPDATE notice SET account = 99 WHERE id = 1`:                       "notice 1 is about a stamp",
			`UPDATE notice SET stands = 1 WHERE kind = 'confirmed'`:             "beyond what was walked",
			`DELETE FROM notice WHERE id = 1`:                                   "has no notice",
			`UPDATE endpoint SET next = 1 WHERE id = 1`:                         "endpoint 1 has something due",
			`UPDATE delivery SET state = 0 WHERE id = 1`:                        "has something due and no time",
			`UPDATE endpoint SET position = 7 WHERE stamp IS NOT NULL`:          "endpoint 2 is about a stamp",
			`DELETE FROM signed`:                                                "is about a signed digest",
			`UPDATE notice SET position = position + 1 WHERE kind = 'attested'`: "is about a signed digest",
			`UPDATE notice SET account = 99 WHERE kind = 'complete'`:            "is about a signed digest",
			`UPDATE signer SET endpoint = 0`:                                    "signer 1 has a callback",
			`UPDATE signer SET callback = 'https://other.test/'`:                "signer 1 has a callback",
		} {
			tx, err := db.write.BeginTx(context.Background(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec(damage); err != nil {
				t.Fatal(err)
			}
			var all []string
			for _, c := range noticeChecks {
				rows, err := tx.Query(c.text, 10)
				if err != nil {
					t.Fatal(err)
				}
				for rows.Next() {
					var id int64
					if err := rows.Scan(&id); err != nil {
						t.Fatal(err)
					}
					all = append(all, strings.Join([]string{c.table, string(rune('0' + id)), c.what}, " "))
				}
				rows.Close()
			}
			if err := tx.Rollback(); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(strings.Join(all, "\n"), want) {
				t.Errorf("%s: found %q, want %q", damage, all, want)
			}
		}
	})
}
