package apidoc

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"net/url"
	"strconv"
	"strings"
	"unicode"

	"github.com/yuin/goldmark"

	"github.com/datestone/datestone/api"
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

// pagePolicy allows the page its own style sheet and nothing else.
var pagePolicy = func() string {
	sum := sha256.Sum256([]byte(pageCSS))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}()

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"style":    func() template.CSS { return template.CSS(pageCSS) },
	"markdown": markdown,
	"line":     line,
	"anchor":   anchor,
	"lower":    strings.ToLower,
	"pretty":   pretty,
}).Parse(pageHTML))

// view is what the page shows.
type view struct {
	Document    *Document
	URI         string
	KeyPrefix   string
	TestNetwork bool
	Lead        string
	Sections    []section
	Groups      []group
	Schemas     []schemaView
	Errors      []errorView
}

// section is one of the description's, by its heading.
type section struct{ Title, Text string }

type group struct {
	Tag
	Operations []operationView
	Events     []eventView
	Headers    []parameterView // of every event
}

// eventView is something that the service sends.
type eventView struct {
	*Operation
	Name string
	Body bodyView
}

type operationView struct {
	*Operation
	Method, Path string
	Curl         string
	Parameters   []parameterView
	Body         *bodyView
	Status       string
	Answer       bodyView
	Errors       []errorView
}

type parameterView struct {
	Parameter
	Place, Kind string
}

type bodyView struct {
	Description string
	Media       []string
	Schema      string
	Fields      []fieldView
	Example     string
	Headers     Map[Header] // beside those of every answer
}

type fieldView struct {
	Name, Kind, Link string
	Required         bool
	Description      string
}

type schemaView struct {
	Name, Description string
	Fields            []fieldView
}

type errorView struct {
	Code, Status, Summary, Description string
}

// page writes the reference.
func (d *Document) page(testNetwork bool) ([]byte, error) {
	v := view{Document: d, URI: d.Servers[0].URL, KeyPrefix: d.keyPrefix, TestNetwork: testNetwork}
	v.Lead, v.Sections = sections(d.Info.Description)
	for _, tag := range d.Tags {
		g := group{Tag: tag}
		for _, path := range d.Paths {
			for _, o := range path.Value.Operations() {
				if o.Value.Tags[0] != tag.Name {
					continue
				}
				shown, err := d.operation(path.Name, path.Value, o.Name, o.Value)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", o.Value.ID, err)
				}
				g.Operations = append(g.Operations, shown)
			}
		}
		for _, event := range d.Webhooks {
			o := event.Value.Post
			if o.Tags[0] != tag.Name {
				continue
			}
			body, err := d.body(o.RequestBody.Content)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", o.ID, err)
			}
			g.Events = append(g.Events, eventView{o, event.Name, body})
			if g.Headers == nil {
				g.Headers = parameterViews(o.Parameters)
			}
		}
		v.Groups = append(v.Groups, g)
	}
	for _, s := range d.Components.Schemas {
		v.Schemas = append(v.Schemas, schemaView{s.Name, s.Value.Description, fields(s.Value)})
	}
	for _, e := range d.Components.Examples {
		v.Errors = append(v.Errors, errorView{e.Name, strconv.Itoa(api.Code(e.Name).Status()), e.Value.Summary, e.Value.Description})
	}
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, v); err != nil {
		return nil, fmt.Errorf("the reference page: %w", err)
	}
	return b.Bytes(), nil
}

// sections splits a description at its headings.
func sections(description string) (string, []section) {
	lead, rest, _ := strings.Cut(description, "\n## ")
	var all []section
	for part := range strings.SplitSeq(rest, "\n## ") {
		title, text, _ := strings.Cut(part, "\n")
		all = append(all, section{title, text})
	}
	return lead, all
}

func (d *Document) operation(path string, p Path, method string, o *Operation) (operationView, error) {
	v := operationView{Operation: o, Method: method, Path: path}
	v.Parameters = parameterViews(append(p.Parameters[:len(p.Parameters):len(p.Parameters)], o.Parameters...))
	var err error
	if o.RequestBody != nil {
		body, err := d.body(o.RequestBody.Content)
		if err != nil {
			return v, err
		}
		body.Description = o.RequestBody.Description
		v.Body = &body
	}
	var success Response
	v.Status, success = o.Success()
	if v.Answer, err = d.body(success.Content); err != nil {
		return v, err
	}
	v.Answer.Description = success.Description
	for _, h := range success.Headers {
		if h.Name != "X-Request-Id" && !strings.HasPrefix(h.Name, "X-RateLimit-") {
			v.Answer.Headers = append(v.Answer.Headers, h)
		}
	}
	for _, r := range o.Responses {
		for _, media := range r.Value.Content {
			for _, e := range media.Value.Examples {
				v.Errors = append(v.Errors, errorView{e.Name, r.Name, e.Value.Summary, e.Value.Description})
			}
		}
	}
	v.Curl, err = d.Curl(method, path)
	return v, err
}

func parameterViews(parameters []Parameter) (all []parameterView) {
	for _, p := range parameters {
		if p.Name != "X-Request-Id" {
			all = append(all, parameterView{p, p.In, kind(p.Schema)})
		}
	}
	return all
}

func (d *Document) body(content Map[Media]) (bodyView, error) {
	v := bodyView{Media: content.Names()}
	for _, media := range content {
		if media.Value.Schema != nil {
			v.Schema = media.Value.Schema.RefName()
			v.Fields = fields(d.Components.Schemas.Get(v.Schema))
		}
		if !media.Value.Example.IsZero() {
			example, err := pretty(media.Value.Example)
			if err != nil {
				return v, err
			}
			v.Example = example
		}
	}
	return v, nil
}

