package watch

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/eventlog"
	"backhaul/cmd/internal/protection"
	"backhaul/publisher"
	"backhaul/schemas"
)

// read follows the events stream until ctx ends.
func (w *Watch) read(ctx context.Context) {
	for ctx.Err() == nil {
		if err := w.follow(ctx); err != nil && ctx.Err() == nil {
			w.log.Debug().Err(err).Msg("the reader of the events begins again")
		}
		timer := time.NewTimer(againAfter)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

// follow reads from where it stopped. Every message is read, of any kind: so the sequence of the
// last one says what is missing. What digests have is read from them.
func (w *Watch) follow(ctx context.Context) error {
	stream, err := w.js.Stream(ctx, publisher.EventsStream)
	if err != nil {
		return fmt.Errorf("ask for stream %s: %w", publisher.EventsStream, err)
	}
	if w.begin(stream.CachedInfo()) {
		if err := w.catchUp(ctx, stream); err != nil {
			return err
		}
	}
	notify(w.moved) // an empty stream has nothing more to read
	w.mu.Lock()
	next := w.last + 1
	w.mu.Unlock()
	cfg := jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: next}
	return eventlog.Follow(ctx, w.js, publisher.EventsStream, cfg, nil, func(msg jetstream.Msg, meta *jetstream.MsgMetadata) error {
		w.take(ctx, protection.MessageOf(msg, meta))
		return nil
	})
}

// begin reports whether the stream is to be read from its beginning. A stream that was made again,
// or ends before what was read, is another one.
func (w *Watch) begin(info *jetstream.StreamInfo) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.created.Equal(info.Created) && w.last <= info.State.LastSeq && w.last > 0 {
		return false
	}
	w.fold, w.said, w.last, w.queue = protection.New(), make(map[string]said), 0, protection.Queue{}
	w.created = info.Created
	w.digester = protection.NewDigester(w.js, w.pub, info.Created)
	return true
}

// catchUp reads what is stored, as far as digests have it.
func (w *Watch) catchUp(ctx context.Context, stream jetstream.Stream) error {
	// No digest has these.
	cfg := jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy, FilterSubjects: []string{publisher.AnyProtection}}
	err := eventlog.MessagesOfLeader(ctx, w.js, publisher.EventsStream, cfg, func(msg jetstream.Msg, meta *jetstream.MsgMetadata) error {
		m := protection.MessageOf(msg, meta)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.hear(m)
		return nil
	})
	if err != nil {
		return err
	}
	past := protection.NewPast(w.js, stream)
	past.Message = func(m protection.Message) { w.take(ctx, m) }
	past.Digest = func(d *protection.ReadDigest) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.fold.AddDigest(d, stream.CachedInfo().State.FirstSeq)
		w.last = d.Last
		notify(w.moved)
	}
	next, err := past.Read(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		w.last = max(w.last, next-1)
	}
	return err
}

// finishedPrefix begins the subjects of the ends of jobs.
var finishedPrefix = strings.TrimSuffix(publisher.EventFilter(schemas.KindJobFinished, ""), "*.>")

// take adds one message.
func (w *Watch) take(ctx context.Context, m protection.Message) {
	w.mu.Lock()
	w.last = m.Sequence
	var entry *protection.Entry
	if !w.hear(m) {
		if e, ok := protection.Parse(m); ok {
			w.fold.AddEntry(&e)
			entry = &e
		}
	}
	complete, digester := w.digester.Take(m, entry), w.digester
	w.mu.Unlock()
	notify(w.moved)
	if strings.HasPrefix(m.Subject, finishedPrefix) {
		notify(w.ended)
	}
	if complete != nil {
		w.keep(ctx, digester, complete)
	}
}

// keep writes a digest. What is not written costs those who begin to read later some time.
func (w *Watch) keep(ctx context.Context, d *protection.Digester, complete *protection.CompleteDigest) {
	if w.clock().Before(w.keepAgain) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, keepLimit)
	defer cancel()
	if err := d.Write(ctx, complete); err != nil { // an outage, or a stream that was not made
		w.keepAgain = w.clock().Add(keepPause)
		w.log.Debug().Err(err).Str("stream", publisher.DigestStream).Msg("digests of events are not stored for a while")
	}
}

// hear remembers a message about the protection of a group, and reports whether it is one. The
// caller holds mu.
func (w *Watch) hear(m protection.Message) bool {
	event, ok, err := publisher.ReadProtection(m.Subject, m.Header, m.Data)
	if !ok {
		return false
	}
	s := w.said[m.Subject]
	if s.sequence >= m.Sequence {
		return true
	}
	s.sequence = m.Sequence
	if err == nil {
		s.event = &event
	}
	w.said[m.Subject] = s
	return true
}
