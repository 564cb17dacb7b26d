package adminapi

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"waxwing/obs"
	"waxwing/store/directory"
	"waxwing/store/dkimkeys"
	"waxwing/trust/records"
)

// Signing has the keys that sign our mail, and knows what the DNS should have
// of our domains, and has.
type Signing interface {
	Keys(ctx context.Context, domain string) ([]dkimkeys.Key, error)
	Add(ctx context.Context, now time.Time, domain string) ([]dkimkeys.Key, error)
	Use(ctx context.Context, now time.Time, domain, selector string) error
	Remove(ctx context.Context, domain, selector string) error
	RemoveDomain(ctx context.Context, domain string) error

	// Advance moves the keys of a domain on as far as time and the DNS permit,
	// and makes the first ones.
	Advance(ctx context.Context, now time.Time, domain string) ([]dkimkeys.Step, error)
	// ToDo says what an operator has to do about a key.
	ToDo(k dkimkeys.Key) string
	// Published gives what there is to publish about a domain.
	Published(ctx context.Context, domain string) (records.Domain, error)
	// Check compares that with what the DNS has.
	Check(ctx context.Context, now time.Time, d records.Domain) []records.Finding
}

// SigningKey is a key that signs mail, or has signed, or will; or a key of this
// server's certificates, whose life is the same.
type SigningKey struct {
	Domain    string     `json:"domain"`
	Selector  string     `json:"selector"`
	Algorithm string     `json:"algorithm"`
	State     string     `json:"state"` // made, published, used or retired
	ToDo      string     `json:"to_do"` // in words
	Name      string     `json:"name"`  // where its record is published
	Type      string     `json:"type"`  // of the record: TXT, or TLSA for a key of certificates
	Record    string     `json:"record"`
	Made      time.Time  `json:"made"`
	Published *time.Time `json:"published,omitempty"`
	Used      *time.Time `json:"used,omitempty"`
	Retired   *time.Time `json:"retired,omitempty"`
}

// NewSigningKeys is a POST.
type NewSigningKeys struct {
	Domain string `json:"domain"`
}

// DNSRecord is a record to be published, and what the DNS has of it, if that
// was asked for.
type DNSRecord struct {
	Name     string   `json:"name"`
	Type     string   `json:"type"`
	Data     string   `json:"data"` // as in a zone file
	Why      string   `json:"why"`
	Optional bool     `json:"optional,omitempty"`
	State    string   `json:"state,omitempty"` // ok, missing, different or unknown
	Found    []string `json:"found,omitempty"`
	Mend     string   `json:"mend,omitempty"` // in words
	Security string   `json:"security,omitempty"`
}

// Wrong tells whether something has to be done about it.
func (r DNSRecord) Wrong() bool {
	return r.State != "" && r.State != string(records.OK) && !r.Optional
}

func (a *API) routeSigning(mux *http.ServeMux) {
	if a.o.Signing == nil {
		return
	}
	mux.Handle("GET /v1/keys", a.handle(http.StatusOK, a.listKeys))
	mux.Handle("POST /v1/keys", a.handle(http.StatusCreated, a.addKeys))
	mux.Handle("POST /v1/keys/{domain}/{selector}/use", a.handle(http.StatusOK, a.useKey))
	mux.Handle("DELETE /v1/keys/{domain}/{selector}", a.handle(http.StatusOK, a.removeKey))
	mux.Handle("GET /v1/domains/{name}/dns", patient(a.handle(http.StatusOK, a.dnsRecords)))
}

func (a *API) keyOf(k dkimkeys.Key) SigningKey {
	return SigningKey{
		Domain: k.Domain, Selector: k.Selector, Algorithm: k.Algorithm, State: string(k.State), ToDo: a.o.Signing.ToDo(k),
		Name: k.Name(), Type: "TXT", Record: k.Record, Made: utc(k.Made), Published: instant(k.Published), Used: instant(k.Used), Retired: instant(k.Retired),
	}
}

// instant gives a time as JSON has it, which leaves out what has not been.
func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = utc(t)
	return &t
}

func (a *API) listKeys(r *http.Request) (any, error) {
	domain := r.URL.Query().Get("domain")
	if domain != "" {
		d, err := a.o.Directory.Domain(r.Context(), domain)
		if err != nil {
			return nil, err
		}
		domain = d.Name
	}
	all, err := a.o.Signing.Keys(r.Context(), domain)
	if err != nil {
		return nil, err
	}
	after := r.URL.Query().Get("after")
	for i, k := range all {
		if k.Name() == after {
			all = all[i+1:]
			break
		}
	}
	return paged(r, each(all), a.keyOf, dkimkeys.Key.Name)
}

