package adminapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"syscall"
	"time"

	"waxwing/mail"
	"waxwing/obs"
	"waxwing/store/directory"
	"waxwing/store/mailbox"
	"waxwing/store/outqueue"
)

// VerifyRequest says what is to be checked, and how.
type VerifyRequest struct {
	Account string `json:"account,omitempty"` // only this one's mail; empty: everything
	Deep    bool   `json:"deep,omitempty"`    // reads all texts and compares them with their hashes
	Repair  bool   `json:"repair,omitempty"`  // mends what can be mended
}

// VerifyEvent is one thing that a check tells as it goes: of the fields but
// Where, one is set.
type VerifyEvent struct {
	Where string `json:"where"` // an account's address, "directory" or "queue"

	Finding  *VerifyFinding  `json:"finding,omitempty"`
	Progress *VerifyProgress `json:"progress,omitempty"`
	Clean    bool            `json:"clean,omitempty"`  // has been checked, and nothing was found
	Failed   string          `json:"failed,omitempty"` // could not be checked
	Done     bool            `json:"done,omitempty"`   // the last event
}

// VerifyFinding is something that is not as it must be.
type VerifyFinding struct {
	What   string `json:"what"`
	Means  string `json:"means"`
	Repair string `json:"repair"` // what repairing does, or who must do it
	Mended bool   `json:"mended"`
	Failed string `json:"failed,omitempty"` // why it could not be mended
}

// VerifyProgress tells how far a check of many messages is.
type VerifyProgress struct {
	Done int `json:"done"`
	Of   int `json:"of"`
}

// Verify checks the directory, the queue and all accounts, or one account, and
// tells what it finds. What cannot be checked is told as Failed, and the rest
// is checked all the same. It returns an error if it cannot begin.
func (a *API) Verify(ctx context.Context, request VerifyRequest, tell func(VerifyEvent)) error {
	v := verifier{a, request, tell}
	if request.Account != "" {
		who, err := address(request.Account)
		if err != nil {
			return err
		}
		account, err := a.o.Directory.AccountByAddress(ctx, who)
		if err != nil {
			return err
		}
		v.account(ctx, account.ID, account.Address.String(), true)
		return ctx.Err()
	}
	v.part("directory", func(found func(VerifyFinding)) error {
		return a.o.Directory.Verify(ctx, request.Repair, func(f directory.Finding) { found(VerifyFinding(f)) })
	})
	known := make(map[mail.AccountID]string)
	for account, err := range a.o.Directory.Accounts(ctx, 0) {
		if err != nil {
			tell(VerifyEvent{Where: "directory", Failed: err.Error()})
			break
		}
		known[account.ID] = account.Address.String()
	}
	v.part("queue", func(found func(VerifyFinding)) error {
		return a.o.Queue.Verify(ctx, request.Repair, func(f outqueue.Finding) { found(VerifyFinding(f)) })
	})
	for id, err := range a.o.Mailboxes.Accounts(ctx) {
		if err != nil {
			return err
		}
		name, ok := known[id]
		if !ok {
			name = id.String()
		}
		delete(known, id)
		v.account(ctx, id, name, ok)
	}
	for id, name := range known {
		v.missing(ctx, id, name)
	}
	return ctx.Err()
}

// A verifier is one Verify.
type verifier struct {
	a       *API
	request VerifyRequest
	tell    func(VerifyEvent)
}

// part checks one room.
func (v verifier) part(where string, check func(found func(VerifyFinding)) error) {
	clean := true
	err := check(func(f VerifyFinding) {
		clean = false
		v.tell(VerifyEvent{Where: where, Finding: &f})
	})
	switch {
	case err != nil:
		v.tell(VerifyEvent{Where: where, Failed: err.Error()})
	case clean:
		v.tell(VerifyEvent{Where: where, Clean: true})
	}
}

