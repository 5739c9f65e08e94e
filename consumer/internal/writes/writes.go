// Package writes records whether writes to streams succeed.
package writes

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"backhaul/consumer/logonce"
	"backhaul/publisher"
)

// lasts is how long a failure counts after the last attempt: a failed write is repeated
// sooner, by this replica or by another one.
const lasts = time.Minute

// Watch records attempts to write. Its methods are safe for concurrent use.
type Watch struct {
	Log zerolog.Logger

	failing atomic.Int32 // streams
	mu      sync.Mutex
	streams map[string]*failure
}

type failure struct {
	err    error // nil after a successful write
	at     time.Time
	said   logonce.Reasons
	logged bool // since the last successful write
}

// Note records an attempt, and logs a failure and its end.
func (w *Watch) Note(try publisher.Try) {
	if try.Err == nil && w.failing.Load() == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	f := w.streams[try.Stream]
	switch {
	case try.Err != nil:
		if f == nil {
			f = &failure{}
			if w.streams == nil {
				w.streams = make(map[string]*failure)
			}
			w.streams[try.Stream] = f
		}
		if f.err == nil {
			w.failing.Add(1)
		}
		f.err, f.at = try.Err, time.Now()
		if f.said.New(try.Err) {
			f.logged = true
			w.Log.Warn().Err(try.Err).Str("stream", try.Stream).Msg("a stream does not take what is written to it, trying again")
		}
	case f != nil && f.err != nil:
		f.err = nil
		w.failing.Add(-1)
		if f.logged { // a stream that is nearly full accepts some small messages
			f.logged = false
			w.Log.Info().Str("stream", try.Stream).Msg("the stream takes what is written to it again")
		}
	}
}

// Trouble returns why writes to one of these streams fail, nil if none is known to.
func (w *Watch) Trouble(streams ...string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, name := range streams {
		if f := w.streams[name]; f != nil && f.err != nil && time.Since(f.at) < lasts {
			if way := publisher.WayOut(f.err); way != "" {
				return fmt.Errorf("stream %s does not take what is written to it: %s (%w)", name, way, f.err)
			}
			return fmt.Errorf("stream %s does not take what is written to it: %w", name, f.err)
		}
	}
	return nil
}
