package main

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/datestone/datestone/internal/logtree"
)

const (
	day    = 24 * 60 * 60
	daily  = 1e9 / day // digests a second of a billion a day
	factor = 3         // of the busiest minutes over the average

	sqliteEntry   = 150 // bytes of disk for an entry, docs/performance.md
	postgresEntry = 186 // the same in PostgreSQL, BenchmarkDisk

	// Entries in an epoch of a Datestone whose heads go to another one, and of that one. A digest's way through
	// both must be short enough for clients.
	regionEpoch = 1 << 18
	parentEpoch = 1 << 17
)

// Defaults are two nodes in one region with their database, at the peak of a billion digests a day.
func Defaults() Model {
	return Model{
		Trips:  near(2, 500*time.Microsecond),
		Rate:   factor * daily,
		Refill: 50,
		Burst:  10_000,
		Before: 1,
		Locked: 3,
		Tile:   2,
		Server: 100 * time.Microsecond,
		Flush:  2 * time.Millisecond,
		Tail:   0.5,
		Pass:   100 * time.Microsecond,
		Digest: 300 * time.Nanosecond,
		Length: 12 * time.Second,
		Warm:   2 * time.Second,
		Seed:   1,
	}
}

// tables are those that docs/scale.md quotes.
func tables() []string {
	return []string{load(), nodes(), disk(), distance(), statements(), tenfold(), growth()}
}

// table is a Markdown table.
func table(header []string, rows [][]string) string {
	var b strings.Builder
	line := func(cells []string) { b.WriteString("| " + strings.Join(cells, " | ") + " |\n") }
	line(header)
	b.WriteString(strings.Repeat("|---", len(header)) + "|\n")
	for _, r := range rows {
		line(r)
	}
	return b.String()
}

// row is one simulated case of a table.
type row struct {
	name string
	Model
}

// simulated is a table of cases.
func simulated(what string, rows ...row) string {
	var cells [][]string
	for _, r := range rows {
		got := r.Simulate()
		refused := float64(got.Refused+got.Late) / float64(max(1, got.Refused+got.Digests))
		cells = append(cells, []string{
			r.name,
			count(got.PerSecond(got.Entries)),
			count(float64(got.Digests) / float64(max(1, got.Entries))),
			percent(got.Held.Seconds() / got.Took.Seconds()),
			round(got.Mean()),
			round(got.Quantile(0.99)),
			percent(refused),
		})
	}
	return table([]string{what, "entries/s", "digests an entry", "head row locked", "mean", "99 %", "refused"}, cells)
}

func load() string {
	var rows [][]string
	for _, perDay := range []float64{1e6, 1e8, 1e9, 1e10} {
		average := perDay / day
		rows = append(rows, []string{count(perDay), count(average), count(factor * average)})
	}
	return table([]string{"digests a day", "a second", "a second at the peak"}, rows)
}

func nodes() string {
	var rows []row
	for _, n := range []int{1, 2, 4, 8, 16, 32} {
		m := Defaults()
		m.Trips = near(n, m.Trips[0])
		rows = append(rows, row{fmt.Sprint(n), m})
	}
	return simulated("nodes", rows...)
}

func distance() string {
	var rows []row
	m := Defaults()
	m.Length, m.Warm = 40*time.Second, 20*time.Second // rounds of seconds
	for _, trip := range []time.Duration{100 * time.Microsecond, 500 * time.Microsecond, 2 * time.Millisecond, 10 * time.Millisecond, 40 * time.Millisecond, 100 * time.Millisecond} {
		m.Trips = near(4, trip)
		rows = append(rows, row{round(trip), m})
	}
	m.Trips = append(near(3, Defaults().Trips[0]), 40*time.Millisecond)
	rows = append(rows, row{"0.5 ms, and one node 40 ms", m})
	return simulated("round trip, four nodes", rows...)
}

func disk() string {
	var rows []row
	for _, flush := range []time.Duration{250 * time.Microsecond, time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond, 20 * time.Millisecond, 100 * time.Millisecond} {
		m := Defaults()
		m.Trips, m.Flush = near(4, m.Trips[0]), flush
		rows = append(rows, row{round(flush), m})
	}
	return simulated("commit, four nodes", rows...)
}

func statements() string {
	var rows []row
	for _, trip := range []time.Duration{500 * time.Microsecond, 40 * time.Millisecond} {
		for _, locked := range []int{3, 1} {
			m := Defaults()
			m.Trips, m.Locked, m.Length, m.Warm = near(8, trip), locked, 16*time.Second, 8*time.Second
			rows = append(rows, row{fmt.Sprintf("%d of %s", locked, round(trip)), m})
		}
	}
	return simulated("round trips with the row locked, eight nodes", rows...)
}

func tenfold() string {
	var rows []row
	for _, n := range []int{4, 8, 16, 32, 64} {
		m := Defaults()
		m.Trips, m.Rate, m.Length = near(n, m.Trips[0]), 10*m.Rate, 6*time.Second
		rows = append(rows, row{fmt.Sprint(n), m})
	}
	return simulated("nodes", rows...)
}

func growth() string {
	var rows [][]string
	for _, perSecond := range []float64{50, 100, 200, 250} {
		const year = 365 * day
		last := func(entries float64) string {
			switch seconds := entries / perSecond; {
			case seconds < day:
				return fmt.Sprintf("%.0f minutes", seconds/60)
			case seconds < year:
				return fmt.Sprintf("%.1f days", seconds/day)
			default:
				return fmt.Sprintf("%.2g years", seconds/year)
			}
		}
		rows = append(rows, []string{
			count(perSecond),
			count(perSecond * day),
			count(perSecond*year*sqliteEntry/1e9) + " GB",
			count(perSecond*year*postgresEntry/1e9) + " GB",
			last(logtree.MaxEpochEntries),
			last(regionEpoch),
			last(regionEpoch * (logtree.MaxEpoch + 1)),
		})
	}
	return table([]string{"entries/s", "a day", "a year in SQLite", "in PostgreSQL", "an epoch of 2^26", "of 2^18", "all epochs of 2^18"}, rows)
}

// count is a number to three digits.
func count(x float64) string {
	if x < 100 {
		return fmt.Sprintf("%.3g", x)
	}
	unit := math.Pow(10, math.Floor(math.Log10(x))-2)
	s := fmt.Sprintf("%.0f", math.Round(x/unit)*unit)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// percent is a part to two digits.
func percent(x float64) string {
	if x > 0 && x < 0.01 {
		return fmt.Sprintf("%.1g %%", 100*x)
	}
	return fmt.Sprintf("%.0f %%", 100*x)
}

// round is a duration to two digits.
func round(d time.Duration) string {
	if d >= time.Second {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	ms := float64(d) / float64(time.Millisecond)
	if ms >= 10 {
		return fmt.Sprintf("%.0f ms", ms)
	}
	return fmt.Sprintf("%.2g ms", ms)
}
