package keys

// Prefixes in the trace's partition, all of store/trace.
const (
	TraceEvents = 'e' // time, writer, number -> steps of one message that came together
	TraceIndex  = 'x' // hash of an id, address or host, time, writer, number -> nothing
	TraceTotal  = 't' // nothing -> octets of the events
)
