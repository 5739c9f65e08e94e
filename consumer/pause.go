package consumer

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backhaul/consumer/logonce"
	"backhaul/publisher"
)

const (
	// shortestPause is the shortest pause that is written to the server.
	shortestPause = 2 * time.Second
	// pauseTimeout bounds the calls to the server.
	pauseTimeout = 2 * time.Second
	// pauseCheck is how often to verify the pause while throttled.
	pauseCheck = time.Second
	// pauseRefused is the additional wait after a failed verification, because the puller
	// is blocked during each.
	pauseRefused = 30 * time.Second
)

// ResumeGrace is how long the queue must stay paused after an operator's resume. Within it,
// a replica that knows of a wait that the vendor asked for extends the pause. So replicas
// that do not know of it do not start early.
const ResumeGrace = 3*pauseTimeout + pauseCheck

// PauseRace is how long after an operator's pause a replica may write a shorter pause,
// because it read the state before. The server has no compare-and-set for pauses, so the
// operator's command verifies the pause after this time.
const PauseRace = 2 * pauseTimeout

// pauser pauses the shared durable consumer on the server when the vendor throttles, so that
// every replica waits. The server resumes the consumer when the pause ends. A longer pause,
// such as an operator's, is not shortened (but see PauseRace). A pause that an operator ends
// too early for the vendor is extended again (see ResumeGrace). Nothing depends on the pause:
// each throttled replica waits by itself as well.
//
// A wait that outlives ResumeGrace is recorded after that ([VendorWait]), also behind a longer pause.
// So an operator who resumes the queue when no replica runs that knows of the wait does not end it.
type pauser struct {
	js      jetstream.JetStream
	queue   jetstream.Consumer
	events  jetstream.Stream
	pub     *publisher.Publisher
	log     zerolog.Logger
	until   time.Time // the end of the last pause that extend was called for
	checked time.Time // when the pause was last verified or written
	trouble logonce.Last
}

// extend makes the pause last for at least d from now, as an answer of the vendor, by, asked for.
func (p *pauser) extend(ctx context.Context, d time.Duration, by string) {
	// The same pause needs no new write. But an operator may have ended it, so it is
	// verified now and then.
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
	err := p.pause(ctx, d, slack, by)
	if p.checked = time.Now(); err != nil {
		p.checked = p.checked.Add(pauseRefused)
	}
	if p.trouble.Changed(err) && err != nil && ctx.Err() == nil {
		p.log.Warn().Err(err).Msg("cannot pause the queue for the other replicas")
	}
}

// pause pauses the consumer for d, unless it is paused for at least d-slack already.
func (p *pauser) pause(ctx context.Context, d, slack time.Duration, by string) error {
	ctx, cancel := context.WithTimeout(ctx, pauseTimeout)
	defer cancel()
	info, err := p.queue.Info(ctx)
	if err != nil {
		return fmt.Errorf("consumer %s: %w", publisher.RequestsConsumer, err)
	}
	// The server's clock ends the pause, so it is used here too.
	until := info.TimeStamp.Add(d)
	if !info.Paused || info.PauseRemaining < d-slack {
		if _, err = p.js.PauseConsumer(ctx, publisher.RequestsStream, publisher.RequestsConsumer, until); err != nil {
			return fmt.Errorf("pause consumer %s: %w", publisher.RequestsConsumer, err)
		}
		p.log.Warn().Dur("pauseMs", d).Msg("the vendor asked for a pause: the queue is paused for all replicas")
	}
	if d <= ResumeGrace {
		return nil
	}
	return RecordVendorWait(ctx, p.events, p.pub, VendorWait{Until: until.UTC(), By: by})
}

// isOn reports whether the queue is paused, regardless of who paused it.
func (p *pauser) isOn(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, pauseTimeout)
	defer cancel()
	info, err := p.queue.Info(ctx)
	return err == nil && info.Paused
}
