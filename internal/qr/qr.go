// Package qr makes QR codes of addresses, for documents and pages.
package qr

import (
	"fmt"
	"strings"

	"github.com/boombuler/barcode"
	encoder "github.com/boombuler/barcode/qr"
)

// Matrix is a QR code: rows of modules, true is dark.
type Matrix [][]bool

// Encode makes the code of a text.
func Encode(text string) (Matrix, error) {
	code, err := encoder.Encode(text, encoder.M, encoder.Auto)
	if err != nil {
		return nil, fmt.Errorf("a QR code of %d bytes: %w", len(text), err)
	}
	return modules(code), nil
}

func modules(code barcode.Barcode) Matrix {
	size := code.Bounds().Dx()
	m := make(Matrix, size)
	for y := range m {
		m[y] = make([]bool, size)
		for x := range m[y] {
			r, _, _, _ := code.At(x, y).RGBA()
			m[y][x] = r == 0
		}
	}
	return m
}

// Runs calls f for each horizontal run of dark modules.
func (m Matrix) Runs(f func(x, y, width int)) {
	for y, row := range m {
		for x := 0; x < len(row); x++ {
			from := x
			for x < len(row) && row[x] {
				x++
			}
			if x > from {
				f(from, y, x-from)
			}
		}
	}
}

// Quiet is the empty border that readers need, in modules.
const Quiet = 4

// Path is the code as the path of an SVG.
func (m Matrix) Path() string {
	var b strings.Builder
	m.Runs(func(x, y, width int) { fmt.Fprintf(&b, "M%d %dh%dv1h-%dz", x+Quiet, y+Quiet, width, width) })
	return b.String()
}
