package originstamp

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/httpkit"
	"github.com/datestone/datestone/internal/notify"
	"github.com/datestone/datestone/internal/seed"
)

// readObject reads a body that is a JSON object, whatever its type is called.
func readObject(r *http.Request, limit int64) (map[string]any, error) {
	body, err := httpkit.ReadAll(r, limit)
	if errors.Is(err, httpkit.ErrTooLarge) {
		return nil, failure(CodeTooLarge, fmt.Sprintf("The body has more than %d bytes.", limit))
	} else if err != nil {
		return nil, because(err, CodePayload, "The body did not come as it was announced.")
	}
	v, err := httpkit.ParseJSON(body)
	if err != nil {
		return nil, because(err, CodePayload, "The body cannot be read: it is not valid JSON.")
	}
	fields, ok := v.(map[string]any)
	if !ok {
		return nil, failure(CodePayload, "The body cannot be read: it is not a JSON object.")
	}
	return fields, nil
}

// parseHash reads 64 hexadecimal characters in either case.
func parseHash(v any) (hash [32]byte, err error) {
	text, ok := v.(string)
	if !ok {
		return hash, failure(CodeHash, "The hash is missing: send the SHA-256 of your data as 64 hexadecimal characters.")
	}
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(hash) {
		return hash, failure(CodeHash, fmt.Sprintf("The hash must be 64 hexadecimal characters, the SHA-256 of your data; this one has %d characters.", len([]rune(text))))
	}
	return [32]byte(b), nil
}

// wholeNumber reads a number, or a string that is one.
func wholeNumber(v any) (int, bool) {
	text, ok := v.(string)
	if number, is := v.(json.Number); is {
		text, ok = number.String(), true
	}
	n, err := strconv.Atoi(text)
	return n, ok && err == nil
}

// parseCurrency reads the id of an active currency.
func (s *Server) parseCurrency(v any) (seed.Currency, error) {
	id, ok := wholeNumber(v)
	if !ok {
		return seed.Currency{}, failure(CodeCurrency, "The currency is missing, or not a number.")
	}
	return s.currency(id)
}

// currency is the active one with an id.
func (s *Server) currency(id int) (seed.Currency, error) {
	var active []string
	for _, c := range s.config.Currencies {
		active = append(active, fmt.Sprintf("%d (%s)", c.ID, c.Name))
	}
	i := slices.IndexFunc(s.config.Currencies, func(c seed.Currency) bool { return c.ID == id })
	if i < 0 {
		return seed.Currency{}, failure(CodeCurrency, "The currency is none that is active here: use "+strings.Join(active, ", ")+".")
	}
	return s.config.Currencies[i], nil
}

// parseSubmission checks a TimestampRequest.
func (s *Server) parseSubmission(fields map[string]any) (hash [32]byte, sub *seed.Submission, err error) {
	if hash, err = parseHash(fields["hash"]); err != nil {
		return hash, nil, err
	}
	sub = new(seed.Submission)
	if v := fields["comment"]; v != nil {
		text, ok := v.(string)
		if !ok {
			return hash, nil, failure(CodeComment, "The comment is not a string.")
		}
		if err := seed.CheckComment(text); err != nil {
			return hash, nil, because(err, CodeComment, "The comment is refused: "+err.Error()+".")
		}
		sub.Comment = text
	}
	if v := fields["url"]; v != nil && v != "" {
		text, _ := v.(string)
		id, err := account.ParseID(text)
		if err != nil {
			return hash, nil, failure(CodeURL, "url is not a UUID: send a random one, or leave it out.")
		}
		uid := seed.UUID(id)
		sub.Preprint = &uid
	}
	sub.Awaits, err = s.parseNotifications(fields["notifications"])
	return hash, sub, err
}

func (s *Server) parseNotifications(v any) (awaits []seed.Await, err error) {
	if v == nil {
		return nil, nil
	}
	list, ok := v.([]any)
	if !ok || len(list) > seed.MaxAwaits {
		return nil, failure(CodeNotification, fmt.Sprintf("notifications must be an array of at most %d objects.", seed.MaxAwaits))
	}
	for _, v := range list {
		fields, ok := v.(map[string]any)
		if !ok {
			return nil, failure(CodeNotification, "A notification is not an object with currency, notification_type and target.")
		}
		c, err := s.parseCurrency(fields["currency"])
		if err != nil {
			return nil, err
		}
		kind, ok := wholeNumber(fields["notification_type"])
		if !ok || kind != mailType && kind != webhookType {
			return nil, failure(CodeNotification, "A notification has no notification_type that exists: 0 is mail, 1 a webhook.")
		}
		a := seed.Await{Target: c.Target, Channel: notify.SeedMail}
		if kind == webhookType {
			a.Channel = notify.SeedHook
		}
		if a.Address, err = s.parseTarget(fields["target"], a.Channel); err != nil {
			return nil, err
		}
		if !slices.Contains(awaits, a) {
			awaits = append(awaits, a)
		}
	}
	return awaits, nil
}

// Types of notifications.
const (
	mailType    = 0
	webhookType = 1
)

// parseTarget checks who is to be told, by a channel.
func (s *Server) parseTarget(v any, channel string) (string, error) {
	text, _ := v.(string)
	switch {
	case text == "":
		return "", failure(CodeNotification, "The target is missing: an e-mail address, or the URL of a webhook.")
	case channel == notify.SeedHook:
		if err := s.config.Caller.Check(text); err != nil {
			return "", because(err, CodeNotification, "The target cannot be called: "+err.Error()+".")
		}
	case s.config.CheckMail == nil:
		return "", failure(CodeNotification, "This service sends no e-mail: use a webhook.")
	default:
		if err := s.config.CheckMail(text); err != nil {
			return "", because(err, CodeNotification, "The target cannot be written to: "+err.Error()+".")
		}
	}
	return text, nil
}
