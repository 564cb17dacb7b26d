package main

import (
	"context"
	"errors"
	"fmt"

	"waxwing/app"
	"waxwing/serve/adminapi"
)

// verifyCmd checks what is kept.
type verifyCmd struct {
	lister
	Account string `help:"Only the mail of this account." placeholder:"ADDRESS"`
	Deep    bool   `help:"Read all messages, too, and compare them with their hashes: as slow as the disk."`
	Repair  bool   `help:"Mend what can be mended."`
}

func (verifyCmd) Help() string {
	return `Checks that everything that is kept fits together: mailboxes and their numbers, messages and where
they lie, conversations, the quota, the log of changes, the queue, the directory. It goes on while the
server runs, and mail goes on arriving; when no server runs, it opens the data directory itself.

For each thing that is wrong it says what that means, and what --repair does. Repairing never deletes
mail that can be read: what belongs nowhere, and reports of what cannot be read any longer, are put into
a mailbox "Damaged" of the account. Make a backup first all the same.

The exit code is 0 when nothing is wrong or all is mended, 1 when something is, and 2 when it cannot check.

Examples:

  waxwing verify
  waxwing verify --account ann@example.org --deep
  waxwing verify --repair`
}

// unchecked is an error that is no finding: it ends with exit code 2.
type unchecked struct{ error }

func (e unchecked) Unwrap() error { return e.error }

// ExitCode implements exitCoder.
func (unchecked) ExitCode() int { return 2 }

func (c verifyCmd) Run(ctx context.Context, s streams) error {
	var t tally
	tell := func(e adminapi.VerifyEvent) { c.tell(s, e, &t) }
	request := adminapi.VerifyRequest{Account: c.Account, Deep: c.Deep, Repair: c.Repair}
	client, err := c.client()
	if err == nil {
		for e, failed := range client.Verify(ctx, request) {
			if failed != nil {
				err = failed
				break
			}
			tell(e)
		}
	}
	if errors.Is(err, adminapi.ErrNotRunning) {
		conf, e := app.ConfigOf(c.Config, c.Dir)
		if e != nil {
			return unchecked{errors.Join(err, e)}
		}
		fmt.Fprintf(s.err, "no server runs; opening %s\n", conf.Data)
		err = app.Verify(ctx, conf, request, s.err, tell)
	}
	if err != nil {
		return unchecked{err}
	}
	if c.JSON {
		if err := printJSON(s.out, struct {
			Findings []found  `json:"findings"`
			Failed   []string `json:"failed"`
			Checked  int      `json:"checked"`
		}{append([]found{}, t.findings...), append([]string{}, t.failed...), t.checked}); err != nil {
			return err
		}
	}
	return c.sum(s, &t)
}

// A tally is what has been told so far.
type tally struct {
	findings []found
	failed   []string
	open     int // findings that are not mended
	count    int
	checked  int
	last     string // where the last event was
}

type found struct {
	Where string `json:"where"`
	adminapi.VerifyFinding
}

// tell prints an event.
func (c verifyCmd) tell(s streams, e adminapi.VerifyEvent, t *tally) {
	if e.Where != t.last {
		t.last = e.Where
		t.checked++
	}
	switch {
	case e.Failed != "":
		t.failed = append(t.failed, e.Where+": "+e.Failed)
		fmt.Fprintf(s.err, "%s cannot be checked: %s\n", e.Where, printable(e.Failed))
	case e.Progress != nil && !c.JSON:
		fmt.Fprintf(s.err, "%s: %d of %d messages\n", e.Where, e.Progress.Done, e.Progress.Of)
	case e.Finding != nil:
		f := e.Finding
		t.count++
		if !f.Mended {
			t.open++
		}
		if c.JSON {
			t.findings = append(t.findings, found{e.Where, *f})
			return
		}
		fmt.Fprintf(s.out, "%s: %s\n  which means: %s\n", e.Where, printable(f.What), printable(f.Means))
		switch {
		case f.Mended:
			fmt.Fprintf(s.out, "  mended: %s\n", printable(f.Repair))
		case f.Failed != "":
			fmt.Fprintf(s.out, "  not mended: %s\n", printable(f.Failed))
		default:
			fmt.Fprintf(s.out, "  repair: %s\n", printable(f.Repair))
		}
	}
}

// sum says how it ended.
func (c verifyCmd) sum(s streams, t *tally) error {
	if len(t.failed) > 0 {
		return unchecked{fmt.Errorf("%d could not be checked", len(t.failed))}
	}
	if t.open > 0 {
		if !c.Repair {
			return fmt.Errorf("%d found; see: waxwing verify --help", t.open)
		}
		return fmt.Errorf("%d of %d found could not be mended", t.open, t.count)
	}
	if !c.JSON {
		switch t.count {
		case 0:
			fmt.Fprintln(s.out, "all is as it must be")
		default:
			fmt.Fprintf(s.out, "mended all %d found\n", t.count)
		}
	}
	return nil
}
