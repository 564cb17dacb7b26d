package imapserver

import "waxwing/proto/imap"

// uidRequired answers a command that uses sequence numbers after ENABLE
// UIDONLY: BAD with a response code. RFC 9586 §3.1
var uidRequired = &imap.SyntaxError{Text: "[UIDREQUIRED] Sequence numbers are not in use"}
