// Package adminapi is the door for administration: HTTP with JSON over a Unix
// socket in the data directory, and the client that the command line uses. Who
// can open the socket may do everything; it belongs to the server's user and
// nobody else can.
//
//	GET    /v1/status
//	GET    /v1/domains                         POST
//	GET    /v1/domains/{name}                  PATCH  DELETE
//	GET    /v1/accounts                        POST
//	GET    /v1/accounts/{address}              PATCH  DELETE
//	PUT    /v1/accounts/{address}/password
//	GET    /v1/accounts/{address}/lost         ?since=TIME&mailbox=NAME&message=ID
//	POST   /v1/accounts/{address}/restore
//	GET    /v1/accounts/{address}/mailboxes    PUT
//	GET    /v1/accounts/{address}/mailboxes/{id}/entries
//	POST   /v1/accounts/{address}/mailboxes/{id}/fetch
//	POST   /v1/accounts/{address}/messages
//	GET    /v1/accounts/{address}/imported/{source}  POST
//	GET    /v1/aliases                         POST
//	GET    /v1/aliases/{address}               PATCH  DELETE
//	POST   /v1/accounts/{address}/pause  /resume
//	GET    /v1/peers                           ?rules=true
//	GET    /v1/peers/{name}                    PUT  DELETE
//	POST   /v1/verify                          answers with a VerifyEvent a line
//	GET    /v1/queue                           ?held=true&deferred=true&from=PART&to=PART
//	GET    /v1/queue/counts
//	GET    /v1/queue/{id}                      DELETE
//	POST   /v1/queue/{id}/hold  /release  /retry
//	GET    /v1/reports/dmarc                   ?domain=NAME&since=TIME
//	GET    /v1/reports/failures                ?domain=NAME&since=TIME
//	GET    /v1/reports/sent                    ?domain=NAME&since=TIME
//	GET    /v1/backup/partitions
//	POST   /v1/backup/partitions/{number}
//
// Lists come in pages: "items" and, while there is more, "next", which goes
// into the query parameter "after". Errors are problem documents of RFC 9457
// whose detail says what to do. Bodies are JSON without unknown members.
//
// Messages travel as streams, in and out: for each a line of JSON that tells of
// it, with its "size", and then so many octets. Entries and what is remembered
// of a source are a line of JSON each.
package adminapi
