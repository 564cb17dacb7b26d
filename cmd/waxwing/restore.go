package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"waxwing/mail"
	"waxwing/serve/adminapi"
)

// restoreCmd brings back what is gone: from the store itself, within the
// window of undelete.
type restoreCmd struct {
	lister
	Account string `help:"The account's address." placeholder:"ADDRESS" xor:"who"`
	All     bool   `help:"Of all accounts, one after the other." xor:"who"`
	Since   string `help:"Bring back what was deleted since then: \"2026-11-20 14:00\", \"14:00\" (today), \"3h\", \"2d\"." placeholder:"TIME" xor:"when"`
	At      string `help:"Bring back what was there at that time and is gone, with its flags of then." placeholder:"TIME" xor:"when"`
	Mailbox string `help:"Only what was in this mailbox." placeholder:"NAME"`
	Message string `help:"Only this message: its MESSAGE in the list, or its Message-ID." placeholder:"ID"`
	Into    string `help:"Put it into this mailbox, and not to where it was." placeholder:"NAME"`
	Flags   bool   `help:"With --at: give messages that are still there their flags of then, too."`
	List    bool   `help:"Only list the messages that could be brought back."`
	DryRun  bool   `help:"Only say what would be done."`
	fromBackup
}

func (restoreCmd) Help() string {
	return `Deleted messages and mailboxes are kept for some time (30 days unless the configuration says
otherwise) before they are really gone. This brings them back to where they were, with their flags, and
mail programs see them arrive as new messages. Nothing is taken away: what has come since then stays. Doing
it twice does no harm.

--since looks at when messages were deleted; --at looks at what was there at a time, and so also finds
what was first moved to the Trash and then deleted: it comes back to where it was by then. What was only
moved stays where it is, and is told.

Examples:

  waxwing restore --account ann@example.org --since 2d --list
  waxwing restore --account ann@example.org --since "2026-11-20 14:00" --dry-run
  waxwing restore --account ann@example.org --since 3h --mailbox Projects
  waxwing restore --account ann@example.org --since 7d --message e1f
  waxwing restore --account ann@example.org --at "2026-11-20 08:00" --into Restored
  waxwing restore --all --at "2026-11-20 08:00" --dry-run

With --from it is taken from a backup instead (see: waxwing backup --help): everything, into an empty
store, while no server runs; or mail of one account, into the server that runs. Messages that the mailbox
has already do not come a second time, and an account that has been deleted is made anew. For one account
--at may be any minute: the backup after it tells what was there, as far back as deleted mail is kept; else
it is what the backup before it has.

  waxwing restore --from /mnt/backup --config /etc/waxwing/waxwing.toml --identity backup-key.txt
  waxwing restore --from /mnt/backup --account ann@example.org --mailbox Projects --at "2026-11-20 14:00"
  waxwing restore --from /mnt/backup --account ann@example.org --message "<id@example.net>" --into Restored`
}

func (c restoreCmd) Run(ctx context.Context, s streams) error {
	if c.From != "" {
		return c.restoreBackup(ctx, s)
	}
	if c.Moved {
		return errors.New("--moved goes with --from")
	}
	if c.Account == "" && !c.All {
		return errors.New("--account says whose mail is to come back, or --all; see: waxwing restore --help")
	}
	if c.All && c.List {
		return errors.New("--list is for one account: name it with --account; for all there is --dry-run")
	}
	since, at, err := c.times(time.Now())
	if err != nil {
		return err
	}
	if c.List {
		return c.with(func(client *adminapi.Client) error {
			if since.IsZero() {
				since = at
			}
			found := client.Lost(ctx, c.Account, adminapi.LostFilter{Since: since, Mailbox: c.Mailbox, Message: c.Message})
			return printList(s, c.JSON, found, "nothing of this can be brought back", "GONE MESSAGE MAILBOX SIZE DATE FROM SUBJECT", func(m adminapi.LostMessage) []string {
				return []string{when(m.Gone), m.Message, m.Mailbox + deleted(m.Deleted), mail.ByteCount(m.Size).String(), when(m.Date), short(m.From, 30), short(m.Subject, 60)}
			})
		})
	}
	if since.IsZero() && at.IsZero() {
		return errors.New("say since when: --since 3h brings back what was deleted in the last three hours; --list shows it first")
	}
	request := adminapi.RestoreRequest{
		Since: since, At: at, Mailbox: c.Mailbox, Message: c.Message, Into: c.Into, Flags: c.Flags, DryRun: c.DryRun,
	}
	return c.with(func(client *adminapi.Client) error {
		if c.All {
			return c.everybody(ctx, s, client, request)
		}
		done, err := client.Restore(ctx, c.Account, request)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(s.out, done)
		}
		c.tell(s, done)
		return nil
	})
}

