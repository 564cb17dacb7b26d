// Package auth answers who is there: it checks passwords and SCRAM exchanges
// against the directory, for the protocols' SASL machines (it is a
// sasl.Backend), and keeps strangers from guessing.
//
// Hashing. Passwords are argon2id hashes, each check of which takes some
// 19 MiB and tens of milliseconds. So many run at once as there are cores;
// a bounded queue waits, no single source may fill it, and who finds it full
// is told to come again. A password that has just been found right is
// remembered as a keyed hash, under a key that lives and dies with the
// process, for as long as it is used: the next logins with it cost
// microseconds. The keyed hash covers the stored argon2id hash, so a changed
// password is not remembered, and whether an account is disabled is looked up
// at every login.
//
// Guessing. Failures are counted for each IPv4 address, each IPv6 /64 and
// each account, in counters that decay by half in a given time; above a limit
// everything is refused, right or wrong, until they have decayed. An address
// from which an account's owner has logged in has a counter of its own for
// that account, so that strangers can not lock the owner out. All tables are
// bounded.
//
// Enumeration. Users who do not exist take as long as those who do, count
// failures as those who do, and have SCRAM keys that stay the same. RFC 5802
// §9, RFC 4616 §6
package auth
