package consumer

import (
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"backhaul/consumer/turn"
	"backhaul/publisher"
	"backhaul/schemas"
)

// delivery is one delivery of a request message.
type delivery struct {
	msg       *nats.Msg
	source    string
	badSource error     // why the subject names no source
	sequence  uint64    // in the requests stream
	stored    time.Time // when JetStream stored the message
	delivered uint64    // number of deliveries, including this one
	received  time.Time
	// reading settles a message that was read from the stream, see sweep and picker. It is nil
	// for a message that the server delivered.
	reading reading
}

// reading settles a message that was read from the stream. The server knows nothing of the
// reading.
type reading interface {
	// remove deletes the message.
	remove()
	// postpone says that the message may be read again after a delay.
	postpone(delay time.Duration)
}

// picked reports whether the message was read by the picker. Then other replicas may have
// read it as well.
func (d *delivery) picked() bool {
	_, is := d.reading.(*picked)
	return is
}

// readDelivery returns the delivery of a pulled message.
func readDelivery(msg *nats.Msg) (*delivery, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return nil, err
	}
	return newDelivery(msg, meta.Sequence.Stream, meta.Timestamp, meta.NumDelivered), nil
}

func newDelivery(msg *nats.Msg, sequence uint64, stored time.Time, delivered uint64) *delivery {
	source, _, badSource := publisher.ParseRequestSubject(msg.Subject)
	if badSource != nil {
		source = publisher.NoSource
	}
	return &delivery{
		msg: msg, source: source, badSource: badSource,
		sequence: sequence, stored: stored.UTC(), delivered: delivered, received: time.Now(),
	}
}

// ack acknowledges the message. It does not wait for a confirmation: after a lost
// acknowledgement the redelivery finds the outcome on record.
func (d *delivery) ack() {
	if d.reading != nil {
		d.reading.remove()
		return
	}
	_ = d.msg.Ack()
}

// nak asks for a redelivery after a delay. If it is lost, the message is
// redelivered after its acknowledgement wait.
func (d *delivery) nak(delay time.Duration) {
	if d.reading != nil {
		d.reading.postpone(delay)
		return
	}
	_ = d.msg.NakWithDelay(delay)
}

// progress extends the acknowledgement wait. If it is lost, the message is redelivered
// and the delivery attaches.
func (d *delivery) progress() {
	if d.reading == nil {
		_ = d.msg.InProgress()
	}
}

// request is a decoded request message.
type request struct {
	schemas.BackupRequest
	key         publisher.Key
	message     schemas.Message
	traceparent string
	replayOf    string // see schemas.Naming
	notes       []schemas.Problem
	// turn is set by await for a request of a content group with a rule.
	turn *turn.Standing
	// anonymous reports that the request has no id of its own: its place in the stream
	// stands for one.
	anonymous bool
}

// decode decodes a delivery. The error is a [*schemas.InvalidError]. With an error the
// request has what could be read, and always a key.
func decode(d *delivery) (*request, error) {
	m, err := schemas.DecodeRequest(schemas.Header(d.msg.Header), d.msg.Data)
	req := &request{BackupRequest: m.Request, traceparent: m.Traceparent, replayOf: m.ReplayOf, notes: m.Notes}
	if d.badSource != nil {
		err = &schemas.InvalidError{Problems: []schemas.Problem{{Field: "subject", Text: d.badSource.Error()}}}
	}
	if req.RequestID != "" && d.badSource == nil {
		req.key = publisher.NewKey(d.source, req.RequestID)
	} else {
		req.key = publisher.SequenceKey(d.source, d.sequence, d.stored)
		req.RequestID, req.anonymous = req.key.Name, true
	}
	req.message = schemas.Message{RequestedAt: d.stored}
	if err != nil {
		req.message.PayloadHash = schemas.HashBytes(d.msg.Data)
	} else {
		req.message.PayloadHash = req.Hash()
	}
	return req, err
}

// Naming returns the part of the request that its events repeat.
func (r *request) Naming(source string) schemas.Naming {
	naming := r.BackupRequest.Naming(source)
	naming.ReplayOf = r.replayOf
	return naming
}

