package rest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/datestone/datestone/api"
	"github.com/datestone/datestone/internal/apidoc"
)

// document is the description of the API at the address of the rig.
func document(t *testing.T) *apidoc.Document {
	t.Helper()
	d, err := apidoc.Load(testURI, testPrefix)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

var placeholder = regexp.MustCompile(`\{\w+\}`)

// eachOperation calls f with each operation of the document.
func eachOperation(d *apidoc.Document, f func(method, path string, p apidoc.Path, o *apidoc.Operation)) {
	for _, p := range d.Paths {
		for _, o := range p.Value.Operations() {
			f(o.Name, p.Name, p.Value, o.Value)
		}
	}
}

// said is what the source of a handler says of its requests and answers.
type said map[string]map[string]bool

func (s said) add(kind, what string) {
	if s[kind] == nil {
		s[kind] = make(map[string]bool)
	}
	s[kind][what] = true
}

func (s said) list(kind string) []string { return slices.Sorted(maps.Keys(s[kind])) }

// source is the package's own code.
type source struct {
	functions map[string]*ast.FuncDecl
	imports   map[string]bool
	codes     map[string]string // of api.Err…
}

// readSource parses the package. Functions and methods must have different names, so that a name is enough.
func readSource(t *testing.T) source {
	t.Helper()
	s := source{make(map[string]*ast.FuncDecl), make(map[string]bool), apiCodes(t)}
	for _, file := range parseFolder(t, ".") {
		for _, i := range file.Imports {
			path, _ := strconv.Unquote(i.Path.Value)
			s.imports[path[strings.LastIndex(path, "/")+1:]] = true
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Name.Name == "Error" || f.Name.Name == "Unwrap" {
				continue
			}
			if s.functions[f.Name.Name] != nil {
				t.Fatalf("two functions are called %s: this test goes by their names", f.Name.Name)
			}
			s.functions[f.Name.Name] = f
		}
	}
	return s
}

func parseFolder(t *testing.T, dir string) []*ast.File {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), dir+"/"+e.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return files
}

// constants are the constants in a folder whose names begin with a prefix, with their values, in their order.
func constants(t *testing.T, dir, prefix string) (names, values []string) {
	t.Helper()
	for _, file := range parseFolder(t, dir) {
		for _, d := range file.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.CONST {
				continue
			}
			for _, spec := range g.Specs {
				v := spec.(*ast.ValueSpec)
				if !strings.HasPrefix(v.Names[0].Name, prefix) || len(v.Values) != 1 {
					continue
				}
				if text, ok := v.Values[0].(*ast.BasicLit); ok && text.Kind == token.STRING {
					value, _ := strconv.Unquote(text.Value)
					names, values = append(names, v.Names[0].Name), append(values, value)
				}
			}
		}
	}
	return names, values
}

// apiCodes are the codes by the names of their constants.
func apiCodes(t *testing.T) map[string]string {
	t.Helper()
	names, values := constants(t, "../../api", "Err")
	codes := make(map[string]string)
	for i, name := range names {
		codes[name] = values[i]
	}
	if codes["ErrInternal"] != string(api.ErrInternal) || len(codes) < 20 {
		t.Fatalf("the codes of package api were not found: %v", codes)
	}
	return codes
}

// follow collects what a function and those that it names say.
func (s source) follow(name string, into said, seen map[string]bool) {
	f := s.functions[name]
	if f == nil || seen[name] {
		return
	}
	seen[name] = true
	literal := func(e ast.Expr) (string, bool) {
		l, ok := e.(*ast.BasicLit)
		if !ok || l.Kind != token.STRING {
			return "", false
		}
		text, err := strconv.Unquote(l.Value)
		return text, err == nil
	}
	ast.Inspect(f.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			x, ok := n.X.(*ast.Ident)
			if !ok {
				return true
			}
			if code := s.codes[n.Sel.Name]; x.Name == "api" && code != "" {
				into.add("code", code)
			} else if !s.imports[x.Name] {
				s.follow(n.Sel.Name, into, seen)
			}
			return false
		case *ast.Ident:
			if g := s.functions[n.Name]; g != nil && g.Recv == nil {
				s.follow(n.Name, into, seen)
			}
		case *ast.IndexExpr:
			text, ok := literal(n.Index)
			if x, is := n.X.(*ast.Ident); ok && is && x.Name == "fields" {
				into.add("field", text)
			} else if x, is := n.X.(*ast.SelectorExpr); ok && is && x.Sel.Name == "Header" {
				into.add("header", text)
			}
		case *ast.CallExpr:
			if called, is := n.Fun.(*ast.Ident); is && called.Name == "parameter" && len(n.Args) == 2 {
				text, _ := literal(n.Args[1])
				into.add("query", text)
			}
		}
		return true
	})
}

// operationSource is a route's method in New.
type operationSource struct{ path, method, name, handler string }

