package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"waxwing/mail"
	"waxwing/serve/adminapi"
	"waxwing/store/mailbox"
)

// An Import brings mail from a Source into an account.
type Import struct {
	Client  *adminapi.Client
	Account string // address
	Source  Source

	Into      string   // put all mailboxes below this one
	Only      []string // patterns of folder names; empty: all
	Exclude   []string
	Since     time.Time // leave out what came before
	MaxSize   int64     // leave out what is larger; 0: nothing
	KeepFlags bool      // what was imported before keeps its flags
	Delete    bool      // delete what the source has deleted since
	DryRun    bool

	Progress func(Progress) // may be nil

	boxes   map[string]*target   // by name
	roles   map[mail.Role]string // names of those that have a role
	there   map[string]adminapi.Mailbox
	summary Summary
}

// Progress tells how far an import or export is.
type Progress struct {
	Folder string
	Done   int // messages of the folder
	Total  int
}

// A Summary tells what an import has done.
type Summary struct {
	Folders  int       `json:"folders"`
	Imported int       `json:"imported"`
	There    int       `json:"already_there"`
	Left     int       `json:"left_out,omitempty"` // by Since, MaxSize
	Failed   int       `json:"failed"`
	Flags    int       `json:"flags_changed"`
	Deleted  int       `json:"deleted"`
	Octets   int64     `json:"octets"` // of what is imported
	Failures []Failure `json:"failures,omitempty"`
	Notes    []string  `json:"notes,omitempty"`
}

// A Failure is a message that was not imported.
type Failure struct {
	Folder string `json:"folder"`
	Which  string `json:"which"`
	Reason string `json:"reason"`
}

// maxFailures is how many are told one by one.
const maxFailures = 1000

// ErrFull says that the account has no room for more.
var ErrFull = errors.New("the account is full")

// A target is a mailbox of ours during an import.
type target struct {
	id    uint32
	below uint32 // UIDNEXT at the beginning, where the mailbox was not empty
}

// Run imports. What it has done so far is in the Summary also when it fails.
func (im *Import) Run(ctx context.Context) (*Summary, error) {
	im.boxes, im.roles, im.there = map[string]*target{}, map[mail.Role]string{}, map[string]adminapi.Mailbox{}
	mailboxes, err := im.Client.Mailboxes(ctx, im.Account)
	if err != nil {
		return &im.summary, err
	}
	for _, m := range mailboxes {
		im.there[m.Name] = m
		if m.Role != "" {
			im.roles[mail.Role(m.Role)] = m.Name
		}
	}
	folders, err := im.Source.Folders(ctx)
	if err != nil {
		return &im.summary, err
	}
	chosen := im.choose(folders)
	if len(chosen) == 0 {
		return &im.summary, errors.New("there is no folder to import" + whichOf(folders))
	}
	for i := range chosen {
		if err := im.folder(ctx, &chosen[i]); err != nil {
			im.summary.Notes = append(im.summary.Notes, im.Source.Notes()...)
			return &im.summary, fmt.Errorf("%s: %w", chosen[i].Name, err)
		}
		im.summary.Folders++
	}
	im.summary.Notes = append(im.summary.Notes, im.Source.Notes()...)
	return &im.summary, nil
}

func whichOf(list []Folder) string {
	if len(list) == 0 {
		return ""
	}
	names := make([]string, 0, 10)
	for _, f := range list[:min(len(list), 10)] {
		names = append(names, f.Name)
	}
	return "; there are " + strings.Join(names, ", ")
}

// choose leaves out what is not wanted. Folders that only show what is in
// others are wanted only by name.
func (im *Import) choose(list []Folder) []Folder {
	return slices.DeleteFunc(slices.Clone(list), func(f Folder) bool {
		named := slices.ContainsFunc(im.Only, func(p string) bool { return matches(p, f.Name) })
		if f.Virtual && !named {
			im.summary.Notes = append(im.summary.Notes, f.Name+" shows messages of other folders and was left out; --mailbox names it")
			return true
		}
		return len(im.Only) > 0 && !named || slices.ContainsFunc(im.Exclude, func(p string) bool { return matches(p, f.Name) })
	})
}

