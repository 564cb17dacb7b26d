package adminapi

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"waxwing/store/trace"
)

// Story is the steps of one message, or of a peer that brought none.
type Story struct {
	Message string      `json:"message,omitempty"` // its id at the door
	Steps   []StoryStep `json:"steps"`
}

// StoryStep is one step.
type StoryStep struct {
	Time      time.Time         `json:"time"`
	Step      string            `json:"step"`
	MessageID string            `json:"message_id,omitempty"` // of the header
	Queue     string            `json:"queue,omitempty"`
	Service   string            `json:"service,omitempty"`
	Remote    string            `json:"remote,omitempty"`
	Hello     string            `json:"hello,omitempty"`
	TLS       string            `json:"tls,omitempty"`
	Account   string            `json:"account,omitempty"`
	Owner     string            `json:"owner,omitempty"` // the account's address, if there still is one
	From      string            `json:"from,omitempty"`
	To        []string          `json:"to,omitempty"`
	Size      int64             `json:"size,omitempty"`
	Reason    string            `json:"reason,omitempty"`
	Facts     map[string]string `json:"facts,omitempty"`
	Seconds   float64           `json:"seconds,omitempty"`
}

// StoryFilter says whose stories are wanted; the zero value wants all.
type StoryFilter struct {
	Term         string // an id, an address of the envelope, or a peer's IP address
	Since, Until time.Time
	Limit        int
}

func (a *API) findSteps(r *http.Request) (any, error) {
	query := r.URL.Query()
	wanted := trace.Query{Term: query.Get("term")}
	for key, into := range map[string]*time.Time{"since": &wanted.Since, "until": &wanted.Until} {
		if s := query.Get(key); s != "" {
			t, err := time.Parse(time.RFC3339, s)
			if err != nil {
				return nil, problemf(http.StatusBadRequest, "%s: %v", key, err)
			}
			*into = t
		}
	}
	if s := query.Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > maxPage {
			return nil, problemf(http.StatusBadRequest, "limit must be between 1 and %d", maxPage)
		}
		wanted.Limit = n
	}
	stories, err := a.o.Trace.Find(r.Context(), wanted)
	if err != nil {
		return nil, err
	}
	p := page[Story]{Items: []Story{}}
	owner := a.owners(r.Context())
	for _, s := range stories {
		p.Items = append(p.Items, storyOf(s, owner))
	}
	return p, nil
}

func storyOf(s trace.Story, owner owners) Story {
	story := Story{Message: s.Message}
	for _, e := range s.Events {
		step := StoryStep{
			Time: utc(e.Time), Step: e.Step.String(), MessageID: e.MessageID, Queue: e.Queue, Service: e.Service, Remote: e.Remote,
			Hello: e.Hello, TLS: e.TLS, From: e.From, To: e.To, Size: int64(e.Size), Reason: e.Reason, Seconds: e.Took.Seconds(),
		}
		if e.Account != 0 {
			step.Account, step.Owner = e.Account.String(), owner(e.Account)
		}
		for _, f := range e.Facts {
			if step.Facts == nil {
				step.Facts = map[string]string{}
			}
			step.Facts[f.Name] = f.Value
		}
		story.Steps = append(story.Steps, step)
	}
	return story
}

// Stories gives what is remembered of messages, the oldest first.
func (c *Client) Stories(ctx context.Context, f StoryFilter) ([]Story, error) {
	query := url.Values{}
	if f.Term != "" {
		query.Set("term", f.Term)
	}
	for key, t := range map[string]time.Time{"since": f.Since, "until": f.Until} {
		if !t.IsZero() {
			query.Set(key, t.UTC().Format(time.RFC3339))
		}
	}
	if f.Limit > 0 {
		query.Set("limit", strconv.Itoa(f.Limit))
	}
	p, err := call[page[Story]](ctx, c, http.MethodGet, "/v1/trace?"+query.Encode(), nil)
	return p.Items, err
}
