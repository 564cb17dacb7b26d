package main

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"waxwing/store/backup"
)

// A line shows how far something is: on a terminal always in one line, and
// else now and then in a new one.
type line struct {
	s        streams
	terminal bool
	last     time.Time
	width    int
}

// linesEvery is how often a line is written where there is no terminal.
const linesEvery = 30 * time.Second

func newLine(s streams) *line {
	f, ok := s.err.(*os.File)
	return &line{s: s, terminal: ok && term.IsTerminal(int(f.Fd())), last: time.Now()}
}

func (l *line) show(text string) {
	every := linesEvery
	if l.terminal {
		every = 200 * time.Millisecond
	}
	if time.Since(l.last) < every {
		return
	}
	l.last = time.Now()
	if !l.terminal {
		fmt.Fprintln(l.s.err, text)
		return
	}
	fmt.Fprint(l.s.err, "\r", text, strings.Repeat(" ", max(0, l.width-len(text))))
	l.width = len(text)
}

// end clears the line.
func (l *line) end() {
	if l.terminal && l.width > 0 {
		fmt.Fprint(l.s.err, "\r", strings.Repeat(" ", l.width), "\r")
	}
}

// report shows how far a backup is, until stop is called.
func (c backupCmd) report(s streams, p *backup.Progress) (stop func()) {
	if c.Quiet || c.JSON {
		return func() {}
	}
	began := time.Now()
	return reporting(s, func() string {
		done, all, read := p.Done.Load(), p.Partitions.Load(), p.Read.Load()
		text := fmt.Sprintf("%d of %d accounts and lists, %v read (%v/s), %v written", done, all, volume(uint64(read)),
			volume(rate(read, began)), volume(uint64(p.Written.Load())))
		return text + left(began, done, all)
	})
}

// reporting shows a text again and again until stop is called.
func reporting(s streams, text func() string) (stop func()) {
	done := make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() {
		l := newLine(s)
		defer l.end()
		tick := time.NewTicker(250 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				l.show(text())
			case <-done:
				return
			}
		}
	})
	return func() { close(done); work.Wait() }
}

func rate(octets int64, began time.Time) uint64 {
	return uint64(float64(octets) / max(time.Since(began).Seconds(), 0.001))
}

// left says how long it may still take.
func left(began time.Time, done, all int64) string {
	took := time.Since(began)
	if done == 0 || all <= done || took < 2*time.Second {
		return ""
	}
	return fmt.Sprintf(", %v left", (took * time.Duration(all-done) / time.Duration(done)).Round(time.Second))
}
