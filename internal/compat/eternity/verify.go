package eternity

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/datestone/datestone/internal/httpkit"
	"github.com/datestone/datestone/ots"
	"github.com/datestone/datestone/ots/headers"
)

const (
	// maxProof bounds the body, maxWork the bytes that are hashed or copied to evaluate it.
	maxProof = 1 << 20
	maxWork  = 64 << 20
	// maxBlocks is how many blocks are asked for. Honest proofs name a few.
	maxBlocks = 20
	// headersWithin bounds the time in which all of them must be there.
	headersWithin = 10 * time.Second
)

// What code says of a proof. The contract has only 0; its other numbers were never published.
const (
	codeOK         = 0
	codeUnreadable = 1
	codeMismatch   = 2
	codePending    = 3
	codeFailed     = 4
)

// result is the answer to a verification.
type result struct {
	Status  string `json:"status"`
	Message string `json:"message"`
	Code    int    `json:"code"`
	Value   value  `json:"value"`
}

type value struct {
	Attestations []attested `json:"attestations"`
}

// attested is an attestation that holds.
type attested struct {
	UnixTimestamp int64  `json:"unixTimestamp"`
	HumanReadable string `json:"humanReadable"`
	Type          string `json:"type"`
}

func ko(code int, format string, args ...any) result {
	return result{"ko", fmt.Sprintf(format, args...), code, value{[]attested{}}}
}

// postVerify verifies a proof of a digest. Who asks trusts this service and its node.
func (s *Server) postVerify(w http.ResponseWriter, r *http.Request) error {
	digest, err := hex.DecodeString(r.URL.Path[len(verifyPrefix):])
	if err != nil || len(digest) == 0 {
		return errNotHex
	}
	body, err := httpkit.ReadAll(r, maxProof)
	switch {
	case errors.Is(err, httpkit.ErrTooLarge):
		return errProofSize
	case err != nil:
		return errBody
	case len(body) == 0:
		return errNoProof
	}
	answer, err := s.judge(r.Context(), digest, body)
	if err != nil {
		return refused(err)
	}
	wire, err := json.Marshal(answer)
	if err != nil {
		return refused(err)
	}
	header := w.Header()
	header["Content-Type"] = jsonText
	header["Cache-Control"] = noStore
	return httpkit.WriteBody(w, r, http.StatusOK, wire)
}

// judge says what a proof is worth. Its error is that it cannot be said now.
func (s *Server) judge(ctx context.Context, digest, proof []byte) (result, error) {
	file, err := ots.ParseFile(proof)
	if err != nil {
		return ko(codeUnreadable, "The proof cannot be read: %v.", err), nil
	}
	if !bytes.Equal(file.Digest, digest) {
		return ko(codeMismatch, "The proof is for another digest, %x.", file.Digest), nil
	}
	claims, err := claimsOf(file)
	if err != nil {
		return ko(codeUnreadable, "The proof cannot be evaluated: %v.", err), nil
	}
	ctx, cancel := context.WithTimeout(ctx, headersWithin)
	defer cancel()
	holds := []attested{}
	why := ko(codePending, "The proof is pending: it has no attestation of a blockchain yet.")
	for _, c := range claims {
		v, err := s.check(ctx, c)
		switch {
		case err != nil:
			return result{}, err
		case v.code == codeOK:
			holds = append(holds, attested{v.time.Unix(), v.time.UTC().Format("Jan 02 2006 (UTC)"), "Bitcoin"})
		case v.wrong:
			return ko(v.code, "%s", v.message), nil
		default:
			why = ko(v.code, "%s", v.message)
		}
	}
	if len(holds) == 0 {
		return why, nil
	}
	slices.SortStableFunc(holds, func(a, b attested) int { return cmp.Compare(a.UnixTimestamp, b.UnixTimestamp) })
	message := "Everything is ok!"
	if s.config.TestNetwork {
		message = "TEST NETWORK, this proves nothing. " + message
	}
	return result{"ok", message, codeOK, value{slices.Compact(holds)}}, nil
}

// claim is an attestation of a blockchain with the message on which it stands.
type claim struct {
	attestation ots.Attestation
	message     []byte
}

// claimsOf evaluates a proof, with a bound on the work, and returns its claims in order.
func claimsOf(file *ots.File) ([]claim, error) {
	var all []claim
	work := 0
	var walk func(t *ots.Timestamp, message []byte) error
	walk = func(t *ots.Timestamp, message []byte) error {
		for _, a := range t.Attestations() {
			if a.Kind() == ots.KindPending {
				continue
			}
			if len(all) == maxBlocks {
				return fmt.Errorf("it has more than %d attestations", maxBlocks)
			}
			all = append(all, claim{a, bytes.Clone(message)})
		}
		for _, b := range t.Branches() {
			m := message
			for op := range b.Path.Ops() {
				if work += len(m) + len(op.Arg); work > maxWork {
					return errors.New("it takes too much work")
				}
				var err error
				if m, err = op.Apply(m); err != nil {
					return err
				}
			}
			if err := walk(b.Timestamp, m); err != nil {
				return err
			}
		}
		return nil
	}
	err := walk(file.Timestamp, file.Digest)
	return all, err
}

// verdict is what a claim is worth. wrong says that it is false, and not only unproven here.
type verdict struct {
	code    int
	time    time.Time
	wrong   bool
	message string
}

// check compares a claim with the chain. Its error is that the chain cannot be asked now.
func (s *Server) check(ctx context.Context, c claim) (verdict, error) {
	height, _ := c.attestation.Height()
	if c.attestation.Kind() != ots.KindBitcoin {
		return verdict{code: codeFailed, message: fmt.Sprintf("This service does not check a %v.", c.attestation)}, nil
	}
	if s.config.Headers == nil {
		return verdict{code: codeFailed, message: "This service has no Bitcoin node to ask for the block: check the proof with one of your own."}, nil
	}
	header, err := s.config.Headers.Header(ctx, height)
	if errors.Is(err, headers.ErrNoBlock) {
		return verdict{code: codeFailed, wrong: true, message: fmt.Sprintf("There is no Bitcoin block %d.", height)}, nil
	} else if err != nil {
		return verdict{}, err
	}
	at, err := c.attestation.VerifyHeader(c.message, header)
	if err != nil {
		return verdict{code: codeFailed, wrong: true, message: fmt.Sprintf("The attestation failed: Bitcoin block %d has another Merkle root.", height)}, nil
	}
	tip, err := s.config.Headers.Tip(ctx)
	if err != nil {
		return verdict{}, err
	}
	if deep := int64(tip) - int64(height) + 1; deep < int64(s.config.Confirmations) {
		return verdict{code: codePending, message: fmt.Sprintf("The proof is pending: Bitcoin block %d has %d of %d confirmations.", height, max(deep, 0), s.config.Confirmations)}, nil
	}
	return verdict{code: codeOK, time: at}, nil
}
