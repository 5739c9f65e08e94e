package history

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
	"backhaul/schemas"
)

// ownName matches the names of keys that are not request ids; people copy them from
// subjects and events.
var ownName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(seq-[0-9]+(-[0-9]+)?|sha256-[0-9a-f]{64})$`) })

// Names returns the names of the keys that a request id, as people give it, may
// stand for.
func Names(id string) []string {
	names := []string{publisher.NewKey("", id).Name}
	if ownName().MatchString(id) {
		names = append(names, id)
	}
	return names
}

// Found is a request that [Find] has found.
type Found struct {
	publisher.Key
	queued *Queued // nil if it was found by its events
}

// Find returns every request with an id, of one source, or of any with "": from the
// events, and if there are none, from the queue.
func Find(ctx context.Context, js jetstream.JetStream, source, id string) ([]Found, error) {
	events, err := js.Stream(ctx, publisher.EventsStream)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", publisher.EventsStream, err)
	}
	var all []Found
	for _, name := range Names(id) {
		key := publisher.Key{Source: orAny(source), Name: name}
		for _, filter := range []string{key.Filter(), key.JobsFilter()} { // the stream may have lost what the first matches
			info, err := events.Info(ctx, jetstream.WithSubjectFilter(filter))
			if err != nil {
				return nil, fmt.Errorf("read %s: %w", publisher.EventsStream, err)
			}
			for subject := range info.State.Subjects {
				if _, key, _, err := publisher.ParseEventSubject(subject); err == nil && !hasKey(all, key) {
					all = append(all, Found{Key: key})
				}
			}
			if len(all) > 0 {
				break
			}
		}
	}
	if len(all) == 0 {
		all, err = findWaiting(ctx, js, source, id)
	}
	slices.SortFunc(all, func(a, b Found) int { return strings.Compare(a.String(), b.String()) })
	return all, err
}

func hasKey(all []Found, key publisher.Key) bool {
	return slices.ContainsFunc(all, func(f Found) bool { return f.Key == key })
}

func orAny(source string) string {
	if source == "" {
		return "*"
	}
	return source
}

// maxScanned bounds how much of the queue is read for a request without events. The
// server cannot search for an id.
const maxScanned = 50_000

// findWaiting searches the queue from its oldest message.
func findWaiting(ctx context.Context, js jetstream.JetStream, source, id string) ([]Found, error) {
	var all []Found
	names := Names(id)
	err := scan(ctx, js, source, func(msg *jetstream.RawStreamMsg, before uint64) bool {
		if key, req, ok := keyOf(msg); ok && slices.Contains(names, key.Name) && !hasKey(all, key) {
			all = append(all, Found{Key: key, queued: queuedAs(msg, req).behind(before)})
		}
		return len(all) == 0 || source == "" // another source may have it as well
	})
	if len(all) > 0 {
		err = nil // what was not searched may have it too, under another source
	}
	return all, err
}

// Message is a request's message in the queue.
type Message struct {
	publisher.Key
	Queued
}

// Messages returns the first messages in the queue, of one source or of any with "", and whether
// there are more than limit.
func Messages(ctx context.Context, js jetstream.JetStream, source string, limit int) (all []Message, more bool, err error) {
	err = scan(ctx, js, source, func(msg *jetstream.RawStreamMsg, before uint64) bool {
		if len(all) == limit {
			more = true
			return false
		}
		if key, req, ok := keyOf(msg); ok {
			all = append(all, Message{key, *queuedAs(msg, req)})
		}
		return true
	})
	return all, more, err
}

// scan calls visit with the messages in the queue until it returns false: in their order,
// or with a source, one priority after the other. before is how many messages of the same
// subject it was called with.
func scan(ctx context.Context, js jetstream.JetStream, source string, visit func(msg *jetstream.RawStreamMsg, before uint64) bool) error {
	requests, err := js.Stream(ctx, publisher.RequestsStream)
	if err != nil {
		return fmt.Errorf("read %s: %w", publisher.RequestsStream, err)
	}
	subjects := []string{publisher.AnyRequest}
	if source != "" {
		subjects = publisher.RequestSubjects(source)
	}
	scanned, counts := 0, make(map[string]uint64)
	for _, subject := range subjects {
		for next := max(requests.CachedInfo().State.FirstSeq, 1); ; scanned++ {
			if scanned == maxScanned {
				return fmt.Errorf("the request has no events and is not among the %d oldest in the queue; the rest was not searched", maxScanned)
			}
			msg, err := requests.GetMsg(ctx, next, jetstream.WithGetMsgSubject(subject))
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				break
			}
			if err != nil {
				return fmt.Errorf("read %s: %w", publisher.RequestsStream, err)
			}
			if !visit(msg, counts[msg.Subject]) {
				return nil
			}
			counts[msg.Subject]++
			next = msg.Sequence + 1
		}
	}
	return nil
}

// queuedAs returns a message as a request's message in the queue.
func queuedAs(msg *jetstream.RawStreamMsg, req schemas.BackupRequest) *Queued {
	_, priority, _ := publisher.ParseRequestSubject(msg.Subject)
	return &Queued{Sequence: msg.Sequence, Since: msg.Time.UTC(), Priority: priority.Name(), Request: req, subject: msg.Subject}
}

// behind says how many messages of its subject come before it.
func (q *Queued) behind(n uint64) *Queued {
	q.before, q.counted = n, true
	return q
}

// keyOf returns the key that the service will use for a message, and what the message asks for.
func keyOf(msg *jetstream.RawStreamMsg) (publisher.Key, schemas.BackupRequest, bool) {
	source, _, err := publisher.ParseRequestSubject(msg.Subject)
	if err != nil {
		return publisher.Key{}, schemas.BackupRequest{}, false
	}
	m, _ := schemas.DecodeRequest(schemas.Header(msg.Header), msg.Data) // an invalid one has a history too
	if m.Request.RequestID == "" {
		return publisher.SequenceKey(source, msg.Sequence, msg.Time), m.Request, true
	}
	return publisher.NewKey(source, m.Request.RequestID), m.Request, true
}

// findQueued returns the request's message in the queue, nil if it is not there. If an
// event says when it was stored, a binary search finds it, else the queue is read.
func findQueued(ctx context.Context, js jetstream.JetStream, key publisher.Key, stored time.Time) (*Queued, error) {
	if stored.IsZero() {
		var found *Queued
		err := scan(ctx, js, key.Source, func(msg *jetstream.RawStreamMsg, before uint64) bool {
			if of, req, ok := keyOf(msg); ok && of == key {
				found = queuedAs(msg, req).behind(before)
			}
			return found == nil
		})
		return found, err
	}
	requests, err := js.Stream(ctx, publisher.RequestsStream)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", publisher.RequestsStream, err)
	}
	for _, subject := range publisher.RequestSubjects(key.Source) {
		if found, err := findStored(ctx, requests, subject, stored); found != nil || err != nil {
			return found, err
		}
	}
	return nil, nil
}

// findStored returns the message of a subject that was stored at a time, nil without one.
func findStored(ctx context.Context, requests jetstream.Stream, subject string, stored time.Time) (*Queued, error) {
	state := requests.CachedInfo().State
	for low, high := max(state.FirstSeq, 1), state.LastSeq; low <= high; { // an empty stream may begin with 0
		middle := low + (high-low)/2
		msg, err := requests.GetMsg(ctx, middle, jetstream.WithGetMsgSubject(subject)) // the first from there on
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
			high = middle - 1
		case err != nil:
			return nil, fmt.Errorf("read %s: %w", publisher.RequestsStream, err)
		case msg.Time.Equal(stored):
			_, req, _ := keyOf(msg)
			return queuedAs(msg, req), nil
		case msg.Time.Before(stored):
			low = msg.Sequence + 1
		default:
			high = middle - 1
		}
	}
	return nil, nil
}
