package rest

import (
	"encoding/hex"
	"net/http"

	"github.com/datestone/datestone/api"
	"github.com/datestone/datestone/internal/publish"
)

// publicationsShown is how many publications of a stamp are listed: the first ones, which prove most.
const publicationsShown = 10

// publications answers with where roots that a stamp is in were printed.
func (s *Server) publications(w http.ResponseWriter, r *http.Request, c *caller) error {
	st, err := s.stamp(r, c)
	if err != nil {
		return err
	}
	found, err := publish.Of(r.Context(), s.config.Store, st, publicationsShown)
	if err != nil {
		return refused(err)
	}
	answer := api.Publications{Data: []api.Publication{}}
	for _, p := range found {
		out := api.Publication{
			Paper: p.Paper, Issue: p.Place.Issue, Page: p.Place.Page, URL: p.Place.URL, ConfirmedAt: api.Time{Time: p.Place.At},
			SHA256Hash: hex.EncodeToString(p.Digest[:]), Root: hex.EncodeToString(p.Notice.Root.Hash[:]), Printed: p.Notice.Root.Lines(), Notice: p.Text,
		}
		for _, step := range p.Steps() {
			out.Steps = append(out.Steps, api.PublicationStep{Op: step.Op, Hex: step.Hex})
		}
		answer.Data = append(answer.Data, out)
	}
	return answerJSON(w, r, http.StatusOK, answer)
}
