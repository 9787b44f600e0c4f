package rest

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"unicode"

	"github.com/datestone/datestone/api"
	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/httpkit"
)

func errJSON(err error) error {
	return because(err, api.ErrInvalidJSON, "The request body is not valid JSON.")
}

// readObject reads a body that is a JSON object, and returns its bytes too.
func readObject(r *http.Request, limit int64) ([]byte, map[string]any, error) {
	if !httpkit.IsJSON(r) {
		return nil, nil, failure(api.ErrInvalidJSON, "The request body is not valid JSON: Content-Type must be application/json.")
	}
	body, err := httpkit.ReadAll(r, limit)
	if errors.Is(err, httpkit.ErrTooLarge) {
		return nil, nil, errTooLarge(limit)
	} else if err != nil {
		return nil, nil, errJSON(err)
	}
	v, err := httpkit.ParseJSON(body)
	if err != nil {
		return nil, nil, errJSON(err)
	}
	fields, ok := v.(map[string]any)
	if !ok {
		return nil, nil, failure(api.ErrInvalidJSON, "The request body is not a JSON object.")
	}
	return body, fields, nil
}

func errTooLarge(limit int64) error {
	return failure(api.ErrPayloadTooLarge, fmt.Sprintf("The request body has more than %d bytes.", limit))
}

// parseItem checks the fields of a stamp to make, in the contract's order.
func parseItem(fields map[string]any) (account.Item, error) {
	var item account.Item
	text, _ := fields["sha256_hash"].(string)
	var ok bool
	if item.SHA256, ok = parseDigest(text); !ok {
		return item, errDigest()
	}
	item.File.Name, ok = fields["filename"].(string)
	if !ok || strings.TrimSpace(item.File.Name) == "" {
		return item, failure(api.ErrInvalidFilename, "The payload is missing a non-empty filename.")
	}
	if len(item.File.Name) > account.MaxName || strings.ContainsFunc(item.File.Name, unicode.IsControl) {
		return item, failure(api.ErrInvalidFilename, fmt.Sprintf("The filename must be text of at most %d bytes, without control characters.", account.MaxName))
	}
	if item.File.Size, ok = parseSize(fields["file_size_bytes"]); !ok {
		return item, failure(api.ErrInvalidFileSize, "The payload is missing a positive byte size.")
	}
	if v, has := fields["file_type"]; has {
		if item.File.Type, ok = v.(string); !ok {
			return item, failure(api.ErrInvalidFileType, "The optional MIME type is not a string.")
		}
		if len(item.File.Type) > account.MaxType || strings.ContainsFunc(item.File.Type, unicode.IsControl) {
			return item, failure(api.ErrInvalidFileType, fmt.Sprintf("The MIME type must be text of at most %d bytes, without control characters.", account.MaxType))
		}
	}
	var err error
	if v, has := fields["thumbnail"]; has && v != nil {
		item.Thumbnail, err = parseThumbnail(v)
	}
	return item, err
}

func parseBatchItem(v any) (account.Item, error) {
	fields, ok := v.(map[string]any)
	if !ok {
		return account.Item{}, failure(api.ErrInvalidBatch, "It is not an object.")
	}
	if fields["thumbnail"] != nil {
		return account.Item{}, failure(api.ErrInvalidThumbnail, "A batch has no thumbnails. Set them one by one with PATCH.")
	}
	return parseItem(fields)
}

func errDigest() error {
	return failure(api.ErrInvalidSHA256Hash, "The supplied hash is not a 64-character hexadecimal SHA-256 fingerprint.")
}

// parseDigest reads 64 hexadecimal digits in either case.
func parseDigest(text string) ([32]byte, bool) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != 32 {
		return [32]byte{}, false
	}
	return [32]byte(b), true
}

// parseSize reads a whole number above 0, however it is written.
func parseSize(v any) (int64, bool) {
	number, _ := v.(json.Number)
	if n, err := strconv.ParseInt(number.String(), 10, 64); err == nil {
		return n, n > 0
	}
	f, err := number.Float64()
	const exact = 1 << 53 // whole numbers up to here are all float64s
	if err != nil || f != math.Trunc(f) || f <= 0 || f > exact {
		return 0, false
	}
	return int64(f), true
}

// parseThumbnail reads a picture in base64, which may stand in a data URL.
func parseThumbnail(v any) ([]byte, error) {
	text, _ := v.(string)
	named := ""
	if rest, is := strings.CutPrefix(text, "data:"); is {
		named, text, _ = strings.Cut(rest, ";base64,")
	}
	b, err := base64.StdEncoding.DecodeString(text)
	kind := pictureType(b)
	if err != nil || len(b) > account.MaxThumbnail || kind == "" || named != "" && named != kind {
		return nil, failure(api.ErrInvalidThumbnail, fmt.Sprintf("The thumbnail must be a PNG, JPEG or WebP of at most %d bytes, in base64.", account.MaxThumbnail))
	}
	return b, nil
}

// pictureType tells what a picture is by how it begins, or is empty for what is none.
func pictureType(b []byte) string {
	switch {
	case bytes.HasPrefix(b, []byte("\x89PNG\r\n\x1a\n")):
		return "image/png"
	case bytes.HasPrefix(b, []byte("\xff\xd8\xff")):
		return "image/jpeg"
	case len(b) >= 12 && string(b[:4]) == "RIFF" && string(b[8:12]) == "WEBP":
		return "image/webp"
	}
	return ""
}
