package follower

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
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
	"backhaul/vendorapi"
)

// Defaults of [Config].
const (
	DefaultIntervalMin  = 30 * time.Second
	DefaultIntervalMax  = 5 * time.Minute
	DefaultReadsPerHour = 200
	DefaultFor          = 168 * time.Hour
)

// Config has the options of a [Follower]. Zero values mean the defaults.
type Config struct {
	// IntervalMin is the time between two lists after a change. Defaults to DefaultIntervalMin.
	IntervalMin time.Duration
	// IntervalMax is the time between two lists while nothing changes. Defaults to DefaultIntervalMax.
	IntervalMax time.Duration
	// ReadsPerHour bounds the reads at the vendor in any hour. Defaults to DefaultReadsPerHour.
	ReadsPerHour int
	// For is how long a job is followed before it is given up. Defaults to DefaultFor.
	For time.Duration
	// Owner names the process in its [State], for people.
	Owner string
	// SpareWrite reports whether the tenant can spare a writing call for the reason of a bad end.
	// Nil, the default, never spares one.
	SpareWrite func() bool
	// Observer, if not nil, receives what happens to jobs.
	Observer Observer
	// DrainTimeout bounds how long a stop waits for events that are being written. Defaults to 5 s.
	DrainTimeout time.Duration
}

func (c Config) withDefaults() Config {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&c.IntervalMin, DefaultIntervalMin}, {&c.IntervalMax, DefaultIntervalMax}, {&c.For, DefaultFor}, {&c.DrainTimeout, 5 * time.Second},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if c.ReadsPerHour == 0 {
		c.ReadsPerHour = DefaultReadsPerHour
	}
	if c.Observer == nil {
		c.Observer = silent{}
	}
	if c.SpareWrite == nil {
		c.SpareWrite = func() bool { return false }
	}
	return c
}

// Follower follows started jobs to their end.
type Follower struct {
	cfg    Config
	nc     *nats.Conn
	js     jetstream.JetStream
	pub    *publisher.Publisher
	vendor Vendor
	log    zerolog.Logger
	pace   *pace
	events *publisher.LastReader // of the sessions; nil before the first one

	writes               writes.Watch
	ready, vendorTrouble reader.Trouble
	readLog, vendorLog   logonce.Last
	off                  atomic.Bool // it was said that following is off
	state                atomic.Pointer[State]
}

// New returns a Follower that uses the events stream and its durable consumer. Neither is
// needed before Run.
func New(cfg Config, nc *nats.Conn, vendor Vendor, log zerolog.Logger) (*Follower, error) {
	cfg = cfg.withDefaults()
	pub, err := publisher.New(nc)
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("follower: %w", err)
	}
	f := &Follower{
		cfg: cfg, nc: nc, js: js, pub: pub, vendor: vendor, log: log,
		pace: newPace(cfg.IntervalMin, cfg.IntervalMax, cfg.ReadsPerHour),
	}
	f.writes.Log = log
	pub.OnTry(f.writes.Note)
	f.state.Store(&State{})
	f.ready.Note(errors.New("nothing was read yet"))
	return f, nil
}

// State returns what the follower is doing, not older than a second.
func (f *Follower) State() State { return *f.state.Load() }

// Ready returns nil while this replica or another follows jobs, otherwise why none does.
func (f *Follower) Ready() error {
	if err := pull.Connected(f.nc); err != nil {
		return err
	}
	if err := f.ready.Err(); err != nil {
		return err
	}
	if err := f.vendorTrouble.Err(); err != nil {
		return err
	}
	return f.writes.Trouble(publisher.EventsStream)
}

// durable is the consumer of the started jobs.
var durable = reader.Durable{Stream: publisher.EventsStream, Consumer: publisher.FollowerConsumer}

// offError is why nothing can be followed at all.
type offError struct{ why string }

func (e *offError) Error() string { return "following is off: " + e.why }

const (
	// failurePause is the wait after a session that failed.
	failurePause = 500 * time.Millisecond
	// offPause is the wait before it is checked again whether following is possible.
	offPause = 10 * time.Second
)

