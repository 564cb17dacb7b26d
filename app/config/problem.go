package config

import (
	"fmt"
	"slices"
	"strings"
)

// A Problem is one thing that is wrong in a file.
type Problem struct {
	Line, Column int    // from 1; 0 where the file has no such place
	Key          string // such as "listen.mx"
	Text         string
}

// Problems is all that is wrong in one file.
type Problems struct {
	File string
	List []Problem
}

// Error gives one line for each problem: file:line:column: key: text.
func (p *Problems) Error() string {
	var b strings.Builder
	for i, problem := range p.List {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(p.File)
		if problem.Line > 0 {
			fmt.Fprintf(&b, ":%d:%d", problem.Line, problem.Column)
		}
		b.WriteString(": ")
		if problem.Key != "" {
			b.WriteString(problem.Key + ": ")
		}
		b.WriteString(problem.Text)
	}
	return b.String()
}

func (p *Problems) sort() {
	slices.SortStableFunc(p.List, func(a, b Problem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
}

// nearest gives the candidate that s was probably meant to be, or "".
func nearest(s string, candidates []string) string {
	best, least := "", len(s)/3+1 // one letter in three may be wrong
	for _, c := range candidates {
		if d := distance(s, c); d < least {
			best, least = c, d
		}
	}
	return best
}

// distance is the number of letters to insert, remove, change or swap with a
// neighbour until a is b.
func distance(a, b string) int {
	a, b = strings.ToLower(a), strings.ToLower(b)
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := last[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			row[j] = min(change, last[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
