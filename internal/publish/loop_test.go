package publish_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/publish"
	"github.com/datestone/datestone/internal/store"
	"github.com/datestone/datestone/ots/printed"
)

func TestPeriods(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		mail := &sent{}
		r.senders[publish.Mail] = mail
		r.stamp()
		r.begin()
		r.step()
		r.step()
		all := r.all()
		head, err := r.Head(t.Context())
		if err != nil || len(all) != 1 || all[0].Head != head || all[0].Period != "2026-11-23" || len(mail.all) != 1 {
			t.Fatalf("%+v, %v, sent %d", all, err, len(mail.all))
		}
		if got, err := printed.Read(mail.all[0].Text); err != nil || got != publish.RootOf(head, monday) {
			t.Errorf("the notice reads as %+v, %v", got, err)
		}
		// Nothing new, nothing printed, also when something comes within the week.
		r.now = r.now.AddDate(0, 0, 7)
		r.step()
		r.stamp()
		r.step()
		if n := len(r.all()); n != 1 {
			t.Fatalf("%d notices", n)
		}
		// Missed weeks are made up once.
		r.now = r.now.AddDate(0, 0, 30)
		r.step()
		r.now = r.now.Add(time.Minute)
		r.step()
		if all = r.all(); len(all) != 2 || all[0].Period != "2026-12-28" || len(mail.all) != 2 {
			t.Fatalf("%+v", all)
		}
		// A clock that goes back makes none twice, and none when it comes again.
		r.stamp()
		for _, days := range []int{-30, 30, -7, 7} {
			r.now = r.now.AddDate(0, 0, days)
			r.step()
		}
		if n := len(r.all()); n != 2 || len(mail.all) != 2 {
			t.Errorf("%d notices, %d sent", n, len(mail.all))
		}
	})
}

// TestFailureTable: whatever verb of the store fails, or happens and is reported failed, and however the process then
// begins again: one notice for a period, with one message id, sent as often as the promise says.
func TestFailureTable(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		mail := &sent{}
		r.senders[publish.Mail] = mail
		r.begin()
		week := 0
		for _, verb := range []string{"decide", "begin", "end", "status"} {
			for _, happened := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s happened=%v", verb, happened), func(t *testing.T) {
					week++
					mail.all = nil
					r.stamp()
					before := len(r.all())
					r.now = r.now.AddDate(0, 0, 7)
					failed := false
					fault := func(v string) error {
						if v == verb && !failed {
							failed = true
							return errCrash
						}
						return nil
					}
					if happened {
						r.lose = fault
					} else {
						r.crash = fault
					}
					if err := r.loop().Step(t.Context()); !errors.Is(err, errCrash) || !failed {
						t.Fatalf("the step: %v, and the fault was met: %v", err, failed)
					}
					r.crash, r.lose = nil, nil
					for range 3 {
						r.now = r.now.Add(2 * time.Minute)
						r.step()
					}
					all := r.all()
					if len(all) != before+1 || all[0].Deliveries[0].State != publish.Delivered {
						t.Fatalf("%d notices after %d: %+v", len(all), before, all[0].Deliveries)
					}
					want := 1
					if verb == "end" && !happened {
						want = 2 // it is not known that it was sent
					}
					if len(mail.all) != want {
						t.Errorf("sent %d times, want %d", len(mail.all), want)
					}
					for _, p := range mail.all {
						if p.UID != all[0].UID || p.Text != all[0].Text {
							t.Errorf("sent as %v, and it is %v", p.UID, all[0].UID)
						}
					}
				})
			}
		}
	})
}

// A process that always dies between sending and saving sends a known number of times.
func TestEndlessCrashes(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		mail := &sent{}
		r.senders[publish.Mail] = mail
		r.begin()
		r.stamp()
		r.crash = func(verb string) error {
			if verb == "end" {
				return errCrash
			}
			return nil
		}
		for range 2 * publish.MaxTries {
			if err := r.loop().Step(t.Context()); err != nil && !errors.Is(err, errCrash) {
				t.Fatal(err)
			}
			r.now = r.now.Add(7 * time.Hour)
		}
		if len(mail.all) != publish.MaxTries {
			t.Errorf("sent %d times, want %d", len(mail.all), publish.MaxTries)
		}
	})
}

