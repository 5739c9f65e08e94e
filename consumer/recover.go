package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
	"backhaul/schemas"
)

// Recovered is what [Recover] found in the queue.
type Recovered struct {
	// Waiting is how many requests there are.
	Waiting int `json:"waiting"`
	// Doubted is how many were put in doubt.
	Doubted int `json:"doubted"`
	// Known is how many have events that say how to go on.
	Known int `json:"known"`
	// Refused is how many are no valid requests or denied by the policy.
	Refused int `json:"refused"`
	// Forgot is why the ledger is not the one that the service knew, "" if it is. It is
	// the one from now on.
	Forgot string `json:"forgot,omitempty"`
	// Since is the time of the ledger's last event about a request, zero if it has
	// none.
	Since time.Time `json:"since,omitzero"`
}

// recoverer owns the claims of Recover.
const recoverer = "recover"

// noEvent stands for an event that is not in the stream, in a ledger without any:
// a request of it is in doubt since it was stored.
const noEvent = 1<<53 - 1

// anyRequestsEvent matches events about requests, and not what operators did.
const anyRequestsEvent = "backup.event.*.*.*"

// Recover prepares streams that were restored from snapshots for work. A ledger that
// is older than the disaster has forgotten claims and outcomes, and to work on would
// start their jobs again. So each waiting request that the ledger does not know to
// be claimed gets a claim, released and in doubt since the ledger's last event:
// whoever works on it looks for its job at the vendor before anything is sent. It
// does not matter how the ages of the two snapshots compare.
//
// Where the ledger is not the one that the service knows (see [LedgerError]), a request
// is in doubt since it was stored, also when it is claimed: replicas may have
// written claims before they noticed. In the end the ledger is recorded as the known one,
// and replicas that run claim again.
//
// Nobody may have worked on the restored streams before: what Recover takes for the
// moment since when the ledger forgets is its last event. It may be called again, as
// after a crash. What policy denies is not claimed, because a claimed request is not
// asked about any more; nil allows everything.
func Recover(ctx context.Context, nc *nats.Conn, policy Policy) (Recovered, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return Recovered{}, fmt.Errorf("recover: %w", err)
	}
	pub, err := publisher.New(nc)
	if err != nil {
		return Recovered{}, err
	}
	requests, err := js.Stream(ctx, publisher.RequestsStream)
	if err != nil {
		return Recovered{}, fmt.Errorf("bind to stream %s: %w", publisher.RequestsStream, err)
	}
	events, err := js.Stream(ctx, publisher.EventsStream)
	if err != nil {
		return Recovered{}, fmt.Errorf("bind to stream %s: %w", publisher.EventsStream, err)
	}
	l := &ledger{events: events, reader: publisher.NewLastReader(events), publisher: pub, owner: recoverer, lease: Config{}.withDefaults().lease()}
	var r Recovered
	var mark doubt
	if mark.under, r.Since, err = l.lastKnown(ctx); err != nil {
		return r, err
	}
	forgot, err := Differs(ctx, js)
	if err != nil {
		return r, err
	}
	if forgot != nil {
		r.Forgot, mark.under = forgot.Error(), noEvent
	}
	for next := uint64(1); ; {
		msg, err := requests.GetMsg(ctx, next, jetstream.WithGetMsgSubject(publisher.AnyRequest))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return r, accept(ctx, js, pub, events)
		}
		if err != nil {
			return r, fmt.Errorf("read request %d: %w", next, err)
		}
		d := newDelivery(&nats.Msg{Subject: msg.Subject, Header: msg.Header, Data: msg.Data}, msg.Sequence, msg.Time, 1)
		r.Waiting++
		if err := l.doubt(ctx, d, mark, policy, &r); err != nil {
			return r, fmt.Errorf("request %d: %w", msg.Sequence, err)
		}
		next = msg.Sequence + 1
	}
}

// lastKnown is the last event about a request that Recover did not write itself.
func (l *ledger) lastKnown(ctx context.Context) (sequence uint64, at time.Time, err error) {
	last, err := l.lastOn(ctx, anyRequestsEvent)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return noEvent, time.Time{}, nil
	case err != nil:
		return 0, time.Time{}, err
	}
	claim, isClaim := last.event.(*schemas.JobSubmitting)
	if !isClaim || claim.Owner != recoverer {
		return last.sequence, last.stored, nil
	}
	// Called again: its own claims say what was last before them.
	if claim.DoubtSequence == noEvent {
		return noEvent, time.Time{}, nil
	}
	msg, err := l.events.GetMsg(ctx, claim.DoubtSequence)
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("read the event %d: %w", claim.DoubtSequence, err)
	}
	return msg.Sequence, msg.Time, nil
}

// doubt puts one request in doubt, unless its events say how to go on.
func (l *ledger) doubt(ctx context.Context, d *delivery, mark doubt, policy Policy, r *Recovered) error {
	req, err := decode(d)
	if placeErr := l.place(ctx, d, req); placeErr != nil {
		return placeErr
	}
	if err == nil && policy != nil {
		err = policy.Allows(ctx, req.key, &req.BackupRequest, req.message.RequestedAt)
		if _, denied := errors.AsType[*DeniedError](err); err != nil && !denied {
			return fmt.Errorf("policy: %w", err)
		}
	}
	if err != nil {
		r.Refused++
		return nil
	}
	c := &claim{req: req, epoch: 1, doubt: mark}
	var after uint64
	var lease time.Duration
	last, err := l.last(ctx, req.key)
	switch submitting, isClaim := last.event.(*schemas.JobSubmitting); {
	case errors.Is(err, jetstream.ErrMsgNotFound):
	case err != nil:
		return err
	case isClaim && submitting.LeaseMillis == 0 && submitting.DoubtSequence == 0 && req.is(last.event.Requested()):
		// Released without a doubt: somebody may have claimed it again.
		after, c.epoch = last.sequence, submitting.Epoch+1
	case isClaim && r.Forgot != "" && submitting.DoubtSequence != noEvent && req.is(last.event.Requested()):
		// Written on top of what was forgotten. Its owner may be at work.
		after, c.epoch, lease = last.sequence, submitting.Epoch+1, time.Duration(submitting.LeaseMillis)*time.Millisecond
	default:
		r.Known++ // an outcome, other content, or a claim that leads to a look
		return nil
	}
	if err := l.write(ctx, c, StepDoubt, after, lease); err != nil {
		return fmt.Errorf("put in doubt: %w", err)
	}
	r.Doubted++
	return nil
}

// accept records the ledger as it is as the known one, where that is kept.
func accept(ctx context.Context, js jetstream.JetStream, pub *publisher.Publisher, events jetstream.Stream) error {
	marks, err := js.Stream(ctx, publisher.MarkStream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("bind to stream %s: %w", publisher.MarkStream, err)
	}
	for {
		_, sequence, err := publisher.ReadMark(ctx, marks)
		if err != nil {
			return err
		}
		info, err := events.Info(ctx)
		if err != nil {
			return fmt.Errorf("stream %s: %w", publisher.EventsStream, err)
		}
		if _, err = pub.RecordMark(ctx, sequence, publisher.MarkOf(info)); !errors.Is(err, publisher.ErrConflict) {
			return err
		}
	}
}
