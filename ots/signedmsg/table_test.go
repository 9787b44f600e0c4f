package signedmsg

import (
	"math/big"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2"
	"pgregory.net/rapid"
)

// A table says what recovering says, of good signatures and of others.
func TestTable(t *testing.T) {
	n := btcec.S256().N
	tables := make(map[PublicKey]*Table)
	var keys []PrivateKey
	for _, text := range []string{"1", "2", "235236247357325473457345", "Kynp181oRdngSNwkskrGNN898VnffatY6tftn84TPLRRkEaLjJ4U"} {
		k, err := ParsePrivateKey(text)
		if err != nil {
			t.Fatal(err)
		}
		table, err := NewTable(k.Public())
		if err != nil {
			t.Fatal(err)
		}
		tables[k.Public()] = table
		keys = append(keys, k)
	}
	rapid.Check(t, func(t *rapid.T) {
		k := rapid.SampledFrom(keys).Draw(t, "key")
		signer := PrivateKey{k.key, rapid.Bool().Draw(t, "compressed")}
		message := rapid.SliceOf(rapid.Byte()).Draw(t, "message")
		sig := signer.Sign(message)
		if rapid.Bool().Draw(t, "high s") {
			new(big.Int).Sub(n, new(big.Int).SetBytes(sig[33:])).FillBytes(sig[33:])
			sig[0] = (sig[0] - 27) ^ 1 + 27
		}
		switch rapid.IntRange(0, 4).Draw(t, "change") {
		case 0:
			sig[0] = rapid.Byte().Draw(t, "header")
		case 1:
			sig[rapid.IntRange(0, Size-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		case 2:
			message = append(message, 'x')
		}
		recovered, err := sig.Recover(message)
		for public, table := range tables {
			got, ok := table.Recover(sig, message)
			if want := err == nil && recovered.Point() == public.Point(); ok != want || ok && got != recovered {
				t.Fatalf("the table of %v says %v %v; recovered is %v, %v", public, got, ok, recovered, err)
			}
		}
	})
	// All that is refused before any arithmetic, and the point at infinity.
	table := tables[keys[0].Public()]
	var hash btcec.ModNScalar
	sum := Hash([]byte("m"))
	hash.SetByteSlice(sum[:])
	// With the key 1, r = -e makes u1 + u2 = 0.
	r := hash.Negate().Bytes()
	infinite := Signature{0: 31, 64: 1}
	copy(infinite[1:], r[:])
	for name, sig := range map[string]Signature{"zero": {}, "r is 0": {0: 31, 64: 1}, "s is 0": {0: 31, 32: 1}, "infinity": infinite} {
		if _, ok := table.Recover(sig, []byte("m")); ok {
			t.Errorf("%s: accepted", name)
		}
	}
	// A coordinate above the order of the group: whatever key recovers, its table says the same.
	made := 0
	for r := byte(1); r < 100; r++ {
		for _, header := range []byte{29, 30, 33, 34} {
			sig := Signature{0: header, 32: r, 64: 7}
			key, err := sig.Recover([]byte("m"))
			if err != nil {
				continue
			}
			made++
			if table, err := NewTable(key); err != nil {
				t.Fatal(err)
			} else if got, ok := table.Recover(sig, []byte("m")); !ok || got != key {
				t.Errorf("the table of %v says %v %v", key, got, ok)
			}
			if made == 4 {
				return
			}
		}
	}
	t.Errorf("only %d such signatures were made", made)
}

func BenchmarkTable(b *testing.B) {
	key, err := ParsePrivateKey(vectors[1].key)
	if err != nil {
		b.Fatal(err)
	}
	sig, err := Parse(vectors[1].signature)
	if err != nil {
		b.Fatal(err)
	}
	message := []byte(vectors[1].message)
	b.Run("make", func(b *testing.B) {
		for b.Loop() {
			NewTable(key.Public())
		}
	})
	table, err := NewTable(key.Public())
	if err != nil {
		b.Fatal(err)
	}
	b.Run("recover", func(b *testing.B) {
		for b.Loop() {
			if _, ok := table.Recover(sig, message); !ok {
				b.Fatal("not recovered")
			}
		}
	})
}
