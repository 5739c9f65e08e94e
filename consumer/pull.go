package consumer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"backhaul/consumer/internal/pull"
	"backhaul/consumer/internal/sleep"
	"backhaul/consumer/logonce"
	"backhaul/publisher"
	"backhaul/vendorapi"
)

const (
	// pullExpiry is how long one pull stays open.
	pullExpiry = 5 * time.Second
	// pullHeartbeat is how often the server confirms an open pull. A pull that was lost
	// with a server or a connection is noticed after two of them.
	pullHeartbeat = time.Second
	// pullPause is the wait after a failed pull. Without a connection or a leader a pull
	// fails at once.
	pullPause = 100 * time.Millisecond
	// shortestCooldown is the shortest wait before the vendor's capacity is asked for again.
	shortestCooldown = 50 * time.Millisecond
	// pickPause is how often to look for requests while starts are scarce and those that wait
	// may not be taken.
	pickPause = 250 * time.Millisecond
	// pickFor is for how long requests are picked after starts were last scarce. Behind a
	// pause that the vendor asked for, the first starts are those that matter.
	pickFor = 10 * time.Second
)

var pullOptions = fmt.Sprintf(`"expires":%d,"idle_heartbeat":%d`, pullExpiry, pullHeartbeat)

// puller pulls messages from the durable consumer and passes them on, never more
// than there are free slots: the time that a message waits here counts against its
// acknowledgement wait.
type puller struct {
	pulls *pull.Pulls
	log   zerolog.Logger
	ready *readiness
	slots *slots
	// capacity returns how many requests may be claimed now, see handler.
	capacity func(n int) (int, vendorapi.Cooldown)
	pause    *pauser
	picking  picking
	// batch is how many slots must be free before another pull is opened in addition
	// to an open one.
	batch   int
	paused  bool // whether the consumer was paused when the server was last silent
	trouble logonce.Last
}

func (c *Consumer) newPuller(slots *slots) *puller {
	return &puller{
		// The buffer is large enough for every message that was asked for and for the statuses.
		pulls: pull.New(c.nc, publisher.RequestsStream, publisher.RequestsConsumer, 2*slots.number+64),
		log:   c.log, ready: &c.ready, slots: slots, capacity: c.handler.capacity,
		pause:   &pauser{js: c.js, queue: c.queue, events: c.handler.ledger.events, pub: c.handler.pub, log: c.log},
		picking: picking{picker: c.picker, scarce: c.handler.picks},
		batch:   max(1, c.cfg.ahead()/2),
	}
}

// picking is whether requests are picked, and by what.
type picking struct {
	*picker
	scarce func() bool
	until  time.Time
}

// isOn reports whether requests are picked and not pulled.
func (p *picking) isOn() bool {
	now := time.Now()
	if p.scarce() {
		p.until = now.Add(pickFor)
	}
	return now.Before(p.until) && p.err() == nil
}

// run passes messages to work until ctx ends.
func (p *puller) run(ctx context.Context, work func(*delivery)) {
	var sub *nats.Subscription
	for sub == nil {
		var err error
		if sub, err = p.pulls.Subscribe(); err != nil {
			if p.failed(ctx, fmt.Errorf("subscribe: %w", err)); ctx.Err() != nil {
				return
			}
		}
	}
	defer p.nakPending(sub)
	silence := time.NewTimer(2 * pullHeartbeat)
	defer silence.Stop()
	for ctx.Err() == nil {
		again, err := p.ask(ctx, work)
		if err != nil {
			p.failed(ctx, err)
			continue
		}
		if again > 0 {
			silence.Reset(min(again, 2*pullHeartbeat))
		}
		select {
		case msg := <-p.pulls.Incoming:
			answer, err := p.pulls.Heard(msg)
			if err != nil {
				p.failed(ctx, err)
			} else if p.answered(); answer == pull.Message {
				p.deliver(msg, work)
			}
		case <-p.slots.freed:
			continue // without resetting the timer
		case <-silence.C:
			if p.pulls.Silent(2 * pullHeartbeat) {
				if err := p.silent(ctx); err != nil {
					p.failed(ctx, err)
				}
			}
		case <-ctx.Done():
		}
		silence.Reset(2 * pullHeartbeat)
	}
}

