package consumer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/consumer/internal/journal"
	"backhaul/publisher"
	"backhaul/schemas"
)

// ledger keeps the claims and outcomes of requests on the events stream.
type ledger struct {
	events    jetstream.Stream
	reader    *publisher.LastReader
	guard     *guard // nil if the ledger is not compared
	publisher *publisher.Publisher
	owner     string
	lease     time.Duration
	// visibility is how long the vendor may take to show a job.
	visibility time.Duration
	observer   Observer  // may be nil
	released   *releases // nil to remember none
	journal    *journal.Journal
	// foreign, if non-nil, is called for the last message on a key if it is not an event.
	foreign func(*jetstream.RawStreamMsg)
	// capped, if non-nil, is called with an event that is too large for the stream, and
	// with the event that was recorded instead.
	capped func(whole, recorded schemas.Event)
}

// record is the last event of a key, read from the leader.
type record struct {
	event    schemas.Event
	sequence uint64
	stored   time.Time
}

// claim is this process's right to work on a request until its lease ends.
type claim struct {
	req      *request
	sequence uint64 // of the job-submitting event
	epoch    int
	// taken is the time before the claim was written, by this host's monotonic clock.
	// So the lease ends here before it ends for other replicas.
	taken time.Time
	turn  bool // it has the turn of its content group, see takeTurn
	// lease is how long the claim lasts from taken on.
	lease time.Duration
	doubt
	trouble trouble
	entry   *journal.Entry
}

// doubt records that a call to the vendor may have started a job.
type doubt struct {
	// under is the sequence of the claim under which the call was made, 0 without a
	// doubt.
	under uint64
	// since is the earliest possible time of the call, by this host's clock.
	since time.Time
	// until is when a job that the vendor still does not show does not exist.
	until time.Time
	// task is the task that the vendor made without naming a job, "" if it named none.
	task string
	// unlikely reports that the vendor answered that it started no job.
	unlikely bool
}

func (d doubt) inDoubt() bool { return d.under != 0 }

// claiming is the result of claiming a request.
type claiming struct {
	result claimResult
	// claim is set with claimMine, and with errForgotten.
	claim *claim
	// last is the key's last record, unless the result is claimMine.
	last record
	// outcome is set with claimFound.
	outcome schemas.Event
	// wait is how long to wait before the next try. It is set with claimHeld, by
	// reconcileHeld.
	wait time.Duration
}

type claimResult int

const (
	claimMine    claimResult = iota // this process may submit the request
	claimSettled                    // the request has its outcome
	claimReused                     // its id belongs to another request
	claimHeld                       // another owner, alive or dead, has claimed it
	claimFound                      // another owner has claimed it, and its job was found
)

// errClaimed is returned if another owner has claimed the request.
var errClaimed = errors.New("claimed")

// errTakenOver is returned by a write if another event of the key came first.
var errTakenOver = errors.New("the claim was taken over")

// errNotConfirmed ends the write of a claim that the stream does not acknowledge.
var errNotConfirmed = errors.New("the claim was not confirmed within its lease")

// claim claims a request that has no event, or whose claim was released. It returns an error
// if the ledger could not be read or written.
func (l *ledger) claim(ctx context.Context, req *request) (claiming, error) {
	if got, claimed, err := l.claimAgain(ctx, req); claimed {
		return got, err
	}
	c := &claim{req: req, epoch: 1}
	own, err := l.put(ctx, c, StepClaim, 0, l.lease)
	if !errors.Is(err, errTakenOver) {
		return claiming{claim: c}, err
	}
	last, err := recordOf(own)
	if err != nil {
		return claiming{}, &unreadableError{err}
	}
	submitting, isClaim := last.event.(*schemas.JobSubmitting)
	switch {
	case !req.is(last.event.Requested()):
		return claiming{result: claimReused, last: last}, nil
	case !isClaim:
		return claiming{result: claimSettled, last: last}, nil
	case submitting.LeaseMillis == 0:
		d, err := l.doubtOf(ctx, last)
		if err != nil {
			return claiming{}, err
		}
		return l.takeOver(ctx, req, last, d)
	default:
		return claiming{result: claimHeld, last: last}, nil
	}
}

// place sets the key of a request without an id to the one that an earlier version used, if
// such a version has written events about it. The delivery count does not show that, because
// it starts again with a new consumer. So each request without an id costs a read.
func (l *ledger) place(ctx context.Context, d *delivery, req *request) error {
	if !req.anonymous {
		return nil
	}
	known, err := l.knownEarlier(ctx, d)
	if known {
		req.key = publisher.EarlierSequenceKey(d.source, d.sequence)
		req.RequestID = req.key.Name
	}
	return err
}

// knownEarlier reports whether an earlier version has written an event about this message
// under its form of the key. Only the last event counts: the others with this sequence are
// about the same message or about one of an earlier stream.
func (l *ledger) knownEarlier(ctx context.Context, d *delivery) (bool, error) {
	last, err := l.last(ctx, publisher.EarlierSequenceKey(d.source, d.sequence))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return false, nil
	}
	return err == nil && last.event.Requested().RequestedAt.Equal(d.stored), err
}

