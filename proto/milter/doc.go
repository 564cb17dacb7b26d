// Package milter is the words of Sendmail's milter protocol, version 6: how a
// mail server tells a filter program of a connection, its commands and its
// message, and what the filter answers. The machine that speaks them is in
// milterclient; we are the mail server's side.
//
// A packet is a length of four octets, big-endian, that counts what follows; a
// letter; and the letter's arguments. Strings end with a NUL.
//
//	server                         filter
//	O  version, actions, steps     O  what the filter chose of them
//	D  a command's letter, macros     (never answered)
//	C  connect                     c  go on        a  accept     d  discard
//	H  HELO or EHLO                r  reject       t  try later  y  a reply of its own
//	M  MAIL        R  RCPT         s  skip         p  still busy f  drop the line
//	T  DATA        L  a field      4  shut down
//	N  end of the header           only at the end of the message:
//	B  a piece of the body         h  add field    i  insert it  m  change it
//	E  end of the message          e  sender       +  2  -  recipients
//	A  abort       U  unknown      b  new body     q  quarantine
//	Q  quit        K  quit, but the line stays
//
// There is no RFC. What is here follows Sendmail's include/libmilter/mfdef.h,
// the manual of libmilter, and where those leave it open what Postfix does.
package milter
