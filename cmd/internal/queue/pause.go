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

// Resume ends a pause. It returns the time from which requests are delivered, a few
// seconds from now. Until then, a replica that the vendor asked to wait extends the
// pause again (see [consumer.ResumeGrace]). If the queue is not paused, Resume
// returns the zero time and records nothing.
func Resume(ctx context.Context, js jetstream.JetStream, pub *publisher.Publisher, by operator.By) (time.Time, error) {
	if err := by.Check(); err != nil {
		return time.Time{}, err
	}
	info, err := consumerInfo(ctx, js)
	if err != nil || !info.Paused {
		return time.Time{}, err
	}
	before := info.TimeStamp.Add(info.PauseRemaining).UTC()
	if err := record(ctx, pub, schemas.ActionResume, before, by); err != nil {
		return time.Time{}, err
	}
	if info.PauseRemaining <= consumer.ResumeGrace {
		return before, nil // the pause ends by then anyway
	}
	from := info.TimeStamp.Add(consumer.ResumeGrace).UTC()
	if err := pauseUntil(ctx, js, from); err != nil {
		return time.Time{}, fmt.Errorf("recorded, but not resumed: %w", err)
	}
	return from, nil
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