// nakPending ends the open pulls and naks the messages that were not passed on, so that
// they do not wait for their acknowledgement wait to end.
func (p *puller) nakPending(sub *nats.Subscription) {
	_ = sub.Unsubscribe()
	for {
		select {
		case msg := <-p.pulls.Incoming:
			if strings.HasPrefix(msg.Reply, pull.AckPrefix) {
				_ = msg.Nak()
			}
		default:
			return
		}
	}
}

// deliver passes a message to work.
func (p *puller) deliver(msg *nats.Msg, work func(*delivery)) {
	d, err := readDelivery(msg)
	if err != nil {
		p.log.Error().Err(err).Msg("ignoring a message without JetStream metadata")
		return
	}
	work(d)
}

// ask opens a pull if enough slots are free and the vendor has capacity. It returns when to
// ask again, 0 for after the next event.
func (p *puller) ask(ctx context.Context, work func(*delivery)) (again time.Duration, err error) {
	free := p.slots.free() - p.pulls.Asked
	if free <= 0 || free < p.batch && p.pulls.Asked > 0 {
		return 0, nil
	}
	free, again = p.room(ctx, free)
	if p.picking.isOn() {
		return p.pickAll(ctx, free, again, work)
	}
	if free <= 0 {
		return again, nil
	}
	return 0, p.pulls.Ask(free, pullOptions)
}

// pickAll passes the requests whose turn it is to work, while there is room. If none waits, a
// pull for one waits for the next, whose turn it is then.
func (p *puller) pickAll(ctx context.Context, free int, again time.Duration, work func(*delivery)) (time.Duration, error) {
	for ; free > 0; free, again = p.room(ctx, p.slots.free()-p.pulls.Asked) {
		d, err := p.picking.pick(ctx, free)
		switch {
		case ctx.Err() != nil:
			return 0, nil
		case errors.Is(err, errEmpty) && p.pulls.Asked == 0:
			return 0, p.pulls.Ask(1, pullOptions)
		case errors.Is(err, errEmpty):
			return 0, nil
		case errors.Is(err, errMore):
			p.answered()
			return skipPause, nil
		case err != nil:
			return 0, fmt.Errorf("pick: %w", err)
		}
		p.answered()
		if d == nil {
			return pickPause, nil
		}
		work(d)
	}
	return again, nil
}

// room returns how many of the free slots may take a request now; if none, when to ask again.
func (p *puller) room(ctx context.Context, free int) (n int, again time.Duration) {
	capacity, cooldown := p.capacity(p.slots.number)
	if cooldown.Reason == vendorapi.CooldownThrottled {
		p.pause.extend(ctx, cooldown.For, cooldown.By)
	}
	if capacity < p.slots.number {
		// What is in flight, or will be, may have to be sent as well.
		if free = min(free, capacity-(p.slots.number-free)); free <= 0 {
			return 0, max(cooldown.For, shortestCooldown)
		}
	}
	return free, 0
}

// silent handles the absence of heartbeats. A paused consumer sends none; otherwise the open
// pulls are lost.
func (p *puller) silent(ctx context.Context) error {
	was := p.paused
	p.paused = p.pause.isOn(ctx)
	switch {
	case p.paused:
		p.pulls.HeardAt = time.Now()
		return nil
	case was: // the pulls may have expired during the pause
		p.pulls.Asked = 0
		return nil
	}
	p.pulls.Asked = 0
	return errors.New("pull: no heartbeat from the server")
}

// answered records that the server answers pulls.
func (p *puller) answered() {
	p.ready.note(nil)
	if p.trouble.Changed(nil) {
		p.log.Info().Msg("pulling requests again")
	}
}

// failed records why a pull failed, and waits.
func (p *puller) failed(ctx context.Context, err error) {
	p.ready.note(err)
	if p.trouble.Changed(err) {
		p.log.Warn().Err(err).Msg("cannot pull requests")
	}
	sleep.For(ctx, pullPause)
}

// slots limits the requests that are in flight at once.
type slots struct {
	number int
	taken  chan struct{}
	// freed receives when a slot was released since the last receive.
	freed chan struct{}
}

func newSlots(number int) *slots {
	return &slots{number: number, taken: make(chan struct{}, number), freed: make(chan struct{}, 1)}
}

func (s *slots) free() int { return s.number - len(s.taken) }

// acquire waits for a free slot. It returns false if ctx ends first.
func (s *slots) acquire(ctx context.Context) bool {
	select {
	case s.taken <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (s *slots) release() {
	<-s.taken
	select {
	case s.freed <- struct{}{}:
	default:
	}
}
