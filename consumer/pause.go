package consumer

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backhaul/publisher"
)

const (
	// shortestPause is the least for which the queue is paused: for less it is not
	// worth a write.
	shortestPause = 2 * time.Second
	// pauseTimeout bounds what is asked of the server for it.
	pauseTimeout = 2 * time.Second
)

// pauser pauses the shared durable consumer on the server, so that every replica
// leaves a vendor alone that asked one of them for it. The server resumes it by
// itself. A pause that lasts longer, an operator's for example, is never made
// shorter, and nothing depends on a pause: each replica that meets the vendor's
// answer itself waits as well.
type pauser struct {
	js      jetstream.JetStream
	queue   jetstream.Consumer
	log     zerolog.Logger
	until   time.Time // of the pause that was asked for last
	trouble changeLog
}

// extend makes the pause last for d from now at least.
func (p *pauser) extend(ctx context.Context, d time.Duration) {
	// The same pause, seen again a little later, is no longer one.
	until := time.Now().Add(d)
	if d < shortestPause || until.Sub(p.until) < shortestPause/2 {
		return
	}
	p.until = until
	err := p.pause(ctx, d)
	if p.trouble.changed(err) && err != nil && ctx.Err() == nil {
		p.log.Warn().Err(err).Msg("cannot pause the queue for the other replicas")
	}
}

func (p *pauser) pause(ctx context.Context, d time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, pauseTimeout)
	defer cancel()
	info, err := p.queue.Info(ctx)
	if err != nil {
		return fmt.Errorf("consumer %s: %w", publisher.RequestsConsumer, err)
	}
	if info.Paused && info.PauseRemaining >= d {
		return nil
	}
	// By the server's clock, which is the one that ends it.
	_, err = p.js.PauseConsumer(ctx, publisher.RequestsStream, publisher.RequestsConsumer, info.TimeStamp.Add(d))
	if err != nil {
		return fmt.Errorf("pause consumer %s: %w", publisher.RequestsConsumer, err)
	}
	p.log.Warn().Dur("pauseMs", d).Msg("the vendor asked for a pause: the queue is paused for all replicas")
	return nil
}

// isOn tells whether the queue is paused, by whomever.
func (p *pauser) isOn(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, pauseTimeout)
	defer cancel()
	info, err := p.queue.Info(ctx)
	return err == nil && info.Paused
}
