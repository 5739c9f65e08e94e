package budget

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"backhaul/consumer/internal/sleep"
	"backhaul/consumer/logonce"
	"backhaul/consumer/order"
	"backhaul/publisher"
	"backhaul/vendorapi"
)

const (
	// patience bounds one update: long enough for a write to be repeated whose acknowledgement, which
	// the publisher waits 5 s for, was lost.
	patience = 8 * time.Second
	// spare is how much longer than one call a lease lasts.
	spare = 15 * time.Second
	// refresh is how often the record is read, so that a replica knows what the others took.
	refresh = 5 * time.Second
	// settleAfter is how soon ended calls are recorded.
	settleAfter = time.Second
	// retry is how soon to try again after an error, or without a record.
	retry = time.Second
	// shortestWait is the shortest wait for a call to become free.
	shortestWait = 50 * time.Millisecond
	// leases is how many leases make the budget: a process that dies loses a part of one.
	leases = 20
	// vendorSays is how long the vendor's own limit holds after it was said: it may say it only when it
	// refuses a call.
	vendorSays = 24 * hour
)

// The names of calls that no process of ours has made.
const (
	byUnknown = "not known"
	byOthers  = "others, by the vendor's count"
	bySeveral = "several"
)

// Config configures a [Budget].
type Config struct {
	// Owner names this process in the record. Required.
	Owner string
	// PerHour is how many calls all processes may make in any hour. At least 1.
	PerHour int
	// Timeout is the longest time of one call. Required.
	Timeout time.Duration
	// Guest is true for a process whose PerHour holds for itself only: the limit on record, which is
	// the service's, stays as it is.
	Guest bool
	Log   zerolog.Logger
}

// Budget takes calls from the record that all processes share. It implements
// [vendorapi.Budget].
type Budget struct {
	cfg   Config
	store atomic.Pointer[store]
	// working holds the one goroutine that uses the store.
	working chan struct{}
	settle  chan struct{} // receives after a call has ended
	trouble logonce.Last

	mu    sync.Mutex
	now   state
	tasks tasks
}

// state is what a process knows. Budget.mu guards it.
type state struct {
	snapshot
	err error // why there is no snapshot, or the next one failed
	mine
}

// mine is what a process knows of its own calls.
type mine struct {
	lease string
	// open is how many calls were granted and have not ended.
	open int
	// ended has the local times at which calls ended that are not on record as ended.
	ended []time.Time
	said  []said
}

// said is what the vendor said at a local time.
type said struct {
	vendorapi.Allowance
	at time.Time
}

// ErrTurn is returned by [Budget.Reserve] if the turn was another's.
var ErrTurn = errors.New("another request was started first")

// New returns a budget. Until Use is called, no call is granted.
func New(cfg Config) *Budget {
	b := &Budget{cfg: cfg, working: make(chan struct{}, 1), settle: make(chan struct{}, 1)}
	b.now.lease, b.now.err = newName(), errors.New("there is no connection to NATS")
	return b
}

// Use sets the connection.
func (b *Budget) Use(nc *nats.Conn) error {
	s, err := newStore(nc)
	if err != nil {
		return err
	}
	b.store.Store(s)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now.err = errNotRead
	return nil
}

var errNotRead = errors.New("the record was not read yet")

// most returns how many calls one process may have open: it loses no more if it dies.
func (c Config) most() int { return max(1, c.PerHour/leases) }

// validity is how long a lease lasts.
func (c Config) validity() time.Duration { return c.Timeout + spare }

// Left implements [vendorapi.Budget].
func (b *Budget) Left(n int) (left int, wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.left(n)
}

// left is Left. What was given back and is not on record yet may be taken.
func (b *Budget) left(n int) (left int, wait time.Duration) {
	if b.now.err != nil && !errors.Is(b.now.err, errNotRead) {
		return 0, retry
	}
	if b.now.err != nil {
		return 0, shortestWait
	}
	if b.now.open >= b.cfg.most() {
		return 0, shortestWait
	}
	now := b.now.earliest(time.Now())
	r := b.now.record
	if held := r.held(b.now.lease); held > b.now.open+len(b.now.ended) {
		r = r.clone()
		r.leave(b.now.lease)
		r.enter(b.cfg.Owner, b.now.lease, b.now.open+len(b.now.ended), now.Add(b.cfg.validity()))
	}
	left, next := r.left(b.cfg.PerHour, now)
	if left == 0 {
		return 0, max(next.Sub(now), shortestWait)
	}
	return min(n, left, b.cfg.most()-b.now.open), 0
}

// Order returns the order of the starts that were granted, as far as this process knows it.
func (b *Budget) Order() order.Order {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now.record.Order.Clone()
}

// Take implements [vendorapi.Budget]. Callers at the same time share one write.
func (b *Budget) Take(ctx context.Context) (vendorapi.Grant, error) { return b.take(ctx, nil) }

// Reserve takes a call for a start, if the turn in the order of starts has this number, and gives the
// turn to a subject. Otherwise the error is [ErrTurn], and Order returns the order of now.
func (b *Budget) Reserve(ctx context.Context, subject string, number uint64) (vendorapi.Grant, error) {
	return b.take(ctx, &turn{subject, number})
}

