package history

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/consumer/order"
	"backhaul/publisher"
)

// maxCounted bounds the messages that are read to count those before a request.
const maxCounted = 5000

// Place finds a request in the queue, with its place. stored is when its message was stored, zero if
// that is not known. It returns nil if the message is not there.
func Place(ctx context.Context, js jetstream.JetStream, key publisher.Key, stored time.Time) (*Queued, error) {
	q, err := findQueued(ctx, js, key, stored)
	if err != nil || q == nil {
		return nil, err
	}
	return q, q.readPlace(ctx, js)
}

// readPlace finds out which place the request has. It is unknown behind maxCounted others of its
// source and priority, unless they were counted when it was found.
func (q *Queued) readPlace(ctx context.Context, js jetstream.JetStream) error {
	requests, err := js.Stream(ctx, publisher.RequestsStream)
	if err != nil {
		return fmt.Errorf("read %s: %w", publisher.RequestsStream, err)
	}
	info, err := requests.Info(ctx, jetstream.WithSubjectFilter(publisher.AnyRequest))
	if err != nil {
		return fmt.Errorf("read %s: %w", publisher.RequestsStream, err)
	}
	if !q.counted {
		q.before, q.counted, err = countBefore(ctx, requests, q)
		if err != nil || !q.counted {
			return err
		}
	}
	q.Place, q.Of = 1+order.Ahead(order.Lines(info.State.Subjects), q.subject, q.before), info.State.Msgs
	return nil
}

// PlaceText returns the place in words, "" if it is not known.
func (q *Queued) PlaceText() string {
	if q == nil || q.Place == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d that wait or are in flight, in the order of starts", q.Place, q.Of)
}

// countBefore counts the messages of the same subject before one, and reports whether it came to
// the end.
func countBefore(ctx context.Context, requests jetstream.Stream, q *Queued) (uint64, bool, error) {
	next := max(requests.CachedInfo().State.FirstSeq, 1)
	for n := range uint64(maxCounted) {
		msg, err := requests.GetMsg(ctx, next, jetstream.WithGetMsgSubject(q.subject))
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound), err == nil && msg.Sequence >= q.Sequence:
			return n, true, nil
		case err != nil:
			return 0, false, fmt.Errorf("read %s: %w", publisher.RequestsStream, err)
		}
		next = msg.Sequence + 1
	}
	return 0, false, nil
}

// Due estimates when a request that waits is started, at a number of starts of all replicas in
// an hour, none of them before NoStartBefore. It is zero if its place is not known or the starts are
// not limited.
func (h *History) Due(perHour int) time.Time {
	if h.Queued == nil || h.Queued.Place == 0 || perHour <= 0 {
		return time.Time{}
	}
	first := h.AsOf
	if h.NoStartBefore.After(first) {
		first = h.NoStartBefore
	}
	return first.Add(order.Until(h.Queued.Place-1, perHour)).Round(time.Second)
}

// place returns the text for a request that waits for its turn.
func (h *History) place(perHour int) string {
	due := h.Due(perHour)
	if due.IsZero() {
		return ""
	}
	return fmt.Sprintf("; its place is %d, so it is started at about %s, at %d starts an hour", h.Queued.Place, stamp(due), perHour)
}
