// Package relay sends what is in the outqueue: to the mail hosts of other
// domains (RFC 5321 §5), or once more to our own accounts where delivery was
// put off. It decides when to try again, when to give up, and what to tell
// the sender (RFC 3464).
//
// What a peer has said is made durable before anything else is done, so that
// a crash sends nothing twice that a peer has acknowledged to us; a
// notification that follows from it goes into the same transaction.
package relay
