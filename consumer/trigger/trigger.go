package trigger

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backhaul/consumer/internal/sleep"
	"backhaul/consumer/internal/writes"
	"backhaul/consumer/logonce"
	"backhaul/publisher"
)

// Config has the options of a [Trigger]. Zero values mean the defaults.
type Config struct {
	// Observer, if not nil, receives what happens to notifications.
	Observer Observer
	// StoreGivesUp is how long to try to write a directive file before requesting a plain
	// INCREMENTAL, which finds the changes itself. Defaults to 10 min.
	StoreGivesUp time.Duration
	// DrainTimeout bounds how long a stop waits for requests that are being made. Defaults
	// to 5 s.
	DrainTimeout time.Duration
}

// Trigger reads notifications and publishes requests.
type Trigger struct {
	cfg     Config
	nc      *nats.Conn
	pub     *publisher.Publisher
	routes  *Routes
	store   Store
	observe Observer
	log     zerolog.Logger

	queue     jetstream.Consumer
	decisions *decisions

	writes              writes.Watch
	ready, storeTrouble trouble
	pullLog, storeLog   logonce.Last
	state               atomic.Pointer[State]
	done                Asked // belongs to the goroutine of Run
}

// New returns a Trigger that uses the streams and the durable consumer, which must exist.
// store may be nil if no route has a directive.
func New(ctx context.Context, cfg Config, nc *nats.Conn, routes *Routes, store Store, log zerolog.Logger) (*Trigger, error) {
	if cfg.Observer == nil {
		cfg.Observer = silent{}
	}
	if cfg.StoreGivesUp == 0 {
		cfg.StoreGivesUp = storeGivesUp
	}
	if cfg.DrainTimeout == 0 {
		cfg.DrainTimeout = 5 * time.Second
	}
	if routes.HasDirectives() && store == nil {
		return nil, errors.New("trigger: a route has a directive, and there is no store to write it to")
	}
	pub, err := publisher.New(nc)
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("trigger: %w", err)
	}
	queue, err := js.Consumer(ctx, publisher.StorageStream, publisher.StorageConsumer)
	if err != nil {
		return nil, fmt.Errorf("bind to consumer %s of %s: %w", publisher.StorageConsumer, publisher.StorageStream, err)
	}
	if n := queue.CachedInfo().Config.MaxDeliver; n > 0 {
		return nil, fmt.Errorf("consumer %s of %s gives up after %d deliveries, and the change would be lost; set max_deliver to -1",
			publisher.StorageConsumer, publisher.StorageStream, n)
	}
	windows, err := js.Stream(ctx, publisher.WindowsStream)
	if err != nil {
		return nil, fmt.Errorf("bind to stream %s: %w", publisher.WindowsStream, err)
	}
	if windows.CachedInfo().Config.AllowDirect {
		return nil, fmt.Errorf("stream %s allows direct reads: they may be stale; set allow_direct to false", publisher.WindowsStream)
	}
	t := &Trigger{
		cfg: cfg, nc: nc, pub: pub, routes: routes, store: store, observe: cfg.Observer, log: log,
		queue: queue, decisions: &decisions{windows: windows, pub: pub},
	}
	t.writes.Log = log
	pub.OnTry(t.writes.Note)
	t.state.Store(&State{})
	t.ready.note(errors.New("nothing was read yet"))
	return t, nil
}

// State returns what the trigger is doing, not older than a second.
func (t *Trigger) State() State { return *t.state.Load() }

// Ready returns nil while this replica or another reads notifications, otherwise why none does.
func (t *Trigger) Ready() error {
	if t.nc.Status() != nats.CONNECTED {
		return fmt.Errorf("NATS is not connected: %s", t.nc.Status())
	}
	return t.ready.err()
}

// Writable returns why requests or windows cannot be written, nil if they can as far as
// is known. Notifications stay in their stream meanwhile.
func (t *Trigger) Writable() error {
	return t.writes.Trouble(publisher.RequestsStream, publisher.WindowsStream)
}

// DeadLetters returns why dead letters cannot be written, nil if they can as far as is
// known.
func (t *Trigger) DeadLetters() error { return t.writes.Trouble(publisher.DeadLetterStream) }

// StoreTrouble returns why the last directive file could not be written, or nil if it was.
func (t *Trigger) StoreTrouble() error { return t.storeTrouble.err() }

var (
	errStopping  = errors.New("stopping")
	errTakenOver = errors.New("another replica reads")
	errPaused    = errors.New("the consumer is paused")
)

const (
	// checkEvery is how often a replica that stands by checks whether another one reads.
	checkEvery = time.Second
	// checkAgain is the wait before its second check: between two pulls of a reader none is
	// open for a moment.
	checkAgain = 150 * time.Millisecond
	// failurePause is the wait after a session that failed.
	failurePause = 500 * time.Millisecond
	askTimeout   = 5 * time.Second
)

// Run reads notifications until ctx ends. The notifications of windows that are open then stay
// unacknowledged, and the next reader collects them again.
func (t *Trigger) Run(ctx context.Context) {
	for ctx.Err() == nil {
		err := t.standBy(ctx)
		if err == nil && ctx.Err() == nil {
			err = newSession(t).run(ctx)
		}
		t.state.Store(&State{Asked: t.done})
		if ctx.Err() != nil {
			break
		}
		t.ready.note(err)
		if errors.Is(err, errTakenOver) {
			t.ready.note(nil)
			t.log.Info().Msg("another replica reads, standing by")
		} else if t.pullLog.Changed(err) && err != nil {
			t.log.Warn().Err(err).Msg("cannot read notifications")
		}
		sleep.For(ctx, failurePause/2+rand.N(failurePause))
	}
	t.ready.note(errStopping)
}

// standBy waits until no replica reads: until the consumer has no open pull in two checks
// shortly after each other. Two readers would do no harm, because each window is decided
// once, but each would have to begin again.
func (t *Trigger) standBy(ctx context.Context) error {
	quiet := false
	for {
		look, cancel := context.WithTimeout(ctx, askTimeout)
		info, err := t.queue.Info(look)
		cancel()
		wait := checkEvery
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return fmt.Errorf("read the state of consumer %s of %s: %w", publisher.StorageConsumer, publisher.StorageStream, err)
		case info.Paused:
			return errPaused
		case info.NumWaiting > 0:
			quiet = false
			t.ready.note(nil)
			t.pullLog.Changed(nil)
		case quiet:
			return nil
		default:
			quiet, wait = true, checkAgain
		}
		if !sleep.For(ctx, wait) {
			return context.Cause(ctx)
		}
	}
}

// trouble keeps the last error, or nil after a success.
type trouble struct{ why atomic.Pointer[error] }

func (t *trouble) note(err error) { t.why.Store(&err) }

func (t *trouble) err() error {
	if why := t.why.Load(); why != nil {
		return *why
	}
	return nil
}
