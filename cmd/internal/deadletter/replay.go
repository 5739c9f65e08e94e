package deadletter

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"backhaul/cmd/internal/operator"
	"backhaul/publisher"
	"backhaul/schemas"
)

// Order is how a dead letter is to be replayed.
type Order struct {
	operator.By
	// Payload is sent in the place of the original message, if it is not nil: a corrected
	// request. The headers that say how to read the original are left out then.
	Payload []byte
	// Again makes another request if the last replay has its outcome.
	Again bool
	// Force sends what is not expected to succeed, or what may start a second job.
	Force bool
}

// Plan is what a replay does.
type Plan struct {
	// RequestID and Key are those of the new request.
	RequestID string
	Key       publisher.Key
	// PutBackOn is the subject on which a notification is published again; "" for a request.
	PutBackOn string
	// Repeated is true when the replay is on record already and its request has no
	// outcome yet: it is only published again, which starts nothing twice.
	Repeated bool

	message publisher.DeadLetter
	event   schemas.OperatorEvent
}

// ReplayedError says that the last replay has its outcome.
type ReplayedError struct{ Replay Replay }

func (e *ReplayedError) Error() string {
	return fmt.Sprintf("replayed before, as %s: %s", e.Replay.RequestID, e.Replay.Last.Kind())
}

// RefusedError says why a replay makes no sense.
type RefusedError struct {
	Why string
	// Forcible is false when [Order.Force] does not help.
	Forcible bool
}

func (e *RefusedError) Error() string { return e.Why }

// Plan returns what a replay of a dead letter from [Store.Get] would do. The error is a
// [*ReplayedError], a [*PutBackError] or a [*RefusedError].
func (l *Message) Plan(o Order) (Plan, error) {
	if l.Notification() {
		return l.planPutBack(o)
	}
	p := Plan{message: l.DeadLetter}
	if o.Payload != nil {
		p.message.Data, p.message.Header, p.message.Size = o.Payload, withoutForm(l.Header), 0
	}
	hash := schemas.HashBytes(p.message.Data)
	number := 1
	if n := len(l.Replays); n > 0 {
		switch last := l.Replays[n-1]; {
		case !last.Done() && last.MessageHash == hash:
			number, p.Repeated = last.Number, true
		case !o.Again && last.Done():
			return Plan{}, &ReplayedError{last}
		case !o.Again:
			return Plan{}, &RefusedError{fmt.Sprintf("replayed with another payload as %s, which has no outcome yet", last.RequestID), false}
		default:
			number = last.Number + 1
		}
	}
	refusal := l.refusal(p.message, o.Payload != nil)
	if refusal != nil && (!refusal.Forcible || !o.Force) {
		return Plan{}, refusal
	}
	p.RequestID = replayID(l.root, l.Number, number)
	if p.Repeated {
		p.RequestID = l.Replays[len(l.Replays)-1].RequestID
	}
	p.Key = publisher.NewKey(l.Key.Source, p.RequestID)
	p.event = schemas.OperatorEvent{
		Action: schemas.ActionDeadLetterReplay, OperationID: p.Key.String(), Actor: o.Actor, Reason: o.Reason, DeadLetter: l.ref(),
		Replay: schemas.DeadLetterReplay{
			RequestID: p.RequestID, Key: p.Key.Name, Number: number, Corrected: o.Payload != nil, Forced: refusal != nil, MessageHash: hash,
		},
	}
	return p, nil
}

// refusal returns why the message should not be sent, nil if it should.
func (l *Message) refusal(message publisher.DeadLetter, corrected bool) *RefusedError {
	if source, _, err := publisher.ParseRequestSubject(message.Subject); err != nil || source != l.Key.Source {
		return &RefusedError{fmt.Sprintf("it came on %q, where no request belongs; send a new one with `backhaul request`", message.Subject), false}
	}
	if l.Key.Name == "" {
		return &RefusedError{"it does not say which request it was; send a new one with `backhaul request`", false}
	}
	if err := message.Whole(); err != nil {
		return &RefusedError{err.Error() + ", or correct it with --file", false}
	}
	m, err := schemas.DecodeRequest(message.Header, message.Data)
	switch {
	case err != nil && corrected:
		return &RefusedError{"the corrected payload is not a request either: " + err.Error(), true}
	case err != nil:
		return &RefusedError{err.Error() + "; correct it with --file", true}
	case !m.Request.NotAfter.IsZero() && time.Now().After(m.Request.NotAfter):
		return &RefusedError{fmt.Sprintf("its notAfter was %s, it would expire again; correct it with --file", m.Request.NotAfter.Format(time.RFC3339)), true}
	case l.Code == schemas.CodeOutcomeUnknown:
		return &RefusedError{"there may be a job of it already, and a replay would start another; look at the vendor's jobs first: " + l.Reason, true}
	}
	return nil
}

