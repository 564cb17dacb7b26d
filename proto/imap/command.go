package imap

import "waxwing/mail"

// A Command is one of the types below.
type Command interface {
	// Name is the command's word in upper case; a command after UID has
	// "UID " before it.
	Name() string
}

// A Bare command has no arguments: CAPABILITY, NOOP, LOGOUT, STARTTLS,
// CHECK, CLOSE, UNSELECT, EXPUNGE, IDLE, NAMESPACE.
type Bare string

// ID tells who the client is; Fields is nil for NIL. RFC 2971 §3.1
type ID struct{ Fields []IDField }

// An IDField is one field of ID; a NIL value is empty.
type IDField struct{ Name, Value string }

// Authenticate begins a SASL exchange. RFC 9051 §6.2.2
type Authenticate struct {
	Mechanism string // upper case
	// Initial is the initial response, nil if there is none; "=" gives an
	// empty one. RFC 4959 §3
	Initial []byte
}

// Compress is COMPRESS. RFC 4978 §3
type Compress struct{ Mechanism string } // in upper case

// UIDBatches asks for ranges of UIDs that hold equally many messages each.
type UIDBatches struct {
	Size     uint32
	From, To uint32 // which of them, counted from the newest; zero for all
}

// Login is RFC 9051 §6.2.3.
type Login struct{ User, Password string }

// Enable is RFC 9051 §6.3.1; names are in upper case.
type Enable struct{ Capabilities []string }

// Select is SELECT, or EXAMINE when ReadOnly. RFC 9051 §6.3.2
type Select struct {
	Mailbox   string
	ReadOnly  bool
	CondStore bool     // RFC 7162 §3.1.8
	QResync   *QResync // nil without it
}

// Create is RFC 9051 §6.3.4; Use holds the special-use attributes of
// RFC 6154 §3, as they were written.
type Create struct {
	Mailbox string
	Use     []string
}

// Delete is RFC 9051 §6.3.5.
type Delete struct{ Mailbox string }

// Rename is RFC 9051 §6.3.6.
type Rename struct{ From, To string }

// Subscribe is SUBSCRIBE, or UNSUBSCRIBE when Undo. RFC 9051 §6.3.7
type Subscribe struct {
	Mailbox string
	Undo    bool
}

// List is RFC 9051 §6.3.9 with RFC 5258, 5819, 6154, 8440 and 9590; RLIST,
// which is LIST to a server without remote mailboxes, is it too. RFC 2193 §5.1
type List struct {
	Select    ListSelect
	Reference string
	Patterns  []string
	Return    ListReturn
	Status    []StatusItem // wanted when Return has ReturnStatus
	Entries   []string     // the same for ReturnMetadata
	Remote    bool         // RLIST
	// Extended says that the extended syntax was used, in which an empty
	// pattern has no special meaning.
	Extended bool
}

// ListSelect is the set of selection options.
type ListSelect uint8

// The selection options. RFC 5258 §3.1, RFC 6154 §4
const (
	SelectSubscribed ListSelect = 1 << iota
	SelectRemote
	SelectRecursive
	SelectSpecialUse
)

// ListReturn is the set of return options.
type ListReturn uint8

// The return options. RFC 5258 §3.2, RFC 5819 §2, RFC 6154 §4
const (
	ReturnSubscribed ListReturn = 1 << iota
	ReturnChildren
	ReturnSpecialUse
	ReturnStatus
	ReturnMyRights // RFC 8440
	ReturnMetadata // RFC 9590
)

// Lsub is RFC 3501 §6.3.9.
type Lsub struct {
	Reference, Pattern string
	Remote             bool // RLSUB
}

// A StatusItem is what STATUS can tell. RFC 9051 §6.3.11
type StatusItem uint8

// The status items.
const (
	StatusMessages StatusItem = iota
	StatusRecent
	StatusUIDNext
	StatusUIDValidity
	StatusUnseen
	StatusDeleted
	StatusSize
	StatusHighestModSeq // RFC 7162 §3.1.7
	StatusMailboxID     // RFC 8474 §4.3
	StatusAppendLimit   // RFC 7889 §3
	StatusDeletedStorage
)

