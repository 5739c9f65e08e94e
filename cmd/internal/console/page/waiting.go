package page

import (
	"context"
	"net/http"

	"backhaul/cmd/internal/cancel"
	"backhaul/consumer/scope"
	"backhaul/publisher"
)

// waitingPage is the page of a request that waits in the queue and has no event yet.
type waitingPage struct {
	chrome
	cancel.Request
	// Place is its place among the requests of its source that wait, Of how many they are.
	Place, Of int
	// Paused are the paused scopes that it is in.
	Paused []scope.Pause
}

// waits answers with the page of a request that waits in the queue, and reports whether it has
// answered.
func (p *Page) waits(w http.ResponseWriter, r *http.Request, d requestPage) bool {
	if p.cfg.Canceller == nil || publisher.CheckSource(d.Key.Source) != nil {
		return false
	}
	wp := waitingPage{chrome: d.chrome}
	err := p.demand(r.Context(), func(ctx context.Context) error {
		all, err := p.cfg.Canceller.Select(ctx, cancel.Filter{Source: d.Key.Source})
		wp.Of = len(all)
		for i, one := range all {
			if one.Key == d.Key && wp.Place == 0 {
				wp.Request, wp.Place = one, i+1
			}
		}
		return err
	})
	if err != nil {
		p.say(w, r, http.StatusServiceUnavailable, "The request has no event, and the queue could not be read: %v", err)
		return true
	}
	if wp.Place == 0 {
		return false
	}
	for _, pause := range p.paused() {
		if pause.Has(wp.Key.Source, wp.Client, wp.Subclient) {
			wp.Paused = append(wp.Paused, pause)
		}
	}
	wp.Refresh = 15
	p.render(w, http.StatusOK, "waiting.html", wp)
	return true
}
