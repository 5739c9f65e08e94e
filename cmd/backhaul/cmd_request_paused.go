package main

import (
	"context"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/consumer/scope"
)

// sayPaused notes which of the requests will wait because their scope is paused. A user who may not
// read that is told nothing: it is no condition of a request.
func (r *requestReport) sayPaused(ctx context.Context, js jetstream.JetStream) {
	if r.quiet {
		return
	}
	list, err := pausedScopes(ctx, js)
	if err != nil {
		return
	}
	waiting := make(map[*scope.Pause]int)
	for _, req := range r.batch.Requests {
		if p := list.Of(r.batch.Source, req.ClientName, req.SubclientName); p != nil {
			waiting[p]++
		}
	}
	for i := range list.Pauses {
		p := &list.Pauses[i]
		switch n := waiting[p]; {
		case n > 0 && r.ofFile():
			r.note("%d of the %d requests wait: %s", n, len(r.batch.Requests), p)
		case n > 0:
			r.note("the request waits: %s", p)
		}
	}
}
