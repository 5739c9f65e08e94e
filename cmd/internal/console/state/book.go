package state

import (
	"cmp"
	"container/list"
	"slices"
	"time"

	"backhaul/cmd/internal/eventlog"
	"backhaul/publisher"
)

// book holds requests up to a limit. What has to go first are the requests that
// were settled first; only if none is settled, those that were seen first.
type book struct {
	limit int
	byKey map[publisher.Key]*Request
	// running and settled have the keys in the order in which they came there.
	running, settled *list.List
	place            map[publisher.Key]*list.Element
}

func newBook(limit int) book {
	return book{
		limit: limit, byKey: map[publisher.Key]*Request{}, place: map[publisher.Key]*list.Element{},
		running: list.New(), settled: list.New(),
	}
}

func (b *book) len() int { return len(b.byKey) }

// apply folds an event into its request.
func (b *book) apply(e eventlog.Event) *Request {
	r := b.byKey[e.Key]
	if r == nil {
		key := publisher.Key{Source: cut(e.Key.Source), Name: cut(e.Key.Name)}
		if key != e.Key { // longer than anything of ours writes; it would not be found again
			key = e.Key
		}
		r = &Request{Key: key, First: e.Sequence}
		b.byKey[key] = r
	} else if e.Kind.PerJob() { // it keeps its place
		r.apply(e)
		return r
	} else {
		b.listOf(r).Remove(b.place[r.Key])
	}
	r.apply(e)
	b.place[r.Key] = b.listOf(r).PushBack(r.Key)
	for len(b.byKey) > b.limit {
		b.dropOldest()
	}
	return r
}

func (b *book) listOf(r *Request) *list.List {
	if r.Open() {
		return b.running
	}
	return b.settled
}

func (b *book) dropOldest() {
	from := b.settled
	if from.Len() == 0 {
		from = b.running
	}
	key := from.Remove(from.Front()).(publisher.Key)
	delete(b.byKey, key)
	delete(b.place, key)
}

// matching returns the requests that match at a time, the newest first. The first event of
// one that was started long ago may be that of its job's end.
func (b *book) matching(f Filter, now time.Time) []*Request {
	matching := make([]*Request, 0, len(b.byKey))
	for _, r := range b.byKey {
		if f.matches(r, now) {
			matching = append(matching, r)
		}
	}
	slices.SortFunc(matching, func(a, b *Request) int {
		return cmp.Or(b.Requested.Compare(a.Requested), cmp.Compare(b.First, a.First))
	})
	return matching
}

// countOpen counts the requests without an outcome by their status at a time.
func (b *book) countOpen(counts Counts, now time.Time) {
	for at := b.running.Front(); at != nil; at = at.Next() {
		counts[b.byKey[at.Value.(publisher.Key)].At(now)]++
	}
}

// countRunning counts the requests with a job that has no end yet.
func (b *book) countRunning() (n int) {
	for _, r := range b.byKey {
		if r.Backup.Open() {
			n++
		}
	}
	return n
}
