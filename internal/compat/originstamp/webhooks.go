package originstamp

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/datestone/datestone/internal/egress"
	"github.com/datestone/datestone/internal/notify"
	"github.com/datestone/datestone/internal/seed"
)

// parseWebhook reads what register and information are about.
func (s *Server) parseWebhook(r *http.Request) (hash [32]byte, c seed.Currency, a seed.Await, err error) {
	fields, err := readObject(r, maxBody)
	if err != nil {
		return hash, c, a, err
	}
	if c, err = s.parseCurrency(fields["currency"]); err != nil {
		return hash, c, a, err
	}
	if hash, err = parseHash(fields["hash"]); err != nil {
		return hash, c, a, err
	}
	a = seed.Await{Target: c.Target, Channel: notify.SeedHook}
	a.Address, err = s.parseTarget(fields["target"], a.Channel)
	return hash, c, a, err
}

// void is an envelope without data.
type void struct {
	Code    Code    `json:"error_code"`
	Message *string `json:"error_message"`
}

func (s *Server) register(w http.ResponseWriter, r *http.Request, c *caller) error {
	hash, _, a, err := s.parseWebhook(r)
	if err != nil {
		return err
	}
	if err := s.config.Store.AwaitSeed(r.Context(), c.now, c.account.ID, hash, a); err != nil {
		return unknown(err, CodeHashUnknown, "This hash was not submitted in this currency.")
	}
	return answer(w, r, http.StatusOK, void{})
}

type information struct {
	Currency int    `json:"currency"`
	Hash     string `json:"hash"`
	Executed bool   `json:"executed"`
	Success  bool   `json:"success"`
	Tries    int    `json:"tries"`
}

func (s *Server) information(w http.ResponseWriter, r *http.Request, c *caller) error {
	hash, currency, a, err := s.parseWebhook(r)
	if err != nil {
		return err
	}
	state, err := s.config.Store.AwaitState(r.Context(), c.account.ID, hash, a)
	if err != nil {
		return unknown(err, CodeNoWebhook, "This account has registered no such webhook for this hash and currency.")
	}
	return succeed(w, r, information{currency.ID, hex.EncodeToString(hash[:]), state.Executed, state.Success, state.Tries})
}

// callWithin bounds the call of a webhook, as the contract has it.
const callWithin = 10 * time.Second

// start posts what is known of a hash to a URL now, and says what came of that.
func (s *Server) start(w http.ResponseWriter, r *http.Request, c *caller) error {
	fields, err := readObject(r, maxBody)
	if err != nil {
		return err
	}
	hash, err := parseHash(fields["hash"])
	if err != nil {
		return err
	}
	target, err := s.parseTarget(fields["webhook_url"], notify.SeedHook)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), readWithin)
	defer cancel()
	sub, err := s.config.Store.Submitted(ctx, hash)
	if err != nil {
		return errSubmitted(err)
	}
	states, err := s.config.Store.SeedStates(ctx, sub.Number)
	if err != nil {
		return refused(err)
	}
	body, err := JSON(responseOf(sub, states, s.config.Currencies, false, true))
	if err != nil {
		return err
	}
	select {
	case s.calls <- struct{}{}:
		defer func() { <-s.calls }()
	default:
		return failure(CodeBusy, "Too many webhooks are being started. Try again.", "Retry-After", "1")
	}
	return succeed(w, r, s.call(r.Context(), target, body))
}

// call posts to a URL, and says in words what came of it.
func (s *Server) call(ctx context.Context, target string, body []byte) string {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return "The webhook was not called: its URL cannot be read."
	}
	req.Header["Content-Type"] = jsonType
	reply, err := s.config.Caller.Do(ctx, req)
	if e, ok := errors.AsType[*egress.Error](err); ok {
		return "The webhook was not reached: " + e.Message + "."
	} else if err != nil {
		return fmt.Sprintf("The webhook was not reached: there was no answer within %v.", callWithin)
	}
	result := "Other answers than 2xx count as failures."
	if reply.Status/100 == 2 {
		result = "That counts as a success."
	}
	return fmt.Sprintf("The webhook was called and answered with the status %d. %s", reply.Status, result)
}
