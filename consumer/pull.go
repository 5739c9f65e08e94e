package consumer

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"backhaul/consumer/internal/news"
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
	// shortestHold is the shortest wait before the vendor's capacity is asked for again.
	shortestHold = 50 * time.Millisecond
)

// nextSubject is JetStream's API for pulling from the durable consumer.
const nextSubject = "$JS.API.CONSUMER.MSG.NEXT." + publisher.RequestsStream + "." + publisher.RequestsConsumer

// ackPrefix is the prefix of the reply subject of every delivered message, and of no other
// answer to a pull.
const ackPrefix = "$JS.ACK."

// puller pulls messages from the durable consumer and passes them on, never more
// than there are free slots: the time that a message waits here counts against its
// acknowledgement wait.
//
// It does not use Fetch or Consume of nats.go, because they take the headers of a message for
// the server's. Each delivery of a request with an empty body and a Status header ends the
// pull and loses the other messages of it. A request with a Nats-Pin-Id header makes every
// later pull fail. Consume can also lose a wake-up and stop for half a minute (nats.go
// 1.55.0).
type puller struct {
	nc    *nats.Conn
	log   zerolog.Logger
	ready *readiness
	slots *slots
	// capacity returns how many requests may be claimed now, see handler.
	capacity func(n int) (int, vendorapi.Cooldown)
	pause    *pauser
	// batch is how many slots must be free before another pull is opened in addition
	// to an open one.
	batch int

	inbox    string
	incoming chan *nats.Msg
	asked    int       // messages that open pulls may still bring
	heardAt  time.Time // of the last message from the server, or of the last pull
	paused   bool      // whether the consumer was paused when the server was last silent
	trouble  news.Teller
}

func (c *Consumer) newPuller(slots *slots) *puller {
	return &puller{
		nc: c.nc, log: c.log, ready: &c.ready, slots: slots, capacity: c.handler.capacity,
		pause: &pauser{js: c.js, queue: c.queue, log: c.log},
		batch: max(1, c.cfg.ahead()/2), inbox: c.nc.NewInbox(),
		// Large enough for every message that was asked for and for the status messages.
		incoming: make(chan *nats.Msg, 2*slots.number+64),
	}
}

// run passes messages to work until ctx ends.
func (p *puller) run(ctx context.Context, work func(*delivery)) {
	var sub *nats.Subscription
	for sub == nil {
		var err error
		if sub, err = p.nc.ChanSubscribe(p.inbox+".*", p.incoming); err != nil {
			if p.failed(ctx, fmt.Errorf("subscribe: %w", err)); ctx.Err() != nil {
				return
			}
		}
	}
	defer p.nakPending(sub)
	silence := time.NewTimer(2 * pullHeartbeat)
	defer silence.Stop()
	for ctx.Err() == nil {
		hold, err := p.ask(ctx)
		if err != nil {
			p.failed(ctx, err)
			continue
		}
		if hold > 0 {
			silence.Reset(min(hold, 2*pullHeartbeat))
		}
		select {
		case msg := <-p.incoming:
			p.heardAt = time.Now()
			if strings.HasPrefix(msg.Reply, ackPrefix) {
				p.asked = max(0, p.asked-1)
				p.answered()
				p.deliver(msg, work)
			} else if err := p.heard(msg); err != nil {
				p.failed(ctx, err)
			} else {
				p.answered()
			}
		case <-p.slots.freed:
			continue // without resetting the timer
		case <-silence.C:
			if p.asked > 0 && time.Since(p.heardAt) >= 2*pullHeartbeat {
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
		case msg := <-p.incoming:
			if strings.HasPrefix(msg.Reply, ackPrefix) {
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
func (p *puller) ask(ctx context.Context) (again time.Duration, err error) {
	free := p.slots.free() - p.asked
	if free <= 0 || free < p.batch && p.asked > 0 {
		return 0, nil
	}
	capacity, hold := p.capacity(p.slots.number)
	if hold.Reason == vendorapi.CooldownThrottled {
		p.pause.extend(ctx, hold.For)
	}
	if capacity < p.slots.number {
		// What is in flight, or will be, may have to be sent as well.
		if free = min(free, capacity-(p.slots.number-free)); free <= 0 {
			return max(hold.For, shortestHold), nil
		}
	}
	request := fmt.Appendf(nil, `{"batch":%d,"expires":%d,"idle_heartbeat":%d}`, free, pullExpiry, pullHeartbeat)
	// The reply subject has the number of messages asked for: a 503 status does not.
	if err := p.nc.PublishRequest(nextSubject, p.inbox+"."+strconv.Itoa(free), request); err != nil {
		return 0, err
	}
	p.asked, p.heardAt = p.asked+free, time.Now()
	return 0, nil
}

// heard handles a status message about a pull.
func (p *puller) heard(msg *nats.Msg) error {
	status, text := msg.Header.Get("Status"), msg.Header.Get("Description")
	if status == "100" { // a heartbeat
		return nil
	}
	if left, err := strconv.Atoi(msg.Header.Get("Nats-Pending-Messages")); err == nil {
		p.asked = max(0, p.asked-left)
		if status == "408" { // an idle queue
			return nil
		}
		return fmt.Errorf("pull: %s %s", status, text)
	}
	if status == "503" {
		n, _ := strconv.Atoi(msg.Subject[strings.LastIndexByte(msg.Subject, '.')+1:])
		p.asked = max(0, p.asked-n)
		return nats.ErrNoResponders
	}
	// The consumer has another leader or is gone: every open pull has ended.
	p.asked = 0
	return fmt.Errorf("pull: %s %s", status, text)
}

// silent handles the absence of heartbeats. A paused consumer sends none; otherwise the open
// pulls are lost.
func (p *puller) silent(ctx context.Context) error {
	was := p.paused
	p.paused = p.pause.isOn(ctx)
	switch {
	case p.paused:
		p.heardAt = time.Now()
		return nil
	case was: // the pulls may have expired during the pause
		p.asked = 0
		return nil
	}
	p.asked = 0
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
	sleep(ctx, pullPause)
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

// sleep waits for d. It returns false if ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
