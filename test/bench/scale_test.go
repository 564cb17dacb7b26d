//go:build bench

package bench

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/blob/memblob"
	"waxwing/store/directory"
	"waxwing/store/kv/pebblekv"
	"waxwing/store/mailbox"
	"waxwing/store/search"
	"waxwing/test/system"
)

// scaleCommands are measured on mailboxes of all sizes.
var scaleCommands = []string{
	"SELECT INBOX", "UID FETCH 1:* (FLAGS)", "FETCH 1:* (ENVELOPE)", "FETCH 1:* (BODYSTRUCTURE)", "FETCH 1:* (BODY.PEEK[])",
	"STATUS INBOX (MESSAGES UNSEEN DELETED SIZE)", `LIST "" * RETURN (STATUS (MESSAGES UNSEEN))`,
	"SEARCH UNSEEN", "SEARCH RETURN (MIN MAX COUNT) UNSEEN", "SEARCH SUBJECT " + searchWord(40), "SEARCH BODY xyzzyplugh",
	"SORT (SUBJECT) US-ASCII ALL", "THREAD REFERENCES US-ASCII ALL",
}

// What commands cost in mailboxes of 20,000 and 200,000 messages of 2 KiB, and
// of 1,000,000 with WAXWING_MILLION set: at the first access after a start, and
// warm. WAXWING_PLOT names the file that the plot is written to.
func TestScale(t *testing.T) {
	sizes := []int{20_000, 200_000}
	if os.Getenv("WAXWING_MILLION") != "" {
		sizes = append(sizes, 1_000_000)
	}
	ours, w := waxwing(t)
	w.Stop()
	for i, n := range sizes {
		fillStore(t, w, user(i), n)
	}
	w.Run()
	first, warm := map[string][]time.Duration{}, map[string][]time.Duration{}
	ours.settle()
	for i := range sizes {
		c := ours.dial(t, i)
		for round := range 4 {
			for _, command := range scaleCommands {
				start := time.Now()
				if _, err := c.do(command); err != nil {
					t.Fatal(err)
				}
				took := time.Since(start)
				switch all := warm[command]; round {
				case 0:
					first[command] = append(first[command], took)
				case 1:
					warm[command] = append(all, took)
				default:
					all[i] = min(all[i], took)
				}
			}
		}
		c.close()
	}
	scaleTable(t, sizes, first, warm)
	if file := os.Getenv("WAXWING_PLOT"); file != "" {
		if err := os.WriteFile(file, plot(sizes, scaleCommands, warm), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// scaleTable prints what was measured; growth is the cost of a message in the
// largest mailbox, of that in the smallest.
func scaleTable(t *testing.T, sizes []int, first, warm map[string][]time.Duration) {
	head, line := "| command |", "|---|"
	for _, n := range sizes {
		head += fmt.Sprintf(" %d, first | warm |", n)
		line += "---|---|"
	}
	t.Log(head + " a message, largest to smallest |")
	t.Log(line + "---|")
	for _, command := range scaleCommands {
		row := fmt.Sprintf("| `%s` |", command)
		for i := range sizes {
			row += fmt.Sprintf(" %.2f ms | %.2f ms |", ms(first[command][i]), ms(warm[command][i]))
		}
		of := func(i int) float64 { return float64(warm[command][i]) / float64(sizes[i]) }
		t.Logf("%s %.2f |", row, of(len(sizes)-1)/of(0))
	}
}

// fillStore gives a user a mailbox with its index, in the store of a server that
// is stopped.
func fillStore(t *testing.T, w *system.Waxwing, address string, n int) {
	t.Helper()
	db, err := pebblekv.Open(filepath.Join(w.Dir, "store"), pebblekv.Options{})
	if err != nil {
		t.Fatal(err)
	}
	blobs := memblob.New(0) // small messages are not put there
	boxes := mailbox.New(db, blobs, mailbox.Options{})
	defer func() {
		if err := boxes.Close(); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	who, err := mail.ParseAddress(address)
	if err != nil {
		t.Fatal(err)
	}
	a, err := directory.New(db).AccountByAddress(t.Context(), who)
	if err != nil {
		t.Fatal(err)
	}
	const batch = 250
	letters := make(chan []string, 4)
	go func() { // making them takes as long as storing them
		defer close(letters)
		for from := 0; from < n; from += batch {
			list := make([]string, 0, batch)
			for i := from; i < min(from+batch, n); i++ {
				list = append(list, letter(i, 2<<10))
			}
			select {
			case letters <- list:
			case <-t.Context().Done():
				return
			}
		}
	}()
	for list := range letters {
		if err := appendAll(t.Context(), boxes.Account(a.ID), blobs, list); err != nil {
			t.Fatal(err)
		}
	}
	if err := search.New(db, boxes, search.Options{}).Update(t.Context(), a.ID, time.Now()); err != nil {
		t.Fatal(err)
	}
}

func appendAll(ctx context.Context, a *mailbox.Account, blobs blob.Store, list []string) error {
	entries := make([]mailbox.NewEntry, 0, len(list))
	for i, text := range list {
		body, err := blob.StageBytes(ctx, blobs, []byte(text))
		if err != nil {
			return err
		}
		defer body.Close()
		entries = append(entries, mailbox.NewEntry{Mailbox: mailbox.Inbox, Body: body, Flags: mail.Flags(i%2) * mail.Seen})
	}
	_, err := a.AppendMany(ctx, time.Now(), mailbox.Inbox, entries)
	return err
}

// plot draws warm figures over the size of the mailbox, both logarithmic: what
// costs as much for each message is parallel to the dashed line.
func plot(sizes []int, commands []string, warm map[string][]time.Duration) []byte {
	const left, top, width, height, legend = 60, 20, 420, 320, 250
	colours := []string{"#1b6ca8", "#c0392b", "#27824a", "#8e44ad", "#d17a00", "#16a0a0", "#7f8c1d", "#ad1457", "#5d4037", "#455a64",
		"#0b3d91", "#e67e22", "#2c3e50"}
	lo, hi := math.Inf(1), math.Inf(-1) // exponents of milliseconds
	for _, c := range commands {
		for _, d := range warm[c] {
			lo, hi = min(lo, math.Log10(ms(d))), max(hi, math.Log10(ms(d)))
		}
	}
	lo, hi = math.Floor(lo), math.Ceil(hi)
	n0, n1 := math.Log10(float64(sizes[0])), math.Log10(float64(sizes[len(sizes)-1]))
	x := func(n float64) float64 { return left + width*(math.Log10(n)-n0)/(n1-n0) }
	y := func(ms float64) float64 { return top + height*(hi-math.Log10(ms))/(hi-lo) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="11">`+"\n", left+width+legend, top+height+40)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="white"/>`+"\n")
	for e := lo; e <= hi; e++ {
		at := y(math.Pow(10, e))
		fmt.Fprintf(&b, `<path d="M%d %.1fh%d" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%g ms</text>`+"\n", left, at, width, left-6, at+4, math.Pow(10, e))
	}
	for _, n := range sizes {
		fmt.Fprintf(&b, `<path d="M%.1f %dv%d" stroke="#ddd"/><text x="%.1f" y="%d" text-anchor="middle">%d messages</text>`+"\n", x(float64(n)), top, height, x(float64(n)), top+height+18, n)
	}
	growth := float64(sizes[len(sizes)-1]) / float64(sizes[0])
	from := math.Pow(10, lo) * 1.2
	fmt.Fprintf(&b, `<path d="M%.1f %.1fL%.1f %.1f" stroke="#999" stroke-dasharray="5 4"/>`+"\n", x(float64(sizes[0])), y(from), x(float64(sizes[len(sizes)-1])), y(from*growth))
	for i, c := range commands {
		var points []string
		for k, d := range warm[c] {
			points = append(points, fmt.Sprintf("%.1f,%.1f", x(float64(sizes[k])), y(ms(d))))
		}
		colour := colours[i%len(colours)]
		fmt.Fprintf(&b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", strings.Join(points, " "), colour)
		fmt.Fprintf(&b, `<text x="%d" y="%d" fill="%s">%s</text>`+"\n", left+width+40, top+14+18*i, colour, c)
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" fill="#777">dashed: as much for each message</text>`+"\n</svg>\n", left+width+40, top+14+18*len(commands))
	return []byte(b.String())
}
