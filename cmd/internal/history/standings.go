package history

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/eventlog"
	"backhaul/publisher"
	"backhaul/schemas"
)

// Brief is where a request stands by its last event.
type Brief struct {
	Status Status // NotFound without an event
	JobIDs []string
}

// ReadBrief returns where the request with a key stands, by one question to the server. It reads no
// queue: a request that no replica has claimed is [NotFound]. Its time is that of the last look at the stream.
func ReadBrief(ctx context.Context, events jetstream.Stream, key publisher.Key) (Brief, error) {
	msg, err := events.GetLastMsgForSubject(ctx, key.Filter())
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return Brief{Status: NotFound}, nil
	case err != nil:
		return Brief{}, fmt.Errorf("read %s: %w", publisher.EventsStream, err)
	}
	brief := Brief{Status: NotFound}
	err = eventlog.Query{}.Take(msg, func(e eventlog.Event) error {
		brief.Status = After(e.Data, e.Stored).At(events.CachedInfo().TimeStamp)
		if started, ok := e.Data.(*schemas.JobStarted); ok {
			brief.JobIDs = started.JobIDs
		}
		return nil
	})
	return brief, err
}
