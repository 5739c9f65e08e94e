package deadletter

import (
	"fmt"
	"time"

	"backhaul/consumer/trigger"
	"backhaul/publisher"
	"backhaul/schemas"
)

// recentPutBack is how long after its record a notification is put back again without
// [Order.Again]: the first time may have ended before it was published. The stream keeps what was
// published twice in this time once.
const recentPutBack = time.Minute

// Notification reports whether the dead letter is a storage notification. A replay puts it back on its
// subject, without a request id: the trigger reads it like any other.
func (l *Message) Notification() bool { return publisher.IsStorageSubject(l.Subject) }

// Replayed reports whether the last replay is over: its request has its outcome, or the
// notification was put back.
func (l *Message) Replayed() bool {
	n := len(l.Replays)
	if n == 0 {
		return false
	}
	last := l.Replays[n-1]
	return last.Done() || l.Notification() && time.Since(last.At) > recentPutBack
}

// planPutBack returns what a replay of a notification does.
func (l *Message) planPutBack(o Order) (Plan, error) {
	p := Plan{message: l.DeadLetter}
	if o.Payload != nil {
		p.message.Data, p.message.Header, p.message.Size = o.Payload, withoutForm(l.Header), 0
	}
	number := 1
	if n := len(l.Replays); n > 0 {
		last := l.Replays[n-1]
		switch {
		case !l.Replayed():
			number, p.Repeated = last.Number, true
		case !o.Again:
			return Plan{}, &PutBackError{last}
		default:
			number = last.Number + 1
		}
	}
	refusal := l.refusalOfNotification(p.message)
	if refusal != nil && (!refusal.Forcible || !o.Force) {
		return Plan{}, refusal
	}
	p.PutBackOn = l.Subject
	p.RequestID = fmt.Sprintf("notification-%d-%d-%d", l.Number, l.Kept.UnixNano(), number)
	p.Key = publisher.NewKey(l.Key.Source, p.RequestID)
	p.event = schemas.OperatorEvent{
		Action: schemas.ActionDeadLetterReplay, OperationID: p.Key.String(), Actor: o.Actor, Reason: o.Reason, DeadLetter: l.ref(),
		Replay: schemas.DeadLetterReplay{
			RequestID: p.RequestID, Key: p.Key.Name, Number: number, Corrected: o.Payload != nil, Forced: refusal != nil,
			MessageHash: schemas.HashBytes(p.message.Data),
		},
	}
	return p, nil
}

// refusalOfNotification returns why a notification should not be put back, nil if it should.
func (l *Message) refusalOfNotification(message publisher.DeadLetter) *RefusedError {
	if err := message.Whole(); err != nil {
		return &RefusedError{err.Error(), false}
	}
	if _, err := trigger.Decode(message.Header, message.Data); err != nil {
		return &RefusedError{"this version does not understand it either: " + err.Error(), true}
	}
	return nil
}

// PutBackError says that a notification was put back before.
type PutBackError struct{ Replay Replay }

func (e *PutBackError) Error() string {
	return fmt.Sprintf("put back before, %s by %s", e.Replay.At.UTC().Format(time.RFC3339), e.Replay.Actor)
}
