package consumer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
)

// VendorWait is a wait that the vendor asked a replica for, as it is on record on
// publisher.WaitSubject. A replica that is started later does not know of the wait, so whoever ends
// a pause of the queue must keep to the record.
type VendorWait struct {
	// Until is when the wait ends, by the server's clock.
	Until time.Time `json:"until"`
	// By is the answer that asked for it, such as "HTTP 503 to CreateTask"; it may be empty.
	By string `json:"by,omitempty"`
}

// LastVendorWait returns the wait on record, the zero value if there is none. It may be over.
func LastVendorWait(ctx context.Context, events jetstream.Stream) (VendorWait, error) {
	w, _, err := lastWait(ctx, events)
	return w, err
}

func lastWait(ctx context.Context, events jetstream.Stream) (w VendorWait, sequence uint64, err error) {
	data, sequence, err := publisher.LastWait(ctx, events)
	if err != nil || data == nil {
		return w, sequence, err
	}
	if json.Unmarshal(data, &w) != nil { // foreign: the next write replaces it
		w = VendorWait{}
	}
	return w, sequence, nil
}

// RecordVendorWait records a wait, unless one that lasts as long is on record.
func RecordVendorWait(ctx context.Context, events jetstream.Stream, pub *publisher.Publisher, w VendorWait) error {
	data, err := json.Marshal(w)
	if err != nil {
		return err
	}
	for {
		before, sequence, err := lastWait(ctx, events)
		if err != nil || before.Until.Add(shortestPause/2).After(w.Until) {
			return err
		}
		if _, err = pub.RecordWait(ctx, sequence, data); !errors.Is(err, publisher.ErrConflict) {
			if err != nil {
				return fmt.Errorf("record the wait that the vendor asked for: %w", err)
			}
			return nil
		}
	}
}
