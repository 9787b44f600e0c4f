// Package page is how every HTML page for people looks: one layout, one style sheet, and a policy under which a browser
// runs no script and loads nothing but what a page names. It has no routes.
package page

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/datestone/datestone/internal/httpkit"
)

//go:embed layout.html
var layoutText string

//go:embed style.css
var style string

// styleSource allows the style sheet, which stands in each page so that a page that is kept keeps its looks.
var styleSource = func() string {
	sum := sha256.Sum256([]byte(style))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}()

// Parse makes a page of a text that defines the template "main". The page's data has the fields Title, a string, and
// TestNetwork, whether it is about a network without value, which the layout then says.
func Parse(name, text string, funcs template.FuncMap) *template.Template {
	layout := template.New(name).Funcs(template.FuncMap{"style": func() template.CSS { return template.CSS(style) }}).Funcs(funcs)
	return template.Must(template.Must(layout.Parse(layoutText)).Parse(text))
}

// Render makes a page's bytes.
func Render(t *template.Template, data any) ([]byte, error) {
	var b bytes.Buffer
	err := t.Execute(&b, data)
	return b.Bytes(), err
}

// Secure sets the header fields of a page: what it may load, and that its address is told to nobody. images are sources
// of a Content-Security-Policy beside the page's own address.
func Secure(h http.Header, images ...string) {
	h.Set("Content-Security-Policy", "default-src 'none'; style-src "+styleSource+"; img-src "+strings.Join(append([]string{"'self'"}, images...), " ")+
		"; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
}

// Write answers with a page that is not kept by anybody.
func Write(w http.ResponseWriter, r *http.Request, status int, body []byte) error {
	Secure(w.Header())
	w.Header().Set("Cache-Control", "no-store")
	return httpkit.WriteBody(w, r, status, body)
}

// Serve answers with a body, whose type the caller has set, that a client may keep if it asks each time whether it
// is still the one.
func Serve(w http.ResponseWriter, r *http.Request, body []byte) error {
	sum := sha256.Sum256(body)
	w.Header().Set("Cache-Control", "private, no-cache")
	w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:12])+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	return nil
}

var messageText = `{{define "main"}}<h1>{{.Title}}</h1>
<p class="lead">{{.Message}}</p>{{end}}`

var message = Parse("message", messageText, nil)

// Fail writes an error as a page. It is for httpkit.Surface.
func Fail(w http.ResponseWriter, r *http.Request, e *httpkit.Error) {
	text := e.Message
	if text != "" {
		text = strings.ToUpper(text[:1]) + text[1:] + "."
	}
	body, err := Render(message, struct {
		Title, Message string
		TestNetwork    bool
	}{Title: http.StatusText(e.Status), Message: text})
	if err != nil {
		body = []byte(e.Message)
	}
	Write(w, r, e.Status, body)
}
