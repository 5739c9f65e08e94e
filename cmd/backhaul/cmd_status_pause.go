package main

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/eventlog"
	"backhaul/cmd/internal/queue"
	"backhaul/consumer"
	"backhaul/publisher"
	"backhaul/schemas"
)

// pauseStatus is who paused the queue, or ended a pause a moment ago.
type pauseStatus struct {
	Action schemas.Action `json:"action,omitempty"`
	Actor  string         `json:"actor,omitempty"`
	Reason string         `json:"reason,omitempty"`
	At     time.Time      `json:"at,omitzero"`
	// Unrecorded is true when no operator's pause ends then: the vendor throttled a
	// replica, or the consumer was paused with another tool.
	Unrecorded bool `json:"unrecorded,omitempty"`
}

// pauseSlack is how far the ends of one pause may lie apart, reckoned from answers
// that came one after another.
const pauseSlack = 2 * time.Second

// whoPaused finds the operator's event of a pause that ends at until, nil where
// this user may not read it. Who asked for less afterwards has the same end on
// record, so the first counts.
func whoPaused(ctx context.Context, js jetstream.JetStream, now, until time.Time) (*pauseStatus, error) {
	nc := js.Conn()
	before := nc.ErrorHandler()
	defer func() { nc.SetErrorHandler(before) }()
	asking, _ := ask(ctx, nc)
	who := &pauseStatus{Unrecorded: true}
	near := func(t time.Time) bool { return t.Sub(until).Abs() <= pauseSlack }
	err := eventlog.Read(asking, js, eventlog.Query{
		Filters: []string{publisher.OperatorSubject(schemas.ActionPause), publisher.OperatorSubject(schemas.ActionResume)},
		Since:   now.Add(-queue.LongestPause),
		Operators: func(e eventlog.OperatorEvent) error {
			ends := e.Pause.Until
			if e.Action == schemas.ActionResume { // whatever was before is over
				ends, who = e.Stored.Add(consumer.ResumeGrace), &pauseStatus{Unrecorded: true}
			}
			if near(ends) && who.Action != schemas.ActionPause {
				who = &pauseStatus{Action: e.Action, Actor: e.Actor, Reason: e.Reason, At: e.At}
			}
			return nil
		},
	}, func(eventlog.Event) error { return nil })
	if err != nil && ctx.Err() == nil && errors.Is(context.Cause(asking), nats.ErrPermissionViolation) {
		return nil, nil
	}
	return who, err
}

// text goes on from when the pause ends.
func (p *pauseStatus) text() string {
	var text string
	switch {
	case p == nil:
		return ""
	case p.Unrecorded:
		return ", by no operator on record: the vendor asked, or another tool did it"
	case p.Action == schemas.ActionResume:
		text = ", resumed by " + p.Actor
	default:
		text = ", by " + p.Actor
	}
	if p.Reason != "" {
		text += ": " + p.Reason
	}
	return text
}