// recordAlone records an event about one message only, under the message's own key. The
// error is errTakenOver if it was recorded before, by this or an earlier version. An
// unreadable event of an earlier version does not prevent the record.
func (l *ledger) recordAlone(ctx context.Context, d *delivery, req *request, outcome schemas.Event) error {
	known, err := l.knownEarlier(ctx, d)
	if _, unreadable := errors.AsType[*unreadableError](err); err != nil && !unreadable {
		return err
	}
	if known {
		return errTakenOver
	}
	own := *req
	own.key = publisher.SequenceKey(d.source, d.sequence, d.stored)
	return l.record(ctx, &own, 0, outcome)
}

// takeOver replaces a claim that has ended or was released. The new claim has the doubt d.
func (l *ledger) takeOver(ctx context.Context, req *request, last record, d doubt) (claiming, error) {
	c := &claim{req: req, epoch: last.event.(*schemas.JobSubmitting).Epoch + 1, doubt: d}
	return claiming{claim: c}, l.write(ctx, c, StepTakeOver, last.sequence, l.lease)
}

// doubtOf returns the doubt that a former owner's claim leaves. Ages are measured by the
// server's clock alone and then converted to this host's, so that differences between the
// clocks of hosts do not matter.
func (l *ledger) doubtOf(ctx context.Context, last record) (doubt, error) {
	former := last.event.(*schemas.JobSubmitting)
	d := doubt{under: former.DoubtSequence, task: former.DoubtTaskID, unlikely: former.DoubtUnlikely}
	if d.under == 0 && former.LeaseMillis > 0 {
		d.under = last.sequence
	}
	if !d.inDoubt() {
		return d, nil
	}
	began := last.stored
	var shown time.Time // when the job of the call must have shown, zero if that is not known
	if d.under != last.sequence {
		msg, err := l.events.GetMsg(ctx, d.under)
		switch {
		case err == nil:
			began = msg.Time
			shown = l.shown(msg, former)
		case errors.Is(err, jetstream.ErrMsgNotFound): // removed by the stream's limits
			began = former.RequestedAt
		default:
			return d, fmt.Errorf("read the claim %d: %w", d.under, err)
		}
	}
	before := time.Now()
	info, err := l.events.Info(ctx)
	if err != nil {
		return d, fmt.Errorf("read the server's clock: %w", err)
	}
	if info.TimeStamp.IsZero() {
		return d, errors.New("the server's answer has no time: nats-server must be 2.10 or later")
	}
	d.since = before.Add(began.Sub(info.TimeStamp))
	d.until = time.Now().Add(last.stored.Sub(info.TimeStamp))
	if former.LeaseMillis > 0 || !d.unlikely {
		d.until = d.until.Add(time.Duration(former.LeaseMillis)*time.Millisecond + l.visibility)
	}
	if !shown.IsZero() { // the window of one call does not begin again with each owner
		lease := time.Duration(former.LeaseMillis) * time.Millisecond
		d.until = earlier(d.until, time.Now().Add(later(shown, last.stored.Add(lease)).Sub(info.TimeStamp)))
	}
	return d, nil
}

// renew extends the claim by a lease from now. While its job is looked up, nothing is sent under
// the claim. So it is extended up to the end of the doubt, by two leases at most: each renewal is
// an event, and a request that is stuck would write one every half lease.
func (l *ledger) renew(ctx context.Context, c *claim) error {
	lease := l.lease
	if c.inDoubt() {
		lease += min(max(time.Until(c.until), 0), 2*l.lease)
	}
	return l.write(ctx, c, StepRenew, c.sequence, lease)
}

// put appends the claim if the last event of its key has the sequence after. Otherwise the
// error is errTakenOver and first the last event, unless that is this very write, by its nonce:
// then only its acknowledgement was lost.
func (l *ledger) put(ctx context.Context, c *claim, step Step, after uint64, lease time.Duration) (first *jetstream.RawStreamMsg, err error) {
	taken := time.Now()
	defer func() { l.wrote(ctx, schemas.KindJobSubmitting, step, taken, err) }()
	nonce := rand.Text()
	event := &schemas.JobSubmitting{
		RequestID: c.req.RequestID,
		Source:    c.req.key.Source,
		ReplayOf:  c.req.replayOf,
		Request:   c.req.BackupRequest,
		Message:   c.req.message,
		Claim: schemas.Claim{
			Owner: l.owner, Nonce: nonce, Epoch: c.epoch,
			LeaseMillis: lease.Milliseconds(), DoubtSequence: c.under, DoubtTaskID: c.task, DoubtUnlikely: c.unlikely,
			LastError: c.trouble.text(), NextAttemptAt: c.trouble.next,
		},
		SubmittingAt: taken.UTC(),
	}
	before := l.guard.seen()
	entry := l.begin(c, step, nonce)
	defer func() { entry.End() }()
	sequence, own, err := l.append(ctx, c.req, after, event)
	if errors.Is(err, publisher.ErrConflict) {
		last, unreadable := recordOf(own)
		if mine, ok := last.event.(*schemas.JobSubmitting); unreadable != nil || !ok || mine.Nonce != nonce {
			return own, errTakenOver
		}
		sequence, err = last.sequence, nil
	}
	if err != nil {
		return nil, err
	}
	c.sequence, c.taken, c.lease, c.trouble = sequence, taken, lease, trouble{}
	c.entry, entry = entry, c.entry
	return nil, l.guard.wrote(before, sequence)
}

