package directory

import (
	"errors"
	"time"

	"waxwing/mail"
	"waxwing/proto/sasl"
)

// Errors that callers branch on. What fails wraps one of them, or is the
// engine's own error.
var (
	// ErrNotLocal: the domain is not one of ours.
	ErrNotLocal = errors.New("domain is not local")
	// ErrNoUser: the domain is ours, but mail for the address goes nowhere.
	ErrNoUser = errors.New("no such user")
	// ErrNotFound: there is no such domain, account or alias.
	ErrNotFound = errors.New("not found in the directory")
	// ErrExists: the name is taken.
	ErrExists = errors.New("already in the directory")
	// ErrInUse: something else refers to it.
	ErrInUse = errors.New("still in use")
	// ErrInvalid: a name or a setting that can not be.
	ErrInvalid = errors.New("invalid")
	// ErrLoop: an alias would lead to itself.
	ErrLoop = errors.New("alias leads to itself")
	// ErrTooMany: an alias leads to more recipients, or through more
	// aliases, than we follow.
	ErrTooMany = errors.New("alias leads to too many recipients")
	// ErrAmbiguous: a login name without a domain is in several domains.
	ErrAmbiguous = errors.New("login name is not unique")
	// ErrChanged: the password is no longer the one that it was.
	ErrChanged = errors.New("password has changed meanwhile")
)

// A Domain is one that we receive mail for.
type Domain struct {
	Name     string       `cbor:"1,keyasint" json:"name"`               // A-labels, lower case
	CatchAll mail.Address `cbor:"2,keyasint" json:"catch_all,omitzero"` // takes what no name in the domain takes; null for none
	Created  time.Time    `cbor:"3,keyasint" json:"created"`
}

// An Account is one owner's. Its mail is in the partition of its ID.
type Account struct {
	ID      mail.AccountID `cbor:"1,keyasint" json:"id"`
	Address mail.Address   `cbor:"2,keyasint" json:"address"`
	Name    string         `cbor:"3,keyasint,omitempty" json:"name,omitempty"` // the owner's, for people

	// Admin accounts may administer, and the first of them gets the mail
	// for postmaster and abuse.
	Admin bool `cbor:"4,keyasint,omitempty" json:"admin,omitempty"`

	// Disabled accounts can not log in. They still receive mail, so that
	// nothing is lost until somebody decides.
	Disabled bool `cbor:"5,keyasint,omitempty" json:"disabled,omitempty"`

	// Quota is the most that the mailboxes may hold; 0 for the house's default.
	Quota   mail.ByteCount `cbor:"6,keyasint,omitempty" json:"quota,omitempty"`
	Created time.Time      `cbor:"7,keyasint" json:"created"`

	// Settings is what other rooms keep with an account, by key.
	Settings map[string]string `cbor:"8,keyasint,omitempty" json:"settings,omitempty"`
}

// SettingMoved is the setting of an account whose mail programs have to go to
// another server: its name, with a port where it is not the usual one.
const SettingMoved = "imap.moved"

// An Alias is an address that leads to others.
type Alias struct {
	Address mail.Address   `cbor:"1,keyasint" json:"address"`
	Targets []mail.Address `cbor:"2,keyasint" json:"targets"`

	// Group says that the alias is a list of people. Who is behind an alias
	// may send as it; members of a group may not send as the group.
	Group   bool      `cbor:"3,keyasint,omitempty" json:"group,omitempty"`
	Note    string    `cbor:"4,keyasint,omitempty" json:"note,omitempty"`
	Created time.Time `cbor:"5,keyasint" json:"created"`
}

// A Route is where the mail for one address goes. At least one of the two is
// not empty; neither holds anything twice.
type Route struct {
	Accounts []Target
	Forwards []mail.Address // not ours: to be sent on
}

// A Target is one account that mail goes to.
type Target struct {
	Account mail.AccountID
	Address mail.Address // the account's own
	Detail  string       // what followed the "+", as it was written. RFC 5233 §4
}

// Credentials is what a login is checked against.
type Credentials struct {
	Account  mail.AccountID
	Address  mail.Address
	Disabled bool
	Hash     string         // argon2id as a PHC string; empty if no password was set
	SCRAM    sasl.SCRAMKeys // of the same password
}