// matches compares a folder's name with one that a person typed, in which "*"
// stands for anything. What is below a folder that is named comes with it.
func matches(pattern, name string) bool {
	pattern, name = strings.ToLower(strings.TrimSuffix(pattern, "/")), strings.ToLower(name)
	if name == pattern || strings.HasPrefix(name, pattern+"/") {
		return true
	}
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 || !strings.HasPrefix(name, parts[0]) {
		return false
	}
	name = name[len(parts[0]):]
	for _, p := range parts[1 : len(parts)-1] {
		i := strings.Index(name, p)
		if i < 0 {
			return false
		}
		name = name[i+len(p):]
	}
	return strings.HasSuffix(name, parts[len(parts)-1])
}

// destination gives the mailbox of ours for a folder.
func (im *Import) destination(d destination) destination {
	if im.Into != "" {
		levels := append(strings.Split(im.Into, "/"), strings.Split(d.name, "/")...)
		return destination{name: levelsName(levels)}
	}
	if d.role == mail.RoleInbox {
		return destination{name: mailbox.InboxName}
	}
	if name, ok := im.roles[d.role]; ok && d.role != mail.RoleNone {
		d.name = name
	}
	return d
}

// target finds the mailbox, or makes it.
func (im *Import) target(ctx context.Context, d destination, subscribed *bool) (*target, error) {
	d = im.destination(d)
	if t, ok := im.boxes[d.name]; ok {
		return t, nil
	}
	t := &target{}
	im.boxes[d.name] = t
	had, exists := im.there[d.name]
	if im.DryRun {
		t.id = had.ID
		return t, nil
	}
	if had.Subscribed && d.role != mail.RoleNone {
		subscribed = nil // the mailboxes that every account has stay in sight
	}
	if exists && d.name == mailbox.InboxName {
		subscribed = nil
	}
	m, err := im.Client.PutMailbox(ctx, im.Account, adminapi.WantedMailbox{Name: d.name, Role: string(d.role), Subscribed: subscribed})
	if err != nil {
		return nil, err
	}
	t.id = m.ID
	if m.Messages > 0 {
		t.below = m.UIDNext
	}
	if d.role != mail.RoleNone && m.Role == string(d.role) {
		im.roles[d.role] = m.Name
	}
	return t, nil
}

// folder imports one folder.
func (im *Import) folder(ctx context.Context, f *Folder) error {
	im.tell(f, 0, 0)
	list, err := im.Source.List(ctx, f)
	if err != nil {
		return err
	}
	before := map[string]adminapi.Imported{}
	for row, err := range im.Client.Imported(ctx, im.Account, f.ID) {
		if err != nil {
			return err
		}
		before[row.Item] = row
	}
	if _, err := im.target(ctx, destination{f.Name, f.Role}, f.Subscribed); err != nil && !hasLabels(list) {
		return err
	}
	p := &plan{im: im, folder: f, before: before, listed: map[string]bool{}}
	for i := range list {
		if err := p.add(ctx, &list[i]); err != nil {
			return err
		}
	}
	if im.DryRun {
		im.summary.Imported += len(p.wanted)
		for i := range p.wanted {
			im.summary.Octets += max(p.wanted[i].Size, 0)
		}
		im.summary.Flags += len(p.changes)
		return nil
	}
	if err := p.fetch(ctx); err != nil {
		return err
	}
	return p.follow(ctx)
}

func hasLabels(list []Message) bool {
	return slices.ContainsFunc(list, func(m Message) bool { return m.Labels != nil })
}

func (im *Import) tell(f *Folder, done, total int) {
	if im.Progress != nil {
		im.Progress(Progress{f.Name, done, total})
	}
}

func (im *Import) fail(f *Folder, which, reason string) {
	im.summary.Failed++
	if len(im.summary.Failures) < maxFailures {
		im.summary.Failures = append(im.summary.Failures, Failure{f.Name, which, reason})
	}
}
