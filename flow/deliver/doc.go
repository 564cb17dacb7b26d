// Package deliver takes a message that has been received whole to its
// recipients: into the mailboxes of our accounts, at once and durably, and
// into the outqueue for everybody else.
//
// Both ways in (receive, for strangers, and submit, for our own users) end
// here, and so do the relay's second tries for local recipients. What can go
// wrong is said as a *smtp.Refusal, since somebody at a door is waiting.
package deliver
