package consumer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/consumer/order"
	"backhaul/publisher"
)

// picker reads requests from the stream in another order than the queue's, while starts are
// scarce: package order decides whose is next. The durable consumer is not asked meanwhile. It
// skips what was picked and deleted, and what was picked and not deleted it delivers later: the
// ledger has its claim or its outcome.
//
// What the ledger knows of a request, the picker learns by handing it over, as from a
// redelivery: a request that another replica has claimed comes back and is postponed.
type picker struct {
	c     *Consumer
	order *order.Order
	// created is when the stream was made. A stream that is made again has other messages.
	created time.Time
	// seen is the stream at the last look, which many picks at once share, nil before it.
	seen   *jetstream.StreamInfo
	seenAt time.Time
	fresh  bool // it is of this pick
	// width is how many messages of a line are read at once.
	width int

	mu    sync.Mutex
	lines map[string]*line // by subject
	// flying are the messages that were handed over, if starts are shared.
	flying map[*picked]bool
	refuse error // why this replica cannot pick
}

// line is what was read of a subject.
type line struct {
	// read is the highest sequence that was read; what is below it was handed over and is in
	// kept, or is gone.
	read uint64
	// end is the last sequence of the stream when nothing was found behind read.
	end     uint64
	kept    map[uint64]*picked
	skipped skipped
	ahead   readAhead
}

// picked is a message that was handed over and is not deleted yet.
type picked struct {
	p    *picker
	line *line
	// place is where the message is. What it says is read again: thousands may wait.
	place *jetstream.RawStreamMsg
	// from is when the message may be handed over again, zero while it is in flight.
	from  time.Time
	times uint64 // that it was handed over
	// turn is the number of its turn in the order.
	turn uint64
}

// lookAfter is for how long picks share a look at the stream. Starts that are further apart have
// a look each, so that a request of a higher priority is next at once.
const lookAfter = 20 * time.Millisecond

// maxForeign bounds the messages that are skipped in one reading of a subject that is no
// literal one: NATS stores what is published on "backup.request.*" under that subject, and
// reading it finds the messages of every source.
const maxForeign = 100

func newPicker(c *Consumer) *picker {
	return &picker{c: c, order: order.New(), lines: make(map[string]*line), flying: make(map[*picked]bool)}
}

// err returns why this replica cannot pick, nil if it can.
func (p *picker) err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refuse
}

// errEmpty is returned by pick if the queue is empty, and errMore if it has not read all of it.
var (
	errEmpty = errors.New("no request waits")
	errMore  = errors.New("there is more to read")
)

// pick returns the delivery of the request whose turn it is, nil if none may be taken at the
// moment. free is how many more may be picked at once.
func (p *picker) pick(ctx context.Context, free int) (*delivery, error) {
	if p.fresh = p.seen == nil || time.Since(p.seenAt) >= lookAfter; p.fresh {
		if err := p.look(ctx); err != nil {
			return nil, err
		}
	}
	p.follow()
	lines := order.Lines(p.seen.State.Subjects)
	p.order.Sort(lines)
	p.width = width(free, len(lines))
	var more error
	for _, l := range lines {
		d, err := p.next(ctx, l, p.seen.State.LastSeq)
		if errors.Is(err, errMore) {
			more = err
			continue
		}
		if err != nil {
			return nil, p.failed(fmt.Errorf("read a request of %s: %w", l.Subject, err))
		}
		if d != nil {
			p.take(d.reading.(*picked))
			return d, nil
		}
	}
	return nil, more
}

// follow continues the order of shared starts: behind the turns that were taken come those of the
// messages that were handed over and have not taken theirs. One whose turn is over has taken it, or
// another replica has.
func (p *picker) follow() {
	if p.c.cfg.Starts == nil {
		return
	}
	now := p.c.cfg.Starts.Order()
	p.order = &now
	p.mu.Lock()
	defer p.mu.Unlock()
	flying := slices.SortedFunc(maps.Keys(p.flying), func(a, b *picked) int { return cmp.Compare(a.turn, b.turn) })
	for _, m := range flying {
		if m.turn >= now.Number {
			p.order.Take(m.place.Subject)
		}
	}
}

// take ends the turn in which a message is handed over.
func (p *picker) take(m *picked) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m.turn = p.order.Number
	p.order.Take(m.place.Subject)
	if p.c.cfg.Starts != nil {
		p.flying[m] = true
	}
}

// look looks at the stream and how many messages of each subject it has. If the queue is paused,
// it has none: a pause is of the consumer, and holds for what is read past it as well.
func (p *picker) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	p.seen, p.seenAt = nil, time.Now()
	p.forgetAhead()
	info, err := p.c.requests.Info(ctx, jetstream.WithSubjectFilter(publisher.AnyRequest))
	if err != nil {
		return p.failed(fmt.Errorf("stream %s: %w", publisher.RequestsStream, err))
	}
	if !info.Created.Equal(p.created) {
		p.created = info.Created
		p.forget()
	}
	p.tidy(info.State.Subjects)
	if len(info.State.Subjects) == 0 {
		return errEmpty
	}
	queue, err := p.c.queue.Info(ctx)
	if err != nil {
		return p.failed(fmt.Errorf("consumer %s: %w", publisher.RequestsConsumer, err))
	}
	if queue.Paused {
		info.State.Subjects = nil
	}
	p.seen = info
	return nil
}

// read returns the message with a sequence, or the first of a subject from there on.
func (p *picker) read(ctx context.Context, sequence uint64, options ...jetstream.GetMsgOpt) (*jetstream.RawStreamMsg, error) {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	return p.c.requests.GetMsg(ctx, sequence, options...)
}

