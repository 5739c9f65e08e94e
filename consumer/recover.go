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

// Recovered is the result of [Recover].
type Recovered struct {
	// Waiting is the number of requests in the queue.
	Waiting int `json:"waiting"`
	// Doubted is the number of requests that were put in doubt.
	Doubted int `json:"doubted"`
	// Known is the number of requests whose events determine what happens next.
	Known int `json:"known"`
	// Refused is the number of messages that are not valid requests or that the policy
	// denies.
	Refused int `json:"refused"`
	// Forgot is why the ledger was not the one that the service knew, "" if it was.
	// Recover has accepted it.
	Forgot string `json:"forgot,omitempty"`
	// Since is the time of the ledger's last event about a request, zero if there is none.
	Since time.Time `json:"since,omitzero"`
}

// recoverer is the owner in the claims of Recover.
const recoverer = "recover"

// noEvent is the sequence in a doubt that refers to no event of the stream.
const noEvent = schemas.LostClaim

// anyRequestsEvent matches events about requests, but not those of operators.
const anyRequestsEvent = "backup.event.*.*.*"

// Recover prepares streams that were restored from snapshots. A ledger that is older than
// the disaster has forgotten claims and outcomes, and without Recover their jobs would be
// started again. So Recover writes a claim for each waiting request that the ledger does not
// know as claimed. The claim is released and in doubt since the ledger's last event: its
// next owner looks up the job at the vendor before anything is sent. The ages of the two
// snapshots do not matter.
//
// If the ledger is not the one that the service knows (see [LedgerError]), a request is in
// doubt since it was stored, even if it is claimed: replicas may have written claims before
// they noticed. At the end Recover accepts the ledger as the known one, and running replicas
// claim again.
//
// Recover refuses a ledger whose settings forget events (see [Forgets]): replicas would still
// claim nothing, and events that were just written could be lost.
//
// No replica may have worked on the restored streams before: Recover takes the last event for
// the time since which the ledger has forgotten events. It may be called again, for example
// after a crash. A request that policy denies is not claimed, because the policy is not
// applied to claimed requests. A nil policy allows all.
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
	if why := Forgets(events.CachedInfo().Config); why != nil {
		return Recovered{}, fmt.Errorf("nothing was changed, correct the stream first: %w", why)
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

// lastKnown returns the last event about a request that Recover did not write itself, or
// noEvent.
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
	// Recover was called before. Its claims have the last event before them.
	if claim.DoubtSequence == noEvent {
		return noEvent, time.Time{}, nil
	}
	msg, err := l.events.GetMsg(ctx, claim.DoubtSequence)
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("read the event %d: %w", claim.DoubtSequence, err)
	}
	return msg.Sequence, msg.Time, nil
}

// doubt puts one request in doubt, unless its events determine what happens next.
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
		// Released without a doubt: another replica may have claimed it afterwards.
		after, c.epoch = last.sequence, submitting.Epoch+1
	case isClaim && r.Forgot != "" && submitting.DoubtSequence != noEvent && req.is(last.event.Requested()):
		// Claimed after the loss. Its owner may be working on it.
		after, c.epoch, lease = last.sequence, submitting.Epoch+1, time.Duration(submitting.LeaseMillis)*time.Millisecond
	default:
		r.Known++ // an outcome, other content, or a claim that leads to a lookup
		return nil
	}
	if err := l.write(ctx, c, StepDoubt, after, lease); err != nil {
		return fmt.Errorf("put in doubt: %w", err)
	}
	r.Doubted++
	return nil
}

// accept records the present ledger as the known one, if the stream of the mark exists.
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
