package consumer

import (
	"cmp"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backhaul/consumer/internal/news"
	"backhaul/publisher"
	"backhaul/schemas"
	"backhaul/vendorapi"
)

// settlement says what is to be done with a delivery.
type settlement struct {
	verb verb
	// delay before the redelivery.
	delay time.Duration
	// waits: the redelivery is not because of any trouble, see waiting.
	waits bool
	// outcome is the event that is on record, nil when there is none yet.
	outcome schemas.Event
	// ours tells that this delivery put it there.
	ours bool
	err  error
	req  *request
}

type verb int

const (
	ack      verb = iota // the outcome is on record: the message may go
	again                // deliver it again after the delay
	attached             // another delivery's settlement holds for this one
)

// settler acts on settlements and logs them, once each.
type settler struct {
	log      zerolog.Logger
	postpone news.Reasons
}

func (s *settler) settle(d *delivery, result settlement) {
	switch result.verb {
	case attached:
		return
	case again:
		d.again(result.delay)
		s.logPostponed(d, result)
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

// notesOf are notes as a field of a log line.
func notesOf(notes []schemas.Problem) *zerolog.Array {
	texts := zerolog.Arr()
	for _, n := range notes {
		texts = texts.Str(n.String())
	}
	return texts
}

// logPostponed is loud when the reason is a new one: an outage is one line, not
// one for each request and try.
func (s *settler) logPostponed(d *delivery, result settlement) {
	level := zerolog.DebugLevel
	trouble := result.err
	switch {
	case result.waits:
		trouble = nil
	case ofVendor(result.err) && vendorapi.VerdictOf(result.err) == vendorapi.Throttled:
		trouble = errThrottled // no two of them read the same
	}
	if trouble != nil && s.postpone.New(reasonOf(trouble)) {
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

// ofVendor tells whether an error is what a call of the vendor came to.
func ofVendor(err error) bool {
	_, is := errors.AsType[*vendorapi.Error](err)
	return is
}

// errThrottled stands for any answer of a vendor that wants to be left alone.
var errThrottled = errors.New("throttled")
