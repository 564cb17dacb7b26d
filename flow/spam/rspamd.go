package spam

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"waxwing/obs"
	"waxwing/proto/smtp"
)

// Rspamd is a server of Rspamd, spoken to by HTTP.
type Rspamd struct {
	// URL is its normal worker (or proxy) "http://127.0.0.1:11333", https, or
	// "unix:/run/rspamd/worker.sock".
	URL string
	// Timeout is for all of one message; 0 for one minute.
	Timeout  time.Duration
	WhenDown WhenDown

	client *http.Client
	base   string
}

// maxRspamd is the longest answer that is read.
const maxRspamd = 1 << 20

// NewRspamd makes an Rspamd from its URL.
func NewRspamd(at string, timeout time.Duration, w WhenDown) (*Rspamd, error) {
	if timeout == 0 {
		timeout = time.Minute
	}
	r := &Rspamd{URL: at, Timeout: timeout, WhenDown: w, base: strings.TrimRight(at, "/")}
	transport := &http.Transport{MaxIdleConnsPerHost: 16, IdleConnTimeout: 30 * time.Second, DisableCompression: true}
	if path, ok := strings.CutPrefix(at, "unix:"); ok {
		if !strings.HasPrefix(path, "/") {
			return nil, fmt.Errorf("%q: a socket is named by its whole path", at)
		}
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		}
		r.base = "http://rspamd"
	} else if u, err := url.Parse(at); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%q is not such as \"http://127.0.0.1:11333\" or \"unix:/run/rspamd/worker.sock\"", at)
	}
	r.client = &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("redirected") },
	}
	return r, nil
}

// An opinion is Rspamd's answer. https://docs.rspamd.com/developers/protocol
type opinion struct {
	Skipped  bool    `json:"is_skipped"`
	Score    float64 `json:"score"`
	Required float64 `json:"required_score"`
	Action   string  `json:"action"`
	Subject  string  `json:"subject"`
	Symbols  map[string]struct {
		Score float64 `json:"score"`
	} `json:"symbols"`
	Messages map[string]any `json:"messages"`
	Milter   struct {
		Add    map[string]json.RawMessage `json:"add_headers"`
		Remove map[string]json.RawMessage `json:"remove_headers"`
	} `json:"milter"`
	Error string `json:"error"`
}

// askRspamd asks Rspamd and does what it says.
func (e *examination) askRspamd(ctx context.Context) error {
	rspamd := e.filters.o.Rspamd
	if rspamd == nil {
		return nil
	}
	message, size := e.whole()
	o, err := rspamd.check(ctx, message, size, e.rspamdHeader())
	if err != nil {
		return e.unasked(ctx, "rspamd", rspamd.WhenDown, err)
	}
	e.filters.o.Log.Info("rspamd has checked", obs.Msg, e.id, "action", o.Action, "score", o.Score, "symbols", o.names())
	e.found("rspamd", fmt.Sprintf("%s, %.2f of %.2f points, %s", oneLine(o.Action), o.Score, o.Required, o.names()))
	text, _ := o.Messages["smtp_message"].(string)
	say := func(other string) string {
		if text = strings.TrimSpace(text); text != "" {
			return text[:min(len(text), 400)]
		}
		return other
	}
	switch o.Action {
	case "reject":
		return &smtp.Refusal{Code: 554, Enhanced: smtp.Enhanced{5, 7, 1}, Text: say("the message is held to be spam")}
	case "soft reject":
		return &smtp.Refusal{Code: 451, Enhanced: smtp.Enhanced{4, 7, 1}, Text: say("try again later")}
	case "add header":
		e.junk = true
	case "rewrite subject":
		e.junk = true
		if o.Subject != "" {
			e.content.change(1, "Subject", " "+oneLine(o.Subject))
		}
	}
	e.rspamdFields(o)
	return nil
}

// rspamdHeader tells Rspamd of the conversation.
func (e *examination) rspamdHeader() http.Header {
	h := http.Header{}
	set := func(name, value string) {
		if value = oneLine(value); value != "" {
			h.Add(name, value)
		}
	}
	set("Queue-Id", e.id)
	set("From", e.m.Envelope.From.String())
	for _, r := range e.m.To {
		set("Rcpt", r.Address.String())
	}
	if len(e.m.To) == 1 {
		set("Deliver-To", e.m.To[0].Address.String())
	}
	if addr := e.info.Addr(); addr.IsValid() {
		set("IP", addr.String())
	}
	set("Helo", e.info.Hello)
	set("Hostname", e.info.ReverseName)
	if e.info.Identity != nil {
		set("User", e.info.Identity.Login.String())
	}
	if e.info.TLS != nil {
		set("TLS-Cipher", e.macro("{cipher}"))
		set("TLS-Version", e.macro("{tls_version}"))
	}
	set("MTA-Tag", "waxwing")
	set("MTA-Name", e.filters.o.Hostname)
	return h
}

