package originstamp

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/httpkit"
	"github.com/datestone/datestone/internal/seed"
)

// TimestampResponse is what is known of a hash. The order of the fields is that of the contract.
type TimestampResponse struct {
	Created     bool            `json:"created"`
	DateCreated int64           `json:"date_created"` // milliseconds
	Comment     *string         `json:"comment"`
	HashString  string          `json:"hash_string"`
	Timestamps  []TimestampData `json:"timestamps"`
}

// TimestampData is a seed in a currency.
type TimestampData struct {
	SeedID       string  `json:"seed_id,omitempty"` // version 4 alone has it
	CurrencyID   int     `json:"currency_id"`
	Transaction  *string `json:"transaction"`
	PrivateKey   *string `json:"private_key"` // the root, as it was called once
	Timestamp    *int64  `json:"timestamp"`   // milliseconds
	SubmitStatus int     `json:"submit_status"`
}

// currencyOf is the currency that a target carries.
func currencyOf(all []seed.Currency, target string) (seed.Currency, bool) {
	i := slices.IndexFunc(all, func(c seed.Currency) bool { return c.Target == target })
	if i < 0 {
		return seed.Currency{}, false
	}
	return all[i], true
}

// dataOf is a seed as clients see it. What a block says is shown once it is there, and its time once it is proven.
func dataOf(state seed.State, c seed.Currency, v4 bool) TimestampData {
	d := TimestampData{CurrencyID: c.ID, SubmitStatus: int(state.Status)}
	if v4 {
		d.SeedID = account.ID(state.UID).String()
	}
	if state.Status >= seed.Sent {
		root := hex.EncodeToString(state.Root[:])
		d.PrivateKey = &root
	}
	if state.Status >= seed.Mined {
		d.Transaction = &state.Ref
	}
	if state.Status >= seed.Final {
		ms := state.Time.UnixMilli()
		d.Timestamp = &ms
	}
	return d
}

// responseOf is a submitted hash as clients see it. A seed whose target is no currency any more is left out.
func responseOf(sub seed.Submitted, states []seed.State, currencies []seed.Currency, created, v4 bool) TimestampResponse {
	response := TimestampResponse{
		Created: created, DateCreated: sub.Created.UnixMilli(), HashString: hex.EncodeToString(sub.Hash[:]), Timestamps: []TimestampData{},
	}
	if sub.Comment != "" {
		response.Comment = &sub.Comment
	}
	for _, state := range states {
		if c, ok := currencyOf(currencies, state.Target); ok {
			response.Timestamps = append(response.Timestamps, dataOf(state, c, v4))
		}
	}
	slices.SortFunc(response.Timestamps, func(a, b TimestampData) int { return cmp.Compare(a.CurrencyID, b.CurrencyID) })
	return response
}

// Payload is what a webhook is sent: the currencies in which the hash is tamper-proof, no others, for some receivers
// ask for the certificate of each at once.
func Payload(sub seed.Submitted, states []seed.State, currencies []seed.Currency) TimestampResponse {
	final := slices.DeleteFunc(slices.Clone(states), func(s seed.State) bool { return s.Status != seed.Final })
	return responseOf(sub, final, currencies, false, true)
}

// JSON writes a value without the escapes that are for HTML alone.
func JSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// answer writes a value.
func answer(w http.ResponseWriter, r *http.Request, status int, v any) error {
	b, err := JSON(v)
	if err != nil {
		return err
	}
	w.Header()["Content-Type"] = jsonType
	return httpkit.WriteBody(w, r, status, b)
}

// succeed writes data in an envelope.
func succeed(w http.ResponseWriter, r *http.Request, data any) error {
	return answer(w, r, http.StatusOK, envelope{Data: data})
}
