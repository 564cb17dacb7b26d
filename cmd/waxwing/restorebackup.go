package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"waxwing/app"
	"waxwing/app/config"
	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/serve/adminapi"
	"waxwing/store/backup"
	"waxwing/store/directory"
	"waxwing/store/mailbox"
)

// fromBackup is the part of restoreCmd that reads a backup.
type fromBackup struct {
	From  string `help:"Take it from the backups in this directory or bucket; with --at, from the backup of that name, or as it was at that time. Without --account everything is restored, into an empty store, from the newest backup of that time or before." placeholder:"PLACE"`
	Moved bool   `help:"With --from, for everything: the server has been stopped since before this backup was made, as when it moves to another machine or engine. Mail programs then notice nothing; otherwise they read all mail afresh, since messages that came after the backup are missing."`
	place
}

// openBackups opens the repository, and gives what --at says: the beginning of a
// backup's name, or a time.
func (c restoreCmd) openBackups(ctx context.Context) (repo *backup.Repository, k backup.Keys, name string, at time.Time, err error) {
	if k, err = c.keys(); err != nil {
		return nil, k, "", at, err
	}
	if repo, err = c.open(ctx, c.From); err != nil || c.At == "" {
		return repo, k, "", at, err
	}
	if at, err = parseTime(c.At, time.Now()); err != nil {
		name = c.At
	}
	return repo, k, name, at, nil
}

// findBackup chooses a backup.
func (c restoreCmd) findBackup(ctx context.Context, repo *backup.Repository, name string, at time.Time) (backup.Snapshot, error) {
	found, err := repo.Find(ctx, name, at)
	if err != nil {
		hint := "see"
		if name != "" {
			hint = "a time is written \"2026-11-20 14:00\"; for names see"
		}
		return found, fmt.Errorf("%w; %s: waxwing backup --list %s", err, hint, c.From)
	}
	return found, nil
}

// restoreBackup restores out of a backup.
func (c restoreCmd) restoreBackup(ctx context.Context, s streams) error {
	if c.Since != "" || c.Flags || c.All {
		return errors.New("--since, --flags and --all are for what is still in the store: leave --from away, or name the backup with --at")
	}
	if c.Account == "" && (c.Mailbox != "" || c.Message != "" || c.Into != "" || c.List || c.DryRun) {
		return errors.New("--account says whose mail is meant")
	}
	if c.Account != "" && c.Moved {
		return errors.New("--moved is for everything; leave --account away")
	}
	repo, k, name, at, err := c.openBackups(ctx)
	if err != nil {
		return err
	}
	defer repo.Close()
	if c.Account != "" {
		return c.explain(c.account(ctx, s, repo, k, name, at))
	}
	found, err := c.findBackup(ctx, repo, name, at)
	if err != nil {
		return err
	}
	return c.explain(c.everything(ctx, s, repo, k, found))
}

// everything restores a whole store.
func (c restoreCmd) everything(ctx context.Context, s streams, repo *backup.Repository, k backup.Keys, found backup.Snapshot) error {
	conf, err := c.target(ctx, s, repo, k, found)
	if err != nil {
		return err
	}
	if _, err := adminapi.NewClient(conf.Data).Status(ctx); !errors.Is(err, adminapi.ErrNotRunning) {
		return fmt.Errorf("a server runs in %s: everything is restored without one, into an empty store; for one account add --account", conf.Data)
	}
	store, err := app.OpenOffline(conf, true)
	if err != nil {
		return err
	}
	progress := &backup.RestoreProgress{}
	began := time.Now()
	stop := func() {}
	if !c.JSON {
		stop = reporting(s, func() string {
			written := progress.Written.Load()
			return fmt.Sprintf("%d of %d accounts and lists, %v of %v (%v/s)", progress.Done.Load(), progress.Partitions.Load(),
				volume(uint64(written)), volume(uint64(progress.Octets.Load())), volume(rate(written, began)))
		})
	}
	_, err = backup.Restore(ctx, repo, k, found.ID, store.Target(conf, c.Moved), progress)
	stop()
	err = errors.Join(err, store.Close())
	if errors.Is(err, backup.ErrNotStopped) {
		return fmt.Errorf("%w: mail may have come after it. Stop the server and back up once more, or leave --moved away", err)
	}
	if errors.Is(err, backup.ErrNotEmpty) {
		return fmt.Errorf("%w. Everything is restored into an empty store only; for one account add --account", err)
	}
	if err != nil && ctx.Err() != nil {
		return errors.New("interrupted: run the same again, and it goes on where it was; until then no server starts on this store")
	}
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.out, found)
	}
	fmt.Fprintf(s.out, "restored the backup %s of %s: %v in %d accounts and lists, in %v\nCheck it with \"waxwing verify\" before you start the server.\n",
		found.ID, when(found.Time), volume(uint64(progress.Written.Load())), found.Partitions, time.Since(began).Round(time.Second))
	if ofRoot(conf) {
		fmt.Fprintf(s.out, "The files belong to root. If the server runs as a user of its own, give them to it: chown -R waxwing: %s\n", conf.Data)
	}
	if len(found.Missing) > 0 {
		return flawed{fmt.Errorf("when the backup was made these messages and other things were damaged or missing:\n  %s", strings.Join(found.Missing, "\n  "))}
	}
	return nil
}

