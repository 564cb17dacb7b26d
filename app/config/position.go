package config

import (
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// A place is where a key, and the value that belongs to it, stand in a file.
type place struct{ key, value unstable.Position }

// places finds every key and every element of an array in a document that is
// known to be well-formed. Paths look like "tls.files[0].key".
func places(doc []byte) map[string]place {
	found := map[string]place{}
	arrays := map[string]int{} // tables seen in each array of tables
	var p unstable.Parser
	p.Reset(doc)
	table := ""
	for p.NextExpression() {
		e := p.Expression()
		switch e.Kind {
		case unstable.Table:
			table, _ = keyPath(&p, "", e.Key(), arrays, found)
		case unstable.ArrayTable:
			path, at := keyPath(&p, "", e.Key(), arrays, found)
			table = path + "[" + strconv.Itoa(arrays[path]) + "]"
			arrays[path]++
			found[table] = place{at, at}
		case unstable.KeyValue:
			keyValue(&p, table, e, arrays, found)
		}
	}
	return found
}

// keyPath gives the path of a key below a table, going into the newest table
// of each array of tables on the way, and where its last part stands.
func keyPath(p *unstable.Parser, table string, parts unstable.Iterator, arrays map[string]int, found map[string]place) (string, unstable.Position) {
	path := table
	var at unstable.Position
	for parts.Next() {
		node := parts.Node()
		path = join(path, string(node.Data))
		at = p.Shape(node.Raw).Start
		if _, seen := found[path]; !seen {
			found[path] = place{at, at}
		}
		if n := arrays[path]; n > 0 && !parts.IsLast() {
			path += "[" + strconv.Itoa(n-1) + "]"
		}
	}
	return path, at
}

func keyValue(p *unstable.Parser, table string, e *unstable.Node, arrays map[string]int, found map[string]place) {
	path, at := keyPath(p, table, e.Key(), arrays, found)
	found[path] = place{at, start(p, e.Value(), at)}
	value(p, path, e.Value(), at, arrays, found)
}

func value(p *unstable.Parser, path string, v *unstable.Node, at unstable.Position, arrays map[string]int, found map[string]place) {
	switch v.Kind {
	case unstable.InlineTable:
		for children := v.Children(); children.Next(); {
			keyValue(p, path, children.Node(), arrays, found)
		}
	case unstable.Array:
		i := 0
		for children := v.Children(); children.Next(); {
			child := children.Node()
			if child.Kind == unstable.Comment {
				continue
			}
			element := path + "[" + strconv.Itoa(i) + "]"
			here := start(p, child, at)
			found[element] = place{here, here}
			value(p, element, child, here, arrays, found)
			i++
		}
	}
}

// start is where a value begins; the parser does not say it for tables and
// arrays, which stand where their key does.
func start(p *unstable.Parser, v *unstable.Node, otherwise unstable.Position) unstable.Position {
	if v.Raw.Length == 0 {
		return otherwise
	}
	return p.Shape(v.Raw).Start
}

func join(table, key string) string {
	if table == "" {
		return key
	}
	return table + "." + key
}

// lastKey is the part of a path after its last dot.
func lastKey(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }
