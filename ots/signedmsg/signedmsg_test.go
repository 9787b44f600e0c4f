package signedmsg

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"math/big"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/ecdsa"
	"github.com/btcsuite/btcd/chainhash/v2"
	"pgregory.net/rapid"
)

// Keys, messages and signatures that other software made: bitcoinj, bitcore-message with a random k, and decred.
var vectors = []struct{ name, key, message, signature, hash, public, address string }{
	{"java", "235236247357325473457345", "a",
		"IBY7a75Ygps/o1BqTQ0OpFL+a8WHfd9jNO/8820ST0gyQ0SAuIWKm8/M90aG1G40oJvjrlcoiKngKAYYsJS6I0s=", "",
		"0281ba3abeb82cc191983b25d9d0ee9216431848fcd56ce00bad2afb579bd00637", ""},
	{"bitcore", "Kynp181oRdngSNwkskrGNN898VnffatY6tftn84TPLRRkEaLjJ4U", "a948904f2f0f479b8f8197694b30184b0d2ed1c1cd2a1ec0fb85d299a192a447",
		"H92yHhj2eYDq3PiKvfwNjB2qeIIe4XKgCWPKa13huk51bsUwKi/enExDoYkxEVwuDGJyS0LwyRSIUDasHlGb9+Y=", "682e1dabef5225e1eacde52ea427be13a6064144f71f9a0f2ad0016b7aa5f392",
		"02584a082739b72b5bc7db9a39015c19011765acca3f0e1ab2cded928ad81f384a", "1HVJFtpe2oscC4hneLhTmAgs14Se85JyHK"},
	{"decred", "Kynp181oRdngSNwkskrGNN898VnffatY6tftn84TPLRRkEaLjJ4U", "a948904f2f0f479b8f8197694b30184b0d2ed1c1cd2a1ec0fb85d299a192a447",
		"IFvp+nNuuDBTZ+06/49sLW/OXAyxvM7ILLR7XHUKhLevLAwysBJ8U/DKw0RGpIFo4GQrmbO+CGKG3e33a4MDcUQ=", "682e1dabef5225e1eacde52ea427be13a6064144f71f9a0f2ad0016b7aa5f392",
		"02584a082739b72b5bc7db9a39015c19011765acca3f0e1ab2cded928ad81f384a", "1HVJFtpe2oscC4hneLhTmAgs14Se85JyHK"},
}

func TestVectors(t *testing.T) {
	for _, v := range vectors {
		t.Run(v.name, func(t *testing.T) {
			sig, err := Parse(v.signature)
			if err != nil {
				t.Fatal(err)
			}
			key, err := sig.Recover([]byte(v.message))
			if err != nil || key.String() != v.public {
				t.Errorf("recovered %v, %v; want %s", key, err, v.public)
			}
			if hash := Hash([]byte(v.message)); v.hash != "" && hex.EncodeToString(hash[:]) != v.hash {
				t.Errorf("the hash is %x, want %s", hash, v.hash)
			}
			if v.address != "" && key.Address() != v.address {
				t.Errorf("the address is %s, want %s", key.Address(), v.address)
			}
			private, err := ParsePrivateKey(v.key)
			if err != nil || private.Public() != key {
				t.Errorf("the private key's public one is %v, %v", private.Public(), err)
			}
			if ours := private.Sign([]byte(v.message)); v.name != "bitcore" && ours.String() != v.signature {
				t.Errorf("signed as %v, want %s", ours, v.signature)
			}
			if other, err := sig.Recover([]byte(v.message + " ")); err == nil && other == key {
				t.Error("another message has the same key")
			}
		})
	}
}

// The message of a calendar is text, not bytes.
func TestDigest(t *testing.T) {
	if got := string(Digest([]byte{0xab, 0x00, 0xff})); got != "ab00ff" {
		t.Errorf("the message is %q", got)
	}
}

// Every length of message has the length's encoding that other software expects.
func TestHashOfLongMessages(t *testing.T) {
	for length, prefix := range map[int]string{0: "00", 252: "fc", 253: "fdfd00", 0xffff: "fdffff", 0x10000: "fe00000100"} {
		m := bytes.Repeat([]byte{'x'}, length)
		p, _ := hex.DecodeString(prefix)
		want := chainhash.DoubleHashH(append(append([]byte("\x18Bitcoin Signed Message:\n"), p...), m...))
		if got := Hash(m); got != [32]byte(want) {
			t.Errorf("the hash of %d bytes is %x, want %x", length, got, want)
		}
	}
}

