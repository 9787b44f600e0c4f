package eternity

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// Version is a version of the API: three numbers.
type Version [3]int

// Latest answers where nobody asks for another.
var Latest = Version{0, 3, 0}

var oldest = Version{0, 1, 0}

// ParseVersion reads a version that is served: from 0.1.0 to 0.3.0.
func ParseVersion(text string) (Version, error) {
	refused := fmt.Errorf("%q is not a version of the API: write one from %v to %v", text, oldest, Latest)
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return Version{}, refused
	}
	var v Version
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 10, 8)
		if err != nil {
			return Version{}, refused
		}
		v[i] = int(n)
	}
	if v.before(oldest) || Latest.before(v) {
		return Version{}, refused
	}
	return v, nil
}

func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2]) }

func (v Version) before(w Version) bool {
	for i := range v {
		if v[i] != w[i] {
			return v[i] < w[i]
		}
	}
	return false
}

// hasDetached: since 0.2.0 /timestamp makes whole proofs.
func (v Version) hasDetached() bool { return !v.before(Version{0, 2, 0}) }

// Since 0.3.0 the hash is named to /digest and no more to /timestamp, /digest takes an e-mail address, and the
// calendar's own pending attestation stays in what is complete.
func (v Version) hashAtDigest() bool { return !v.before(Version{0, 3, 0}) }
func (v Version) hasEmail() bool     { return !v.before(Version{0, 3, 0}) }
func (v Version) keepsPending() bool { return !v.before(Version{0, 3, 0}) }

// versionOf is the version that a request asks for, else the default of its key, else the latest.
func versionOf(r *http.Request, preset string) Version {
	for _, text := range []string{r.Header.Get(versionField), preset} {
		if v, err := ParseVersion(text); err == nil {
			return v
		}
	}
	return Latest
}
