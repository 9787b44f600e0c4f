package calendar_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/calendar"
)

// held is a store in which another node holds an account for too long.
type held struct{}

func (held) AppendStamps(context.Context, time.Time, []account.Create) ([]account.Result, error) {
	return nil, fmt.Errorf("keeping stamps: %w", account.ErrInProgress)
}

// Only who has an idempotency key is told that a request with it is still running.
func TestHeldAccount(t *testing.T) {
	keeper := calendar.NewKeeper(held{}, calendar.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- keeper.Run(ctx) }()
	for key, inProgress := range map[string]bool{"a key": true, "": false} {
		_, err := keeper.Create(t.Context(), account.Create{Items: make([]account.Item, 1), Key: key})
		if errors.Is(err, account.ErrInProgress) != inProgress || errors.Is(err, calendar.ErrUnavailable) == inProgress {
			t.Errorf("with the key %q: %v", key, err)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
