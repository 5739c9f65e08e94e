package batch

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/eventlog"
	"backhaul/cmd/internal/history"
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
		found := make([]*onRecord, len(chunk))
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
				if found[i].outcome.Data.Requested().PayloadHash == e.hash {
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

// lookUp fills in what is on record of each request id that has an outcome, regardless of
// the content.
func (r *run) lookUp(ctx context.Context, chunk []*entry, found []*onRecord) error {
	errs := make([]error, lookUps)
	var workers sync.WaitGroup
	for w := range lookUps {
		workers.Go(func() {
			for i := w; i < len(chunk) && errs[w] == nil; i += lookUps {
				found[i], errs[w] = r.recordOf(ctx, chunk[i].key)
			}
		})
	}
	workers.Wait()
	return cmp.Or(errs...) // all have the same cause
}

// recordOf returns a request's outcome with the ends of its jobs, nil without an outcome.
func (r *run) recordOf(ctx context.Context, key publisher.Key) (*onRecord, error) {
	outcome, err := r.outcomeOf(ctx, key)
	if err != nil || outcome == nil {
		return nil, err
	}
	found := &onRecord{outcome: *outcome}
	if r.Wait != WaitFinished {
		return found, nil
	}
	for _, job := range history.Jobs(nil).After(outcome.Data) {
		for _, kind := range []schemas.Kind{schemas.KindJobFinished, schemas.KindJobUnfollowed} {
			end, err := r.eventOn(ctx, key.JobSubject(kind, job.ID))
			if err != nil {
				return nil, err
			}
			if end != nil {
				found.ends = append(found.ends, *end)
				break
			}
		}
	}
	return found, nil
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
	return decode(last)
}

// eventOn returns the last event on a subject, or nil without one.
func (r *run) eventOn(ctx context.Context, subject string) (*eventlog.Event, error) {
	last, err := r.last(ctx, subject)
	if err != nil || last == nil {
		return nil, err
	}
	return decode(last)
}

func decode(msg *jetstream.RawStreamMsg) (*eventlog.Event, error) {
	key, data, err := publisher.ReadEvent(msg.Subject, msg.Header, msg.Data)
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", key, err)
	}
	return &eventlog.Event{
		Kind: data.Kind(), Key: key, Data: data, Sequence: msg.Sequence, Stored: msg.Time,
		Traceparent: schemas.Header(msg.Header).Get(schemas.HeaderTraceparent),
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
