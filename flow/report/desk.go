package report

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"waxwing/format/authres"
	"waxwing/format/message"
	"waxwing/format/unpack"
	"waxwing/obs"
	"waxwing/store/reports"
)

// A Document is one report, unpacked, as it came in a mail.
type Document struct {
	Mail   reports.Mail
	Proven string // the domain that is proven to be the mail's author's, "" if none is
	Name   string // of the file
	Text   []byte
}

// A Reader reads documents of a kind. What says in words what was found. An
// error that is ErrUnread means that the document is no report that can be
// read; another, that it is to be read again later.
type Reader func(ctx context.Context, now time.Time, d Document) (what string, err error)

// ErrUnread says that a document cannot be read. Why, the error that wraps it
// says.
var ErrUnread = errors.New("not a report that can be read")

// Readers are who reads what; nil for nobody.
type Readers struct {
	XML     Reader // DMARC aggregate reports
	JSON    Reader // reports of TLS
	Failure Reader // message/feedback-report; its Text is the whole mail
}

// DeskOptions say how reports are read.
type DeskOptions struct {
	// Holder is this server, among those that share a store.
	Holder string
	// Server is our name in Authentication-Results.
	Server string
	// Every is how often it is looked what others have left: each minute.
	Every time.Duration
	Log   *slog.Logger
}

// A Desk reads the mail that has come to the addresses for reports.
type Desk struct {
	store   *reports.Store
	readers Readers
	o       DeskOptions
}