// Status is RFC 9051 §6.3.11.
type Status struct {
	Mailbox string
	Items   []StatusItem
}

// Fetch is FETCH or UID FETCH.
type Fetch struct {
	UID   bool
	Set   Set
	Items []FetchItem
	// ChangedSince asks only for what has changed after it, and Vanished for
	// what is gone since then. RFC 7162 §3.1.4.1, §3.2.6
	ChangedSince *mail.ModSeq
	Vanished     bool
	Page         *PageRange // of the messages that are left; nil for all
}

// A StoreOp says what STORE does to the flags.
type StoreOp uint8

// The operations of STORE. RFC 9051 §6.4.6
const (
	StoreReplace StoreOp = iota
	StoreAdd
	StoreRemove
)

// Store is STORE or UID STORE.
type Store struct {
	UID    bool
	Set    Set
	Op     StoreOp
	Silent bool
	Flags  FlagList
	// UnchangedSince leaves alone what has changed after it. RFC 7162 §3.1.3
	UnchangedSince *mail.ModSeq
}

// Copy is COPY, UID COPY, MOVE or UID MOVE. RFC 9051 §6.4.7, §6.4.8
type Copy struct {
	UID     bool
	Move    bool
	Set     Set
	Mailbox string
}

// Expunge is UID EXPUNGE. RFC 4315 §2.1
type Expunge struct{ Set Set }

// Search is SEARCH or UID SEARCH.
type Search struct {
	UID bool
	// Return is what RETURN asked for; Extended says that RETURN was there,
	// an empty one means ALL. RFC 4731 §3.1
	Return   SearchReturn
	Extended bool
	Page     *PageRange // of ReturnPartial
	// Fetch is what UPDATE wants to know of new messages. RFC 5465 §7
	Fetch   []FetchItem
	Charset string // as it was written; empty if there was none
	Program SearchKey
}

// SearchReturn is the set of result options of SEARCH.
type SearchReturn uint16

// The result options. RFC 4731 §3.1, RFC 5182 §2.1, RFC 9394 §3.1, RFC 5267
// §4, RFC 6203 §4
const (
	ReturnMin SearchReturn = 1 << iota
	ReturnMax
	ReturnAll
	ReturnCount
	ReturnSave
	ReturnPartial
	ReturnContext
	ReturnUpdate
	ReturnRelevancy
)

func (c Bare) Name() string         { return string(c) }
func (c ID) Name() string           { return "ID" }
func (c Authenticate) Name() string { return "AUTHENTICATE" }
func (c Compress) Name() string     { return "COMPRESS" }
func (c UIDBatches) Name() string   { return "UIDBATCHES" }
func (c Login) Name() string        { return "LOGIN" }
func (c Enable) Name() string       { return "ENABLE" }
func (c Create) Name() string       { return "CREATE" }
func (c Delete) Name() string       { return "DELETE" }
func (c Rename) Name() string       { return "RENAME" }
func (c Status) Name() string       { return "STATUS" }
func (c Expunge) Name() string      { return "UID EXPUNGE" }
func (c Fetch) Name() string        { return withUID(c.UID, "UID FETCH") }
func (c Store) Name() string        { return withUID(c.UID, "UID STORE") }
func (c Search) Name() string       { return withUID(c.UID, "UID SEARCH") }

func (c List) Name() string {
	if c.Remote {
		return "RLIST"
	}
	return "LIST"
}

func (c Lsub) Name() string {
	if c.Remote {
		return "RLSUB"
	}
	return "LSUB"
}

func (c Select) Name() string {
	if c.ReadOnly {
		return "EXAMINE"
	}
	return "SELECT"
}

func (c Subscribe) Name() string {
	if c.Undo {
		return "UNSUBSCRIBE"
	}
	return "SUBSCRIBE"
}

func (c Copy) Name() string {
	if c.Move {
		return withUID(c.UID, "UID MOVE")
	}
	return withUID(c.UID, "UID COPY")
}

func withUID(uid bool, name string) string {
	if uid {
		return name
	}
	return name[len("UID "):]
}