// restoredAccount is what --all --json tells of each account.
type restoredAccount struct {
	Account string `json:"account"`
	Failed  string `json:"failed,omitempty"`
	adminapi.Restored
}

// everybody restores mail of all accounts. One that fails does not keep it from
// the others; that some have no mailbox of a name is no failure.
func (c restoreCmd) everybody(ctx context.Context, s streams, client *adminapi.Client, request adminapi.RestoreRequest) error {
	list, failed := []restoredAccount{}, 0
	for account, err := range client.Accounts(ctx) {
		if err != nil {
			return err
		}
		done, err := client.Restore(ctx, account.Address, request)
		switch {
		case gone(err): // or it has been deleted meanwhile
		case err != nil && ctx.Err() != nil:
			return err
		case err != nil:
			failed++
			list = append(list, restoredAccount{Account: account.Address, Failed: err.Error()})
			fmt.Fprintf(s.err, "%s: %v\n", account.Address, err)
		default:
			list = append(list, restoredAccount{Account: account.Address, Restored: done})
			if !c.JSON {
				fmt.Fprintf(s.out, "%s:\n", account.Address)
				c.tell(s, done)
			}
		}
	}
	if c.JSON {
		if err := printJSON(s.out, list); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d accounts have failed, as said above", failed, len(list))
	}
	if len(list) == 0 {
		return errors.New("no account has such a mailbox")
	}
	return nil
}

// times reads --since and --at.
func (c restoreCmd) times(now time.Time) (since, at time.Time, err error) {
	if c.Since != "" {
		if since, err = parseTime(c.Since, now); err != nil {
			return since, at, fmt.Errorf("--since: %w", err)
		}
	}
	if c.At != "" {
		if at, err = parseTime(c.At, now); err != nil {
			return since, at, fmt.Errorf("--at: %w", err)
		}
	}
	return since, at, nil
}

// parseTime reads a time as people write it: how long ago, or when, in the
// zone of whoever asks.
func parseTime(text string, now time.Time) (time.Time, error) {
	for unit, days := range map[string]int{"d": 1, "w": 7} {
		if count, ok := strings.CutSuffix(text, unit); ok {
			if n, err := strconv.Atoi(count); err == nil && n > 0 && n < 100_000 {
				return now.AddDate(0, 0, -n*days), nil
			}
		}
	}
	if ago, err := time.ParseDuration(text); err == nil {
		if ago <= 0 {
			return time.Time{}, fmt.Errorf("%q is not in the past", text)
		}
		return now.Add(-ago), nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	for _, layout := range []string{"2006-01-02 15:04", "2006-01-02 15:04:05", "2006-01-02T15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t, nil
		}
	}
	if t, err := time.ParseInLocation("15:04", text, now.Location()); err == nil {
		return time.Date(now.Year(), now.Month(), now.Day(), t.Hour(), t.Minute(), 0, 0, now.Location()), nil
	}
	return time.Time{}, fmt.Errorf("%q is not a time; write \"2026-11-20 14:00\", \"14:00\", or how long ago: \"3h\", \"2d\", \"1w\"", text)
}

func deleted(whole bool) string {
	if whole {
		return " (deleted)"
	}
	return ""
}

// short cuts a text for a table.
func short(text string, most int) string {
	if r := []rune(text); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return text
}

// tell says what was done, or would be.
func (c restoreCmd) tell(s streams, done adminapi.Restored) {
	verb := "is back"
	if c.DryRun {
		verb = "would come back"
	}
	for _, m := range done.Mailboxes {
		line := fmt.Sprintf("%s: %s", m.Was, messages(m.Messages))
		if m.Whole {
			line = fmt.Sprintf("mailbox %s %s, with %s", m.Was, verb, messages(m.Messages))
		}
		if m.Is != m.Was {
			line += fmt.Sprintf(", in %s", m.Is)
		}
		fmt.Fprintln(s.out, printable(line))
	}
	for _, note := range done.Notes {
		fmt.Fprintln(s.out, "note:", printable(note))
	}
	switch {
	case done.Messages == 0 && len(done.Mailboxes) == 0 && done.Flags == 0:
		nothing := "nothing to bring back"
		if c.Message != "" {
			nothing += ": no message " + c.Message + " has gone in that time and is not back yet; --list shows those that have"
		}
		fmt.Fprintln(s.out, nothing)
	case c.DryRun:
		fmt.Fprintf(s.out, "would bring back %s (%v)\n", messages(done.Messages), mail.ByteCount(done.Octets))
	default:
		fmt.Fprintf(s.out, "brought back %s (%v)\n", messages(done.Messages), mail.ByteCount(done.Octets))
	}
	if done.Flags > 0 {
		fmt.Fprintf(s.out, "flags of then for %s\n", messages(done.Flags))
	}
}

func messages(n int) string {
	if n == 1 {
		return "1 message"
	}
	return fmt.Sprintf("%d messages", n)
}
