package roles_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"backhaul/cmd/internal/provision"
	"backhaul/cmd/internal/queue"
	"backhaul/cmd/internal/routes"
	"backhaul/consumer/trigger"
	"backhaul/publisher"
)

// runTheTrigger runs a real trigger as its user until all notifications are processed.
func runTheTrigger(g *guarded) error {
	if _, err := provision.ApplyTrigger(g.within(), g.jetstream("trigger"), 1, false); err != nil {
		return err
	}
	rs, err := routes.Parse("routes.yaml", []byte("routes:\n- {container: a, clientName: c, subclientName: s, window: {quiet: 100ms}}\n"))
	if err != nil {
		return err
	}
	worker, err := trigger.New(g.within(), trigger.Config{}, g.as("trigger"), rs, nil, zerolog.Nop())
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(g.within())
	done := make(chan struct{})
	go func() { defer close(done); worker.Run(ctx) }()
	defer func() { stop(); <-done }()
	store, admin := g.jetstream("store"), g.jetstream("admin")
	for _, data := range []string{`{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"a"},"object":{"key":"k"}}}]}`, `{}`} {
		if _, err := store.Publish(g.within(), "storage.event.minio", []byte(data)); err != nil {
			return fmt.Errorf("as store: %w", err)
		}
	}
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		events, err := admin.Stream(g.within(), publisher.StorageStream)
		if err != nil {
			return err
		}
		if events.CachedInfo().State.Msgs == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-deadline:
			return errors.Join(errors.New("notifications are left in the stream"), worker.Ready())
		}
	}
}

// readTriggerState reads the trigger's state as backhaul status and the console page do,
// including the state that the trigger broadcasts.
func readTriggerState(g *guarded, user string) error {
	nc := g.as("trigger")
	ctx, stop := context.WithCancel(g.within())
	var broadcast sync.WaitGroup
	broadcast.Go(func() {
		for ctx.Err() == nil {
			_ = nc.Publish(publisher.StateSubject, []byte(`{"windows":1}`))
			select {
			case <-ctx.Done():
			case <-time.After(10 * time.Millisecond):
			}
		}
	})
	defer broadcast.Wait()
	defer stop()
	seen, err := queue.LookAtTrigger(g.within(), g.jetstream(user))
	if err == nil && seen == nil {
		err = errors.New("the notifications stream was not found")
	}
	if err == nil && (seen.Reader == nil || seen.Reader.Windows != 1) {
		err = fmt.Errorf("the trigger's broadcast state is %+v", seen.Reader)
	}
	return err
}
