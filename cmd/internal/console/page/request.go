package page

import (
	"context"
	"net/http"
	"strings"
	"time"

	"backhaul/cmd/internal/console/state"
	"backhaul/cmd/internal/eventlog"
	"backhaul/cmd/internal/history"
	"backhaul/publisher"
	"backhaul/schemas"
)

// requestPage is one request's page.
type requestPage struct {
	chrome
	Key     publisher.Key
	Now     time.Time
	Request state.Request
	Naming  schemas.Naming
	Steps   []step
	// More: there are events between the last two that are not shown.
	More bool
	// Raw is the request as JSON, nil if no claim says it.
	Raw     []byte
	TraceID string
	// Rejections are requests that used the same id.
	Rejections []state.Request
	Trouble    string
	standing
	placed time.Time // when InQueue was read
	// Letter is the sequence of the request's dead letter, 0 if it has none.
	Letter        uint64
	CommandCenter string
	// CanAct: this process can act on jobs.
	CanAct bool
}

// step is one event of the timeline.
type step struct {
	history.Fold
	// After is how long after the event before, or after the request for the first.
	After time.Duration
	Data  []byte
}

// Class returns the class of the step's mark in style.css: where it left the request, or
// the job that it is about.
func (s step) Class() string {
	if s.Event.Kind().PerJob() {
		return "b-" + tone(history.Jobs(nil).After(s.Event).Backup())
	}
	return "t-" + string(s.Standing().At(s.At))
}

func (p *Page) request(w http.ResponseWriter, r *http.Request) {
	key := publisher.Key{Source: r.PathValue("source"), Name: r.PathValue("key")}
	p.cfg.State.Want()
	d := p.history(r, key)
	switch {
	case d.Trouble != "":
		p.render(w, http.StatusServiceUnavailable, "request.html", d)
	case len(d.Steps) == 0 && p.waits(w, r, d):
	case len(d.Steps) == 0:
		p.say(w, r, http.StatusNotFound, "The events stream has nothing under the key %s of the source %s.", key.Name, key.Source)
	default:
		d.Letter = p.letterOf(r, d)
		p.stand(r.Context(), &d)
		d.Live = "/live" + requestPath(key)
		d.Refresh = 15
		p.render(w, http.StatusOK, "request.html", d)
	}
}

// letterOf returns the dead letter of a request that has ended without a job, 0 if it has none or
// if that cannot be found out: the link to it is missing then.
func (p *Page) letterOf(r *http.Request, d requestPage) (number uint64) {
	last := d.Steps[len(d.Steps)-1]
	if last.Event.Kind() != schemas.KindJobFailed || p.cfg.Letters == nil {
		return 0
	}
	_ = p.demand(r.Context(), func(ctx context.Context) (err error) {
		number, err = p.cfg.Letters.Of(ctx, d.Key, last.At)
		return err
	})
	return number
}

// liveRequest reads the history again only when the state has seen more of it.
func (p *Page) liveRequest(w http.ResponseWriter, r *http.Request) {
	key := publisher.Key{Source: r.PathValue("source"), Name: r.PathValue("key")}
	var (
		d    requestPage
		last uint64
		read bool
	)
	p.stream(w, r, func() (any, []string) {
		current := p.cfg.State.Last(key)
		if !read || current != last {
			fresh := p.history(r, key)
			fresh.Self = requestPath(key) // a link to sign in leads back to the page, not to its stream
			if fresh.Trouble == "" {
				fresh.standing, fresh.placed = d.standing, d.placed
				d, last, read = fresh, current, true
			}
		}
		if !read {
			return nil, nil
		}
		d.Now = p.cfg.State.Now()
		d.Request.Status = d.Request.At(d.Now)
		p.stand(r.Context(), &d)
		return d, []string{"outcome", "jobs", "jobacts", "timeline"}
	})
}

// history reads everything that the stream has of a request.
func (p *Page) history(r *http.Request, key publisher.Key) requestPage {
	d := requestPage{chrome: p.chrome(r, key.Name, "requests"), Key: key, CommandCenter: p.cfg.CommandCenter, CanAct: p.cfg.Jobs != nil}
	err := p.demand(r.Context(), func(ctx context.Context) error {
		events, more, err := p.cfg.State.Events(ctx, key)
		d.Now, d.More = p.cfg.State.Now(), more
		d.take(events)
		return err
	})
	if err != nil {
		d.Trouble = err.Error()
	}
	if len(d.Steps) > 0 && d.Request.Status != history.Rejected {
		for _, other := range p.cfg.State.Related(key.Source, d.Request.RequestID) {
			if other.Status == history.Rejected {
				d.Rejections = append(d.Rejections, other)
			}
		}
	}
	return d
}

// take fills the page with the events of its request.
func (d *requestPage) take(events []eventlog.Event) {
	d.Request = state.RequestOf(events, d.Now)
	for _, e := range events {
		if id := traceID(e.Traceparent); id != "" {
			d.TraceID = id
		}
	}
	var before time.Time
	for i, s := range history.Folded(history.Timeline(events)) {
		if i == 0 {
			before = s.Event.Requested().RequestedAt
		}
		d.Steps = append(d.Steps, step{Fold: s, After: max(s.At.Sub(before), 0), Data: schemas.EncodeEvent(s.Event)})
		before = s.End()
		d.Naming = s.Event.Names()
		if claim, ok := s.Event.(*schemas.JobSubmitting); ok {
			d.Raw = claim.Request.JSON()
		}
	}
}

// traceID returns the trace of a W3C traceparent, "" if it is invalid.
func traceID(traceparent string) string {
	fields := strings.Split(traceparent, "-")
	if len(fields) < 4 || len(fields[1]) != 32 || strings.Trim(fields[1], "0123456789abcdef") != "" {
		return ""
	}
	return fields[1]
}
