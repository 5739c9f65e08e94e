// Package migrate moves the streams of an embedded server to another server.
//
// # Guarantees
//
// The events stream is the ledger, and unfinished requests refer to it by sequences and
// times. So streams are moved by JetStream's snapshot and restore: every message keeps its
// sequence, time, subject, headers and payload, a stream its last sequence, and a durable
// consumer its delivered and acknowledged sequences. Streams are never merged: an existing
// stream at the target is either identical or an error.
//
// # Failure handling
//
// Streams whose messages are processed are moved last: requests after the ledger, then
// storage notifications after the trigger's decisions and the queue that it publishes to.
// Before these, the store is marked as moved, and embedded servers refuse to work on it: a
// request is never in two queues. An interrupted move is repeated; streams that were moved
// already are left unchanged.
//
// Claims end by the server's clock. If the clocks of the two servers differ, requests and
// notifications are not moved.
//
// # Why not nats stream backup and restore
//
// They move one stream at a time and know neither the order, the mark on the store nor the
// comparison of clocks. A wrong order can start a job twice.
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

// maxSkew is the largest allowed difference of the servers' clocks. It is far less than
// the visibility window, which a replica waits before it takes over a claim.
const maxSkew = 5 * time.Second

// Result is the result for one stream.
type Result struct {
	Stream        string `json:"stream"`
	Messages      uint64 `json:"messages"`
	FirstSequence uint64 `json:"firstSequence"`
	LastSequence  uint64 `json:"lastSequence"`
	// Moved is false for a stream that existed at the target and is identical.
	Moved bool `json:"moved"`
}

// OccupiedError is the error for a stream at the target that is not identical.
type OccupiedError struct {
	Stream string
	Empty  bool
}

func (e *OccupiedError) Error() string {
	if e.Empty {
		return fmt.Sprintf("stream %s exists already and is empty: delete it (nats stream rm %s), so that it can be moved with its sequences", e.Stream, e.Stream)
	}
	return fmt.Sprintf("stream %s exists already with other messages: streams cannot be merged. Move to an account without it", e.Stream)
}

// SkewError is the error for servers whose clocks differ.
type SkewError struct{ Ahead time.Duration }

func (e *SkewError) Error() string {
	return fmt.Sprintf("the other server's clock is %s ahead of this machine's, and claims end by the server's clock: set the clocks, then run this again", e.Ahead.Round(time.Millisecond))
}

// Plan describes a move.
type Plan struct {
	// From is a connection to the embedded server, To one to the target.
	From, To *nats.Conn
	// Replicas is the number of replicas of the moved streams.
	Replicas int
	// Moved marks the store. It is called before streams are moved whose messages are
	// processed.
	Moved func() error
	// Done is called with the result for each stream.
	Done func(Result)
}

// Run moves all of Backhaul's streams that the embedded server has.
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
	var existing []*jetstream.StreamInfo // at the embedded server, in order
	for _, name := range names {
		info, err := streamInfo(ctx, from, name)
		if err != nil {
			return fmt.Errorf("embedded server: %w", err)
		}
		if info != nil {
			existing = append(existing, info)
		}
	}
	if len(existing) == 0 {
		return errors.New("the store has no stream of Backhaul: check its directory")
	}
	// Check that every stream can be moved before the first is.
	same := make(map[string]bool)
	for _, info := range existing {
		if same[info.Config.Name], err = isMoved(ctx, to, info); err != nil {
			return err
		}
	}
	marked := false
	for _, info := range existing {
		name := info.Config.Name
		if order[name] > 0 && !marked {
			if err := compareClocks(ctx, to); err != nil {
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

// compare returns an error if a stream differs between the two servers.
func compare(ctx context.Context, from, to jetstream.JetStream, name string) error {
	here, err := streamInfo(ctx, from, name)
	if err != nil {
		return err
	}
	there, err := streamInfo(ctx, to, name)
	if err != nil {
		return err
	}
	if here == nil || there == nil || !equal(here, there) {
		return fmt.Errorf("stream %s was moved but differs at the target: delete it there and run this again", name)
	}
	return nil
}

// order sorts the streams: those that others refer to come first, and those whose messages
// are processed come last, with a positive number. Streams that are not listed have 0.
var order = map[string]int{publisher.EventsStream: -1, publisher.RequestsStream: 1, publisher.StorageStream: 2}

// streams returns the names of Backhaul's streams, including the trigger's, in order.
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
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(order[a]-order[b], strings.Compare(a, b)) })
	return names, nil
}

// streamInfo returns a stream's state, or nil if the stream does not exist.
func streamInfo(ctx context.Context, js jetstream.JetStream, name string) (*jetstream.StreamInfo, error) {
	stream, err := js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", name, err)
	}
	return stream.CachedInfo(), nil
}

// isMoved reports whether the target has the identical stream already. If it has a
// different one, the error is an [*OccupiedError].
func isMoved(ctx context.Context, to jetstream.JetStream, info *jetstream.StreamInfo) (same bool, err error) {
	there, err := streamInfo(ctx, to, info.Config.Name)
	switch {
	case err != nil || there == nil:
		return false, err
	case equal(info, there):
		return true, nil
	default:
		return false, &OccupiedError{Stream: info.Config.Name, Empty: there.State.LastSeq == 0}
	}
}

// equal reports whether two streams have the same messages. It compares times, which are
// stored with messages to the nanosecond. The time of a deleted last message is not
// stored: the restored stream has the time of an earlier message, or none.
func equal(here, there *jetstream.StreamInfo) bool {
	x, y := here.State, there.State
	if x.LastSeq == 0 && y.LastSeq == 0 {
		return true
	}
	lastIsGone := x.Msgs == 0 || x.NumDeleted > 0
	return x.Msgs == y.Msgs && x.FirstSeq == y.FirstSeq && x.LastSeq == y.LastSeq && x.NumDeleted == y.NumDeleted &&
		x.FirstTime.Equal(y.FirstTime) && (x.LastTime.Equal(y.LastTime) || lastIsGone && y.LastTime.Before(x.LastTime))
}

// compareClocks returns a [*SkewError] if the target's clock differs from this machine's.
// The ledger has been moved by then.
func compareClocks(ctx context.Context, to jetstream.JetStream) error {
	before := time.Now()
	info, err := streamInfo(ctx, to, publisher.EventsStream)
	if err != nil {
		return err
	}
	if info == nil || info.TimeStamp.IsZero() {
		return nil // without a ledger there are no claims
	}
	return checkSkew(before, info.TimeStamp, time.Now())
}

// checkSkew compares a server's clock with the local times before and after it was read.
func checkSkew(before, server, after time.Time) error {
	if ahead := server.Sub(after); ahead > maxSkew {
		return &SkewError{ahead}
	}
	if ahead := server.Sub(before); ahead < -maxSkew {
		return &SkewError{ahead}
	}
	return nil
}

// apiError returns the error in an answer of JetStream's API, or nil without one.
func apiError(answer []byte) error {
	var response struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(answer, &response); err != nil {
		return fmt.Errorf("the answer is not from JetStream: %w", err)
	}
	if response.Error != nil {
		return response.Error
	}
	return nil
}
