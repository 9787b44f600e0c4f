package apidoc

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

//go:embed openapi.yaml
var source []byte

// What stands in the source for the service's own.
const (
	sourceURI    = "https://datestone.example"
	sourcePrefix = "datestone_live_"
)

// Document is the description of the API. References to anything but schemas are replaced by what they refer to.
type Document struct {
	Info struct {
		Title, Version, Summary, Description string
	}
	Servers    []struct{ URL string }
	Tags       []Tag
	Paths      Map[Path]
	Webhooks   Map[Path] // what the service sends, by the types of events
	Components struct {
		Schemas  Map[*Schema]
		Examples Map[Example]
	}

	tree      *yaml.Node // as it is published
	keyPrefix string
}

// Map is a mapping in its order.
type Map[T any] []Entry[T]

// Entry is one entry of a Map.
type Entry[T any] struct {
	Name  string
	Value T
}

// Get is the value with a name, or the zero value.
func (m Map[T]) Get(name string) (v T) {
	for _, e := range m {
		if e.Name == name {
			return e.Value
		}
	}
	return v
}

// Names are the names in their order.
func (m Map[T]) Names() []string {
	names := make([]string, len(m))
	for i, e := range m {
		names[i] = e.Name
	}
	return names
}

// UnmarshalYAML reads a mapping.
func (m *Map[T]) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: not a mapping", n.Line)
	}
	for i := 0; i < len(n.Content); i += 2 {
		e := Entry[T]{Name: n.Content[i].Value}
		if err := n.Content[i+1].Decode(&e.Value); err != nil {
			return err
		}
		*m = append(*m, e)
	}
	return nil
}

// Tag is a group of operations.
type Tag struct{ Name, Description string }

// Path is a path with its operations.
type Path struct {
	Parameters                    []Parameter
	Get, Post, Put, Patch, Delete *Operation
}

// Operations are the path's, by their methods.
func (p Path) Operations() Map[*Operation] {
	all := Map[*Operation]{{"POST", p.Post}, {"GET", p.Get}, {"PUT", p.Put}, {"PATCH", p.Patch}, {"DELETE", p.Delete}}
	return slices.DeleteFunc(all, func(e Entry[*Operation]) bool { return e.Value == nil })
}

// Operation is a method of a path.
type Operation struct {
	ID                   string `yaml:"operationId"`
	Tags                 []string
	Summary, Description string
	Parameters           []Parameter
	RequestBody          *Body `yaml:"requestBody"`
	Responses            Map[Response]
}

// Codes are the error codes that are documented for an operation.
func (o *Operation) Codes() []string {
	var codes []string
	for _, r := range o.Responses {
		for _, media := range r.Value.Content {
			codes = append(codes, media.Value.Examples.Names()...)
		}
	}
	return codes
}

// Success is the operation's answer when all is well, and its status.
func (o *Operation) Success() (string, Response) {
	for _, r := range o.Responses {
		if strings.HasPrefix(r.Name, "2") {
			return r.Name, r.Value
		}
	}
	return "", Response{}
}

// Body is what a request brings.
type Body struct {
	Description string
	Content     Map[Media]
}

// Parameter is one in the path, the query or the header.
type Parameter struct {
	Name, In, Description string
	Required              bool
	Schema                *Schema
	Example               Value
}

// Response is an answer.
type Response struct {
	Description string
	Headers     Map[Header]
	Content     Map[Media]
}

// Header is a header field of an answer.
type Header struct {
	Description string
	Required    bool
	Example     Value
}

// Media is a body of one type.
type Media struct {
	Schema   *Schema
	Example  Value
	Examples Map[Example]
}

// Example is a named example. Those of the components are errors, by their codes.
type Example struct {
	Summary, Description string
	Value                Value
}

// Schema is the part of JSON Schema that the document uses.
type Schema struct {
	Ref             string `yaml:"$ref"`
	Description     string
	Type            oneOrMore
	Format, Pattern string
	Enum            []string
	Required        []string
	Properties      Map[*Schema]
	Items           *Schema
	OneOf           []*Schema `yaml:"oneOf"`
	Minimum         *int64
	MinLength       *int   `yaml:"minLength"`
	MaxLength       *int   `yaml:"maxLength"`
	MinItems        *int   `yaml:"minItems"`
	MaxItems        *int   `yaml:"maxItems"`
	ContentEncoding string `yaml:"contentEncoding"`
	Default         Value
}

// RefName is the name of the schema that this one refers to, or empty.
func (s *Schema) RefName() string { return strings.TrimPrefix(s.Ref, "#/components/schemas/") }

type oneOrMore []string

func (o *oneOrMore) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		*o = oneOrMore{n.Value}
		return nil
	}
	return n.Decode((*[]string)(o))
}

