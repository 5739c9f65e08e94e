package batch

import (
	"context"
	"sync"

	"golang.org/x/time/rate"

	"backhaul/cmd/internal/natsconn"
	"backhaul/publisher"
)

// inFlight limits the publications without an acknowledgement. A higher limit does not
// make a server faster.
const inFlight = 512

// publishAll publishes requests and reports their acknowledgements, both in order, with
// up to [inFlight] publications in flight.
func (r *run) publishAll(ctx context.Context, in <-chan *entry) error {
	sent := make(chan *sending, inFlight)
	var work sync.WaitGroup
	defer work.Wait()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	work.Go(func() {
		defer close(sent)
		if err := r.send(ctx, in, sent); err != nil {
			cancel(err)
		}
	})
	for s := range sent {
		<-s.acked
		err := s.err
		if err == nil {
			err = r.report(ctx, s.report)
		}
		if err != nil {
			cancel(err)
			return err
		}
	}
	return context.Cause(ctx)
}

// sending is a publication in flight. The other fields are set when acked is closed.
type sending struct {
	acked  chan struct{}
	report report
	err    error
}

// send publishes at the batch's rate. It waits while out is full.
func (r *run) send(ctx context.Context, in <-chan *entry, out chan<- *sending) error {
	limiter := rate.NewLimiter(rate.Inf, 1)
	if r.Rate > 0 {
		// A timer is not exact to the millisecond, so high rates come in small bursts.
		limiter = rate.NewLimiter(r.Rate, max(1, int(r.Rate/20)))
	}
	var waiting sync.WaitGroup
	defer waiting.Wait()
	for {
		var e *entry
		select {
		case e = <-in:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if e == nil { // in is closed
			return nil
		}
		if err := limiter.Wait(ctx); err != nil {
			return err
		}
		s := &sending{acked: make(chan struct{})}
		select {
		case out <- s:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		request, err := r.pub.Send(r.Source, r.Priority, *e.req)
		if err != nil {
			s.err = err
			close(s.acked)
			return err
		}
		waiting.Go(func() {
			defer close(s.acked)
			s.report, s.err = r.confirm(ctx, e, request)
		})
	}
}

// confirm waits for the acknowledgement of a publication.
func (r *run) confirm(ctx context.Context, e *entry, request *publisher.SentRequest) (report, error) {
	patience := r.Timeout
	if r.events == nil { // the server has not answered anything yet
		patience = min(firstAnswer, patience)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience, natsconn.ErrNoAnswer)
	defer cancel()
	ack, err := request.Acked(ctx)
	if err != nil && ctx.Err() != nil {
		err = natsconn.Unreachable(context.Cause(ctx), err)
	}
	return report{entry: e, ack: ack}, err
}
