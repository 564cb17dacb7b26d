package imap

import (
	"reflect"
	"testing"
)

func TestParseNotify(t *testing.T) {
	both := NotifyNew | NotifyExpunge
	for in, want := range map[string]Notify{
		"NOTIFY NONE": {},
		"NOTIFY SET STATUS (selected (MessageNew (uid) MessageExpunge)) (subtree Lists (MessageNew MessageExpunge FlagChange))": {
			Set: true, Status: true, Groups: []NotifyGroup{
				{Filter: NotifySelected, Events: both, Fetch: []FetchItem{{Kind: FetchUID}}},
				{Filter: NotifySubtree, Mailboxes: []string{"Lists"}, Events: both | NotifyFlags},
			},
		},
		"notify set (Selected-Delayed NONE) (mailboxes (a \"b c\") (MailboxName SubscriptionChange)) (personal NONE)": {
			Set: true, Groups: []NotifyGroup{
				{Filter: NotifySelectedDelayed},
				{Filter: NotifyMailboxes, Mailboxes: []string{"a", "b c"}, Events: NotifyMailboxName | NotifySubscription},
				{Filter: NotifyPersonal},
			},
		},
		// As the example of RFC 5465 §3.1 has it.
		"NOTIFY SET (selected MessageNew (uid flags) MessageExpunge) (inboxes ServerMetadataChange)": {
			Set: true, Groups: []NotifyGroup{
				{Filter: NotifySelected, Events: both, Fetch: []FetchItem{{Kind: FetchUID}, {Kind: FetchFlags}}},
				{Filter: NotifyInboxes, Events: NotifyServerMetadata},
			},
		},
		"NOTIFY SET (personal (AnnotationChange XEvent))": {Set: true, Unknown: true, Groups: []NotifyGroup{{Filter: NotifyPersonal}}},
	} {
		got, err := Parse([]byte(in))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{
		"NOTIFY", "NOTIFY SET", "NOTIFY SET NONE", "NOTIFY SET ()", "NOTIFY SET (selected)", "NOTIFY SET (selected ())", "NOTIFY SET (other (MessageNew))",
		"NOTIFY SET (selected (MessageNew))", "NOTIFY SET (personal (MessageExpunge))", "NOTIFY SET (personal (FlagChange))",
		"NOTIFY SET (selected (MailboxName))", "NOTIFY SET (personal (MessageNew (uid) MessageExpunge))", "NOTIFY SET (selected NONE) (selected-delayed NONE)",
		"NOTIFY SET (mailboxes (MessageNew MessageExpunge))", "NOTIFY SET (personal (MessageNew MessageExpunge)", "NOTIFY NONE x", "NOTIFY SET STATUS",
	} {
		if got, err := Parse([]byte(in)); err == nil {
			t.Errorf("%q: %+v, want an error", in, got)
		}
	}
}