func (a *API) addKeys(r *http.Request) (any, error) {
	body, err := decode[NewSigningKeys](r)
	if err != nil {
		return nil, err
	}
	d, err := a.o.Directory.Domain(r.Context(), body.Domain)
	if err != nil {
		return nil, err
	}
	added, err := a.o.Signing.Add(r.Context(), time.Now(), d.Name)
	if err != nil {
		return nil, err
	}
	p := page[SigningKey]{}
	for _, k := range added {
		p.Items = append(p.Items, a.keyOf(k))
	}
	return p, nil
}

func (a *API) useKey(r *http.Request) (any, error) {
	return nil, keyProblem(r, a.o.Signing.Use(r.Context(), time.Now(), r.PathValue("domain"), r.PathValue("selector")))
}

func (a *API) removeKey(r *http.Request) (any, error) {
	return nil, keyProblem(r, a.o.Signing.Remove(r.Context(), r.PathValue("domain"), r.PathValue("selector")))
}

func keyProblem(r *http.Request, err error) error {
	if errors.Is(err, dkimkeys.ErrNotFound) {
		return problemf(http.StatusNotFound, "%s has no key with the selector %s; see: waxwing key list", r.PathValue("domain"), r.PathValue("selector"))
	}
	return err
}

// longestCheck is how long looking may take where the DNS does not answer.
const longestCheck = time.Minute

// dnsRecords gives what a domain needs in the DNS, and what is there of it if
// that is asked for. Looking moves the domain's keys on, too.
func (a *API) dnsRecords(r *http.Request) (any, error) {
	d, err := a.o.Directory.Domain(r.Context(), r.PathValue("name"))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), longestCheck)
	defer cancel()
	checked := r.URL.Query().Get("check") == "true"
	if checked {
		if _, err := a.o.Signing.Advance(ctx, time.Now(), d.Name); err != nil {
			a.o.Log.Info("signing keys cannot be looked after", obs.Domain, d.Name, obs.Err, err) // what is wrong is found below
		}
	}
	published, err := a.o.Signing.Published(ctx, d.Name)
	if err != nil {
		return nil, err
	}
	p := page[DNSRecord]{Items: []DNSRecord{}}
	if !checked {
		for _, record := range records.For(published) {
			p.Items = append(p.Items, recordOf(record))
		}
		return p, nil
	}
	for _, f := range a.o.Signing.Check(ctx, time.Now(), published) {
		record := recordOf(f.Record)
		record.State, record.Found, record.Mend, record.Security = string(f.State), f.Found, f.Mend, f.Security
		p.Items = append(p.Items, record)
	}
	return p, nil
}

func recordOf(r records.Record) DNSRecord {
	return DNSRecord{Name: r.Name, Type: r.Type, Data: r.Data, Why: r.Why, Optional: r.Optional}
}

// keysFor makes the keys of a new domain. If that fails they are made later.
func (a *API) keysFor(ctx context.Context, now time.Time, d directory.Domain) {
	if a.o.Signing == nil {
		return
	}
	if _, err := a.o.Signing.Advance(ctx, now, d.Name); err != nil {
		a.o.Log.Error("signing keys cannot be made yet", obs.Domain, d.Name, obs.Err, err)
	}
}

// Keys lists the keys that sign for a domain, or for all if it is "".
func (c *Client) Keys(ctx context.Context, domain string) ([]SigningKey, error) {
	query := url.Values{}
	if domain != "" {
		query.Set("domain", domain)
	}
	all := []SigningKey{}
	for k, err := range list[SigningKey](ctx, c, "/v1/keys", query) {
		if err != nil {
			return nil, err
		}
		all = append(all, k)
	}
	return all, nil
}

// AddKeys makes a new pair of keys for a domain.
func (c *Client) AddKeys(ctx context.Context, domain string) ([]SigningKey, error) {
	p, err := call[page[SigningKey]](ctx, c, http.MethodPost, "/v1/keys", NewSigningKeys{Domain: domain})
	return p.Items, err
}

// UseKey makes a key sign, in place of the one before.
func (c *Client) UseKey(ctx context.Context, domain, selector string) error {
	return c.do(ctx, http.MethodPost, "/v1/keys/"+url.PathEscape(domain)+"/"+url.PathEscape(selector)+"/use", nil, nil)
}

// RemoveKey drops a key.
func (c *Client) RemoveKey(ctx context.Context, domain, selector string) error {
	return c.do(ctx, http.MethodDelete, "/v1/keys/"+url.PathEscape(domain)+"/"+url.PathEscape(selector), nil, nil)
}

// DNS gives the records that a domain needs, and what the DNS has of them if
// that is asked for.
func (c *Client) DNS(ctx context.Context, domain string, check bool) ([]DNSRecord, error) {
	path := "/v1/domains/" + url.PathEscape(domain) + "/dns"
	if check {
		path += "?check=true"
	}
	p, err := call[page[DNSRecord]](ctx, c, http.MethodGet, path, nil)
	return p.Items, err
}
