package page

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/datestone/datestone/internal/httpkit"
)

// TestPolicy: a browser takes the style sheet as it stands in the page, and nothing that somebody gets into it.
func TestPolicy(t *testing.T) {
	p := Parse("x", `{{define "main"}}<p title="{{.Title}}">{{.Title}}</p>{{end}}`, nil)
	for _, test := range []bool{false, true} {
		body, err := Render(p, struct {
			Title       string
			TestNetwork bool
		}{`</style><script>"'`, test})
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		if err := Write(w, httptest.NewRequest("GET", "/", nil), 404, body); err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(w.Body.String(), "<style>")
		sheet, _, _ := strings.Cut(rest, "</style>")
		sum := sha256.Sum256([]byte(sheet))
		policy := w.Header().Get("Content-Security-Policy")
		if len(sheet) < 1000 || !strings.Contains(policy, "style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"';") {
			t.Errorf("the policy %s does not allow the page's style sheet of %d bytes", policy, len(sheet))
		}
		if strings.Contains(policy, "unsafe") || strings.Contains(policy, "script-src") || !strings.HasPrefix(policy, "default-src 'none';") {
			t.Errorf("the policy is %s", policy)
		}
		if strings.Contains(w.Body.String(), "<script>") || strings.Contains(w.Body.String(), "TEST NETWORK") != test {
			t.Errorf("the page is %s", w.Body)
		}
	}
}

// TestFail: an error's cause stays private, and its message is a sentence.
func TestFail(t *testing.T) {
	w := httptest.NewRecorder()
	Fail(w, httptest.NewRequest("GET", "/", nil), &httpkit.Error{Status: http.StatusServiceUnavailable, Message: "come <b>again", Err: http.ErrBodyNotAllowed})
	if body := w.Body.String(); w.Code != 503 || !strings.Contains(body, "<h1>Service Unavailable</h1>") || !strings.Contains(body, "Come &lt;b&gt;again.") || strings.Contains(body, http.ErrBodyNotAllowed.Error()) {
		t.Errorf("%d %s", w.Code, body)
	}
}
