package trigger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
)

// listenFor is how long somebody who reads may be silent.
const listenFor = 3 * tickTime

// tell says what the trigger is doing to whoever listens. Nobody answers questions
// instead: an answer goes where the one who asks wants it to go. One that is lost is
// followed by the next.
func (s *session) tell() {
	if data, err := json.Marshal(s.State()); err == nil {
		_ = s.pub.TellState(data)
	}
}

// Listen is what the trigger that reads says of itself, from any process: nil if
// none says anything, because none reads, or it was stopped just now, or this user
// may not listen.
func Listen(ctx context.Context, nc *nats.Conn) (*State, error) {
	ctx, cancel := context.WithTimeout(ctx, listenFor)
	defer cancel()
	sub, err := nc.SubscribeSync(publisher.StateSubject)
	if err != nil {
		return nil, fmt.Errorf("listen to %s: %w", publisher.StateSubject, err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	msg, err := sub.NextMsgWithContext(ctx)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("listen to %s: %w", publisher.StateSubject, err)
	}
	var state State
	if err := json.Unmarshal(msg.Data, &state); err != nil {
		return nil, fmt.Errorf("what was heard on %s: %w", publisher.StateSubject, err)
	}
	return &state, nil
}

// Decision is what was decided last, about any content group.
type Decision struct {
	At time.Time `json:"at"`
	// ContentGroup as people write it.
	ContentGroup string `json:"contentGroup,omitempty"`
	// RequestID is empty if nothing was left to ask for.
	RequestID string `json:"requestId,omitempty"`
	// Changes are how many became part of the request.
	Changes int `json:"changes"`
}

// LastDecision is nil if nothing was decided yet.
func LastDecision(ctx context.Context, windows jetstream.Stream) (*Decision, error) {
	msg, err := publisher.NewestWindow(ctx, windows)
	if err != nil || msg == nil {
		return nil, err
	}
	last := &Decision{At: msg.Time.UTC()}
	var record decision
	var group Group
	if json.Unmarshal(msg.Data, &record) != nil || json.Unmarshal([]byte(record.Group), &group) != nil {
		return last, nil // the trigger itself says what is wrong with it
	}
	last.ContentGroup = group.String()
	if req := record.Request; req != nil {
		last.RequestID = req.RequestID
		last.Changes, _ = strconv.Atoi(req.Labels[LabelChanges])
	}
	return last, nil
}
