package adminapi

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"waxwing/mail"
	"waxwing/obs"
	"waxwing/store/mailbox"
)

// stall is how long a client may take for one step of a stream.
const stall = 2 * time.Minute

// stream handles a request whose answer is a stream. run returns before it
// has written anything, or else its error ends the connection, so that the
// client knows that something is missing.
func (a *API) stream(contentType string, run func(w *streamWriter, r *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
		out := &streamWriter{control: http.NewResponseController(w), w: w, contentType: contentType}
		out.Writer = bufio.NewWriterSize(writerFunc(out.send), 64<<10)
		err := run(out, r)
		if err == nil {
			err = out.Flush()
		}
		switch {
		case err != nil && !out.begun:
			a.refuse(w, r, err)
		case err != nil:
			if r.Context().Err() == nil {
				a.o.Log.Error("administration failed", "method", r.Method, "path", r.URL.Path, obs.Err, err)
			}
			panic(http.ErrAbortHandler)
		case !out.begun:
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(http.StatusOK)
		}
	})
}

// A streamWriter buffers an answer and gives each part of it its time.
type streamWriter struct {
	*bufio.Writer
	control     *http.ResponseController
	w           http.ResponseWriter
	contentType string
	begun       bool
}

func (s *streamWriter) send(p []byte) (int, error) {
	if !s.begun {
		s.begun = true
		s.w.Header().Set("Content-Type", s.contentType)
	}
	_ = s.control.SetWriteDeadline(time.Now().Add(stall))
	return s.w.Write(p)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func mailboxOf(i mailbox.Info) Mailbox {
	return Mailbox{
		ID: uint32(i.ID), Name: i.Name, Role: string(i.Role), Subscribed: i.Subscribed, NoSelect: i.NoSelect,
		UIDValidity: uint32(i.UIDValidity), UIDNext: uint32(i.UIDNext), HighestModSeq: uint64(i.HighestModSeq),
		Messages: i.Messages, Size: int64(i.Size),
	}
}

// mailboxes finds the account that the path names, and its mail.
func (a *API) mailboxes(r *http.Request) (*mailbox.Account, error) {
	account, err := a.account(r)
	if err != nil {
		return nil, err
	}
	return a.o.Mailboxes.Account(account.ID), nil
}

// listMailboxes answers with one page: an account has some thousands at most.
func (a *API) listMailboxes(r *http.Request) (any, error) {
	account, err := a.mailboxes(r)
	if err != nil {
		return nil, err
	}
	all, err := account.Mailboxes(r.Context())
	if err != nil {
		return nil, err
	}
	p := page[Mailbox]{Items: make([]Mailbox, 0, len(all))}
	for _, info := range all {
		p.Items = append(p.Items, mailboxOf(info))
	}
	return p, nil
}

// putMailbox makes sure that there is a mailbox.
func (a *API) putMailbox(r *http.Request) (any, error) {
	body, err := decode[WantedMailbox](r)
	if err != nil {
		return nil, err
	}
	account, err := a.mailboxes(r)
	if err != nil {
		return nil, err
	}
	ctx := r.Context()
	info, err := account.Mailbox(ctx, body.Name)
	if errors.Is(err, mailbox.ErrNoMailbox) || err == nil && info.NoSelect {
		if info, err = createMailbox(ctx, account, body); err != nil {
			return nil, err
		}
		if body.Subscribed == nil {
			yes := true
			body.Subscribed = &yes
		}
	}
	if err != nil {
		return nil, err
	}
	if body.Subscribed != nil && *body.Subscribed != info.Subscribed {
		if err := account.Subscribe(ctx, info.Name, *body.Subscribed); err != nil {
			return nil, err
		}
		info.Subscribed = *body.Subscribed
	}
	return mailboxOf(info), nil
}

func createMailbox(ctx context.Context, account *mailbox.Account, wanted WantedMailbox) (mailbox.Info, error) {
	role := mail.Role(wanted.Role)
	if role == mail.RoleInbox {
		role = mail.RoleNone
	}
	if role != mail.RoleNone {
		if _, err := account.MailboxByRole(ctx, role); !errors.Is(err, mailbox.ErrNoMailbox) {
			role = mail.RoleNone
		}
	}
	info, err := account.CreateMailbox(ctx, wanted.Name, mailbox.CreateOptions{Role: role})
	switch {
	case errors.Is(err, mailbox.ErrName):
		return info, problemf(http.StatusUnprocessableEntity, "a mailbox cannot be called %q: %v", wanted.Name, err)
	case errors.Is(err, mailbox.ErrTooMany):
		return info, problemf(http.StatusUnprocessableEntity, "there are too many mailboxes already")
	case errors.Is(err, mailbox.ErrExists): // somebody else was quicker
		return account.Mailbox(ctx, wanted.Name)
	}
	return info, err
}

// open opens the mailbox that the path names.
func (a *API) openMailbox(r *http.Request) (*mailbox.Account, *mailbox.View, error) {
	account, err := a.mailboxes(r)
	if err != nil {
		return nil, nil, err
	}
	id, err := strconv.ParseUint(r.PathValue("mailbox"), 10, 32)
	if err != nil {
		return nil, nil, problemf(http.StatusUnprocessableEntity, "%q is not the id of a mailbox", r.PathValue("mailbox"))
	}
	view, err := account.Open(r.Context(), mail.MailboxID(id))
	if errors.Is(err, mailbox.ErrNoMailbox) {
		err = problemf(http.StatusNotFound, "no such mailbox")
	}
	return account, view, err
}

func entryOf(account *mailbox.Account, e mailbox.Entry) Entry {
	return Entry{
		UID: uint32(e.UID), Email: e.Email.String(), Flags: FlagNames(e.Flags, account.Keywords(e.Keywords)),
		Internal: e.Internal, Size: int64(e.Size),
	}
}

// streamEntries tells of all messages of a mailbox, a line of JSON each.
func (a *API) streamEntries(w *streamWriter, r *http.Request) error {
	account, view, err := a.openMailbox(r)
	if err != nil {
		return err
	}
	defer view.Close()
	lines := json.NewEncoder(w)
	for _, e := range view.Snapshot().Entries(0) {
		if err := lines.Encode(entryOf(account, e)); err != nil {
			return err
		}
	}
	return nil
}

// fetchPart is how many messages are read at a time.
const fetchPart = 64

// fetchMessages gives messages, heads and octets in turn. What is gone
// meanwhile is left out.
func (a *API) fetchMessages(w *streamWriter, r *http.Request) error {
	wanted, err := decode[uidList](r)
	if err != nil {
		return err
	}
	if len(wanted.UIDs) > MaxBatchUIDs {
		return problemf(http.StatusUnprocessableEntity, "more than %d messages are asked for", MaxBatchUIDs)
	}
	account, view, err := a.openMailbox(r)
	if err != nil {
		return err
	}
	defer view.Close()
	snapshot := view.Snapshot()
	var list []mailbox.Entry
	for _, uid := range wanted.UIDs {
		if i, ok := snapshot.Find(mail.UID(uid)); ok {
			list = append(list, snapshot.At(i))
		}
	}
	for len(list) > 0 {
		part := list[:min(len(list), fetchPart)]
		ids := make([]mail.EmailID, len(part))
		for i, e := range part {
			ids[i] = e.Email
		}
		inline, err := account.ReadInline(r.Context(), ids)
		if err != nil {
			return err
		}
		for i, text := range inline {
			if err := writeMessage(r.Context(), w, account, part[i], text); err != nil {
				return err
			}
		}
		list = list[len(inline):]
	}
	return nil
}

func writeMessage(ctx context.Context, w *streamWriter, account *mailbox.Account, e mailbox.Entry, text []byte) error {
	head := entryOf(account, e)
	if text != nil {
		head.Size = int64(len(text))
		if err := writeHead(w.Writer, head); err != nil {
			return err
		}
		_, err := w.Write(text)
		return err
	}
	body, err := account.OpenMessage(ctx, e.Email)
	switch {
	case errors.Is(err, mailbox.ErrNoMessage):
		return nil
	case mailbox.IsDamaged(err): // the others are whole
		head.Size, head.Failed = 0, fmt.Sprintf("it is damaged on the disk (%v); see: waxwing verify", err)
		return writeHead(w.Writer, head)
	case err != nil:
		return err
	}
	defer body.Close()
	head.Size = int64(body.Size())
	if err := writeHead(w.Writer, head); err != nil {
		return err
	}
	_, err = io.Copy(w, io.NewSectionReader(body, 0, head.Size))
	return err
}
