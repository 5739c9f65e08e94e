package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
)

// ShortestAge is the shortest valid max_age of the events stream: a claim must be kept
// for longer than its request.
const ShortestAge = 48 * time.Hour

// Forgets returns why an events stream with these settings removes events that the ledger
// needs, nil if it does not.
func Forgets(cfg jetstream.StreamConfig) error {
	limit := func(name string, value any) error {
		return fmt.Errorf("stream %s has %s %v and forgets events of requests: set it to -1", publisher.EventsStream, name, value)
	}
	switch {
	case cfg.Retention != jetstream.LimitsPolicy:
		return fmt.Errorf("stream %s has the retention %s and forgets events that were read: it must be limits", publisher.EventsStream, cfg.Retention)
	case cfg.MaxMsgsPerSubject > 0:
		return limit("max_msgs_per_subject", cfg.MaxMsgsPerSubject)
	case cfg.Discard == jetstream.DiscardOld && cfg.MaxMsgs > 0:
		return limit("max_msgs", cfg.MaxMsgs)
	case cfg.Discard == jetstream.DiscardOld && cfg.MaxBytes > 0:
		return limit("max_bytes", cfg.MaxBytes)
	case cfg.MaxAge > 0 && cfg.MaxAge < ShortestAge:
		return fmt.Errorf("stream %s has max_age %s and forgets claims of requests that still wait: it must be %s at least", publisher.EventsStream, cfg.MaxAge, ShortestAge)
	}
	return nil
}

// Differs returns why the events stream is not the ledger that the service knows, nil if it
// is or if no mark is kept. err is why that could not be found out.
func Differs(ctx context.Context, js jetstream.JetStream) (why, err error) {
	marks, err := js.Stream(ctx, publisher.MarkStream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", publisher.MarkStream, err)
	}
	// The state is read last, so that it has what was written in between.
	mark, _, err := publisher.ReadMark(ctx, marks)
	if err != nil {
		return nil, err
	}
	events, err := js.Stream(ctx, publisher.EventsStream)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", publisher.EventsStream, err)
	}
	if why := mark.Differs(events.CachedInfo()); why != nil {
		return why, nil
	}
	return mark.Replaced(ctx, events, events.CachedInfo())
}

// Gone returns an error if the events stream is missing although there was a ledger: the kept
// mark has events, or requests wait. It returns nil if the stream exists, if there was no
// ledger, or if that cannot be found out.
func Gone(ctx context.Context, js jetstream.JetStream) error {
	if _, err := js.Stream(ctx, publisher.EventsStream); !errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	gone := fmt.Errorf("stream %s is gone: restore a snapshot if there is one, run `backhaul setup`, then `backhaul recover` (deploy/RUNBOOK.md, BackhaulLedgerNotKnown)", publisher.EventsStream)
	if requests, err := js.Stream(ctx, publisher.RequestsStream); err == nil && requests.CachedInfo().State.Msgs > 0 {
		return gone
	}
	marks, err := js.Stream(ctx, publisher.MarkStream)
	if err != nil {
		return nil
	}
	if mark, _, err := publisher.ReadMark(ctx, marks); err != nil || mark.Last == 0 && mark.Forgot == "" {
		return nil
	}
	return gone
}
