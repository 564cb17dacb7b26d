package mail

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
)

// An AccountID names one account: one owner's mailboxes, settings and log of
// changes. It is assigned once and never used again. Zero names no account.
type AccountID uint64

// String gives the fixed-width form that stands in paths and logs, such as
// "a000000000000002f".
func (id AccountID) String() string {
	text := [17]byte{'a'}
	hex.Encode(text[1:], binary.BigEndian.AppendUint64(nil, uint64(id)))
	return string(text[:])
}

// ParseAccountID reads what String wrote.
func ParseAccountID(s string) (AccountID, error) {
	if len(s) != 17 || s[0] != 'a' {
		return 0, errors.New("not an account id")
	}
	n, err := strconv.ParseUint(s[1:], 16, 64)
	if err != nil {
		return 0, errors.New("not an account id")
	}
	return AccountID(n), nil
}

// A MailboxID names one mailbox within its account, whatever its name. It is
// never used again, and is the MAILBOXID of RFC 8474 §4.1.
type MailboxID uint32

// String gives the MAILBOXID of RFC 8474, such as "m1f".
func (id MailboxID) String() string { return "m" + strconv.FormatUint(uint64(id), 16) }

// An EmailID names one immutable message within its account; copies in
// several mailboxes share it. It is the EMAILID of RFC 8474 §5.1.
type EmailID uint64

// String gives the EMAILID of RFC 8474, such as "e1f".
func (id EmailID) String() string { return "e" + strconv.FormatUint(uint64(id), 16) }

// A ThreadID names a conversation within its account. RFC 8474 §5.2.
type ThreadID uint64

// String gives the THREADID of RFC 8474, such as "t1f".
func (id ThreadID) String() string { return "t" + strconv.FormatUint(uint64(id), 16) }

// A UID names a message within a mailbox and UIDVALIDITY. UIDs only grow.
// RFC 9051 §2.3.1.1
type UID uint32

// A UIDValidity tells a client whether the UIDs that it remembers still hold.
// RFC 9051 §2.3.1.1
type UIDValidity uint32

// A ModSeq numbers the changes of an account; every committed change gets a
// higher one. RFC 7162 §3.1 wants this per mailbox; ours is per account, which
// satisfies it.
type ModSeq uint64

// A ByteCount is a size in octets.
type ByteCount int64

// String gives the size as a person would say it, such as "1.5 MB".
func (n ByteCount) String() string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d bytes", int64(n))
	case n < 1e6:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	case n < 1e9:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(n)/1e9)
}
