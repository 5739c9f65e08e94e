package follower

import (
	"context"
	"encoding/json"

	"github.com/nats-io/nats.go"

	"backhaul/consumer/internal/reader"
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
	return reader.Listen[State](ctx, nc, publisher.FollowerStateSubject, listenFor)
}
