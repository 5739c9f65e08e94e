package main

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/history"
	"backhaul/cmd/internal/queue"
	"backhaul/cmd/internal/replica"
)

// holdUp is what holds up a request.
type holdUp struct {
	// What is "pause" for a pause of the queue, "paused scope" for that of a scope, else the
	// condition of the replica that was asked.
	What  string    `json:"what"`
	Text  string    `json:"text"`
	Until time.Time `json:"until,omitzero"`
}

// holdUps returns what holds up a request that has no outcome: a pause of the queue or of its
// scope, and the troubles of the replica at an address. A user who may not see the queue gets no pause.
func holdUps(ctx context.Context, js jetstream.JetStream, h *history.History, admin string) ([]holdUp, error) {
	if h.Status != history.Waiting && h.Status != history.InDoubt {
		return nil, nil
	}
	var all []holdUp
	state, err := lookAt(ctx, js, func(ctx context.Context, js jetstream.JetStream) (queue.State, error) { return queue.Look(ctx, js) })
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, err
	case err == nil && state.PausedFor > 0:
		until := h.AsOf.Add(state.PausedFor).Truncate(time.Millisecond)
		who, err := whoPaused(ctx, js, h.AsOf, until)
		if err != nil {
			return nil, err
		}
		all = append(all, holdUp{What: "pause", Text: "the queue is paused until " + stamp(until) + who.text(), Until: until})
	}
	if p := h.Paused; p != nil {
		all = append(all, holdUp{What: "paused scope", Text: p.String(), Until: p.Until})
	}
	if r := replica.Ask(ctx, admin); r != nil && r.Answered {
		for _, c := range r.Checks {
			if !c.OK {
				all = append(all, holdUp{What: c.Name, Text: c.Error})
			}
		}
	}
	return all, nil
}
