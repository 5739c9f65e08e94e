package consumer

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/nats-io/nats.go/jetstream"
)

// maxReadAhead is how many messages of a line are read at once at most. Each costs the server a
// read, and what is not handed over within lookAfter is read again.
const maxReadAhead = 32

// readAhead has the messages of a line that were read and not handed over yet. Behind a pause of
// the vendor many requests are picked at once, and with one reading after the other the first
// answers would come before the last requests are sent. What was read ahead is forgotten with the
// look at the stream that it belongs to: other replicas may have deleted it.
type readAhead struct {
	// next are messages that were not handed over, in the order of the line, without a gap.
	next []*jetstream.RawStreamMsg
	// ended reports that nothing was found behind next.
	ended bool
	// again are messages that were handed over before, by their sequences; nil for one that is gone.
	again map[uint64]*jetstream.RawStreamMsg
}

// width returns how many messages of a line are read at once if so many requests may be picked of so
// many lines.
func width(free, lines int) int { return min(max(free/max(lines, 1), 1), maxReadAhead) }

// first returns the first message of a subject with a sequence above the one up to which its line
// was read. If more of them may be needed, as many as width are read at once.
func (p *picker) first(ctx context.Context, l *line, subject string) (*jetstream.RawStreamMsg, error) {
	a := &l.ahead
	for len(a.next) > 0 && a.next[0].Sequence <= l.read {
		a.next = a.next[1:]
	}
	if len(a.next) == 0 {
		if a.ended {
			return nil, jetstream.ErrMsgNotFound
		}
		if err := p.readOn(ctx, l, subject); err != nil {
			return nil, err
		}
	}
	return a.next[0], nil
}

// readOn reads the messages of a subject behind what was read of its line. The n-th reading asks
// for the first message from the n-th sequence on. So each finds a message that another one found
// as well, or the next one, and there is no gap between them.
func (p *picker) readOn(ctx context.Context, l *line, subject string) error {
	from := l.read + 1
	msgs, errs := p.readAll(ctx, p.width, func(n int) (uint64, []jetstream.GetMsgOpt) {
		return from + uint64(n), []jetstream.GetMsgOpt{jetstream.WithGetMsgSubject(subject)}
	})
	l.ahead.next = l.ahead.next[:0]
	for n, msg := range msgs {
		switch {
		case errors.Is(errs[n], jetstream.ErrMsgNotFound):
			l.ahead.ended = true
		case errs[n] == nil:
			if known := len(l.ahead.next); known == 0 || l.ahead.next[known-1].Sequence < msg.Sequence {
				l.ahead.next = append(l.ahead.next, msg)
			}
			continue
		}
		if len(l.ahead.next) == 0 {
			return errs[n]
		}
		break
	}
	return nil
}

// reread returns a message that was handed over and may be again. Those that may be handed over
// next are read with it.
func (p *picker) reread(ctx context.Context, m *picked) (*jetstream.RawStreamMsg, error) {
	again := m.line.ahead.again
	if msg, known := again[m.place.Sequence]; known {
		delete(again, m.place.Sequence)
		if msg == nil {
			return nil, jetstream.ErrMsgNotFound
		}
		return msg, nil
	}
	due := p.allDue(m)
	due = due[:min(len(due), p.width)]
	msgs, errs := p.readAll(ctx, len(due), func(n int) (uint64, []jetstream.GetMsgOpt) { return due[n], nil })
	if again == nil {
		again = make(map[uint64]*jetstream.RawStreamMsg)
		m.line.ahead.again = again
	}
	for n := 1; n < len(due); n++ {
		if errs[n] == nil || errors.Is(errs[n], jetstream.ErrMsgNotFound) {
			again[due[n]] = msgs[n]
		}
	}
	return msgs[0], errs[0]
}

// allDue returns the sequences of the messages of a line that may be handed over again and were not
// read yet, beginning with the first one.
func (p *picker) allDue(first *picked) []uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	due := []uint64{first.place.Sequence}
	for sequence, m := range first.line.kept {
		if _, known := first.line.ahead.again[sequence]; m != first && !known && m.isDue() {
			due = append(due, sequence)
		}
	}
	slices.Sort(due[1:])
	return due
}

// readAll reads n messages at once.
func (p *picker) readAll(ctx context.Context, n int, what func(n int) (uint64, []jetstream.GetMsgOpt)) ([]*jetstream.RawStreamMsg, []error) {
	msgs, errs := make([]*jetstream.RawStreamMsg, n), make([]error, n)
	read := func(n int) {
		sequence, options := what(n)
		msgs[n], errs[n] = p.read(ctx, sequence, options...)
	}
	var reads sync.WaitGroup
	for i := range n - 1 {
		reads.Go(func() { read(i + 1) })
	}
	read(0)
	reads.Wait()
	return msgs, errs
}

// forgetAhead forgets what was read ahead.
func (p *picker) forgetAhead() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.lines {
		l.ahead = readAhead{}
	}
}
