package consumer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
	"backhaul/schemas"
)

// A Canceller ends requests for operators: with a job-failed event of the code CANCELLED, where
// nothing was sent. It is safe for concurrent use.
type Canceller struct {
	js     jetstream.JetStream
	ledger *ledger

	mu       sync.Mutex
	verified time.Time // when the ledger was last compared with its mark
}

// NewCanceller returns a canceller for the streams of a connection.
func NewCanceller(ctx context.Context, nc *nats.Conn) (*Canceller, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("cancel: %w", err)
	}
	pub, err := publisher.New(nc)
	if err != nil {
		return nil, err
	}
	events, err := js.Stream(ctx, publisher.EventsStream)
	if err != nil {
		return nil, fmt.Errorf("bind to stream %s: %w", publisher.EventsStream, err)
	}
	return &Canceller{js: js, ledger: &ledger{events: events, reader: publisher.NewLastReader(events), publisher: pub}}, nil
}

// Cancellable is a request that waits and can be cancelled, or was cancelled before.
type Cancellable struct {
	Key publisher.Key
	// Names are those of the request, as far as it can be read.
	Names schemas.Naming
	// By is the event of an earlier cancellation, nil if there is none.
	By *schemas.JobFailed

	req   *request
	after uint64 // the sequence of the request's last event, 0 for none
}

// NotCancellableError reports that a request cannot be cancelled, and what happens to it next.
type NotCancellableError struct{ Why string }

func (e *NotCancellableError) Error() string { return e.Why }

// Look returns whether the request of a message in the queue can be cancelled. The error is a
// [*NotCancellableError] if it cannot, or a [*LedgerError].
func (c *Canceller) Look(ctx context.Context, msg *jetstream.RawStreamMsg) (Cancellable, error) {
	if err := c.verify(ctx); err != nil {
		return Cancellable{}, err
	}
	d := newDelivery(&nats.Msg{Subject: msg.Subject, Header: msg.Header, Data: msg.Data}, msg.Sequence, msg.Time, 1)
	req, _ := decode(d) // an invalid request can be cancelled before it is refused
	if err := c.ledger.place(ctx, d, req); err != nil {
		return Cancellable{}, err
	}
	return c.look(ctx, req)
}

func (c *Canceller) look(ctx context.Context, req *request) (Cancellable, error) {
	found := Cancellable{Key: req.key, Names: req.Naming(req.key.Source), req: req}
	last, err := c.ledger.last(ctx, req.key)
	switch submitting, isClaim := last.event.(*schemas.JobSubmitting); {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return found, nil
	case err != nil:
		return found, err
	case !req.is(last.event.Requested()):
		return found, &NotCancellableError{fmt.Sprintf("its id belongs to the request of %s, which has other content: this one is rejected with its next delivery",
			last.event.Requested().RequestedAt.Format(time.RFC3339))}
	case isCancelled(last.event):
		found.By = last.event.(*schemas.JobFailed)
		return found, nil
	case !isClaim:
		return found, &NotCancellableError{"it has its outcome: " + outcomeText(last.event)}
	case submitting.DoubtSequence != 0 || submitting.DoubtTaskID != "":
		return found, &NotCancellableError{"a call of the vendor may have started its job: a replica looks for the job, and adopts it, or sends the request again if there is none. " + pauseFirst}
	case submitting.LeaseMillis != 0:
		return found, &NotCancellableError{heldText(submitting, last.stored)}
	}
	found.after = last.sequence
	return found, nil
}

// heldText says what happens to a request that a replica has claimed.
func heldText(e *schemas.JobSubmitting, stored time.Time) string {
	end := stored.Add(time.Duration(e.LeaseMillis) * time.Millisecond)
	if time.Now().After(end) { // by this host's clock, for the text alone
		return fmt.Sprintf("the claim of %s ended at %s, and the request may have been sent: another replica looks for its job, and adopts it, or sends the request again if there is none. %s",
			e.Owner, end.UTC().Format(time.RFC3339), pauseFirst)
	}
	return fmt.Sprintf("%s has claimed it until %s and may be sending it: it starts or fails, or is released, and can be cancelled then",
		e.Owner, end.UTC().Format(time.RFC3339))
}

// pauseFirst says how a request in doubt can be cancelled.
const pauseFirst = "To end it, pause its content group (pause --client … --group …): then it is not sent again, and can be cancelled when its job was looked up and there is none"

// outcomeText says what a request came to.
func outcomeText(e schemas.Event) string {
	if started, ok := e.(*schemas.JobStarted); ok {
		return "job " + started.JobID + " was started; a cancellation does not stop a job"
	}
	code, reason, _ := failureOf(e)
	return code + ": " + reason
}

// maxRaces is how often a cancellation is tried again if other events come first.
const maxRaces = 5

// Cancel ends a request. What is done, by whom and why is recorded before. It returns the
// request as it is then: By is set, to the event of this cancellation or of one that came
// first; ours reports which. The errors are those of [Canceller.Look], or say that it is not
// known whether the request is cancelled; then Cancel may be called again.
func (c *Canceller) Cancel(ctx context.Context, found Cancellable, actor, reason string) (now Cancellable, ours bool, err error) {
	if found.By != nil {
		return found, false, nil
	}
	at := time.Now().UTC()
	err = c.ledger.publisher.Operator(ctx, schemas.OperatorEvent{
		Action: schemas.ActionCancel, OperationID: rand.Text(), Actor: actor, Reason: reason, At: at,
		Request: schemas.RequestRef{
			Source: found.Key.Source, Key: found.Key.Name, RequestID: found.req.RequestID, RequestedAt: found.req.message.RequestedAt,
		},
	})
	if err != nil {
		return found, false, err
	}
	event := &schemas.JobFailed{
		Naming: found.Names, Message: found.req.message, ErrorCode: schemas.CodeCancelled, ErrorSource: schemas.ErrorSourceBackhaul,
		ErrorMessage: fmt.Sprintf("cancelled by %s: %s", actor, reason), FailedAt: at,
	}
	for range maxRaces {
		if err = c.verify(ctx); err != nil {
			return found, false, err
		}
		err = c.ledger.record(ctx, found.req, found.after, event)
		if err == nil {
			found.By = event
			return found, true, nil
		}
		if !errors.Is(err, errTakenOver) {
			return found, false, fmt.Errorf("it is not known whether %s is cancelled, cancel it once more: %w", found.Key, err)
		}
		if found, err = c.look(ctx, found.req); err != nil || found.By != nil {
			// The acknowledgement of the event may have been lost.
			return found, found.By != nil && found.By.FailedAt.Equal(at) && found.By.ErrorMessage == event.ErrorMessage, err
		}
	}
	return found, false, &NotCancellableError{"replicas claim and release it all the time; cancel it once more"}
}

// verify compares the ledger with its mark, at most once in guardInterval. A ledger that has
// forgotten a claim would let a request be cancelled that was sent.
func (c *Canceller) verify(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.verified) < guardInterval {
		return nil
	}
	began := time.Now()
	info, err := c.ledger.events.Info(ctx)
	if err != nil {
		return fmt.Errorf("stream %s: %w", publisher.EventsStream, err)
	}
	why := Forgets(info.Config)
	if why == nil {
		why, err = Differs(ctx, c.js)
	}
	switch {
	case err != nil:
		return err
	case why != nil:
		return &LedgerError{why}
	}
	c.verified = began
	return nil
}
