package trigger

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/consumer/internal/reader"
	"backhaul/publisher"
)

// listenFor is how long Listen waits. A trigger that reads sends its state more often.
const listenFor = 3 * tickTime

// tell publishes the trigger's state. A lost message is followed by the next one.
func (t *Trigger) tell() {
	if data, err := json.Marshal(t.State()); err == nil {
		_ = t.pub.TellState(data)
	}
}

// conditions returns what is wrong with this replica.
func (t *Trigger) conditions() []Condition {
	if t.cfg.Conditions == nil {
		return nil
	}
	return t.cfg.Conditions()
}

// Listen returns the state of the trigger that reads, in any process. It returns nil if it
// receives none: no trigger reads, it was stopped just now, or this NATS user may not
// subscribe.
func Listen(ctx context.Context, nc *nats.Conn) (*State, error) {
	return reader.Listen[State](ctx, nc, publisher.StateSubject, listenFor)
}

// Decision is the newest decision, about any content group.
type Decision struct {
	At time.Time `json:"at"`
	// ContentGroup is the group as in [Group.String].
	ContentGroup string `json:"contentGroup,omitempty"`
	// RequestID is empty if the window had no changes left to request.
	RequestID string `json:"requestId,omitempty"`
	// Changes is how many changes are part of the request.
	Changes int `json:"changes"`
}

// LastDecision returns the newest decision, or nil if there is none yet.
func LastDecision(ctx context.Context, windows jetstream.Stream) (*Decision, error) {
	msg, err := publisher.NewestWindow(ctx, windows)
	if err != nil || msg == nil {
		return nil, err
	}
	last := &Decision{At: msg.Time.UTC()}
	var record decision
	var group Group
	if json.Unmarshal(msg.Data, &record) != nil || json.Unmarshal([]byte(record.Group), &group) != nil {
		return last, nil // the trigger reports the fault
	}
	last.ContentGroup = group.String()
	if req := record.Request; req != nil {
		last.RequestID = req.RequestID
		last.Changes, _ = strconv.Atoi(req.Labels[LabelChanges])
	}
	return last, nil
}
