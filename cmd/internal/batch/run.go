package batch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/time/rate"

	"backhaul/cmd/internal/eventlog"
	"backhaul/cmd/internal/natsconn"
	"backhaul/publisher"
	"backhaul/schemas"
)

// firstAnswer bounds the wait for the server's first answer.
const firstAnswer = 15 * time.Second

// Batch describes what to publish and how.
type Batch struct {
	Source   string
	Priority publisher.Priority
	// Requests are the requests, each with an id of its own.
	Requests []schemas.BackupRequest
	// Resume looks up each request's outcome before it is published.
	Resume bool
	// Wait is what to wait for. Except [WaitNothing] it implies Resume.
	Wait Wait
	// Timeout is how long to wait for the outcomes after everything is published, and
	// for a server that does not answer.
	Timeout time.Duration
	// EndTimeout replaces Timeout after everything is published, for [WaitFinished].
	EndTimeout time.Duration
	// Rate is how many requests to publish per second. 0 means no limit.
	Rate rate.Limit
}

// Wait is what a batch waits for.
type Wait int

// What a batch can wait for.
const (
	WaitNothing Wait = iota
	// WaitStarted waits for the outcomes: jobs are started, or will not be.
	WaitStarted
	// WaitFinished waits for the end of every started job as well.
	WaitFinished
)

// Reporter receives the progress of a batch. Its methods are called by one goroutine.
type Reporter interface {
	// Request is called when a request is stored, when it has its outcome and when one of
	// its jobs has ended. An error ends the batch.
	Request(req schemas.BackupRequest, n News) error
	// Unreadable is called if the events stream cannot be read, so that all requests are
	// sent.
	Unreadable(err error)
	// Waiting is called once, when the stream has not accepted a request and it is
	// published again.
	Waiting(err error)
	// Progress is called after each step.
	Progress(s Summary)
}

// News is the progress of one request.
type News struct {
	// Ack is set when the stream has stored the request.
	Ack *jetstream.PubAck
	// Outcome is set when the request has its outcome. In a batch that does not wait,
	// the outcome was on record already, and the request is not sent.
	Outcome *eventlog.Event
	// End is set when one of the request's jobs has ended, or is no longer followed. It
	// comes after the outcome.
	End *eventlog.Event
}

// NoOutcomeError is the error of a batch with requests that have no outcome in time, or
// whose jobs have no end.
type NoOutcomeError struct {
	// IDs lists the ids of these requests, in the order of the batch.
	IDs []string
	// Started is how many of them have their outcome, and no end.
	Started int
}

func (e *NoOutcomeError) Error() string {
	const most = 10
	shown := e.IDs[:min(len(e.IDs), most)]
	what := "no outcome"
	switch e.Started {
	case 0:
	case len(e.IDs):
		what = "no end on record"
	default:
		what += " or no end on record"
	}
	have := "requests have"
	if len(e.IDs) == 1 {
		have = "request has"
	}
	text := fmt.Sprintf("%d %s %s yet: %s", len(e.IDs), have, what, strings.Join(shown, ", "))
	if n := len(e.IDs) - len(shown); n > 0 {
		text += fmt.Sprintf(" and %d more", n)
	}
	return text
}

// run is the state of a running batch.
type run struct {
	Batch
	nc     *nats.Conn
	js     jetstream.JetStream
	pub    *publisher.Publisher
	rep    Reporter
	events jetstream.Stream // nil without lookups

	entries []*entry
	byKey   map[publisher.Key]*entry
	sum     Summary
	reports chan report
	waiting chan error // why the stream does not accept requests
}

// report is the result of a lookup or a publication: found or ack is set.
type report struct {
	entry *entry
	found *onRecord
	ack   *jetstream.PubAck
}

// onRecord is what the events stream has of a request.
type onRecord struct {
	outcome eventlog.Event
	ends    []eventlog.Event // of its jobs, for [WaitFinished]
}

// Run publishes the batch and, if Wait is set, waits for all outcomes. The summary is
// valid even with an error.
func Run(ctx context.Context, nc *nats.Conn, js jetstream.JetStream, b Batch, rep Reporter) (Summary, error) {
	began := time.Now()
	r := &run{Batch: b, nc: nc, js: js, rep: rep, byKey: make(map[publisher.Key]*entry, len(b.Requests)), reports: make(chan report, inFlight), waiting: make(chan error, 1)}
	r.sum = Summary{Requests: len(b.Requests), NotSent: len(b.Requests)}
	if b.Wait >= WaitStarted {
		r.sum.Outcomes = &Outcomes{None: len(b.Requests), Failed: make(map[string]int)}
	}
	if b.Wait == WaitFinished {
		r.sum.Ends = &Ends{None: len(b.Requests), Finished: make(map[string]int)}
	}
	for i := range b.Requests {
		req := &b.Requests[i]
		e := &entry{req: req, key: publisher.NewKey(b.Source, req.RequestID), hash: req.Hash()}
		r.entries = append(r.entries, e)
		r.byKey[e.key] = e
	}
	err := r.run(ctx)
	r.sum.Seconds = time.Since(began).Seconds()
	return r.sum, err
}

