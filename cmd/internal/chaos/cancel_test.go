package chaos

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/cancel"
	"backhaul/cmd/internal/operator"
	"backhaul/publisher"
	"backhaul/schemas"
)

// chaosCancelLate is how long after its publication a request is cancelled at the latest. Half of
// the cancellations come at once.
const chaosCancelLate = 2 * time.Second

// planCancels chooses the requests that an operator tries to cancel.
func (p *chaosPlan) planCancels() {
	random := p.random(5)
	for i := range p.requests {
		if random.Float64() >= p.Cancel {
			continue
		}
		r := &p.requests[i]
		if r.cancelled = true; random.IntN(2) == 0 {
			r.cancelAfter = time.Duration(random.Int64N(int64(chaosCancelLate)))
		}
		r.cancelTwice = random.IntN(3) == 0
	}
}

// maxOperators is how many operators there are.
const maxOperators = 16

// operators cancel requests as soon as JetStream has them.
type operators struct {
	ctx  context.Context
	nc   *nats.Conn
	desk *cancel.Desk
	// slots bounds how many act at once: more would overload the server's API after its death.
	slots chan struct{}

	mu   sync.Mutex
	wait sync.WaitGroup
	told map[string]cancel.Result // by request id
	// twice are requests that two operators were told to have cancelled.
	twice []string
	err   error
}

func startOperators(ctx context.Context, t *testing.T, url string) *operators {
	t.Helper()
	nc, err := nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond), nats.ReconnectBufSize(-1),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})) // the broker's deaths are expected
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return &operators{ctx: ctx, nc: nc, desk: cancel.New(nc), slots: make(chan struct{}, maxOperators), told: make(map[string]cancel.Result)}
}

// stored starts the cancellation of a request that JetStream has stored, by one operator or two.
func (o *operators) stored(r chaosRequest, ack *jetstream.PubAck) {
	if !r.cancelled {
		return
	}
	o.cancelLater(r, ack, "ann")
	if r.cancelTwice {
		o.cancelLater(r, ack, "bob")
	}
}

func (o *operators) cancelLater(r chaosRequest, ack *jetstream.PubAck, actor string) {
	o.wait.Go(func() {
		timer := time.NewTimer(r.cancelAfter)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-o.ctx.Done():
			return
		}
		o.slots <- struct{}{}
		defer func() { <-o.slots }()
		result, err := o.cancel(r, ack.Sequence, actor)
		o.mu.Lock()
		defer o.mu.Unlock()
		if err != nil && o.err == nil {
			o.err = fmt.Errorf("cancel %s: %w", r.id, err)
		}
		switch {
		case o.told[r.id] != cancel.Cancelled && result != "":
			o.told[r.id] = result
		case o.told[r.id] == cancel.Cancelled && result == cancel.Cancelled:
			o.twice = append(o.twice, r.id)
		}
	})
}

// cancel tries until there is an answer. It returns "" for a message that has left the queue.
func (o *operators) cancel(r chaosRequest, sequence uint64, actor string) (cancel.Result, error) {
	js, err := jetstream.New(o.nc)
	if err != nil {
		return "", err
	}
	ticker := time.NewTicker(publishPause)
	defer ticker.Stop()
	request := cancel.Request{Key: publisher.NewKey(chaosSource, r.id), RequestID: r.id, Sequence: sequence}
	for {
		try, stop := context.WithTimeout(o.ctx, publishTimeout)
		var stream jetstream.Stream
		var msg *jetstream.RawStreamMsg
		if stream, err = js.Stream(try, publisher.RequestsStream); err == nil {
			msg, err = stream.GetMsg(try, sequence)
		}
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			stop()
			return "", nil
		}
		if err == nil {
			request.Stored = msg.Time
			var outcome cancel.Outcome
			outcome, err = o.desk.Cancel(try, request, operator.By{Actor: actor, Reason: "by chance"})
			if err == nil {
				stop()
				return outcome.Result, nil
			}
		}
		stop()
		select {
		case <-ticker.C:
		case <-o.ctx.Done():
			return "", errors.Join(err, context.Cause(o.ctx))
		}
	}
}

// judgeCancels finds requests that an operator was told to be cancelled, and are not, and those that
// two operators have cancelled. That a
// cancelled request has no job, and one terminal event, is judged for all that failed.
func judgeCancels(told map[string]cancel.Result, twice []string, histories map[string]*chaosHistory) (findings []chaosFinding) {
	for _, id := range twice {
		findings = append(findings, chaosFinding{Kind: foundCancelledTwice, ID: id, Text: "two operators were told that they have cancelled it"})
	}
	for id, result := range told {
		if result != cancel.Cancelled && result != cancel.Before {
			continue
		}
		s := histories[id]
		if s == nil || len(s.terminals) == 0 || !isCancelled(s.terminals[0].Event) {
			findings = append(findings, chaosFinding{Kind: foundNotCancelled, ID: id, Text: fmt.Sprintf("an operator was told %q", result)})
		}
	}
	return findings
}

func isCancelled(e schemas.Event) bool {
	failed, ok := e.(*schemas.JobFailed)
	return ok && failed.Cancelled()
}
