package consumer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backhaul/consumer/internal/writes"
	"backhaul/publisher"
	"backhaul/schemas"
	"backhaul/vendorapi"
)

// Ways to treat a request when it is not known whether its job was started and
// the vendor shows none.
const (
	InDoubtReconcile = "reconcile" // send it again
	InDoubtFail      = "fail"      // end it as OUTCOME_UNKNOWN
)

// Defaults of Config.
const (
	DefaultMaxInFlight      = 64
	DefaultVisibilityWindow = time.Minute
	DefaultGiveUpAfter      = 24 * time.Hour
	DefaultDrainTimeout     = 25 * time.Second
)

// Config is how requests are worked on. Zero values stand for the defaults.
type Config struct {
	// Owner names this process in claims. Required.
	Owner string
	// MaxInFlight is how many requests are at the vendor at once. Half as many
	// again are claimed ahead or wait for their outcome to be recorded. Defaults
	// to DefaultMaxInFlight.
	MaxInFlight int
	// AttemptTimeout bounds one call of CreateTask, and with it the lease of a
	// claim. It must be the vendor client's. Defaults to [vendorapi.DefaultTimeout].
	AttemptTimeout time.Duration
	// VisibilityWindow is how long the vendor may take to show a job that it
	// started. Defaults to DefaultVisibilityWindow.
	VisibilityWindow time.Duration
	// GiveUpAfter is the age at which a request that cannot reach the vendor
	// fails. Defaults to DefaultGiveUpAfter.
	GiveUpAfter time.Duration
	// DrainTimeout is how long work under way may go on after a stop. Defaults
	// to DefaultDrainTimeout.
	DrainTimeout time.Duration
	// SweepInterval is how often to scan for requests that the server no longer
	// delivers. Defaults to 30 s.
	SweepInterval time.Duration
	// InDoubt is one of the InDoubt constants. Defaults to InDoubtReconcile.
	InDoubt string
	// Observer is told what becomes of requests. Defaults to none.
	Observer Observer
	// Policy says which requests are allowed. Defaults to nil: every one is.
	Policy Policy
}

// maxLogged bounds what is logged of an event that was too large, in bytes.
const maxLogged = 64 << 10

func (c Config) withDefaults() Config {
	if c.MaxInFlight == 0 {
		c.MaxInFlight = DefaultMaxInFlight
	}
	if c.InDoubt == "" {
		c.InDoubt = InDoubtReconcile
	}
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&c.AttemptTimeout, vendorapi.DefaultTimeout},
		{&c.VisibilityWindow, DefaultVisibilityWindow},
		{&c.GiveUpAfter, DefaultGiveUpAfter},
		{&c.DrainTimeout, DefaultDrainTimeout},
		{&c.SweepInterval, 30 * time.Second},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	return c
}

func (c Config) check() error {
	switch {
	case c.Owner == "":
		return errors.New("consumer: no owner")
	case c.MaxInFlight < 1:
		return fmt.Errorf("consumer: max in flight is %d, must be at least 1", c.MaxInFlight)
	case c.AttemptTimeout < 0 || c.VisibilityWindow < 0 || c.GiveUpAfter < 0 || c.DrainTimeout < 0 || c.SweepInterval < 0:
		return errors.New("consumer: a negative duration")
	case c.InDoubt != InDoubtReconcile && c.InDoubt != InDoubtFail:
		return fmt.Errorf("consumer: in doubt is %q, must be %s or %s", c.InDoubt, InDoubtReconcile, InDoubtFail)
	}
	return nil
}

// lease is how long a claim holds: one attempt, and something for the write of
// the claim before it and for the way of the last byte to the vendor. Who takes
// the claim of a dead owner over has to wait for its end.
func (c Config) lease() time.Duration {
	return c.AttemptTimeout + min(c.AttemptTimeout/4+500*time.Millisecond, 10*time.Second)
}

// ahead returns how many requests may be in flight in addition to those at the vendor:
// claimed and ready to be sent, or waiting for their outcome to be recorded. With them
// the vendor never waits for the ledger. If the process dies, each claimed one waits for
// the end of its lease.
func (c Config) ahead() int { return min(c.MaxInFlight/2, 32) }

// slots returns how many requests may be in flight.
func (c Config) slots() int { return c.MaxInFlight + c.ahead() }

// Consumer works on the requests of one JetStream account. Several may run, in
// one process or many; they share the durable consumer.
type Consumer struct {
	cfg      Config
	nc       *nats.Conn
	js       jetstream.JetStream
	requests jetstream.Stream
	queue    jetstream.Consumer
	ackWait  time.Duration
	handler  *handler
	inFlight *inFlight
	ready    readiness
	writes   writes.Watch
	log      zerolog.Logger
}

