// Package spam asks others what they think of a message: milters, Rspamd and
// ClamAV. Milters follow the whole conversation with a client; all are asked
// about the content when the message has been received whole and before
// anybody has it, so that what they refuse is refused to the sender.
//
// Where nothing is configured there are no Filters, a nil *Filters begins a
// nil *Dialogue, and that does nothing at no cost.
package spam
