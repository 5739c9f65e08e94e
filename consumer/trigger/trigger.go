package trigger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backhaul/consumer/internal/pull"
	"backhaul/consumer/internal/reader"
	"backhaul/consumer/internal/sleep"
	"backhaul/consumer/internal/writes"
	"backhaul/consumer/logonce"
	"backhaul/publisher"
)

// Config has the options of a [Trigger]. Zero values mean the defaults.
type Config struct {
	// Owner names this process, for [State].Owner.
	Owner string
	// Observer, if not nil, receives what happens to notifications.
	Observer Observer
	// StoreGivesUp is how long to try to write a directive file before requesting a plain
	// INCREMENTAL, which finds the changes itself. Defaults to 10 min.
	StoreGivesUp time.Duration
	// Conditions, if not nil, returns what is wrong with this replica, for [State].Conditions.
	Conditions func() []Condition
	// LookAgain is how often to look whether a content group with a rule still has a request that
	// waits, or a job that runs. Defaults to 5 s.
	LookAgain time.Duration
	// HoldFor is how long the first change of a window may wait for that. Then its request is
	// published, and waits itself. Defaults to 24 h.
	HoldFor time.Duration
	// DrainTimeout bounds how long a stop waits for requests that are being made. Defaults
	// to 5 s.
	DrainTimeout time.Duration
}

// Trigger reads notifications and publishes requests.
type Trigger struct {
	cfg     Config
	nc      *nats.Conn
	js      jetstream.JetStream
	pub     *publisher.Publisher
	routes  atomic.Pointer[Routes]
	changed chan struct{} // has a value after SetRoutes
	store   Store
	observe Observer
	log     zerolog.Logger

	queue     jetstream.Consumer
	decisions *decisions
	running   running

	writes                           writes.Watch
	ready, storeTrouble, turnTrouble reader.Trouble
	pullLog, storeLog, turnLog       logonce.Last
	state                            atomic.Pointer[State]
	// These belong to the goroutine of Run.
	done     Asked
	settled  settled
	unrouted unrouted
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
	cfg.LookAgain, cfg.HoldFor = cmp.Or(cfg.LookAgain, lookAgain), cmp.Or(cfg.HoldFor, holdFor)
	if cfg.DrainTimeout == 0 {
		cfg.DrainTimeout = 5 * time.Second
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
		return nil, fmt.Errorf("bind to %s: %w", durable, err)
	}
	if n := queue.CachedInfo().Config.MaxDeliver; n > 0 {
		return nil, fmt.Errorf("%s gives up after %d deliveries, and the change would be lost; set max_deliver to -1", durable, n)
	}
	windows, err := js.Stream(ctx, publisher.WindowsStream)
	if err != nil {
		return nil, fmt.Errorf("bind to stream %s: %w", publisher.WindowsStream, err)
	}
	if windows.CachedInfo().Config.AllowDirect {
		return nil, fmt.Errorf("stream %s allows direct reads: they may be stale; set allow_direct to false", publisher.WindowsStream)
	}
	t := &Trigger{
		cfg: cfg, nc: nc, js: js, pub: pub, changed: make(chan struct{}, 1), store: store, observe: cfg.Observer, log: log,
		queue: queue, decisions: &decisions{windows: windows, pub: pub},
	}
	if err := t.SetRoutes(routes); err != nil {
		return nil, err
	}
	t.writes.Log = log
	pub.OnTry(t.writes.Note)
	t.state.Store(&State{})
	t.ready.Note(errors.New("nothing was read yet"))
	return t, nil
}

// SetRoutes changes the routes. A reader begins again: it lets the requests that are being made
// finish, and collects the notifications that wait by the new routes. The windows keep their times,
// which are those of their notifications.
func (t *Trigger) SetRoutes(routes *Routes) error {
	if routes.HasDirectives() && t.store == nil {
		return errors.New("a route has a directive, and there is no store to write it to; set BACKHAUL_TRIGGER_S3_ENDPOINT and the keys, and restart the trigger")
	}
	t.routes.Store(routes)
	select {
	case t.changed <- struct{}{}:
	default: // is noted
	}
	return nil
}

// State returns what the trigger is doing, not older than a second.
func (t *Trigger) State() State { return *t.state.Load() }

// Ready returns nil while this replica or another reads notifications, otherwise why none does.
func (t *Trigger) Ready() error {
	if err := pull.Connected(t.nc); err != nil {
		return err
	}
	return t.ready.Err()
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
func (t *Trigger) StoreTrouble() error { return t.storeTrouble.Err() }

// HoldTrouble returns why it cannot be found out whether jobs of content groups run. Their windows
// wait meanwhile.
func (t *Trigger) HoldTrouble() error { return t.turnTrouble.Err() }

// durable is the consumer of the notifications.
var durable = reader.Durable{Stream: publisher.StorageStream, Consumer: publisher.StorageConsumer}

// failurePause is the wait after a session that failed.
const failurePause = 500 * time.Millisecond

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
		if errors.Is(err, errRoutes) {
			t.log.Info().Msg("reading notifications by other routes")
			continue
		}
		t.ready.Note(err)
		if errors.Is(err, reader.ErrOther) {
			t.ready.Note(nil)
			t.log.Info().Msg("another replica reads, standing by")
		} else if t.pullLog.Changed(err) && err != nil {
			t.log.Warn().Err(err).Msg("cannot read notifications")
		}
		if errors.Is(err, reader.ErrGap) {
			continue // it stands by first, and so sees the other reader
		}
		sleep.For(ctx, failurePause/2+rand.N(failurePause))
	}
	t.ready.Note(reader.ErrStopping)
}

// standBy waits until no replica reads. Two readers would do no harm, because each window is
// decided once, but each would have to begin again.
func (t *Trigger) standBy(ctx context.Context) error {
	return reader.StandBy(ctx, 0, func(ctx context.Context) (*jetstream.ConsumerInfo, error) {
		info, err := t.queue.Info(ctx)
		if err != nil {
			return nil, fmt.Errorf("read the state of %s: %w", durable, err)
		}
		return info, nil
	}, func() {
		t.ready.Note(nil)
		t.pullLog.Changed(nil)
	})
}
