package store

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/internal/upstream/submission"
	"github.com/datestone/datestone/ots"
)

// TestSubmissions: what a calendar promised is asked for until what it attests covers it, given out while its calendar
// is in use, and forgotten when it is attested for good.
func TestSubmissions(t *testing.T) {
	onEach(t, func(t *testing.T, open func(Options) *DB) {
		db, ctx := open(Options{}), t.Context()
		check := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		now := epoch0
		check(db.SaveStatus(ctx, now, anchor.Status{Target: "upstream"}))
		heads := make(map[int64]logtree.Head)
		for size := range int64(6) {
			appendTip(t, db, int(size))
			h, err := db.Head(ctx)
			check(err)
			heads[h.Size] = h
		}
		promised := func(calendar, uri string, size int64, next time.Time) submission.Submission {
			path := ots.Path{}.Append([]byte(calendar + uri)).SHA256()
			head := heads[size]
			commitment, err := path.Apply(head.Root[:])
			check(err)
			return submission.Submission{Target: "upstream", Head: head, Calendar: calendar, URI: uri, Path: path.Bytes(), Commitment: commitment, Next: next}
		}
		check(db.SaveSubmissions(ctx, now, []submission.Submission{promised("https://pool", "https://a", 2, now), promised("https://pool", "https://b", 2, now)}))
		check(db.SaveSubmissions(ctx, now.Add(time.Second), []submission.Submission{promised("https://pool", "https://a", 4, now)}))
		check(db.SaveSubmissions(ctx, now.Add(2*time.Second), []submission.Submission{promised("https://c", "https://c", 5, now.Add(time.Hour))}))

		ids := func(list []submission.Submission, err error) (all []int64) {
			t.Helper()
			check(err)
			for _, s := range list {
				all = append(all, s.ID)
			}
			return all
		}
		want := func(what string, got, want any) {
			t.Helper()
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("%s (-want +got):\n%s", what, d)
			}
		}
		uris := func(index int64) (all []string) {
			t.Helper()
			list, err := db.Promises(ctx, logtree.Position(index))
			check(err)
			for _, p := range list {
				ts, err := ots.ParseTimestamp(p.Proof, 32)
				check(err)
				check(ts.Walk(p.Head.Root[:], func(n *ots.Timestamp, _ []byte) error {
					for _, a := range n.Attestations() {
						all = append(all, a.URI())
					}
					return nil
				}))
			}
			return all
		}
		var none []int64
		all := ids(db.AllSubmissions(ctx, 0, 10))
		if len(all) != 4 {
			t.Fatalf("%d submissions", len(all))
		}
		want("promises of the first entry", uris(0), []string{"https://a", "https://b", "https://c"})
		want("promises of the third", uris(2), []string{"https://a", "https://c"})
		want("promises of the last", uris(5), []string(nil))
		want("asked of a", ids(db.AwaitedSubmissions(ctx, now, "upstream", "https://a", 10)), []int64{all[0], all[2]})
		want("asked of c before its time", ids(db.AwaitedSubmissions(ctx, now, "upstream", "https://c", 10)), none)
		want("asked of c", ids(db.AwaitedSubmissions(ctx, now.Add(time.Hour), "upstream", "https://c", 10)), []int64{all[3]})
		sent, err := db.SentSubmissions(ctx, "upstream")
		check(err)
		if len(sent) != 2 {
			t.Errorf("sent: %+v", sent)
		}
		awaited, err := db.AwaitedCalendars(ctx, "upstream")
		check(err)
		if len(awaited) != 3 {
			t.Errorf("awaited: %v", awaited)
		}

		// Calendars come and go.
		check(db.UseCalendars(ctx, now, "upstream", []string{"https://c"}))
		want("without the pool", uris(0), []string{"https://c"})
		want("asked of a without the pool", ids(db.AwaitedSubmissions(ctx, now, "upstream", "https://a", 10)), none)
		check(db.UseCalendars(ctx, now, "upstream", []string{"https://pool", "https://c"}))
		want("with the pool again", uris(0), []string{"https://a", "https://b", "https://c"})

		// An answer covers the older heads of its calendar, whether it holds or not, and is judged.
		answered := submission.Submission{ID: all[2], Proof: []byte("proof"), Height: 7}
		check(db.AnswerSubmission(ctx, now, answered))
		want("asked of a once it answered", ids(db.AwaitedSubmissions(ctx, now, "upstream", "https://a", 10)), none)
		want("to be judged", ids(db.AnsweredSubmissions(ctx, now, "upstream", 10)), []int64{all[2]})
		check(db.RefuseAnswer(ctx, now, all[2], now.Add(time.Minute)))
		want("asked of a once its answer was refused", ids(db.AwaitedSubmissions(ctx, now, "upstream", "https://a", 10)), []int64{all[0]})
		check(db.AnswerSubmission(ctx, now, answered))

		attestation := func(size, height int64, block byte, ref string) logtree.Attestation {
			return logtree.Attestation{Target: "upstream", Kind: logtree.Bitcoin, Head: heads[size], Proof: []byte("proof"), Height: height, BlockHash: [32]byte{block}, BlockTime: now, Ref: ref}
		}
		attest := func(id int64, a logtree.Attestation, want logtree.AttestationState) {
			t.Helper()
			state, err := db.AttestSubmission(ctx, now, id, a)
			if err != nil || state != want {
				t.Fatalf("attested: %v, %v; want %v", state, err, want)
			}
		}
		states := func() map[string][2]int64 {
			t.Helper()
			list, err := db.AllAttestations(ctx, 0, 10)
			check(err)
			m := make(map[string][2]int64)
			for _, a := range list {
				m[a.Ref] = [2]int64{a.Head.Size, int64(a.State)}
			}
			return m
		}
		attest(all[2], attestation(4, 7, 1, "tx1"), logtree.Counted)
		// Of the same transaction the largest head counts; a smaller one in another is of no use.
		attest(0, attestation(3, 7, 1, "tx1"), logtree.Counted)
		attest(all[0], attestation(2, 8, 2, "tx2"), logtree.Superseded)
		want("attestations", states(), map[string][2]int64{"tx1": {4, 1}, "tx2": {2, 2}})
		want("asked of b, whose head is covered", ids(db.AwaitedSubmissions(ctx, now, "upstream", "https://b", 10)), none)
		counted, err := db.CountedSince(ctx, "upstream", 6, 10)
		check(err)
		if len(counted) != 2 || counted[0].Height != 8 {
			t.Errorf("counted: %+v", counted)
		}

		// A block that left the chain: the smaller one counts, and what is not covered any more is asked for again.
		check(db.WithdrawSubmitted(ctx, now, "upstream", 7, [32]byte{9}))
		want("another block at the height", states()["tx1"], [2]int64{4, 1})
		check(db.WithdrawSubmitted(ctx, now, "upstream", 7, [32]byte{1}))
		want("after the block left", states(), map[string][2]int64{"tx1": {4, 3}, "tx2": {2, 1}})
		want("asked of a after the block left", ids(db.AwaitedSubmissions(ctx, now, "upstream", "https://a", 10)), []int64{all[2]})
		check(db.AnswerSubmission(ctx, now, submission.Submission{ID: all[2], Proof: []byte("proof"), Height: 9}))
		attest(all[2], attestation(4, 9, 3, "tx1"), logtree.Counted)
		want("in the next block", states(), map[string][2]int64{"tx1": {4, 1}, "tx2": {2, 1}})

		// What is attested for good is forgotten, in steps.
		check(db.SaveTip(ctx, "upstream", 200))
		for _, step := range []int64{2, 1, 0} {
			n, err := db.ForgetSubmissions(ctx, "upstream", 9, 2)
			if err != nil || n != step {
				t.Errorf("forgot %d, %v; want %d", n, err, step)
			}
		}
		want("left", ids(db.AllSubmissions(ctx, 0, 10)), []int64{all[3]})
		found, err := db.Attestations(ctx, 0)
		if err != nil || len(found) != 1 || found[0].Depth() != 193 {
			t.Errorf("attestations of the first entry: %+v, %v", found, err)
		}
		check(db.DeferSubmission(ctx, all[3], now.Add(5*time.Hour)))
		want("asked of c when it was put off", ids(db.AwaitedSubmissions(ctx, now.Add(time.Hour), "upstream", "https://c", 10)), none)
	})
}
