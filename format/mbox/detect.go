package mbox

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// What detect looks at of a file.
const (
	detectOctets   = 32 << 20
	detectMessages = 200
)

// detect finds out how a file keeps messages apart: by Content-Length, if that
// leads to where the next message begins, with or without quoting; else by
// "From " lines. Between mboxrd and mboxo no file tells; mboxrd is what is
// written today.
func detect(file io.ReaderAt, size int64) (Format, error) {
	r := &Reader{file: file, size: size, format: CL2}
	r.SeekTo(0)
	format := RD
	for range detectMessages {
		m, err := r.Next()
		if errors.Is(err, io.EOF) || err == nil && m.Offset > detectOctets {
			break
		}
		if errors.Is(err, ErrNotMbox) && format != RD {
			return RD, nil // the lengths have led nowhere
		}
		if err != nil {
			return "", err
		}
		if m.Meta.length < 0 {
			continue
		}
		if m.body == nil {
			return RD, nil // a length lies
		}
		if format == RD {
			format = CL
		}
		plain, err := hasPlainFrom(io.NewSectionReader(file, m.bodyEnd-m.Meta.length, m.Meta.length))
		if err != nil {
			return "", err
		}
		if plain {
			return CL2, nil
		}
	}
	return format, nil
}

// hasPlainFrom tells whether a body has a line that mboxcl would have quoted.
func hasPlainFrom(body io.Reader) (bool, error) {
	in := bufio.NewReaderSize(body, window)
	start := true
	for {
		line, err := in.ReadSlice('\n')
		if start && bytes.HasPrefix(line, fromPrefix) {
			return true, nil
		}
		start = err == nil
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return false, err
		}
	}
}
