package store

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/notify"
)

// An account has one endpoint for e-mail, at its own address, until it or who has its secret ends it; what is due waits for
// more; and webhooks are counted without it.
func TestMailEndpoint(t *testing.T) {
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		db := open(Options{})
		chain := newTestChain(t, db, "bitcoin")
		a, b := newAccount(t, db, "a@example.org"), newAccount(t, db, "b@example.org")
		kinds := notify.Set(notify.Confirmed, notify.Withdrawn)
		wanted := func(owner int64, kinds notify.Kinds) notify.Endpoint {
			return notify.Endpoint{UID: account.NewID(), Account: owner, Address: "victim@example.org", Kinds: kinds, Secret: bytes.Repeat([]byte{7}, 16), Gather: 10 * time.Minute}
		}
		e, err := db.SetMail(t.Context(), epoch0, wanted(a.ID, kinds))
		if err != nil || e.Address != "a@example.org" || e.Channel != notify.Mail || e.Gather != 10*time.Minute {
			t.Fatalf("%+v, %v", e, err)
		}
		again, err := db.SetMail(t.Context(), epoch0, wanted(a.ID, notify.Set(notify.Confirmed)))
		if err != nil || again.ID != e.ID || again.Kinds != notify.Set(notify.Confirmed) {
			t.Fatalf("%+v, %v", again, err)
		}
		if _, err := db.SetMail(t.Context(), epoch0, wanted(99, kinds)); err == nil {
			t.Error("an account that is not there gets e-mail")
		}
		if _, err := db.Mail(t.Context(), b.ID); err == nil {
			t.Error("another account gets e-mail")
		}
		if _, err := db.AddEndpoint(t.Context(), epoch0, notify.Endpoint{UID: account.NewID(), Account: a.ID, Channel: notify.Webhook, Kinds: kinds, Secret: []byte{1}}, EndpointLimits{Wide: 1, All: 1}); err != nil {
			t.Errorf("the e-mail counts as a webhook: %v", err)
		}

		keep(t, db, a, 1)
		chain.confirm("tx1")
		walkAll(t, db)
		for at, want := range map[time.Duration]int{10*time.Minute - time.Microsecond: 0, 10 * time.Minute: 1} {
			due, err := db.DueEndpoints(t.Context(), epoch0.Add(at), false, 10)
			n := 0
			for _, d := range due {
				if d.ID == e.ID {
					n++
				}
			}
			if err != nil || n != want {
				t.Errorf("after %v %d are due, want %d; %v", at, n, want, err)
			}
		}
		due, err := db.DueDeliveries(t.Context(), e.ID, 10)
		if err != nil || len(due) != 1 {
			t.Fatalf("%+v, %v", due, err)
		}
		keep(t, db, a, 2)
		chain.confirm("tx2")
		walkAll(t, db)
		at := epoch0.Add(10 * time.Minute)
		if err := db.SaveResults(t.Context(), []notify.Result{{Delivery: due[0].ID, Endpoint: e.ID, At: at, Done: true}}); err != nil {
			t.Fatal(err)
		}
		if e, err = db.Mail(t.Context(), a.ID); err != nil || !e.Next.Equal(at.Add(10*time.Minute)) {
			t.Errorf("what became due meanwhile is sent at %v, %v", e.Next, err)
		}

		for _, wrong := range [][]byte{nil, {}, bytes.Repeat([]byte{8}, 16), bytes.Repeat([]byte{7}, 15)} {
			if ended, err := db.Unsubscribe(t.Context(), e.UID, wrong); ended || err != nil {
				t.Errorf("the secret %x: %v, %v", wrong, ended, err)
			}
		}
		for _, want := range []bool{true, false} {
			if ended, err := db.Unsubscribe(t.Context(), e.UID, e.Secret); ended != want || err != nil {
				t.Errorf("%v, %v; want %v", ended, err, want)
			}
		}
		if _, active, err := db.ActiveEndpoint(t.Context(), e.ID); active || err != nil {
			t.Errorf("it still gets notices: %v", err)
		}
		if e, err = db.SetMail(t.Context(), epoch0, wanted(a.ID, kinds)); err != nil || e.ID == again.ID {
			t.Errorf("asked for again: %+v, %v", e, err)
		}
		if wrong, err := db.CheckNotices(t.Context(), 10); err != nil || len(wrong) != 0 {
			t.Errorf("%v, %v", wrong, err)
		}
		if err := db.update(t.Context(), func(tx tx) error {
			_, err := tx.exec(t.Context(), `UPDATE endpoint SET address = 'victim@example.org' WHERE id = $1`, e.ID)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if wrong, err := db.CheckNotices(t.Context(), 10); err != nil || len(wrong) != 1 || !strings.Contains(wrong[0], "elsewhere than to its account") {
			t.Errorf("%v, %v", wrong, err)
		}
		for range 2 {
			if err := db.EndMail(t.Context(), a.ID); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := db.Mail(t.Context(), a.ID); err == nil {
			t.Error("it was not ended")
		}
	})
}

// Another attestation confirms the stamps while they are being told that the first one is withdrawn: every one of them
// hears of it.
func TestConfirmedInTheMiddleOfAWithdrawal(t *testing.T) {
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		db := open(Options{})
		chain := newTestChain(t, db, "bitcoin")
		a := newAccount(t, db, "a@example.org")
		e := listen(t, db, a.ID, notify.Set(notify.Confirmed, notify.Withdrawn))
		const all = 2 * walkStamps
		results, err := db.AppendStamps(t.Context(), epoch0, []account.Create{{Account: a.ID, Items: items(0, all), Quota: 1 << 30}})
		if err != nil || results[0].Err != nil {
			t.Fatal(err, results)
		}
		chain.confirm("tx1")
		walkAll(t, db)
		chain.back(2)
		for len(told(t, db, e)) < all+walkStamps {
			if _, err := db.Walk(t.Context(), epoch0); err != nil {
				t.Fatal(err)
			}
		}
		chain.block(nil)
		chain.confirm("tx2")
		walkAll(t, db)
		confirmed := map[string]int{}
		for _, line := range told(t, db, e) {
			if line[0] == 'c' {
				confirmed[line]++
			}
		}
		for line, n := range confirmed {
			if n != 2 {
				t.Errorf("%d times %s, want one for each transaction", n, line)
			}
		}
		if len(confirmed) != all {
			t.Errorf("%d stamps were confirmed, want %d", len(confirmed), all)
		}
		if wrong, err := db.CheckNotices(t.Context(), 10); err != nil || len(wrong) != 0 {
			t.Errorf("%v, %v", wrong, err)
		}
	})
}
