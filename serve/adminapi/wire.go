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

	// Moved is the server that mail programs are referred to, where it is
	// another.
	Moved string `json:"moved,omitempty"`

	// Paused is why the account may not send for now; empty if it may.
	Paused string `json:"paused,omitempty"`

	// Recoverable is how many octets of deleted mail may be kept to be brought
	// back; 0 for the server's default.
	Recoverable int64 `json:"recoverable"`

	// Used and Messages are what the mailboxes hold, and Lost is what has been
	// deleted and can be brought back; only in what tells of accounts.
	Used     *int64 `json:"used,omitempty"`
	Messages *int   `json:"messages,omitempty"`
	Lost     *int64 `json:"lost,omitempty"`

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

	Recoverable *int64 `json:"recoverable,omitempty"`

	Moved *string `json:"moved,omitempty"` // empty: to none
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

// QueueItem is a message that still has to go.
type QueueItem struct {
	ID         string           `json:"id"`
	Message    string           `json:"message"` // its id at the door, as in the log
	From       string           `json:"from"`    // reverse-path; empty for a notification
	Recipients []QueueRecipient `json:"recipients"`
	Size       int64            `json:"size"`
	Created    time.Time        `json:"created"`
	Due        time.Time        `json:"due"` // the next try
	Held       bool             `json:"held"`
	Underway   bool             `json:"underway"` // being tried right now
	Tries      int              `json:"tries"`
	History    []QueueTry       `json:"history,omitempty"`   // the last tries
	Service    string           `json:"service,omitempty"`   // by which door it came
	Remote     string           `json:"remote,omitempty"`    // from where
	Account    string           `json:"account,omitempty"`   // id of the account that it goes to, if it is one of ours
	Owner      string           `json:"owner,omitempty"`     // that account's address, if there still is one
	Submitter  string           `json:"submitter,omitempty"` // id of the account whose submission it is
	Sender     string           `json:"sender,omitempty"`    // that account's address, if there still is one
	Priority   int              `json:"priority,omitempty"`
	Reroute    string           `json:"reroute,omitempty"`   // where an administrator sends it
	Frozen     string           `json:"frozen,omitempty"`    // the rule that holds it
	TLS        string           `json:"tls,omitempty"`       // what its sender wants: "required" (REQUIRETLS) or "optional" (TLS-Required: No)
	HoldUntil  time.Time        `json:"hold_until,omitzero"` // its sender wants it to go then (FUTURERELEASE)
	DeliverBy  time.Time        `json:"deliver_by,omitzero"` // its sender wants it to be there by then, or to hear of it (DELIVERBY)
}

// QueueRecipient is one recipient of an item.
type QueueRecipient struct {
	Address  string `json:"address"`
	State    string `json:"state"` // "pending", "delivered", "failed", "expired"
	Attempts int    `json:"attempts"`
	Code     int    `json:"code,omitempty"`     // of the last reply
	Enhanced string `json:"enhanced,omitempty"` // RFC 3463
	Reply    string `json:"reply,omitempty"`
	Remote   string `json:"remote,omitempty"` // whose reply it was
}

// QueueTry is one try.
type QueueTry struct {
	Began   time.Time `json:"began"`
	Seconds float64   `json:"seconds"`
	Remote  string    `json:"remote,omitempty"`
	Text    string    `json:"text"`

	Calls []QueueCall `json:"calls,omitempty"` // the hosts that were called
}

// QueueCall is one host's part in a try.
type QueueCall struct {
	Remote  string  `json:"remote"`
	TLS     string  `json:"tls,omitempty"`
	Text    string  `json:"text"`
	Seconds float64 `json:"seconds"`
}

// QueueDestination is what waits for one domain.
type QueueDestination struct {
	Domain   string    `json:"domain"` // empty for all that are too many to be told apart
	Items    int64     `json:"items"`
	Octets   int64     `json:"octets"`
	Deferred int64     `json:"deferred"`
	Held     int64     `json:"held"`
	Oldest   time.Time `json:"oldest"`
	Next     time.Time `json:"next,omitzero"` // zero if all are held
	Said     string    `json:"said,omitempty"`
}

// QueueFreeze is a rule that holds mail.
type QueueFreeze struct {
	Name    string    `json:"name"`
	From    string    `json:"from,omitempty"`    // part of the reverse-path
	To      string    `json:"to,omitempty"`      // part of a recipient's address
	Account string    `json:"account,omitempty"` // id or address of the account that submits; answers have the id
	Owner   string    `json:"owner,omitempty"`   // that account's address, if there still is one
	Reason  string    `json:"reason,omitempty"`
	Created time.Time `json:"created,omitzero"`
}

// QueueChanged tells how many items a rule has held or released.
type QueueChanged struct {
	Items int `json:"items"`
}

// queueReroute is a POST.
type queueReroute struct {
	To string `json:"to"`
}

// queueRecipient is a POST: another address for a recipient.
type queueRecipient struct {
	Old string `json:"old"`
	To  string `json:"to"`
}

// QueueCounts tell how much is in the queue.
type QueueCounts struct {
	Items    int64 `json:"items"`
	Held     int64 `json:"held"`
	Deferred int64 `json:"deferred"`
	Octets   int64 `json:"octets"`
}

// QueueFilter chooses items; the zero value chooses all.
type QueueFilter struct {
	Held     bool   // only those that are held
	Deferred bool   // only those that were tried in vain
	Underway bool   // only those that are being tried
	Untried  bool   // only those that were not tried
	From     string // part of the reverse-path
	To       string // part of a recipient's address
	Domain   string // of a recipient who still waits
	Said     string // part of the last answer
	Frozen   string // the rule that holds it
	Account  string // id or address of the account that submits, or that it goes to
	Older    time.Duration
	Larger   int64 // octets
}
