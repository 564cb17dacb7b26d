package message

import (
	"io"
	"time"
)

type Parser struct{}

func NewParser() *Parser                           { return &Parser{} }
func (p *Parser) Write(b []byte) (int, error)      { return len(b), nil }
func (p *Parser) Reset()                           {}
func (p *Parser) Finish() *Message                 { return &Message{} }
func Parse(r io.Reader) (*Message, error)          { return &Message{}, nil }
func (m *Message) Prepend(prefix []byte)           {}
func (m *Message) AppendBinary(dst []byte) []byte  { return dst }
func Decode(b []byte) (*Message, error)            { return &Message{}, nil }
func (p *Part) Filename() string                   { return "" }
func (p *Part) Charset() string                    { return "" }
func (p *Part) Param(name string) string           { return "" }
func DecodeHeader(raw string) string               { return raw }
func BaseSubject(s string) string                  { return s }
func ParseAddressList(raw string) []Address        { return nil }
func ParseDate(raw string) (time.Time, bool)       { return time.Time{}, false }
func FormatDate(t time.Time) string                { return "" }
func ParseMessageIDs(raw string) []string          { return nil }
func NewMessageID(host string) string              { return "" }
func DecodeBody(r io.Reader, enc string) io.Reader { return r }
func DecodeText(r io.Reader, cs string) io.Reader  { return r }

type Builder struct{ UTF8 bool }

func NewText(subtype, text string) *Builder                      { return &Builder{} }
func NewMultipart(subtype string, parts ...*Builder) *Builder    { return &Builder{} }
func NewAttachment(name, mediaType string, r io.Reader) *Builder { return &Builder{} }
func (b *Builder) AddText(name, value string)                    {}
func (b *Builder) AddAddresses(name string, list ...Address)     {}
func (b *Builder) AddDate(name string, t time.Time)              {}
func (b *Builder) AddMessageIDs(name string, ids ...string)      {}
func (b *Builder) WriteTo(w io.Writer) (int64, error)            { return 0, nil }
