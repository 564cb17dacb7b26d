// Package directory knows who is at home: domains, accounts with their
// passwords, aliases and groups. It says where the mail for an address goes
// (Resolve), who may send as an address (MaySendAs) and what a login name's
// credentials are (Login). Mail itself is in package mailbox; checking
// passwords against strangers is package auth.
//
// Names. Domains are kept and compared as A-labels in lower case, after UTS 46
// mapping; U-labels are accepted everywhere. Local parts compare in lower case
// after NFC and keep the spelling that they were given. "user+detail" goes to
// user unless something is called exactly that. RFC 5233
//
// Everything lies in one partition of the engine. Each value is a version
// byte, then CBOR with integer keys:
//
//	domain  d <domain>                 -> Domain
//	account a <id, 8 octets>           -> Account
//	secrets p <id>                     -> password hash and SCRAM keys
//	name    n <domain> 0 <local>       -> account id and address, or Alias
//	bare    l <local> 0 <domain>       -> account id (login without a domain)
//	pointer t <hash of target> <name>  -> nothing: an alias points to target
//	admin   x <id>                     -> nothing: the account is an admin's
//	meta    s "next" | "secret"        -> next account id; the server's secret
//
// While Run runs, what is read stays in memory until the partition changes,
// here or on another node.
package directory