// NewDesk makes a Desk.
func NewDesk(s *reports.Store, r Readers, o DeskOptions) *Desk {
	if o.Every <= 0 {
		o.Every = time.Minute
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Desk{store: s, readers: r, o: o}
}

// maxTries is how often reading a mail may begin: one that ends the server
// each time is given up.
const maxTries = 3

// Run reads what comes until ctx ends.
func (d *Desk) Run(ctx context.Context) error {
	tick := time.NewTicker(d.o.Every)
	defer tick.Stop()
	for {
		if err := d.Turn(ctx, time.Now()); err != nil && ctx.Err() == nil {
			d.o.Log.Error("reports cannot be read for now", obs.Err, err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-d.store.Arrived():
		case <-tick.C:
		}
	}
}

// Turn reads what waits. An error says that some of it goes on waiting.
func (d *Desk) Turn(ctx context.Context, now time.Time) error {
	var after uint64
	var trouble error
	for {
		m, text, err := d.store.Next(ctx, after)
		if errors.Is(err, reports.ErrNone) {
			return trouble
		}
		if err != nil {
			return err
		}
		at := time.Now()
		if ours, err := d.store.Lease(ctx, at, "desk", d.o.Holder, at.Add(turn)); err != nil || !ours {
			return err
		}
		after = m.ID
		if err := d.readOne(ctx, now, m, text); err != nil {
			if ctx.Err() != nil {
				return err
			}
			trouble = err // the same for all, most likely: one is told of
		}
	}
}

// readOne reads one mail, and forgets it.
func (d *Desk) readOne(ctx context.Context, now time.Time, m reports.Mail, text []byte) error {
	log := d.o.Log.With(obs.Msg, m.Message, obs.From, m.From, obs.Rcpt, m.To)
	if m.Tries >= maxTries || now.Sub(m.Received) > patience {
		log.Error("a report is given up that could not be read")
		return d.store.Done(ctx, m.ID)
	}
	if err := d.store.SetTries(ctx, m.ID, m.Tries+1); err != nil {
		return err
	}
	proven, refuted := d.proven(m.Results)
	if refuted {
		log.Info("a report is not believed: DMARC fails for it") // RFC 9990 §8.2
		return d.store.Done(ctx, m.ID)
	}
	documents, err := Documents(text)
	if err != nil {
		log.Info("a report cannot be unpacked whole", obs.Err, err)
	}
	read := 0
	for _, doc := range documents {
		reader := d.readers.of(doc.kind)
		if reader == nil {
			continue
		}
		what, err := reader(ctx, now, Document{Mail: m, Proven: proven, Name: doc.Name, Text: doc.Data})
		if errors.Is(err, ErrUnread) {
			log.Info("a report cannot be read", "file", doc.Name, obs.Err, err)
			continue
		}
		if err != nil { // it was not the mail's fault
			return errors.Join(err, d.store.SetTries(context.WithoutCancel(ctx), m.ID, m.Tries))
		}
		read++
		log.Info("report read", "file", doc.Name, "report", what)
	}
	if read == 0 {
		log.Info("mail to an address for reports has none")
	}
	return d.store.Done(ctx, m.ID)
}

// proven gives the domain that a mail is proven to be from, and whether DMARC
// refutes that.
func (d *Desk) proven(results string) (domain string, refuted bool) {
	if results == "" {
		return "", false
	}
	server, list, err := authres.Parse(results)
	if err != nil || !strings.EqualFold(server, d.o.Server) {
		return "", false
	}
	for _, r := range list {
		if r.Method != "dmarc" {
			continue
		}
		if r.Value == "pass" {
			domain, _ = r.Get("header", "from")
			return strings.ToLower(domain), false
		}
		refuted = r.Value == "fail"
	}
	if refuted {
		return "", true
	}
	for _, r := range list {
		if r.Method == "dkim" && r.Value == "pass" {
			domain, _ = r.Get("header", "d")
			return strings.ToLower(domain), false
		}
	}
	return "", false
}

// A documentKind is who reads a document.
type documentKind byte

const (
	isNothing documentKind = iota
	isXML
	isJSON
	isFailure
)

func (r Readers) of(k documentKind) Reader {
	switch k {
	case isXML:
		return r.XML
	case isJSON:
		return r.JSON
	case isFailure:
		return r.Failure
	}
	return nil
}

// A Found is a file that a mail brings.
type Found struct {
	unpack.File
	kind documentKind
}

// Limits of one mail.
const (
	maxParts     = 50
	maxDocuments = 20
)

// Documents gives the reports in a mail, unpacked. What each is, its first
// octets say. With an error they are those that were found before.
func Documents(text []byte) ([]Found, error) {
	parser := message.NewParser()
	_, _ = parser.Write(text) // never fails
	m := parser.Finish()
	w := &walk{text: text, left: maxParts}
	err := w.part(&m.Root)
	return w.found, err
}

// A walk goes through the parts of a mail.
type walk struct {
	text   []byte
	left   int   // parts that may still come
	octets int64 // that have come out of archives
	found  []Found
}

// maxUnpacked is how many octets one mail may bring in all.
const maxUnpacked = 48 << 20

func (w *walk) part(p *message.Part) error {
	if w.left--; w.left < 0 || len(w.found) >= maxDocuments {
		return fmt.Errorf("%w: too many parts", unpack.ErrLimit)
	}
	if p.Type == "message" && p.Subtype == "feedback-report" {
		w.found = append(w.found, Found{unpack.File{Name: "feedback-report", Data: w.text}, isFailure})
		return nil
	}
	if p.IsMultipart() {
		var errs error
		for i := range p.Parts {
			errs = errors.Join(errs, w.part(&p.Parts[i]))
		}
		return errs
	}
	if p.IsMessage() {
		return nil // what was forwarded, or returned, is no report to us
	}
	data, err := io.ReadAll(io.LimitReader(message.DecodeBody(bytes.NewReader(w.text[p.Body:p.End]), p.Encoding), reports.MaxSize))
	if err != nil {
		return fmt.Errorf("%w: %w", unpack.ErrDamaged, err)
	}
	files, err := unpack.Files(p.Filename(), data, unpack.Limits{Total: max(maxUnpacked-w.octets, 1)})
	for _, f := range files {
		w.octets += int64(len(f.Data))
		if kind := kindOf(f.Data); kind != isNothing && len(w.found) < maxDocuments {
			w.found = append(w.found, Found{f, kind})
		}
	}
	return err
}

// kindOf looks at the first octets of a file.
func kindOf(data []byte) documentKind {
	data = bytes.TrimLeft(bytes.TrimPrefix(data[:min(len(data), 512)], []byte("\xef\xbb\xbf")), " \t\r\n")
	switch {
	case bytes.HasPrefix(data, []byte("<?xml")), bytes.HasPrefix(data, []byte("<feedback")), bytes.HasPrefix(data, []byte("<!--")),
		bytes.HasPrefix(data, []byte("\xff\xfe<\x00")), bytes.HasPrefix(data, []byte("\xfe\xff\x00<")):
		return isXML
	case bytes.HasPrefix(data, []byte("{")):
		return isJSON
	}
	return isNothing
}
