// Package logins keeps what became of the logins at the vendor on the events
// stream, for all replicas and for `backhaul check`.
package logins

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backhaul/publisher"
	"backhaul/vendorapi"
)

// patience bounds one question and one write: a login waits for them.
const patience = 3 * time.Second

// Store is a [vendorapi.Logins]. Until Use is called it has no stream and fails.
type Store struct {
	Log    zerolog.Logger
	on     atomic.Pointer[connection]
	failed atomic.Bool
}

type connection struct {
	js        jetstream.JetStream
	publisher *publisher.Publisher
}

// Use sets the connection.
func (s *Store) Use(nc *nats.Conn) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	pub, err := publisher.New(nc)
	if err != nil {
		return err
	}
	s.on.Store(&connection{js, pub})
	return nil
}

var errNoConnection = errors.New("there is no connection to NATS")

// Last returns the last entry, and the server's time.
func (s *Store) Last(ctx context.Context) (last vendorapi.LoginEntry, now time.Time, err error) {
	defer func() { s.note(err) }()
	on := s.on.Load()
	if on == nil {
		return last, now, errNoConnection
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	events, err := on.js.Stream(ctx, publisher.EventsStream)
	if err != nil {
		return last, now, err
	}
	data, sequence, err := publisher.LastLogins(ctx, events)
	if err != nil {
		return last, now, err
	}
	if len(data) > 0 && json.Unmarshal(data, &last) != nil {
		last = vendorapi.LoginEntry{} // of another version; the next one replaces it
	}
	last.Sequence = sequence
	if now = events.CachedInfo().TimeStamp; now.IsZero() { // an old server
		now = time.Now()
	}
	return last, now, nil
}

// Append writes an entry.
func (s *Store) Append(ctx context.Context, after uint64, e vendorapi.LoginEntry) (sequence uint64, err error) {
	defer func() { s.note(err) }()
	on := s.on.Load()
	if on == nil {
		return 0, errNoConnection
	}
	data, err := json.Marshal(e)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	sequence, err = on.publisher.RecordLogins(ctx, after, data)
	if errors.Is(err, publisher.ErrConflict) {
		err = fmt.Errorf("%w: %w", vendorapi.ErrLoginsChanged, err)
	}
	return sequence, err
}

// note logs once that refused logins are not shared.
func (s *Store) note(err error) {
	switch {
	case err == nil:
		s.failed.Store(false)
	case !errors.Is(err, vendorapi.ErrLoginsChanged) && !s.failed.Swap(true):
		s.Log.Warn().Err(err).Msg("refused logins cannot be shared with the other replicas: each counts its own")
	}
}
