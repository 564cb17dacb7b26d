package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"waxwing/app"
	"waxwing/app/config"
	"waxwing/mail"
	"waxwing/serve/adminapi"
	"waxwing/store/backup"
)

type backupCmd struct {
	server
	To      string `help:"Back up to this directory or bucket: DIR, or s3://bucket/prefix." placeholder:"PLACE" xor:"what"`
	List    string `help:"List the backups that are there." placeholder:"PLACE" xor:"what"`
	Check   string `help:"Read everything that is there, and say what is damaged or missing." placeholder:"PLACE" xor:"what"`
	Prune   string `help:"Remove the backups that --keep does not name." placeholder:"PLACE" xor:"what"`
	MakeKey string `help:"Make a key: the secret half goes into this new file, the public half is printed." placeholder:"FILE" xor:"what"`

	place
	Recipient      []string `help:"Encrypt to this public key (age1... or \"ssh-ed25519 ...\"); needed the first time only." placeholder:"KEY"`
	RecipientsFile string   `help:"Encrypt to the public keys in this file, one on each line." placeholder:"FILE" type:"existingfile"`
	Keep           string   `help:"Then remove old backups, but for the newest of so many days, weeks, months: 7d,4w,12m." placeholder:"RULE"`
	Full           bool     `help:"Read and write everything anew."`
	Quiet          bool     `help:"Say nothing unless something is wrong, for cron."`
	JSON           bool     `help:"Print JSON, for programs."`
}

// place is how a place in S3, and what is sealed there, is reached.
type place struct {
	S3Endpoint string   `help:"URL of the S3 server; Amazon's if there is none. Keys come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or from ~/.aws/credentials." name:"s3-endpoint" env:"AWS_ENDPOINT_URL" placeholder:"URL"`
	S3Region   string   `help:"Region of the bucket." name:"s3-region" env:"AWS_REGION" placeholder:"NAME"`
	Identity   []string `help:"File with the secret key, to read what is encrypted." placeholder:"FILE" type:"existingfile"`
}

func (backupCmd) Help() string {
	return `Copies everything (mail, accounts, the queue, settings, keys and certificates) to a directory or a
bucket, while the server runs. Each backup is complete, and costs only what has changed since the one
before. One that was interrupted goes on where it was when it is run again.

With a public key everything is encrypted. The secret key is needed only to restore: keep it elsewhere,
not on this machine, for without it the backup is worth nothing.

  waxwing backup --make-key backup-key.txt
  waxwing backup --to /mnt/backup --recipient age1...
  waxwing backup --to /mnt/backup --keep 7d,4w,12m --quiet      (every night, in cron)
  waxwing backup --to s3://my-bucket/mail --s3-endpoint https://s3.example.org
  waxwing backup --list /mnt/backup
  waxwing backup --check /mnt/backup --identity backup-key.txt
  waxwing restore --from /mnt/backup --identity backup-key.txt --account ann@example.org

Without a server that runs, the store is opened directly. Exit codes: 0 all is well, 1 it failed and the
backups that are there are as they were, 2 not understood, 3 it is done, but something of the mail (or
of the backup, with --check) is damaged or missing, as printed.`
}

func (c backupCmd) Run(ctx context.Context, s streams) error {
	switch {
	case c.MakeKey != "":
		return c.makeKey(s)
	case c.To != "":
		return c.run(ctx, s)
	case c.List != "":
		return c.list(ctx, s)
	case c.Check != "":
		return c.check(ctx, s)
	case c.Prune != "":
		return c.prune(ctx, s)
	}
	return errors.New("where to? waxwing backup --to DIR; see: waxwing backup --help")
}

// A flawed error says that a command is done, but that not all is well.
type flawed struct{ error }

// ExitCode implements exitCoder.
func (flawed) ExitCode() int { return 3 }

func (c backupCmd) makeKey(s streams) error {
	secret, public, err := backup.MakeKey()
	if err != nil {
		return err
	}
	f, err := os.OpenFile(c.MakeKey, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(secret)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	fmt.Fprintf(s.err, "The secret key is in %s. Move it off this machine, and keep it twice. Back up with\n\n  waxwing backup --to PLACE --recipient %s\n\n", c.MakeKey, public)
	_, err = fmt.Fprintln(s.out, public)
	return err
}

// at gives the place of a name.
func (p place) at(name string) (backup.Place, error) {
	if !strings.HasPrefix(name, "s3:") {
		return backup.Dir(name)
	}
	u, err := url.Parse(name)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("%q is not a bucket, such as s3://my-bucket/mail", name)
	}
	return backup.S3(backup.S3Options{Endpoint: p.S3Endpoint, Region: p.S3Region, Bucket: u.Host, Prefix: u.Path})
}