// redoubt puts a request whose claim the ledger has forgotten in doubt since the request was
// stored: a call under that claim, or under one that this process does not know, may have
// started a job.
func (l *ledger) redoubt(ctx context.Context, c *claim) error {
	c.doubt = doubt{under: noEvent, task: c.task}
	for {
		own, _, err := l.lastOwn(ctx, c.req.key.Filter())
		if err != nil {
			return err
		}
		var after uint64
		var lease time.Duration // of another owner, which may still work on it
		if own != nil {
			r, err := recordOf(own)
			if err != nil {
				return err
			}
			other, isClaim := r.event.(*schemas.JobSubmitting)
			if !isClaim || other.DoubtSequence == noEvent {
				return nil
			}
			after, c.epoch = r.sequence, max(c.epoch, other.Epoch)
			if other.Owner != l.owner {
				lease = time.Duration(other.LeaseMillis) * time.Millisecond
			}
		}
		c.epoch++
		if err = l.write(ctx, c, StepDoubt, after, lease); !errors.Is(err, errTakenOver) {
			if errors.Is(err, errForgotten) {
				err = nil // written, although the ledger is another one
			}
			return err
		}
	}
}

// record appends a request's outcome after the event with the sequence after, 0 for none. The
// error is errTakenOver if another event came first.
func (l *ledger) record(ctx context.Context, req *request, after uint64, outcome schemas.Event) error {
	began, before := time.Now(), l.guard.seen()
	sequence, _, err := l.append(ctx, req, after, outcome)
	switch {
	case errors.Is(err, publisher.ErrConflict):
		err = errTakenOver
	case err == nil:
		_ = l.guard.wrote(before, sequence) // the outcome is on record nevertheless
	}
	l.wrote(ctx, outcome.Kind(), StepRecord, began, err)
	return err
}

// cappedSizes are the sizes in bytes to which an event's lists and texts are shortened, one
// after the other, if the event is too large for the stream.
var cappedSizes = []int{64 << 10, 8 << 10, 1 << 10}

// append writes an event if the last event of the request has the sequence after, 0 for none.
// Foreign messages may follow that event; they do not count. With [publisher.ErrConflict]
// append returns the last event, which has another sequence. An event that is too large is
// shortened.
func (l *ledger) append(ctx context.Context, req *request, after uint64, event schemas.Event) (uint64, *jetstream.RawStreamMsg, error) {
	whole, sizes := event, cappedSizes
	for end := after; ; {
		sequence, err := l.appendOnce(ctx, req, end, event)
		if errors.Is(err, publisher.ErrTooLarge) && len(sizes) > 0 {
			event, sizes = schemas.Capped(whole, sizes[0]), sizes[1:]
			continue
		}
		if err == nil && event != whole && l.capped != nil {
			l.capped(whole, event)
		}
		if err != nil && end != after && !errors.Is(err, publisher.ErrConflict) {
			return 0, nil, &unreadableError{err} // foreign messages arrive faster than the event
		}
		if !errors.Is(err, publisher.ErrConflict) {
			return sequence, nil, err
		}
		own, last, readErr := l.lastOwn(ctx, req.key.Filter())
		switch {
		case readErr != nil && end != after:
			return 0, nil, &unreadableError{readErr}
		case readErr != nil:
			return 0, nil, readErr
		case own != nil && own.Sequence > after:
			return 0, own, err
		case own == nil && after > 0, own != nil && own.Sequence < after:
			l.guard.missed()
			return 0, nil, fmt.Errorf("the claim %d of %s is gone: %w", after, req.key, errForgotten)
		case last == end:
			return 0, nil, fmt.Errorf("read the ledger for %s: a message follows event %d and cannot be read", req.key, end)
		}
		end = last
	}
}

// appendOnce writes an event if the last message of the key has the sequence after.
func (l *ledger) appendOnce(ctx context.Context, req *request, after uint64, event schemas.Event) (uint64, error) {
	if event.Kind() == schemas.KindJobSubmitting {
		// A claim that is not confirmed within its lease is of no use.
		limited, cancel := context.WithTimeoutCause(ctx, l.lease, errNotConfirmed)
		defer cancel()
		ctx = limited
	}
	return l.publisher.Append(ctx, req.key, after, event, req.traceparent)
}
