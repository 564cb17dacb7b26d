// Package obs holds what makes the house observable: the keys of log records
// (one list, so that one message can be followed from door to mailbox) and
// the counters that the rooms share.
package obs

// The keys of log attributes. Messages are fixed lower-case phrases; facts
// are attributes under these keys.
const (
	Conn    = "conn"    // connection number
	Remote  = "remote"  // peer's address
	Service = "service" // "mx", "submission", "imap", "pop3", ...
	Account = "account" // mail.AccountID
	Login   = "login"   // what the user typed
	Mailbox = "mailbox" // mailbox name or id
	Msg     = "msg"     // the id that a message gets at the door
	Queue   = "queue"   // outqueue item
	From    = "from"    // reverse-path
	Rcpt    = "rcpt"    // forward-path
	Domain  = "domain"
	Reply   = "reply" // what the peer was told or has told us
	Verdict = "verdict"
	Size    = "size"
	Took    = "took" // time.Duration
	Err     = "err"
)
