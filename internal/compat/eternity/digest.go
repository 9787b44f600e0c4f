package eternity

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/httpkit"
	"github.com/datestone/datestone/ots"
	"github.com/datestone/datestone/ots/signedmsg"
)

// failuresPerSite is how many bad signatures a minute one client address is told of.
const failuresPerSite = 120

// badSignature is the answer to a signature that nobody pays for. A good one is accepted from an address with however
// many bad ones, which may be another's behind the same one.
func (s *Server) badSignature(r *http.Request, why error) error {
	site := httpkit.Site(httpkit.ClientAddr(r, s.config.TrustedProxies))
	if a := s.failures.Take(site, failuresPerSite, s.config.Now()); !a.OK {
		return &httpkit.Error{
			Status: http.StatusTooManyRequests, Message: "too many bad signatures came from this address: wait a minute, and check your key",
			Header: []string{"Retry-After", a.RetryAfter()},
		}
	}
	return why
}

// postDigest keeps a digest for the customer whose key signed it. Who posts it again gets the same answer.
func (s *Server) postDigest(w http.ResponseWriter, r *http.Request) error {
	values := r.Header[signatureField]
	if len(values) != 1 || values[0] == "" {
		return errNoSignature
	}
	signature, err := signedmsg.Parse(values[0])
	if err != nil {
		return s.badSignature(r, errSignature)
	}
	digest, err := httpkit.ReadAll(r, account.MaxSigned)
	switch {
	case errors.Is(err, httpkit.ErrTooLarge):
		return errTooLong
	case err != nil:
		return errBody
	case len(digest) == 0:
		return errEmpty
	}
	client := clientOf(r)
	key, err := s.recover(client, signature, digest)
	if err != nil {
		return s.badSignature(r, errSigner)
	}
	ctx, cancel := context.WithTimeout(r.Context(), readWithin)
	defer cancel()
	signer, owner, err := s.config.Store.Signer(ctx, key.Point())
	switch {
	case errors.Is(err, account.ErrSigner):
		return s.badSignature(r, errSigner)
	case err != nil:
		return refused(err)
	case owner.Suspended:
		return s.badSignature(r, errSuspended)
	}
	s.regulars.seen(client, key)
	plan, ok := s.config.Plans[owner.Plan]
	if !ok {
		return refused(fmt.Errorf("account %d has the plan %q, which is not defined", owner.ID, owner.Plan))
	}
	wish := account.Signed{Signer: signer.ID, Digest: digest, Signature: signature}
	if err := readWish(r, versionOf(r, signer.Version), &wish); err != nil {
		return err
	}
	if wish.Email != "" && !s.config.Mail {
		return badRequest("this service sends no e-mail: leave email out")
	}
	rand.Read(wish.Nonce[:])
	// A client that hangs up stays until the commit is done, which the keeper bounds.
	created, err := s.config.Keeper.Create(context.WithoutCancel(r.Context()), account.Create{Account: owner.ID, Signed: &wish, Quota: plan.Quota})
	if err != nil {
		return refused(err)
	}
	place, err := s.place(r.Context(), *created.Signed, created.Tree)
	if err != nil {
		return refused(err)
	}
	header := w.Header()
	header["Content-Type"] = octetStream
	header["Cache-Control"] = noStore
	return httpkit.WriteBody(w, r, http.StatusOK, append(place.path.Bytes(), s.wire...))
}

// readWish reads what the query asks for beside the digest.
func readWish(r *http.Request, v Version, wish *account.Signed) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return errQuery
	}
	if v.hashAtDigest() {
		if wish.HashOp, err = hashOf(query, len(wish.Digest)); err != nil {
			return err
		}
	}
	if email := query["email"]; v.hasEmail() && len(email) > 0 && email[0] != "" {
		if len(email) > 1 || account.CheckEmail(email[0]) != nil {
			return badRequest("email must be one e-mail address")
		}
		wish.Email = email[0]
	}
	return nil
}

// hashes are the operations that op may name, with the lengths of their digests.
var hashes = map[string]struct {
	op     ots.Tag
	length int
}{
	"sha1": {ots.OpSHA1, 20}, "ripemd160": {ots.OpRIPEMD160, 20}, "sha256": {ots.OpSHA256, 32}, "keccak256": {ots.OpKeccak256, 32},
}

// hashOf is the hash that op names for a digest, 0 when it names none.
func hashOf(query url.Values, length int) (ots.Tag, error) {
	names := query["op"]
	if len(names) == 0 || len(names) == 1 && names[0] == "" {
		return 0, nil
	}
	hash, ok := hashes[names[0]]
	switch {
	case len(names) > 1 || !ok:
		return 0, badRequest("op must be one of sha1, ripemd160, sha256 and keccak256")
	case hash.length != length:
		return 0, badRequest(fmt.Sprintf("op is %s, whose digests have %d bytes, and this one has %d", names[0], hash.length, length))
	}
	return hash.op, nil
}
