package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/testpg"
)

// places make the place of an empty database.
var places = map[string]func(testing.TB) string{
	"sqlite":   func(t testing.TB) string { return filepath.Join(t.TempDir(), "datestone.db") },
	"postgres": func(t testing.TB) string { return testpg.Shared(t).NewDatabase(t) },
}

// eachWay runs a test from each engine to each.
func eachWay(t *testing.T, f func(t *testing.T, from, to string)) {
	for _, from := range slices.Sorted(maps.Keys(places)) {
		for _, to := range slices.Sorted(maps.Keys(places)) {
			t.Run(from+" to "+to, func(t *testing.T) { f(t, places[from](t), places[to](t)) })
		}
	}
}

func openAt(t testing.TB, where string, o Options) *DB {
	t.Helper()
	db, err := Open(t.Context(), where, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// column is a column as the database's own catalog has it.
type column struct {
	table, name string
	kind        string // bigint, text or bytes
	serial      bool
}

// catalog reads which tables and columns there are.
func catalog(t testing.TB, db *DB) []column {
	t.Helper()
	text := `SELECT m.name, c.name, LOWER(c.type), c.pk > 0 AND INSTR(m.sql, 'AUTOINCREMENT') > 0
		FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' ORDER BY m.name, c.cid`
	if db.engine == postgres {
		text = `SELECT table_name, column_name, data_type, is_identity = 'YES'
			FROM information_schema.columns WHERE table_schema = current_schema() ORDER BY table_name, ordinal_position`
	}
	rows, err := db.query(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var all []column
	for rows.Next() {
		var c column
		if err := rows.Scan(&c.table, &c.name, &c.kind, &c.serial); err != nil {
			t.Fatal(err)
		}
		switch c.kind {
		case "integer":
			c.kind = "bigint"
		case "blob", "bytea":
			c.kind = "bytes"
		}
		all = append(all, c)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// Every table and column that a database has is copied, or is known not to be.
func TestCopyKnowsEveryColumn(t *testing.T) {
	want := map[string]string{}
	serial := map[string]bool{}
	for _, table := range slices.Concat(logTables, stateTables) {
		want[table.name], serial[table.name] = table.columns, table.serial
	}
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		got := map[string]string{}
		counts := map[string]bool{}
		for _, c := range catalog(t, open(Options{})) {
			if slices.Contains(keptTables, c.table) {
				continue
			}
			got[c.table] += ", " + c.name
			counts[c.table] = counts[c.table] || c.serial
		}
		for name := range got {
			got[name] = strings.TrimPrefix(got[name], ", ")
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("copied (-) and in the database (+):\n%s", diff)
		}
		if diff := cmp.Diff(serial, counts); diff != "" {
			t.Errorf("serial (-) and in the database (+):\n%s", diff)
		}
	})
}

// dump is all that there is but leases and migrations, row by row, read by the catalog.
func dump(t testing.TB, db *DB) map[string][]string {
	t.Helper()
	columns := map[string][]string{}
	for _, c := range catalog(t, db) {
		if !slices.Contains(keptTables, c.table) {
			columns[c.table] = append(columns[c.table], c.name)
		}
	}
	all := map[string][]string{}
	for table, names := range columns {
		rows, err := db.query(t.Context(), `SELECT `+strings.Join(names, ", ")+` FROM `+table)
		if err != nil {
			t.Fatal(err)
		}
		lines := []string{}
		for rows.Next() {
			values := make([]any, len(names))
			dest := make([]any, len(names))
			for i := range values {
				dest[i] = &values[i]
			}
			if err := rows.Scan(dest...); err != nil {
				t.Fatal(err)
			}
			line := ""
			for i, v := range values {
				line += fmt.Sprintf("%s %T %[2]x; ", names[i], v)
			}
			lines = append(lines, line)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Fatal(err)
		}
		slices.Sort(lines)
		all[table] = lines
	}
	return all
}

// differ names the first row that only one of two dumps has, or nothing.
func differ(want, got map[string][]string) string {
	for _, table := range slices.Sorted(maps.Keys(want)) {
		if slices.Equal(want[table], got[table]) {
			continue
		}
		for i, row := range want[table] {
			if i >= len(got[table]) || got[table][i] != row {
				return fmt.Sprintf("table %s has %d rows, want %d; not as it was: %s", table, len(got[table]), len(want[table]), row)
			}
		}
		return fmt.Sprintf("table %s has %d rows, want %d", table, len(got[table]), len(want[table]))
	}
	if len(want) != len(got) {
		return "not the same tables"
	}
	return ""
}

func dumpAt(t testing.TB, where string) map[string][]string {
	t.Helper()
	db := openAt(t, where, Options{ReadOnly: true})
	defer db.Close()
	return dump(t, db)
}

// populate makes a log of some epochs, and puts rows of the most awkward values into every other table.
func populate(t testing.TB, db *DB, entries int) {
	t.Helper()
	r := rand.New(rand.NewPCG(7, 7))
	for n := 0; n < entries; n += 50 {
		tips := make([][32]byte, min(50, entries-n))
		for i := range tips {
			tips[i] = tip(n + i)
		}
		if _, err := db.Append(t.Context(), epoch0.Add(time.Duration(n)), tips); err != nil {
			t.Fatal(err)
		}
	}
	tables := map[string][]column{}
	for _, c := range catalog(t, db) {
		tables[c.table] = append(tables[c.table], c)
	}
	for _, name := range []string{"migration", "lease", "entry", "tile", "head", "epoch"} {
		delete(tables, name)
	}
	texts := []string{"", "bitcoin", "Bitcoin", "ärger 日本 \U0001f600", "it's \"so\"\n\t\\x00 \\0", "$1 ?1 %s"}
	numbers := []int64{0, 1, -1, math.MaxInt64, math.MinInt64, 1 << 40}
	for name, columns := range tables {
		for i := range 20 {
			var names, marks []string
			var values []any
			for _, c := range columns {
				names = append(names, c.name)
				marks = append(marks, fmt.Sprintf("$%d", len(names)))
				switch {
				case c.serial:
					values = append(values, int64(1000-7*i))
				case (name == "kept" || name == "submitted" || name == "seed_tile") && c.name == columns[0].name:
					values = append(values, int64(i))
				case c.kind == "bigint":
					// Its last bits are the row's, for columns that are unique.
					values = append(values, numbers[r.IntN(len(numbers))]&^31|int64(i))
				case c.kind == "text":
					values = append(values, texts[r.IntN(len(texts))]+strings.Repeat("x", i))
				case c.kind == "bytes":
					b := make([]byte, r.IntN(4)*r.IntN(100))
					for j := range b {
						b[j] = byte(r.Uint32())
					}
					if i > 0 {
						b = append(b, byte(i))
					}
					values = append(values, b)
				default:
					t.Fatalf("column %s of table %s is of type %s", c.name, c.table, c.kind)
				}
			}
			if err := db.update(t.Context(), func(tx tx) error {
				_, err := tx.exec(t.Context(), `INSERT INTO `+name+` (`+strings.Join(names, ", ")+`) VALUES (`+strings.Join(marks, ", ")+`)`, values...)
				return err
			}); err != nil {
				t.Fatalf("table %s: %v", name, err)
			}
		}
	}
}

// A copy has the same rows, also when it is copied back, and goes on where the source ended.
func TestCopy(t *testing.T) {
	eachWay(t, func(t *testing.T, from, to string) {
		mark, err := OpenMark(filepath.Join(t.TempDir(), "mark"))
		if err != nil {
			t.Fatal(err)
		}
		source := openAt(t, from, Options{EpochEntries: 300, Mark: mark})
		populate(t, source, 1000)
		want, entries := dump(t, source), recompute(t, source)
		source.Close()
		var last int64
		copied, err := Copy(t.Context(), from, to, func(done, all int64) {
			if last = done; all != 1003 {
				t.Errorf("%d of %d entries", done, all)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if copied.Head != mark.Head() || copied.Already || last == 0 {
			t.Errorf("copied %+v, shown %d", copied, last)
		}
		for table, rows := range want {
			if copied.Rows[table] != int64(len(rows)) || len(rows) == 0 {
				t.Errorf("it says %d rows of table %s, and there are %d", copied.Rows[table], table, len(rows))
			}
		}
		if copied, err := Copy(t.Context(), from, to, nil); err != nil || !copied.Already {
			t.Errorf("copied again: %+v, %v", copied, err)
		}
		back := filepath.Join(t.TempDir(), "back.db")
		if _, err := Copy(t.Context(), to, back, nil); err != nil {
			t.Fatal(err)
		}
		for _, where := range []string{from, to, back} {
			if diff := differ(want, dumpAt(t, where)); diff != "" {
				t.Fatalf("%s: %s", where, diff)
			}
		}

		target := openAt(t, to, Options{EpochEntries: 300, Mark: mark})
		if err := target.CheckMark(t.Context(), mark.Head()); err != nil {
			t.Error(err)
		}
		if got := recompute(t, target); fmt.Sprint(got) != fmt.Sprint(entries) {
			t.Error("the log recomputes to other entries")
		}
		if e := appendTip(t, target, 1000); e.Position() != entries[len(entries)-1].Position()+1 {
			t.Errorf("the next entry is %v", e.Position())
		}
		a, err := target.SaveAttempt(t.Context(), anchorTime, anchor.Attempt{Target: "t", Purpose: "log", Uses: []string{"a:0"}, Raw: []byte{}, Ref: "new"})
		if err != nil || a.ID != 1001 {
			t.Errorf("the next attempt has the id %d: %v", a.ID, err)
		}
		var id int64
		if err := target.update(t.Context(), func(tx tx) error {
			return tx.row(t.Context(), `INSERT INTO attestation (target, purpose, epoch, size, root, proof, height, block, block_time, ref, state, changed)
				VALUES ('new', '', 0, 0, $1, $1, 0, $1, 0, '', 0, 0) RETURNING id`, []byte{}).Scan(&id)
		}); err != nil || id != 1001 {
			t.Errorf("the next attestation has the id %d: %v", id, err)
		}
		target.Close()
		// Now it is a store of its own.
		if _, err := Copy(t.Context(), from, to, nil); err == nil || !strings.Contains(err.Error(), "store of its own") {
			t.Errorf("copied over another store: %v", err)
		}
	})
}

func TestCopyOfNothing(t *testing.T) {
	eachWay(t, func(t *testing.T, from, to string) {
		openAt(t, from, Options{}).Close()
		for range 2 {
			if _, err := Copy(t.Context(), from, to, nil); err != nil {
				t.Fatal(err)
			}
		}
		if e := appendTip(t, openAt(t, to, Options{}), 0); e.Position() != 0 {
			t.Errorf("the first entry is %v", e.Position())
		}
	})
}

// emptyPlaces makes more places like one, of which PostgreSQL's are cheap.
func emptyPlaces(t *testing.T, like string) func() string {
	n := 0
	return func() string {
		n++
		if !IsPostgres(like) {
			return fmt.Sprint(like, n)
		}
		testpg.SQL(t, like, fmt.Sprintf(`CREATE SCHEMA place_%d`, n))
		return fmt.Sprintf("%s&search_path=place_%d", like, n)
	}
}

// copyStep is Copy in small batches, with faults in the commits of the target.
func copyStep(ctx context.Context, from, to string, commit func(transaction) error) error {
	source, err := openSource(ctx, from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := Open(ctx, to, Options{Migrate: MigrateEmpty})
	if err != nil {
		return err
	}
	defer target.Close()
	target.commit = commit
	c := copier{source: source, target: target, batch: 300}
	_, err = c.run(ctx)
	return err
}

// The failure table of a copy: each commit either did not happen or happened and was reported as failed. What is
// left can be neither used nor taken for another's, until the copy goes on.
func TestCopyFailureTable(t *testing.T) {
	lost := errors.New("I/O error")
	faults := []struct {
		name   string
		commit func(transaction) error
	}{
		{"did not happen", func(t transaction) error { return errors.Join(lost, t.Rollback()) }},
		{"happened but reported failure", func(t transaction) error {
			if err := t.Commit(); err != nil {
				return err
			}
			return lost
		}},
	}
	other := filepath.Join(t.TempDir(), "other.db")
	another := openAt(t, other, Options{EpochEntries: 300})
	if _, err := another.BeginEpoch(t.Context(), epoch0, 1, "another log"); err != nil {
		t.Fatal(err)
	}
	populate(t, another, 750)
	another.Close()
	from := places["sqlite"](t)
	source := openAt(t, from, Options{EpochEntries: 300})
	populate(t, source, 750)
	want := dump(t, source)
	source.Close()
	for name, place := range places {
		t.Run(name, func(t *testing.T) {
			like := place(t)
			place := emptyPlaces(t, like)
			for i, fault := range faults {
				name := fault.name
				for at, finished := 0, false; !finished; at++ {
					if IsPostgres(like) && at%2 != i {
						continue // a server takes ten times as long; between them the faults meet every commit
					}
					to := place()
					commits := 0
					err := copyStep(t.Context(), from, to, func(tx transaction) error {
						if commits++; commits-1 == at {
							return fault.commit(tx)
						}
						return tx.Commit()
					})
					if finished = commits <= at; finished {
						if err != nil || at < 7 {
							t.Fatalf("%s: after %d commits %v", name, commits, err)
						}
					} else if !errors.Is(err, lost) {
						t.Fatalf("%s, commit %d: %v", name, at, err)
					}
					db := openAt(t, to, Options{})
					head, err := db.Head(t.Context())
					whole, untouched := err == nil && head.Size > 0, err == nil && head.Size == 0 && at == 0
					switch {
					case finished && !whole:
						t.Fatalf("%s: finished, and the head is %v: %v", name, head, err)
					case whole || untouched:
					default:
						checkHalf(t, db)
						db.Close()
						before := dumpAt(t, to)
						if len(before["entry"]) == 0 {
							break
						}
						if _, err := Copy(t.Context(), other, to, nil); err == nil || !strings.Contains(err.Error(), "another source") {
							t.Fatalf("%s, commit %d: copied another source: %v", name, at, err)
						}
						if diff := differ(before, dumpAt(t, to)); diff != "" {
							t.Fatalf("%s, commit %d: the refused copy has written: %s", name, at, diff)
						}
					}
					db.Close()
					if err := copyStep(t.Context(), from, to, transaction.Commit); err != nil {
						t.Fatalf("%s, commit %d: again: %v", name, at, err)
					}
					if diff := differ(want, dumpAt(t, to)); diff != "" {
						t.Fatalf("%s, commit %d: %s", name, at, diff)
					}
				}
			}
		})
	}
}

// checkHalf fails the test unless everything that depends on the head refuses.
func checkHalf(t *testing.T, db *DB) {
	t.Helper()
	_, headErr := db.Head(t.Context())
	_, appendErr := db.Append(t.Context(), epoch0, [][32]byte{tip(1)})
	_, beginErr := db.BeginEpoch(t.Context(), epoch0, 9, "a drill")
	_, _, _, epochsErr := db.Epochs(t.Context())
	for what, err := range map[string]error{
		"reading the head": headErr, "appending": appendErr, "beginning an epoch": beginErr, "reading the epochs": epochsErr,
		"checking the mark": db.CheckMark(t.Context(), logtree.Head{}),
	} {
		if !errors.Is(err, ErrUnfinished) {
			t.Errorf("%s in half a copy: %v", what, err)
		}
	}
}

// What is refused is left as it is.
func TestCopyRefuses(t *testing.T) {
	refused := func(t *testing.T, from, to, want string) {
		t.Helper()
		if _, err := Copy(t.Context(), from, to, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	eachWay(t, func(t *testing.T, from, to string) {
		refused(t, to, from, "the source: ")
		source := openAt(t, from, Options{})
		populate(t, source, 70)
		var unlock func()
		if source.Shared() {
			l, err := source.TakeLease(t.Context(), "bitcoin", "node one", time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			refused(t, from, to, "in use by another process: node node one holds the lease bitcoin for another 3")
			unlock = func() {
				if err := source.ReleaseLease(t.Context(), l); err != nil {
					t.Fatal(err)
				}
			}
		} else {
			refused(t, from, to, "in use by another process: stop datestoned first")
			unlock = func() { source.Close() }
		}
		unlock()
		refused(t, from, from, "the same database")

		target := openAt(t, to, Options{})
		appendTip(t, target, 0)
		before := dump(t, target)
		if target.Shared() {
			l, err := target.TakeLease(t.Context(), "bitcoin", "node two", time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			refused(t, from, to, "the target: the database is in use by another process: node node two")
			if err := target.ReleaseLease(t.Context(), l); err != nil {
				t.Fatal(err)
			}
		} else {
			refused(t, from, to, "in use by another process")
		}
		target.Close()
		refused(t, from, to, "the target holds a store of its own, nothing was written: name an empty database")
		refused(t, to, from, "the target holds a store of its own, nothing was written: name an empty database")
		if diff := differ(before, dumpAt(t, to)); diff != "" {
			t.Errorf("it was changed: %s", diff)
		}
	})
	t.Run("half a copy as the source", func(t *testing.T) {
		from := places["sqlite"](t)
		db := openAt(t, from, Options{})
		if _, err := db.write.Exec(`DELETE FROM head`); err != nil {
			t.Fatal(err)
		}
		db.Close()
		refused(t, from, places["sqlite"](t), "the source: "+ErrUnfinished.Error())
	})
	t.Run("the same by another name", func(t *testing.T) {
		from := places["sqlite"](t)
		openAt(t, from, Options{}).Close()
		link := filepath.Join(t.TempDir(), "link.db")
		if err := os.Symlink(from, link); err != nil {
			t.Fatal(err)
		}
		refused(t, from, link, "the same database")
		server := places["postgres"](t)
		openAt(t, server, Options{}).Close()
		refused(t, server, server+"&application_name=other", "the same database")
	})
	t.Run("tables of others", func(t *testing.T) {
		from := places["sqlite"](t)
		openAt(t, from, Options{}).Close()
		to := places["postgres"](t)
		testpg.SQL(t, to, `CREATE TABLE customer (id bigint)`)
		refused(t, from, to, "it has 1 tables that are not Datestone's")
		if got := testpg.SQL(t, to, `SELECT tablename FROM pg_tables WHERE schemaname = 'public'`); got != "customer" {
			t.Errorf("now there are the tables %s", got)
		}
		file := filepath.Join(t.TempDir(), "letter.txt")
		if err := os.WriteFile(file, []byte(strings.Repeat("Dear customer,\n", 1000)), 0o600); err != nil {
			t.Fatal(err)
		}
		refused(t, from, file, "not a database")
	})
}

// A source that grows meanwhile is noticed, and the copy goes on once it rests.
func TestCopyOfWhatMoves(t *testing.T) {
	for name, place := range places {
		t.Run(name, func(t *testing.T) {
			from, to := places["postgres"](t), place(t)
			source := openAt(t, from, Options{})
			populate(t, source, 1000)
			for _, when := range []string{"copied", "compared"} {
				grown := false
				// The second time there is nothing to copy when this is called first.
				_, err := Copy(t.Context(), from, to, func(done, all int64) {
					if !grown {
						appendTip(t, source, 1000)
						grown = true
					}
				})
				if err == nil || !strings.Contains(err.Error(), "stop every node") {
					t.Fatalf("while it is %s: %v", when, err)
				}
				if _, err := openAt(t, to, Options{ReadOnly: true}).Head(t.Context()); !errors.Is(err, ErrUnfinished) {
					t.Fatalf("while it is %s: the target's head: %v", when, err)
				}
			}
			if _, err := Copy(t.Context(), from, to, nil); err != nil {
				t.Fatal(err)
			}
			if diff := differ(dump(t, source), dumpAt(t, to)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Two copies of the same source into one database are one.
func TestCopyTwiceAtOnce(t *testing.T) {
	from, to := places["postgres"](t), places["postgres"](t)
	source := openAt(t, from, Options{EpochEntries: 300})
	populate(t, source, 1000)
	openAt(t, to, Options{}).Close()
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if err := copyStep(t.Context(), from, to, transaction.Commit); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if diff := differ(dump(t, source), dumpAt(t, to)); diff != "" {
		t.Error(diff)
	}
}

func TestCopyIsInterrupted(t *testing.T) {
	from, to := places["sqlite"](t), places["postgres"](t)
	source := openAt(t, from, Options{})
	populate(t, source, 100)
	source.Close()
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Copy(ctx, from, to, func(int64, int64) { cancel() })
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "run it again and it goes on") {
		t.Errorf("interrupted: %v", err)
	}
	if _, err := Copy(t.Context(), from, to, nil); err != nil {
		t.Error(err)
	}
}

// BenchmarkCopy copies a log of 100,000 entries and compares the time with that of plain appends of the
// same entries, to a database of the same engine.
func BenchmarkCopy(b *testing.B) {
	const n = 100_000
	appended := map[string]time.Duration{}
	at := map[string]string{}
	for name, place := range places {
		at[name] = place(b)
		began := time.Now()
		fill(b, at[name], n).Close()
		appended[name] = time.Since(began)
	}
	for _, from := range slices.Sorted(maps.Keys(places)) {
		for _, to := range slices.Sorted(maps.Keys(places)) {
			b.Run(from+"-"+to, func(b *testing.B) {
				for b.Loop() {
					b.StopTimer()
					empty := places[to](b)
					b.StartTimer()
					if _, err := Copy(b.Context(), at[from], empty, nil); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(appended[to]), "copy/append")
			})
		}
	}
}