func TestProperties(t *testing.T) {
	n := btcec.S256().N
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "key")
		key, _ := btcec.PrivKeyFromBytes(seed)
		if key.Key.IsZero() {
			return
		}
		k := PrivateKey{key, rapid.Bool().Draw(t, "compressed")}
		message := rapid.SliceOf(rapid.Byte()).Draw(t, "message")
		sig := k.Sign(message)
		if header := int(sig[0]); k.compressed != (header >= 31) || header < 27 || header > 34 {
			t.Fatalf("header byte %d", header)
		}
		// The other s, with the other parity, is as valid.
		high := sig
		s := new(big.Int).SetBytes(sig[33:])
		s.Sub(n, s).FillBytes(high[33:])
		high[0] = (sig[0] - 27) ^ 1 + 27
		for _, sig := range []Signature{sig, high} {
			parsed, err := Parse(sig.String())
			if err != nil || parsed != sig {
				t.Fatalf("read again as %v, %v", parsed, err)
			}
			got, err := sig.Recover(message)
			if err != nil || got != k.Public() {
				t.Fatalf("recovered %v, %v; want %v", got, err, k.Public())
			}
		}
		again, err := ParsePrivateKey(k.WIF())
		if err != nil || again.WIF() != k.WIF() || again.Public() != k.Public() {
			t.Fatalf("the key is read again as another: %v", err)
		}
		public, err := ParsePublicKey(k.Public().String())
		if err != nil || public != k.Public() {
			t.Fatalf("the public key is read again as %v, %v", public, err)
		}
	})
}

func TestHostile(t *testing.T) {
	good := vectors[1].signature
	message := []byte(vectors[1].message)
	for name, text := range map[string]string{
		"empty": "", "space before": " " + good, "space after": good + " ", "line break": good[:40] + "\n" + good[40:],
		"line breaks in place": good[:40] + "\r\n" + good[42:], "no padding": good[:87], "url alphabet": strings.ReplaceAll(good, "+", "-"),
		"more": good + "AAAA", "long": strings.Repeat("A", 1<<20), "padding bits": good[:86] + "Z=", "hex": hex.EncodeToString(make([]byte, 44)),
	} {
		if _, err := Parse(text); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	raw, _ := base64.StdEncoding.DecodeString(good)
	n := btcec.S256().N
	p := btcec.S256().P
	for name, change := range map[string]func(s *Signature){
		"header 26":  func(s *Signature) { s[0] = 26 },
		"header 35":  func(s *Signature) { s[0] = 35 },
		"header 0":   func(s *Signature) { s[0] = 0 },
		"header 255": func(s *Signature) { s[0] = 255 },
		"r is 0":     func(s *Signature) { clear(s[1:33]) },
		"s is 0":     func(s *Signature) { clear(s[33:]) },
		"r is n":     func(s *Signature) { n.FillBytes(s[1:33]) },
		"s is n":     func(s *Signature) { n.FillBytes(s[33:]) },
		"r is p":     func(s *Signature) { p.FillBytes(s[1:33]) },
		"all ones":   func(s *Signature) { copy(s[1:], bytes.Repeat([]byte{0xff}, 64)) },
		"r + n is no coordinate": func(s *Signature) {
			s[0] = 33 // recovery 2, compressed
			new(big.Int).Sub(n, big.NewInt(1)).FillBytes(s[1:33])
		},
		"not on the curve": func(s *Signature) { clear(s[1:33]); s[32] = 5 }, // 5^3 + 7 is no square
	} {
		sig := Signature(raw)
		change(&sig)
		if key, err := sig.Recover(message); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v, %v", name, key, err)
		}
	}
	// Q is infinity: r is the x of e*G/1, so that s*X = e*G.
	hash := Hash(message)
	e, _ := btcec.PrivKeyFromBytes(hash[:])
	x := e.PubKey().SerializeCompressed()
	sig := Signature{0: 27 + 4 + x[0] - 2, Size - 1: 1}
	copy(sig[1:], x[1:])
	if key, err := sig.Recover(message); !errors.Is(err, ErrSignature) {
		t.Errorf("the point at infinity: %v, %v", key, err)
	}
}

