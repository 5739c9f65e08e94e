// Package migrate moves the streams of an embedded server to another one.
//
// # Guarantees
//
// The events stream is the ledger, and requests that are not done refer to it by
// sequences and times. So streams are moved by JetStream's own snapshot and
// restore: every message keeps its sequence, time, subject, headers and payload,
// a stream its last sequence, and the durable consumer what was delivered and
// acknowledged. A stream is never merged into another: what exists at the other
// end is either the very same or an error.
//
// # Failure handling
//
// What is worked on is moved last: requests when the ledger is there, and behind them
// storage notifications when there is what the trigger has decided, and the queue
// that it asks in. Before that the store is marked as moved, and no embedded server
// works on it any more: the same request never has two queues. A move that ends in
// between is simply run again; what is there already is left as it is.
//
// Claims end by the server's clock. If the two servers' clocks differ, the
// requests and notifications are not moved.
package migrate

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/deploy"
	"backhaul/publisher"
)

// maxSkew is how far the clocks of the two servers may be apart: far less than
// the visibility window, by which a claim is waited out.
const maxSkew = 5 * time.Second

// Result is what became of one stream.
type Result struct {
	Stream        string `json:"stream"`
	Messages      uint64 `json:"messages"`
	FirstSequence uint64 `json:"firstSequence"`
	LastSequence  uint64 `json:"lastSequence"`
	// Moved is false for a stream that was there already, the very same.
	Moved bool `json:"moved"`
}

// OccupiedError says that a stream is at the other end and is another one.
type OccupiedError struct {
	Stream string
	Empty  bool
}

func (e *OccupiedError) Error() string {
	if e.Empty {
		return fmt.Sprintf("stream %s is there already, and empty: delete it (nats stream rm %s), so that it can be moved with its sequences", e.Stream, e.Stream)
	}
	return fmt.Sprintf("stream %s is there already, with other messages: two ledgers cannot be made one. Move to an account without it", e.Stream)
}

// SkewError says that the servers' clocks differ.
type SkewError struct{ Ahead time.Duration }

func (e *SkewError) Error() string {
	return fmt.Sprintf("the other server's clock is %s ahead of this machine's; claims end by it: set the clocks, then run this again", e.Ahead.Round(time.Millisecond))
}

// Plan is a move.
type Plan struct {
	// From is a connection to the embedded server, To to the other one.
	From, To *nats.Conn
	// Replicas of the moved streams.
	Replicas int
	// Moved marks the store. It is called before what is worked on is moved.
	Moved func() error
	// Done is called for each stream.
	Done func(Result)
}

// Run moves every stream of ours that the embedded server has.
func Run(ctx context.Context, p Plan) error {
	from, err := jetstream.New(p.From)
	if err != nil {
		return err
	}
	to, err := jetstream.New(p.To)
	if err != nil {
		return err
	}
	names, err := streams()
	if err != nil {
		return err
	}
	var there []*jetstream.StreamInfo // at the embedded server, in order
	for _, name := range names {
		info, err := look(ctx, from, name)
		if err != nil {
			return fmt.Errorf("embedded server: %w", err)
		}
		if info != nil {
			there = append(there, info)
		}
	}
	if len(there) == 0 {
		return errors.New("the store has none of the streams")
	}
	// Before anything is moved: whether all of it can be.
	same := make(map[string]bool)
	for _, info := range there {
		if same[info.Config.Name], err = occupied(ctx, to, info); err != nil {
			return err
		}
	}
	marked := false
	for _, info := range there {
		name := info.Config.Name
		if place[name] > 0 && !marked {
			if err := skew(ctx, to); err != nil {
				return err
			}
			if err := p.Moved(); err != nil {
				return err
			}
			marked = true
		}
		if !same[name] {
			if err := transfer(ctx, p.From, p.To, name, p.Replicas); err != nil {
				return fmt.Errorf("move stream %s: %w", name, err)
			}
			if err := compare(ctx, from, to, name); err != nil {
				return err
			}
		}
		p.Done(Result{
			Stream: name, Messages: info.State.Msgs, FirstSequence: info.State.FirstSeq, LastSequence: info.State.LastSeq, Moved: !same[name],
		})
	}
	return nil
}

