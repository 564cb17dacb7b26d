package main

import (
	"context"
	"errors"
)

// restoreCmd brings back what is gone: from the store itself, within the
// window of undelete.
type restoreCmd struct {
	lister
	Account string `help:"The account's address." placeholder:"ADDRESS"`
	Since   string `help:"Bring back what was deleted since then: \"2026-11-20 14:00\", \"3h\", \"2d\"." placeholder:"TIME" xor:"when"`
	At      string `help:"Bring back what was there at that time, with its flags of then." placeholder:"TIME" xor:"when"`
	Mailbox string `help:"Only of this mailbox." placeholder:"NAME"`
	Message string `help:"Only this message: its Message-ID, or the MESSAGE of the list." placeholder:"ID"`
	Into    string `help:"Put it into this mailbox, and not to where it was." placeholder:"NAME"`
	Flags   bool   `help:"With --at: give messages that are still there their flags of then, too."`
	List    bool   `help:"Only list what could be brought back."`
	DryRun  bool   `help:"Only say what would be done."`
}

func (c restoreCmd) Run(ctx context.Context, s streams) error {
	return errors.New("--account says whose mail to bring back; see: waxwing restore --help")
}
