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
	"backhaul/consumer/trigger"
	"backhaul/publisher"
)

// runTheTrigger runs the real one as its user, until it has let everything go.
func runTheTrigger(g *guarded) error {
	if _, err := provision.ApplyTrigger(g.within(), g.jetstream("trigger"), 1, false); err != nil {
		return err
	}
	routes, err := trigger.Parse("routes.yaml", []byte("routes:\n- {container: a, clientName: c, subclientName: s, window: {quiet: 100ms}}\n"))
	if err != nil {
		return err
	}
	worker, err := trigger.New(g.within(), trigger.Config{}, g.as("trigger"), routes, nil, zerolog.Nop())
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
			return errors.Join(errors.New("the notifications are still there"), worker.Ready())
		}
	}
}

// lookAtTheTrigger is what backhaul status and the console page do. They also hear what
// the trigger says.
func lookAtTheTrigger(g *guarded, user string) error {
	word := g.as("trigger")
	ctx, heard := context.WithCancel(g.within())
	var saying sync.WaitGroup
	saying.Go(func() {
		for ctx.Err() == nil {
			_ = word.Publish(publisher.StateSubject, []byte(`{"windows":1}`))
			select {
			case <-ctx.Done():
			case <-time.After(10 * time.Millisecond):
			}
		}
	})
	defer saying.Wait()
	defer heard()
	seen, err := queue.LookAtTrigger(g.within(), g.jetstream(user))
	if err == nil && seen == nil {
		err = errors.New("there is no trigger to be seen")
	}
	if err == nil && (seen.Reader == nil || seen.Reader.Windows != 1) {
		err = fmt.Errorf("of the trigger was heard %+v", seen.Reader)
	}
	return err
}
