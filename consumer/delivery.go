package consumer

import (
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"backhaul/publisher"
	"backhaul/schemas"
)

// delivery is one delivery of a request message.
type delivery struct {
	msg       *nats.Msg
	source    string
	badSource error     // the subject's last token names no source
	sequence  uint64    // in the requests stream
	stored    time.Time // when JetStream stored the message
	delivered uint64    // how often, this time included
	received  time.Time
	// remove takes away a message that the server does not deliver any more, see
	// sweep; nil for one that it did deliver.
	remove func() error
}

// readDelivery is a message as it was pulled.
func readDelivery(msg *nats.Msg) (*delivery, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return nil, err
	}
	return newDelivery(msg, meta.Sequence.Stream, meta.Timestamp, meta.NumDelivered), nil
}

func newDelivery(msg *nats.Msg, sequence uint64, stored time.Time, delivered uint64) *delivery {
	source, badSource := publisher.ParseRequestSubject(msg.Subject)
	if badSource != nil {
		source = publisher.NoSource
	}
	return &delivery{
		msg: msg, source: source, badSource: badSource,
		sequence: sequence, stored: stored.UTC(), delivered: delivered, received: time.Now(),
	}
}

// ack lets the message go. It is not confirmed on purpose: a lost
// acknowledgement is a redelivery that finds the outcome on record.
func (d *delivery) ack() {
	if d.remove != nil {
		_ = d.remove() // it has said so; the next sweep finds it again
		return
	}
	_ = d.msg.Ack()
}

// again asks for another delivery after a delay. A lost one is made good by the
// acknowledgement wait, one of a swept message by the next sweep.
func (d *delivery) again(delay time.Duration) {
	if d.remove == nil {
		_ = d.msg.NakWithDelay(delay)
	}
}

// progress tells the server that work goes on. A lost one leads to a redelivery,
// which attaches.
func (d *delivery) progress() {
	if d.remove == nil {
		_ = d.msg.InProgress()
	}
}

// request is what a delivery asks for.
type request struct {
	schemas.BackupRequest
	key         publisher.Key
	message     schemas.Message
	traceparent string
	replayOf    string // see schemas.Naming
	notes       []schemas.Problem
	// anonymous: the request has no id but its place in the stream.
	anonymous bool
}

// decode reads a delivery. With an error, which is a [*schemas.InvalidError],
// the request has what could be read, and always a key.
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

// Naming is the part of the request that its events repeat.
func (r *request) Naming(source string) schemas.Naming {
	naming := r.BackupRequest.Naming(source)
	naming.ReplayOf = r.replayOf
	return naming
}

// expired tells whether the request makes no sense any more.
func (r *request) expired() bool { return !r.NotAfter.IsZero() && time.Now().After(r.NotAfter) }

// is tells whether an event is about this very request: about this message, or
// about another message with the same id and content. A request without an id
// is never the same as another message, even if a new stream gave it the same
// sequence.
func (r *request) is(m schemas.Message) bool {
	return r.message.RequestedAt.Equal(m.RequestedAt) || !r.anonymous && r.message.PayloadHash == m.PayloadHash
}

// isCopy tells whether an event is about another message with the same id and
// content.
func (r *request) isCopy(m schemas.Message) bool {
	return r.is(m) && !r.message.RequestedAt.Equal(m.RequestedAt)
}

// inWork knows the requests that this process is working on. A further delivery
// of one of them, because it is a duplicate or because its acknowledgement wait
// ran out, attaches to the work instead of competing with it.
type inWork struct {
	mu    sync.Mutex
	works map[publisher.Key]*work
	// reading has the deliveries that are being decoded, whose key is not known yet,
	// and when the server was last told of each.
	reading map[*delivery]time.Time
}

type work struct {
	// deliveries by their sequence, so that a redelivery takes its predecessor's
	// place. The server accepts the acknowledgement of any of them.
	deliveries map[uint64]joined
	progressed time.Time
}

// joined is a delivery and what it asks for: not always the same as the others.
type joined struct {
	*delivery
	req *request
}

func newInWork() *inWork {
	return &inWork{works: make(map[publisher.Key]*work), reading: make(map[*delivery]time.Time)}
}

// read notes a delivery that is about to be decoded, until done is called.
func (w *inWork) read(d *delivery) (done func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reading[d] = d.received
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.reading, d)
	}
}

// enter notes a delivery. It is false if the request is in work already.
func (w *inWork) enter(req *request, d *delivery) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if known, ok := w.works[req.key]; ok {
		known.deliveries[d.sequence] = joined{d, req}
		return false
	}
	w.works[req.key] = &work{deliveries: map[uint64]joined{d.sequence: {d, req}}, progressed: d.received}
	return true
}

// leave ends the work on a request and returns the deliveries that attached to
// it, other than those of the message d.
func (w *inWork) leave(key publisher.Key, d *delivery) []joined {
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

// keepAlive tells the server, until the returned function is called, that work
// goes on: for each message once half of its acknowledgement wait is over. Short
// work never gets there and costs nothing.
func (w *inWork) keepAlive(ackWait time.Duration) (stop func()) {
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

func (w *inWork) progress(after time.Duration) {
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
