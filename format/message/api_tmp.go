package message

import (
	"io"
	"time"
)

type Builder struct{ UTF8 bool }

func NewText(subtype, text string) *Builder                      { return &Builder{} }
func NewMultipart(subtype string, parts ...*Builder) *Builder    { return &Builder{} }
func NewAttachment(name, mediaType string, r io.Reader) *Builder { return &Builder{} }
func (b *Builder) AddText(name, value string)                    {}
func (b *Builder) AddAddresses(name string, list ...Address)     {}
func (b *Builder) AddDate(name string, t time.Time)              {}
func (b *Builder) AddMessageIDs(name string, ids ...string)      {}
func (b *Builder) WriteTo(w io.Writer) (int64, error)            { return 0, nil }
