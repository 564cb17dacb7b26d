package imapserver

import (
	"context"
	"path"
	"strings"

	"waxwing/proto/imap"
)

// theComparator is the one that SEARCH, SORT and THREAD use. RFC 5255 §4.4
const theComparator = "i;unicode-casemap"

// comparator is COMPARATOR: there is one to be chosen. RFC 5255 §4.7
func (c *conn) comparator(_ context.Context, cmd imap.Comparator) (reply, error) {
	known := len(cmd.Wanted) == 0
	for _, wanted := range cmd.Wanted {
		pattern := strings.NewReplacer("?", `\?`, "[", `\[`, `\`, `\\`).Replace(strings.ToLower(wanted))
		matches, err := path.Match(pattern, theComparator)
		known = known || wanted == "default" || err == nil && matches
	}
	if !known {
		return reply{}, &imap.Refusal{Code: "BADCOMPARATOR", Text: "No such comparator"} // RFC 5255 §4.9
	}
	c.out.line("* COMPARATOR %s", theComparator)
	return reply{}, nil
}