// Run follows jobs until ctx ends. The next reader takes over the jobs that have not ended.
func (f *Follower) Run(ctx context.Context) {
	for ctx.Err() == nil {
		err := f.standBy(ctx)
		if err == nil && ctx.Err() == nil {
			err = newSession(f).run(ctx)
		}
		f.state.Store(&State{})
		if ctx.Err() != nil {
			break
		}
		f.ready.Note(err)
		pause := failurePause/2 + rand.N(failurePause)
		if _, off := errors.AsType[*offError](err); off {
			f.sayOff(err)
			pause = offPause
		} else if errors.Is(err, reader.ErrOther) {
			f.ready.Note(nil)
			f.log.Info().Msg("another replica follows the jobs, standing by")
		} else if f.readLog.Changed(err) && err != nil {
			f.log.Warn().Err(err).Msg("cannot follow jobs")
		}
		sleep.For(ctx, pause)
	}
	f.ready.Note(reader.ErrStopping)
}

// sayOff logs once that nothing is followed.
func (f *Follower) sayOff(err error) {
	if f.off.CompareAndSwap(false, true) {
		f.log.Warn().Err(err).Msg("started jobs are not followed; everything else works as before")
	}
}

// standBy waits until no replica reads.
func (f *Follower) standBy(ctx context.Context) error {
	return reader.StandBy(ctx, pullGap, f.consumer, func() {
		f.ready.Note(nil)
		f.vendorTrouble.Note(nil) // the reader has its own
		f.readLog.Changed(nil)
	})
}

// consumer returns the state of the durable consumer, if it can be followed with.
func (f *Follower) consumer(ctx context.Context) (*jetstream.ConsumerInfo, error) {
	if err := Possible(f.nc.ConnectedServerVersion()); err != nil {
		return nil, err
	}
	c, err := f.js.Consumer(ctx, durable.Stream, durable.Consumer)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil, fmt.Errorf("%s has no consumer %s; `backhaul setup` makes it", durable.Stream, durable.Consumer)
	}
	if err != nil {
		return nil, fmt.Errorf("read the state of %s: %w", durable, err)
	}
	info := c.CachedInfo()
	if n := info.Config.MaxDeliver; n > 0 {
		return nil, fmt.Errorf("%s gives up after %d deliveries, and the job would be forgotten; set max_deliver to -1", durable, n)
	}
	return info, nil
}

// Possible returns an error if jobs cannot be followed with a server of this version.
func Possible(v string) error {
	major, rest, _ := strings.Cut(v, ".")
	minor, _, _ := strings.Cut(rest, ".")
	ma, err1 := strconv.Atoi(major)
	mi, err2 := strconv.Atoi(minor)
	if err1 == nil && err2 == nil && (ma < 2 || ma == 2 && mi < 14) {
		return &offError{why: fmt.Sprintf("NATS server %s cannot reset a consumer; nats-server 2.14 or later is needed", v)}
	}
	return nil
}

// asked notes the result of a read at the vendor.
func (f *Follower) asked(ctx context.Context, call string, err error) {
	f.cfg.Observer.Read(call, err)
	if err == nil {
		f.pace.answered()
		return
	}
	if ctx.Err() != nil && errors.Is(context.Cause(ctx), reader.ErrStopping) {
		return
	}
	if call != "list" && answered(err) {
		return
	}
	var asked time.Duration
	if e, ok := errors.AsType[*vendorapi.Error](err); ok {
		asked = e.RetryAfter
	}
	f.pace.failed(time.Now(), asked)
}

// answered reports whether an error is the vendor's answer about one job, such as 404 for one that
// was pruned or 403 for its events. Such an answer says nothing about other reads.
func answered(err error) bool {
	e, ok := errors.AsType[*vendorapi.Error](err)
	return ok && e.Verdict != vendorapi.Throttled && (e.Verdict == vendorapi.NotSent || e.Status > 0 && e.Status != http.StatusUnauthorized && e.Status < 502)
}
