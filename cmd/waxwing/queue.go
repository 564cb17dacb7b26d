package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"waxwing/app/config"
	"waxwing/mail"
	"waxwing/serve/adminapi"
)

type queueCmd struct {
	List    queueListCmd    `cmd:"" help:"List what is on its way out."`
	Show    queueShowCmd    `cmd:"" help:"Show one message, its recipients and what has been tried."`
	Hold    queueHoldCmd    `cmd:"" help:"Do not try messages until they are released."`
	Release queueReleaseCmd `cmd:"" help:"Try held messages again."`
	Retry   queueRetryCmd   `cmd:"" help:"Try messages now."`
	Delete  queueDeleteCmd  `cmd:"" help:"Delete messages; nobody is told."`

	Destinations queueDestinationsCmd `cmd:"" help:"Add up what waits, by the recipients' domains."`
	Reroute      queueRerouteCmd      `cmd:"" help:"Send messages another way."`
	Readdress    queueReaddressCmd    `cmd:"" help:"Put another address in the place of a recipient's."`
	Freeze       queueFreezeCmd       `cmd:"" help:"Hold all messages that fit a rule, and those to come."`
	Freezes      queueFreezesCmd      `cmd:"" help:"List the rules that hold messages."`
	Thaw         queueThawCmd         `cmd:"" help:"Remove such a rule and let its messages go."`
}

func (queueCmd) Help() string {
	return `Mail to other servers waits in the queue until they have taken it. What cannot be delivered is tried
again with growing pauses, and goes back to its sender after some days.

Examples:

  waxwing queue destinations
  waxwing queue list --deferred --domain example.com --older 2h
  waxwing queue show q10000000002f
  waxwing queue retry --all --to @example.com
  waxwing queue reroute smtp:backup.example.net --all --domain example.com
  waxwing queue freeze moving --to @example.com --reason "they are moving house"
  waxwing queue delete q10000000002f

Why a message waits, "show" says. docs/queue.md has more.`
}

// queueFilter chooses items.
type queueFilter struct {
	Held     bool            `help:"Only those that are held."`
	Deferred bool            `help:"Only those that have been tried in vain."`
	Untried  bool            `help:"Only those that have not been tried."`
	Underway bool            `help:"Only those that are being tried right now."`
	From     string          `help:"Only those whose sender contains this." placeholder:"TEXT"`
	To       string          `help:"Only those with a recipient that contains this." placeholder:"TEXT"`
	Domain   string          `help:"Only those that wait for a recipient of this domain." placeholder:"DOMAIN"`
	Said     string          `help:"Only those of which the last answer contains this." placeholder:"TEXT"`
	Frozen   string          `help:"Only those that this rule holds." placeholder:"RULE"`
	Account  string          `help:"Only those that this account submits, or that go to it." placeholder:"ADDRESS"`
	Older    config.Duration `help:"Only those that have been here for longer, such as \"2h\"." placeholder:"TIME"`
	Larger   config.Size     `help:"Only those that are larger, such as \"10MB\"." placeholder:"SIZE"`
}

func (f queueFilter) wire() adminapi.QueueFilter {
	return adminapi.QueueFilter{
		Held: f.Held, Deferred: f.Deferred, Untried: f.Untried, Underway: f.Underway, From: f.From, To: f.To, Domain: f.Domain,
		Said: f.Said, Frozen: f.Frozen, Account: f.Account, Older: f.Older.Std(), Larger: int64(f.Larger),
	}
}

// none says that nothing was chosen.
func (f queueFilter) none() string {
	if f != (queueFilter{}) {
		return "no such items in the queue"
	}
	return "the queue is empty"
}

type queueListCmd struct {
	lister
	queueFilter
}

