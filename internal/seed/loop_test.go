package seed

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// memory is a store of one seed, whose hashes are its submitted ones, in memory. fail, when set, is what its next write says.
type memory struct {
	seed  Seed
	all   numbered
	tiles []Tile
	nodes [][32]byte
	fail  []error

	closed time.Time
}

func (m *memory) write() error {
	if len(m.fail) == 0 {
		return nil
	}
	err := m.fail[0]
	m.fail = m.fail[1:]
	return err
}

func (m *memory) EndSeeds(_ context.Context, now time.Time) (int64, error) {
	if m.seed.Before > 0 || now.Before(m.seed.Closes) {
		return 0, nil
	}
	m.seed.Before, m.closed = int64(len(m.all))+1, time.Now()
	return 1, m.write()
}

func (m *memory) UnmadeSeeds(context.Context, int) ([]Seed, error) {
	if m.seed.Before == 0 || !m.seed.Made.IsZero() {
		return nil, nil
	}
	return []Seed{m.seed}, nil
}

func (m *memory) SubmittedHashes(ctx context.Context, first, before int64, limit int) ([][32]byte, error) {
	return m.all.hashes(ctx, first, before, limit)
}

func (m *memory) MakeSeed(_ context.Context, now time.Time, _ int64, root [32]byte) error {
	m.seed.Root, m.seed.Made = root, now
	return m.write()
}

func (m *memory) SeedNodes(context.Context, int64) (nodes, smallest [][32]byte, err error) {
	return slices.Clone(m.nodes), nil, nil
}

func (m *memory) SeedTile(_ context.Context, _ int64, i int) (Tile, error) { return m.tiles[i], nil }

func (m *memory) AddSeedTiles(_ context.Context, _ int64, tiles []Tile, nodes [][32]byte) error {
	m.tiles, m.nodes = append(m.tiles, tiles...), append(m.nodes, nodes...)
	return m.write()
}

// The loop makes a seed within seconds of its end and not before, goes on after a fault, and ends when the lease is lost.
func TestLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lost, broken := errors.New("lease lost"), errors.New("I/O error")
		began := time.Now()
		m := &memory{seed: Seed{Number: 1, First: 1, Opened: began, Closes: began.Add(time.Hour)}, all: letters(5)}
		m.fail = []error{nil, broken, broken}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		l := New(m, Options{Log: slog.New(slog.DiscardHandler), Lost: func(err error) bool { return errors.Is(err, lost) }})
		go func() { ended <- l.Run(ctx) }()
		time.Sleep(time.Hour + 5*time.Second)
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("stopped: %v", err)
		}
		if at := m.closed.Sub(began); at < time.Hour || at > time.Hour+2*time.Second {
			t.Errorf("closed after %v", at)
		}
		if m.seed.Root != unhex(t, "9d6b564cf278381e1c0762a7925c2b3d540e33443797f3a5cc570b84f4e90d50") || len(m.tiles) != 1 || len(m.fail) != 0 {
			t.Errorf("after its end: %+v with %d tiles", m.seed, len(m.tiles))
		}
		m.seed.Before, m.fail = 0, []error{lost}
		if err := l.Run(t.Context()); !errors.Is(err, lost) {
			t.Errorf("without the lease: %v", err)
		}
	})
}
