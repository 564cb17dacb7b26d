package keys

// Prefixes in the peers' partition, of store/peers if nothing else is said.
const (
	PeerCounts = 'c' // network or account -> its counters
	PeerTriple = 'g' // hash of network, sender, recipient -> when it came first, and whether it has passed
	PeerRule   = 'r' // name -> what an administrator has said of a network or domain
	PeerPause  = 'p' // account -> why its sending is paused
	PeerSTS    = 's' // domain -> its MTA-STS policy; store/stspolicies
)
