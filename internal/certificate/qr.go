package certificate

import (
	"fmt"
	"strings"

	"github.com/boombuler/barcode"
	"github.com/boombuler/barcode/qr"
)

// matrix is a QR code: rows of modules, true is dark.
type matrix [][]bool

func encodeQR(text string) (matrix, error) {
	code, err := qr.Encode(text, qr.M, qr.Auto)
	if err != nil {
		return nil, fmt.Errorf("a QR code of %d bytes: %w", len(text), err)
	}
	return modules(code), nil
}

func modules(code barcode.Barcode) matrix {
	size := code.Bounds().Dx()
	m := make(matrix, size)
	for y := range m {
		m[y] = make([]bool, size)
		for x := range m[y] {
			r, _, _, _ := code.At(x, y).RGBA()
			m[y][x] = r == 0
		}
	}
	return m
}

// runs calls f for each horizontal run of dark modules.
func (m matrix) runs(f func(x, y, width int)) {
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

// quiet is the empty border that readers need, in modules.
const quiet = 4

// path is the code as the path of an SVG.
func (m matrix) path() string {
	var b strings.Builder
	m.runs(func(x, y, width int) { fmt.Fprintf(&b, "M%d %dh%dv1h-%dz", x+quiet, y+quiet, width, width) })
	return b.String()
}