func TestFailingDeliveries(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		mail, folder, url := &sent{}, &sent{}, &sent{}
		r.senders[publish.Mail], r.senders[publish.Folder], r.senders[publish.URL] = mail, folder, url
		mail.err = &publish.Ended{Fault: anchor.Faultf(anchor.MailRefused, nil, "there is no such mailbox: correct mail_to")}
		folder.err = anchor.Faultf(anchor.FolderFull, nil, "the disk is full: make room")
		r.stamp()
		r.begin()
		r.step()
		p := r.all()[0]
		if len(p.Deliveries) != 3 {
			t.Fatalf("%+v", p.Deliveries)
		}
		states := map[publish.Channel]publish.State{publish.Folder: publish.Due, publish.Mail: publish.Parked, publish.URL: publish.Delivered}
		for _, d := range p.Deliveries {
			if d.State != states[d.Channel] || d.Tries != 1 {
				t.Errorf("%+v", d)
			}
		}
		if s := r.status(); s.Code != anchor.FolderFull || !s.Code.NeedsPerson() || !strings.Contains(s.Message, "make room") || s.LastError == "" {
			t.Errorf("%+v", s)
		}
		// It is tried again later and later, and given up at last.
		var gaps []time.Duration
		last := r.now
		for r.now.Before(monday.AddDate(0, 0, 6)) {
			r.now = r.now.Add(30 * time.Second)
			before := len(folder.all)
			if r.step(); len(folder.all) > before {
				gaps = append(gaps, r.now.Sub(last).Round(time.Minute))
				last = r.now
			}
			if len(gaps) >= 4 {
				r.now = r.now.Add(5*time.Hour + 50*time.Minute)
			}
		}
		if diff := cmp.Diff([]time.Duration{1 * time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute}, gaps[:4]); diff != "" {
			t.Error(diff)
		}
		if len(folder.all) != publish.MaxTries || len(mail.all) != 1 || len(url.all) != 1 {
			t.Errorf("tried %d, %d and %d times", len(folder.all), len(mail.all), len(url.all))
		}
		if s := r.status(); s.Code != anchor.FolderFull || !strings.Contains(s.Message, fmt.Sprintf("datestoned publish send %d", p.ID)) {
			t.Errorf("%+v", s)
		}
		// Sent again by a person.
		mail.err, folder.err = nil, nil
		if err := r.SendPublication(t.Context(), p.ID, r.loop().Fresh(r.now)); err != nil {
			t.Fatal(err)
		}
		r.step()
		if s := r.status(); s.Code != anchor.OK || len(mail.all) != 2 || mail.all[1].UID != p.UID {
			t.Errorf("%+v, %d", s, len(mail.all))
		}
		// A channel that is taken out of the configuration is dropped, and troubles nobody.
		folder.err = anchor.Faultf(anchor.FolderFull, nil, "full")
		if err := r.SendPublication(t.Context(), p.ID, []publish.Delivery{{Channel: publish.Folder, Due: r.now}}); err != nil {
			t.Fatal(err)
		}
		delete(r.senders, publish.Folder)
		r.step()
		if s := r.status(); s.Code != anchor.OK || r.all()[0].Deliveries[0].State != publish.Dropped {
			t.Errorf("%+v %+v", s, r.all()[0].Deliveries)
		}
		if err := r.SendPublication(t.Context(), 99, nil); !errors.Is(err, store.ErrNotFound) {
			t.Error(err)
		}
	})
}

// A notice that was put off, and then the clock went back by months, is sent all the same.
func TestClockGoesBackBeforeADelivery(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		mail := &sent{err: anchor.Faultf(anchor.MailDown, nil, "no answer")}
		r.senders[publish.Mail] = mail
		r.stamp()
		r.begin()
		r.step()
		mail.err = nil
		r.now = r.now.AddDate(0, -3, 0)
		r.step()
		if len(mail.all) != 2 || r.status().Code != anchor.OK {
			t.Errorf("%d, %+v", len(mail.all), r.status())
		}
	})
}

func TestConfirm(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		first := r.stamp()
		r.begin()
		r.step()
		p := r.all()[0]
		if s := r.status(); s.Printed.Waiting != 1 || !s.Printed.WaitingSince.Equal(p.Created) || s.Printed.Last.ID != p.ID || s.Attested[0].Counted != 0 || s.Attested[0].Sent != 1 {
			t.Errorf("%+v %+v", s, s.Printed)
		}
		r.now = r.now.AddDate(0, 0, 25)
		r.step()
		if s := r.status(); s.Code != anchor.Unconfirmed {
			t.Errorf("after 25 days: %+v", s)
		}
		if shown, err := publish.Of(ctx, r, first, 10); err != nil || len(shown) != 0 {
			t.Fatalf("before it is confirmed: %+v, %v", shown, err)
		}
		place := publish.Place{Issue: "2026-11-28", Page: "12", URL: "https://paper.test/12", By: "ann", At: r.now}
		for range 2 {
			if err := r.ConfirmPublication(ctx, p.ID, place); err != nil {
				t.Fatal(err)
			}
		}
		other := place
		other.Page = "13"
		if err := r.ConfirmPublication(ctx, p.ID, other); !errors.Is(err, store.ErrConfirmed) {
			t.Error(err)
		}
		if err := r.ConfirmPublication(ctx, 99, other); !errors.Is(err, store.ErrNotFound) {
			t.Error(err)
		}
		r.step()
		if s := r.status(); s.Code != anchor.OK || s.Printed.Waiting != 0 || s.Printed.Confirmed.Page != "12" || s.Attested[0].Counted != 1 {
			t.Errorf("%+v %+v", s, s.Printed)
		}
		shown, err := publish.Of(ctx, r, first, 10)
		if err != nil || len(shown) != 1 || shown[0].Place.Page != "12" || shown[0].Place.By != "ann" {
			t.Fatalf("%+v, %v", shown, err)
		}
		if err := r.WithdrawPublication(ctx, r.now, p.ID, "bob"); err != nil {
			t.Fatal(err)
		}
		if err := r.WithdrawPublication(ctx, r.now, p.ID, "bob"); !errors.Is(err, store.ErrUnconfirmed) {
			t.Error(err)
		}
		if shown, err := publish.Of(ctx, r, first, 10); err != nil || len(shown) != 0 {
			t.Errorf("after it was withdrawn: %+v, %v", shown, err)
		}
		if err := r.ConfirmPublication(ctx, p.ID, other); err != nil {
			t.Error(err)
		}
	})
}

// Two nodes with the same database make one notice of a period, and send it once.
func TestTwoNodes(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		mail := &sent{}
		r.senders[publish.Mail] = mail
		r.stamp()
		r.begin()
		a, b := r.loop(), r.loop()
		errs := make(chan error, 2)
		gate := make(chan struct{})
		one := &lockedSender{to: mail}
		r.senders[publish.Mail] = one
		for _, l := range []*publish.Loop{a, b} {
			go func() { <-gate; errs <- l.Step(t.Context()) }()
		}
		close(gate)
		for range 2 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		r.step()
		if n := len(r.all()); n != 1 || len(mail.all) != 1 {
			t.Errorf("%d notices, sent %d times", n, len(mail.all))
		}
	})
}
