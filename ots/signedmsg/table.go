package signedmsg

import (
	"github.com/btcsuite/btcd/btcec/v2"
)

// Table makes checking the signatures of one key several times as fast as recovering the key from each. It takes 115
// kilobytes, and to make it as long as some ten recoveries.
type Table struct {
	key PublicKey
	// multiples has j+1 times 16^i times the key's point, affine.
	multiples [64][15]btcec.JacobianPoint
}

// NewTable makes the table of a key.
func NewTable(key PublicKey) (*Table, error) {
	point, err := btcec.ParsePubKey(key.point[:])
	if err != nil {
		return nil, err
	}
	t := &Table{key: key}
	var run [16]btcec.JacobianPoint // the multiples of one row, and the first of the next
	point.AsJacobian(&run[15])
	for i := range t.multiples {
		run[0] = run[15]
		for j := range 15 {
			btcec.AddNonConst(&run[j], &run[0], &run[j+1])
		}
		affine(run[1:])
		copy(t.multiples[i][:], run[:15])
	}
	return t, nil
}

// affine makes points affine, none of which is the one at infinity, with one inversion for all.
func affine(points []btcec.JacobianPoint) {
	products := make([]btcec.FieldVal, len(points)+1) // of the Z before each
	products[0].SetInt(1)
	for i := range points {
		products[i+1].Mul2(&products[i], &points[i].Z)
	}
	inverse := products[len(points)] // of the Z up to each
	inverse.Inverse()
	for i := len(points) - 1; i >= 0; i-- {
		p := &points[i]
		var z, square btcec.FieldVal
		z.Mul2(&inverse, &products[i])
		inverse.Mul(&p.Z)
		square.SquareVal(&z)
		p.X.Mul(&square).Normalize()
		p.Y.Mul(square.Mul(&z)).Normalize()
		p.Z.SetInt(1)
	}
}

// Recover is [Signature.Recover] when that gives the table's key, in either form; otherwise it says false, and nothing
// of whose the signature is.
func (t *Table) Recover(s Signature, message []byte) (PublicKey, bool) {
	const compressed, overflow, odd = 4, 2, 1
	header := s[0] - 27
	var r, v, e btcec.ModNScalar
	if s[0] < 27 || header >= 8 || r.SetByteSlice(s[1:33]) || r.IsZero() || v.SetByteSlice(s[33:]) || v.IsZero() {
		return PublicKey{}, false
	}
	hash := Hash(message)
	e.SetByteSlice(hash[:])
	inverse := new(btcec.ModNScalar).InverseValNonConst(&v)
	u1 := new(btcec.ModNScalar).Mul2(&e, inverse)
	u2 := new(btcec.ModNScalar).Mul2(&r, inverse)
	var p btcec.JacobianPoint
	btcec.ScalarBaseMultNonConst(u1, &p)
	digits := u2.Bytes() // big-endian
	for i := range t.multiples {
		if digit := digits[31-i/2] >> (4 * (i % 2)) & 15; digit != 0 {
			btcec.AddNonConst(&p, &t.multiples[i][digit-1], &p)
		}
	}
	if p.X.IsZero() && p.Y.IsZero() || p.Z.IsZero() {
		return PublicKey{}, false
	}
	p.ToAffine()
	// r is the coordinate modulo the order of the group; the header says whether it was larger, and the other one's parity.
	var x btcec.ModNScalar
	larger := x.SetBytes(p.X.Bytes()) != 0
	if !x.Equals(&r) || larger != (header&overflow != 0) || p.Y.IsOdd() != (header&odd != 0) {
		return PublicKey{}, false
	}
	return PublicKey{t.key.point, header&compressed != 0}, true
}
