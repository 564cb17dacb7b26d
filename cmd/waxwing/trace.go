package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"waxwing/mail"
	"waxwing/serve/adminapi"
)

type traceCmd struct {
	lister
	What  string `arg:"" optional:"" help:"A message's id (ours, the queue's, or its Message-ID), an address, or a peer's IP address."`
	Since string `help:"Only what has happened since then, such as \"2h\" (ago) or \"2026-11-20 14:00\"." placeholder:"TIME"`
	Until string `help:"Only what had happened by then." placeholder:"TIME"`
	Limit int    `help:"How many messages at most, the newest." default:"20"`
}

func (traceCmd) Help() string {
	return `What became of messages, each step with its reason, and what was refused and why, for two weeks ([trace] in the
configuration). A step shows up some moments after it was taken. What was told before of a message is not repeated;
--json has all of it.

Examples:

  waxwing trace bob@example.com
  waxwing trace q10000000002f
  waxwing trace 192.0.2.7 --since 1d
  waxwing trace --since 10m
  waxwing trace --since "2026-11-20 14:00" --until "2026-11-20 14:05"`
}

func (c traceCmd) Run(ctx context.Context, s streams) error {
	f, err := c.filter(time.Now())
	if err != nil {
		return err
	}
	return c.with(func(client *adminapi.Client) error {
		stories, err := client.Stories(ctx, f)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(s.out, stories)
		}
		if len(stories) == 0 {
			fmt.Fprintln(s.err, "nothing is remembered of that")
		}
		for i, story := range stories {
			if i > 0 {
				fmt.Fprintln(s.out)
			}
			if story.Message != "" {
				fmt.Fprintln(s.out, "message", printable(story.Message))
			}
			var facts []string
			told := map[string]bool{}
			for _, step := range story.Steps {
				facts = append(facts, when(step.Time)+"  "+step.Step, stepText(step, told))
			}
			if err := printFacts(s.out, facts...); err != nil {
				return err
			}
		}
		return nil
	})
}

// filter says what is wanted.
func (c traceCmd) filter(now time.Time) (adminapi.StoryFilter, error) {
	f := adminapi.StoryFilter{Term: c.What, Limit: c.Limit}
	if c.What == "" && c.Since == "" && c.Until == "" {
		return f, errors.New("say which message, or since when: waxwing trace ADDRESS, or waxwing trace --since 10m")
	}
	for _, bound := range []struct {
		flag, text string
		into       *time.Time
	}{{"--since", c.Since, &f.Since}, {"--until", c.Until, &f.Until}} {
		if bound.text == "" {
			continue
		}
		t, err := parseTime(bound.text, now)
		if err != nil {
			return f, fmt.Errorf("%s: %w", bound.flag, err)
		}
		*bound.into = t
	}
	return f, nil
}

// stepText tells a step in one line. What has been told of the message before
// is left out.
func stepText(e adminapi.StoryStep, told map[string]bool) string {
	named := func(name, value string) string {
		if value == "" {
			return ""
		}
		return name + " " + value
	}
	once := func(text string) string {
		if told[text] {
			return ""
		}
		told[text] = true
		return text
	}
	size, took := "", ""
	if e.Size > 0 {
		size = mail.ByteCount(e.Size).String()
	}
	if e.Seconds > 0 {
		took = "took " + seconds(e.Seconds)
	}
	parts := []string{
		e.Reason, named("to", strings.Join(e.To, " ")), named("by", e.Service), once(named("from", e.From)), once(named("host", e.Remote)),
		once(named("hello", e.Hello)), once(e.TLS), once(named("account", cmp.Or(e.Owner, e.Account))), once(named("queue", e.Queue)),
		once(named("message-id", e.MessageID)), size, took,
	}
	for _, name := range slices.Sorted(maps.Keys(e.Facts)) {
		parts = append(parts, once(name+"="+e.Facts[name]))
	}
	return strings.Join(nonEmpty(parts...), ", ")
}