// expired reports whether the request's notAfter has passed.
func (r *request) expired() bool { return !r.NotAfter.IsZero() && time.Now().After(r.NotAfter) }

// is reports whether an event about the message m is about this request: m is this message,
// or another message with the same id and content. A request without an id is never the
// same as another message, even if a new stream gave it the same sequence.
func (r *request) is(m schemas.Message) bool {
	return r.message.RequestedAt.Equal(m.RequestedAt) || !r.anonymous && r.message.PayloadHash == m.PayloadHash
}

// isCopy reports whether an event about the message m is about another message with the
// same id and content.
func (r *request) isCopy(m schemas.Message) bool {
	return r.is(m) && !r.message.RequestedAt.Equal(m.RequestedAt)
}

// inFlight has the requests that this process works on. Another delivery of one of
// them, a duplicate or one whose acknowledgement wait has ended, attaches to the work
// and does not compete with it.
type inFlight struct {
	mu    sync.Mutex
	works map[publisher.Key]*work
	// reading has the deliveries that are being decoded, whose key is not known yet,
	// and the time of the last progress acknowledgement of each.
	reading map[*delivery]time.Time
}

type work struct {
	// deliveries are keyed by sequence, so that a redelivery replaces its predecessor.
	// The server accepts the acknowledgement of either.
	deliveries map[uint64]joined
	progressed time.Time
}

// joined is a delivery that attached and its request. The request may differ from the
// others in content.
type joined struct {
	*delivery
	req *request
}

func newInFlight() *inFlight {
	return &inFlight{works: make(map[publisher.Key]*work), reading: make(map[*delivery]time.Time)}
}

// read registers a delivery that is being decoded, until done is called.
func (w *inFlight) read(d *delivery) (done func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reading[d] = d.received
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.reading, d)
	}
}

// enter registers a delivery. It returns false if the request is in flight already; the
// delivery is attached to it then. A reading does not replace a delivery of the same message:
// the server waits for news of the delivery.
func (w *inFlight) enter(req *request, d *delivery) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if known, ok := w.works[req.key]; ok {
		if same, has := known.deliveries[d.sequence]; !has || same.reading != nil || d.reading == nil {
			known.deliveries[d.sequence] = joined{d, req}
		}
		return false
	}
	w.works[req.key] = &work{deliveries: map[uint64]joined{d.sequence: {d, req}}, progressed: d.received}
	return true
}

// leave ends the work on a request and returns the deliveries that attached to
// it, other than those of the message d.
func (w *inFlight) leave(key publisher.Key, d *delivery) []joined {
	w.mu.Lock()
	defer w.mu.Unlock()
	var attached []joined
	for sequence, other := range w.works[key].deliveries {
		if sequence != d.sequence {
			attached = append(attached, other)
		}
	}
	delete(w.works, key)
	return attached
}

// has reports whether a message is in flight.
func (w *inFlight) has(sequence uint64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for d := range w.reading {
		if d.sequence == sequence {
			return true
		}
	}
	for _, work := range w.works {
		if _, has := work.deliveries[sequence]; has {
			return true
		}
	}
	return false
}

// keepAlive sends progress acknowledgements until stop is called: for each message after
// half of its acknowledgement wait. Short work ends before that and costs nothing.
func (w *inFlight) keepAlive(ackWait time.Duration) (stop func()) {
	ticker := time.NewTicker(max(ackWait/8, time.Millisecond))
	done := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		for {
			select {
			case <-ticker.C:
				w.progress(ackWait / 2)
			case <-done:
				return
			}
		}
	})
	return func() {
		ticker.Stop()
		close(done)
		running.Wait()
	}
}

// progress acknowledges progress of each delivery whose last acknowledgement is as old as
// after.
func (w *inFlight) progress(after time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	for d, progressed := range w.reading {
		if now.Sub(progressed) >= after {
			w.reading[d] = now
			d.progress()
		}
	}
	for _, work := range w.works {
		if now.Sub(work.progressed) < after {
			continue
		}
		work.progressed = now
		for _, d := range work.deliveries {
			d.progress()
		}
	}
}
