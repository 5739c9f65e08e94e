// Package reader lets one replica at a time read a durable consumer, in the order of its stream.
//
// The consumer has max_waiting 1, so that it accepts one open pull, and the replica that has it
// reads. The others stand by ([StandBy]). A reader begins with a reset of the consumer
// ([Durable.Reset]), which delivers again what is not acknowledged, and begins again when a
// delivery is missing ([Order], [ErrGap]). It shows what it is doing on a plain subject ([Listen]).
//
// A reader that is in no hurry takes many messages at once: it lets a time pass after a delivery
// before it opens the next pull ([AskBatch]). The delivery shows meanwhile that it reads.
//
// What belongs to the messages, and what makes two readers harmless, is up to the caller: an
// acknowledgement or an open pull excludes no other reader.
package reader

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/consumer/internal/pull"
	"backhaul/consumer/internal/sleep"
)

// The options of a pull.
const (
	Batch     = 1000 // messages
	Bytes     = 32 << 20
	Expiry    = 10 * time.Second
	Heartbeat = 2 * time.Second
	// silence is how long the server may send nothing while a pull is open.
	silence = 3 * Heartbeat
)

// AskTimeout bounds one question to the server.
const AskTimeout = 5 * time.Second

const (
	// checkEvery is how often a replica that stands by checks whether another one reads.
	checkEvery = time.Second
	// checkAgain is the shortest wait before its second check, and three times that the longest:
	// between two pulls of a reader none is open for a moment, and of two replicas that start
	// together one must see that the other has begun.
	checkAgain = 100 * time.Millisecond
	// gapMargin is added to the time for which a reader has no open pull.
	gapMargin = 500 * time.Millisecond
)

var (
	// ErrStopping is why a reader that was told to stop does not read.
	ErrStopping = errors.New("stopping")
	// ErrOther means that another replica reads.
	ErrOther = errors.New("another replica reads")
	// ErrGap means that a delivery of the consumer went to another client, or was lost.
	ErrGap = errors.New("a delivery is missing: another client reads the consumer, or it was lost; reading begins again")

	errPaused = errors.New("the consumer is paused")
	errSilent = errors.New("pull: no heartbeat from the server")
)

// Durable names a durable consumer.
type Durable struct{ Stream, Consumer string }

func (d Durable) String() string { return "consumer " + d.Consumer + " of " + d.Stream }

// Pulls returns pulls from the consumer.
func (d Durable) Pulls(nc *nats.Conn) *pull.Pulls { return pull.New(nc, d.Stream, d.Consumer, 2*Batch) }

// Ask opens a pull.
func Ask(pulls *pull.Pulls, nc *nats.Conn) error { return pulls.Ask(Batch, bounds(nc)) }

// AskBatch opens a pull that ends when it has brought the messages that are there. It waits for the
// first one, and for others it does not.
func AskBatch(pulls *pull.Pulls, nc *nats.Conn) error {
	return pulls.Ask(Batch, `"no_wait":true,`+bounds(nc))
}

func bounds(nc *nats.Conn) string {
	return fmt.Sprintf(`"max_bytes":%d,"expires":%d,"idle_heartbeat":%d`, Bytes+nc.MaxPayload(), Expiry, Heartbeat)
}

// Silent returns an error if the server sends nothing though a pull is open.
func Silent(pulls *pull.Pulls) error {
	if pulls.Silent(silence) {
		return errSilent
	}
	return nil
}

// Reset makes the consumer begin again with the sequence first of the stream, or behind its
// acknowledgement floor if first is 0. It needs nats-server 2.14.
func (d Durable) Reset(ctx context.Context, nc *nats.Conn, first uint64) (jetstream.ConsumerInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, AskTimeout)
	defer cancel()
	var request []byte
	if first > 0 {
		request = fmt.Appendf(nil, `{"seq":%d}`, first)
	}
	var answer struct {
		Error *jetstream.APIError `json:"error"`
		jetstream.ConsumerInfo
	}
	subject := "$JS.API.CONSUMER.RESET." + d.Stream + "." + d.Consumer
	resp, err := nc.RequestWithContext(ctx, subject, request)
	switch {
	// A server does not answer for a consumer or a subject that it does not know.
	case errors.Is(err, nats.ErrNoResponders) || errors.Is(err, context.DeadlineExceeded):
		err = fmt.Errorf("no answer: it is not there, has no leader, the user may not publish to %s, or the server is older than 2.14", subject)
	case err == nil:
		err = json.Unmarshal(resp.Data, &answer)
	}
	if err == nil && answer.Error != nil {
		err = answer.Error
	}
	if err != nil {
		return answer.ConsumerInfo, fmt.Errorf("reset %s: %w", d, err)
	}
	return answer.ConsumerInfo, nil
}

// StandBy waits until no replica reads: until the consumer has no open pull in two checks shortly
// after each other, and has delivered nothing between them. A reader that has a backlog gets all that
// a pull asks for at once, so it hardly ever has an open one. It may also have no open pull for the
// time gap after a delivery. look returns the state of the consumer; other is called while a replica
// reads.
func StandBy(ctx context.Context, gap time.Duration, look func(context.Context) (*jetstream.ConsumerInfo, error), other func()) error {
	var quiet *jetstream.ConsumerInfo // the state in the first of two checks
	for {
		ask, cancel := context.WithTimeout(ctx, AskTimeout)
		info, err := look(ask)
		cancel()
		wait := checkEvery
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return err
		case info.Paused:
			return errPaused
		case info.NumWaiting > 0, delivered(info, gap), quiet != nil && moved(quiet, info):
			quiet = nil
			other()
		case quiet != nil:
			return nil
		default:
			quiet, wait = info, checkAgain+rand.N(2*checkAgain)
		}
		if !sleep.For(ctx, wait) {
			return context.Cause(ctx)
		}
	}
}

// moved reports whether the consumer has delivered a message, or was reset, between two states.
func moved(before, after *jetstream.ConsumerInfo) bool {
	b, a := before.Delivered, after.Delivered
	return b.Consumer != a.Consumer || b.Stream != a.Stream || a.Last != nil && (b.Last == nil || !a.Last.Equal(*b.Last))
}

// delivered reports whether the consumer has delivered a message within the gap, by the server's
// clock.
func delivered(info *jetstream.ConsumerInfo, gap time.Duration) bool {
	last := info.Delivered.Last
	return gap > 0 && last != nil && info.TimeStamp.Sub(*last) < gap+gapMargin
}

// Listen returns what the reader publishes on a subject, in any process. It returns nil if it
// receives nothing for that long: no replica reads, it was stopped just now, or this NATS user may
// not subscribe. A reader answers no requests for its state: the sender of a request chooses where
// the answer is stored.
func Listen[State any](ctx context.Context, nc *nats.Conn, subject string, patience time.Duration) (*State, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	sub, err := nc.SubscribeSync(subject)
	if err != nil {
		return nil, fmt.Errorf("listen to %s: %w", subject, err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	msg, err := sub.NextMsgWithContext(ctx)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("listen to %s: %w", subject, err)
	}
	var state State
	if err := json.Unmarshal(msg.Data, &state); err != nil {
		return nil, fmt.Errorf("read the state on %s: %w", subject, err)
	}
	return &state, nil
}

// Trouble keeps the last error, or nil after a success. It is safe for concurrent use.
type Trouble struct{ why atomic.Pointer[error] }

// Note records an error, or nil for a success.
func (t *Trouble) Note(err error) { t.why.Store(&err) }

// Err returns what was recorded last, nil at first.
func (t *Trouble) Err() error {
	if why := t.why.Load(); why != nil {
		return *why
	}
	return nil
}
