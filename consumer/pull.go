package consumer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"backhaul/publisher"
)

const (
	// pullExpiry is how long one pull stays open.
	pullExpiry = 5 * time.Second
	// pullHeartbeat is how often the server says that it knows of an open pull. A
	// pull that a server or a connection took with it is noticed after two of them.
	pullHeartbeat = time.Second
	// pullPause is the wait after a pull that failed at once, as it does without
	// a connection or a leader.
	pullPause = 100 * time.Millisecond
)

// nextSubject is JetStream's API for pulling from the durable consumer.
const nextSubject = "$JS.API.CONSUMER.MSG.NEXT." + publisher.RequestsStream + "." + publisher.RequestsConsumer

// ackPrefix is how the reply subject of every delivered message begins, and of
// nothing else that answers a pull.
const ackPrefix = "$JS.ACK."

// pull hands messages over until ctx ends. It asks for no more than there are
// free slots, because the time that a message waits here counts against its
// acknowledgement; each message handed over has one slot taken.
func (c *Consumer) pull(ctx context.Context, slots chan struct{}, work func(*nats.Msg)) {
	defer c.ready.note(errStopping)
	var trouble changeLog
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		taken := 1
		for taken < cap(slots) && tryTake(slots) {
			taken++
		}
		got, err := c.fetch(ctx, taken, work)
		for range taken - got {
			<-slots
		}
		c.ready.note(err)
		if trouble.changed(err) {
			if err != nil {
				c.log.Warn().Err(err).Msg("cannot pull requests")
			} else {
				c.log.Info().Msg("pulling requests again")
			}
		}
		if err != nil && !sleep(ctx, pullPause) {
			return
		}
	}
}

func tryTake(slots chan struct{}) bool {
	select {
	case slots <- struct{}{}:
		return true
	default:
		return false
	}
}

// fetch is one pull of up to n messages.
//
// nats.go's own Fetch will not do: it believes the headers of a message to be
// the server's. A request with an empty body and a Status header ends the pull
// and loses what was pulled beside it, each time that it is delivered, and one
// with a Nats-Pin-Id makes every later pull fail (nats.go 1.55.0).
func (c *Consumer) fetch(ctx context.Context, n int, work func(*nats.Msg)) (got int, err error) {
	sub, err := c.nc.SubscribeSync(c.nc.NewInbox())
	if err != nil {
		return 0, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := sub.SetPendingLimits(-1, -1); err != nil { // n is the limit
		return 0, err
	}
	request := fmt.Appendf(nil, `{"batch":%d,"expires":%d,"idle_heartbeat":%d}`, n, pullExpiry, pullHeartbeat)
	if err := c.nc.PublishRequest(nextSubject, sub.Subject, request); err != nil {
		return 0, err
	}
	for got < n {
		msg, err := receive(ctx, sub)
		switch {
		case ctx.Err() != nil:
			return got, nil
		case err != nil:
			return got, err
		case strings.HasPrefix(msg.Reply, ackPrefix):
			c.ready.note(nil)
			got++
			work(msg)
			continue
		}
		switch status, text := msg.Header.Get("Status"), msg.Header.Get("Description"); status {
		case "100": // a heartbeat
			c.ready.note(nil)
		case "404", "408": // an idle queue
			return got, nil
		case "503":
			return got, nats.ErrNoResponders
		default:
			return got, fmt.Errorf("pull: %s %s", status, text)
		}
	}
	return got, nil
}

// receive is the next message of a pull, or an error when the server is silent.
func receive(ctx context.Context, sub *nats.Subscription) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*pullHeartbeat)
	defer cancel()
	msg, err := sub.NextMsgWithContext(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = errors.New("pull: no heartbeat from the server")
	}
	return msg, err
}

// sleep waits for d and tells whether ctx is still alive.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