// next returns the delivery of the next request of a line, nil if there is none. last is the
// last sequence of the stream.
func (p *picker) next(ctx context.Context, l order.Line, last uint64) (*delivery, error) {
	for again := p.due(l.Subject); again != nil; again = p.due(l.Subject) {
		msg, err := p.reread(ctx, again)
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound), err == nil && !msg.Time.Equal(again.place.Time):
			p.gone(again)
		case err != nil:
			return nil, err
		case p.c.inFlight.has(msg.Sequence): // attached to another delivery, which has not ended
			again.postpone(attachedWait)
		default:
			return p.deliver(again, msg), nil
		}
	}
	return p.unread(ctx, l, last)
}

// unread returns the delivery of the first request of a line that was not handed over.
func (p *picker) unread(ctx context.Context, l order.Line, last uint64) (*delivery, error) {
	line := p.line(l.Subject)
	p.rewind(line)
	for foreign, skipped := 0, 0; foreign < maxForeign && line.end != last; {
		if skipped == maxSkipped {
			return nil, errMore
		}
		msg, err := p.first(ctx, line, l.Subject)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			p.endOf(line, l.Waiting, last)
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if msg.Subject != l.Subject {
			line.read = msg.Sequence
			foreign++
			continue
		}
		skip, err := p.skip(ctx, line, msg)
		if err != nil {
			return nil, err
		}
		line.read = msg.Sequence
		if skip {
			skipped++
			continue
		}
		if m := p.keep(line, msg); m != nil {
			return p.deliver(m, msg), nil
		}
	}
	return nil, nil
}

// endOf notes that nothing was found behind what was read of a line.
func (p *picker) endOf(l *line, waiting, last uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !p.fresh: // the numbers are older than this
	case waiting > uint64(len(l.kept))+l.skipped.number:
		l.startAgain() // something is below that is not known: it is read again
	default:
		l.end = last
	}
}

// deliver returns the delivery of a message.
func (p *picker) deliver(m *picked, msg *jetstream.RawStreamMsg) *delivery {
	p.mu.Lock()
	defer p.mu.Unlock()
	m.from = time.Time{}
	m.times++
	return p.c.readDelivery(msg, m.times, m)
}

// keep registers a message that was read. It returns nil if the message is registered already
// or in flight in this process: then it is read again later.
func (p *picker) keep(l *line, msg *jetstream.RawStreamMsg) *picked {
	inFlight := p.c.inFlight.has(msg.Sequence)
	p.mu.Lock()
	defer p.mu.Unlock()
	if l.kept[msg.Sequence] != nil {
		return nil
	}
	m := &picked{p: p, line: l, place: &jetstream.RawStreamMsg{Subject: msg.Subject, Sequence: msg.Sequence, Time: msg.Time}}
	l.kept[msg.Sequence] = m
	if inFlight {
		m.from = time.Now().Add(attachedWait)
		return nil
	}
	return m
}

// line returns what was read of a subject.
func (p *picker) line(subject string) *line {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.lines[subject]
	if l == nil {
		l = &line{kept: make(map[uint64]*picked)}
		p.lines[subject] = l
	}
	return l
}

// due returns the first message of a subject that was handed over and may be again, nil if
// there is none.
func (p *picker) due(subject string) (first *picked) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lines[subject] == nil {
		return nil
	}
	for _, m := range p.lines[subject].kept {
		if m.isDue() && (first == nil || m.place.Sequence < first.place.Sequence) {
			first = m
		}
	}
	return first
}

// isDue reports whether the message may be handed over again; p.mu is held.
func (m *picked) isDue() bool { return !m.from.IsZero() && !m.from.After(time.Now()) }

// tidy forgets subjects of which nothing waits, if there are many.
func (p *picker) tidy(waiting map[string]uint64) {
	const many = 4096
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.lines) < many {
		return
	}
	for subject, l := range p.lines {
		if len(l.kept) == 0 && waiting[subject] == 0 {
			delete(p.lines, subject)
		}
	}
}

// forget forgets what was read of an earlier stream.
func (p *picker) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.lines)
	clear(p.flying)
}

// gone removes a message that is no longer in the stream.
func (p *picker) gone(m *picked) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(m.line.kept, m.place.Sequence)
	delete(p.flying, m)
}

// postpone makes the message wait for at least delay.
func (m *picked) postpone(delay time.Duration) {
	m.p.mu.Lock()
	defer m.p.mu.Unlock()
	delete(m.p.flying, m)
	m.from = time.Now().Add(delay)
}

// remove deletes the message. If that fails, the message is handed over again, and its outcome
// is found on record.
func (m *picked) remove() {
	err := m.p.c.deleteRequest(m.place)
	if err == nil {
		m.p.gone(m)
		return
	}
	m.postpone(lastDelay)
	if err = m.p.failed(err); m.p.err() == nil {
		m.p.c.log.Warn().Err(err).Uint64("sequence", m.place.Sequence).Msg("cannot delete a finished request; it is tried again")
	}
}

// failed notes that this replica may not read or delete requests. From then on it takes them in
// the queue's order, until it is started again.
func (p *picker) failed(err error) error {
	for _, subject := range []string{"$JS.API.STREAM.MSG.DELETE.", "$JS.API.STREAM.MSG.GET.", "$JS.API.STREAM.INFO."} {
		denied := publisher.Denied(p.c.nc, subject+publisher.RequestsStream)
		if denied == nil {
			continue
		}
		p.mu.Lock()
		first := p.refuse == nil
		p.refuse = denied
		p.mu.Unlock()
		if first {
			p.c.log.Error().Err(denied).Msg("starts are scarce, and requests are taken in the queue's order, not by priority and source: grant this, then start the replica again")
		}
		return denied
	}
	return err
}
