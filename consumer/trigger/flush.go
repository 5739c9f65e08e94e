package trigger

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"

	"backhaul/consumer/internal/reader"
	"backhaul/publisher"
	"backhaul/schemas"
)

// flight is a window of which a request is being made.
type flight struct {
	group    *group
	window   *window
	decision decision
	sequence uint64 // stream sequence of the decision's record
	err      error
	look     *look // instead of a request; nil for one
}

// flights has the requests that are being made.
type flights struct {
	landings chan *flight
	flying   int // flights that have not landed
	running  sync.WaitGroup
	over     chan struct{} // closed when landings are not received any more
}

// ask makes a request of a window. The guarantee depends on the order of the steps. A crash
// between any two of them is safe (see the package's table):
//
//   - the directive file before the decision, so that no decided request names a file that
//     does not exist;
//   - the decision before the request: it decides by compare-and-set which changes are part
//     of the request, so that only one replica's window is requested;
//   - the request before the acknowledgements of its notifications.
func (s *session) ask(ctx context.Context, f *flight) {
	g, w := f.group, f.window
	f.decision = decision{Group: g.name, First: w.first, Last: w.last, Stored: w.latest, Routes: s.routes.mark, Nonce: rand.Text()}
	if w.paths > 0 {
		var req schemas.BackupRequest
		if req, f.err = s.write(ctx, g, w); f.err != nil {
			return
		}
		f.decision.Request = &req
	}
	f.decision.Asked = f.asked(s.routes.Source)
	if f.sequence, f.err = s.trigger.decisions.write(ctx, f.decision, g.sequence); f.err != nil {
		return
	}
	f.err = s.request(ctx, f.decision)
}

// write returns the window's request after writing its directive file, if it has one.
func (s *session) write(ctx context.Context, g *group, w *window) (schemas.BackupRequest, error) {
	req := w.request(g)
	d := g.route.Directive
	if d == nil {
		return req, nil
	}
	content, paths, no := w.list(g.route)
	if no.result == "" {
		switch err := s.trigger.upload(ctx, d, d.object(req.RequestID), content); {
		case err == nil:
			listed(&req, d, content, paths)
			return req, nil
		case ctx.Err() != nil:
			return req, context.Cause(ctx)
		default:
			s.trigger.log.Error().Err(err).Str("contentGroup", g.route.Group().String()).Str("requestId", req.RequestID).
				Msg("no directive file can be written, asking for a plain incremental backup")
			no.result = DirectiveUnavailable
		}
	}
	req.Labels[LabelDirective] = no.result
	if why := no.String(); why != "" {
		req.Labels[LabelDirectiveWhy] = why
	}
	return req, nil
}

// request publishes the request of a decision. It may be published any number of times: the
// service recognises the request by its id and content.
func (s *session) request(ctx context.Context, d decision) error {
	if d.Request == nil {
		return nil
	}
	sent, err := s.trigger.pub.Send(s.routes.Source, publisher.Normal, *d.Request)
	if err != nil {
		return err
	}
	_, err = sent.Acked(ctx)
	return err
}

// landed takes over the result of a flight and settles the notifications of its window.
func (s *session) landed(f *flight) error {
	if f.look != nil {
		s.looked(f)
		return nil
	}
	g := f.group
	g.flying = false
	if f.err != nil {
		if errors.Is(f.err, publisher.ErrConflict) {
			return reader.ErrOther
		}
		return f.err
	}
	g.position, g.sequence, g.confirmed = f.decision, f.sequence, true
	g.position.Request = nil // it is in its stream, and takes memory
	if g.queue = g.queue[1:]; len(g.queue) > 0 {
		s.collected.ended = append(s.collected.ended, g)
	}
	g.afterRequest()
	s.collected.changes -= len(f.window.objects)
	for _, m := range f.window.messages {
		s.release(m)
	}
	if req := f.decision.Request; req != nil {
		waited := s.collected.now().Sub(f.window.since)
		directive := req.Labels[LabelDirective]
		s.trigger.observe.Requested(f.window.paths, waited, directive)
		s.trigger.done.Requests++
		s.trigger.done.Changes += f.window.paths
		line := s.trigger.log.Info().Str("requestId", req.RequestID).Str("contentGroup", g.route.Group().String()).Str("route", g.route.Name).
			Int("changes", f.window.paths).Int("notifications", len(f.window.messages)).Int64("waitedMs", waited.Milliseconds())
		if directive != "" {
			line = line.Str("directive", directive).Str("onDemandInputFile", req.OnDemandInputFile)
		}
		if why := req.Labels[LabelDirectiveWhy]; why != "" {
			line = line.Str("why", why)
		}
		line.Msg("backup requested")
	} else {
		s.trigger.observe.Cancelled()
	}
	s.relieve()
	return nil
}
