package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/consumer/follower"
	"backhaul/publisher"
)

// Follower is a snapshot of how started jobs are followed to their end.
type Follower struct {
	// Missing: the events stream has no consumer for it, so nothing is followed.
	Missing bool `json:"missing,omitempty"`
	// Requests is how many started requests have a job without an end on record.
	Requests uint64 `json:"requests"`
	// Unread is how many started requests no replica has read yet.
	Unread uint64 `json:"unread"`
	// Reader is what the replica that follows says, nil if none says anything.
	Reader *follower.State `json:"reader,omitempty"`
}

// readerGap is how long a replica that follows may have no pull at the server.
const readerGap = 250 * time.Millisecond

// LookAtFollower reads the state of the follower from the server and listens for the
// replica that follows, which takes up to a second.
func LookAtFollower(ctx context.Context, js jetstream.JetStream) (f Follower, err error) {
	info, err := followerInfo(ctx, js)
	if err == nil && info.NumWaiting == 0 {
		select {
		case <-time.After(readerGap):
		case <-ctx.Done():
		}
		info, err = followerInfo(ctx, js)
	}
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return Follower{Missing: true}, nil
	}
	if err != nil {
		return f, fmt.Errorf("read the state of consumer %s of %s: %w", publisher.FollowerConsumer, publisher.EventsStream, err)
	}
	f = Follower{Requests: uint64(max(info.NumAckPending, 0)), Unread: info.NumPending}
	if info.NumWaiting > 0 {
		f.Reader, err = follower.Listen(ctx, js.Conn())
	}
	return f, err
}

func followerInfo(ctx context.Context, js jetstream.JetStream) (*jetstream.ConsumerInfo, error) {
	c, err := js.Consumer(ctx, publisher.EventsStream, publisher.FollowerConsumer)
	if err != nil {
		return nil, err
	}
	return c.CachedInfo(), nil
}