// check sends one message.
func (r *Rspamd) check(ctx context.Context, message io.Reader, size int64, h http.Header) (opinion, error) {
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.base+"/checkv2", io.NopCloser(message))
	if err != nil {
		return opinion{}, err
	}
	req.ContentLength, req.Header = size, h
	res, err := r.client.Do(req)
	if err != nil {
		return opinion{}, err
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxRspamd+1))
	switch {
	case err != nil:
		return opinion{}, err
	case len(answer) > maxRspamd:
		return opinion{}, errLong
	}
	return parseOpinion(res.StatusCode, answer)
}

// parseOpinion reads Rspamd's answer.
func parseOpinion(status int, answer []byte) (opinion, error) {
	var o opinion
	err := json.Unmarshal(answer, &o)
	switch {
	case status != http.StatusOK:
		return opinion{}, fmt.Errorf("rspamd answers %d %s", status, o.Error)
	case err != nil:
		return opinion{}, fmt.Errorf("rspamd's answer: %w", err)
	case o.Error != "":
		return opinion{}, fmt.Errorf("rspamd: %s", o.Error)
	case o.Action == "" && !o.Skipped:
		return opinion{}, errors.New("rspamd says nothing")
	}
	return o, nil
}

// names lists the symbols, for the log.
func (o opinion) names() string {
	names := make([]string, 0, len(o.Symbols))
	for name := range o.Symbols {
		names = append(names, name)
	}
	slices.Sort(names)
	all := oneLine(strings.Join(names, ","))
	return all[:min(len(all), 1000)]
}

// rspamdFields writes what was found into the header, and what Rspamd wants
// to be there.
func (e *examination) rspamdFields(o opinion) {
	for name := range o.Milter.Remove {
		e.content.remove(func(l line) bool { return !l.ours && strings.EqualFold(l.name, name) })
	}
	var top []line
	if e.junk {
		top = append(top, newLine("X-Spam", " Yes"))
	}
	top = append(top, newLine("X-Spam-Score", fmt.Sprintf(" %.2f / %.2f", o.Score, o.Required)))
	for _, name := range sortedKeys(o.Milter.Add) {
		if !fieldName(name) || isMark(name) && strings.EqualFold(name, "X-Spam") {
			continue
		}
		for _, value := range fieldValues(o.Milter.Add[name]) {
			if len(top) < 100 {
				top = append(top, newLine(name, " "+folded(value)))
			}
		}
	}
	e.content.top = append(top, e.content.top...)
}

func sortedKeys(m map[string]json.RawMessage) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// fieldValues reads the forms that Rspamd has for the values of a field: a
// string, an object with "value", or a list of either.
func fieldValues(raw json.RawMessage) []string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return []string{text}
	}
	var one struct {
		Value any `json:"value"`
	}
	if json.Unmarshal(raw, &one) == nil {
		switch v := one.Value.(type) {
		case string:
			return []string{v}
		case float64:
			return []string{strconv.FormatFloat(v, 'g', -1, 64)}
		}
		return nil
	}
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil || bytes.HasPrefix(bytes.TrimSpace(raw), []byte("null")) {
		return nil
	}
	var values []string
	for _, v := range list[:min(len(list), 20)] {
		if !bytes.HasPrefix(bytes.TrimSpace(v), []byte("[")) {
			values = append(values, fieldValues(v)...)
		}
	}
	return values
}

func fieldName(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || s[i] == ':' {
			return false
		}
	}
	return s != "" && len(s) < 100
}

// folded keeps a value's lines, so that each goes on with the field.
func folded(s string) string {
	var lines []string
	for l := range strings.Lines(strings.ReplaceAll(s, "\r", "\n")) {
		if l = strings.TrimSpace(l); l != "" {
			lines = append(lines, oneLine(l))
		}
	}
	return strings.Join(lines, "\n\t")
}

// oneLine takes out what could end a line.
func oneLine(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s))
}
