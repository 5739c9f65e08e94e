package publisher

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go/jetstream"
)

// LastEvent returns the last message on the filter that was published as an event (see
// [ReadEvent]), as the stream's leader has it, and the last message of all; each is nil
// if there is none. The filter should be one of a [Key].
func LastEvent(ctx context.Context, events jetstream.Stream, filter string) (event, last *jetstream.RawStreamMsg, err error) {
	return NewLastReader(events).Last(ctx, filter)
}

// LastReader returns last events as [LastEvent] does. It remembers which foreign
// messages it has read behind an event, so that each of them is read once, also when a
// read is ended before it has found the event. It is safe for concurrent use.
type LastReader struct {
	events jetstream.Stream

	mu    sync.Mutex
	spans map[string]*span // by filter; only of filters with foreign messages
}

// maxSpans bounds how many filters are remembered. What is forgotten is read again.
const maxSpans = 512

// span is a range of the stream in which every message of a filter was read.
type span struct {
	mu        sync.Mutex
	low, high uint64                  // low is the first sequence, high the one behind the last
	event     *jetstream.RawStreamMsg // the last event in the range, nil if there is none
}

// NewLastReader returns a reader of the events stream.
func NewLastReader(events jetstream.Stream) *LastReader {
	return &LastReader{events: events, spans: make(map[string]*span)}
}

// Last returns what [LastEvent] does. An error does not lose what was read before it:
// the next call goes on behind it.
func (r *LastReader) Last(ctx context.Context, filter string) (event, last *jetstream.RawStreamMsg, err error) {
	last, err = r.events.GetLastMsgForSubject(ctx, filter)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		r.forget(filter)
		return nil, nil, nil
	case err != nil:
		return nil, nil, fmt.Errorf("read the last event on %s: %w", filter, err)
	case isEvent(last):
		r.forget(filter)
		return last, last, nil
	}
	s := r.span(filter)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(ctx, r.events, last); err != nil {
		return nil, nil, err
	}
	if s.high == 0 {
		s.low, s.high = last.Sequence, last.Sequence+1
	}
	if err := s.readUp(ctx, r.events, filter, last.Sequence+1); err != nil {
		return nil, nil, err
	}
	if err := s.readDown(ctx, r.events, filter); err != nil {
		return nil, nil, err
	}
	return s.event, last, nil
}

// At returns the message with a sequence, as the stream's leader has it, nil if there is none.
func (r *LastReader) At(ctx context.Context, sequence uint64) (*jetstream.RawStreamMsg, error) {
	msg, err := r.events.GetMsg(ctx, sequence)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read the event %d: %w", sequence, err)
	}
	return msg, nil
}

func (r *LastReader) forget(filter string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.spans, filter)
}

func (r *LastReader) span(filter string) *span {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.spans[filter]
	if s == nil {
		if len(r.spans) >= maxSpans {
			clear(r.spans)
		}
		s = new(span)
		r.spans[filter] = s
	}
	return s
}

// check empties the range if the stream is not the one it was read in: its event is gone,
// or its end.
func (s *span) check(ctx context.Context, events jetstream.Stream, last *jetstream.RawStreamMsg) error {
	if last.Sequence+1 < s.high {
		s.low, s.high, s.event = 0, 0, nil
	}
	if s.event == nil {
		return nil
	}
	msg, err := events.GetMsg(ctx, s.event.Sequence)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound), err == nil && !msg.Time.Equal(s.event.Time):
		s.low, s.high, s.event = 0, 0, nil
	case err != nil:
		return fmt.Errorf("read the event %d: %w", s.event.Sequence, err)
	}
	return nil
}

// readUp reads what came behind the range.
func (s *span) readUp(ctx context.Context, events jetstream.Stream, filter string, end uint64) error {
	for s.high < end {
		msg, err := next(ctx, events, filter, s.high)
		if err != nil {
			return err
		}
		if msg == nil || msg.Sequence >= end {
			s.high = end
			return nil
		}
		if isEvent(msg) {
			s.event = msg
		}
		s.high = msg.Sequence + 1
	}
	return nil
}

// readDown reads what is before the range, until there is an event in it. A stream can
// be read forward only, so it reads one window before the other, some at a time.
func (s *span) readDown(ctx context.Context, events jetstream.Stream, filter string) error {
	for size, many := uint64(firstWindow), 1; s.event == nil && s.low > 1; many = windowsAtOnce {
		windows := make([]window, 0, many)
		for end := s.low; end > 1 && len(windows) < many; {
			start := end - min(size, end-1)
			windows = append(windows, window{start: start, end: end})
			end = start
		}
		var reads sync.WaitGroup
		for i := range windows {
			reads.Go(func() { windows[i].read(ctx, events, filter) })
		}
		reads.Wait()
		sparse := true
		for _, w := range windows {
			if w.err != nil {
				return w.err
			}
			if w.full {
				size, sparse = size/2, false
				break
			}
			s.low, s.event = w.start, w.event
			sparse = sparse && w.messages < firstWindow
			if s.event != nil {
				return nil
			}
		}
		if sparse {
			size *= 2
		}
	}
	return nil
}

// window is a part of the stream that is read at once.
type window struct {
	start, end uint64
	messages   int                     // of the filter
	event      *jetstream.RawStreamMsg // the last one
	full       bool                    // there are too many to read to the end
	err        error
}

func (w *window) read(ctx context.Context, events jetstream.Stream, filter string) {
	for at := w.start; at < w.end; {
		msg, err := next(ctx, events, filter, at)
		if err != nil {
			w.err = err
			return
		}
		if msg == nil || msg.Sequence >= w.end {
			return
		}
		if w.full = w.messages == maxWindow; w.full {
			return
		}
		if w.messages++; isEvent(msg) {
			w.event = msg
		}
		at = msg.Sequence + 1
	}
}

const (
	// firstWindow is the first window of readDown, in sequences. A window with fewer
	// messages is followed by a larger one.
	firstWindow = 256
	// maxWindow is how many messages of a window are read. A window with more of them
	// is too large, and what was read of it is read again, as after an error.
	maxWindow = 1024
	// windowsAtOnce is how many windows are read at a time, after the first.
	windowsAtOnce = 8
)

// next returns the first message on the filter from a sequence on, nil if there is none.
func next(ctx context.Context, events jetstream.Stream, filter string, from uint64) (*jetstream.RawStreamMsg, error) {
	msg, err := events.GetMsg(ctx, from, jetstream.WithGetMsgSubject(filter))
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read the events on %s: %w", filter, err)
	}
	return msg, nil
}
