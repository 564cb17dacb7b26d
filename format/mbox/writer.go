package mbox

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Append writes one message in mboxrd. Of meta it writes Flags, Keywords and
// Entry, which is one word without ";". The text is read twice.
func Append(w *bufio.Writer, from From, meta Meta, text io.ReadSeeker) error {
	if bytes.ContainsAny([]byte(meta.Entry), "; \t\r\n") {
		return fmt.Errorf("%q cannot stand in %s", meta.Entry, markField)
	}
	var err error
	if meta.raw, meta.noEnd, err = lineEnds(text); err != nil {
		return err
	}
	if _, err := text.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if _, err := w.Write(meta.append(from.append(nil))); err != nil {
		return err
	}
	in := bufio.NewReaderSize(text, window)
	start := true
	for {
		line, err := in.ReadSlice('\n')
		if start && bytes.HasPrefix(bytes.TrimLeft(line, ">"), fromPrefix) {
			_ = w.WriteByte('>')
		}
		start = err == nil
		if start && !meta.raw {
			line = append(line[:len(line)-2], '\n')
		} else if errors.Is(err, bufio.ErrBufferFull) && line[len(line)-1] == '\r' && !meta.raw {
			line = line[:len(line)-1] // it comes with its LF
			if err := in.UnreadByte(); err != nil {
				return err
			}
		}
		_, _ = w.Write(line) // its error stays until the last one
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
	end := "\n"
	if meta.noEnd {
		end = "\n\n"
	}
	_, err = w.WriteString(end)
	return err
}

// lineEnds tells whether there are other line ends than CRLF, and whether the
// last line has none.
func lineEnds(text io.Reader) (raw, noEnd bool, err error) {
	var last byte
	buf := make([]byte, window)
	noEnd = true
	for {
		n, err := text.Read(buf)
		for _, c := range buf[:n] {
			raw = raw || c == '\n' && last != '\r' || last == '\r' && c != '\n'
			last = c
		}
		if errors.Is(err, io.EOF) {
			return raw || last == '\r', last != '\n', nil
		}
		if err != nil {
			return raw, noEnd, err
		}
	}
}
