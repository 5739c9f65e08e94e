package batch

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/eventlog"
	"backhaul/cmd/internal/natsconn"
	"backhaul/publisher"
	"backhaul/schemas"
)

const (
	// lookUps is how many lookups run at once.
	lookUps = 64
	// ahead is how many requests are looked up before any of them is published.
	ahead = 512
)

// lookUpAll passes on the requests without an outcome, in order, and reports the events
// of the others. Requests are looked up while earlier ones are published.
func (r *run) lookUpAll(ctx context.Context, out chan<- *entry) error {
	for chunk := range slices.Chunk(r.entries, ahead) {
		found := make([]*eventlog.Event, len(chunk))
		if r.events != nil {
			if err := r.lookUp(ctx, chunk, found); err != nil {
				return err
			}
		}
		for i, e := range chunk {
			if found[i] != nil {
				if err := r.report(ctx, report{entry: e, found: found[i]}); err != nil {
					return err
				}
				if found[i].Data.Requested().PayloadHash == e.hash {
					continue
				}
			}
			select {
			case out <- e:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
	return nil
}

// lookUp fills in the outcome of each request id that has one, regardless of the content.
func (r *run) lookUp(ctx context.Context, chunk []*entry, found []*eventlog.Event) error {
	errs := make([]error, lookUps)
	var workers sync.WaitGroup
	for w := range lookUps {
		workers.Go(func() {
			for i := w; i < len(chunk) && errs[w] == nil; i += lookUps {
				found[i], errs[w] = r.outcomeOf(ctx, chunk[i].key)
			}
		})
	}
	workers.Wait()
	return cmp.Or(errs...) // all have the same cause
}

// outcomes lists the kinds of events that are outcomes.
var outcomes = slices.DeleteFunc(slices.Clone(schemas.Kinds), func(k schemas.Kind) bool { return !k.Terminal() })

// outcomeOf returns a request's outcome from the stream's leader, or nil without one.
func (r *run) outcomeOf(ctx context.Context, key publisher.Key) (*eventlog.Event, error) {
	last, err := r.last(ctx, key.Filter())
	if err != nil || last == nil {
		return nil, err
	}
	kind, _, _, _ := publisher.ParseEventSubject(last.Subject)
	if !kind.Terminal() && kind != schemas.KindJobSubmitting {
		// Events of other kinds may follow an outcome, which is final.
		for _, kind = range outcomes {
			if last, err = r.last(ctx, key.Subject(kind)); err != nil || last != nil {
				break
			}
		}
	}
	if err != nil || last == nil || !kind.Terminal() {
		return nil, err
	}
	data, err := schemas.DecodeEvent(kind, last.Data)
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", key, err)
	}
	return &eventlog.Event{
		Kind: kind, Key: key, Data: data, Sequence: last.Sequence, Stored: last.Time,
		Traceparent: schemas.Header(last.Header).Get(schemas.HeaderTraceparent),
	}, nil
}

// last returns the last event on a filter, or nil without one.
func (r *run) last(ctx context.Context, filter string) (msg *jetstream.RawStreamMsg, err error) {
	err = natsconn.Patiently(ctx, r.nc, r.Timeout, func(ctx context.Context) error {
		msg, _, err = publisher.LastEvent(ctx, r.events, filter)
		return err
	}, nil)
	return msg, err
}
