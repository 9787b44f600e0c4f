package rest

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/datestone/datestone/api"
	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/logtree"
)

// fresh is a stamp as it was when it was made, which is what the answer to its creation says for ever.
func (s *Server) fresh(st account.Stamp, thumbnail bool) api.Timestamp {
	digest := hex.EncodeToString(st.SHA256[:])
	path := Prefix + "timestamps/" + st.ID.String()
	t := api.Timestamp{
		ID:             st.ID.String(),
		CertificateID:  st.Certificate,
		SHA256Hash:     digest,
		Filename:       st.File.Name,
		FileSizeBytes:  st.File.Size,
		Status:         api.StatusPending,
		CreatedAt:      api.Time{Time: st.Created},
		CertificateURL: s.config.URI + "/cert/" + st.Certificate,
		VerifyURL:      s.config.URI + "/verify/" + digest,
		OTSURL:         path + "/ots",
	}
	if st.File.Type != "" {
		t.FileType = &st.File.Type
	}
	if thumbnail {
		url := path + "/thumbnail"
		t.ThumbnailURL = &url
	}
	if st.Branding != nil {
		t.Branding = &api.Branding{Name: st.Branding.Name, LogoURL: st.Branding.LogoURL, Color: st.Branding.Color}
	}
	return t
}

// resource is a stamp as it is, with the counted attestation above it or nil.
func (s *Server) resource(st account.Stamp, counted *logtree.Attestation) api.Timestamp {
	t := s.fresh(st, st.Thumbnail != nil)
	if counted != nil {
		t.Status = api.StatusConfirmed
		t.BlockchainTx, t.BitcoinBlock = &counted.Ref, &counted.Height
		t.ConfirmedAt = &api.Time{Time: counted.BlockTime}
	}
	return t
}

// resources are stamps as they are. What the log says of a position holds for those after it up to the smallest
// head of the answer, so a page of neighbours costs one question.
func (s *Server) resources(ctx context.Context, stamps []account.Stamp) ([]api.Timestamp, error) {
	order := make([]int, len(stamps))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return cmp.Compare(stamps[i].Position, stamps[j].Position) })
	all := make([]api.Timestamp, len(stamps))
	var counted *logtree.Attestation
	epoch, size := -1, int64(0) // counted holds for the positions of the epoch below size
	for _, i := range order {
		p := stamps[i].Position
		if p.Epoch() != epoch || p.Index() >= size {
			attestations, err := s.config.Store.Attestations(ctx, p)
			if err != nil {
				return nil, fmt.Errorf("the status of stamp %v: %w", stamps[i].ID, err)
			}
			counted = nil
			epoch, size = p.Epoch(), 1<<48
			for _, a := range attestations {
				size = min(size, a.Head.Size)
				if a.State == logtree.Counted && a.Kind == logtree.Bitcoin && counted == nil {
					counted = &a
				}
			}
		}
		all[i] = s.resource(stamps[i], counted)
	}
	return all, nil
}

// one is resources for a single stamp.
func (s *Server) one(ctx context.Context, st account.Stamp) (api.Timestamp, error) {
	all, err := s.resources(ctx, []account.Stamp{st})
	if err != nil {
		return api.Timestamp{}, err
	}
	return all[0], nil
}