// target gives the configuration of the server that everything is restored
// for.
func (c restoreCmd) target(ctx context.Context, s streams, repo *backup.Repository, k backup.Keys, found backup.Snapshot) (config.Config, error) {
	file := c.Config
	if file == "" && c.Dir != "" {
		file = filepath.Join(c.Dir, "waxwing.toml")
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) { // as "waxwing dev" has it
			conf := config.Default()
			var err error
			conf.Data, err = filepath.Abs(c.Dir)
			return conf, err
		}
	}
	if file == "" {
		return config.Config{}, errors.New("everything is to be restored: say with --config FILE for which server (a file that is not there is taken from the backup), or with --dir DIR into which directory")
	}
	conf, err := config.Load(file)
	if !errors.Is(err, fs.ErrNotExist) {
		return conf, err
	}
	text, err := app.BackedUpConfig(ctx, repo, k, found.ID)
	if err != nil {
		return conf, err
	}
	if err := writeNew(file, text); err != nil {
		return conf, err
	}
	fmt.Fprintf(s.err, "%s is from the backup\n", file)
	return config.Load(file)
}

// ofRoot tells whether the data of a server that is no trial belongs to root.
func ofRoot(c config.Config) bool {
	var stat syscall.Stat_t
	return c.File != "" && os.Getuid() == 0 && syscall.Stat(c.Data, &stat) == nil && stat.Uid == 0
}

