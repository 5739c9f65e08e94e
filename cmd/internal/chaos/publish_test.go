package chaos

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
)

// chaosSource is whose requests they are.
const chaosSource = "chaos"

// upstream publishes requests as another team's system would: with a plain
// client, until JetStream has acknowledged each. When an acknowledgement was
// lost, that makes a duplicate.
type upstream struct {
	js jetstream.JetStream
	// stored, if non-nil, is called when JetStream has acknowledged a request.
	stored func(chaosRequest, *jetstream.PubAck)

	mu        sync.Mutex
	published map[string]publishing // by request id
	err       error
}

// publishing is what the publisher knows of a request.
type publishing struct {
	first time.Time // it was about to be published
	acked time.Time // JetStream had it, the first time
	acks  int
}

// maxPublishing bounds the publications under way: while the broker is away they
// pile up.
const maxPublishing = 512

// run makes all publications in time and returns when JetStream has
// acknowledged every one.
func (u *upstream) run(ctx context.Context, p chaosPlan, began time.Time) error {
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	slots := make(chan struct{}, maxPublishing)
	var under sync.WaitGroup
	for _, next := range p.publications {
		for time.Since(began) < next.at {
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		slots <- struct{}{}
		under.Go(func() {
			defer func() { <-slots }()
			r := p.requests[next.request]
			r.priority = next.priority
			u.publish(ctx, r, p.Seed)
		})
	}
	under.Wait()
	return u.err
}

const (
	publishTimeout = 2 * time.Second
	publishPause   = 50 * time.Millisecond
)

func (u *upstream) publish(ctx context.Context, r chaosRequest, seed int64) {
	payload := fmt.Appendf(nil, `{"requestId":%q,"clientName":"s-adhoc-object-storage","subclientName":%q,`+
		`"storagePolicyName":"default-plan","labels":{"chaos":"%d"}}`, r.id, r.group, seed)
	u.note(r.id, func(p *publishing) { p.first = earlier(p.first, time.Now()) })
	ticker := time.NewTicker(publishPause)
	defer ticker.Stop()
	for {
		try, cancel := context.WithTimeout(ctx, publishTimeout)
		ack, err := u.js.Publish(try, publisher.RequestSubject(chaosSource, r.priority), payload)
		cancel()
		if err == nil {
			u.note(r.id, func(p *publishing) {
				p.acked = earlier(p.acked, time.Now())
				p.acks++
			})
			if u.stored != nil {
				u.stored(r, ack)
			}
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			u.fail(fmt.Errorf("publish %s: %w", r.id, errors.Join(err, context.Cause(ctx))))
			return
		}
	}
}

func (u *upstream) note(id string, change func(*publishing)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	p := u.published[id]
	change(&p)
	u.published[id] = p
}

func (u *upstream) fail(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.err == nil {
		u.err = err
	}
}

// earlier is the earlier time that is one.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}
