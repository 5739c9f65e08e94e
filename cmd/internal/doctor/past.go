package doctor

import (
	"context"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
	"backhaul/schemas"
	"backhaul/vendorapi"
)

// LastJob returns the job that was started last according to the events stream, nil if
// there is none or the stream cannot be read.
func LastJob(ctx context.Context, js jetstream.JetStream) *Past {
	key, event := lastEvent(ctx, js, schemas.KindJobStarted)
	if started, ok := event.(*schemas.JobStarted); ok {
		return &Past{Key: key, Event: started}
	}
	return nil
}

// LastMismatch returns the request that failed last according to the events stream, if it failed
// because its names match nothing at the vendor. It returns nil otherwise, or if the stream cannot be read.
func LastMismatch(ctx context.Context, js jetstream.JetStream) *Mismatch {
	key, event := lastEvent(ctx, js, schemas.KindJobFailed)
	if failed, ok := event.(*schemas.JobFailed); ok && failed.ErrorCode == vendorapi.CodeNoEligible {
		return &Mismatch{Key: key, Event: failed}
	}
	return nil
}

// lastEvent returns the last event of a kind, nil if there is none or the stream cannot be read.
func lastEvent(ctx context.Context, js jetstream.JetStream, kind schemas.Kind) (publisher.Key, schemas.Event) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	stream, err := js.Stream(ctx, publisher.EventsStream)
	if err != nil {
		return publisher.Key{}, nil
	}
	msg, err := stream.GetLastMsgForSubject(ctx, publisher.EventFilter(kind, ""))
	if err != nil {
		return publisher.Key{}, nil
	}
	key, event, err := publisher.ReadEvent(msg.Subject, msg.Header, msg.Data)
	if err != nil {
		return publisher.Key{}, nil
	}
	return key, event
}
