package page

import (
	"context"
	"net/http"
	"slices"
	"time"

	"backhaul/cmd/internal/cancel"
	"backhaul/cmd/internal/console/state"
	"backhaul/cmd/internal/history"
	"backhaul/publisher"
)

// waitingPage is the page of a request that waits in the queue and has no event yet.
type waitingPage struct {
	chrome
	cancel.Request
	standing
}

// standing is where a request stands that has no outcome.
type standing struct {
	// Place is its place among the requests of its source that are in the queue, Of how many they
	// are; 0 if it is not known.
	Place, Of int
	// HoldUps hold it up.
	HoldUps []string
}

// waits answers with the page of a request that waits in the queue, and reports whether it has
// answered.
func (p *Page) waits(w http.ResponseWriter, r *http.Request, d requestPage) bool {
	if p.cfg.Canceller == nil || publisher.CheckSource(d.Key.Source) != nil {
		return false
	}
	wp := waitingPage{chrome: d.chrome}
	err := p.demand(r.Context(), func(ctx context.Context) (err error) {
		wp.Request, wp.Place, wp.Of, err = p.place(ctx, d.Key)
		return err
	})
	if err != nil {
		p.say(w, r, http.StatusServiceUnavailable, "The request has no event, and the queue could not be read: %v", err)
		return true
	}
	if wp.Place == 0 {
		return false
	}
	wp.HoldUps = p.holdUps(history.Waiting, d.Key, wp.Client, wp.Subclient)
	wp.Refresh = 15
	p.render(w, http.StatusOK, "waiting.html", wp)
	return true
}

// place finds a request among those of its source that are in the queue. The place is 0 if it is
// not there.
func (p *Page) place(ctx context.Context, key publisher.Key) (found cancel.Request, place, of int, err error) {
	all, err := p.cfg.Canceller.Select(ctx, cancel.Filter{Source: key.Source})
	if i := slices.IndexFunc(all, func(one cancel.Request) bool { return one.Key == key }); i >= 0 {
		found, place = all[i], i+1
	}
	return found, place, len(all), err
}

// stand finds out where a request with events stands. A place that cannot be read is left out.
func (p *Page) stand(ctx context.Context, d *requestPage) {
	d.HoldUps = p.holdUps(d.Request.Status, d.Key, d.Naming.ClientName, d.Naming.SubclientName)
	if d.Request.Status != history.Waiting || p.cfg.Canceller == nil {
		d.Place = 0
		return
	}
	if time.Since(d.placed) < placeEvery {
		return
	}
	d.placed = time.Now()
	if p.demand(ctx, func(ctx context.Context) (err error) {
		_, d.Place, d.Of, err = p.place(ctx, d.Key)
		return err
	}) != nil {
		d.Place = 0
	}
}

// placeEvery is how often the queue is read for a viewer of one request.
const placeEvery = 15 * time.Second

// holdUps returns what holds up a request that has no outcome: the queue, the paused scopes that
// it is in, and the vendor.
func (p *Page) holdUps(status history.Status, key publisher.Key, client, group string) (all []string) {
	if status != history.Waiting && status != history.InDoubt {
		return nil
	}
	if l := p.queueLight(p.cfg.State.Look(state.Filter{}, 0, 0), time.Now()); l.Word == "paused" {
		all = append(all, "the queue is paused "+l.Detail)
	}
	for _, pause := range p.paused() {
		if status == history.Waiting && pause.Has(key.Source, client, group) {
			all = append(all, pause.String())
		}
	}
	if l := p.vendorLight(); l.Level == bad {
		all = append(all, "vendor: "+l.Detail)
	}
	return all
}
