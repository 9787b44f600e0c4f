package server

import (
	_ "embed"
	"encoding"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// Documentation is the annotated configuration file: every setting with its default. It is made from
// the comments of Config, and a test keeps it so.
//
//go:embed datestone.toml
var Documentation string

// EnvPrefix begins the names of environment variables that stand for settings.
const EnvPrefix = "DATESTONED_"

// Setting is one setting, as a key of the file, a flag and an environment variable.
type Setting struct {
	Key   string // as in the file, for example "bitcoin.rpc_user"
	Kind  reflect.Kind
	Help  string // the first sentence of its documentation
	index [][]int
}

// Flag is the name of the setting's flag without the dashes.
func (s Setting) Flag() string { return strings.NewReplacer(".", "-", "_", "-").Replace(s.Key) }

// Env is the name of the setting's environment variable.
func (s Setting) Env() string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(s.Key, ".", "_"))
}

// Settings are all settings but those of plans, in the order of the documentation.
func Settings() []Setting {
	help := documented(Documentation)
	var all []Setting
	walk(reflect.TypeFor[Config](), "", nil, func(key string, f reflect.StructField, index [][]int) {
		about := help[key]
		if name, ok := strings.CutPrefix(key, litecoinName+"."); ok {
			about = help[bitcoinName+"."+name] // which has the same settings
		}
		all = append(all, Setting{Key: key, Kind: f.Type.Kind(), Help: about, index: index})
	})
	return all
}

// walk visits the fields that are settings. A struct is a table of the file, and so is each value of a map, which
// no flag can name.
func walk(t reflect.Type, prefix string, above [][]int, visit func(key string, f reflect.StructField, index [][]int)) {
	for f := range fields(t) {
		key, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
		if key == "" || key == "-" {
			continue
		}
		index := append(slices.Clone(above), f.Index)
		if f.Type.Kind() == reflect.Struct {
			walk(f.Type, prefix+key+".", index, visit)
			continue
		}
		if f.Type.Kind() == reflect.Map {
			continue
		}
		visit(prefix+key, f, index)
	}
}

func fields(t reflect.Type) func(yield func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range t.NumField() {
			if !yield(t.Field(i)) {
				return
			}
		}
	}
}

// documented finds the first sentence of what the file says of each key.
func documented(text string) map[string]string {
	help := make(map[string]string)
	table := ""
	var comment []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "# ") || line == "#":
			comment = append(comment, strings.TrimSpace(line[1:]))
		case line == "":
			comment = nil
		case strings.HasPrefix(line, "#[") || strings.HasPrefix(line, "["):
			table, comment = strings.Trim(line, "#[]")+".", nil
		default:
			key, _, _ := strings.Cut(strings.TrimPrefix(line, "#"), " ")
			sentence, _, _ := strings.Cut(strings.Join(comment, " "), ". ")
			// Keys that stand together share the comment.
			help[table+key] = strings.TrimSuffix(sentence, ".")
		}
	}
	return help
}

// Given are settings that came from a flag or from the environment, by key.
type Given map[string]string

// Load reads the configuration: what is given wins over the file, and the file over the defaults.
// path may be empty. A key that is no setting is an error.
func Load(path string, given Given) (Config, error) {
	c := Defaults()
	if path != "" {
		text, err := os.ReadFile(path)
		if err != nil {
			return c, fmt.Errorf("reading the configuration: %w", err)
		}
		if err := decode(string(text), &c); err != nil {
			return c, fmt.Errorf("configuration %s: %w", path, err)
		}
	}
	v := reflect.ValueOf(&c).Elem()
	for _, s := range Settings() {
		text, ok := given[s.Key]
		if !ok {
			continue
		}
		if err := set(s.in(v), text); err != nil {
			return c, fmt.Errorf("--%s or %s: %w", s.Flag(), s.Env(), err)
		}
	}
	return c, nil
}

func decode(text string, c *Config) error {
	c.Plans = nil // the file's replace the defaults
	meta, err := toml.Decode(text, c)
	if err != nil {
		var parse toml.ParseError
		if errors.As(err, &parse) {
			return fmt.Errorf("line %d: %s", parse.Position.Line, parse.Message)
		}
		return err
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		key := unknown[0].String()
		return fmt.Errorf("%q is no setting%s; datestoned config prints them all", key, similar(key))
	}
	// The decoder leaves a map alone that something else is given for.
	if meta.Type("plans") != "" && meta.Type("plans") != "Hash" {
		return errors.New("plans is no table: write a table [plans.NAME] for each plan")
	}
	c.Plans = completePlans(c.Plans)
	return nil
}

// similar is a hint at the setting that was probably meant.
func similar(key string) string {
	if hint, found := similarOfPlans(key); found {
		return hint
	}
	last := key[strings.LastIndex(key, ".")+1:]
	for _, s := range Settings() {
		name := s.Key[strings.LastIndex(s.Key, ".")+1:]
		if name == last || distance(name, last) <= 2 {
			return fmt.Sprintf(", did you mean %q", s.Key)
		}
	}
	return ""
}

// distance is the number of letters to insert, delete or change between two words.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}

func (s Setting) in(v reflect.Value) reflect.Value {
	for _, index := range s.index {
		v = v.FieldByIndex(index)
	}
	return v
}

// set parses what a flag or the environment says.
func set(v reflect.Value, text string) error {
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(text))
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		v.SetBool(b)
	case reflect.Int, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, v.Type().Bits())
		if err != nil {
			return fmt.Errorf("%q is no whole number", text)
		}
		v.SetInt(n)
	case reflect.Float64:
		x, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return fmt.Errorf("%q is no number", text)
		}
		v.SetFloat(x)
	case reflect.Slice:
		var list []string
		for part := range strings.SplitSeq(text, ",") {
			if part = strings.TrimSpace(part); part != "" {
				list = append(list, part)
			}
		}
		v.Set(reflect.ValueOf(list))
	default:
		return fmt.Errorf("a %v cannot be given here", v.Type())
	}
	return nil
}