func (b *Budget) take(ctx context.Context, of *turn) (vendorapi.Grant, error) {
	b.mu.Lock()
	if left, wait := b.left(1); left == 0 && !errors.Is(b.now.err, errNotRead) {
		defer b.mu.Unlock()
		return vendorapi.Grant{}, &vendorapi.BudgetError{RetryAfter: wait, Err: b.now.err}
	}
	t := &task{turn: of, done: make(chan struct{})}
	b.tasks.waiting = append(b.tasks.waiting, t)
	if !b.tasks.busy {
		b.tasks.busy = true
		go b.serve()
	}
	b.mu.Unlock()
	select {
	case <-t.done:
	case <-ctx.Done():
		go func() { // the grant comes, and is given back
			if <-t.done; t.err == nil {
				b.end(false)
			}
		}()
		return vendorapi.Grant{}, &vendorapi.BudgetError{RetryAfter: shortestWait, Err: context.Cause(ctx)}
	}
	if t.err != nil {
		return vendorapi.Grant{}, t.err
	}
	var once sync.Once
	return vendorapi.Grant{Until: t.until, End: func(sent bool) { once.Do(func() { b.end(sent) }) }}, nil
}

// end notes that a granted call has ended.
func (b *Budget) end(sent bool) {
	b.mu.Lock()
	b.now.open--
	if sent {
		b.now.ended = append(b.now.ended, time.Now())
	}
	b.mu.Unlock()
	b.settleSoon()
}

func (b *Budget) settleSoon() {
	select {
	case b.settle <- struct{}{}:
	default:
	}
}

// Correct implements [vendorapi.Budget].
func (b *Budget) Correct(a vendorapi.Allowance) {
	if !a.Refused && a.PerHour == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !a.Refused && a.PerHour >= b.cfg.PerHour && b.now.record.VendorLimit == 0 && (a.Left < 0 || a.Left >= b.cfg.PerHour-b.now.record.spent(b.now.at)) {
		return // nothing to correct
	}
	b.now.said = append(b.now.said, said{a, time.Now()})
	b.settleSoon()
}

// serve grants calls to those who wait.
func (b *Budget) serve() {
	for {
		b.mu.Lock()
		waiting := b.tasks.waiting
		b.tasks.waiting = nil
		b.tasks.busy = len(waiting) > 0
		b.mu.Unlock()
		if len(waiting) == 0 {
			return
		}
		slices.SortStableFunc(waiting, byTurn)
		p, err := b.update(context.Background(), waiting)
		_, wait := b.Left(1)
		for i, t := range waiting {
			switch {
			case err == nil && p.grants[i]:
				t.until = p.until
			case err == nil && t.turn != nil && t.turn.number != p.record.Order.Number:
				t.err = ErrTurn
			default:
				t.err = &vendorapi.BudgetError{RetryAfter: max(wait, shortestWait), Err: err}
			}
			close(t.done)
		}
	}
}

// update reads the record, writes to it what this process knows and takes calls for the tasks that
// wait. The calls that the returned plan grants are open.
func (b *Budget) update(ctx context.Context, waiting []*task) (done plan, err error) {
	b.working <- struct{}{}
	defer func() { <-b.working }()
	s := b.store.Load()
	if s == nil {
		return done, errors.New("there is no connection to NATS")
	}
	asked := ctx
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		done, err = b.try(ctx, s, waiting)
		if !errors.Is(err, publisher.ErrConflict) {
			break
		}
		if pause(ctx) != nil {
			err = fmt.Errorf("stream %s: other replicas write first: %w", publisher.BudgetStream, err)
			break
		}
	}
	if asked.Err() != nil {
		return done, err
	}
	b.mu.Lock()
	b.now.err = err
	b.mu.Unlock()
	if b.trouble.Changed(err) {
		if err != nil {
			b.cfg.Log.Error().Err(err).Msg("the budget of writing calls cannot be used: nothing is sent to the vendor that is not a read")
		} else {
			b.cfg.Log.Info().Msg("the budget of writing calls is used")
		}
	}
	return done, err
}

// pause waits 5 to 50 ms, apart from other writers that met the same conflict.
func pause(ctx context.Context) error {
	select {
	case <-time.After(5*time.Millisecond + rand.N(45*time.Millisecond)):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// try is one try of update.
func (b *Budget) try(ctx context.Context, s *store, waiting []*task) (plan, error) {
	seen, err := s.read(ctx, b.cfg.PerHour, b.cfg.validity())
	if err != nil {
		return plan{}, err
	}
	b.mu.Lock()
	mine := b.now.mine
	b.mu.Unlock()
	p := b.cfg.plan(seen, mine, waiting, time.Now())
	if p.write || s.refused {
		if seen, err = s.write(ctx, seen, p.record); err != nil {
			return plan{}, err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now.snapshot = seen
	b.now.open += p.granted
	b.now.ended = b.now.ended[len(mine.ended):]
	b.now.said = b.now.said[len(mine.said):]
	return p, nil
}

// Run keeps what this process knows of the record up to date and records the calls that have ended,
// until ctx ends.
func (b *Budget) Run(ctx context.Context) {
	for ctx.Err() == nil {
		_, err := b.update(ctx, nil)
		wait := time.NewTimer(refresh)
		if err != nil {
			wait.Reset(retry)
		}
		select {
		case <-wait.C:
		case <-b.settle:
			sleep.For(ctx, settleAfter)
		case <-ctx.Done():
		}
		wait.Stop()
	}
	b.Settle(ctx)
}

// Settle records the calls that have ended, for a process without Run.
func (b *Budget) Settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	_, _ = b.update(ctx, nil)
}