func (c queueListCmd) Run(ctx context.Context, s streams) error {
	return c.with(func(client *adminapi.Client) error {
		items := client.Queue(ctx, c.wire())
		return printList(s, c.JSON, items, c.none(), "ITEM STATE NEXT-TRY SIZE FROM TO WHY", func(it adminapi.QueueItem) []string {
			return []string{
				it.ID, stateOf(it), dueIn(it, time.Now()), mail.ByteCount(it.Size).String(), sender(it.From), recipients(it),
				why(it),
			}
		})
	})
}

// stateOf says in a word or two how an item stands.
func stateOf(it adminapi.QueueItem) string {
	switch {
	case it.Held:
		return "held"
	case it.Underway:
		return "underway"
	case it.Tries > 0:
		return "tried " + strconv.Itoa(it.Tries) + "x"
	}
	return "new"
}

// dueIn says when an item is tried next.
func dueIn(it adminapi.QueueItem, now time.Time) string {
	switch left := it.Due.Sub(now); {
	case it.Held:
		return "never"
	case it.Underway || left <= 0:
		return "now"
	default:
		return "in " + left.Round(time.Second).String()
	}
}

func sender(from string) string {
	if from == "" {
		return "<>"
	}
	return from
}

// recipients names the first recipients that are still to be tried.
func recipients(it adminapi.QueueItem) string {
	const most = 3
	var pending []string
	for _, r := range it.Recipients {
		if r.State == "pending" {
			pending = append(pending, r.Address)
		}
	}
	if len(pending) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(pending[:most], " "), len(pending)-most)
	}
	return strings.Join(pending, " ")
}

// why says what keeps an item in the queue: what was last said of a recipient
// who is still to be tried.
func why(it adminapi.QueueItem) string {
	const most = 80
	for _, r := range it.Recipients {
		if text := []rune(answer(r)); r.State == "pending" && len(text) > 0 {
			if len(text) > most {
				text = append(text[:most-1], '…')
			}
			return string(text)
		}
	}
	return ""
}

type queueShowCmd struct {
	lister
	ID string `arg:"" help:"The item, as in the list."`
}

func (c queueShowCmd) Run(ctx context.Context, s streams) error {
	return c.with(func(client *adminapi.Client) error {
		it, err := client.QueueItem(ctx, c.ID)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(s.out, it)
		}
		facts := []string{
			"item", it.ID, "message", it.Message, "state", stateOf(it), "waits", whyWaits(it, time.Now()), "next try", dueIn(it, time.Now()),
			"since", when(it.Created), "size", mail.ByteCount(it.Size).String(),
			"came by", strings.TrimSpace(it.Service + " " + it.Remote), "account", cmp.Or(it.Sender, it.Submitter), "goes to", cmp.Or(it.Owner, it.Account), "from", sender(it.From), "TLS", it.TLS, "deliver by", when(it.DeliverBy), "rerouted to", it.Reroute,
		}
		if it.Priority != 0 {
			facts = append(facts, "priority", strconv.Itoa(it.Priority))
		}
		for _, r := range it.Recipients {
			facts = append(facts, "to", strings.Join(nonEmpty(r.Address, r.State, answer(r)), ", "))
		}
		for _, try := range it.History {
			facts = append(facts, "tried "+when(try.Began), strings.Join(nonEmpty(try.Remote, try.Text, "took "+seconds(try.Seconds)), ", "))
			for _, c := range try.Calls {
				facts = append(facts, "  called", strings.Join(nonEmpty(c.Remote, c.TLS, c.Text, "took "+seconds(c.Seconds)), ", "))
			}
		}
		return printFacts(s.out, facts...)
	})
}

func seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(time.Millisecond).String()
}

