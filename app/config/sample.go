package config

import (
	_ "embed"
	"encoding"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strconv"
	"strings"
)

// The comments of the fields in these files are the manual.
var (
	//go:embed config.go
	source string
	//go:embed outbound.go
	outbound string
)

// Sample writes c as a file, with the manual of each key above it. Keys that
// have their default value are written as comments, so that later versions may
// choose better ones; hostname and data are always written.
func Sample(c Config) string {
	var b strings.Builder
	b.WriteString("# Waxwing's configuration. Lines that begin with # and a key show the default.\n")
	b.WriteString("# After a change: systemctl reload waxwing (or SIGHUP). Check it first with\n")
	b.WriteString("#   waxwing config check --config THIS-FILE\n")
	s := sampler{out: &b, docs: docs()}
	s.table("", reflect.ValueOf(c), reflect.ValueOf(Default()))
	return b.String()
}

// Manual lists every key with its default and its manual, as Markdown.
func Manual() string {
	var b strings.Builder
	m := manual{out: &b, docs: docs()}
	m.table("", reflect.ValueOf(Default()))
	return b.String()
}

// docs gives the doc comments of the types and fields of this package, as
// "TLS" and "TLS.Source". They are read from the source, which is thereby the
// one place where they are written.
func docs() map[string]string {
	found := map[string]string{}
	for _, text := range []string{source, outbound} {
		file, err := parser.ParseFile(token.NewFileSet(), "", text, parser.ParseComments)
		if err != nil {
			panic(err) // the source of this very build
		}
		note(found, file)
	}
	return found
}

// note adds the doc comments of a file to found.
func note(found map[string]string, file *ast.File) {
	for _, decl := range file.Decls {
		g, ok := decl.(*ast.GenDecl)
		if !ok || g.Tok != token.TYPE {
			continue
		}
		spec := g.Specs[0].(*ast.TypeSpec)
		found[spec.Name.Name] = g.Doc.Text()
		fields, ok := spec.Type.(*ast.StructType)
		if !ok {
			continue
		}
		for _, field := range fields.Fields.List {
			found[spec.Name.Name+"."+field.Names[0].Name] = field.Doc.Text()
		}
	}
}

type sampler struct {
	out  *strings.Builder
	docs map[string]string
}

func (s *sampler) table(path string, v, defaults reflect.Value) {
	t := v.Type()
	for i, key := range fieldsOf(t) { // simple keys first: TOML wants it so
		field := t.Field(i)
		if !isTable(field.Type) {
			s.out.WriteByte('\n')
			s.comment(rename(s.docs[t.Name()+"."+field.Name], field.Name, key))
			line := key + " = " + literal(v.Field(i))
			standard := reflect.DeepEqual(v.Field(i).Interface(), defaults.Field(i).Interface())
			if standard && !(path == "" && (key == "hostname" || key == "data")) {
				line = "#" + line
			}
			s.out.WriteString(line + "\n")
		}
	}
	for i, key := range fieldsOf(t) {
		field, here := t.Field(i), join(path, key)
		switch {
		case field.Type.Kind() == reflect.Struct:
			s.out.WriteByte('\n')
			s.comment(rename(s.docs[field.Type.Name()], field.Type.Name(), "["+here+"]"))
			fmt.Fprintf(s.out, "[%s]\n", here)
			s.table(here, v.Field(i), defaults.Field(i))
		case isTable(field.Type):
			s.list(here, rename(s.docs[t.Name()+"."+field.Name], field.Name, key), v.Field(i))
		}
	}
}

// list writes a list of tables; an example, as comments, when it is empty.
func (s *sampler) list(path, doc string, v reflect.Value) {
	s.out.WriteByte('\n')
	s.comment(doc)
	mark, n := "", v.Len()
	if n == 0 {
		mark, n = "#", 1
		v = reflect.MakeSlice(v.Type(), 1, 1)
	}
	for i := range n {
		fmt.Fprintf(s.out, "%s[[%s]]\n", mark, path)
		element := v.Index(i)
		for j, key := range fieldsOf(element.Type()) {
			if i == 0 {
				name := element.Type().Field(j).Name
				s.comment(rename(s.docs[element.Type().Name()+"."+name], name, key))
			}
			fmt.Fprintf(s.out, "%s%s = %s\n", mark, key, literal(element.Field(j)))
		}
	}
}

func (s *sampler) comment(doc string) {
	for line := range strings.Lines(doc) {
		s.out.WriteString(strings.TrimRight("# "+line, "\n ") + "\n")
	}
}

type manual struct {
	out  *strings.Builder
	docs map[string]string
}

func (m *manual) table(path string, v reflect.Value) {
	t := v.Type()
	for i, key := range fieldsOf(t) {
		field, here := t.Field(i), join(path, key)
		switch {
		case field.Type.Kind() == reflect.Struct:
			fmt.Fprintf(m.out, "\n### [%s]\n\n%s", here, rename(m.docs[field.Type.Name()], field.Type.Name(), "`["+here+"]`"))
			m.table(here, v.Field(i))
		case isTable(field.Type):
			fmt.Fprintf(m.out, "\n#### `[[%s]]`\n\n%s", here, rename(m.docs[t.Name()+"."+field.Name], field.Name, "`"+key+"`"))
			m.table(here, reflect.New(field.Type.Elem()).Elem())
		default:
			fmt.Fprintf(m.out, "\n#### `%s`\n\n%s", here, rename(m.docs[t.Name()+"."+field.Name], field.Name, "`"+key+"`"))
			if value := literal(v.Field(i)); value != `""` {
				fmt.Fprintf(m.out, "\nDefault: `%s`\n", value)
			}
		}
	}
}

// isTable tells whether a field is written as [table] or [[table]].
func isTable(t reflect.Type) bool {
	return t.Kind() == reflect.Struct || t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct
}

// rename puts a key in place of the Go name with which its comment begins.
func rename(doc, name, key string) string {
	if rest, ok := strings.CutPrefix(doc, name+" "); ok {
		return key + " " + rest
	}
	return doc
}

// literal writes a value as TOML.
func literal(v reflect.Value) string {
	if text, ok := v.Interface().(encoding.TextMarshaler); ok {
		b, err := text.MarshalText()
		if err != nil {
			panic(err) // sizes and durations always can
		}
		return strconv.Quote(string(b))
	}
	switch v.Kind() {
	case reflect.String:
		return strconv.Quote(v.String()) // what TOML cannot read back, the decoder refuses
	case reflect.Slice:
		elements := make([]string, v.Len())
		for i := range elements {
			elements[i] = literal(v.Index(i))
		}
		return "[" + strings.Join(elements, ", ") + "]"
	}
	return fmt.Sprint(v.Interface())
}