// open opens the repository in a place.
func (p place) open(ctx context.Context, name string) (*backup.Repository, error) {
	at, err := p.at(name)
	if err != nil {
		return nil, err
	}
	return backup.Open(ctx, at)
}

// keys reads the secret keys.
func (p place) keys() (backup.Keys, error) {
	var k backup.Keys
	for _, file := range p.Identity {
		list, err := backup.ReadIdentities(file)
		if err != nil {
			return k, err
		}
		k.Identities = append(k.Identities, list...)
	}
	return k, nil
}

// explain adds to an error what to do about it.
func (p place) explain(err error) error {
	switch {
	case !errors.Is(err, backup.ErrSealed):
		return err
	case len(p.Identity) > 0:
		return fmt.Errorf("the backup is encrypted to another key than that in %s", strings.Join(p.Identity, ", "))
	}
	return errors.New("the backup is encrypted: name the file with the secret key with --identity")
}

func (c backupCmd) recipients() ([]backup.Recipient, error) {
	var list []backup.Recipient
	for _, text := range c.Recipient {
		r, err := backup.ParseRecipient(text)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	if c.RecipientsFile != "" {
		text, err := os.ReadFile(c.RecipientsFile)
		if err != nil {
			return nil, err
		}
		more, err := backup.ParseRecipients(string(text))
		if err != nil {
			return nil, err
		}
		list = append(list, more...)
	}
	return list, nil
}

// run makes a backup.
func (c backupCmd) run(ctx context.Context, s streams) (err error) {
	var keep backup.Keep
	if c.Keep != "" {
		if keep, err = backup.ParseKeep(c.Keep); err != nil {
			return fmt.Errorf("--keep: %w", err)
		}
	}
	given, err := c.recipients()
	if err != nil {
		return err
	}
	conf, err := app.ConfigOf(c.Config, c.Dir)
	if err != nil {
		return err
	}
	at, err := c.at(c.To)
	if err != nil {
		return err
	}
	// Others come first: mail that is on its way, above all.
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, 10)
	source, stopped, done, err := sourceOf(ctx, conf)
	if err != nil {
		return err
	}
	defer done()
	repo, err := backup.Open(ctx, at)
	if errors.Is(err, backup.ErrNoRepository) {
		repo, err = backup.Create(ctx, at, time.Now(), len(given) > 0)
	}
	if err != nil {
		return err
	}
	defer repo.Close()
	memory, err := backup.OpenMemory(app.BackupMemory(conf.Data), repo)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, memory.Close(), app.OwnMemory(conf)) }()
	recipients, err := memory.Recipients(repo, given)
	if err != nil {
		return err
	}
	files, err := app.BackupFiles(conf)
	if err != nil {
		return err
	}
	host, _ := os.Hostname()
	if conf.Hostname != "" {
		host = conf.Hostname
	}
	progress := &backup.Progress{}
	stop := c.report(s, progress)
	snapshot, err := backup.Run(ctx, repo, memory, source, backup.Options{
		Recipients: recipients, Full: c.Full, Stopped: stopped, Host: host, Program: app.Version(), Files: files, Progress: progress,
	})
	stop()
	if err != nil && ctx.Err() != nil {
		return errors.New("interrupted: no backup was made; run the same again, and it goes on where it was")
	}
	if err != nil {
		return err
	}
	var pruned *backup.Pruned
	if c.Keep != "" {
		p, err := backup.Prune(ctx, repo, memory, keep, time.Now(), time.Local)
		if err != nil {
			return fmt.Errorf("the backup is made, but old ones cannot be removed: %w", err)
		}
		pruned = &p
	}
	return c.summary(s, snapshot, pruned)
}

// sourceOf gives the store of the server that runs, or opens it if none does.
func sourceOf(ctx context.Context, c config.Config) (source backup.Source, stopped bool, done func(), err error) {
	client := adminapi.NewClient(c.Data)
	_, err = client.Status(ctx)
	if err == nil {
		return client.BackupSource(), false, func() {}, nil
	}
	if !errors.Is(err, adminapi.ErrNotRunning) {
		return nil, false, nil, err
	}
	offline, err := app.OpenOffline(c, false)
	if err != nil {
		return nil, false, nil, err
	}
	return offline.Source(), true, func() { _ = offline.Close() }, nil
}

