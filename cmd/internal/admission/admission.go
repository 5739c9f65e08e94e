// Package admission puts a policy file into force: it follows the file, and counts
// the requests of sources that have a limit.
//
// # The file
//
// A [File] is read when it is opened, on demand (SIGHUP), and when it has changed,
// which is found out by reading it every few seconds: whatever replaces it, an
// editor or a Kubernetes volume, its content is what counts. A change counts when
// two readings in a row find the same, because a file that is being written may be
// a sound one that allows less. Requests see either the old policy or the new one.
// A file that cannot be read or understood changes nothing: the old policy stays in
// force, one line of the log says why, and so does [File.Trouble] until it is mended.
//
// # Requests per hour
//
// In no 60 minutes a source may make more requests than its limit. What is counted
// is requests that were accepted: each once, whether it is delivered or published
// again, at the time at which JetStream stored it, whenever it is worked on. A
// request that is denied or invalid does not count, one that fails at the vendor
// does. One that is over the limit is denied; it is not kept until there is room.
//
// The count is taken from the claims on the events stream, so that restarts and
// other replicas change nothing about it: with one replica the limit is exact. With
// several, each knows of another's claim as soon as JetStream shows it; what they
// claim within that moment of each other, milliseconds, can go beyond the limit,
// and at most by what the other replicas have in hand. Where the events cannot be
// read, a request of a source with a limit is neither allowed nor denied: it waits.
// Sources without a limit cost nothing and need nothing.
//
// # What it asks of NATS
//
// For limits only, below $JS.API: CONSUMER.CREATE.BACKUP_EVENTS.>, and
// CONSUMER.{INFO,MSG.NEXT,DELETE}.BACKUP_EVENTS.*. At most [maxReaders] sources have
// a consumer at a time; [Gate.Close] deletes them. Without DELETE the server does
// after [inactive].
//
// # Concurrency
//
// All methods may be called at any time. The requests of one source with a limit
// are decided one after another, each by a reading of the events that began after
// it came; those that wait share one.
package admission

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/consumer"
	"backhaul/publisher"
	"backhaul/schemas"
)

// Gate is the consumer's policy.
type Gate struct {
	file *File
	js   jetstream.JetStream

	mu       sync.Mutex // of counters
	counters map[string]*counter
}

var _ consumer.Policy = (*Gate)(nil)

// maxCounters bounds the memory that sources without an entry of their own, which
// may be any number, can take. What is forgotten is counted anew when it is needed.
const maxCounters = 1000

// maxReaders bounds the consumers that a replica has on the events stream. A server
// allows 1000 for a stream, of all replicas and readers.
const maxReaders = 64

// NewGate decides by a file, and counts on the events stream.
func NewGate(file *File, js jetstream.JetStream) *Gate {
	return &Gate{file: file, js: js, counters: make(map[string]*counter)}
}

// Allows implements [consumer.Policy].
func (g *Gate) Allows(ctx context.Context, key publisher.Key, r *schemas.BackupRequest, requested time.Time) error {
	p := g.file.Policy()
	allowed, perHour := p.Allows(key.Source, r)
	switch {
	case !allowed:
		return &consumer.DeniedError{Reason: p.Explain(key.Source, *r).Reason()}
	case perHour == 0:
		return nil
	}
	c, unused := g.counter(key.Source)
	for _, other := range unused {
		other.release(ctx)
	}
	room, err := c.admit(ctx, key.Name, requested, perHour)
	if err != nil {
		return fmt.Errorf("count the requests of %q: %w", key.Source, err)
	}
	if room.IsZero() {
		return nil
	}
	from := "now"
	if time.Until(room) > 0 {
		from = "from " + room.UTC().Add(time.Second-1).Truncate(time.Second).Format(time.RFC3339)
	}
	v := p.Explain(key.Source, *r)
	return &consumer.DeniedError{Retryable: true, Reason: fmt.Sprintf(
		"source %q has made as many requests in an hour as it may (requestsPerHour: %d, %s:%d); there is room for a new one %s",
		key.Source, perHour, filepath.Base(p.File), v.RequestsPerHourLine, from)}
}

// counter returns the counter of a source, and those whose consumers have to go for
// it.
func (g *Gate) counter(source string) (c *counter, unused []*counter) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c, ok := g.counters[source]
	if !ok {
		if len(g.counters) >= maxCounters {
			oldest := g.oldest(func(*counter) bool { return true })
			delete(g.counters, oldest.claims.source) // a decision that is under way with it comes to its end
			unused = append(unused, oldest)
		}
		c = newCounter(g.js, source)
		g.counters[source] = c
	}
	c.used = time.Now()
	if !c.reads {
		c.reads = true
		reading := 0
		for _, one := range g.counters {
			if one.reads {
				reading++
			}
		}
		if reading > maxReaders {
			oldest := g.oldest(func(one *counter) bool { return one.reads && one != c })
			oldest.reads = false
			unused = append(unused, oldest)
		}
	}
	return c, unused
}

// oldest returns the counter that was used longest ago. The caller holds mu.
func (g *Gate) oldest(of func(*counter) bool) (oldest *counter) {
	for _, c := range g.counters {
		if of(c) && (oldest == nil || c.used.Before(oldest.used)) {
			oldest = c
		}
	}
	return oldest
}

// Close deletes the consumers that count, for as long as ctx allows. A decision
// after it makes a new one.
func (g *Gate) Close(ctx context.Context) {
	g.mu.Lock()
	all := slices.Collect(maps.Values(g.counters))
	g.mu.Unlock()
	for _, c := range all {
		c.release(ctx)
	}
}
