package consumer

import (
	"cmp"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backhaul/consumer/logonce"
	"backhaul/publisher"
	"backhaul/schemas"
	"backhaul/vendorapi"
)

// settlement is how to settle a delivery.
type settlement struct {
	verb verb
	// delay is the wait before the redelivery, with nak.
	delay time.Duration
	// waits reports that nothing failed, see redeliverAfter.
	waits bool
	// outcome is the event on record, nil if the request has none yet.
	outcome schemas.Event
	// ours reports that this delivery recorded the outcome, or that it is the first
	// of a request that an operator has cancelled.
	ours bool
	err  error
	req  *request
}

type verb int

const (
	ack      verb = iota // the outcome is on record
	nak                  // redeliver after the delay
	attached             // the settlement of another delivery settles this one
)

// attachedWait is after how long a message that attached is read again.
const attachedWait = time.Second

// settler applies settlements and logs each once.
type settler struct {
	log     zerolog.Logger
	reasons logonce.Reasons // of redeliveries
}

func (s *settler) settle(d *delivery, result settlement) {
	switch result.verb {
	case attached:
		if d.reading != nil { // the other delivery does not settle a reading of the same message
			d.reading.postpone(attachedWait)
		}
		return
	case nak:
		d.nak(result.delay)
		s.logRedelivery(d, result)
		return
	}
	d.ack()
	if result.ours {
		s.logOutcome(d, result)
		return
	}
	result.req.traced(s.log.Debug()).Str("source", d.source).Str("requestId", result.req.RequestID).
		Str("outcome", string(result.outcome.Kind())).Msg("duplicate")
}

func (s *settler) logOutcome(d *delivery, result settlement) {
	outcome, names := result.outcome, result.outcome.Names()
	line := outcomeLine(&s.log, outcome)
	if notes := result.req.notes; len(notes) > 0 {
		line = line.Array("notes", notesOf(notes))
	}
	result.req.traced(line).Str("source", names.Source).Str("requestId", names.RequestID).
		Str("clientName", names.ClientName).Str("subclientName", names.SubclientName).
		Dur("durationMs", time.Since(d.received)).Msg(string(outcome.Kind()))
}

// notesOf returns notes as a field of a log line.
func notesOf(notes []schemas.Problem) *zerolog.Array {
	texts := zerolog.Arr()
	for _, n := range notes {
		texts = texts.Str(n.String())
	}
	return texts
}

// logRedelivery logs a redelivery. Only a new reason is a warning: an outage is one line,
// not one for each request and attempt.
func (s *settler) logRedelivery(d *delivery, result settlement) {
	level := zerolog.DebugLevel
	trouble := result.err
	switch {
	case result.waits:
		trouble = nil
	case ofVendor(result.err) && vendorapi.VerdictOf(result.err) == vendorapi.Throttled:
		trouble = errThrottled // each has a text of its own
	}
	if trouble != nil && s.reasons.New(reasonOf(trouble)) {
		level = zerolog.WarnLevel
	}
	result.req.traced(s.log.WithLevel(level)).Err(result.err).Str("source", d.source).Str("requestId", result.req.RequestID).
		Uint64("delivered", d.delivered).Dur("delayMs", result.delay).Msg("request postponed")
}

// reasonOf returns the part of an error that is the same for every request: a stream that
// takes no writes is one reason, and not one for each subject.
func reasonOf(err error) error {
	if ofVendor(err) {
		return err
	}
	if answer, ok := errors.AsType[*jetstream.APIError](err); ok {
		return answer
	}
	if unconfirmed, ok := errors.AsType[*publisher.UnconfirmedError](err); ok {
		return cmp.Or(unconfirmed.Last, unconfirmed.End)
	}
	return err
}

// ofVendor reports whether an error is the result of a call of the vendor.
func ofVendor(err error) bool {
	_, is := errors.AsType[*vendorapi.Error](err)
	return is
}

// errThrottled stands for every throttling answer of the vendor.
var errThrottled = errors.New("throttled")
