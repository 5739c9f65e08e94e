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
// last one says what is missing.
func (w *Watch) follow(ctx context.Context) error {
	stream, err := w.js.Stream(ctx, publisher.EventsStream)
	if err != nil {
		return fmt.Errorf("ask for stream %s: %w", publisher.EventsStream, err)
	}
	cfg := jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: w.begin(stream.CachedInfo())}
	return eventlog.Follow(ctx, w.js, publisher.EventsStream, cfg, nil, w.take)
}

// begin returns the sequence to read from. A stream that was made again, or ends before what was
// read, is another one.
func (w *Watch) begin(info *jetstream.StreamInfo) uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.created.Equal(info.Created) || w.last > info.State.LastSeq {
		w.fold, w.said, w.last, w.queue = protection.New(), make(map[string]said), 0, protection.Queue{}
		w.created = info.Created
	}
	defer notify(w.moved) // an empty stream has nothing more to read
	return w.last + 1
}

// finishedPrefix begins the subjects of the ends of jobs.
var finishedPrefix = strings.TrimSuffix(publisher.EventFilter(schemas.KindJobFinished, ""), "*.>")

// take adds one message.
func (w *Watch) take(msg jetstream.Msg, meta *jetstream.MsgMetadata) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = meta.Sequence.Stream
	defer notify(w.moved)
	if strings.HasPrefix(msg.Subject(), finishedPrefix) {
		notify(w.ended)
	}
	event, ok, err := publisher.ReadProtection(msg.Subject(), msg.Headers(), msg.Data())
	if !ok {
		w.fold.Add(protection.Message{
			Subject: msg.Subject(), Header: msg.Headers(), Data: msg.Data(), Sequence: meta.Sequence.Stream, Stored: meta.Timestamp,
		})
		return nil
	}
	s := w.said[msg.Subject()]
	if s.sequence >= meta.Sequence.Stream {
		return nil
	}
	s.sequence = meta.Sequence.Stream
	if err == nil {
		s.event = &event
	}
	w.said[msg.Subject()] = s
	return nil
}