func TestKeys(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "short": "02584a", "hybrid": "06" + strings.Repeat("11", 64), "no point": "02" + strings.Repeat("ff", 32),
		"x alone": strings.Repeat("11", 32), "not hex": strings.Repeat("z", 66), "compressed with 65": "02" + strings.Repeat("11", 64),
	} {
		if _, err := ParsePublicKey(text); err == nil {
			t.Errorf("public key, %s: accepted", name)
		}
	}
	n := btcec.S256().N
	for name, text := range map[string]string{
		"empty": "", "zero": "0", "negative": "-1", "plus": "+1", "order": n.String(), "long": strings.Repeat("9", 1<<16), "hex": "0x10",
		"testnet": "cNJFgo1driFnPcBdBX8BrJrpxchBWXwXCvNH5SoSkdcF6JXXwHMm", "wrong checksum": "Kynp181oRdngSNwkskrGNN898VnffatY6tftn84TPLRRkEaLjJ4V",
	} {
		if _, err := ParsePrivateKey(text); err == nil {
			t.Errorf("private key, %s: accepted", name)
		} else if text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("private key, %s: the error repeats it", name)
		}
	}
	one, err := ParsePrivateKey("1")
	if err != nil || one.Public().String() != "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798" {
		t.Errorf("the key 1 is %v, %v", one.Public(), err)
	}
	// Both forms of one point are known, with different addresses.
	wif, err := ParsePrivateKey("5HpHagT65TZzG1PH3CSu63k8DbpvD8s5ip4nEB3kEsreAnchuDf")
	if err != nil || wif.Public().Compressed() || wif.Public().Point() != one.Public().Point() {
		t.Fatalf("the uncompressed key is %v, %v", wif.Public(), err)
	}
	if a, b := one.Public().Address(), wif.Public().Address(); a != "1BgGZ9tcN4rm9KBzDn7KprQz87SZ26SAMH" || b != "1EHNa6Q4Jz2uvNExL497mE43ikXhwF6kZm" {
		t.Errorf("addresses %s and %s", a, b)
	}
	if fresh, err := NewPrivateKey(); err != nil || fresh.Public() == one.Public() || !fresh.Public().Compressed() {
		t.Errorf("a new key is %v, %v", fresh.Public(), err)
	}
}

func TestKeyFile(t *testing.T) {
	const wif = "Kynp181oRdngSNwkskrGNN898VnffatY6tftn84TPLRRkEaLjJ4U"
	f, err := ParseKeyFile([]byte("# keys\r\n! more\n\n  Auth.Calendar.Example.org = " + wif + "  \n127.0.0.1\\:8080=235236247357325473457345\nhost/path/\t" + wif))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(f.Calendars(), " "); got != "127.0.0.1:8080 auth.calendar.example.org host/path" {
		t.Errorf("calendars %q", got)
	}
	if k, ok := f.Key("auth.calendar.EXAMPLE.org/"); !ok || k.WIF() != wif {
		t.Error("a host in other letters has no key")
	}
	if _, ok := f.Key("example.org"); ok {
		t.Error("another host has a key")
	}
	for name, text := range map[string]string{
		"twice": "a=1\nA=2\n", "url": "https\\://a=1", "no key": "a", "no host": "=1", "wrong key": "a=zzz", "long": strings.Repeat("#", MaxKeyFile+1),
	} {
		if _, err := ParseKeyFile([]byte(text)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, calendar := range []string{"a.example", "127.0.0.1:80", `odd\:=# name/path`} {
		key, err := NewPrivateKey()
		if err != nil {
			t.Fatal(err)
		}
		f, err := ParseKeyFile(FormatKeyFile(calendar, key))
		if got, ok := f.Key(calendar); err != nil || !ok || got.WIF() != key.WIF() {
			t.Errorf("%q is not read again: %v %v", calendar, f.Calendars(), err)
		}
	}
}

func FuzzRecover(f *testing.F) {
	for _, v := range vectors {
		f.Add(v.signature, []byte(v.message))
	}
	f.Fuzz(func(t *testing.T, text string, message []byte) {
		sig, err := Parse(text)
		if err != nil {
			return
		}
		key, err := sig.Recover(message)
		if err != nil {
			return
		}
		// What was recovered verifies.
		point, err := btcec.ParsePubKey(key.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		var r, s btcec.ModNScalar
		r.SetByteSlice(sig[1:33])
		s.SetByteSlice(sig[33:])
		hash := Hash(message)
		if !ecdsa.NewSignature(&r, &s).Verify(hash[:], point) {
			t.Errorf("%s recovers to a key that did not sign", text)
		}
	})
}

func BenchmarkRecover(b *testing.B) {
	sig, err := Parse(vectors[1].signature)
	if err != nil {
		b.Fatal(err)
	}
	message := []byte(vectors[1].message)
	for b.Loop() {
		if _, err := sig.Recover(message); err != nil {
			b.Fatal(err)
		}
	}
}
