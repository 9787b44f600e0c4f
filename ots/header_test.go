package ots_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/datestone/datestone/ots"
)

// genesis is the header of Bitcoin's first block.
const genesis = "01000000" + "0000000000000000000000000000000000000000000000000000000000000000" +
	"3ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a" + "29ab5f49" + "ffff001d" + "1dac2b7c"

func TestHeader(t *testing.T) {
	raw := unhex(t, genesis)
	h, err := ots.ParseHeader(raw)
	if err != nil {
		t.Fatal(err)
	}
	sum := h.Hash()
	slices.Reverse(sum[:])
	if got := hex.EncodeToString(sum[:]); got != "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f" {
		t.Errorf("hash %s", got)
	}
	if want := time.Date(2009, 1, 3, 18, 15, 5, 0, time.UTC); h.Time != want {
		t.Errorf("time %v, want %v", h.Time, want)
	}
	if h.Version != 1 || h.Bits != 0x1d00ffff || h.Nonce != 2083236893 {
		t.Errorf("%+v", h)
	}
	if out, err := h.AppendBinary(nil); err != nil || !bytes.Equal(out, raw) {
		t.Errorf("written as %x, %v", out, err)
	}
	for _, n := range []int{0, 79, 81} {
		if _, err := ots.ParseHeader(make([]byte, n)); !errors.Is(err, ots.ErrLimit) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	// The last second that fits, beyond a signed 32-bit time.
	copy(raw[68:], "\xff\xff\xff\xff")
	if h, err := ots.ParseHeader(raw); err != nil || h.Time.Year() != 2106 {
		t.Errorf("%v, %v", h.Time, err)
	}
}

func TestVerify(t *testing.T) {
	h, err := ots.ParseHeader(unhex(t, genesis))
	if err != nil {
		t.Fatal(err)
	}
	root := h.MerkleRoot[:]
	other := bytes.Clone(root)
	other[31] ^= 1
	eth := ots.EthereumHeader{TransactionsRoot: h.MerkleRoot, Time: h.Time}
	byHeader := func(a ots.Attestation, msg []byte) error {
		at, err := a.VerifyHeader(msg, h)
		if (err == nil) != at.Equal(h.Time) {
			t.Errorf("%v: time %v with error %v", a, at, err)
		}
		return err
	}
	byEthereum := func(a ots.Attestation, msg []byte) error {
		at, err := a.VerifyEthereum(msg, eth)
		if (err == nil) != at.Equal(h.Time) {
			t.Errorf("%v: time %v with error %v", a, at, err)
		}
		return err
	}
	for _, c := range []struct {
		name   string
		verify func(ots.Attestation, []byte) error
		a      ots.Attestation
		msg    []byte
		want   error
	}{
		{"bitcoin", byHeader, ots.BitcoinAttestation(0), root, nil},
		{"litecoin", byHeader, ots.LitecoinAttestation(0), root, nil},
		{"ethereum", byEthereum, ots.EthereumAttestation(0), root, nil},
		{"another message", byHeader, ots.BitcoinAttestation(0), other, ots.ErrMismatch},
		{"another message in ethereum", byEthereum, ots.EthereumAttestation(0), other, ots.ErrMismatch},
		{"a shorter message", byHeader, ots.BitcoinAttestation(0), root[:31], ots.ErrMismatch},
		{"a longer message", byHeader, ots.BitcoinAttestation(0), append(bytes.Clone(root), 0), ots.ErrMismatch},
		{"no message", byHeader, ots.BitcoinAttestation(0), nil, ots.ErrMismatch},
		{"ethereum by a bitcoin header", byHeader, ots.EthereumAttestation(0), root, ots.ErrMismatch},
		{"bitcoin by an ethereum header", byEthereum, ots.BitcoinAttestation(0), root, ots.ErrMismatch},
		{"pending", byHeader, mustPending(t, "a"), root, ots.ErrMismatch},
		{"none", byHeader, ots.Attestation{}, root, ots.ErrMismatch},
	} {
		if err := c.verify(c.a, c.msg); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}
