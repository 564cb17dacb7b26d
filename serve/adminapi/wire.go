package adminapi

import "time"

// Status tells of the running server.
type Status struct {
	Version  string    `json:"version"`
	Hostname string    `json:"hostname"`
	Started  time.Time `json:"started"`
	// Listeners are the addresses of the services by name.
	Listeners map[string][]string `json:"listeners"`
}

// Domain is a domain that mail is received for.
type Domain struct {
	Name     string    `json:"name"`
	CatchAll string    `json:"catch_all,omitempty"` // address that takes what no name takes
	Created  time.Time `json:"created"`
}

// DomainChange is a PATCH: what is nil stays as it is.
type DomainChange struct {
	CatchAll *string `json:"catch_all,omitempty"` // "" for none
}

// Account is one owner's account.
type Account struct {
	ID       string    `json:"id"`
	Address  string    `json:"address"`
	Name     string    `json:"name,omitempty"`
	Admin    bool      `json:"admin"`
	Disabled bool      `json:"disabled"`
	Quota    int64     `json:"quota"` // octets; 0 for the server's default
	Created  time.Time `json:"created"`

	// Used and Messages are what the mailboxes hold; only in answers about
	// one account.
	Used     *int64 `json:"used,omitempty"`
	Messages *int   `json:"messages,omitempty"`

	// Password stands only in the answer to a POST or PUT that has left it to
	// the server to choose one.
	Password string `json:"password,omitempty"`
}

// NewAccount is a POST.
type NewAccount struct {
	Address  string `json:"address"`
	Name     string `json:"name,omitempty"`
	Admin    bool   `json:"admin,omitempty"`
	Quota    int64  `json:"quota,omitempty"`
	Password string `json:"password,omitempty"` // empty: one is made
}

// AccountChange is a PATCH: what is nil stays as it is.
type AccountChange struct {
	Name     *string `json:"name,omitempty"`
	Admin    *bool   `json:"admin,omitempty"`
	Disabled *bool   `json:"disabled,omitempty"`
	Quota    *int64  `json:"quota,omitempty"`
}

// NewPassword is a PUT.
type NewPassword struct {
	Password string `json:"password,omitempty"` // empty: one is made
}

// Alias is an address that leads to others.
type Alias struct {
	Address string    `json:"address"`
	Targets []string  `json:"targets"`
	Group   bool      `json:"group"` // a list of people, who may not send as the address
	Note    string    `json:"note,omitempty"`
	Created time.Time `json:"created"`
}

// NewAlias is a POST.
type NewAlias struct {
	Address string   `json:"address"`
	Targets []string `json:"targets"`
	Group   bool     `json:"group,omitempty"`
	Note    string   `json:"note,omitempty"`
}

// AliasChange is a PATCH: what is nil stays as it is.
type AliasChange struct {
	Targets *[]string `json:"targets,omitempty"`
	Group   *bool     `json:"group,omitempty"`
	Note    *string   `json:"note,omitempty"`
}

// page is one part of a list.
type page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"`
}

// maxPage is the most items of a page; the default, too.
const maxPage = 500
