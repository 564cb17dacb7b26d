package adminapi

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"net/url"
	"time"

	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/store/mailbox"
)

// LostMessage is a message that is gone and can be brought back.
type LostMessage struct {
	Message   string    `json:"message"` // names it in a RestoreRequest
	Mailbox   string    `json:"mailbox"` // where it was
	Deleted   bool      `json:"mailbox_deleted,omitempty"`
	Gone      time.Time `json:"gone"`
	Arrived   time.Time `json:"arrived"`
	Date      time.Time `json:"date,omitzero"` // as the sender wrote it
	From      string    `json:"from"`
	Subject   string    `json:"subject"`
	MessageID string    `json:"message_id,omitempty"`
	Size      int64     `json:"size"`
}

// LostFilter chooses lost messages; the zero value chooses all.
type LostFilter struct {
	Since   time.Time
	Mailbox string
	Message string // as the list has it, or a Message-ID
}

// RestoreRequest is a POST; one of Since and At is given.
type RestoreRequest struct {
	Since   time.Time `json:"since,omitzero"`
	At      time.Time `json:"at,omitzero"`
	Mailbox string    `json:"mailbox,omitempty"`
	Message string    `json:"message,omitempty"`
	Into    string    `json:"into,omitempty"`
	Flags   bool      `json:"flags,omitempty"`
	DryRun  bool      `json:"dry_run,omitempty"`
}

// Restored tells what has come back, or would.
type Restored struct {
	Messages  int               `json:"messages"`
	Octets    int64             `json:"octets"`
	Mailboxes []RestoredMailbox `json:"mailboxes"`
	Flags     int               `json:"flags"` // messages that only got their flags back
	Notes     []string          `json:"notes"`
}

// RestoredMailbox tells of one mailbox.
type RestoredMailbox struct {
	Was      string `json:"was"`
	Is       string `json:"is"` // its name now
	Messages int    `json:"messages"`
	Whole    bool   `json:"whole"` // the mailbox itself was gone, and is back
}

func lostOf(l mailbox.LostMessage) LostMessage {
	m := LostMessage{
		Message: l.Entry.Email.String(), Mailbox: l.Name, Deleted: l.Whole, Gone: utc(l.Gone),
		Arrived: l.Entry.InternalDate(), Size: int64(l.Entry.Size),
	}
	if l.Facts == nil {
		return m
	}
	e := &l.Facts.Message.Envelope
	m.Date, m.Subject = utc(l.Facts.Message.Date), message.DecodeHeader(e.Subject)
	if len(e.From) > 0 {
		m.From = sender(e.From[0])
	}
	if ids := message.ParseMessageIDs(e.MessageID); len(ids) > 0 {
		m.MessageID = ids[0]
	}
	return m
}

// sender names a person as a list does.
func sender(a message.Address) string {
	if name := message.DecodeHeader(a.Name); name != "" {
		return name
	}
	if a.Domain == "" {
		return a.Local
	}
	return a.Local + "@" + a.Domain
}

func (a *API) listLost(r *http.Request) (any, error) {
	account, err := a.account(r)
	if err != nil {
		return nil, err
	}
	query := r.URL.Query()
	o := mailbox.LostOptions{After: query.Get("after")}
	if s := query.Get("since"); s != "" {
		if o.Since, err = time.Parse(time.RFC3339, s); err != nil {
			return nil, problemf(http.StatusBadRequest, "since: %v", err)
		}
	}
	of := mailbox.RestoreOptions{Mailbox: query.Get("mailbox"), Message: query.Get("message")}
	found, err := paged(r, a.o.Mailboxes.Account(account.ID).LostMessages(r.Context(), o, of), lostOf,
		func(l mailbox.LostMessage) string { return l.Mark() })
	if err != nil {
		return nil, restoreProblem(err, mailbox.Restored{})
	}
	return found, nil
}

