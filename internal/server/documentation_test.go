package server

import (
	"encoding"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/datestone/datestone/internal/account"
	"github.com/datestone/datestone/internal/bitcoin"
	"github.com/datestone/datestone/internal/upstream"
)

var update = flag.Bool("update", false, "write datestone.toml from the comments of Config")

// TestDocumentation: the documentation of the settings is the comments of the structs that hold them.
func TestDocumentation(t *testing.T) {
	want := writeDocumentation(t)
	if *update {
		if err := os.WriteFile("datestone.toml", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(want, Documentation); d != "" {
		t.Errorf("datestone.toml is not what the comments say; run go test ./internal/server -run TestDocumentation -update (-want +got):\n%s", d)
	}
	// With every # before a setting removed it is the default configuration.
	text := regexp.MustCompile(`(?m)^#([a-z\[])`).ReplaceAllString(Documentation, "$1")
	var c Config
	if err := decode(text, &c); err != nil {
		t.Error(err)
	}
	c.Ethereum = nil
	c.Bitcoin, c.Litecoin, c.Upstream = bitcoin.Config{}, bitcoin.Config{}, upstream.Config{}
	if d := cmp.Diff(Defaults(), c); d != "" {
		t.Errorf("the documented values are not the defaults (-want +got):\n%s", d)
	}
	for _, s := range Settings() {
		if s.Help == "" {
			t.Errorf("the setting %s has no documentation", s.Key)
		}
	}
}

const preamble = `# Datestone's settings. Every one is shown with its default; remove the # to change it.
#
# Each is a flag as well, and an environment variable: epoch_entries is --epoch-entries and
# DATESTONED_EPOCH_ENTRIES, and rpc_url in the table [bitcoin] is --bitcoin-rpc-url and
# DATESTONED_BITCOIN_RPC_URL. A flag wins over the environment, and the environment over this file.
# Where the text names a default that depends on other settings, "" or 0 stands for it.
`

func writeDocumentation(t *testing.T) string {
	var b strings.Builder
	b.WriteString(preamble)
	writeTable(t, &b, "", ".", reflect.ValueOf(Defaults()))
	return b.String()
}

// writeTable writes the settings of one struct, and after them those of the structs in it.
func writeTable(t *testing.T, b *strings.Builder, table, dir string, v reflect.Value) {
	about, comments := structComments(t, dir, v.Type().Name())
	if table != "" {
		fmt.Fprintln(b)
		writeComment(b, strings.Replace(about, v.Type().Name()+" are the", "The", 1))
		fmt.Fprintf(b, "#[%s]\n", table)
	}
	for f := range fields(v.Type()) {
		key, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
		if key == "" || key == "-" || isTables(f.Type) || f.Type.Kind() == reflect.Struct || f.Type.Kind() == reflect.Map {
			continue
		}
		// A setting without a comment of its own shares that of the one before it.
		if comments[f.Name] != "" {
			fmt.Fprintln(b)
			writeComment(b, inKeys(v.Type(), comments[f.Name]))
		}
		value := tomlValue(v.FieldByIndex(f.Index))
		if stated := statedDefault.FindStringSubmatch(strings.ReplaceAll(comments[f.Name], "\n", " ")); stated != nil && v.FieldByIndex(f.Index).IsZero() {
			value = strings.ReplaceAll(stated[1], ",", "")
			if strings.HasPrefix(tomlValue(v.FieldByIndex(f.Index)), `"`) {
				value = fmt.Sprintf("%q", value)
			}
		}
		fmt.Fprintf(b, "#%s = %s\n", key, value)
	}
	for f := range fields(v.Type()) {
		if f.Type == reflect.TypeFor[account.Plans]() {
			writePlans(t, b, comments[f.Name])
		}
		if isTables(f.Type) {
			fmt.Fprintln(b)
			writeComment(b, comments[f.Name])
			var one strings.Builder
			writeTable(t, &one, f.Tag.Get("toml"), filepath.Join("..", filepath.Base(f.Type.Elem().PkgPath())), reflect.Zero(f.Type.Elem()))
			b.WriteString(strings.Replace(one.String(), "#["+f.Tag.Get("toml")+"]", "#[["+f.Tag.Get("toml")+"]]", 1))
			continue
		}
		if key := f.Tag.Get("toml"); key == litecoinName {
			writeLitecoin(t, b, comments[f.Name])
		} else if f.Type.Kind() == reflect.Struct && key != "" {
			dir := filepath.Join("..", filepath.Base(f.Type.PkgPath()))
			writeTable(t, b, key, dir, v.FieldByIndex(f.Index))
		}
	}
}

// writeLitecoin writes the settings of the table [bitcoin] again, without what they mean, with the defaults that differ.
func writeLitecoin(t *testing.T, b *strings.Builder, about string) {
	var same strings.Builder
	writeTable(t, &same, bitcoinName, filepath.Join("..", "bitcoin"), reflect.ValueOf(bitcoin.Config{}))
	confirmations, confTarget := bitcoin.Litecoin.Blocks()
	own := map[string]string{"confirmations": fmt.Sprint(confirmations), "conf_target": fmt.Sprint(confTarget)}
	fmt.Fprintln(b)
	writeComment(b, about)
	fmt.Fprintf(b, "#[%s]\n", litecoinName)
	for line := range strings.Lines(same.String()) {
		if key, _, isSetting := strings.Cut(strings.TrimPrefix(line, "#"), " = "); isSetting && !strings.HasPrefix(line, "# ") {
			if value, differs := own[key]; differs {
				line = fmt.Sprintf("#%s = %s\n", key, value)
			}
			b.WriteString(line)
		}
	}
}

// writePlans writes a table for each plan. The comments of their settings are those of the first one.
func writePlans(t *testing.T, b *strings.Builder, about string) {
	plans := account.DefaultPlans()
	_, comments := structComments(t, filepath.Join("..", "account"), "Plan")
	fmt.Fprintln(b)
	writeComment(b, about)
	for i, name := range planNames(plans) {
		if i > 0 {
			fmt.Fprintln(b)
		}
		fmt.Fprintf(b, "#[plans.%s]\n", name)
		v := reflect.ValueOf(plans[name])
		for f := range fields(v.Type()) {
			if i == 0 && comments[f.Name] != "" {
				fmt.Fprintln(b)
				writeComment(b, inKeys(v.Type(), comments[f.Name]))
			}
			fmt.Fprintf(b, "#%s = %s\n", f.Tag.Get("toml"), tomlValue(v.FieldByIndex(f.Index)))
		}
	}
}

// statedDefault finds the default that a comment names where the zero value means it.
var statedDefault = regexp.MustCompile(`Default ([0-9a-z][0-9a-z,]*)\.(?: |$)`)

// inKeys writes a comment with the keys of the file in place of the names of the fields.
func inKeys(t reflect.Type, text string) string {
	for f := range fields(t) {
		if key := f.Tag.Get("toml"); key != "" {
			text = regexp.MustCompile(`\b`+f.Name+`\b`).ReplaceAllString(text, key)
		}
	}
	return text
}

func tomlValue(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case encoding.TextMarshaler:
		text, _ := x.MarshalText()
		return fmt.Sprintf("%q", text)
	case time.Duration:
		return fmt.Sprintf("%q", x)
	case []string:
		return strings.ReplaceAll(fmt.Sprintf("%q", x), `" "`, `", "`)
	}
	if v.Kind() == reflect.String {
		return fmt.Sprintf("%q", v.String())
	}
	return fmt.Sprint(v.Interface())
}

func writeComment(b *strings.Builder, text string) {
	for line := range strings.Lines(strings.TrimSpace(text)) {
		fmt.Fprintf(b, "# %s\n", strings.TrimSpace(line))
	}
}

// structComments reads the comment of a struct and those of its fields from the source in dir.
func structComments(t *testing.T, dir, name string) (about string, comments map[string]string) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	comments = make(map[string]string)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			decl, ok := n.(*ast.GenDecl)
			if !ok || decl.Tok != token.TYPE {
				return true
			}
			spec, ok := decl.Specs[0].(*ast.TypeSpec)
			if !ok || spec.Name.Name != name {
				return true
			}
			about = decl.Doc.Text()
			for _, f := range spec.Type.(*ast.StructType).Fields.List {
				for _, id := range f.Names {
					comments[id.Name] = f.Doc.Text()
				}
			}
			return false
		})
	}
	if len(comments) == 0 {
		t.Fatalf("no struct %s in %s", name, dir)
	}
	return about, comments
}