// Plan returns what [Store.Replay] would do.
func (s *Store) Plan(ctx context.Context, l Message, o Order) (Plan, error) {
	whole, err := s.same(ctx, l)
	if err != nil {
		return Plan{}, err
	}
	return whole.Plan(o)
}

// Replay sends the message of a dead letter again. The dead letter may come from
// [Store.List] and stays in its stream. The error is a [*ReplayedError], a
// [*PutBackError], a [*RefusedError], a [*NotFoundError], or a failed write, after which Replay may be
// called again.
func (s *Store) Replay(ctx context.Context, l Message, o Order) (Plan, error) {
	if err := o.Check(); err != nil {
		return Plan{}, err
	}
	p, err := s.Plan(ctx, l, o)
	if err != nil {
		return Plan{}, err
	}
	if !p.Repeated {
		p.event.At = time.Now().UTC()
		if err := s.pub.Operator(ctx, p.event); err != nil {
			return p, err
		}
	}
	if p.PutBackOn != "" {
		err = s.pub.PutBack(ctx, p.message, p.RequestID)
	} else {
		_, err = s.pub.Replay(ctx, p.message, p.RequestID)
	}
	if err != nil {
		return p, fmt.Errorf("recorded, but not sent; replay it once more: %w", err)
	}
	return p, nil
}

// Drop deletes a dead letter for good. It may come from [Store.List]. The error is a
// [*NotFoundError] or a failed write.
func (s *Store) Drop(ctx context.Context, l Message, by operator.By) error {
	if err := by.Check(); err != nil {
		return err
	}
	if _, err := s.same(ctx, l); err != nil {
		return err
	}
	err := s.pub.Operator(ctx, schemas.OperatorEvent{
		Action: schemas.ActionDeadLetterDrop, OperationID: fmt.Sprintf("%d/%d", l.Number, l.Kept.UnixNano()),
		Actor: by.Actor, Reason: by.Reason, At: time.Now().UTC(), DeadLetter: l.ref(),
	})
	if err != nil {
		return err
	}
	stream, err := s.js.Stream(ctx, publisher.DeadLetterStream)
	if err == nil {
		err = stream.DeleteMsg(ctx, l.Number)
	}
	if err != nil && !s.gone(ctx, l) { // another operator was first
		return fmt.Errorf("recorded, but not dropped; drop it once more: %w", err)
	}
	return nil
}

// gone reports whether a dead letter is no longer there. The server's error does not tell.
func (s *Store) gone(ctx context.Context, l Message) bool {
	_, err := s.same(ctx, l)
	_, gone := errors.AsType[*NotFoundError](err)
	return gone
}

// same returns the dead letter as it is in the stream now, with its known replays. A
// stream that was deleted and created again may have another dead letter with this
// number.
func (s *Store) same(ctx context.Context, l Message) (Message, error) {
	now, err := s.read(ctx, l.Number)
	if err == nil && !now.Kept.Equal(l.Kept) {
		err = &NotFoundError{l.Number}
	}
	now.Replays = l.Replays
	return now, err
}

// withoutForm returns the headers without those that describe the format of the
// payload.
func withoutForm(h schemas.Header) schemas.Header {
	kept := make(schemas.Header)
	for name, values := range h {
		if lower := strings.ToLower(name); lower != "content-type" && !strings.HasPrefix(lower, "ce-") {
			kept[name] = values
		}
	}
	return kept
}

// maxRequestID is the longest request id in characters.
const maxRequestID = 256

var replaySuffix = regexp.MustCompile(`-replay-[0-9]+(-[0-9]+)?$`)

// rootID returns the id from which the ids of replays are built. A replay that fails
// becomes a dead letter too, and its id must not grow with each replay.
func rootID(d publisher.DeadLetter) string {
	root := strings.TrimSpace(d.RequestID) // a header value has no space at its ends
	if d.Header.Get(schemas.HeaderReplayOf) != "" {
		root = replaySuffix.ReplaceAllString(root, "")
	}
	if strings.ContainsFunc(root, func(c rune) bool { return c > '~' }) {
		// A header of a replay carries the id, and versions before this one would read
		// an encoded one as another id.
		root = d.Key.Name
	}
	if root == "" || root == publisher.SequenceKey(d.Key.Source, d.Sequence, d.Time).Name ||
		root == publisher.EarlierSequenceKey(d.Key.Source, d.Sequence).Name {
		// It had no id. A sequence alone may come again in a new stream.
		return fmt.Sprintf("message-%d-%d", d.Sequence, d.Time.Unix())
	}
	return root
}

// replayID returns an id that is the same for the same dead letter and number, and
// unique otherwise.
func replayID(root string, sequence uint64, number int) string {
	suffix := fmt.Sprintf("-replay-%d", sequence)
	if number > 1 {
		suffix += fmt.Sprintf("-%d", number)
	}
	for utf8.RuneCountInString(root)+len(suffix) > maxRequestID {
		_, size := utf8.DecodeLastRuneInString(root)
		root = root[:len(root)-size]
	}
	return root + suffix
}
