package adminapi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
)

func accountPath(address string) string { return "/v1/accounts/" + url.PathEscape(address) }

func mailboxPath(address string, id uint32) string {
	return accountPath(address) + "/mailboxes/" + strconv.FormatUint(uint64(id), 10)
}

// Mailboxes lists an account's mailboxes, INBOX first.
func (c *Client) Mailboxes(ctx context.Context, address string) ([]Mailbox, error) {
	p, err := call[page[Mailbox]](ctx, c, http.MethodGet, accountPath(address)+"/mailboxes", nil)
	return p.Items, err
}

// PutMailbox makes sure that there is a mailbox.
func (c *Client) PutMailbox(ctx context.Context, address string, m WantedMailbox) (Mailbox, error) {
	return call[Mailbox](ctx, c, http.MethodPut, accountPath(address)+"/mailboxes", m)
}

// Entries goes through the messages of a mailbox by UID.
func (c *Client) Entries(ctx context.Context, address string, id uint32) iter.Seq2[Entry, error] {
	return lines[Entry](ctx, c, mailboxPath(address, id)+"/entries")
}

// Imported goes through what is remembered of a source.
func (c *Client) Imported(ctx context.Context, address, source string) iter.Seq2[Imported, error] {
	return lines[Imported](ctx, c, accountPath(address)+"/imported/"+source)
}

// FollowSource carries over what has changed at a source.
func (c *Client) FollowSource(ctx context.Context, address, source string, changes []SourceChange) (SourceChanged, error) {
	return call[SourceChanged](ctx, c, http.MethodPost, accountPath(address)+"/imported/"+source, SourceChanges{changes})
}

// lines goes through an answer that is a line of JSON for each item.
func lines[T any](ctx context.Context, c *Client, path string) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		answer, err := c.open(ctx, http.MethodGet, path, "", nil)
		if err != nil {
			yield(zero, err)
			return
		}
		defer answer.Body.Close()
		for d := json.NewDecoder(answer.Body); ; {
			var item T
			err := d.Decode(&item)
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(zero, fmt.Errorf("the server broke off: %w", err))
				return
			}
			if !yield(item, nil) {
				return
			}
		}
	}
}

// Messages calls fn for each of the messages of a mailbox with these UIDs, in
// their order; those that are gone are left out. fn may leave some of the
// octets unread.
func (c *Client) Messages(ctx context.Context, address string, id uint32, uids []uint32, fn func(Entry, io.Reader) error) error {
	body, err := json.Marshal(uidList{uids})
	if err != nil {
		return err
	}
	answer, err := c.open(ctx, http.MethodPost, mailboxPath(address, id)+"/fetch", "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	for in := bufio.NewReaderSize(answer.Body, maxHead); ; {
		var e Entry
		err := readHead(in, &e)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the server broke off: %w", err)
		}
		text := &io.LimitedReader{R: in, N: e.Size}
		if err := fn(e, text); err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, text); err != nil || text.N > 0 {
			return fmt.Errorf("the server broke off in a message: %w", errors.Join(err, io.ErrUnexpectedEOF))
		}
	}
}

// An Outgoing is a message that is to be imported, with its octets.
type Outgoing struct {
	Incoming
	Text io.Reader
}

// AddMessages imports messages, MaxBatch at most, and tells of each what has
// become of it. What it tells is durable. An error means that it is not known;
// asking again does nothing twice.
func (c *Client) AddMessages(ctx context.Context, address string, list []Outgoing) ([]Outcome, error) {
	in, out := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := writeMessages(out, list)
		_ = out.CloseWithError(err)
		written <- err
	}()
	answer, err := c.open(ctx, http.MethodPost, accountPath(address)+"/messages", "application/x-waxwing-messages", in)
	_ = in.CloseWithError(io.ErrClosedPipe)
	if wrote := <-written; wrote != nil && !errors.Is(wrote, io.ErrClosedPipe) {
		err = errors.Join(wrote, err) // it could not be read: that is the reason
	}
	if answer != nil {
		defer answer.Body.Close()
	}
	if err != nil {
		return nil, err
	}
	var all outcomes
	if err := json.NewDecoder(answer.Body).Decode(&all); err != nil {
		return nil, fmt.Errorf("the server broke off: %w", err)
	}
	if len(all.Outcomes) != len(list) {
		return nil, fmt.Errorf("the server tells of %d messages instead of %d", len(all.Outcomes), len(list))
	}
	return all.Outcomes, nil
}

func writeMessages(to io.Writer, list []Outgoing) error {
	w := bufio.NewWriterSize(to, 64<<10)
	for _, m := range list {
		if err := writeHead(w, m.Incoming); err != nil {
			return err
		}
		n, err := io.Copy(w, io.LimitReader(m.Text, m.Size))
		if err != nil {
			return err
		}
		if n < m.Size {
			return fmt.Errorf("read a message: %w", io.ErrUnexpectedEOF)
		}
	}
	return w.Flush()
}