// compare makes sure that a stream is the same at both ends.
func compare(ctx context.Context, from, to jetstream.JetStream, name string) error {
	here, err := look(ctx, from, name)
	if err != nil {
		return err
	}
	there, err := look(ctx, to, name)
	if err != nil {
		return err
	}
	if here == nil || there == nil || !equal(here, there) {
		return fmt.Errorf("stream %s was moved, but is not the same at the other end: delete it there and run this again", name)
	}
	return nil
}

// place is the order: what the others refer to comes first, what is worked on last.
var place = map[string]int{publisher.EventsStream: -1, publisher.RequestsStream: 1, publisher.StorageStream: 2}

// streams are the names of ours, the trigger's too, in order.
func streams() ([]string, error) {
	var names []string
	for pattern, files := range map[string]fs.FS{"streams/*.json": deploy.Streams, "streams/trigger/*.json": deploy.TriggerStreams} {
		found, err := fs.Glob(files, pattern)
		if err != nil {
			return nil, err
		}
		for _, file := range found {
			if name := strings.TrimSuffix(path.Base(file), ".json"); !strings.Contains(name, ".consumer.") {
				names = append(names, name)
			}
		}
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(place[a]-place[b], strings.Compare(a, b)) })
	return names, nil
}

// look is a stream's state, nil if there is no such stream.
func look(ctx context.Context, js jetstream.JetStream, name string) (*jetstream.StreamInfo, error) {
	stream, err := js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", name, err)
	}
	return stream.CachedInfo(), nil
}

// occupied tells whether the other end has the very same stream already. Any
// other one is an [*OccupiedError].
func occupied(ctx context.Context, to jetstream.JetStream, info *jetstream.StreamInfo) (same bool, err error) {
	there, err := look(ctx, to, info.Config.Name)
	switch {
	case err != nil || there == nil:
		return false, err
	case equal(info, there):
		return true, nil
	default:
		return false, &OccupiedError{Stream: info.Config.Name, Empty: there.State.LastSeq == 0}
	}
}

// equal tells whether two streams hold the same messages. Times are stored with
// them, to the nanosecond; that of a last message that is gone is not, and a restored
// stream has the one of a message before it, or none.
func equal(here, there *jetstream.StreamInfo) bool {
	x, y := here.State, there.State
	if x.LastSeq == 0 && y.LastSeq == 0 {
		return true
	}
	lastIsGone := x.Msgs == 0 || x.NumDeleted > 0
	return x.Msgs == y.Msgs && x.FirstSeq == y.FirstSeq && x.LastSeq == y.LastSeq && x.NumDeleted == y.NumDeleted &&
		x.FirstTime.Equal(y.FirstTime) && (x.LastTime.Equal(y.LastTime) || lastIsGone && y.LastTime.Before(x.LastTime))
}

// skew refuses clocks that differ. The ledger is there by now.
func skew(ctx context.Context, to jetstream.JetStream) error {
	before := time.Now()
	info, err := look(ctx, to, publisher.EventsStream)
	if err != nil {
		return err
	}
	if info == nil || info.TimeStamp.IsZero() {
		return nil // there is no ledger, so there are no claims
	}
	return checkSkew(before, info.TimeStamp, time.Now())
}

// checkSkew takes a clock that was read between two moments of ours.
func checkSkew(before, server, after time.Time) error {
	if ahead := server.Sub(after); ahead > maxSkew {
		return &SkewError{ahead}
	}
	if ahead := server.Sub(before); ahead < -maxSkew {
		return &SkewError{ahead}
	}
	return nil
}

// apiError is the error of an answer of JetStream's API, nil if there is none.
func apiError(answer []byte) error {
	var response struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(answer, &response); err != nil {
		return fmt.Errorf("an answer that is not JetStream's: %w", err)
	}
	if response.Error != nil {
		return response.Error
	}
	return nil
}
