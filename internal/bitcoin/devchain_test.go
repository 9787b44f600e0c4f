package bitcoin_test

import (
	"testing"

	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/logtree"
)

// A head reaches a block, counts at the required depth, and nothing is sent for what is covered.
func TestAnchor(t *testing.T) {
	for _, script := range []string{"wpkh", "tr"} {
		t.Run(script, func(t *testing.T) {
			r := newRig(t, func(r *rig) { r.config.Script = script })
			r.step() // an empty log needs no money
			r.append(3)
			r.want(anchor.NoFunds)
			r.fund(100_000)
			r.step()
			a := r.only()
			if a.Head.Size != 3 || a.State != anchor.Live || !r.inMempool(a.Ref) {
				t.Fatalf("the attempt is %+v, in the mempool: %v", a, r.inMempool(a.Ref))
			}
			r.append(2)
			r.step()
			r.only() // the next transaction waits for this one
			r.mine(1)
			r.step()
			r.wantState(a.Ref, logtree.Mined)
			r.mine(4)
			r.step()
			r.wantState(a.Ref, logtree.Mined)
			r.mine(1)
			r.later()
			r.step()
			r.wantState(a.Ref, logtree.Counted)
			all := r.attempts()
			if len(all) != 2 || all[1].Head.Size != 5 || all[1].Set() != a.Ref+":1" {
				t.Fatalf("attempts %+v, want a second one that spends the change of the first", all)
			}
			r.mine(6)
			r.later()
			r.step()
			r.wantState(all[1].Ref, logtree.Counted)
			r.mine(10)
			r.later()
			r.step()
			if all := r.attempts(); len(all) != 2 {
				t.Fatalf("%d attempts for a log that is covered", len(all))
			}
		})
	}
}
