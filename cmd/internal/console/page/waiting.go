package page

import (
	"context"
	"net/http"
	"time"

	"backhaul/cmd/internal/console/state"
	"backhaul/cmd/internal/history"
	"backhaul/publisher"
)

// waitingPage is the page of a request that waits in the queue and has no event yet.
type waitingPage struct {
	chrome
	Key publisher.Key
	history.Queued
	standing
}

// standing is where a request stands that has no outcome.
type standing struct {
	// InQueue is its message with its place, nil if it is not there or that cannot be read.
	InQueue *history.Queued
	// HoldUps hold it up.
	HoldUps []string
}

// waits answers with the page of a request that waits in the queue, and reports whether it has
// answered. A source that is none has no queue.
func (p *Page) waits(w http.ResponseWriter, r *http.Request, d requestPage) bool {
	wp := waitingPage{chrome: d.chrome, Key: d.Key}
	err := p.demand(r.Context(), func(ctx context.Context) (err error) {
		wp.InQueue, err = p.cfg.State.Queued(ctx, d.Key, time.Time{})
		return err
	})
	if err != nil {
		p.say(w, r, http.StatusServiceUnavailable, "The queue could not be read: %v.", err)
		return true
	}
	if wp.InQueue == nil {
		return false
	}
	wp.Queued = *wp.InQueue
	wp.HoldUps = p.holdUps(history.Waiting, d.Key, wp.Queued.Request.ClientName, wp.Queued.Request.SubclientName)
	wp.Refresh = 15
	p.render(w, http.StatusOK, "waiting.html", wp)
	return true
}

// stand finds out where a request with events stands. A place that cannot be read is left out.
func (p *Page) stand(ctx context.Context, d *requestPage) {
	d.HoldUps = p.holdUps(d.Request.Status, d.Key, d.Naming.ClientName, d.Naming.SubclientName)
	if d.Request.Status != history.Waiting {
		d.InQueue = nil
		return
	}
	if time.Since(d.placed) < placeEvery {
		return
	}
	d.placed = time.Now()
	if p.demand(ctx, func(ctx context.Context) (err error) {
		d.InQueue, err = p.cfg.State.Queued(ctx, d.Key, d.Request.Requested)
		return err
	}) != nil {
		d.InQueue = nil
	}
}

// placeEvery is how often the queue is read for a viewer of one request.
const placeEvery = 15 * time.Second

// holdUps returns what holds up a request that has no outcome: the queue, the paused scopes that
// it is in, what fails in this process, and the vendor. A pause does not hold up a request that is
// claimed.
func (p *Page) holdUps(status history.Status, key publisher.Key, client, group string) (all []string) {
	if status != history.Waiting && status != history.InDoubt && status != history.Claimed {
		return nil
	}
	if l := p.queueLight(p.cfg.State.Look(state.Filter{}, 0, 0), time.Now()); l.Word == "paused" && status != history.Claimed {
		all = append(all, "the queue is paused "+l.Detail)
	}
	for _, pause := range p.paused() {
		if status != history.Claimed && pause.Has(key.Source, client, group) {
			all = append(all, pause.String())
		}
	}
	for _, check := range p.failing() {
		if check.HoldsUp {
			all = append(all, check.Name+": "+check.Error)
		}
	}
	if text := p.vendorHoldUp(); text != "" {
		all = append(all, "vendor: "+text)
	}
	return all
}

// vendorHoldUp returns why no job is started at the moment, and when the next one is tried; "" if
// nothing keeps jobs from being started.
func (p *Page) vendorHoldUp() (text string) {
	if l := p.vendorLight(); l.Level == bad {
		text = l.Detail
	} else if p.cfg.Vendor.Cooldown != nil {
		if cooldown := p.cfg.Vendor.Cooldown(); cooldown.For > 0 {
			text = cooldown.Reason.Text()
		}
	}
	if text == "" || p.cfg.Vendor.Next == nil {
		return text
	}
	if next := p.cfg.Vendor.Next(); !next.IsZero() {
		text += "; the next try is at " + next.UTC().Format(time.RFC3339)
	}
	return text
}
