// Command rfctable writes docs/rfc.md: which RFC is implemented where, from
// the citations in the code ("RFC 5321 §4.5.3.2.7"). Run it from the top of
// the checkout, as "make docs" does; with -check it only tells whether the
// table is up to date.
package main

import (
	"bufio"
	"bytes"
	_ "embed"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

//go:embed titles.txt
var titlesText string

// citation matches "RFC 5321" with or without a section.
var citation = regexp.MustCompile(`RFC (\d{3,5})(?: §([0-9A-Z]+(?:\.[0-9]+)*))?`)

// places maps a folder to the sections cited in it.
type places map[string]map[string]bool

func main() {
	check := flag.Bool("check", false, "fail if docs/rfc.md is not what would be written")
	flag.Parse()
	if err := run("docs/rfc.md", *check); err != nil {
		fmt.Fprintln(os.Stderr, "rfctable:", err)
		os.Exit(1)
	}
}

func run(path string, check bool) error {
	cited, err := collect(".")
	if err != nil {
		return err
	}
	table := render(cited, titles())
	if !check {
		return os.WriteFile(path, table, 0o644)
	}
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !bytes.Equal(old, table) {
		return fmt.Errorf("%s is out of date: run make docs", path)
	}
	return nil
}

// collect reads the citations in all Go files below root but tests.
func collect(root string) (map[int]places, error) {
	cited := map[int]places{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if name != "." && (strings.HasPrefix(name, ".") || name == "testdata" || name == "node_modules" || path == "test") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range citation.FindAllSubmatch(text, -1) {
			number, _ := strconv.Atoi(string(m[1]))
			if cited[number] == nil {
				cited[number] = places{}
			}
			room := filepath.ToSlash(filepath.Dir(path))
			if cited[number][room] == nil {
				cited[number][room] = map[string]bool{}
			}
			if len(m[2]) > 0 {
				cited[number][room][string(m[2])] = true
			}
		}
		return nil
	})
	return cited, err
}

func titles() map[int]string {
	all := map[int]string{}
	for s := bufio.NewScanner(strings.NewReader(titlesText)); s.Scan(); {
		number, title, ok := strings.Cut(s.Text(), "\t")
		if n, err := strconv.Atoi(number); ok && err == nil {
			all[n] = title
		}
	}
	return all
}

func render(cited map[int]places, titles map[int]string) []byte {
	var b bytes.Buffer
	b.WriteString("# What Waxwing implements, and where\n\n")
	b.WriteString("Made by `make docs` from the citations in the code (`RFC 5321 §4.5.3.2.7` at the line\n")
	b.WriteString("that implements it). To find the line: `git grep -n 'RFC 5321 §4.5.3.2.7'`.\n\n")
	b.WriteString("| RFC | title | sections cited, by folder |\n|---|---|---|\n")
	for _, number := range slices.Sorted(maps.Keys(cited)) {
		var where []string
		for _, room := range slices.Sorted(maps.Keys(cited[number])) {
			sections := slices.SortedFunc(maps.Keys(cited[number][room]), compareSections)
			text := "`" + room + "`"
			if len(sections) > 0 {
				text += " §" + strings.Join(sections, ", ")
			}
			where = append(where, text)
		}
		fmt.Fprintf(&b, "| %d | %s | %s |\n", number, titles[number], strings.Join(where, "; "))
	}
	return b.Bytes()
}

// compareSections orders 4.2 before 4.10.
func compareSections(a, b string) int {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	return slices.CompareFunc(as, bs, func(x, y string) int {
		nx, errX := strconv.Atoi(x)
		ny, errY := strconv.Atoi(y)
		if errX == nil && errY == nil {
			return nx - ny
		}
		return strings.Compare(x, y)
	})
}