// summary tells what a backup has come to.
func (c backupCmd) summary(s streams, done backup.Snapshot, pruned *backup.Pruned) error {
	if c.JSON {
		err := printJSON(s.out, struct {
			backup.Snapshot
			Pruned *backup.Pruned `json:"pruned,omitempty"`
		}{done, pruned})
		if err != nil {
			return err
		}
	} else if !c.Quiet {
		took := done.Finished.Sub(done.Time)
		fmt.Fprintf(s.out, "backup %s: %v in %d accounts and lists (%d unchanged) and %d files\n", done.ID,
			volume(done.Octets), done.Partitions, done.Unchanged, done.Files)
		fmt.Fprintf(s.out, "read %v, wrote %v, took %v (%v/s)\n", volume(done.Read), volume(done.Written),
			took.Round(time.Millisecond), volume(uint64(float64(done.Read)/max(took.Seconds(), 0.001))))
		if pruned != nil {
			tellPruned(s, *pruned)
		}
	}
	if n := len(done.Missing); n > 0 {
		return flawed{fmt.Errorf("the backup %s is made, but %d messages or other things are damaged or missing in the store itself:\n  %s\nsee: waxwing verify", done.ID, n, strings.Join(done.Missing, "\n  "))}
	}
	return nil
}

func volume(n uint64) mail.ByteCount { return mail.ByteCount(n) }

func tellPruned(s streams, p backup.Pruned) {
	fmt.Fprintf(s.out, "removed %d old backups and %v; %d stay\n", p.Removed, volume(p.Octets), p.Kept)
}

func (c backupCmd) list(ctx context.Context, s streams) error {
	repo, err := c.open(ctx, c.List)
	if err != nil {
		return err
	}
	defer repo.Close()
	all, damaged := repo.Snapshots(ctx)
	each := iter.Seq2[backup.Snapshot, error](func(yield func(backup.Snapshot, error) bool) {
		for _, b := range all {
			if !yield(b, nil) {
				return
			}
		}
	})
	err = printList(s, c.JSON, each, "there are no backups yet", "BACKUP TIME HOST SIZE NEW ACCOUNTS", func(b backup.Snapshot) []string {
		return []string{b.ID, when(b.Time), b.Host, volume(b.Octets).String(), volume(b.Written).String(), fmt.Sprint(b.Partitions)}
	})
	if err == nil && damaged != nil {
		err = flawed{damaged}
	}
	return err
}

func (c backupCmd) check(ctx context.Context, s streams) error {
	repo, err := c.open(ctx, c.Check)
	if err != nil {
		return err
	}
	defer repo.Close()
	k, err := c.keys()
	if err != nil {
		return err
	}
	var progress func(done, total uint64)
	if !c.Quiet && !c.JSON {
		line := newLine(s)
		defer line.end()
		progress = func(done, total uint64) { line.show(fmt.Sprintf("%v of %v read", volume(done), volume(total))) }
	}
	found, err := backup.Check(ctx, repo, k, progress)
	if err != nil {
		return c.explain(err)
	}
	if c.JSON {
		if err := printJSON(s.out, found); err != nil {
			return err
		}
	} else if !c.Quiet && len(found.Faults) == 0 {
		fmt.Fprintf(s.out, "%d backups in %d files (%v) are whole\n", found.Snapshots, found.Packs, volume(found.Octets))
		if !found.Opened {
			fmt.Fprintln(s.out, "What they hold was not looked at: it is encrypted. With --identity FILE it is.")
		}
	}
	if n := len(found.Faults) + found.MoreFaults; n > 0 {
		return flawed{fmt.Errorf("%d things are wrong with the backups:\n  %s", n, strings.Join(found.Faults, "\n  "))}
	}
	return nil
}

func (c backupCmd) prune(ctx context.Context, s streams) (err error) {
	if c.Keep == "" {
		return errors.New("say what stays, such as --keep 7d,4w,12m")
	}
	keep, err := backup.ParseKeep(c.Keep)
	if err != nil {
		return fmt.Errorf("--keep: %w", err)
	}
	conf, err := app.ConfigOf(c.Config, c.Dir)
	if err != nil {
		return err
	}
	repo, err := c.open(ctx, c.Prune)
	if err != nil {
		return err
	}
	defer repo.Close()
	memory, err := backup.OpenMemory(app.BackupMemory(conf.Data), repo)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, memory.Close(), app.OwnMemory(conf)) }()
	done, err := backup.Prune(ctx, repo, memory, keep, time.Now(), time.Local)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.out, done)
	}
	if !c.Quiet {
		tellPruned(s, done)
	}
	return nil
}
