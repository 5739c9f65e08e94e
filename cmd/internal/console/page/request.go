package page

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"backhaul/cmd/internal/console/state"
	"backhaul/cmd/internal/eventlog"
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
	Events  []step
	// More: there are more events than are shown.
	More bool
	// Raw is the request as JSON, nil if no claim says it.
	Raw     []byte
	TraceID string
	// Rejections are requests that used the same id.
	Rejections    []state.Request
	Trouble       string
	CommandCenter string
}

// step is one event of the timeline.
type step struct {
	eventlog.Event
	Status state.Status
	Text   string
	// After is how long after the event before, or after the request for the first.
	After time.Duration
	Data  []byte
}

func (p *Page) request(w http.ResponseWriter, r *http.Request) {
	key := publisher.Key{Source: r.PathValue("source"), Name: r.PathValue("key")}
	p.cfg.State.Want()
	d := p.story(r, key)
	switch {
	case d.Trouble != "":
		p.render(w, http.StatusServiceUnavailable, "request.html", d)
	case len(d.Events) == 0:
		p.say(w, r, http.StatusNotFound, "The events stream has nothing under the key %s of the source %s.", key.Name, key.Source)
	default:
		d.Live = "/live" + requestPath(key)
		d.Refresh = 15
		p.render(w, http.StatusOK, "request.html", d)
	}
}

// liveRequest reads the story again only when the state has seen more of it.
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
			fresh := p.story(r, key)
			if fresh.Trouble == "" {
				d, last, read = fresh, current, true
			}
		}
		if !read {
			return nil, nil
		}
		d.Now = time.Now()
		return d, []string{"outcome", "timeline"}
	})
}

// story reads everything that the stream has of a request.
func (p *Page) story(r *http.Request, key publisher.Key) requestPage {
	d := requestPage{chrome: p.chrome(r, key.Name, "requests"), Key: key, Now: time.Now(), CommandCenter: p.cfg.CommandCenter}
	err := p.demand(r.Context(), func(ctx context.Context) error {
		events, more, err := p.cfg.State.Story(ctx, key)
		d.tell(events)
		d.More = more
		return err
	})
	if err != nil {
		d.Trouble = err.Error()
	}
	if len(d.Events) > 0 && d.Request.Status != state.Rejected {
		for _, other := range p.cfg.State.Related(key.Source, d.Request.RequestID) {
			if other.Status == state.Rejected {
				d.Rejections = append(d.Rejections, other)
			}
		}
	}
	return d
}

// tell makes the events a story.
func (d *requestPage) tell(events []eventlog.Event) {
	var claim *schemas.JobSubmitting // the one before
	for i, e := range events {
		s := step{Event: e, Status: state.StatusOf(e.Data), Text: sentence(claim, e.Data), Data: schemas.EncodeEvent(e.Data)}
		if i == 0 {
			s.After = e.Stored.Sub(e.Data.Requested().RequestedAt)
		} else {
			s.After = e.Stored.Sub(events[i-1].Stored)
		}
		s.After = max(s.After, 0)
		d.Events = append(d.Events, s)
		d.Request = state.Whole(e)
		d.Naming = e.Data.Names()
		if id := traceID(e.Traceparent); id != "" {
			d.TraceID = id
		}
		claim, _ = e.Data.(*schemas.JobSubmitting)
		if claim != nil {
			d.Raw = claim.Request.JSON()
		}
	}
}

// sentence says what an event tells, after the claim that was before it.
func sentence(before *schemas.JobSubmitting, e schemas.Event) string {
	switch e := e.(type) {
	case *schemas.JobSubmitting:
		return claimSentence(before, e)
	case *schemas.JobStarted:
		text := "the vendor has job " + e.JobID
		if len(e.JobIDs) > 1 {
			text += " and " + strings.Join(e.JobIDs[1:], ", ")
		}
		if e.Adopted {
			return text + "; it was found after its answer had been lost"
		}
		return text + ", after " + attempts(e.Attempts)
	case *schemas.JobFailed:
		text := fmt.Sprintf("%s: %s", e.ErrorCode, e.ErrorMessage)
		if len(e.Candidates) > 0 {
			text += "; it may be job " + strings.Join(e.Candidates, " or ")
		}
		if e.Retryable {
			text += "; the same request under a new id may succeed"
		}
		return text + " (said by " + e.ErrorSource + ", after " + attempts(e.Attempts) + ")"
	case *schemas.RequestRejected:
		return e.Reason
	default:
		return ""
	}
}

func claimSentence(before, e *schemas.JobSubmitting) string {
	lease := duration(time.Duration(e.LeaseMillis) * time.Millisecond)
	var text string
	switch {
	case e.LeaseMillis == 0:
		text = e.Owner + " gave it back, to be tried again"
	case before == nil || before.LeaseMillis == 0:
		text = fmt.Sprintf("claimed by %s for %s", e.Owner, lease)
	case e.Epoch > before.Epoch:
		text = fmt.Sprintf("taken over by %s from %s, for %s", e.Owner, before.Owner, lease)
	default:
		text = fmt.Sprintf("renewed by %s for %s", e.Owner, lease)
	}
	if e.DoubtSequence == 0 {
		return text
	}
	text += fmt.Sprintf("; in doubt: a call under claim %d may have started a job", e.DoubtSequence)
	if e.DoubtTaskID != "" {
		text += " of task " + e.DoubtTaskID
	}
	if e.DoubtUnlikely {
		text += ", though the vendor said that it was not available"
	}
	return text + "; it is looked for first"
}

func attempts(n int) string {
	switch n {
	case 0:
		return "no attempt"
	case 1:
		return "1 attempt"
	default:
		return fmt.Sprintf("%d attempts", n)
	}
}

// traceID is the trace of a W3C traceparent, "" if it is none.
func traceID(traceparent string) string {
	fields := strings.Split(traceparent, "-")
	if len(fields) < 4 || len(fields[1]) != 32 || strings.Trim(fields[1], "0123456789abcdef") != "" {
		return ""
	}
	return fields[1]
}