// Value is any value of the document, with its names in their order; the zero Value is none.
type Value struct{ node *yaml.Node }

// UnmarshalYAML keeps the value as it is.
func (v *Value) UnmarshalYAML(n *yaml.Node) error {
	v.node = n
	return nil
}

// IsZero says whether there is no value.
func (v Value) IsZero() bool { return v.node == nil }

// Text is the value as a parameter is written.
func (v Value) Text() string {
	if v.node == nil {
		return ""
	}
	return v.node.Value
}

// MarshalJSON writes the value as JSON.
func (v Value) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	if err := appendJSON(&b, v.node); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Load reads the description of the API at an address.
func Load(uri, keyPrefix string) (*Document, error) {
	var file yaml.Node
	if err := yaml.Unmarshal(source, &file); err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	own := strings.NewReplacer(sourceURI, strings.TrimRight(uri, "/"), sourcePrefix, keyPrefix)
	d := &Document{tree: expanded(file.Content[0], own), keyPrefix: keyPrefix}
	whole, err := resolved(d.tree, d.tree, 0)
	if err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	if err := whole.Decode(d); err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	return d, nil
}

// expanded is a tree without anchors and comments, whose texts are the service's own.
func expanded(n *yaml.Node, own *strings.Replacer) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	c := &yaml.Node{Kind: n.Kind, Tag: n.Tag, Value: n.Value, Style: n.Style, Line: n.Line}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" {
		c.Value = own.Replace(n.Value)
	}
	for _, child := range n.Content {
		c.Content = append(c.Content, expanded(child, own))
	}
	return c
}

const maxDepth = 50

// resolved is a tree with what its references refer to, but for those to schemas.
func resolved(root, n *yaml.Node, depth int) (*yaml.Node, error) {
	if depth > maxDepth {
		return nil, errors.New("a reference leads to itself")
	}
	if n.Kind == yaml.MappingNode && len(n.Content) == 2 && n.Content[0].Value == "$ref" && !strings.HasPrefix(n.Content[1].Value, "#/components/schemas/") {
		target := root
		for name := range strings.SplitSeq(strings.TrimPrefix(n.Content[1].Value, "#/"), "/") {
			if target = child(target, name); target == nil {
				return nil, fmt.Errorf("line %d: there is no %s", n.Line, n.Content[1].Value)
			}
		}
		return resolved(root, target, depth+1)
	}
	c := *n
	c.Content = nil
	for _, child := range n.Content {
		r, err := resolved(root, child, depth+1)
		if err != nil {
			return nil, err
		}
		c.Content = append(c.Content, r)
	}
	return &c, nil
}

func child(n *yaml.Node, name string) *yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i+1]
		}
	}
	return nil
}

// JSON is the document as it is published.
func (d *Document) JSON() ([]byte, error) {
	var b, indented bytes.Buffer
	if err := appendJSON(&b, d.tree); err != nil {
		return nil, err
	}
	if err := json.Indent(&indented, b.Bytes(), "", "  "); err != nil {
		return nil, err
	}
	indented.WriteByte('\n')
	return indented.Bytes(), nil
}

// YAML is the document as it is published.
func (d *Document) YAML() ([]byte, error) {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(d.tree); err != nil {
		return nil, err
	}
	return b.Bytes(), e.Close()
}

// appendJSON writes a tree as JSON in its order.
func appendJSON(b *bytes.Buffer, n *yaml.Node) error {
	switch n.Kind {
	case yaml.MappingNode:
		b.WriteByte('{')
		for i := 0; i < len(n.Content); i += 2 {
			if i > 0 {
				b.WriteByte(',')
			}
			writeText(b, n.Content[i].Value)
			b.WriteByte(':')
			if err := appendJSON(b, n.Content[i+1]); err != nil {
				return err
			}
		}
		b.WriteByte('}')
	case yaml.SequenceNode:
		b.WriteByte('[')
		for i, child := range n.Content {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := appendJSON(b, child); err != nil {
				return err
			}
		}
		b.WriteByte(']')
	case yaml.ScalarNode:
		switch n.Tag {
		case "!!str":
			writeText(b, n.Value)
		case "!!null":
			b.WriteString("null")
		case "!!int", "!!float", "!!bool":
			b.WriteString(n.Value)
		default:
			return fmt.Errorf("line %d: %s has no form in JSON", n.Line, n.Tag)
		}
	default:
		return fmt.Errorf("line %d: a node of kind %d has no form in JSON", n.Line, n.Kind)
	}
	return nil
}

func writeText(b *bytes.Buffer, text string) {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	e.Encode(text) // text is always written
	b.Truncate(b.Len() - 1)
}
