package devchain

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/txscript/v2"
)

// descriptor names a script as Core infers it without keys.
func descriptor(raw []byte) string {
	class := txscript.GetScriptClass(raw)
	addr := addressOf(raw)
	switch {
	case class == txscript.WitnessV1TaprootTy:
		return withChecksum("rawtr(" + hex.EncodeToString(raw[2:]) + ")")
	case class == txscript.PubKeyTy && len(raw) > 2:
		return withChecksum("pk(" + hex.EncodeToString(raw[1:len(raw)-1]) + ")")
	case addr != "":
		return withChecksum("addr(" + addr + ")")
	}
	return withChecksum("raw(" + hex.EncodeToString(raw) + ")")
}

// A descriptor's checksum (BIP 380).
const (
	descriptorInput  = "0123456789()[],'/*abcdefgh@:$%{}IJKLMNOPQRSTUVWXYZ&+-.;<=>?!^_|~ijklmnopqrstuvwxyzABCDEFGH`#\"\\ "
	descriptorOutput = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
)

func withChecksum(desc string) string { return desc + "#" + checksum(desc) }

func checksum(desc string) string {
	poly := func(c uint64, v int) uint64 {
		top := c >> 35
		c = (c&0x7ffffffff)<<5 ^ uint64(v)
		for i, g := range [...]uint64{0xf5dee51989, 0xa9fdca3312, 0x1bab10e32d, 0x3706b1677a, 0x644d626ffd} {
			if top>>i&1 == 1 {
				c ^= g
			}
		}
		return c
	}
	c := uint64(1)
	class, count := 0, 0
	for _, r := range desc {
		at := strings.IndexRune(descriptorInput, r)
		if at < 0 {
			return ""
		}
		c = poly(c, at&31)
		class = class*3 + at>>5
		if count++; count == 3 {
			c = poly(c, class)
			class, count = 0, 0
		}
	}
	if count > 0 {
		c = poly(c, class)
	}
	for range 8 {
		c = poly(c, 0)
	}
	c ^= 1
	out := make([]byte, 8)
	for i := range out {
		out[i] = descriptorOutput[c>>(5*(7-i))&31]
	}
	return string(out)
}

// parseDescriptor returns the output scripts that a descriptor covers: addr(),
// raw(), and those of one given public key.
func parseDescriptor(desc string) ([][]byte, error) {
	body, sum, has := strings.Cut(desc, "#")
	if has && sum != checksum(body) {
		return nil, &Error{codeNotFound, fmt.Sprintf("Provided checksum '%s' does not match computed checksum '%s'", sum, checksum(body))}
	}
	name, arg, ok := strings.Cut(body, "(")
	if !ok || !strings.HasSuffix(arg, ")") {
		return nil, &Error{codeNotFound, fmt.Sprintf("'%s' is not a valid descriptor function", body)}
	}
	arg = strings.TrimSuffix(arg, ")")
	switch name {
	case "addr":
		s, err := parseAddress(arg)
		if err != nil {
			return nil, &Error{codeNotFound, "Address is not valid"}
		}
		return [][]byte{s}, nil
	case "raw":
		s, err := hex.DecodeString(arg)
		if err != nil {
			return nil, &Error{codeNotFound, "Raw script is not hex"}
		}
		return [][]byte{s}, nil
	}
	return keyScripts(name, arg, body)
}

func parseAddress(text string) ([]byte, error) {
	a, err := address.DecodeAddress(text, params)
	if err != nil || !a.IsForNet(params) {
		return nil, &Error{codeNotFound, "Invalid address"}
	}
	return txscript.PayToAddrScript(a)
}

// keyScripts are the scripts of the descriptor functions that take one public key
// in hex.
func keyScripts(name, arg, body string) ([][]byte, error) {
	unsupported := &Error{codeNotFound, fmt.Sprintf("'%s' is not a valid descriptor function for this chain: use addr(), raw(), or wpkh(), pkh(), tr() of a public key in hex", body)}
	raw, err := hex.DecodeString(arg)
	if err != nil {
		return nil, unsupported
	}
	if name == "tr" {
		if len(raw) == 33 {
			raw = raw[1:]
		}
		key, err := schnorr.ParsePubKey(raw)
		if err != nil {
			return nil, &Error{codeNotFound, fmt.Sprintf("tr(): key '%s' is not valid", arg)}
		}
		s, err := txscript.PayToTaprootScript(txscript.ComputeTaprootKeyNoScript(key))
		return [][]byte{s}, err
	}
	if _, err := btcec.ParsePubKey(raw); err != nil {
		return nil, &Error{codeNotFound, fmt.Sprintf("%s(): Pubkey '%s' is invalid", name, arg)}
	}
	hash := address.Hash160(raw)
	switch name {
	case "wpkh":
		return [][]byte{witnessKeyScript(hash)}, nil
	case "pkh":
		to, err := address.NewAddressPubKeyHash(hash, params)
		if err != nil {
			return nil, err
		}
		s, err := txscript.PayToAddrScript(to)
		return [][]byte{s}, err
	}
	return nil, unsupported
}

// scanObjects reads the scripts that scantxoutset shall find: descriptors, or
// objects that hold one.
func scanObjects(a arguments) (map[string]bool, error) {
	var list []json.RawMessage
	if err := a.value(1, &list); err != nil {
		return nil, err
	}
	wanted := make(map[string]bool)
	for _, raw := range list {
		var object struct{ Desc string }
		if json.Unmarshal(raw, &object.Desc) != nil {
			if err := json.Unmarshal(raw, &object); err != nil {
				return nil, &Error{codeParameter, "Scan object needs to be either a string or an object"}
			}
		}
		scripts, err := parseDescriptor(object.Desc)
		if err != nil {
			return nil, err
		}
		for _, s := range scripts {
			wanted[string(s)] = true
		}
	}
	return wanted, nil
}
