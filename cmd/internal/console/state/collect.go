package state

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/eventlog"
	"backhaul/publisher"
)

// Collection holds recent requests that were read from the stream once, for a command. Like
// [State] it holds at most [MaxRequests], open ones longer than settled ones.
type Collection struct {
	book book
	// AsOf is the server's time.
	AsOf time.Time
	// Last is the sequence of the last event of the stream.
	Last uint64
	// Begins is the first sequence that was read, 0 if nothing that the query selects is older.
	Begins uint64
}

// Collect reads the requests that a query selects, from at most the last most events of the stream.
func Collect(ctx context.Context, js jetstream.JetStream, q eventlog.Query, most uint64) (*Collection, error) {
	stream, err := js.Stream(ctx, publisher.EventsStream)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", publisher.EventsStream, err)
	}
	info := stream.CachedInfo()
	c := &Collection{book: newBook(MaxRequests), AsOf: info.TimeStamp.UTC(), Last: info.State.LastSeq}
	if c.Last > most {
		if from := c.Last - most + 1; from > info.State.FirstSeq {
			msg, err := stream.GetMsg(ctx, from)
			if err == nil && msg.Time.After(q.Since) {
				q.From, c.Begins = from, from
			}
		}
	}
	return c, eventlog.Read(ctx, js, q, func(e eventlog.Event) error { c.Apply(e); return nil })
}

// Apply folds an event into its request, and returns the request with its status at the time of
// the event.
func (c *Collection) Apply(e eventlog.Event) Request {
	return c.book.apply(e).seen(e.Stored)
}

// Has reports whether a request is held.
func (c *Collection) Has(key publisher.Key) bool { return c.book.byKey[key] != nil }

// Requests returns the requests as they are at AsOf, the newest first.
func (c *Collection) Requests() []Request {
	var all []Request
	for _, r := range c.book.matching(Filter{}, c.AsOf) {
		all = append(all, r.seen(c.AsOf))
	}
	return all
}
