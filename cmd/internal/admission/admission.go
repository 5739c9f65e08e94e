// Package admission enforces a policy file: it reloads the file when it changes and
// limits the requests that each source makes per hour.
//
// # The file
//
// A [File] is read when it is opened, on SIGHUP, and every few seconds. Only its
// content is compared, so it does not matter whether an editor or a Kubernetes
// volume replaces it. A change takes effect when two consecutive reads find the same
// content, because a half-written file may be a valid policy that allows less. A
// request is judged by the old policy or by the new one, never by a mixture. If the
// file cannot be read or is invalid, the old policy stays in force; the reason is
// logged once, and [File.Trouble] returns it until the file is fixed.
//
// # Requests per hour
//
// A source makes at most as many requests as its limit in any period of 60 minutes.
// Accepted requests count, each once, at the time when JetStream stored it,
// regardless of redeliveries, repeated publications and the time of processing.
// Denied and invalid requests do not count; requests that fail at the vendor do. A
// request over the limit is denied, not queued until the limit allows it.
//
// The count comes from the claims on the events stream, so restarts and other
// replicas do not change it: with one replica the limit is exact. With several, each
// replica sees another's claim as soon as JetStream delivers it. Claims made within
// that delay of each other (milliseconds) can exceed the limit, by at most the
// requests that the other replicas have in flight. While the events cannot be read,
// a request of a source with a limit is neither allowed nor denied: it waits.
// Sources without a limit need no reads and no permissions.
//
// # NATS permissions
//
// For limits only, below $JS.API: CONSUMER.CREATE.BACKUP_EVENTS.>, and
// CONSUMER.{INFO,MSG.NEXT,DELETE}.BACKUP_EVENTS.*. At most [maxReaders] sources have
// a consumer at a time; [Gate.Close] deletes them. Without permission for DELETE,
// the server deletes them after [inactive].
//
// # Concurrency
//
// All methods are safe for concurrent use. The requests of one source with a limit
// are decided one after another, each after a read of the events that began after
// the request arrived; waiting requests share one read.
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
	"backhaul/consumer/turn"
	"backhaul/publisher"
	"backhaul/schemas"
)

// Gate implements the consumer's policy by a file and a count of requests.
type Gate struct {
	file *File
	js   jetstream.JetStream

	mu       sync.Mutex // of counters
	counters map[string]*counter
}

var _ consumer.Policy = (*Gate)(nil)

// maxCounters bounds the memory for sources without an entry of their own, whose
// number is unlimited. A counter that was dropped is read from the stream again.
const maxCounters = 1000

// maxReaders bounds the consumers of this replica on the events stream. The server
// allows 1000 for each stream, over all replicas and readers.
const maxReaders = 64

// NewGate returns a gate that decides by a file and counts on the events stream.
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
	capacityAt, err := c.admit(ctx, key.Name, requested, perHour)
	if err != nil {
		return fmt.Errorf("count the requests of %q: %w", key.Source, err)
	}
	if capacityAt.IsZero() {
		return nil
	}
	from := "now"
	if time.Until(capacityAt) > 0 {
		from = "from " + capacityAt.UTC().Add(time.Second-1).Truncate(time.Second).Format(time.RFC3339)
	}
	v := p.Explain(key.Source, *r)
	return &consumer.DeniedError{Retryable: true, Reason: fmt.Sprintf(
		"source %q has reached its limit of requests per hour (requestsPerHour: %d, %s:%d); a new request can be made %s",
		key.Source, perHour, filepath.Base(p.File), v.RequestsPerHourLine, from)}
}

// Rule returns the policy's rule for the content group of a request.
func (g *Gate) Rule(r *schemas.BackupRequest) turn.Rule { return g.file.Policy().Rule(r) }

// counter returns the counter of a source, and the counters whose consumers the
// caller must delete to stay within [maxReaders].
func (g *Gate) counter(source string) (c *counter, unused []*counter) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c, ok := g.counters[source]
	if !ok {
		if len(g.counters) >= maxCounters {
			oldest := g.oldest(func(*counter) bool { return true })
			delete(g.counters, oldest.claims.source) // a decision in progress still completes with it
			unused = append(unused, oldest)
		}
		c = newCounter(g.js, source)
		g.counters[source] = c
	}
	c.used = time.Now()
	if !c.mayRead {
		c.mayRead = true
		readers := 0
		for _, one := range g.counters {
			if one.mayRead {
				readers++
			}
		}
		if readers > maxReaders {
			oldest := g.oldest(func(one *counter) bool { return one.mayRead && one != c })
			oldest.mayRead = false
			unused = append(unused, oldest)
		}
	}
	return c, unused
}

// oldest returns the least recently used of the counters that match. The caller
// holds mu.
func (g *Gate) oldest(matches func(*counter) bool) (oldest *counter) {
	for _, c := range g.counters {
		if matches(c) && (oldest == nil || c.used.Before(oldest.used)) {
			oldest = c
		}
	}
	return oldest
}

// Close deletes the counters' consumers until ctx ends. A later decision creates a
// new consumer.
func (g *Gate) Close(ctx context.Context) {
	g.mu.Lock()
	all := slices.Collect(maps.Values(g.counters))
	g.mu.Unlock()
	for _, c := range all {
		c.release(ctx)
	}
}
