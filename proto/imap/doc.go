// Package imap holds the words of IMAP: commands as values with their
// grammar, sequence sets, search programs, fetch items, mailbox names, LIST
// patterns, and the writing of responses. It has no connection and no state;
// package imapserver is the machine that uses it.
//
// Two revisions are spoken: RFC 9051 (IMAP4rev2) and RFC 3501 (IMAP4rev1),
// and with them RFC 2177 (IDLE), 2342 (NAMESPACE), 2971 (ID), 3348
// (CHILDREN), 3516 (BINARY), 3691 (UNSELECT), 4315 (UIDPLUS), 4731 (ESEARCH),
// 4959 (SASL-IR), 5161 (ENABLE), 5182 (SEARCHRES), 5258 (LIST-EXTENDED),
// 5530 (response codes), 5819 (LIST-STATUS), 6154 (SPECIAL-USE), 6851 (MOVE),
// 6855 (UTF8=ACCEPT), 7888 (LITERAL+) and 8438 (STATUS=SIZE).
//
// A command is parsed from its text as it came, without the final CRLF and
// with each literal in its place:
//
//	A1 LOGIN {3}CRLF bob "secret"
//
// The one exception are the messages of an APPEND, which nobody wants to hold
// in memory: an AppendParser reads the text between them.
package imap
