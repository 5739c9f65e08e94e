package archiver

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

	"backhaul/consumer/internal/pull"
	"backhaul/consumer/internal/reader"
	"backhaul/consumer/internal/sleep"
	"backhaul/consumer/logonce"
	"backhaul/publisher"
	"backhaul/schemas"
)

// Defaults of [Config].
const (
	DefaultEvery     = 10 * time.Second
	DefaultSealEvery = 10 * time.Minute
)

// Config has the options of an [Archiver]. Zero values mean the defaults.
type Config struct {
	// Open opens the archive to append to it. The error is [ErrOther] if another process does.
	Open func(context.Context) (Log, error)
	// Every is how long an event may wait for others that are kept and signed with it.
	// Defaults to 10 s.
	Every time.Duration
	// SealEvery is how often a checkpoint is published as an event, if there is something new.
	// Defaults to 10 min.
	SealEvery time.Duration
	// NewStream permits to go on with a stream that is not the one of the archive: it was made
	// again, or restored from a snapshot.
	NewStream bool
	// Observer, if not nil, receives what is done.
	Observer Observer
}

// Log is an archive that is open.
type Log interface {
	// Place returns up to where the archive has a stream, the zero Place if it has nothing.
	Place() publisher.Place
	// Last returns the last message without headers and payload, nil if there is none since
	// the stream was made.
	Last() *jetstream.RawStreamMsg
	// Append keeps messages in their order, exactly once by their sequences, or none of them.
	// What is missing between them it writes down as a gap. begin, if not nil, is where they
	// are from.
	Append(ctx context.Context, begin *publisher.Place, messages []jetstream.RawStreamMsg) error
	// Seal returns the newest checkpoint, the zero one if there is none.
	Seal() schemas.Checkpoint
	// Close lets other processes append.
	Close()
}

// ErrOther means that another process appends to the archive.
var ErrOther = errors.New("another archiver writes to this archive")

// Observer receives what an [Archiver] does.
type Observer interface {
	// Archived is called when events are kept and signed.
	Archived(events int, bytes int64, took time.Duration)
	// Gap is called for sequences that the stream no longer had.
	Gap(sequences uint64)
	// Failed is called when events could not be kept.
	Failed(error)
}

type silent struct{}

func (silent) Archived(int, int64, time.Duration) {}
func (silent) Gap(uint64)                         {}
func (silent) Failed(error)                       {}

// State is what an archiver is doing.
type State struct {
	// Active is false while another replica archives.
	Active bool
	// Lag is how many events of the stream are not kept yet.
	Lag uint64
	// Until is when the last event that is kept was stored. It is zero before the first one.
	Until time.Time
	// Signed is when the newest checkpoint was signed by this process.
	Signed time.Time
}

// Archiver keeps events.
type Archiver struct {
	cfg Config
	nc  *nats.Conn
	js  jetstream.JetStream
	pub *publisher.Publisher
	log zerolog.Logger

	ready, sealTrouble reader.Trouble
	readLog, sealLog   logonce.Last
	state              atomic.Pointer[State]
	seal               sealing
}

// New returns an Archiver that reads the events stream with its durable consumer. Neither is
// needed before Run.
func New(cfg Config, nc *nats.Conn, log zerolog.Logger) (*Archiver, error) {
	if cfg.Every == 0 {
		cfg.Every = DefaultEvery
	}
	if cfg.SealEvery == 0 {
		cfg.SealEvery = DefaultSealEvery
	}
	if cfg.Observer == nil {
		cfg.Observer = silent{}
	}
	pub, err := publisher.New(nc)
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("archiver: %w", err)
	}
	a := &Archiver{cfg: cfg, nc: nc, js: js, pub: pub, log: log, seal: sealing{last: time.Now()}}
	a.state.Store(&State{})
	a.ready.Note(errors.New("nothing was archived yet"))
	return a, nil
}

// State returns what the archiver is doing, not older than a second.
func (a *Archiver) State() State { return *a.state.Load() }

// Ready returns nil while this replica or another archives, otherwise why none does.
func (a *Archiver) Ready() error {
	if err := pull.Connected(a.nc); err != nil {
		return err
	}
	return a.ready.Err()
}

// Sealing returns why the last checkpoint could not be published, nil if it could. It is in the
// archive all the same.
func (a *Archiver) Sealing() error { return a.sealTrouble.Err() }

// durable is the consumer of the events.
var durable = reader.Durable{Stream: publisher.EventsStream, Consumer: publisher.ArchiverConsumer}

const (
	// failurePause is the wait after the first failure, which doubles up to longestPause.
	failurePause = 500 * time.Millisecond
	longestPause = 30 * time.Second
)

// Run archives events until ctx ends.
func (a *Archiver) Run(ctx context.Context) {
	pause := failurePause
	for ctx.Err() == nil {
		err := reader.StandBy(ctx, 0, a.consumer, func() { a.ready.Note(nil); a.readLog.Changed(nil) })
		if err == nil && ctx.Err() == nil {
			s := newSession(a)
			err = s.run(ctx)
			if s.archived {
				pause = failurePause
			}
		}
		a.state.Store(&State{Until: a.State().Until, Signed: a.State().Signed})
		if ctx.Err() != nil {
			break
		}
		a.failed(err)
		sleep.For(ctx, pause/2+rand.N(pause))
		pause = min(2*pause, longestPause)
	}
	a.ready.Note(reader.ErrStopping)
}

// failed notes why a session has ended.
func (a *Archiver) failed(err error) {
	switch {
	case errors.Is(err, reader.ErrOther), errors.Is(err, ErrOther):
		a.ready.Note(nil)
		if a.readLog.Changed(err) {
			a.log.Info().Msg("another replica archives, standing by")
		}
		return
	case a.readLog.Changed(err) && err != nil:
		a.log.Warn().Err(err).Msg("cannot archive events; they stay in their stream")
	}
	a.ready.Note(err)
	a.cfg.Observer.Failed(err)
}

// consumer returns the state of the durable consumer, if it can be archived with.
func (a *Archiver) consumer(ctx context.Context) (*jetstream.ConsumerInfo, error) {
	c, err := a.js.Consumer(ctx, durable.Stream, durable.Consumer)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil, fmt.Errorf("%s has no consumer %s; `backhaul setup --archive` makes it", durable.Stream, durable.Consumer)
	}
	if err != nil {
		return nil, fmt.Errorf("read the state of %s: %w", durable, err)
	}
	info := c.CachedInfo()
	switch {
	case info.Config.FilterSubject != "" || len(info.Config.FilterSubjects) > 0:
		return nil, fmt.Errorf("%s has a filter, and the others would be kept as a gap; make it again as deploy/streams/archive has it", durable)
	case info.Config.MaxDeliver > 0:
		return nil, fmt.Errorf("%s gives up after %d deliveries; set max_deliver to -1", durable, info.Config.MaxDeliver)
	case info.Config.AckPolicy != jetstream.AckAllPolicy:
		return nil, fmt.Errorf("%s has the ack policy %s, must be all: make it again as deploy/streams/archive has it", durable, info.Config.AckPolicy)
	}
	return info, nil
}
