package batch

import (
	"context"
	"time"

	"backhaul/cmd/internal/eventlog"
	"backhaul/publisher"
	"backhaul/schemas"
)

// retryWait is the pause before reading is resumed.
const retryWait = 100 * time.Millisecond

// ofAnEnd reports whether nothing more is expected about a job after an event of this kind.
func ofAnEnd(kind schemas.Kind) bool {
	return kind == schemas.KindJobFinished || kind == schemas.KindJobUnfollowed
}

// follow reads the source's outcomes until ctx ends. It filters by source, because one
// filter for each request would be thousands.
func (r *run) follow(ctx context.Context, after uint64, out chan<- eventlog.Event) error {
	q := eventlog.Query{Follow: true, From: after + 1}
	for _, kind := range schemas.Kinds {
		if kind.Terminal() || kind == schemas.KindRequestRejected || r.Wait == WaitFinished && ofAnEnd(kind) {
			q.Filters = append(q.Filters, publisher.EventFilter(kind, r.Source))
		}
	}
	for {
		err := eventlog.Read(ctx, r.js, q, func(e eventlog.Event) error {
			q.From = e.Sequence + 1
			select {
			case out <- e:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
		if err := r.unreadable(); err != nil {
			return err
		}
		// After any other error it continues behind the last event read, until the batch's
		// timeout ends it.
		select {
		case <-time.After(retryWait):
		case <-ctx.Done():
			return err
		}
	}
}
