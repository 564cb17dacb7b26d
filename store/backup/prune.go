package backup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Keep says which backups stay: the newest of so many of the latest hours,
// days, weeks, months and years in which there is one. The newest of all
// always stays.
type Keep struct {
	Last, Hours, Days, Weeks, Months, Years int
}

// ParseKeep reads "7d,4w,12m": numbers with n (the newest so many), h, d, w, m
// or y.
func ParseKeep(text string) (Keep, error) {
	var k Keep
	for word := range strings.SplitSeq(text, ",") {
		word = strings.TrimSpace(word)
		if word == "" {
			return Keep{}, errors.New("write how many to keep, such as 7d,4w,12m")
		}
		n, err := strconv.Atoi(word[:len(word)-1])
		to := map[byte]*int{'n': &k.Last, 'h': &k.Hours, 'd': &k.Days, 'w': &k.Weeks, 'm': &k.Months, 'y': &k.Years}[word[len(word)-1]]
		if err != nil || n < 1 || n > 100_000 || to == nil {
			return Keep{}, fmt.Errorf("%q is not a number with n, h, d, w, m or y, such as 7d", word)
		}
		*to = n
	}
	return k, nil
}

// choose gives the ids that stay. list is in order, the oldest first.
func (k Keep) choose(list []Snapshot, zone *time.Location) map[string]bool {
	stay := make(map[string]bool)
	if len(list) > 0 {
		stay[list[len(list)-1].ID] = true
	}
	for _, rule := range []struct {
		n      int
		period func(t time.Time) string
	}{
		{k.Hours, func(t time.Time) string { return t.Format("2006-01-02 15") }},
		{k.Days, func(t time.Time) string { return t.Format(time.DateOnly) }},
		{k.Weeks, func(t time.Time) string { y, w := t.ISOWeek(); return fmt.Sprint(y, " ", w) }},
		{k.Months, func(t time.Time) string { return t.Format("2006-01") }},
		{k.Years, func(t time.Time) string { return t.Format("2006") }},
	} {
		last, n := "", 0
		for _, s := range slices.Backward(list) {
			if n == rule.n {
				break
			}
			if p := rule.period(s.Time.In(zone)); p != last {
				last, stay[s.ID] = p, true
				n++
			}
		}
	}
	for i, s := range slices.Backward(list) {
		if len(list)-i > k.Last {
			break
		}
		stay[s.ID] = true
	}
	return stay
}

// A Pruned tells what Prune has removed.
type Pruned struct {
	Kept    int    `json:"kept"`
	Removed int    `json:"removed"` // backups
	Packs   int    `json:"packs"`
	Octets  uint64 `json:"octets"`
}

// unclaimed is after how long a pack that no backup needs is removed: younger
// ones may be of a run that is under way elsewhere.
const unclaimed = 48 * time.Hour

// Prune removes backups that are not to be kept, and then the packs that none
// of the others needs. It needs no key. The memory is locked meanwhile, so
// that no backup of this machine is under way. It removes nothing while one
// backup cannot be read, for that may need what looks unused.
func Prune(ctx context.Context, repo *Repository, _ *Memory, k Keep, now time.Time, zone *time.Location) (Pruned, error) {
	var done Pruned
	there, err := repo.packSizes(ctx) // before the snapshots: of what comes later, nothing is known
	if err != nil {
		return done, err
	}
	snapshots, err := repo.outer(ctx)
	if err != nil {
		return done, fmt.Errorf("nothing is removed while a backup cannot be read: %w", err)
	}
	list := make([]Snapshot, len(snapshots))
	for i, s := range snapshots {
		list[i] = s.Snapshot
	}
	stay := k.choose(list, zone)
	used, freed := make(map[packID]bool), make(map[packID]bool)
	for _, s := range snapshots {
		for _, p := range s.packs {
			if stay[s.ID] {
				used[p.id] = true
			} else {
				freed[p.id] = true
			}
		}
	}
	for _, s := range snapshots {
		if stay[s.ID] {
			done.Kept++
			continue
		}
		if err := repo.place.Delete(ctx, snapshotName(s.ID)); err != nil {
			return done, err
		}
		done.Removed++
	}
	for id, stat := range there {
		if used[id] || !freed[id] && now.Sub(stat.Modified) < unclaimed {
			continue
		}
		if err := repo.place.Delete(ctx, id.name()); err != nil {
			return done, err
		}
		done.Packs++
		done.Octets += uint64(stat.Size)
	}
	return done, nil
}