func (v verifier) account(ctx context.Context, id mail.AccountID, name string, known bool) {
	v.part(name, func(found func(VerifyFinding)) error {
		if !known {
			// It may be on its way in or out right now.
			if _, err := v.a.o.Directory.Account(ctx, id); errors.Is(err, directory.ErrNotFound) {
				found(VerifyFinding{What: fmt.Sprintf("there is mail of account %s, which the directory does not know", id), Means: "nobody can read it",
					Repair: "nobody but you can: restore the directory from a backup, or leave it"})
			}
		}
		told, mended := time.Now(), false
		err := v.a.o.Mailboxes.Account(id).Check(ctx, mailbox.CheckOptions{
			Deep: v.request.Deep, Repair: v.request.Repair,
			Progress: func(done, of int) {
				if time.Since(told) > time.Second {
					told = time.Now()
					v.tell(VerifyEvent{Where: name, Progress: &VerifyProgress{done, of}})
				}
			},
		}, func(f mailbox.Finding) {
			mended = mended || f.Mended
			found(VerifyFinding(f))
		})
		if mended && v.a.o.Index != nil { // it may tell of what was mended
			err = errors.Join(err, v.a.o.Index.Drop(ctx, id))
		}
		if !known && errors.Is(err, mailbox.ErrNoAccount) {
			return nil
		}
		return err
	})
}

// missing tells of an account without mailboxes, and gives it some.
func (v verifier) missing(ctx context.Context, id mail.AccountID, name string) {
	v.part(name, func(found func(VerifyFinding)) error {
		account, err := v.a.o.Directory.Account(ctx, id)
		if errors.Is(err, directory.ErrNotFound) {
			return nil
		}
		f := VerifyFinding{What: "the account has no mailboxes", Means: "its mail cannot be delivered, and it cannot log in", Repair: "makes those of a new account"}
		if v.request.Repair && err == nil {
			err = v.a.o.Mailboxes.Create(ctx, id, time.Now(), mailbox.AccountOptions{Quota: account.Quota})
			f.Mended = err == nil
		}
		found(f)
		return err
	})
}

// serveVerify answers with events, a line each, as they come.
func (a *API) serveVerify(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
	request, err := decode[VerifyRequest](r)
	if err != nil {
		p := problemOf(err)
		write(w, "application/problem+json", p.Status, p)
		return
	}
	a.o.Log.Info("administration", "method", r.Method, "path", r.URL.Path)
	control, lines := http.NewResponseController(w), json.NewEncoder(w)
	begun := false
	tell := func(e VerifyEvent) {
		if !begun {
			w.Header().Set("Content-Type", "application/x-ndjson")
			begun = true
		}
		// The peer may be gone; then the context ends the check.
		_ = lines.Encode(e)
		_ = control.Flush()
	}
	if err := a.Verify(r.Context(), request, tell); err != nil {
		p := problemOf(err)
		if p.Status >= 500 {
			a.o.Log.Error("administration failed", "method", r.Method, "path", r.URL.Path, obs.Err, err)
		}
		if !begun {
			write(w, "application/problem+json", p.Status, p)
			return
		}
		tell(VerifyEvent{Where: "server", Failed: p.Detail})
	}
	tell(VerifyEvent{Where: "server", Done: true})
}

// Verify has the server check what it keeps, and gives what it tells.
func (c *Client) Verify(ctx context.Context, request VerifyRequest) iter.Seq2[VerifyEvent, error] {
	return func(yield func(VerifyEvent, error) bool) {
		body, err := json.Marshal(request)
		if err != nil {
			yield(VerifyEvent{}, err)
			return
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://waxwing/v1/verify", bytes.NewReader(body))
		if err != nil {
			yield(VerifyEvent{}, err)
			return
		}
		answer, err := c.http.Do(r)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
			err = fmt.Errorf("%w: nobody answers at %s", ErrNotRunning, c.socket)
		case err != nil:
			err = fmt.Errorf("ask the server at %s: %w", c.socket, err)
		}
		if err != nil {
			yield(VerifyEvent{}, err)
			return
		}
		defer answer.Body.Close()
		if answer.StatusCode >= 400 {
			var p Problem
			if err := json.NewDecoder(io.LimitReader(answer.Body, 1<<20)).Decode(&p); err != nil || p.Detail == "" {
				yield(VerifyEvent{}, fmt.Errorf("the server answered %s", answer.Status))
				return
			}
			yield(VerifyEvent{}, &p)
			return
		}
		for d := json.NewDecoder(answer.Body); ; {
			var e VerifyEvent
			if err := d.Decode(&e); err != nil {
				yield(VerifyEvent{}, fmt.Errorf("the server has gone in the middle: %w", err))
				return
			}
			if e.Done || !yield(e, nil) {
				return
			}
		}
	}
}
