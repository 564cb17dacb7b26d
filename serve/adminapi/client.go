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
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"syscall"
)

// ErrNotRunning says that nobody listens on the socket.
var ErrNotRunning = errors.New("the server is not running")

// A Client calls the API of a running server.
type Client struct {
	socket string
	http   *http.Client
}

// NewClient makes a client for the socket in a data directory. It connects
// when it is used.
func NewClient(data string) *Client {
	c := &Client{socket: SocketPath(data)}
	c.http = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, data) },
	}}
	return c
}

// do sends a request; in and out may be nil.
func (c *Client) do(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	answer, err := c.open(ctx, method, path, "application/json", body)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if out == nil || answer.StatusCode == http.StatusNoContent {
		return nil
	}
	return json.NewDecoder(answer.Body).Decode(out)
}

// open sends a request and gives the answer, whose body the caller closes,
// unless it is a problem.
func (c *Client) open(ctx context.Context, method, path, contentType string, body io.Reader) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://waxwing"+path, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		request.Header.Set("Content-Type", contentType)
	}
	answer, err := c.http.Do(request)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("%w: nobody answers at %s", ErrNotRunning, c.socket)
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("not allowed to use %s: run this as the server's user or as root", c.socket)
	case err != nil:
		return nil, fmt.Errorf("ask the server at %s: %w", c.socket, errors.Unwrap(err))
	}
	if answer.StatusCode < 400 {
		return answer, nil
	}
	defer answer.Body.Close()
	var p Problem
	if err := json.NewDecoder(io.LimitReader(answer.Body, 1<<20)).Decode(&p); err != nil || p.Detail == "" {
		return nil, fmt.Errorf("the server answered %s", answer.Status)
	}
	return nil, &p
}

func call[T any](ctx context.Context, c *Client, method, path string, in any) (T, error) {
	var out T
	err := c.do(ctx, method, path, in, &out)
	return out, err
}

// list goes through all pages of a list that query chooses from.
func list[T any](ctx context.Context, c *Client, path string, query url.Values) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for query := maps.Clone(query); ; {
			p, err := call[page[T]](ctx, c, http.MethodGet, path+"?"+query.Encode(), nil)
			if err != nil {
				var zero T
				yield(zero, err)
				return
			}
			for _, item := range p.Items {
				if !yield(item, nil) {
					return
				}
			}
			if p.Next == "" {
				return
			}
			query.Set("after", p.Next)
		}
	}
}

// Status asks what runs.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return call[Status](ctx, c, http.MethodGet, "/v1/status", nil)
}

// Domains lists all domains.
func (c *Client) Domains(ctx context.Context) iter.Seq2[Domain, error] {
	return list[Domain](ctx, c, "/v1/domains", url.Values{})
}

// Domain gives one domain.
func (c *Client) Domain(ctx context.Context, name string) (Domain, error) {
	return call[Domain](ctx, c, http.MethodGet, "/v1/domains/"+url.PathEscape(name), nil)
}

// AddDomain adds a domain.
func (c *Client) AddDomain(ctx context.Context, d Domain) (Domain, error) {
	return call[Domain](ctx, c, http.MethodPost, "/v1/domains", d)
}

// ChangeDomain changes a domain.
func (c *Client) ChangeDomain(ctx context.Context, name string, change DomainChange) (Domain, error) {
	return call[Domain](ctx, c, http.MethodPatch, "/v1/domains/"+url.PathEscape(name), change)
}

// DeleteDomain removes a domain that nothing uses any more.
func (c *Client) DeleteDomain(ctx context.Context, name string) error {
	return c.do(ctx, http.MethodDelete, "/v1/domains/"+url.PathEscape(name), nil, nil)
}

// Accounts lists all accounts.
func (c *Client) Accounts(ctx context.Context) iter.Seq2[Account, error] {
	return list[Account](ctx, c, "/v1/accounts", url.Values{})
}

// Account gives one account with what it uses.
func (c *Client) Account(ctx context.Context, address string) (Account, error) {
	return call[Account](ctx, c, http.MethodGet, "/v1/accounts/"+url.PathEscape(address), nil)
}

// AddAccount makes an account.
func (c *Client) AddAccount(ctx context.Context, a NewAccount) (Account, error) {
	return call[Account](ctx, c, http.MethodPost, "/v1/accounts", a)
}

// ChangeAccount changes an account.
func (c *Client) ChangeAccount(ctx context.Context, address string, change AccountChange) (Account, error) {
	return call[Account](ctx, c, http.MethodPatch, "/v1/accounts/"+url.PathEscape(address), change)
}

// SetPassword sets an account's password; for "" the answer holds a new one.
func (c *Client) SetPassword(ctx context.Context, address, password string) (Account, error) {
	return call[Account](ctx, c, http.MethodPut, "/v1/accounts/"+url.PathEscape(address)+"/password", NewPassword{Password: password})
}

// DeleteAccount removes an account and its mail.
func (c *Client) DeleteAccount(ctx context.Context, address string) error {
	return c.do(ctx, http.MethodDelete, "/v1/accounts/"+url.PathEscape(address), nil, nil)
}

