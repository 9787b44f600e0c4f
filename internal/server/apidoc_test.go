package server

import (
	"strings"
	"testing"
)

// TestReference: the running server serves the description of its API, with its own address and key prefix.
func TestReference(t *testing.T) {
	s := runServer(t, Config{Metrics: "same"})
	for path, want := range map[string]string{
		"/openapi.json":            `"url": "` + benchURI + `"`,
		"/developers/openapi.yaml": "url: " + benchURI,
		"/developers":              defaultKeyPrefix + "…",
		"/developersx":             "Not found",
		"/openapi.json/":           "Not found",
	} {
		if _, body := get(t, "http://"+s.Addr().String()+path); !strings.Contains(body, want) {
			t.Errorf("%s answers %.300q, want %s", path, body, want)
		}
	}
	if _, text := get(t, "http://"+s.Addr().String()+"/metrics"); !strings.Contains(text, `route="developers"`) {
		t.Error("the answers are not counted")
	}
}