func (a *API) restore(r *http.Request) (any, error) {
	body, err := decode[RestoreRequest](r)
	if err != nil {
		return nil, err
	}
	if body.Since.IsZero() == body.At.IsZero() {
		return nil, problemf(http.StatusUnprocessableEntity, "say either since when deleted mail is to come back, or at what time the account is to be looked at")
	}
	if body.Flags && body.At.IsZero() {
		return nil, problemf(http.StatusUnprocessableEntity, "flags can be set back to a time only: say at what time")
	}
	now := time.Now()
	if body.Since.After(now) || body.At.After(now) {
		return nil, problemf(http.StatusUnprocessableEntity, "that time is in the future")
	}
	account, err := a.account(r)
	if err != nil {
		return nil, err
	}
	done, err := a.o.Mailboxes.Account(account.ID).Restore(r.Context(), now, mailbox.RestoreOptions{
		Since: body.Since, At: body.At, Mailbox: body.Mailbox, Message: body.Message,
		Into: body.Into, Flags: body.Flags, DryRun: body.DryRun,
	})
	if err != nil {
		return nil, restoreProblem(err, done)
	}
	answer := Restored{Messages: done.Messages, Octets: int64(done.Octets), Flags: done.Flags, Mailboxes: []RestoredMailbox{}, Notes: done.Notes}
	for _, m := range done.Mailboxes {
		answer.Mailboxes = append(answer.Mailboxes, RestoredMailbox(m))
	}
	if answer.Notes == nil {
		answer.Notes = []string{}
	}
	return answer, nil
}

// restoreProblem says why nothing, or not all, has come back, and what to do.
func restoreProblem(err error, done mailbox.Restored) error {
	var after string
	if done.Messages > 0 {
		after = "; what had come back by then is there, and doing the same again brings the rest"
	}
	if n, ok := errors.AsType[*mailbox.NoRoom](err); ok {
		return problemf(http.StatusConflict, "no room: %v; raise the quota (waxwing account set ADDRESS --quota SIZE), or choose with a mailbox or a message", n)
	}
	if old, ok := errors.AsType[*mailbox.TooOld](err); ok {
		return problemf(http.StatusUnprocessableEntity, "nobody knows any more what was there by then: %v; ask for what was deleted since then instead", old)
	}
	switch {
	case errors.Is(err, mailbox.ErrOverQuota):
		return problemf(http.StatusConflict, "the quota is full: %v%s", err, after)
	case errors.Is(err, mailbox.ErrNoMailbox):
		return problemf(http.StatusNotFound, "%v", err)
	case errors.Is(err, mailbox.ErrName):
		return problemf(http.StatusUnprocessableEntity, "%v", err)
	}
	return err
}

// Lost lists what can be brought back of an account.
func (c *Client) Lost(ctx context.Context, account string, f LostFilter) iter.Seq2[LostMessage, error] {
	query := url.Values{}
	if !f.Since.IsZero() {
		query.Set("since", f.Since.UTC().Format(time.RFC3339))
	}
	for name, value := range map[string]string{"mailbox": f.Mailbox, "message": f.Message} {
		if value != "" {
			query.Set(name, value)
		}
	}
	return list[LostMessage](ctx, c, "/v1/accounts/"+url.PathEscape(account)+"/lost", query)
}

// Restore brings back what is gone.
func (c *Client) Restore(ctx context.Context, account string, r RestoreRequest) (Restored, error) {
	return call[Restored](ctx, c, http.MethodPost, "/v1/accounts/"+url.PathEscape(account)+"/restore", r)
}

// patient takes away the limits of time of a request whose answer may be long
// in coming.
func patient(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		// A connection without deadlines (in tests) has none to take away.
		_ = control.SetReadDeadline(time.Time{})
		_ = control.SetWriteDeadline(time.Time{})
		h.ServeHTTP(w, r)
	})
}

// usage adds to an account how full it is.
func (a *API) usage(ctx context.Context, id mail.AccountID, answer *Account) error {
	u, err := a.o.Mailboxes.Account(id).Usage(ctx)
	if err != nil {
		return err
	}
	used, lost := int64(u.Bytes), int64(u.Recoverable)
	answer.Used, answer.Messages, answer.Lost, answer.Recoverable = &used, &u.Messages, &lost, int64(u.RecoverableOwn)
	return nil
}
