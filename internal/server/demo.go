package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/datestone/datestone/internal/account"
)

// The account of a development server, and its key, which everybody knows.
const DevAccount = "demo@example.org"

var DevKey = defaultKeyPrefix + strings.Repeat("d", 64)

const devPlan = "business"

// makeDemo makes the demo account, or makes it what it was at first.
func makeDemo(ctx context.Context, c Config) (err error) {
	db, mark, err := openStore(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, mark.Close(), db.Close()) }()
	demo, err := db.AccountByEmail(ctx, DevAccount)
	if errors.Is(err, account.ErrUnknown) {
		demo, err = db.CreateAccount(ctx, time.Now(), DevAccount, devPlan)
	}
	if err != nil {
		return fmt.Errorf("making the demo account: %w", err)
	}
	hash := account.KeyHash(DevKey)
	if owner, err := db.KeyHolder(ctx, hash); err != nil || owner.ID != demo.ID {
		if err := db.SetKey(ctx, time.Now(), demo.ID, hash, account.KeyHint(DevKey)); err != nil {
			return fmt.Errorf("making the key of the demo account: %w", err)
		}
	}
	if demo.Plan != devPlan {
		if err := db.SetPlan(ctx, demo.ID, devPlan); err != nil {
			return err
		}
	}
	if demo.Suspended {
		return db.SetSuspended(ctx, demo.ID, false)
	}
	return nil
}
