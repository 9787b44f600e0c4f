package eternity

import (
	"errors"
	"net/http"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/httpkit"
)

// The contract has a status for each refusal and no words, which are ours: a line of text.
var (
	errNoSignature = &httpkit.Error{Status: http.StatusUnauthorized, Message: "sign the lower-case hexadecimal text of the digest with your Bitcoin key, and send the signature as x-signature"}
	errSignature   = &httpkit.Error{Status: http.StatusUnauthorized, Message: "x-signature is not a signature of a Bitcoin message: want 65 bytes in base64"}
	errSigner      = &httpkit.Error{Status: http.StatusUnauthorized, Message: "the signature is by no key that is enabled here: check that you signed the lower-case hexadecimal text of the digest, and ask the vendor whether your public key is enabled"}
	errSuspended   = &httpkit.Error{Status: http.StatusUnauthorized, Message: "the account of this key is suspended: ask the vendor"}
	errQuota       = &httpkit.Error{Status: http.StatusPaymentRequired, Message: "the monthly quota of this key is used up: it begins anew with the next month, or ask the vendor for another plan"}
	errEmpty       = &httpkit.Error{Status: http.StatusBadRequest, Message: "the body has no digest: send 1 to 64 raw bytes"}
	errTooLong     = &httpkit.Error{Status: http.StatusBadRequest, Message: "the digest is too long: send 1 to 64 raw bytes"}
	errBody        = &httpkit.Error{Status: http.StatusBadRequest, Message: "the body did not come as it was announced"}
	errQuery       = &httpkit.Error{Status: http.StatusBadRequest, Message: "the query cannot be read"}
	errNotHex      = &httpkit.Error{Status: http.StatusBadRequest, Message: "the digest must be hexadecimal digits"}
	errUnknown     = &httpkit.Error{Status: http.StatusNotFound, Message: "Not found"}
	errMissing     = &httpkit.Error{Status: http.StatusNotFound, Message: "Not found: POST /digest, GET /timestamp/DIGEST and POST /verify/DIGEST are here"}
	errNoProof     = &httpkit.Error{Status: http.StatusBadRequest, Message: "the body has no proof: send an .ots file"}
	errProofSize   = &httpkit.Error{Status: http.StatusRequestEntityTooLarge, Message: "the proof is too large: at most 1 MiB"}
)

func badRequest(message string) error {
	return &httpkit.Error{Status: http.StatusBadRequest, Message: message}
}

// refused is what a client is told of an error of the parts below.
func refused(err error) error {
	for known, answer := range map[error]*httpkit.Error{
		account.ErrSigner: errSigner, account.ErrSuspended: errSuspended, account.ErrQuota: errQuota, account.ErrUnsigned: errUnknown,
	} {
		if errors.Is(err, known) {
			return answer
		}
	}
	return &httpkit.Error{Status: http.StatusServiceUnavailable, Message: "the calendar cannot answer now; try again", Err: err}
}

// fail writes an error: a line of text.
func fail(w http.ResponseWriter, r *http.Request, e *httpkit.Error) {
	header := w.Header()
	header["Content-Type"] = plainText
	header["Cache-Control"] = noStore
	switch e.Status {
	case http.StatusServiceUnavailable:
		header["Retry-After"] = []string{"1"}
	case http.StatusUnauthorized:
		header["Www-Authenticate"] = []string{"X-Signature"}
	}
	if r.ContentLength != 0 {
		// What is left of the body is not waited for.
		header["Connection"] = closing
	}
	httpkit.WriteBody(w, r, e.Status, []byte(e.Message))
}
