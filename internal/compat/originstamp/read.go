package originstamp

import (
	"math"
	"net/http"
	"strconv"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/seed"
)

func (s *Server) hash(w http.ResponseWriter, r *http.Request, c *caller) error {
	hash, err := parseHash(r.PathValue(argumentName))
	if err != nil {
		return err
	}
	sub, err := s.config.Store.Submitted(r.Context(), hash)
	if err != nil {
		return errSubmitted(err)
	}
	return s.show(w, r, c, sub)
}

func errSubmitted(err error) error {
	return unknown(err, CodeHashUnknown, "Nobody has submitted this hash.")
}

func (s *Server) preprint(w http.ResponseWriter, r *http.Request, c *caller) error {
	id, err := account.ParseID(r.PathValue(argumentName))
	if err != nil {
		return failure(CodeURL, "What follows /url/ is not a UUID.")
	}
	sub, err := s.config.Store.PreprintOf(r.Context(), seed.UUID(id))
	if err != nil {
		return unknown(err, CodeURLUnknown, "No hash was submitted with this UUID.")
	}
	return s.show(w, r, c, sub)
}

func (s *Server) show(w http.ResponseWriter, r *http.Request, c *caller, sub seed.Submitted) error {
	states, err := s.config.Store.SeedStates(r.Context(), sub.Number)
	if err != nil {
		return refused(err)
	}
	return succeed(w, r, responseOf(sub, states, s.config.Currencies, false, c.v4))
}

func (s *Server) seed(w http.ResponseWriter, r *http.Request, c *caller) error {
	const message = "There is no seed with this id."
	id, err := account.ParseID(r.PathValue(argumentName))
	if err != nil {
		return failure(CodeSeedUnknown, "There is no seed with this id, which is not a UUID.")
	}
	state, err := s.config.Store.SeedState(r.Context(), seed.UUID(id))
	if err != nil {
		return unknown(err, CodeSeedUnknown, message)
	}
	currency, ok := currencyOf(s.config.Currencies, state.Target)
	if !ok {
		return failure(CodeSeedUnknown, message)
	}
	return succeed(w, r, dataOf(state, currency, true))
}

// credits is written as a Java double.
type credits float64

func (c credits) MarshalJSON() ([]byte, error) {
	text := strconv.FormatFloat(float64(c), 'f', -1, 64)
	if float64(c) == math.Trunc(float64(c)) {
		text += ".0"
	}
	return []byte(text), nil
}

// usageOf is a plan's quota in credits: a new timestamp costs one, and nothing else costs any.
type usageOf struct {
	CreditsPerMonth      credits `json:"credits_per_month"`
	RemainingCredits     credits `json:"remaining_credits"`
	ConsumedCredits      credits `json:"consumed_credits"`
	TimestampsPerMonth   int64   `json:"timestamps_per_month"`
	ConsumedTimestamps   int64   `json:"consumed_timestamps"`
	CertificatePerMonth  int64   `json:"certificate_per_month"`
	ConsumedCertificates int64   `json:"consumed_certificates"`
	LimitationType       int     `json:"limitation_type"` // 0: credits
}

func (s *Server) usage(w http.ResponseWriter, r *http.Request, c *caller) error {
	months, err := s.config.Store.Usage(r.Context(), c.account.ID, 1)
	if err != nil {
		return refused(err)
	}
	used := int64(0)
	if len(months) > 0 && months[0].Month == account.Month(c.now) {
		used = months[0].Used
	}
	return succeed(w, r, usageOf{
		CreditsPerMonth: credits(c.plan.Quota), RemainingCredits: credits(max(0, c.plan.Quota-used)), ConsumedCredits: credits(used), ConsumedTimestamps: used,
	})
}

type currency struct {
	ID   int    `json:"currency_id"`
	Name string `json:"currency"`
}

func (s *Server) currencies(w http.ResponseWriter, r *http.Request, _ *caller) error {
	var all []currency
	for _, c := range s.config.Currencies {
		all = append(all, currency{c.ID, c.Name})
	}
	return succeed(w, r, all)
}

type submissionTime struct {
	Time int64 `json:"submission_time"` // milliseconds
}

// times is when the seed closes that a hash would now be in.
func (s *Server) times(w http.ResponseWriter, r *http.Request, c *caller) error {
	fields, err := readObject(r, maxBody)
	if err != nil {
		return err
	}
	currency, err := s.parseCurrency(fields["currency"])
	if err != nil {
		return err
	}
	_, closes := currency.PeriodOf(c.now)
	open, ok, err := s.config.Store.OpenSeed(r.Context(), currency.Target)
	if err != nil {
		return refused(err)
	}
	if ok && open.Closes.After(c.now) {
		closes = open.Closes
	}
	return succeed(w, r, submissionTime{closes.UnixMilli()})
}