// DropIndex forgets the search index of an account, which is built anew when
// somebody searches.
func (c *Client) DropIndex(ctx context.Context, address string) error {
	return c.do(ctx, http.MethodDelete, "/v1/accounts/"+url.PathEscape(address)+"/index", nil, nil)
}

// Aliases lists all aliases.
func (c *Client) Aliases(ctx context.Context) iter.Seq2[Alias, error] {
	return list[Alias](ctx, c, "/v1/aliases", url.Values{})
}

// Alias gives one alias.
func (c *Client) Alias(ctx context.Context, address string) (Alias, error) {
	return call[Alias](ctx, c, http.MethodGet, "/v1/aliases/"+url.PathEscape(address), nil)
}

// AddAlias makes an alias.
func (c *Client) AddAlias(ctx context.Context, a NewAlias) (Alias, error) {
	return call[Alias](ctx, c, http.MethodPost, "/v1/aliases", a)
}

// ChangeAlias changes an alias.
func (c *Client) ChangeAlias(ctx context.Context, address string, change AliasChange) (Alias, error) {
	return call[Alias](ctx, c, http.MethodPatch, "/v1/aliases/"+url.PathEscape(address), change)
}

// DeleteAlias removes an alias.
func (c *Client) DeleteAlias(ctx context.Context, address string) error {
	return c.do(ctx, http.MethodDelete, "/v1/aliases/"+url.PathEscape(address), nil, nil)
}

// Queue lists what is on its way out.
func (c *Client) Queue(ctx context.Context, f QueueFilter) iter.Seq2[QueueItem, error] {
	query := url.Values{}
	for key, set := range map[string]bool{"held": f.Held, "deferred": f.Deferred, "underway": f.Underway, "untried": f.Untried} {
		if set {
			query.Set(key, "true")
		}
	}
	for key, text := range map[string]string{"from": f.From, "to": f.To, "domain": f.Domain, "said": f.Said, "frozen": f.Frozen, "account": f.Account} {
		if text != "" {
			query.Set(key, text)
		}
	}
	if f.Older > 0 {
		query.Set("older", f.Older.String())
	}
	if f.Larger > 0 {
		query.Set("larger", strconv.FormatInt(f.Larger, 10))
	}
	return list[QueueItem](ctx, c, "/v1/queue", query)
}

// QueueCounts tells how much is on its way out.
func (c *Client) QueueCounts(ctx context.Context) (QueueCounts, error) {
	return call[QueueCounts](ctx, c, http.MethodGet, "/v1/queue/counts", nil)
}

// QueueItem gives one item.
func (c *Client) QueueItem(ctx context.Context, id string) (QueueItem, error) {
	return call[QueueItem](ctx, c, http.MethodGet, "/v1/queue/"+url.PathEscape(id), nil)
}

// Hold keeps an item from being tried until Release.
func (c *Client) Hold(ctx context.Context, id string) error { return c.steer(ctx, id, "hold") }

// Release ends Hold.
func (c *Client) Release(ctx context.Context, id string) error { return c.steer(ctx, id, "release") }

// Retry makes an item due now.
func (c *Client) Retry(ctx context.Context, id string) error { return c.steer(ctx, id, "retry") }

func (c *Client) steer(ctx context.Context, id, what string) error {
	return c.do(ctx, http.MethodPost, "/v1/queue/"+url.PathEscape(id)+"/"+what, nil, nil)
}

// DeleteItem removes an item; nobody is told.
func (c *Client) DeleteItem(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodDelete, "/v1/queue/"+url.PathEscape(id), nil, nil)
}

// Reroute sends an item another way, such as "smtp:host:587"; "" for the
// ordinary way again.
func (c *Client) Reroute(ctx context.Context, id, to string) error {
	return c.do(ctx, http.MethodPost, "/v1/queue/"+url.PathEscape(id)+"/reroute", queueReroute{to}, nil)
}

// EditRecipient puts another address in the place of a recipient's.
func (c *Client) EditRecipient(ctx context.Context, id, old, to string) error {
	return c.do(ctx, http.MethodPost, "/v1/queue/"+url.PathEscape(id)+"/recipient", queueRecipient{old, to}, nil)
}

// Destinations adds up what waits, by domain, the most first.
func (c *Client) Destinations(ctx context.Context) ([]QueueDestination, error) {
	p, err := call[page[QueueDestination]](ctx, c, http.MethodGet, "/v1/queue/destinations", nil)
	return p.Items, err
}

// Freezes lists the rules that hold mail.
func (c *Client) Freezes(ctx context.Context) ([]QueueFreeze, error) {
	p, err := call[page[QueueFreeze]](ctx, c, http.MethodGet, "/v1/freezes", nil)
	return p.Items, err
}

// Freeze adds a rule and tells how many items it holds now.
func (c *Client) Freeze(ctx context.Context, f QueueFreeze) (QueueChanged, error) {
	return call[QueueChanged](ctx, c, http.MethodPost, "/v1/freezes", f)
}

// Thaw removes a rule and tells how many items it has let go.
func (c *Client) Thaw(ctx context.Context, name string) (QueueChanged, error) {
	return call[QueueChanged](ctx, c, http.MethodDelete, "/v1/freezes/"+url.PathEscape(name), nil)
}
