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
	// What is "pause" for a pause of the queue, "paused scope" for that of a scope, "budget" for
	// writing calls that are used up, else the condition of the replica that was asked.
	What string `json:"what"`
	Text string `json:"text"`
	// Until is when it ends, or when what the condition says is tried again; zero if not known.
	Until time.Time `json:"until,omitzero"`
}

// holdUps returns what holds up a request that has no outcome: a pause of the queue or of its
// scope, and what the replica at an address says is wrong, or waits for. A request that is claimed
// waits for none of the pauses. A user who may not see the queue gets no pause.
func holdUps(ctx context.Context, js jetstream.JetStream, h *history.History, admin string) (all []holdUp, err error) {
	switch h.Status {
	case history.Waiting, history.InDoubt:
		all, err = pausesOf(ctx, js, h)
		if h.Status == history.Waiting && err == nil {
			all, err = appendBudget(ctx, js, all)
		}
	case history.Claimed:
	default:
		return nil, nil
	}
	r, unseen := lookAt(ctx, js, func(ctx context.Context, js jetstream.JetStream) (*replica.Replica, error) {
		return askReplica(ctx, js, admin)
	})
	if unseen == nil {
		for _, c := range r.Holding() {
			all = append(all, holdUp{What: c.Name, Text: c.Text(), Until: c.Until})
		}
	}
	return all, err
}

// appendBudget adds the budget of writing calls if it is used up. A user who may not see it is told
// nothing.
func appendBudget(ctx context.Context, js jetstream.JetStream, all []holdUp) ([]holdUp, error) {
	s, err := lookAtBudget(ctx, js)
	if err != nil || s == nil || s.View == nil || s.Left > 0 {
		return all, err
	}
	return append(all, holdUp{What: "budget", Text: s.View.String(), Until: s.Next}), nil
}

// pausesOf returns the pauses of the queue and of the request's scope.
func pausesOf(ctx context.Context, js jetstream.JetStream, h *history.History) (all []holdUp, err error) {
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
		all = append(all, holdUp{What: "pause", Text: "the queue is paused until " + stamp(until) + who.Text(), Until: until})
	}
	if p := h.Paused; p != nil {
		all = append(all, holdUp{What: "paused scope", Text: p.String(), Until: p.Until})
	}
	return all, nil
}
