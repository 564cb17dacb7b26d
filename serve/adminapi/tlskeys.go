package adminapi

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"waxwing/store/tlskeys"
)

// ServerKeys has the keys of the certificates that this server shows.
type ServerKeys interface {
	// Current gives the keys, the oldest first; none if certificates are made
	// elsewhere.
	Current(ctx context.Context) ([]tlskeys.Key, error)
	// UseNext asks for a key to be used as soon as that is safe.
	UseNext(ctx context.Context, name string) error
	// TLSA gives the record of a key: where it is, and its data.
	TLSA(k tlskeys.Key) (name, data string)
	// Advice says what an operator has to do about a key.
	Advice(k tlskeys.Key) string
}

func (a *API) routeServerKeys(mux *http.ServeMux) {
	if a.o.ServerKeys == nil {
		return
	}
	mux.Handle("GET /v1/serverkeys", a.handle(http.StatusOK, a.listServerKeys))
	mux.Handle("POST /v1/serverkeys/{name}/use", a.handle(http.StatusOK, a.useServerKey))
}

// listServerKeys lists them as SigningKeys: they have the same life.
func (a *API) listServerKeys(r *http.Request) (any, error) {
	all, err := a.o.ServerKeys.Current(r.Context())
	if err != nil {
		return nil, err
	}
	p := page[SigningKey]{Items: []SigningKey{}}
	for _, k := range all {
		name, data := a.o.ServerKeys.TLSA(k)
		p.Items = append(p.Items, SigningKey{
			Domain: k.Host, Selector: k.Name, Algorithm: "tls", State: string(k.State), ToDo: a.o.ServerKeys.Advice(k),
			Name: name, Type: "TLSA", Record: data, Made: utc(k.Made), Published: instant(k.Published), Used: instant(k.Used), Retired: instant(k.Retired),
		})
	}
	return p, nil
}

func (a *API) useServerKey(r *http.Request) (any, error) {
	err := a.o.ServerKeys.UseNext(r.Context(), r.PathValue("name"))
	if errors.Is(err, tlskeys.ErrNotFound) {
		return nil, problemf(http.StatusNotFound, "there is no key %s that could follow the one in use; see: waxwing key list", r.PathValue("name"))
	}
	return nil, err
}

// ServerKeys lists the keys of the server's certificates.
func (c *Client) ServerKeys(ctx context.Context) ([]SigningKey, error) {
	p, err := call[page[SigningKey]](ctx, c, http.MethodGet, "/v1/serverkeys", nil)
	return p.Items, err
}

// UseServerKey has the next certificate fetched with a key, as soon as that is
// safe.
func (c *Client) UseServerKey(ctx context.Context, name string) error {
	return c.do(ctx, http.MethodPost, "/v1/serverkeys/"+url.PathEscape(name)+"/use", nil, nil)
}
