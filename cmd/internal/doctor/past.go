package doctor

import (
	"context"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
	"backhaul/schemas"
)

// LastJob returns the job that was started last according to the events stream, nil if
// there is none or the stream cannot be read.
func LastJob(ctx context.Context, js jetstream.JetStream) *Past {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	stream, err := js.Stream(ctx, publisher.EventsStream)
	if err != nil {
		return nil
	}
	msg, err := stream.GetLastMsgForSubject(ctx, publisher.EventFilter(schemas.KindJobStarted, ""))
	if err != nil {
		return nil
	}
	key, event, err := publisher.ReadEvent(msg.Subject, msg.Header, msg.Data)
	if err != nil {
		return nil
	}
	return &Past{Key: key, Event: event.(*schemas.JobStarted)}
}