func (r *run) run(parent context.Context) (err error) {
	if r.pub, err = publisher.New(r.nc); err != nil {
		return err
	}
	r.pub.OnTry(r.tried)
	after, err := r.lastSequence(parent)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(parent)
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel(nil)

	unpublished := make(chan *entry, ahead)
	outcomes := make(chan eventlog.Event, inFlight)
	work.Go(func() {
		defer close(unpublished)
		cancelWith(cancel, r.lookUpAll(ctx, unpublished))
	})
	work.Go(func() { cancelWith(cancel, r.publishAll(ctx, unpublished)) })
	if r.Wait >= WaitStarted {
		work.Go(func() { cancelWith(cancel, r.follow(ctx, after, outcomes)) })
	}
	var timeout <-chan time.Time
	waiting := r.waiting
	denials := time.NewTicker(retryWait)
	defer denials.Stop()
	for !r.done() {
		if r.sum.NotSent == 0 && timeout == nil {
			timeout = time.After(r.lastWait())
		}
		select {
		case rep := <-r.reports:
			err = r.record(rep)
		case event := <-outcomes:
			err = r.event(event)
		case why := <-waiting:
			r.rep.Waiting(why)
			waiting = nil
		case <-timeout:
			err = r.noOutcome()
		case <-denials.C:
			if err = r.unreadable(); err == nil {
				continue
			}
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		if err != nil {
			return err
		}
		r.rep.Progress(r.sum)
	}
	return nil
}

// tried keeps the first reason why the stream did not accept a request.
func (r *run) tried(t publisher.Try) {
	if t.Err == nil {
		return
	}
	select {
	case r.waiting <- t.Err:
	default:
	}
}

// cancelWith cancels the batch with the error of one goroutine.
func cancelWith(cancel context.CancelCauseFunc, err error) {
	if err != nil {
		cancel(err)
	}
}

// lastWait returns how long to wait after everything is published.
func (r *run) lastWait() time.Duration {
	if r.Wait == WaitFinished {
		return cmp.Or(r.EndTimeout, r.Timeout)
	}
	return r.Timeout
}

func (r *run) done() bool {
	return r.sum.NotSent == 0 && (r.sum.Outcomes == nil || r.sum.Outcomes.None == 0) && (r.sum.Ends == nil || r.sum.Ends.None == 0)
}

// unreadable returns why outcomes cannot be read: a refused question has no answer, and its
// refusal is an error of the connection.
func (r *run) unreadable() error {
	if r.Wait == WaitNothing {
		return nil
	}
	return publisher.Denied(r.nc, "$JS.API.CONSUMER.CREATE.")
}

func (r *run) noOutcome() error {
	e := new(NoOutcomeError)
	for _, entry := range r.entries {
		switch {
		case !entry.settled:
			e.IDs = append(e.IDs, entry.req.RequestID)
		case r.Wait == WaitFinished && !entry.ended:
			e.IDs = append(e.IDs, entry.req.RequestID)
			e.Started++
		}
	}
	return e
}

// lastSequence returns the last sequence of the events stream before the lookups.
func (r *run) lastSequence(ctx context.Context) (uint64, error) {
	if !r.Resume && r.Wait == WaitNothing {
		return 0, nil
	}
	err := natsconn.Patiently(ctx, r.nc, min(firstAnswer, r.Timeout), func(ctx context.Context) (err error) {
		r.events, err = r.js.Stream(ctx, publisher.EventsStream)
		return err
	}, nil)
	switch {
	case err == nil:
		return r.events.CachedInfo().State.LastSeq, nil
	case ctx.Err() == nil && r.Wait == WaitNothing:
		r.events = nil
		r.rep.Unreadable(err)
		return 0, nil
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return 0, fmt.Errorf("stream %s does not exist; create it with `backhaul setup`: %w", publisher.EventsStream, err)
	default:
		return 0, fmt.Errorf("read %s: %w", publisher.EventsStream, err)
	}
}

func (r *run) report(ctx context.Context, rep report) error {
	select {
	case r.reports <- rep:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// record counts the result of a lookup or a publication.
func (r *run) record(rep report) error {
	e := rep.entry
	if rep.found != nil {
		outcome := rep.found.outcome
		if outcome.Data.Requested().PayloadHash == e.hash {
			r.sum.Known++
			r.sum.NotSent--
			if r.Wait == WaitNothing {
				return r.rep.Request(*e.req, News{Outcome: &outcome})
			}
		}
		for _, event := range append([]eventlog.Event{outcome}, rep.found.ends...) {
			if err := r.event(event); err != nil {
				return err
			}
		}
		return nil
	}
	r.sum.NotSent--
	r.sum.Sent++
	return r.rep.Request(*e.req, News{Ack: rep.ack})
}
