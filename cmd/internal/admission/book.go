package admission

import (
	"slices"
	"sort"
	"time"
)

// book records the accepted requests of one source. It is not safe for concurrent
// use.
type book struct {
	accepted []acceptance // sorted by requested
	known    map[string]time.Time
	// reserved maps requests that were admitted here, and whose claim is not on the
	// stream yet, to the time when their reservation expires.
	reserved map[string]time.Time
}

// acceptance is a request that counts, with the time when JetStream stored it.
type acceptance struct {
	requested time.Time
	name      string
}

// reservation is how long a request counts without a claim. Its claim is still to
// arrive, or never will because the request duplicates an older one.
const reservation = time.Minute

func newBook() *book {
	return &book{known: make(map[string]time.Time), reserved: make(map[string]time.Time)}
}

// admit counts a request unless some hour would then have more than limit. It
// returns the zero time for an admitted request, and for one that counts already.
// Otherwise it returns when a new request can be admitted, provided that none
// arrives before.
func (b *book) admit(name string, requested time.Time, limit int, now time.Time) (capacityAt time.Time) {
	b.expire(now)
	if _, ok := b.known[name]; ok {
		return time.Time{}
	}
	// Some hour has more than limit if limit consecutive others lie within one hour
	// together with this one.
	for i := b.after(requested.Add(-time.Hour)); i+limit <= len(b.accepted); i++ {
		first, last := b.accepted[i].requested, b.accepted[i+limit-1].requested
		if first.Sub(requested) >= time.Hour {
			break
		}
		if max(last.Sub(first), last.Sub(requested), requested.Sub(first)) < time.Hour {
			return b.accepted[len(b.accepted)-limit].requested.Add(time.Hour)
		}
	}
	b.insert(name, requested)
	b.reserved[name] = now.Add(reservation)
	return time.Time{}
}

// note counts a request whose claim is on the stream, and ends its reservation.
func (b *book) note(name string, requested time.Time) {
	if _, ok := b.known[name]; !ok {
		b.insert(name, requested)
	}
	delete(b.reserved, name)
}

// forget drops the requests made before a time.
func (b *book) forget(before time.Time) {
	n := sort.Search(len(b.accepted), func(i int) bool { return !b.accepted[i].requested.Before(before) })
	for _, a := range b.accepted[:n] {
		delete(b.known, a.name)
		delete(b.reserved, a.name)
	}
	b.accepted = slices.Delete(b.accepted, 0, n)
}

// expire drops the requests whose reservation has ended.
func (b *book) expire(now time.Time) {
	for name, until := range b.reserved {
		if now.After(until) {
			delete(b.reserved, name)
			delete(b.known, name)
			b.accepted = slices.DeleteFunc(b.accepted, func(a acceptance) bool { return a.name == name })
		}
	}
}

func (b *book) insert(name string, requested time.Time) {
	b.accepted = slices.Insert(b.accepted, b.after(requested), acceptance{requested, name})
	b.known[name] = requested
}

// after returns the index of the first request made after a time.
func (b *book) after(t time.Time) int {
	return sort.Search(len(b.accepted), func(i int) bool { return b.accepted[i].requested.After(t) })
}