// writeNew writes a file that is not there yet.
func writeNew(name string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// account brings mail of one account out of a backup to a server that runs.
func (c restoreCmd) account(ctx context.Context, s streams, repo *backup.Repository, k backup.Keys, name string, at time.Time) error {
	address, err := mail.ParseAddress(c.Account)
	if err != nil {
		return fmt.Errorf("--account: %w", err)
	}
	was, err := c.openAccount(ctx, repo, k, address, name, at)
	if err != nil {
		return err
	}
	defer was.Close()
	return c.with(func(client *adminapi.Client) error {
		r := fetch{c: c, s: s, client: client, was: was, address: address.String()}
		id := sha256.Sum256(fmt.Appendf(nil, "backup %s %s %d", repo.ID(), was.backup.ID, time.Now().UnixNano()))
		r.source = hex.EncodeToString(id[:16])
		if err := r.run(ctx); err != nil {
			return err
		}
		return r.tell()
	})
}

// A fetch brings messages of one account.
type fetch struct {
	c       restoreCmd
	s       streams
	client  *adminapi.Client
	was     pastAccount
	address string
	source  string // makes each of them happen once in this run
	result  fetched

	batch  []adminapi.Outgoing
	bodies []mailbox.Body
	octets int64
}

// fetched tells what has been brought.
type fetched struct {
	Backup    string    `json:"backup"`
	Time      time.Time `json:"time"`
	At        time.Time `json:"at,omitzero"` // when all was so, by the backup's log of changes
	Account   string    `json:"account"`
	Made      bool      `json:"made"`              // the account had been deleted
	Aliases   []string  `json:"aliases,omitempty"` // that are back with it
	Notes     []string  `json:"notes,omitempty"`
	Mailboxes int       `json:"mailboxes"`
	Found     int       `json:"found"`    // messages in the backup that were asked for
	Restored  int       `json:"restored"` // of them, those that were not there
	There     int       `json:"there"`
	Failed    []string  `json:"failed"`
}

func (r *fetch) run(ctx context.Context) error {
	r.result.Failed = []string{}
	if r.was.asOf != nil {
		r.result.Notes = append(r.result.Notes, r.was.asOf.Gaps...)
	}
	if !r.c.DryRun && !r.c.List {
		if err := r.ensureAccount(ctx); err != nil {
			return err
		}
	}
	boxes, err := r.was.mailboxes(ctx)
	if err != nil {
		return err
	}
	matched := false
	for _, box := range boxes {
		if r.c.Mailbox != "" && !sameMailbox(box.Name, r.c.Mailbox) {
			continue
		}
		matched = true
		if err := r.mailbox(ctx, box); err != nil {
			return fmt.Errorf("%s: %w", box.Name, err)
		}
	}
	if !matched {
		names := make([]string, len(boxes))
		for i, b := range boxes {
			names[i] = b.Name
		}
		slices.Sort(names)
		return fmt.Errorf("there is no mailbox %s in the backup; there are: %s", r.c.Mailbox, strings.Join(names, ", "))
	}
	return nil
}

func sameMailbox(a, b string) bool {
	return a == b || strings.EqualFold(a, mailbox.InboxName) && strings.EqualFold(b, mailbox.InboxName)
}

// ensureAccount makes an account anew that has been deleted.
func (r *fetch) ensureAccount(ctx context.Context) error {
	_, err := r.client.Account(ctx, r.address)
	if err == nil || !gone(err) {
		return err
	}
	was, scram := r.was, r.was.Credentials.SCRAM
	usage, err := was.Mail.Usage(ctx)
	if err != nil {
		return err
	}
	_, err = r.client.ReviveAccount(ctx, adminapi.RevivedAccount{
		Address: was.Address.String(), Name: was.Name, Admin: was.Admin, Disabled: was.Disabled,
		Quota: int64(was.Quota), Recoverable: int64(usage.RecoverableOwn), Settings: was.Settings,
		Hash: was.Credentials.Hash, Salt: scram.Salt, Iterations: scram.Iterations, StoredKey: scram.StoredKey, ServerKey: scram.ServerKey,
	})
	if err != nil {
		return err
	}
	r.result.Made = true
	for _, alias := range was.Aliases {
		r.alias(ctx, alias)
	}
	return nil
}

// alias makes an alias of a revived account anew, if it has gone with it.
func (r *fetch) alias(ctx context.Context, was directory.Alias) {
	name := was.Address.String()
	switch have, err := r.client.Alias(ctx, name); {
	case err == nil && slices.Contains(have.Targets, r.was.Address.String()):
		return
	case err == nil:
		r.result.Notes = append(r.result.Notes, fmt.Sprintf("the alias %s led to the account, and leads to %s now: that stays", name, strings.Join(have.Targets, ", ")))
		return
	case !gone(err):
		r.result.Notes = append(r.result.Notes, fmt.Sprintf("the alias %s is not back: %v", name, err))
		return
	}
	made := adminapi.NewAlias{Address: name, Group: was.Group, Note: was.Note}
	for _, to := range was.Targets {
		made.Targets = append(made.Targets, to.String())
	}
	if _, err := r.client.AddAlias(ctx, made); err != nil {
		r.result.Notes = append(r.result.Notes, fmt.Sprintf("the alias %s to %s is not back: %v", name, strings.Join(made.Targets, ", "), err))
		return
	}
	r.result.Aliases = append(r.result.Aliases, name)
}

// mailbox brings what is wanted of one mailbox.
func (r *fetch) mailbox(ctx context.Context, box mailbox.Info) error {
	r.result.Mailboxes++
	var to adminapi.Mailbox
	ready := false
	prepare := func() (err error) {
		if ready || r.c.DryRun || r.c.List {
			return nil
		}
		ready = true
		want := adminapi.WantedMailbox{Name: box.Name, Role: string(box.Role), Subscribed: &box.Subscribed}
		if r.c.Into != "" {
			want = adminapi.WantedMailbox{Name: r.c.Into}
		}
		to, err = r.client.PutMailbox(ctx, r.address, want)
		return err
	}
	if r.c.Message == "" { // also those that are empty
		if err := prepare(); err != nil {
			return err
		}
	}
	if box.NoSelect {
		return nil
	}
	err := r.was.each(ctx, box.ID, func(entry mailbox.Entry) error {
		wanted, err := r.wanted(ctx, box, entry)
		if err != nil || !wanted {
			return err
		}
		r.result.Found++
		if r.c.DryRun || r.c.List {
			return nil
		}
		if err := prepare(); err != nil {
			return err
		}
		return r.add(ctx, entry, to)
	})
	if err != nil {
		return err
	}
	return r.send(ctx)
}

// wanted tells whether a message is asked for, and lists it.
func (r *fetch) wanted(ctx context.Context, box mailbox.Info, e mailbox.Entry) (bool, error) {
	if r.c.Message == "" && !r.c.List || r.c.Message == e.Email.String() && !r.c.List {
		return true, nil
	}
	facts, err := r.was.Mail.Facts(ctx, []mail.EmailID{e.Email})
	if err != nil || facts[0] == nil {
		return false, err
	}
	m := facts[0].Message
	ids := message.ParseMessageIDs(m.Envelope.MessageID)
	if want := strings.Trim(r.c.Message, "<>"); want != "" && want != e.Email.String() && !slices.ContainsFunc(ids, func(id string) bool { return strings.Trim(id, "<>") == want }) {
		return false, nil
	}
	if r.c.List {
		fmt.Fprintf(r.s.out, "%s  %s  %s  %v  %s\n", when(e.InternalDate()), e.Email, printable(box.Name), mail.ByteCount(e.Size),
			printable(short(message.DecodeHeader(m.Envelope.Subject), 60)))
	}
	return true, nil
}

// Bounds of one batch.
const (
	fetchMessages = 200
	fetchOctets   = 8 << 20
)

// add puts a message into the batch.
func (r *fetch) add(ctx context.Context, e mailbox.Entry, to adminapi.Mailbox) error {
	body, err := r.was.Mail.OpenMessage(ctx, e.Email)
	if err != nil {
		r.result.Failed = append(r.result.Failed, fmt.Sprintf("message %v: %v", e.Email, err))
		return nil
	}
	r.bodies = append(r.bodies, body)
	r.batch = append(r.batch, adminapi.Outgoing{
		Incoming: adminapi.Incoming{
			Size: int64(body.Size()), Internal: e.Internal,
			Flags: adminapi.FlagNames(e.Flags&^mail.Deleted, r.was.Mail.Keywords(e.Keywords)),
			Places: []adminapi.Place{{
				Mailbox: to.ID, Source: r.source, Item: fmt.Sprintf("%v.%d", e.Email, e.UID), Below: to.UIDNext,
			}},
		},
		Text: io.NewSectionReader(body, 0, int64(body.Size())),
	})
	if r.octets += int64(body.Size()); len(r.batch) >= fetchMessages || r.octets >= fetchOctets {
		return r.send(ctx)
	}
	return nil
}

// send sends the batch.
func (r *fetch) send(ctx context.Context) error {
	defer func() {
		for _, b := range r.bodies {
			_ = b.Close()
		}
		r.batch, r.bodies, r.octets = r.batch[:0], r.bodies[:0], 0
	}()
	if len(r.batch) == 0 {
		return nil
	}
	done, err := r.client.AddMessages(ctx, r.address, r.batch)
	if err != nil {
		return err
	}
	for i, o := range done {
		r.result.Restored += o.Imported
		r.result.There += o.There
		if o.Failed != "" {
			r.result.Failed = append(r.result.Failed, fmt.Sprintf("message %s: %s", r.batch[i].Places[0].Item, o.Failed))
		}
	}
	return nil
}

// tellMade says what else is back of an account that had been deleted.
func (r *fetch) tellMade() {
	if !r.result.Made {
		return
	}
	line := "The account had been deleted, and is there again, with the password that it had"
	switch {
	case r.was.Credentials.Hash == "":
		line = "The account had been deleted, and is there again. It had no password"
	case r.was.Disabled:
		line += "; it was disabled, and is"
	}
	fmt.Fprintf(r.s.out, "%s.\n", line)
	if len(r.result.Aliases) > 0 {
		fmt.Fprintf(r.s.out, "So are its aliases: %s\n", strings.Join(r.result.Aliases, ", "))
	}
}

// tellNotes says what is not as people may think.
func (r *fetch) tellNotes(to io.Writer) {
	for _, note := range r.result.Notes {
		fmt.Fprintln(to, "note:", printable(note))
	}
}

// tell says what has been brought.
func (r *fetch) tell() error {
	f := &r.result
	f.Backup, f.Time, f.At, f.Account = r.was.backup.ID, r.was.backup.Time, r.was.at, r.address
	switch {
	case r.c.JSON && !r.c.List:
		if err := printJSON(r.s.out, f); err != nil {
			return err
		}
	case r.c.DryRun || r.c.List:
		r.tellNotes(r.s.err)
		fmt.Fprintf(r.s.err, "%s in %s\n", messages(f.Found), r.was.describe())
	default:
		fmt.Fprintf(r.s.out, "brought back %s of %s; %d were there already\n", messages(f.Restored), r.was.describe(), f.There)
		r.tellMade()
		r.tellNotes(r.s.out)
	}
	if f.Found == 0 && r.c.Message != "" {
		return fmt.Errorf("there is no message %s in %s", r.c.Message, r.was.describe())
	}
	if n := len(f.Failed); n > 0 {
		return flawed{fmt.Errorf("%d messages could not be brought back:\n  %s", n, strings.Join(f.Failed[:min(n, 20)], "\n  "))}
	}
	return nil
}
