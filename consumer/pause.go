package consumer

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backhaul/consumer/internal/news"
	"backhaul/publisher"
)

const (
	// shortestPause is the least for which the queue is paused: for less it is not
	// worth a write.
	shortestPause = 2 * time.Second
	// pauseTimeout bounds what is asked of the server for it.
	pauseTimeout = 2 * time.Second
	// pauseCheck is how often it is looked, while the vendor wants to be left
	// alone, whether the queue is still paused.
	pauseCheck = time.Second
	// pauseRefused is for how long that is not done after it failed: the puller
	// waits for it.
	pauseRefused = 30 * time.Second
)

// ResumeGrace is how long an operator's resume has to leave the queue paused
// yet. A replica that knows of a wait that the vendor asked for makes the pause
// longer within it, and so keeps those from starting early that do not know.
const ResumeGrace = 3*pauseTimeout + pauseCheck

// PauseRace is how long after an operator's pause a replica that read the state
// before it may write a shorter one. The server has no compare-and-set for it, so
// the operator's side looks again when that time is over.
const PauseRace = 2 * pauseTimeout

// pauser pauses the shared durable consumer on the server, so that every replica
// leaves a vendor alone that asked one of them for it. The server resumes it by
// itself. A pause that lasts longer, an operator's for example, is not made
// shorter (but see PauseRace), one that an operator ends too early for the vendor
// is made longer again (see ResumeGrace), and nothing depends on a pause: each
// replica that meets the vendor's answer itself waits as well.
type pauser struct {
	js      jetstream.JetStream
	queue   jetstream.Consumer
	log     zerolog.Logger
	until   time.Time // of the pause that was asked for last
	checked time.Time // when the queue was last seen or made to be paused
	trouble news.Teller
}

// extend makes the pause last for d from now at least.
func (p *pauser) extend(ctx context.Context, d time.Duration) {
	// The same pause, seen again a little later, is no longer one; but somebody
	// may have ended it.
	until := time.Now().Add(d)
	longer := until.Sub(p.until) >= shortestPause/2
	if d < shortestPause || !longer && time.Since(p.checked) < pauseCheck {
		return
	}
	slack := time.Duration(0)
	if !longer {
		slack = shortestPause / 2
	}
	p.until = until
	err := p.pause(ctx, d, slack)
	if p.checked = time.Now(); err != nil {
		p.checked = p.checked.Add(pauseRefused)
	}
	if p.trouble.Changed(err) && err != nil && ctx.Err() == nil {
		p.log.Warn().Err(err).Msg("cannot pause the queue for the other replicas")
	}
}

func (p *pauser) pause(ctx context.Context, d, slack time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, pauseTimeout)
	defer cancel()
	info, err := p.queue.Info(ctx)
	if err != nil {
		return fmt.Errorf("consumer %s: %w", publisher.RequestsConsumer, err)
	}
	if info.Paused && info.PauseRemaining >= d-slack {
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
