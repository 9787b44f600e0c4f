package calendar_test

import (
	"context"
	"slices"
	"testing"

	"github.com/datestone/datestone/internal/calendar"
	"github.com/datestone/datestone/internal/logtree"
	"github.com/datestone/datestone/ots"
)

// attested is a log of one entry with attestations.
type attested struct {
	calendar.Store
	all      []logtree.Attestation
	promised []logtree.Promise
}

func (a attested) Find(_ context.Context, e logtree.Entry) (logtree.Reader, error) {
	return func(nodes []logtree.Node) ([][32]byte, error) {
		return slices.Repeat([][32]byte{e.Leaf()}, len(nodes)), nil
	}, nil
}

func (a attested) Attestations(context.Context, logtree.Position) ([]logtree.Attestation, error) {
	return a.all, nil
}

func (a attested) Promises(context.Context, logtree.Position) ([]logtree.Promise, error) {
	return a.promised, nil
}

// Bitcoin decides how far a commitment has come. The proof has every counted attestation of Bitcoin and Litecoin, and of
// Ethereum where that is asked for.
func TestProofOfSeveralTargets(t *testing.T) {
	e := logtree.NewEntry(0, [32]byte{1})
	claims := map[logtree.Kind]ots.Attestation{
		logtree.Bitcoin: ots.BitcoinAttestation(1), logtree.Litecoin: ots.LitecoinAttestation(2), logtree.Ethereum: ots.EthereumAttestation(3),
	}
	attestation := func(k logtree.Kind, state logtree.AttestationState) logtree.Attestation {
		proof, err := ots.New(ots.Path{}.Append([]byte{byte(len(k))}), claims[k]).AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		return logtree.Attestation{Kind: k, State: state, Head: logtree.Head{Size: 1, Root: e.Leaf()}, Proof: proof, Ref: "tx"}
	}
	mined, bitcoin := attestation(logtree.Bitcoin, logtree.Mined), attestation(logtree.Bitcoin, logtree.Counted)
	litecoin, ethereum := attestation(logtree.Litecoin, logtree.Counted), attestation(logtree.Ethereum, logtree.Counted)
	for name, c := range map[string]struct {
		all     []logtree.Attestation
		dubious bool
		state   calendar.State
		want    []ots.Kind
	}{
		"nothing":            {nil, true, calendar.Pending, nil},
		"litecoin alone":     {[]logtree.Attestation{litecoin}, false, calendar.Pending, []ots.Kind{ots.KindLitecoin}},
		"litecoin before":    {[]logtree.Attestation{litecoin, mined}, false, calendar.Mined, []ots.Kind{ots.KindLitecoin}},
		"ethereum not asked": {[]logtree.Attestation{ethereum}, false, calendar.Pending, nil},
		"ethereum asked":     {[]logtree.Attestation{ethereum}, true, calendar.Pending, []ots.Kind{ots.KindEthereum}},
		"litecoin mined":     {[]logtree.Attestation{attestation(logtree.Litecoin, logtree.Mined)}, true, calendar.Pending, nil},
		"all":                {[]logtree.Attestation{ethereum, litecoin, bitcoin}, true, calendar.Confirmed, []ots.Kind{ots.KindBitcoin, ots.KindEthereum, ots.KindLitecoin}},
		"all but ethereum":   {[]logtree.Attestation{ethereum, litecoin, bitcoin}, false, calendar.Confirmed, []ots.Kind{ots.KindBitcoin, ots.KindLitecoin}},
		"room for one":       {[]logtree.Attestation{large(t, litecoin), large(t, bitcoin)}, false, calendar.Confirmed, []ots.Kind{ots.KindBitcoin}},
	} {
		cal := calendar.New(attested{all: c.all}, calendar.Config{})
		p, err := cal.Proof(t.Context(), e[:], c.dubious)
		if err != nil || p.State != c.state || (p.State == calendar.Mined) != (p.Ref != "") {
			t.Errorf("%s: %+v, %v", name, p, err)
			continue
		}
		var got []ots.Kind
		if p.Timestamp != nil {
			ts, err := ots.ParseTimestamp(p.Timestamp, len(e))
			if err != nil {
				t.Fatal(err)
			}
			if err := ts.Walk(e[:], func(n *ots.Timestamp, _ []byte) error {
				for _, a := range n.Attestations() {
					got = append(got, a.Kind())
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		slices.Sort(got)
		slices.Sort(c.want)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// large is the attestation behind a path of some 6,000 bytes, two of which no client reads in one proof.
func large(t *testing.T, a logtree.Attestation) logtree.Attestation {
	path := ots.Path{}.Append([]byte(a.Kind))
	for range 20 {
		path = path.Append(make([]byte, 300)).SHA256()
	}
	ts, err := ots.ParseTimestamp(a.Proof, 32)
	if err != nil {
		t.Fatal(err)
	}
	var claim ots.Attestation
	if err := ts.Walk(a.Head.Root[:], func(n *ots.Timestamp, _ []byte) error {
		for _, c := range n.Attestations() {
			claim = c
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if a.Proof, err = ots.New(path, claim).AppendBinary(nil); err != nil {
		t.Fatal(err)
	}
	return a
}

// What other calendars promised is given out until Bitcoin confirms, beside what Litecoin attests, as far as there is room.
func TestProofOfPromises(t *testing.T) {
	e := logtree.NewEntry(0, [32]byte{1})
	head := logtree.Head{Size: 1, Root: e.Leaf()}
	promise := func(uri string, size int) logtree.Promise {
		pending, err := ots.PendingAttestation(uri)
		if err != nil {
			t.Fatal(err)
		}
		proof, err := ots.New(ots.Path{}.Append(make([]byte, size)).SHA256(), pending).AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		return logtree.Promise{Head: head, Proof: proof}
	}
	attestation := func(k logtree.Kind, claim ots.Attestation, state logtree.AttestationState) logtree.Attestation {
		proof, err := ots.New(ots.Path{}.Append([]byte{1}), claim).AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		return logtree.Attestation{Kind: k, State: state, Head: head, Proof: proof, Ref: "tx"}
	}
	bitcoin, litecoin := ots.BitcoinAttestation(1), ots.LitecoinAttestation(2)
	a, b, long := promise("https://a.test", 16), promise("https://b.test", 17), promise("https://long.test", 4000)
	for name, c := range map[string]struct {
		all      []logtree.Attestation
		promised []logtree.Promise
		state    calendar.State
		is       bool
		want     []string
	}{
		"nothing":           {nil, nil, calendar.Pending, false, nil},
		"two":               {nil, []logtree.Promise{a, b}, calendar.Pending, true, []string{"https://a.test", "https://b.test"}},
		"beside litecoin":   {[]logtree.Attestation{attestation(logtree.Litecoin, litecoin, logtree.Counted)}, []logtree.Promise{a}, calendar.Pending, true, []string{"https://a.test", "litecoin"}},
		"mined":             {[]logtree.Attestation{attestation(logtree.Bitcoin, bitcoin, logtree.Mined)}, []logtree.Promise{a}, calendar.Mined, true, []string{"https://a.test"}},
		"not any more":      {[]logtree.Attestation{attestation(logtree.Bitcoin, bitcoin, logtree.Counted)}, []logtree.Promise{a}, calendar.Confirmed, false, []string{"bitcoin"}},
		"as far as it goes": {nil, []logtree.Promise{a, long, promise("https://more.test", 4001), promise("https://most.test", 4002), b}, calendar.Pending, true, []string{"https://a.test", "https://b.test", "https://long.test", "https://more.test"}},
	} {
		p, err := calendar.New(attested{all: c.all, promised: c.promised}, calendar.Config{}).Proof(t.Context(), e[:], false)
		if err != nil || p.State != c.state || p.Promised != c.is || len(p.Timestamp) > calendar.MaxProof {
			t.Errorf("%s: %+v, %v", name, p, err)
			continue
		}
		var got []string
		if p.Timestamp != nil {
			ts, err := ots.ParseTimestamp(p.Timestamp, len(e))
			if err != nil {
				t.Fatal(err)
			}
			if err := ts.Walk(e[:], func(n *ots.Timestamp, _ []byte) error {
				for _, x := range n.Attestations() {
					got = append(got, map[ots.Kind]string{ots.KindPending: x.URI(), ots.KindBitcoin: "bitcoin", ots.KindLitecoin: "litecoin"}[x.Kind()])
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
