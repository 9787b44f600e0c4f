package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/store"
)

// Account is an account as its operator sees it.
type Account struct {
	ID        int64             `json:"id"`
	Email     string            `json:"email"`
	Plan      string            `json:"plan"`
	Suspended bool              `json:"suspended"`
	Created   time.Time         `json:"created"`
	Key       *Key              `json:"key"`
	Branding  *account.Branding `json:"branding"`
}

// Key is what may be told of an active API key.
type Key struct {
	Hint    string    `json:"hint"` // its last characters
	Created time.Time `json:"created"`
}

// Usage is what an account made in the last months, the current one first. Quota is that of its plan, 0 when the
// plan is not defined.
type Usage struct {
	Quota  int64  `json:"quota"`
	Months []Used `json:"months"`
}

// Used is what was made in one calendar month in UTC.
type Used struct {
	Month string `json:"month"` // 2026-11
	Used  int64  `json:"used"`
}

// Accounts are the accounts of the configured database, for the operator's commands. A server may run meanwhile.
type Accounts struct {
	db     *store.DB
	config Config
}

// OpenAccounts opens the configured database, to read alone or to change accounts. It makes none.
func OpenAccounts(ctx context.Context, c Config, readOnly bool) (*Accounts, error) {
	if err := c.CheckAccounts(); err != nil {
		return nil, err
	}
	db, err := store.Open(ctx, c.DatabasePlace(), store.Options{ReadOnly: readOnly, Accounts: !readOnly, Connections: minDatabaseConnections})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no database %s yet: datestoned serve makes it, and datestoned migrate up", c.DatabasePlace())
	} else if err != nil {
		return nil, err
	}
	return &Accounts{db, c}, nil
}

// Close closes the database.
func (a *Accounts) Close() error { return a.db.Close() }

// Create makes an account without a key.
func (a *Accounts) Create(ctx context.Context, email, plan string) (Account, error) {
	made, err := a.db.CreateAccount(ctx, time.Now(), email, plan)
	if errors.Is(err, account.ErrExists) {
		return Account{}, fmt.Errorf("%w: datestoned account show %s", account.ErrExists, email)
	}
	return shown(made), err
}

// List reads all accounts.
func (a *Accounts) List(ctx context.Context) ([]Account, error) {
	const page = 1000
	all := []Account{}
	for after := int64(0); ; {
		some, err := a.db.Accounts(ctx, after, page)
		if err != nil {
			return nil, err
		}
		for _, s := range some {
			all = append(all, shown(s))
		}
		if len(some) < page {
			return all, nil
		}
		after = some[len(some)-1].ID
	}
}

// Find reads the account with this e-mail address, or this number.
func (a *Accounts) Find(ctx context.Context, who string) (Account, error) {
	var found account.Account
	id, err := strconv.ParseInt(who, 10, 64)
	if err == nil {
		found, err = a.db.Account(ctx, id)
	} else {
		found, err = a.db.AccountByEmail(ctx, who)
	}
	if errors.Is(err, account.ErrUnknown) {
		return Account{}, fmt.Errorf("there is no account %q: datestoned account list shows them all", who)
	}
	return shown(found), err
}

// change does something to an account and reads it again.
func (a *Accounts) change(ctx context.Context, who string, f func(id int64) error) (Account, error) {
	found, err := a.Find(ctx, who)
	if err != nil {
		return found, err
	}
	if err := f(found.ID); err != nil {
		return found, err
	}
	return a.Find(ctx, strconv.FormatInt(found.ID, 10))
}

// SetPlan gives an account another plan.
func (a *Accounts) SetPlan(ctx context.Context, who, plan string) (Account, error) {
	return a.change(ctx, who, func(id int64) error { return a.db.SetPlan(ctx, id, plan) })
}

// SetSuspended suspends an account, or ends that.
func (a *Accounts) SetSuspended(ctx context.Context, who string, suspended bool) (Account, error) {
	return a.change(ctx, who, func(id int64) error { return a.db.SetSuspended(ctx, id, suspended) })
}

// SetBranding sets what the account's next stamps show, nil for nothing.
func (a *Accounts) SetBranding(ctx context.Context, who string, b *account.Branding) (Account, error) {
	return a.change(ctx, who, func(id int64) error { return a.db.SetBranding(ctx, id, b) })
}

// RotateKey makes a key for an account, whose key before it is not active any more. It is not kept: this is the
// only time that anybody learns it.
func (a *Accounts) RotateKey(ctx context.Context, who string) (found Account, key string, err error) {
	key = account.NewKey(a.config.KeyPrefix)
	found, err = a.change(ctx, who, func(id int64) error {
		return a.db.SetKey(ctx, time.Now(), id, account.KeyHash(key), account.KeyHint(key))
	})
	return found, key, err
}

// RevokeKey leaves an account without a key.
func (a *Accounts) RevokeKey(ctx context.Context, who string) (Account, error) {
	return a.change(ctx, who, func(id int64) error { return a.db.RevokeKey(ctx, id) })
}

// Usage reads what an account made in the month of now and in those before it, at most so many.
func (a *Accounts) Usage(ctx context.Context, of Account, now time.Time, months int) (Usage, error) {
	used, err := a.db.Usage(ctx, of.ID, months)
	if err != nil {
		return Usage{}, err
	}
	u := Usage{Quota: a.config.Plans[of.Plan].Quota}
	if current := account.Month(now); len(used) == 0 || used[0].Month < current {
		u.Months = append(u.Months, Used{Month: monthText(current)})
	}
	for _, m := range used[:min(len(used), months-len(u.Months))] {
		u.Months = append(u.Months, Used{monthText(m.Month), m.Used})
	}
	return u, nil
}

func monthText(month int64) string { return fmt.Sprintf("%d-%02d", month/100, month%100) }

func shown(a account.Account) Account {
	s := Account{ID: a.ID, Email: a.Email, Plan: a.Plan, Suspended: a.Suspended, Created: a.Created, Branding: a.Branding}
	if a.KeyHint != "" {
		s.Key = &Key{a.KeyHint, a.KeyCreated}
	}
	return s
}