// pretty writes a value on lines of its own.
func pretty(v any) (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(v)
	return strings.TrimSuffix(b.String(), "\n"), err
}

func fields(s *Schema) []fieldView {
	var all []fieldView
	required := make(map[string]bool)
	for _, name := range s.Required {
		required[name] = true
	}
	for _, p := range s.Properties {
		all = append(all, fieldView{Name: p.Name, Kind: kind(p.Value), Link: link(p.Value), Required: required[p.Name], Description: p.Value.Description})
	}
	return all
}

// link is the schema that a value is made of, or empty.
func link(s *Schema) string {
	switch {
	case s.Ref != "":
		return s.RefName()
	case s.Items != nil:
		return link(s.Items)
	case len(s.OneOf) > 0:
		return link(s.OneOf[0])
	}
	return ""
}

// kind says in words what a value is.
func kind(s *Schema) string {
	if s.Ref != "" {
		return "object"
	}
	var words []string
	for _, one := range s.OneOf {
		words = append(words, kind(one))
	}
	for _, t := range s.Type {
		switch {
		case t == "array":
			t = "list of " + plural(kind(s.Items))
			if s.MaxItems != nil {
				t += ", up to " + strconv.Itoa(*s.MaxItems)
			}
		case t == "string" && len(s.Enum) > 0:
			t = strings.Join(s.Enum, ", ")
		case t == "string" && s.Format == "date-time":
			t = "time"
		case t == "string" && s.Format == "uuid":
			t = "UUID"
		case t == "string" && s.Format == "uri":
			t = "address"
		case t == "string" && s.ContentEncoding != "":
			t = "text in " + s.ContentEncoding
		case t == "string":
			t = "text"
		case t == "integer":
			t = "whole number"
			if s.Minimum != nil {
				t += fmt.Sprintf(" from %d", *s.Minimum)
			}
		case t == "boolean":
			t = "true or false"
		}
		words = append(words, t)
	}
	text := strings.Join(words, " or ")
	if !s.Default.IsZero() {
		text += "; default " + s.Default.Text()
	}
	return text
}

func plural(word string) string {
	if word == "text" {
		return "texts"
	}
	return word + "s"
}

// markdown makes a description into HTML. HTML in it is left out.
func markdown(text string) (template.HTML, error) {
	var b bytes.Buffer
	if err := goldmark.Convert([]byte(text), &b); err != nil {
		return "", err
	}
	return template.HTML(b.String()), nil
}

// line is markdown without the paragraph around it.
func line(text string) (template.HTML, error) {
	html, err := markdown(text)
	inner := strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(string(html)), "<p>"), "</p>")
	return template.HTML(inner), err
}

// anchor makes a title into the name of a place on the page.
func anchor(title string) string {
	return strings.ToLower(strings.Map(func(c rune) rune {
		if unicode.IsSpace(c) {
			return '-'
		}
		return c
	}, title))
}

// variables hold what no example could know: the ids of a timestamp and of a webhook of the account.
var variables = map[string]string{"id": "$TIMESTAMP_ID", "webhook_id": "$WEBHOOK_ID"}

// Curl is a command that sends an operation's example. It reads the key from DATESTONE_API_KEY, and ids from variables.
func (d *Document) Curl(method, path string) (string, error) {
	p := d.Paths.Get(path)
	o := p.Operations().Get(method)
	if o == nil {
		return "", fmt.Errorf("there is no %s %s", method, path)
	}
	query, quote := url.Values{}, quoted
	lines := []string{"", "", `--header "Authorization: Bearer $DATESTONE_API_KEY"`}
	for _, parameter := range append(p.Parameters[:len(p.Parameters):len(p.Parameters)], o.Parameters...) {
		if parameter.Example.IsZero() {
			continue
		}
		switch text := parameter.Example.Text(); parameter.In {
		case "path":
			if variable := variables[parameter.Name]; variable != "" {
				text, quote = variable, doubleQuoted
			}
			path = strings.ReplaceAll(path, "{"+parameter.Name+"}", text)
		case "query":
			query.Set(parameter.Name, text)
		case "header":
			lines = append(lines, "--header "+quoted(parameter.Name+": "+text))
		}
	}
	address := d.Servers[0].URL + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	lines[0], lines[1] = "curl --request "+method, "--url "+quote(address)
	if o.RequestBody != nil {
		media := o.RequestBody.Content[0]
		lines = append(lines, "--header "+quoted("Content-Type: "+media.Name))
		if media.Value.Example.IsZero() {
			lines = append(lines, "--data-binary @msa-v3.pdf.ots")
		} else {
			body, err := pretty(media.Value.Example)
			if err != nil {
				return "", err
			}
			lines = append(lines, "--data "+quoted(body))
		}
	}
	if _, success := o.Success(); len(success.Content) > 0 && success.Content[0].Value.Schema == nil {
		if disposition := success.Headers.Get("Content-Disposition"); disposition.Required {
			lines = append(lines, "--remote-name --remote-header-name")
		} else {
			lines = append(lines, "--output thumbnail")
		}
	}
	return strings.Join(lines, " \\\n  "), nil
}

// doubleQuoted is an address as one word for a shell, which puts in variables. No address has anything to escape.
func doubleQuoted(address string) string { return `"` + address + `"` }

// quoted is a text as one word for a shell.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
