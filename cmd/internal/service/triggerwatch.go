package service

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/console"
	"backhaul/cmd/internal/queue"
	"backhaul/cmd/internal/show"
)

const (
	// triggerEvery is how often `backhaul run` asks how the trigger stands. A replica that stands by
	// takes over within that time.
	triggerEvery = 15 * time.Second
	// triggerRarely is how often it asks where there is no trigger, or none that it may see.
	triggerRarely = 2 * time.Minute
	// triggerTimeout bounds each question.
	triggerTimeout = 5 * time.Second
)

// triggerWatch knows how `backhaul trigger` stands, which is another process, so that this one says
// it as well. The zero value knows nothing.
type triggerWatch struct {
	mu    sync.Mutex
	seen  *queue.Trigger // nil where there are no notifications
	err   error          // why seen is not known
	asked bool
	// heard is when a replica that reads was last heard, silent how often in a row none was.
	heard  time.Time
	silent int
}

// run asks until ctx ends.
func (w *triggerWatch) run(ctx context.Context, js jetstream.JetStream) {
	for {
		asking, cancel := context.WithTimeout(ctx, triggerTimeout)
		seen, err := queue.LookAtTrigger(asking, js)
		cancel()
		if ctx.Err() != nil {
			return
		}
		timer := time.NewTimer(w.take(seen, err))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// take keeps an answer and returns when to ask again.
func (w *triggerWatch) take(seen *queue.Trigger, err error) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen, w.err, w.asked = seen, err, true
	switch {
	case err != nil, seen == nil:
		return triggerRarely
	case seen.Reader == nil:
		w.silent++
	default:
		w.silent, w.heard = 0, time.Now()
	}
	return triggerEvery
}

// trouble returns what is wrong with the trigger: what the replica that reads says of itself, or
// that none reads although there is something to read, or was one. A trigger that is not in use, or
// that cannot be seen, is no trouble.
func (w *triggerWatch) trouble() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.err != nil, w.seen == nil:
		return nil
	case w.seen.Reader != nil:
		var all []error
		for _, c := range w.seen.Reader.Conditions {
			all = append(all, fmt.Errorf("%s: %s", c.Name, c.Text))
		}
		return errors.Join(all...)
	case w.silent < 2: // another replica may be about to take over
		return nil
	case !w.heard.IsZero():
		return fmt.Errorf("no replica of `backhaul trigger` reads notifications since %s; %s", w.heard.UTC().Format(time.RFC3339), waitingText(w.seen))
	case w.seen.Waiting+w.seen.InFlight > 0:
		return fmt.Errorf("no replica of `backhaul trigger` reads notifications; %s", waitingText(w.seen))
	}
	return nil
}

func waitingText(t *queue.Trigger) string {
	return show.Count(int(t.Waiting+t.InFlight), "notification") + " in the stream"
}

// note returns how a trigger stands that has no trouble.
func (w *triggerWatch) note() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case !w.asked:
		return "not asked yet"
	case w.err != nil:
		return "not known: " + w.err.Error()
	case w.seen == nil:
		return "not in use: there is no stream of notifications"
	case w.seen.Reader == nil:
		return "no replica says that it reads; " + waitingText(w.seen)
	}
	text := fmt.Sprintf("%s open, %s", show.Count(w.seen.Reader.Windows, "window"), waitingText(w.seen))
	if owner := w.seen.Reader.Owner; owner != "" {
		text = "read by " + owner + "; " + text
	}
	return text
}

// check returns what /readyz says about the trigger.
func (w *triggerWatch) check() console.Check {
	return console.Check{Name: "trigger", Probe: w.trouble, Note: w.note, Condition: true}
}
