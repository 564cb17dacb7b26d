package config

import (
	"encoding"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// Load reads a file. What is wrong in it comes as one *Problems. File names in
// the result are absolute.
func Load(file string) (Config, error) {
	doc, err := os.ReadFile(file)
	if err != nil {
		return Config{}, err
	}
	c, err := Parse(file, doc)
	if err != nil {
		return Config{}, err
	}
	dir, err := filepath.Abs(filepath.Dir(file))
	if err != nil {
		return Config{}, err
	}
	c.absolute(dir)
	c.File = filepath.Join(dir, filepath.Base(file))
	return c, nil
}

// Parse decodes a document over the defaults and checks it. file is what its
// problems are reported under.
func Parse(file string, doc []byte) (Config, error) {
	var tree map[string]any
	if err := toml.Unmarshal(doc, &tree); err != nil {
		return Config{}, &Problems{File: file, List: []Problem{syntaxProblem(err)}}
	}
	c := Default()
	d := decoder{places: places(doc)}
	d.table("", tree, reflect.ValueOf(&c).Elem())
	d.validate(&c)
	if len(d.problems) > 0 {
		p := &Problems{File: file, List: d.problems}
		p.sort()
		return Config{}, p
	}
	return c, nil
}

func syntaxProblem(err error) Problem {
	problem := Problem{Text: strings.TrimPrefix(err.Error(), "toml: ")}
	if decode, ok := errors.AsType[*toml.DecodeError](err); ok {
		problem.Line, problem.Column = decode.Position()
	}
	return problem
}

// absolute makes file names absolute that are relative to the file's directory.
func (c *Config) absolute(dir string) {
	names := []*string{&c.Data, &c.TLS.ACME.Roots, &c.Blobs.Credentials, &c.Blobs.Roots}
	for i := range c.Relay.Routes {
		names = append(names, &c.Relay.Routes[i].PasswordFile)
	}
	for i := range c.TLS.Files {
		names = append(names, &c.TLS.Files[i].Certificate, &c.TLS.Files[i].Key)
	}
	for _, name := range names {
		if *name != "" && !filepath.IsAbs(*name) {
			*name = filepath.Join(dir, *name)
		}
	}
}

// A decoder puts a tree of TOML values into a Config and gathers everything
// that is wrong, instead of stopping at the first.
type decoder struct {
	places   map[string]place
	problems []Problem
	wrong    map[string]bool // paths that have a problem already
}

// report adds a problem, at the value of the path or at its key.
func (d *decoder) report(path string, atKey bool, format string, args ...any) {
	problem := Problem{Key: path, Text: fmt.Sprintf(format, args...)}
	if at, ok := d.places[path]; ok {
		where := at.value
		if atKey {
			where = at.key
		}
		problem.Line, problem.Column = where.Line, where.Column
	}
	d.problems = append(d.problems, problem)
	if d.wrong == nil {
		d.wrong = map[string]bool{}
	}
	d.wrong[path] = true
}

// table decodes the keys of a table into the fields of a struct.
func (d *decoder) table(path string, tree map[string]any, into reflect.Value) {
	fields := fieldsOf(into.Type())
	for key, v := range tree {
		here := join(path, key)
		i := slices.Index(fields, key)
		if i < 0 {
			d.report(here, true, "unknown key%s", suggestion(path, key, fields))
			continue
		}
		d.value(here, v, into.Field(i))
	}
}

// value decodes one value of any kind that Config has.
func (d *decoder) value(path string, v any, into reflect.Value) {
	if text, ok := into.Addr().Interface().(encoding.TextUnmarshaler); ok {
		s, isString := v.(string)
		if n, isNumber := v.(int64); isNumber {
			s, isString = strconv.FormatInt(n, 10), true // "needs a unit" is the better complaint
		}
		if !isString {
			d.report(path, false, "must be a string in quotes, not %s", describe(v))
		} else if err := text.UnmarshalText([]byte(s)); err != nil {
			d.report(path, false, "%v", err)
		}
		return
	}
	switch into.Kind() {
	case reflect.Struct:
		if tree, ok := v.(map[string]any); ok {
			d.table(path, tree, into)
			return
		}
		d.report(path, true, "must be a table ([%s]), not %s", path, describe(v))
	case reflect.Slice:
		list, ok := v.([]any)
		if !ok {
			d.report(path, false, "must be a list in [brackets], not %s", describe(v))
			return
		}
		if len(list) == 0 {
			into.SetZero()
			return
		}
		elements := reflect.MakeSlice(into.Type(), len(list), len(list))
		for i, element := range list {
			d.value(fmt.Sprintf("%s[%d]", path, i), element, elements.Index(i))
		}
		into.Set(elements)
	case reflect.String:
		if s, ok := v.(string); ok {
			into.SetString(s)
			return
		}
		d.report(path, false, "must be a string in quotes, not %s", describe(v))
	case reflect.Int:
		if n, ok := v.(int64); ok {
			into.SetInt(n)
			return
		}
		d.report(path, false, "must be a whole number, not %s", describe(v))
	case reflect.Float64:
		switch n := v.(type) {
		case float64:
			into.SetFloat(n)
		case int64:
			into.SetFloat(float64(n))
		default:
			d.report(path, false, "must be a number, not %s", describe(v))
		}
	case reflect.Bool:
		if b, ok := v.(bool); ok {
			into.SetBool(b)
			return
		}
		d.report(path, false, "must be true or false, not %s", describe(v))
	}
}

func describe(v any) string {
	switch v := v.(type) {
	case string:
		return fmt.Sprintf("the string %q", v)
	case int64, float64, bool:
		return fmt.Sprint(v)
	case []any:
		return "a list"
	case map[string]any:
		return "a table"
	}
	return "a date or time"
}

// fieldsOf gives the keys of a table, in the order of the struct's fields.
func fieldsOf(t reflect.Type) []string {
	var keys []string
	for i := range t.NumField() {
		if key := t.Field(i).Tag.Get("toml"); key != "-" { // such fields come last
			keys = append(keys, key)
		}
	}
	return keys
}

// suggestion names what an unknown key was probably meant to be: a neighbour,
// or a key of the same name in another table.
func suggestion(table, key string, neighbours []string) string {
	if near := nearest(key, neighbours); near != "" {
		return fmt.Sprintf("; did you mean %q?", join(table, near))
	}
	for _, path := range Keys() {
		if lastKey(path) == key {
			return fmt.Sprintf("; did you mean %q?", path)
		}
	}
	return fmt.Sprintf("; known here: %s", strings.Join(neighbours, ", "))
}

// Keys lists every key that a file can have, such as "listen.mx"; keys in a
// list of tables as "tls.files.key".
func Keys() []string {
	var keys []string
	var walk func(path string, t reflect.Type)
	walk = func(path string, t reflect.Type) {
		if t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct {
			keys = append(keys, path)
			return
		}
		for i, key := range fieldsOf(t) {
			walk(join(path, key), t.Field(i).Type)
		}
	}
	walk("", reflect.TypeFor[Config]())
	return keys
}

// Diff lists the keys in which two configurations differ.
func Diff(a, b Config) []string {
	var keys []string
	var walk func(path string, a, b reflect.Value)
	walk = func(path string, a, b reflect.Value) {
		if a.Kind() == reflect.Struct {
			for i, key := range fieldsOf(a.Type()) {
				walk(join(path, key), a.Field(i), b.Field(i))
			}
		} else if !reflect.DeepEqual(a.Interface(), b.Interface()) {
			keys = append(keys, path)
		}
	}
	walk("", reflect.ValueOf(a), reflect.ValueOf(b))
	return keys
}
