package publish_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/fsck"
	"github.com/datestone/datestone/internal/publish"
	"github.com/datestone/datestone/internal/seed"
	"github.com/datestone/datestone/internal/testseed"
	"github.com/datestone/datestone/ots/printed"
)

// A made seed becomes a notice, once, whatever write fails; confirming it makes the seed final. The log's notices go on as
// if there were no seeds.
func TestSeedsArePrinted(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		mail := &sent{}
		r.senders[publish.Mail] = mail
		r.begin()
		want := 0
		for _, happened := range []bool{false, true} {
			for _, verb := range []string{"seed", "begin", "status"} {
				s := testseed.Make(t, r.DB, r.now, target, 2)
				testseed.Make(t, r.DB, r.now, "another", 1)
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
				if err := r.loop().Step(ctx); !errors.Is(err, errCrash) || !failed {
					t.Fatalf("the step: %v, and the fault was met: %v", err, failed)
				}
				r.crash, r.lose = nil, nil
				for range 3 {
					r.now = r.now.Add(2 * time.Minute)
					r.step()
				}
				if want++; want == 1 {
					want++ // the log's notice of the week
				}
				all := r.all()
				p := all[0]
				root := printed.Root{Purpose: "seed", Name: fmt.Sprint(s.Number), Date: "2026-11-23", Hash: s.Root}
				if len(all) != want || p.Notice.Root != root || p.Period != account.ID(s.UID).String() || p.Head != s.Head() {
					t.Fatalf("%s, happened=%v: %d notices, want %d, the last of %+v", verb, happened, len(all), want, p)
				}
				if read, err := printed.Read(p.Text); err != nil || read != root {
					t.Errorf("it reads as %+v, %v", read, err)
				}
			}
		}
		brought := map[int64]bool{}
		for _, p := range mail.all {
			brought[p.ID] = true
		}
		if len(brought) != want {
			t.Errorf("%d notices were sent, want %d", len(brought), want)
		}
		if s := r.status(); s.Seeds == nil || s.Seeds.Queued != 6 || s.Printed.Waiting != 7 || s.Printed.Last.Epoch != 0 {
			t.Errorf("the status is %+v with %+v", s.Printed, s.Seeds)
		}
		second := r.all()[4] // the second seed's
		state := func() seed.Status {
			t.Helper()
			s, err := r.MadeSeed(ctx, int64(second.Head.Epoch))
			if err != nil {
				t.Fatal(err)
			}
			got, err := r.SeedState(ctx, s.UID)
			if err != nil {
				t.Fatal(err)
			}
			return got.Status
		}
		if got := state(); got != seed.Sent {
			t.Errorf("the seed is in state %d", got)
		}
		if err := r.ConfirmPublication(ctx, second.ID, publish.Place{Issue: "2026-11-28", Page: "12", By: "ann", At: r.now}); err != nil {
			t.Fatal(err)
		}
		r.step()
		if s := r.status(); state() != seed.Final || s.Seeds.Queued != 5 || s.Printed.Confirmed != nil {
			t.Errorf("the seed is in state %d, and the status is %+v with %+v", state(), s.Printed, s.Seeds)
		}
		if err := r.WithdrawPublication(ctx, r.now, second.ID, "bob"); err != nil {
			t.Fatal(err)
		}
		if got := state(); got != seed.Sent {
			t.Errorf("the seed is in state %d after the confirmation was withdrawn", got)
		}
		// The log's next notice is made, and not a second time without a new head.
		for range 2 {
			r.now = r.now.AddDate(0, 0, 7)
			r.step()
		}
		want++
		if all := r.all(); len(all) != want || all[0].Notice.Root.Purpose != publish.PurposeLog {
			t.Errorf("%d notices, want %d", len(all), want)
		}
		if report, err := fsck.Check(ctx, r.DB, fsck.Options{}); err != nil || !report.Clean() {
			t.Errorf("fsck: %v, %v", report.Problems, err)
		}
	})
}
