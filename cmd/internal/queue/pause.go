package queue

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/operator"
	"backhaul/consumer"
	"backhaul/publisher"
	"backhaul/schemas"
)

// LongestPause bounds the duration of a pause, so that a forgotten pause ends. The
// queue can be paused again before the end.
const LongestPause = 7 * 24 * time.Hour

// Paused is a pause that is in force.
type Paused struct {
	// Until is when the pause ends, by the server's clock.
	Until time.Time `json:"until"`
	// Kept is true if a longer pause was in force already. It is not shortened: it may
	// be another operator's or the vendor's.
	Kept bool `json:"kept"`
}

// Pause stops the delivery of requests to every replica for at least d from now.
// Requests in flight are completed. The pause is recorded before it is made, so a
// recorded pause may have failed. Pause returns when replicas can no longer shorten
// the pause (see [consumer.PauseRace]).
func Pause(ctx context.Context, js jetstream.JetStream, pub *publisher.Publisher, d time.Duration, by operator.By) (Paused, error) {
	if err := by.Check(); err != nil {
		return Paused{}, err
	}
	if d <= 0 || d > LongestPause {
		return Paused{}, fmt.Errorf("cannot pause for %s: a pause must be longer than 0 and at most %s", d, LongestPause)
	}
	info, err := consumerInfo(ctx, js)
	if err != nil {
		return Paused{}, err
	}
	p := Paused{Until: info.TimeStamp.Add(d).UTC()}
	if info.Paused && info.PauseRemaining >= d {
		p = Paused{Until: info.TimeStamp.Add(info.PauseRemaining).UTC(), Kept: true}
	}
	if err := record(ctx, pub, schemas.ActionPause, p.Until, by); err != nil || p.Kept {
		return p, err
	}
	if err := pauseUntil(ctx, js, p.Until); err != nil {
		return p, fmt.Errorf("recorded, but not paused: %w", err)
	}
	if d <= consumer.PauseRace {
		return p, nil
	}
	timer := time.NewTimer(consumer.PauseRace)
	defer timer.Stop()
	select {
	case <-timer.C:
		return p, insist(ctx, js, p.Until)
	case <-ctx.Done():
		return p, context.Cause(ctx)
	}
}

// insist pauses again if the pause was shortened meanwhile.
func insist(ctx context.Context, js jetstream.JetStream, until time.Time) error {
	info, err := consumerInfo(ctx, js)
	if err != nil {
		return err
	}
	const rounding = 10 * time.Millisecond
	if info.PauseRemaining >= until.Sub(info.TimeStamp)-rounding {
		return nil
	}
	return pauseUntil(ctx, js, until)
}

// Resumed is what came of a resume.
type Resumed struct {
	// From is when requests are delivered, zero if the queue was not paused.
	From time.Time
	// VendorWait is the wait that the vendor asked for, if From is its end; else nil.
	VendorWait *consumer.VendorWait
}

// NotByOperatorError is the error of a resume of a pause that no operator on record has made: the
// vendor asked for it, or another tool did it.
type NotByOperatorError struct {
	// Until is when the pause ends by itself.
	Until time.Time
	By    *PausedBy
}

func (e *NotByOperatorError) Error() string {
	return fmt.Sprintf("the queue is paused until %s%s; the pause ends by itself then", e.Until.Format(time.RFC3339), e.By.Text())
}

// whoTimeout bounds how long Resume looks for who has paused the queue.
const whoTimeout = 10 * time.Second

// Resume ends a pause of an operator. Requests are delivered a few seconds from now. Until then, a
// replica that the vendor asked to wait extends the pause again (see [consumer.ResumeGrace]). A
// wait on record is not ended, because a replica that is started later does not know of it: then
// requests are delivered at its end. The error is a [*NotByOperatorError] if no operator has made
// the pause. With force the pause ends whoever has made it. If the queue is not paused, Resume
// records nothing.
func Resume(ctx context.Context, js jetstream.JetStream, pub *publisher.Publisher, by operator.By, force bool) (Resumed, error) {
	if err := by.Check(); err != nil {
		return Resumed{}, err
	}
	info, err := consumerInfo(ctx, js)
	if err != nil || !info.Paused {
		return Resumed{}, err
	}
	before := info.TimeStamp.Add(info.PauseRemaining).UTC()
	r := Resumed{From: info.TimeStamp.Add(consumer.ResumeGrace).UTC()}
	if info.PauseRemaining <= consumer.ResumeGrace { // the pause ends by then anyway
		return Resumed{From: before}, record(ctx, pub, schemas.ActionResume, before, by)
	}
	if !force {
		if r, err = afterWait(ctx, js, r, info.TimeStamp, before); err != nil {
			return Resumed{}, err
		}
	}
	if err := record(ctx, pub, schemas.ActionResume, before, by); err != nil {
		return Resumed{}, err
	}
	if err := pauseUntil(ctx, js, r.From); err != nil {
		return Resumed{}, fmt.Errorf("recorded, but not resumed: %w", err)
	}
	return r, nil
}

// afterWait puts off what a resume leads to until the vendor's wait is over. It returns a
// [*NotByOperatorError] if no operator has made the pause that ends at until.
func afterWait(ctx context.Context, js jetstream.JetStream, r Resumed, now, until time.Time) (Resumed, error) {
	looking, cancel := context.WithTimeout(ctx, whoTimeout)
	defer cancel()
	who, err := WhoPaused(looking, js, now, until)
	if err != nil {
		return r, fmt.Errorf("nothing was done: who paused the queue is not known: %w", err)
	}
	if who.Vendor || who.Unrecorded {
		return r, &NotByOperatorError{Until: until, By: who}
	}
	if w := who.VendorWait; w != nil && w.Until.After(r.From) {
		return Resumed{From: w.Until, VendorWait: w}, nil
	}
	return r, nil
}

func consumerInfo(ctx context.Context, js jetstream.JetStream) (*jetstream.ConsumerInfo, error) {
	durable, err := js.Consumer(ctx, publisher.RequestsStream, publisher.RequestsConsumer)
	if err != nil {
		return nil, fmt.Errorf("read the state of consumer %s of %s: %w", publisher.RequestsConsumer, publisher.RequestsStream, err)
	}
	return durable.CachedInfo(), nil
}

func record(ctx context.Context, pub *publisher.Publisher, action schemas.Action, until time.Time, by operator.By) error {
	return pub.Operator(ctx, schemas.OperatorEvent{
		Action: action, OperationID: rand.Text(), Actor: by.Actor, Reason: by.Reason, At: time.Now().UTC(),
		Pause: schemas.QueuePause{Stream: publisher.RequestsStream, Consumer: publisher.RequestsConsumer, Until: until},
	})
}

func pauseUntil(ctx context.Context, js jetstream.JetStream, until time.Time) error {
	if _, err := js.PauseConsumer(ctx, publisher.RequestsStream, publisher.RequestsConsumer, until); err != nil {
		return fmt.Errorf("pause consumer %s of %s: %w", publisher.RequestsConsumer, publisher.RequestsStream, err)
	}
	return nil
}
