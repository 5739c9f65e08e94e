package archiver

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
)

// NewStreamError means that the stream is not the one that the archive has.
type NewStreamError struct{ why string }

func (e *NewStreamError) Error() string {
	return e.why + ": nothing is archived. If that is as it should be, start `backhaul archive` once with --new-stream: " +
		"then the archive says so, and has all of its events behind those of the former one. If it is another server or account, correct --nats or the archive"
}

// compare returns where the messages to come are from, nil if they follow what the archive has.
func (s *session) compare(ctx context.Context, info *jetstream.StreamInfo) (*publisher.Place, error) {
	place := s.archive.Place()
	begin := &publisher.Place{Stream: info.Config.Name, Created: info.Created.UTC(), Next: 1}
	if place.Created.IsZero() {
		return begin, nil
	}
	why, err := s.differs(ctx, info, place)
	if err != nil || why == "" {
		return nil, err
	}
	if !s.cfg.NewStream {
		return nil, &NewStreamError{why}
	}
	s.log.Warn().Str("why", why).Msg("the archive goes on with another stream")
	return begin, nil
}

// differs returns why the stream is not the one that the archive has, "" if it is.
func (s *session) differs(ctx context.Context, info *jetstream.StreamInfo, place publisher.Place) (string, error) {
	if !info.Created.Equal(place.Created) {
		return fmt.Sprintf("stream %s was made on %s, and the archive has one that was made on %s",
			info.Config.Name, info.Created.UTC().Format(timeFormat), place.Created.Format(timeFormat)), nil
	}
	if info.State.LastSeq+1 < place.Next {
		return fmt.Sprintf("stream %s ends with event %d, and the archive has it up to %d: it lost some, or was restored from a snapshot",
			info.Config.Name, info.State.LastSeq, place.Next-1), nil
	}
	last := s.archive.Last()
	if last == nil {
		return "", nil
	}
	msg, err := lookUp(ctx, s.nc, last.Sequence, false)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound): // it was dropped by age
		return "", nil
	case err != nil:
		return "", fmt.Errorf("read event %d: %w", last.Sequence, err)
	case !msg.Time.Equal(last.Time) || msg.Subject != last.Subject:
		return fmt.Sprintf("event %d of stream %s was stored on %s, and that of the archive on %s: the stream was restored from a snapshot",
			last.Sequence, info.Config.Name, msg.Time.UTC().Format(timeFormat), last.Time.UTC().Format(timeFormat)), nil
	}
	return "", nil
}

const timeFormat = "2006-01-02T15:04:05.000Z"
