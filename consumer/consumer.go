package consumer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backhaul/consumer/internal/writes"
	"backhaul/consumer/scope"
	"backhaul/consumer/turn"
	"backhaul/publisher"
	"backhaul/schemas"
	"backhaul/vendorapi"
)

// Values of Config.InDoubt: what happens to a request when it is not known whether its
// job was started and the vendor shows no job of it.
const (
	InDoubtReconcile = "reconcile" // it is sent again
	InDoubtFail      = "fail"      // it ends as OUTCOME_UNKNOWN
)

// Defaults of Config.
const (
	DefaultMaxInFlight      = 64
	DefaultVisibilityWindow = time.Minute
	DefaultGiveUpAfter      = 24 * time.Hour
	DefaultDrainTimeout     = 25 * time.Second
)

// Config configures a [Consumer]. Zero values stand for the defaults.
type Config struct {
	// Owner names this process in claims. Required.
	Owner string
	// MaxInFlight limits the requests at the vendor at once. Half as many, at most 32, are in
	// flight in addition: ready to be claimed, claimed ahead, or waiting for their outcome to
	// be recorded. Defaults to DefaultMaxInFlight.
	MaxInFlight int
	// AttemptTimeout bounds one call of CreateTask and determines the lease of a
	// claim. It must equal the vendor client's. Defaults to [vendorapi.DefaultTimeout].
	AttemptTimeout time.Duration
	// VisibilityWindow is how long the vendor may take to show a job that it has
	// started. Defaults to DefaultVisibilityWindow.
	VisibilityWindow time.Duration
	// GiveUpAfter is the age at which a request that cannot reach the vendor
	// fails. Defaults to DefaultGiveUpAfter.
	GiveUpAfter time.Duration
	// DrainTimeout is how long requests in flight may go on after a stop. Defaults to
	// DefaultDrainTimeout.
	DrainTimeout time.Duration
	// SweepInterval is how often to scan for requests that the server no longer
	// delivers. Defaults to 30 s.
	SweepInterval time.Duration
	// InDoubt is one of the InDoubt constants. Defaults to InDoubtReconcile.
	InDoubt string
	// ClaimsDir is a directory on this machine in which the process keeps which of its claims it
	// has not sent, for the next process after a kill (package journal). "" for none.
	ClaimsDir string
	// Observer, if non-nil, receives what happens to requests.
	Observer Observer
	// Policy decides which requests are allowed. If nil, all are.
	Policy Policy
	// Rule, if non-nil, returns how the requests of the content group of a request follow each
	// other. It is called by many goroutines at once.
	Rule func(*schemas.BackupRequest) turn.Rule
	// Starts, if non-nil, are the starts that all replicas share. Requests that are picked have
	// the order that it keeps.
	Starts Starts
}

// maxLogged bounds the bytes that are logged of an event that was too large.
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
		return errors.New("consumer: owner must be set")
	case c.MaxInFlight < 1:
		return fmt.Errorf("consumer: max in flight is %d, must be at least 1", c.MaxInFlight)
	case c.AttemptTimeout < 0 || c.VisibilityWindow < 0 || c.GiveUpAfter < 0 || c.DrainTimeout < 0 || c.SweepInterval < 0:
		return errors.New("consumer: durations must not be negative")
	case c.InDoubt != InDoubtReconcile && c.InDoubt != InDoubtFail:
		return fmt.Errorf("consumer: in doubt is %q, must be %s or %s", c.InDoubt, InDoubtReconcile, InDoubtFail)
	}
	return nil
}

// lease returns how long a claim lasts: one attempt, plus a margin for the write of the
// claim before it and for the last byte's way to the vendor. The claim of a dead owner can
// be taken over only after its lease.
func (c Config) lease() time.Duration {
	return c.AttemptTimeout + min(c.AttemptTimeout/4+500*time.Millisecond, 10*time.Second)
}

// ahead returns how many requests may be in flight in addition to those at the vendor:
// waiting to be claimed or sent, or for their outcome to be recorded. With them the vendor
// never waits for the ledger. See ahead for how many of them are claimed.
func (c Config) ahead() int { return min(c.MaxInFlight/2, 32) }

// slots returns how many requests may be in flight.
func (c Config) slots() int { return c.MaxInFlight + c.ahead() }

// Consumer processes the requests of one JetStream account. Several may run, in one
// process or many. They share the durable consumer.
type Consumer struct {
	cfg      Config
	nc       *nats.Conn
	js       jetstream.JetStream
	requests jetstream.Stream
	queue    jetstream.Consumer
	ackWait  time.Duration
	handler  *handler
	inFlight *inFlight
	picker   *picker
	scopes   *scope.Watch
	made     atomic.Pointer[time.Time] // when the events stream was made
	ready    readiness
	writes   writes.Watch
	log      zerolog.Logger
}