// whyWaits says in words what an item waits for.
func whyWaits(it adminapi.QueueItem, now time.Time) string {
	switch left := it.Due.Sub(now); {
	case it.Held && it.Frozen != "":
		return fmt.Sprintf("the rule %q holds it; see: waxwing queue freezes", it.Frozen)
	case it.Held:
		return "an administrator holds it; to end that: waxwing queue release " + it.ID
	case it.Underway:
		return "it is being tried right now"
	case left > 0 && it.HoldUntil.After(now):
		return "its sender wants it to go at " + when(it.HoldUntil)
	case left > 0 && it.Tries == 0:
		return "its time has not come, or too many others go to the same hosts at the moment"
	case left > 0:
		return "the last try was in vain: " + why(it)
	}
	return "for its turn"
}

// answer is what was last said of a recipient, and by whom.
func answer(r adminapi.QueueRecipient) string {
	text := strings.Join(nonEmpty(r.Enhanced, r.Reply), " ")
	if r.Code != 0 {
		text = strings.TrimSpace(strconv.Itoa(r.Code) + " " + text)
	}
	if r.Remote != "" && text != "" {
		return r.Remote + " said: " + text
	}
	return text
}

func nonEmpty(list ...string) []string {
	var kept []string
	for _, s := range list {
		if s != "" {
			kept = append(kept, s)
		}
	}
	return kept
}

// queueItems chooses the items that a command steers: some by name, or all
// that a filter finds.
type queueItems struct {
	server
	queueFilter
	IDs []string `arg:"" optional:"" help:"The items, as in the list." name:"id"`
	All bool     `help:"All items, or all that the options choose."`
}

// each calls fn for every chosen item.
func (q queueItems) each(ctx context.Context, s streams, done string, fn func(*adminapi.Client, string) error) error {
	if (len(q.IDs) > 0) == q.All {
		return errors.New("name the items, or choose them with --all; see: waxwing queue list")
	}
	return q.with(func(client *adminapi.Client) error {
		ids := q.IDs
		if q.All {
			for it, err := range client.Queue(ctx, q.wire()) {
				if err != nil {
					return err
				}
				ids = append(ids, it.ID)
			}
		}
		var errs []error
		n := 0
		for _, id := range ids {
			err := fn(client, id)
			switch {
			case err == nil:
				n++
			case q.All && (gone(err) || unfit(err)): // it has gone meanwhile, or is none of those that are meant
			default:
				errs = append(errs, fmt.Errorf("%s: %w", id, err))
			}
		}
		fmt.Fprintf(s.out, "%s %d\n", done, n)
		return errors.Join(errs...)
	})
}

func gone(err error) bool {
	p, ok := errors.AsType[*adminapi.Problem](err)
	return ok && p.Status == http.StatusNotFound
}

// unfit tells whether an error says that something is not as it must be for what
// is wanted.
func unfit(err error) bool {
	p, ok := errors.AsType[*adminapi.Problem](err)
	return ok && p.Status == http.StatusConflict
}

type queueHoldCmd struct{ queueItems }

func (c queueHoldCmd) Run(ctx context.Context, s streams) error {
	return c.each(ctx, s, "held", func(client *adminapi.Client, id string) error { return client.Hold(ctx, id) })
}

type queueReleaseCmd struct{ queueItems }

func (c queueReleaseCmd) Run(ctx context.Context, s streams) error {
	return c.each(ctx, s, "released", func(client *adminapi.Client, id string) error { return client.Release(ctx, id) })
}

type queueRetryCmd struct{ queueItems }

func (c queueRetryCmd) Run(ctx context.Context, s streams) error {
	return c.each(ctx, s, "trying", func(client *adminapi.Client, id string) error { return client.Retry(ctx, id) })
}

type queueDeleteCmd struct {
	queueItems
	Yes bool `help:"Do not ask, with --all."`
}

func (c queueDeleteCmd) Run(ctx context.Context, s streams) error {
	if c.All && !c.Yes {
		if err := confirm(s, "Delete all these messages? Nobody is told, and they cannot be brought back."); err != nil {
			return err
		}
	}
	return c.each(ctx, s, "deleted", func(client *adminapi.Client, id string) error { return client.DeleteItem(ctx, id) })
}
