package protection

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/eventlog"
	"backhaul/publisher"
)

// digestEvents is how many sequences a digest has: digest n has those after n*digestEvents. A
// digest of them is far smaller than the largest message a server takes.
const digestEvents = 4096

// digestsAtOnce is how many digests are read at the same time.
const digestsAtOnce = 4

// Past is what a stream has when a reader begins.
type Past struct {
	js     jetstream.JetStream
	events jetstream.Stream
	info   *jetstream.StreamInfo
	// Digest is called for each digest that is true, and Message for each message of which no
	// digest has anything, both in the order of the stream.
	Digest  func(*ReadDigest)
	Message func(Message)
}

// NewPast returns the past of the events stream, as its leader described it last.
func NewPast(js jetstream.JetStream, events jetstream.Stream) *Past {
	return &Past{js: js, events: events, info: events.CachedInfo()}
}

// Read reads up to the end of the last digest, and returns the sequence from which on the caller
// has to read the stream itself.
func (p *Past) Read(ctx context.Context) (next uint64, err error) {
	first := max(p.info.State.FirstSeq, 1)
	next = first
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for d := range p.digests(ctx, (first-1)/digestEvents, p.info.State.LastSeq/digestEvents) {
		got := <-d
		if errors.Is(got.err, publisher.ErrNoDigests) {
			return next, nil
		}
		if got.digest == nil {
			continue // what it would have is read before the next one
		}
		if begin := max(got.number*digestEvents+1, first); next < begin {
			if err := p.read(ctx, next, begin); err != nil {
				return next, err
			}
		}
		p.Digest(got.digest)
		next = (got.number+1)*digestEvents + 1
	}
	return next, ctx.Err()
}

// numbered is a digest, nil if there is none that is true.
type numbered struct {
	number uint64
	digest *ReadDigest
	err    error
}

// digests reads the digests from a number to the one before another, some of them ahead, and
// returns them in their order. It ends with ctx.
func (p *Past) digests(ctx context.Context, from, to uint64) <-chan chan numbered {
	all := make(chan chan numbered, digestsAtOnce-1)
	go func() {
		defer close(all)
		for number := from; number < to; number++ {
			one := make(chan numbered, 1)
			select {
			case all <- one:
			case <-ctx.Done():
				return
			}
			read := func() { one <- p.digest(ctx, number) }
			if number == from { // whether there are any
				read()
				continue
			}
			go read()
		}
	}()
	return all
}

// digest reads a digest, and compares its last event with the one of the stream.
func (p *Past) digest(ctx context.Context, number uint64) numbered {
	got := numbered{number: number}
	data, _, err := publisher.LastDigest(ctx, p.js, number)
	if err != nil {
		got.err = err
		return got
	}
	d, err := ParseDigest(data)
	if err != nil || !d.is(number) || !d.Created.Equal(p.info.Created) {
		return got
	}
	if p.has(ctx, d) {
		got.digest = d
	}
	return got
}

// has reports whether the stream has the last event of a digest. A stream that has lost its end
// gives the same sequences to other events.
func (p *Past) has(ctx context.Context, d *ReadDigest) bool {
	msg, err := p.events.GetMsg(ctx, d.Last)
	return err == nil && msg.Time.Equal(d.Stored)
}

// is reports whether all events of a digest have sequences of the digest with a number.
func (d *ReadDigest) is(number uint64) bool {
	within := func(sequence uint64) bool {
		return sequence > number*digestEvents && sequence <= (number+1)*digestEvents
	}
	return within(d.Last) && (d.first == 0 || within(d.first))
}

// read reads the messages from a sequence to the one before another.
func (p *Past) read(ctx context.Context, from, to uint64) error {
	cfg := jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from}
	return eventlog.MessagesOfLeader(ctx, p.js, publisher.EventsStream, cfg, func(msg jetstream.Msg, meta *jetstream.MsgMetadata) error {
		if meta.Sequence.Stream >= to {
			return eventlog.ErrStop
		}
		p.Message(MessageOf(msg, meta))
		return nil
	})
}

// MessageOf returns a message that a consumer has delivered.
func MessageOf(msg jetstream.Msg, meta *jetstream.MsgMetadata) Message {
	return Message{Subject: msg.Subject(), Header: msg.Headers(), Data: msg.Data(), Sequence: meta.Sequence.Stream, Stored: meta.Timestamp}
}
