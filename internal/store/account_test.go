package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/testpg"
)

// TestAccountsBesideAServer: what is open for accounts changes them while another handle writes the log, which
// sees the changes at once, and can change nothing else.
func TestAccountsBesideAServer(t *testing.T) {
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		ctx := t.Context()
		server := open(Options{})
		var appends sync.WaitGroup
		writing, stop := context.WithCancel(ctx)
		appends.Go(func() {
			for n := 0; writing.Err() == nil; n++ {
				if _, err := server.Append(ctx, epoch0, [][32]byte{tip(n)}); err != nil {
					t.Error(err)
					return
				}
			}
		})
		defer appends.Wait()
		defer stop()

		beside := open(Options{Accounts: true})
		for i := range 20 {
			a, err := beside.CreateAccount(ctx, epoch0, fmt.Sprintf("%d@example.org", i), "pro")
			if err != nil {
				t.Fatal(err)
			}
			branding := &account.Branding{Name: "A & Co"}
			key := account.KeyHash(a.Email)
			for _, err := range []error{
				beside.SetKey(ctx, epoch0, a.ID, key, "hint"), beside.SetPlan(ctx, a.ID, "business"),
				beside.SetSuspended(ctx, a.ID, true), beside.SetBranding(ctx, a.ID, branding),
			} {
				if err != nil {
					t.Fatal(err)
				}
			}
			a.Plan, a.Suspended, a.Branding, a.KeyHint, a.KeyCreated = "business", true, branding, "hint", epoch0
			if got, err := server.Account(ctx, a.ID); err != nil || cmp.Diff(a, got) != "" {
				t.Fatalf("the server reads %v %s", err, cmp.Diff(a, got))
			}
			if got, err := server.KeyHolder(ctx, key); err != nil || got != (account.KeyHolder{ID: a.ID, Plan: "business", Suspended: true}) {
				t.Fatalf("the server reads %+v, %v", got, err)
			}
			if err := errors.Join(beside.SetSuspended(ctx, a.ID, false), beside.SetBranding(ctx, a.ID, nil), beside.RevokeKey(ctx, a.ID)); err != nil {
				t.Fatal(err)
			}
			a.Suspended, a.Branding, a.KeyHint, a.KeyCreated = false, nil, "", time.Time{}
			if got, err := server.Account(ctx, a.ID); err != nil || cmp.Diff(a, got) != "" {
				t.Fatalf("the server reads %v %s", err, cmp.Diff(a, got))
			}
		}
		if got, err := server.PlansInUse(ctx); err != nil || cmp.Diff([]string{"business"}, got) != "" {
			t.Errorf("plans in use: %v, %v", got, err)
		}
		if err := beside.SetPlan(ctx, 999, "pro"); !errors.Is(err, account.ErrUnknown) {
			t.Errorf("an account that is not there: %v", err)
		}

		refused := map[string]func() error{
			"Append": func() error { _, err := beside.Append(ctx, epoch0, [][32]byte{{1}}); return err },
			"AppendStamps": func() error {
				_, err := beside.AppendStamps(ctx, epoch0, []account.Create{{Account: 1, Items: items(0, 1), Quota: 1}})
				return err
			},
			"BeginEpoch":         func() error { _, err := beside.BeginEpoch(ctx, epoch0, 1, "test"); return err },
			"SaveStatus":         func() error { return beside.SaveStatus(ctx, epoch0, anchor.Status{Target: "x"}) },
			"ForgetIdempotency":  func() error { _, err := beside.ForgetIdempotency(ctx, epoch0, 1); return err },
			"TakeLease":          func() error { _, err := beside.TakeLease(ctx, "x", "y", time.Second); return err },
			"ChangeStamp":        func() error { return beside.ChangeStamp(ctx, 1, account.ID{}, account.Change{Public: new(true)}) },
			"Under(lease)Append": func() error { _, err := beside.Under(Lease{}).Append(ctx, epoch0, [][32]byte{{1}}); return err },
		}
		for name, verb := range refused {
			if err := verb(); !errors.Is(err, ErrAccountsOnly) {
				t.Errorf("%s: %v, want ErrAccountsOnly", name, err)
			}
		}
	})
}

// TestAccountsOfNoDatabase: what is open for accounts makes no database and changes no schema.
func TestAccountsOfNoDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "datestone.db")
	if _, err := Open(t.Context(), path, Options{Accounts: true}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	for name, where := range map[string]string{"sqlite": path, "postgres": testpg.Shared(t).NewDatabase(t)} {
		db, err := Open(t.Context(), where, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if err := db.update(t.Context(), func(tx tx) error {
			_, err := tx.exec(t.Context(), `DELETE FROM migration WHERE version = (SELECT MAX(version) FROM migration)`)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), where, Options{Accounts: true}); !errors.Is(err, ErrSchema) {
			t.Errorf("%s: an older schema: %v", name, err)
		}
	}
}