// New binds to the streams and the durable consumer, which must exist.
func New(ctx context.Context, cfg Config, nc *nats.Conn, vendor Vendor, log zerolog.Logger) (*Consumer, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("consumer: %w", err)
	}
	pub, err := publisher.New(nc)
	if err != nil {
		return nil, err
	}
	requests, err := js.Stream(ctx, publisher.RequestsStream)
	if err != nil {
		return nil, fmt.Errorf("bind to stream %s: %w", publisher.RequestsStream, err)
	}
	queue, err := js.Consumer(ctx, publisher.RequestsStream, publisher.RequestsConsumer)
	if err != nil {
		return nil, fmt.Errorf("bind to consumer %s of %s: %w", publisher.RequestsConsumer, publisher.RequestsStream, err)
	}
	if n := queue.CachedInfo().Config.MaxDeliver; n > 0 {
		return nil, fmt.Errorf("consumer %s of %s gives up after %d deliveries: the request would stay and nobody would say so; set max_deliver to -1",
			publisher.RequestsConsumer, publisher.RequestsStream, n)
	}
	events, err := js.Stream(ctx, publisher.EventsStream)
	if err != nil {
		return nil, fmt.Errorf("bind to stream %s: %w", publisher.EventsStream, err)
	}
	if events.CachedInfo().Config.AllowDirect {
		return nil, fmt.Errorf("stream %s allows direct reads: they may be stale, and a claim must not be decided on them; set allow_direct to false", publisher.EventsStream)
	}
	guarded, err := js.Stream(ctx, publisher.EventsStream) // of its own: a state that is read is kept in it
	if err != nil {
		return nil, fmt.Errorf("bind to stream %s: %w", publisher.EventsStream, err)
	}
	c := &Consumer{
		cfg:      cfg,
		nc:       nc,
		js:       js,
		requests: requests,
		queue:    queue,
		ackWait:  queue.CachedInfo().Config.AckWait,
		inFlight: newInFlight(),
		log:      log,
	}
	c.writes.Log = log
	pub.OnTry(c.noteTry)
	c.handler = &handler{
		cfg: cfg,
		ledger: &ledger{
			events: events, reader: publisher.NewLastReader(events), guard: newGuard(nc, js, pub, guarded, log), publisher: pub, owner: cfg.Owner, lease: cfg.lease(), visibility: cfg.VisibilityWindow, observer: cfg.Observer,
			foreign: func(msg *jetstream.RawStreamMsg) {
				log.Error().Str("subject", msg.Subject).Uint64("sequence", msg.Sequence).
					Msg("a message among the events is none of ours and does not count; deploy/nats/README.md, Reply subjects, says how it got there")
			},
			capped: func(whole, recorded schemas.Event) {
				data := schemas.EncodeEvent(whole)
				log.Error().Str("source", whole.Names().Source).Str("requestId", whole.Names().RequestID).
					Int("bytes", len(data)).Bytes("event", data[:min(len(data), maxLogged)]).
					Msgf("%s is larger than the server or the stream %s allows and is recorded without a part of it", recorded.Kind(), publisher.EventsStream)
			},
		},
		vendor:   vendor,
		pub:      pub,
		inFlight: c.inFlight,
		// A request comes round after two windows and a redelivery.
		unclear:  unclear{log: log, shown: 3*cfg.VisibilityWindow + 2*cfg.lease() + lastDelay},
		atVendor: make(chan struct{}, cfg.MaxInFlight),
	}
	c.handler.ledger.guard.measure = c.measure
	return c, nil
}

// Run works on requests until ctx ends, then drains: it stops pulling, gives
// work under way the drain timeout, cancels what is left and returns. What was
// cancelled stays in the stream for the next owner.
func (c *Consumer) Run(ctx context.Context) {
	work, cancelWork := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancelWork(nil)
	settler := &settler{log: c.log}

	guard := c.handler.ledger.guard
	guard.compare(ctx)
	var guarding sync.WaitGroup
	guarding.Go(func() { guard.run(ctx) })

	var workers sync.WaitGroup
	stopProgress := c.inFlight.keepAlive(c.ackWait)
	defer stopProgress()

	// The workers are reused: a new goroutine for each message would grow its stack again.
	slots := newSlots(c.cfg.slots())
	deliveries := make(chan *delivery)
	for range c.cfg.slots() {
		workers.Go(func() {
			for d := range deliveries {
				settler.settle(d, c.handler.handle(work, ctx, d))
				slots.release()
			}
		})
	}
	take := func(d *delivery) {
		if slots.acquire(ctx) {
			deliveries <- d
		} else {
			d.nak(0)
		}
	}
	var sweeping sync.WaitGroup
	sweeping.Go(func() { c.sweep(ctx, take) })
	c.newPuller(slots).run(ctx, take)
	c.ready.note(errStopping)
	sweeping.Wait()
	close(deliveries)

	timeout := time.AfterFunc(c.cfg.DrainTimeout, func() { cancelWork(errStopping) })
	defer timeout.Stop()
	workers.Wait()
	guarding.Wait()
	guard.leave()
}
