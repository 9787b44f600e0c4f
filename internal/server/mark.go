package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/datestone/datestone/internal/store"
)

const (
	// markEvery is how often the high-water mark is brought to the disk. A power cut takes back at most
	// that much of the mark, and never entries. Where other nodes write, it is also how often the mark
	// follows them.
	markEvery = time.Second
	// observeWithin bounds one look at what other nodes wrote.
	observeWithin = 5 * time.Second
)

// checkMark refuses a database that lacks what was acknowledged, and brings the mark to what it has.
func checkMark(ctx context.Context, db *store.DB, mark *store.Mark) error {
	err := db.CheckMark(ctx, mark.Head())
	if errors.Is(err, store.ErrBehind) {
		return fmt.Errorf("%w; %s", err, behindHint)
	} else if err != nil {
		return err
	}
	head, err := db.Head(ctx)
	if err != nil {
		return err
	}
	if err := mark.Advance(head); err != nil {
		return err
	}
	return mark.Sync()
}

const behindHint = "if there is a newer copy, put it in place; if what is missing is lost, begin a new epoch: datestoned epoch new --reason 'restored from backup'"

// syncMark brings the mark to the disk while it moves.
func (s *Server) syncMark(ctx context.Context) error {
	synced := s.mark.Head()
	return every(ctx, markEvery, func() {
		head := s.mark.Head()
		if head == synced {
			return
		}
		if err := s.mark.Sync(); err != nil {
			s.log.Warn("the high-water mark was not brought to the disk", "err", err)
			return
		}
		synced = head
	})
}

// followLog moves the mark with what other nodes write, and finds out when the database, after a failover,
// lacks what was acknowledged. Service goes on by itself once a newer copy is in place or an operator began
// an epoch.
func (s *Server) followLog(ctx context.Context) error {
	var away, behind bool
	return every(ctx, markEvery, func() {
		ctx, cancel := context.WithTimeout(ctx, observeWithin)
		defer cancel()
		err := s.db.Observe(ctx)
		if err != nil && !errors.Is(err, store.ErrBehind) {
			if !away && !errors.Is(ctx.Err(), context.Canceled) {
				s.log.Warn("the database does not answer; it is asked again", "err", err)
			}
			away = true
			return
		} else if away {
			s.log.Info("the database answers again")
			away = false
		}
		switch was := behind; {
		case err != nil && !was:
			s.log.Error("no digest is accepted: "+behindHint, "err", err)
		case err == nil && was:
			s.log.Info("the database does not lack anything any more: digests are accepted")
		}
		behind = err != nil
		s.health.setBehind(behind)
	})
}

// every calls f from time to time until ctx ends, and returns nil.
func every(ctx context.Context, pause time.Duration, f func()) error {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			f()
		}
	}
}
