package queue

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/eventlog"
	"backhaul/consumer/scope"
	"backhaul/publisher"
	"backhaul/schemas"
)

// unseenReads bounds the messages of each stream that are searched for a scope.
const unseenReads = 2000

// Unseen reports that a scope occurs neither in the requests that wait nor in the last events. It
// reads a bounded part of both, so a scope that occurs seldom may be unseen.
func Unseen(ctx context.Context, js jetstream.JetStream, s scope.Scope) (bool, error) {
	stream, err := js.Stream(ctx, publisher.EventsStream)
	if err != nil {
		return false, fmt.Errorf("read %s: %w", publisher.EventsStream, err)
	}
	seen := false
	last := stream.CachedInfo().State.LastSeq
	q := eventlog.Query{Filters: []string{publisher.EventFilter("", s.Source)}, From: max(last, unseenReads) - unseenReads + 1}
	err = eventlog.Read(ctx, js, q, func(e eventlog.Event) error {
		names := e.Data.Names()
		if seen = s.Has(e.Key.Source, names.ClientName, names.SubclientName); seen {
			return eventlog.ErrStop
		}
		return nil
	})
	if err != nil || seen {
		return false, err
	}
	return unseenInQueue(ctx, js, s)
}

func unseenInQueue(ctx context.Context, js jetstream.JetStream, s scope.Scope) (bool, error) {
	requests, err := js.Stream(ctx, publisher.RequestsStream)
	if err != nil {
		return false, fmt.Errorf("read %s: %w", publisher.RequestsStream, err)
	}
	next := max(requests.CachedInfo().State.FirstSeq, 1)
	for range unseenReads {
		msg, err := requests.GetMsg(ctx, next, jetstream.WithGetMsgSubject(publisher.AnyRequest))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return true, nil
		}
		if err != nil {
			return false, fmt.Errorf("read %s: %w", publisher.RequestsStream, err)
		}
		next = msg.Sequence + 1
		source, _, err := publisher.ParseRequestSubject(msg.Subject)
		m, invalid := schemas.DecodeRequest(schemas.Header(msg.Header), msg.Data)
		if err == nil && invalid == nil && s.Has(source, m.Request.ClientName, m.Request.SubclientName) {
			return false, nil
		}
	}
	return true, nil
}