// New returns a Consumer that is bound to the streams and the durable consumer, which
// must exist.
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
	bound, err := bind(ctx, js)
	if err != nil {
		return nil, err
	}
	requests, queue := bound.requests, bound.queue
	if n := queue.CachedInfo().Config.MaxDeliver; n > 0 {
		return nil, fmt.Errorf("consumer %s of %s gives up after %d deliveries, and requests would stay in the stream without an outcome: set max_deliver to -1",
			publisher.RequestsConsumer, publisher.RequestsStream, n)
	}
	ledger, err := openLedger(cfg, nc, js, bound, pub, log)
	if err != nil {
		return nil, err
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
	c.made.Store(&bound.guarded.CachedInfo().Created)
	if c.scopes, err = scope.NewWatch(ctx, bound.scopes, log); err != nil {
		return nil, err
	}
	c.picker = newPicker(c)
	c.writes.Log = log
	pub.OnTry(c.noteTry)
	c.handler = &handler{
		cfg:      cfg,
		ledger:   ledger,
		vendor:   vendor,
		pub:      pub,
		inFlight: c.inFlight,
		scopes:   c.scopes,
		turns:    newTurns(cfg.Rule, turn.New(js, ledger.events, pub), queue.CachedInfo().Config.MaxAckPending, log),
		// A request is sent again after two windows and a redelivery at the latest.
		unclear: unclear{log: log, shown: 3*cfg.VisibilityWindow + 2*cfg.lease() + lastDelay},
		ahead:   &ahead{atVendor: make(chan struct{}, cfg.MaxInFlight), most: cfg.ahead()},
	}
	ledger.guard.measure, ledger.guard.stored = c.measure, c.noteStorage
	return c, nil
}

// bound are the streams and the durable consumer. Info stores the state in its handle, and reads
// depend on it (allow_direct): so the guard and the watch of scopes have handles of their own.
type bound struct {
	requests, ledger, guarded, scopes jetstream.Stream
	queue                             jetstream.Consumer
}

// bind asks for all of them at once.
func bind(ctx context.Context, js jetstream.JetStream) (b bound, err error) {
	errs := make([]error, 5) // in the order in which they are reported
	var asking sync.WaitGroup
	stream := func(i int, name string, handle *jetstream.Stream) {
		asking.Go(func() {
			var err error
			if *handle, err = js.Stream(ctx, name); err != nil {
				errs[i] = fmt.Errorf("bind to stream %s: %w", name, err)
			}
		})
	}
	stream(0, publisher.RequestsStream, &b.requests)
	asking.Go(func() {
		var err error
		if b.queue, err = js.Consumer(ctx, publisher.RequestsStream, publisher.RequestsConsumer); err != nil {
			errs[1] = fmt.Errorf("bind to consumer %s of %s: %w", publisher.RequestsConsumer, publisher.RequestsStream, err)
		}
	})
	for i, handle := range []*jetstream.Stream{&b.ledger, &b.guarded, &b.scopes} {
		stream(2+i, publisher.EventsStream, handle)
	}
	asking.Wait()
	for _, err := range errs {
		if err != nil {
			return b, err
		}
	}
	return b, nil
}

// openLedger returns the ledger on the events stream, with its guard.
func openLedger(cfg Config, nc *nats.Conn, js jetstream.JetStream, bound bound, pub *publisher.Publisher, log zerolog.Logger) (*ledger, error) {
	events := bound.ledger
	if events.CachedInfo().Config.AllowDirect {
		return nil, fmt.Errorf("stream %s allows direct reads, which may be stale, and claims depend on reads: set allow_direct to false", publisher.EventsStream)
	}
	return &ledger{
		events:     events,
		reader:     publisher.NewLastReader(events),
		guard:      newGuard(nc, js, pub, bound.guarded, log),
		publisher:  pub,
		owner:      cfg.Owner,
		lease:      cfg.lease(),
		visibility: cfg.VisibilityWindow,
		observer:   cfg.Observer,
		released:   newReleases(),
		foreign: func(msg *jetstream.RawStreamMsg) {
			log.Error().Str("subject", msg.Subject).Uint64("sequence", msg.Sequence).
				Msg("ignoring a foreign message in the events stream; deploy/nats/README.md, Reply subjects, has the cause")
		},
		capped: func(whole, recorded schemas.Event) {
			data := schemas.EncodeEvent(whole)
			log.Error().Str("source", whole.Names().Source).Str("requestId", whole.Names().RequestID).
				Int("bytes", len(data)).Bytes("event", data[:min(len(data), maxLogged)]).
				Msgf("%s exceeds the size limit of the server or of the stream %s: recorded without a part of its lists and texts",
					recorded.Kind(), publisher.EventsStream)
		},
	}, nil
}

// Run processes requests until ctx ends, and then drains: it stops pulling, waits for the
// requests in flight until the drain timeout, cancels the rest and returns. Cancelled
// requests stay in the stream for the next owner.
func (c *Consumer) Run(ctx context.Context) {
	work, cancelWork := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancelWork(nil)
	settler := &settler{log: c.log}

	guard := c.handler.ledger.guard
	guard.compare(ctx)
	c.inherit(ctx)
	c.openJournal()
	defer c.closeJournal()
	var guarding sync.WaitGroup
	guarding.Go(func() { guard.run(ctx) })
	guarding.Go(func() { c.scopes.Run(ctx) })

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
