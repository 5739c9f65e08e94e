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

// readPlace finds out which place a request that waits has, by the order in which requests are
// taken while starts are scarce. It is unknown behind maxCounted others of its source and
// priority, unless they were counted when it was found.
func (h *History) readPlace(ctx context.Context, js jetstream.JetStream) error {
	if h.Status != Waiting || h.Queued == nil {
		return nil
	}
	requests, err := js.Stream(ctx, publisher.RequestsStream)
	if err != nil {
		return fmt.Errorf("read %s: %w", publisher.RequestsStream, err)
	}
	info, err := requests.Info(ctx, jetstream.WithSubjectFilter(publisher.AnyRequest))
	if err != nil {
		return fmt.Errorf("read %s: %w", publisher.RequestsStream, err)
	}
	if !h.Queued.counted {
		h.Queued.before, h.Queued.counted, err = countBefore(ctx, requests, h.Queued)
		if err != nil || !h.Queued.counted {
			return err
		}
	}
	h.Queued.Place = 1 + order.Ahead(order.Lines(info.State.Subjects), h.Queued.subject, h.Queued.before)
	return nil
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
