package rest

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"unicode"

	"github.com/datestone/datestone/api"
	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/anchor"
	"github.com/datestone/datestone/internal/calendar"
	"github.com/datestone/datestone/internal/httpkit"
	"github.com/datestone/datestone/internal/store"
)

func (s *Server) ots(w http.ResponseWriter, r *http.Request, c *caller) error {
	st, err := s.stamp(r, c)
	if err != nil {
		return err
	}
	proof, err := s.proof(r.Context(), st)
	if err != nil {
		return refusedProof(err)
	}
	targets, err := s.config.Store.Targets(r.Context())
	if err != nil {
		return refused(err)
	}
	name := safeName(st.File.Name)
	if testNetwork(targets) {
		name = "TEST-NETWORK-" + name
	}
	header := w.Header()
	header.Set("Content-Type", "application/octet-stream")
	header.Set("Content-Disposition", disposition(name+".ots"))
	return httpkit.WriteBody(w, r, http.StatusOK, proof)
}

// evidence answers with the proof, the certificate and how to verify them.
func (s *Server) evidence(w http.ResponseWriter, r *http.Request, c *caller) error {
	st, err := s.stamp(r, c)
	if err != nil {
		return err
	}
	name, file, err := s.config.Evidence(r.Context(), st)
	if err != nil {
		return refusedProof(err)
	}
	w.Header().Set("Content-Type", "application/zip")
	w.Header().Set("Content-Disposition", disposition(name))
	return httpkit.WriteBody(w, r, http.StatusOK, file)
}

// refusedProof is the answer when there is no proof to give.
func refusedProof(err error) error {
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, calendar.ErrUnknown) {
		return because(err, api.ErrOTSNotFound, "No OTS payload is currently available for the referenced timestamp.")
	}
	return refused(err)
}

// proof is the .ots file of a stamp: complete, or with the promise of this calendar until it is.
func (s *Server) proof(ctx context.Context, st account.Stamp) ([]byte, error) {
	file, _, err := calendar.File(ctx, s.config.Store, s.config.Proofs, s.pending, st, false)
	return file, err
}

// complete is the .ots file of a stamp, nil while it is not complete.
func (s *Server) complete(ctx context.Context, st account.Stamp) ([]byte, error) {
	file, state, err := calendar.File(ctx, s.config.Store, s.config.Proofs, s.pending, st, false)
	if err != nil || state != calendar.Confirmed {
		return nil, err
	}
	return file, nil
}

func testNetwork(targets []anchor.Status) bool {
	for _, t := range targets {
		if t.TestNetwork {
			return true
		}
	}
	return false
}

// safeName is the last part of a file's name, without what a file system or a header could take for something else.
func safeName(name string) string {
	name = name[strings.LastIndexAny(name, `/\`)+1:]
	name = strings.Map(func(c rune) rune {
		switch {
		case unicode.IsControl(c) || unicode.Is(unicode.Cf, c):
			return -1 // formatting characters can make a name look like another
		case strings.ContainsRune(`"*:<>?|%;`, c):
			return '_'
		}
		return c
	}, name)
	if name = strings.Trim(name, ". "); name == "" {
		return "timestamp"
	}
	return name
}

// disposition is the header field of a download (RFC 6266): a name in ASCII, and the name itself if that is another.
func disposition(name string) string {
	ascii := strings.Map(func(c rune) rune {
		if c > unicode.MaxASCII {
			return '_'
		}
		return c
	}, name)
	field := `attachment; filename="` + ascii + `"`
	if ascii != name {
		field += "; filename*=UTF-8''" + strings.ReplaceAll(url.QueryEscape(name), "+", "%20")
	}
	return field
}
