package devchain

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// amount is a number of satoshi, written as bitcoin with eight decimals.
type amount int64

func (a amount) String() string {
	sign, n := "", int64(a)
	if n < 0 {
		sign, n = "-", -n
	}
	return fmt.Sprintf("%s%d.%08d", sign, n/1e8, n%1e8)
}

func (a amount) MarshalJSON() ([]byte, error) { return []byte(a.String()), nil }

var errAmount = &Error{codeType, "Invalid amount"}

// UnmarshalJSON reads a number of bitcoin, or a string of one, without rounding.
func (a *amount) UnmarshalJSON(raw []byte) error {
	text := string(raw)
	if len(raw) > 0 && raw[0] == '"' {
		if err := json.Unmarshal(raw, &text); err != nil {
			return errAmount
		}
	}
	whole, part, _ := strings.Cut(text, ".")
	if len(part) > 8 {
		return errAmount
	}
	n, err := strconv.ParseUint(whole+part+strings.Repeat("0", 8-len(part)), 10, 63)
	if err != nil || n > maxMoney {
		return errAmount
	}
	*a = amount(n)
	return nil
}
