package imap

import (
	"reflect"
	"strings"
	"testing"
)

func TestParseSort(t *testing.T) {
	page := &PageRange{5, 1}
	all := SearchKey{Op: SearchAll}
	for _, tt := range []struct {
		text string
		want Command
	}{
		{"SORT (subject reverse DATE) utf-8 ALL", Sort{Search{Charset: "utf-8", Program: all}, []SortKey{{SortSubject, false}, {SortDate, true}}}},
		{"UID SORT RETURN (PARTIAL 5:1 COUNT) (DISPLAYFROM) US-ASCII ALL",
			Sort{Search{UID: true, Extended: true, Return: ReturnPartial | ReturnCount, Page: page, Charset: "US-ASCII", Program: all}, []SortKey{{SortDisplayFrom, false}}}},
		{"THREAD references UTF-8 ALL", Thread{Algorithm: "REFERENCES", Charset: "UTF-8", Program: all}},
		{"UID THREAD X-Y UTF-8 ALL", Thread{UID: true, Algorithm: "X-Y", Charset: "UTF-8", Program: all}},
		{`CANCELUPDATE "a" "b"`, CancelUpdate{[]string{"a", "b"}}},
		{"COMPARATOR", Comparator{}},
		{`COMPARATOR default "cz;*"`, Comparator{[]string{"default", "cz;*"}}},
		{"ESEARCH ALL", MultiSearch{Search{UID: true, Extended: true, Return: ReturnAll, Program: all}, nil}},
		{`ESEARCH IN (personal subtree (a "b c") mailboxes d) RETURN (MIN UPDATE) CHARSET utf-8 ALL`,
			MultiSearch{Search{UID: true, Extended: true, Return: ReturnMin | ReturnUpdate, Charset: "utf-8", Program: all},
				[]Source{{Kind: SourcePersonal}, {SourceSubtree, []string{"a", "b c"}}, {SourceMailboxes, []string{"d"}}}}},
		{"SEARCH RETURN (CONTEXT) ALL", Search{Extended: true, Return: ReturnContext | ReturnAll, Program: all}},
		{"SEARCH RETURN (UPDATE) ALL", Search{Extended: true, Return: ReturnUpdate, Program: all}},
		{"SEARCH RETURN (RELEVANCY) FUZZY ALL", Search{Extended: true, Return: ReturnRelevancy, Program: SearchKey{Op: SearchFuzzy, Keys: []SearchKey{all}}}},
		{"SEARCH OLDER 3 YOUNGER 4", Search{Program: and([]SearchKey{{Op: SearchOlder, Size: 3}, {Op: SearchYounger, Size: 4}})}},
		{"SEARCH FILTER on-the-road", Search{Program: SearchKey{Op: SearchFilter, Text: "on-the-road"}}},
	} {
		got, err := Parse([]byte(tt.text))
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, %v", tt.text, got, err)
		} else if name, _, _ := strings.Cut(strings.TrimPrefix(strings.ToUpper(tt.text), "UID "), " "); !strings.HasSuffix(got.Name(), name) {
			t.Errorf("%s is called %s", tt.text, got.Name())
		}
	}
	for _, text := range []string{
		"SORT SUBJECT UTF-8 ALL", "SORT () UTF-8 ALL", "SORT (REVERSE) UTF-8 ALL", "SORT (SUBJECT)UTF-8 ALL", "SORT (SUBJECT) UTF-8",
		"SORT (RELEVANCY) UTF-8 ALL", "SORT (" + strings.Repeat("SIZE ", 40) + "SIZE) UTF-8 ALL", "THREAD UTF-8 ALL", "CANCELUPDATE", "CANCELUPDATE a",
		"ESEARCH", "ESEARCH IN () ALL", "ESEARCH IN personal ALL", "ESEARCH IN (nobody) ALL", "ESEARCH IN (subtree) ALL", "ESEARCH IN (personal", "ESEARCH RETURN (NONSENSE) ALL",
		"SEARCH RETURN (PARTIAL 1:2 ALL) ALL", "SEARCH RETURN (RELEVANCY) ALL", "SEARCH FUZZY", "SEARCH FILTER a/b", "SEARCH OLDER 0",
	} {
		if got, err := Parse([]byte(text)); err == nil {
			t.Errorf("%s: %+v", text, got)
		}
	}
}
