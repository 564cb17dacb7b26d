package keys

// Prefixes in the directory's partition, all of store/directory.
const (
	DirDomain  = 'd' // domain -> its record
	DirAccount = 'a' // account -> its record
	DirSecret  = 'p' // account -> password hash and SCRAM keys
	DirName    = 'n' // domain, 0, local part -> account's id and address, or alias
	DirBare    = 'l' // local part, 0, domain -> account
	DirPointer = 't' // hash of target, name -> nothing: an alias or catch-all points to it
	DirAdmin   = 'x' // account -> nothing: an admin's
	DirMeta    = 's' // "next" -> next account; "secret" -> the server's secret
)
