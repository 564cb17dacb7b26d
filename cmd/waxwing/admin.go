package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"waxwing/app"
	"waxwing/serve/adminapi"
)

// server is how a command finds the server that it administers.
type server struct {
	Config string `help:"The server's configuration file." placeholder:"FILE" env:"WAXWING_CONFIG" xor:"server"`
	Dir    string `help:"The directory of \"waxwing dev\", or of \"waxwing init\"." placeholder:"DIR" xor:"server"`
}

// client gives the client for the server; the error says how to start one.
func (s server) client() (*adminapi.Client, error) {
	data, err := app.DataOf(s.Config, s.Dir)
	if err != nil {
		return nil, err
	}
	return adminapi.NewClient(data), nil
}

// with calls fn with the client.
func (s server) with(fn func(*adminapi.Client) error) error {
	c, err := s.client()
	if err != nil {
		return err
	}
	err = fn(c)
	if errors.Is(err, adminapi.ErrNotRunning) {
		return fmt.Errorf("%w\nStart it with \"waxwing serve --config FILE\" or \"waxwing dev\", or name another one with --config or --dir", err)
	}
	return err
}

// lister is what every list has.
type lister struct {
	server
	JSON bool `help:"Print JSON, for programs."`
}

// printList writes a sequence as a table, or as a JSON array. People are told
// when there is nothing, beside the output.
func printList[T any](s streams, asJSON bool, all iter.Seq2[T, error], none, heads string, row func(T) []string) error {
	if asJSON {
		return printJSONList(s.out, all)
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	n := 0
	for item, err := range all {
		if err != nil {
			return err
		}
		if n++; n == 1 {
			fmt.Fprintln(w, strings.ReplaceAll(heads, " ", "\t"))
		}
		cells := row(item)
		for i := range cells {
			cells[i] = printable(cells[i])
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	if n == 0 {
		fmt.Fprintln(s.err, none)
	}
	return w.Flush()
}

func printJSONList[T any](out io.Writer, all iter.Seq2[T, error]) error {
	items := []T{}
	for item, err := range all {
		if err != nil {
			return err
		}
		items = append(items, item)
	}
	return printJSON(out, items)
}

func printJSON(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// printable replaces what a terminal would obey: some of what we print are the
// words of strangers.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '?'
		}
		return r
	}, s)
}

// printFacts writes names and values, a line each.
func printFacts(out io.Writer, facts ...string) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for pair := range slices.Chunk(facts, 2) {
		if pair[1] != "" {
			fmt.Fprintf(w, "%s\t%s\n", pair[0], printable(pair[1]))
		}
	}
	return w.Flush()
}

func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return ""
}

type statusCmd struct{ lister }

func (statusCmd) Help() string { return "Example:\n\n  waxwing status --dir waxwing-dev" }

func (c statusCmd) Run(ctx context.Context, s streams) error {
	return c.with(func(client *adminapi.Client) error {
		status, err := client.Status(ctx)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(s.out, status)
		}
		facts := []string{"version", status.Version, "hostname", status.Hostname, "started", when(status.Started)}
		for _, name := range slices.Sorted(maps.Keys(status.Listeners)) {
			facts = append(facts, name, strings.Join(status.Listeners[name], " "))
		}
		return printFacts(s.out, facts...)
	})
}
