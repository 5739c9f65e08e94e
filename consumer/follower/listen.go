package follower

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"backhaul/publisher"
)

// listenFor is how long Listen waits. A follower that reads publishes its state more often.
const listenFor = 3 * stateTime / 2

// publishState publishes the follower's state, as a plain message that no stream stores. A lost
// message is followed by the next one.
func (f *Follower) publishState(state *State) {
	if data, err := json.Marshal(state); err == nil {
		_ = f.pub.TellFollowerState(data)
	}
}

// Listen returns the state of the replica that follows jobs, in any process. It returns nil if it
// receives none: no replica follows, it was stopped just now, or this NATS user may not subscribe.
func Listen(ctx context.Context, nc *nats.Conn) (*State, error) {
	ctx, cancel := context.WithTimeout(ctx, listenFor)
	defer cancel()
	sub, err := nc.SubscribeSync(publisher.FollowerStateSubject)
	if err != nil {
		return nil, fmt.Errorf("listen to %s: %w", publisher.FollowerStateSubject, err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	msg, err := sub.NextMsgWithContext(ctx)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("listen to %s: %w", publisher.FollowerStateSubject, err)
	}
	var state State
	if err := json.Unmarshal(msg.Data, &state); err != nil {
		return nil, fmt.Errorf("read the state on %s: %w", publisher.FollowerStateSubject, err)
	}
	return &state, nil
}
