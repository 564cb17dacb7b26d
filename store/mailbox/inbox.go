package mailbox

import "waxwing/mail"

// Inbox is the id of every account's INBOX: Create makes it first, and it can
// be neither deleted nor renamed away (RFC 9051 §6.3.6). A delivery so needs
// no lookup by name.
const Inbox mail.MailboxID = 1
