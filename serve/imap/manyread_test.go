package imap

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"waxwing/mail"
)

// send writes what a session says.
func (w *worker) send(text string) error {
	w.note("C: " + strings.TrimSuffix(text, "\r\n"))
	_, err := io.WriteString(w.conn, text)
	return err
}

func (w *worker) note(line string) {
	if w.log = append(w.log, line); len(w.log) > 60 {
		w.log = w.log[1:]
	}
}

func (w *worker) readLine() (string, error) {
	if w.client.in == nil {
		w.client.in = bufio.NewReader(w.conn)
	}
	line, err := w.client.in.ReadString('\n')
	line = strings.TrimSuffix(line, "\r\n")
	w.note("S: " + line)
	return line, err
}

// do gives a command and takes in what is told; expunges tells whether
// messages may go meanwhile.
func (w *worker) do(command string, expunges bool) (untagged []string, answer string, err error) {
	w.tag++
	tag := "m" + strconv.Itoa(w.tag)
	if err := w.send(tag + " " + command + "\r\n"); err != nil {
		return nil, "", err
	}
	for {
		line, err := w.readLine()
		if err != nil {
			return nil, "", err
		}
		if rest, ok := strings.CutPrefix(line, tag+" "); ok {
			return untagged, rest, nil
		}
		untagged = append(untagged, line)
		if err := w.take(line, expunges); err != nil {
			return nil, "", fmt.Errorf("%.60s: %w", command, err)
		}
	}
}

// must gives a command that has to succeed.
func (w *worker) must(command string) error {
	_, answer, err := w.do(command, true)
	if err == nil && !strings.HasPrefix(answer, "OK") {
		err = fmt.Errorf("%s: %s", command, answer)
	}
	return err
}

// Refusals that others may be the reason for: messages or mailboxes that are
// gone, or not there yet.
var lawful = []string{"NO [EXPUNGEISSUED]", "NO [TRYCREATE]", "NO [NONEXISTENT]", "NO [ALREADYEXISTS]", "BAD No such message"}

// try gives a command that may meet what others do.
func (w *worker) try(command string, expunges bool) error {
	_, answer, err := w.do(command, expunges)
	if err != nil || strings.HasPrefix(answer, "OK") {
		return err
	}
	if slices.ContainsFunc(lawful, func(start string) bool { return strings.HasPrefix(answer, start) }) {
		return nil
	}
	return fmt.Errorf("%.60s: %s", command, answer)
}

var (
	counted = regexp.MustCompile(`^\* (\d+) (EXISTS|EXPUNGE|FETCH|RECENT)(?: (.*))?$`)
	uidItem = regexp.MustCompile(`UID (\d+)`)
	flags   = regexp.MustCompile(`FLAGS \(([^)]*)\)`)
)

// take takes in an untagged response.
func (w *worker) take(line string, expunges bool) error {
	if rest, ok := strings.CutPrefix(line, "* VANISHED "); ok {
		return w.vanished(rest, expunges)
	}
	if rest, ok := strings.CutPrefix(line, "* SEARCH"); ok {
		return w.found(rest)
	}
	if strings.HasPrefix(line, "* BYE") {
		return fmt.Errorf("the server has left: %s", line)
	}
	m := counted.FindStringSubmatch(line)
	if m == nil {
		return nil
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		return err
	}
	switch m[2] {
	case "EXISTS":
		if n < len(w.seen) {
			return fmt.Errorf("EXISTS falls from %d to %d", len(w.seen), n) // RFC 9051 §7.5.1
		}
		w.seen = append(w.seen, make([]told, n-len(w.seen))...)
	case "EXPUNGE":
		switch {
		case !expunges:
			return fmt.Errorf("message %d goes while numbers are in use", n)
		case w.qresync:
			return fmt.Errorf("EXPUNGE is told to who has asked for VANISHED")
		case n < 1 || n > len(w.seen):
			return fmt.Errorf("message %d of %d goes", n, len(w.seen))
		}
		w.seen = slices.Delete(w.seen, n-1, n)
	case "FETCH":
		return w.fetched(n, m[3])
	}
	return nil
}

// fetched takes in what is told of one message.
func (w *worker) fetched(n int, items string) error {
	if n < 1 || n > len(w.seen) {
		return fmt.Errorf("message %d of %d is told", n, len(w.seen))
	}
	now := &w.seen[n-1]
	if m := uidItem.FindStringSubmatch(items); m != nil {
		v, err := strconv.ParseUint(m[1], 10, 32)
		if err != nil {
			return err
		}
		uid := mail.UID(v)
		if now.uid != 0 && now.uid != uid {
			return fmt.Errorf("message %d has had UID %d, and has %d", n, now.uid, uid)
		}
		for i, other := range w.seen { // they rise with the numbers. RFC 9051 §2.3.1.1
			if other.uid != 0 && (i < n-1 && other.uid >= uid || i > n-1 && other.uid <= uid) {
				return fmt.Errorf("message %d has UID %d, and message %d has %d", n, uid, i+1, other.uid)
			}
		}
		now.uid = uid
		w.top = max(w.top, uid)
	}
	if m := flags.FindStringSubmatch(items); m != nil {
		now.flags = sortedFlags(strings.Fields(m[1]))
	}
	return nil
}

// vanished takes in UIDs that are gone. RFC 7162 §3.2.10
func (w *worker) vanished(set string, expunges bool) error {
	if !expunges {
		return fmt.Errorf("%s goes while numbers are in use", set)
	}
	if !w.qresync {
		return fmt.Errorf("VANISHED is told to who has not asked for it")
	}
	for part := range strings.SplitSeq(set, ",") {
		first, last, isRange := strings.Cut(part, ":")
		if !isRange {
			last = first
		}
		from, err := strconv.ParseUint(first, 10, 32)
		if err != nil {
			return err
		}
		to, err := strconv.ParseUint(last, 10, 32)
		if err != nil {
			return err
		}
		for uid := from; uid <= to; uid++ {
			if err := w.gone(mail.UID(uid)); err != nil {
				return err
			}
		}
	}
	return nil
}

// gone takes one message away: the one with the UID, or, where that has not
// been told, one of those between its neighbours.
func (w *worker) gone(uid mail.UID) error {
	at := len(w.seen)
	for i, m := range w.seen {
		if m.uid == uid {
			w.seen = slices.Delete(w.seen, i, i+1)
			return nil
		}
		if m.uid > uid {
			at = i
			break
		}
	}
	if at == 0 || w.seen[at-1].uid != 0 {
		return fmt.Errorf("UID %d goes, and was not there", uid)
	}
	w.seen = slices.Delete(w.seen, at-1, at)
	return nil
}

// found takes in the numbers of SEARCH.
func (w *worker) found(numbers string) error {
	if i := strings.IndexByte(numbers, '('); i >= 0 {
		numbers = numbers[:i] // MODSEQ
	}
	last := uint64(0)
	for word := range strings.FieldsSeq(numbers) {
		n, err := strconv.ParseUint(word, 10, 32)
		if err != nil {
			return err
		}
		if n <= last {
			return fmt.Errorf("SEARCH: %d follows %d", n, last)
		}
		if !w.uids && n > uint64(len(w.seen)) {
			return fmt.Errorf("SEARCH finds message %d of %d", n, len(w.seen))
		}
		last = n
	}
	return nil
}