// operations reads the table of routes in New.
func (s source) operations(t *testing.T) []operationSource {
	t.Helper()
	var all []operationSource
	ast.Inspect(s.functions["New"].Body, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		if f, is := call.Fun.(*ast.SelectorExpr); !is || f.Sel.Name != "route" {
			return true
		}
		path, _ := strconv.Unquote(call.Args[0].(*ast.BasicLit).Value)
		for m := range slices.Chunk(call.Args[1:], 3) {
			name, _ := strconv.Unquote(m[0].(*ast.BasicLit).Value)
			method := strings.ToUpper(strings.TrimPrefix(m[1].(*ast.SelectorExpr).Sel.Name, "Method"))
			all = append(all, operationSource{path, method, name, m[2].(*ast.SelectorExpr).Sel.Name})
		}
		return true
	})
	return all
}

// readsKey is reached by every route in the source, and called for those that create.
const readsKey = "readKey"

func (s source) said(o operationSource) said {
	into := said{}
	seen := map[string]bool{readsKey: o.name != "rest-create" && o.name != "rest-batch"}
	s.follow("handle", into, seen)
	s.follow(o.handler, into, seen)
	return into
}

// TestDocumentedOperations holds the document against the source: every route, and of each every error code, query
// parameter, header field and field of the body that its handler names, are documented, and nothing else is.
// That each documented code is answered too is what TestDocumentedErrors shows.
func TestDocumentedOperations(t *testing.T) {
	d, s := document(t), readSource(t)
	type operation struct {
		Codes, Query, Header, Fields []string
	}
	want := make(map[string]operation)
	routes := make(map[string]bool)
	for _, o := range s.operations(t) {
		says := s.said(o)
		if o.name == "rest-batch" {
			delete(says["field"], "thumbnail") // which it refuses
		}
		want[o.method+" "+Prefix+o.path] = operation{says.list("code"), says.list("query"), says.list("header"), says.list("field")}
		routes[o.method+" "+o.path] = true
	}
	served := make(map[string]bool)
	r := newRig(t, t.TempDir()+"/datestone.db")
	for _, rt := range r.server.routes {
		for method := range rt.methods {
			if method != "HEAD" {
				served[method+" "+strings.Join(rt.path, "/")] = true
			}
		}
	}
	if diff := cmp.Diff(served, routes); diff != "" {
		t.Fatalf("the table of routes in New was not read well (-served +read):\n%s", diff)
	}

	got := make(map[string]operation)
	ids := make(map[string]bool)
	eachOperation(d, func(method, path string, p apidoc.Path, o *apidoc.Operation) {
		op := operation{Codes: o.Codes()}
		for _, parameter := range o.Parameters {
			switch parameter.In {
			case "query":
				op.Query = append(op.Query, parameter.Name)
			case "header":
				op.Header = append(op.Header, parameter.Name)
			default:
				t.Errorf("%s: parameter %s belongs to the path", o.ID, parameter.Name)
			}
		}
		if o.RequestBody != nil {
			if schema := o.RequestBody.Content[0].Value.Schema; schema != nil {
				op.Fields = bodyFields(d, schema)
			}
		}
		var inPath []string
		for _, parameter := range p.Parameters {
			if parameter.In == "path" {
				inPath = append(inPath, "{"+parameter.Name+"}")
			}
		}
		if diff := cmp.Diff(placeholder.FindAllString(path, -1), inPath); diff != "" {
			t.Errorf("%s: parameters of the path %s", path, diff)
		}
		for _, response := range o.Responses {
			for _, media := range response.Value.Content {
				for _, code := range media.Value.Examples.Names() {
					if strconv.Itoa(api.Code(code).Status()) != response.Name {
						t.Errorf("%s: %s is documented with status %s", o.ID, code, response.Name)
					}
				}
			}
		}
		if ids[o.ID] {
			t.Errorf("two operations are called %s", o.ID)
		}
		ids[o.ID] = true
		for _, list := range [][]string{op.Codes, op.Query, op.Header, op.Fields} {
			slices.Sort(list)
		}
		got[method+" "+placeholder.ReplaceAllString(path, "{}")] = op
	})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("internal/apidoc/openapi.yaml is not what the code says (-code +document):\n%s", diff)
	}
	if !ids["listTimestamps"] {
		t.Error("the contract's operationId listTimestamps is missing")
	}
}

// bodyFields are the names in a body, also in the items of a list in it.
func bodyFields(d *apidoc.Document, s *apidoc.Schema) []string {
	var all []string
	for _, p := range d.Components.Schemas.Get(s.RefName()).Properties {
		all = append(all, p.Name)
		if p.Value.Items != nil && p.Value.Items.Ref != "" {
			all = append(all, bodyFields(d, p.Value.Items)...)
		}
	}
	return all
}

// TestDocumentedCodes: the document explains every code of package api, and its schema lists them.
func TestDocumentedCodes(t *testing.T) {
	d := document(t)
	_, codes := constants(t, "../../api", "Err")
	slices.Sort(codes)
	listed := slices.Sorted(slices.Values(d.Components.Schemas.Get("Error").Properties.Get("code").Enum))
	if diff := cmp.Diff(codes, listed); diff != "" {
		t.Errorf("the schema Error (-code +document):\n%s", diff)
	}
	if diff := cmp.Diff(codes, slices.Sorted(slices.Values(d.Components.Examples.Names()))); diff != "" {
		t.Errorf("the examples (-code +document):\n%s", diff)
	}
	for _, e := range d.Components.Examples {
		if e.Value.Summary == "" || e.Value.Description == "" {
			t.Errorf("%s does not say what it means and what to do", e.Name)
		}
	}
}
