package headers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// DefaultTimeout bounds one request when a source's HTTP client is nil.
const DefaultTimeout = 10 * time.Second

// maxAnswer is far above any answer to the calls made here.
const maxAnswer = 1 << 20

// client copies c, or makes one, so that it follows no redirect: a node's would carry
// its password away, and an explorer's leads to somebody whom nobody chose.
func client(c *http.Client) *http.Client {
	if c == nil {
		c = &http.Client{Timeout: DefaultTimeout}
	}
	h := *c
	h.Jar = nil
	h.CheckRedirect = func(req *http.Request, via []*http.Request) error { return http.ErrUseLastResponse }
	return &h
}

func readAll(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxAnswer+1))
	if err != nil {
		return nil, plainError(err)
	}
	if len(b) > maxAnswer {
		return nil, fmt.Errorf("the answer is longer than %d bytes", maxAnswer)
	}
	return b, nil
}

// plainError drops the method and URL that net/http puts in front: the URL may hold a
// password.
func plainError(err error) error {
	var ue *url.Error
	if !errors.As(err, &ue) {
		return err
	}
	if ue.Timeout() {
		return slowError{}
	}
	return ue.Err
}

// slowError is what becomes of every kind of timeout.
type slowError struct{}

func (slowError) Error() string        { return "no answer in time" }
func (slowError) Timeout() bool        { return true }
func (slowError) Is(target error) bool { return target == context.DeadlineExceeded }

// clean makes a stranger's words safe to print and short.
func clean(s string) string {
	const most = 160
	s = strings.TrimSpace(s)
	if len(s) > most {
		s = s[:most]
	}
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e {
			return '_'
		}
		return r
	}, s)
}

// baseURL parses the URL of a source: http or https, a host, no query, no fragment.
func baseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, errors.New("the URL does not parse; want http://host:port")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("the URL must start with http:// or https://")
	case u.Hostname() == "":
		return nil, fmt.Errorf("the URL has no host; want http://host:port")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("the URL must have no query and no fragment")
	}
	return u, nil
}
