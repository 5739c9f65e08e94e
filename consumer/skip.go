package consumer

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// skipped are the requests of a line that the picker has read past, because their scope is paused.
// They stay in the stream, and nothing of them is kept in memory: to be looked at again, the line is
// read again from its beginning.
type skipped struct {
	number uint64
	// version is that of the pauses by which they were skipped.
	version uint64
	// since is when the line was last read from its beginning, and first whether that was because
	// of a change of the pauses.
	since time.Time
	first bool
	// expires is when the first of them becomes too old to wait.
	expires time.Time
}

const (
	// maxSkipped bounds the requests that are skipped in one reading of a line, so that the
	// others' lines have their turn in between.
	maxSkipped = 16
	// skipPause is the wait before the next reading.
	skipPause = time.Millisecond
	// skippedAgain is how often a line with few skipped requests is read again. One of them may
	// have been claimed by a replica that did not know of the pause yet, and died.
	skippedAgain = 30 * time.Second
	// skippedEach is added for each of them, so that many cost no more reads than few.
	skippedEach = 20 * time.Millisecond
)

// again returns when the line is to be read again from its beginning.
func (s *skipped) again() time.Time {
	n := time.Duration(s.number)
	wait := max(skippedAgain, n*skippedEach)
	if s.first {
		wait = pausedAgain
	}
	if !s.expires.IsZero() {
		wait = min(wait, max(s.expires.Sub(s.since), pausedAgain, n*skippedEach/4))
	}
	return s.since.Add(wait)
}

// rewind makes a line be read from its beginning if the pauses have changed, or if that was long
// ago and the line was read to its end.
func (p *picker) rewind(l *line) {
	if l.skipped.number == 0 {
		return
	}
	version, _ := p.c.scopes.Version()
	changed := version != l.skipped.version
	if !changed && (l.end == 0 || time.Now().Before(l.skipped.again())) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	l.startAgain()
}

// startAgain makes the line be read from its beginning.
func (l *line) startAgain() {
	l.read, l.end, l.ahead = 0, 0, readAhead{}
	l.skipped = skipped{version: l.skipped.version, since: time.Now()}
}

// skip reports whether a request that was read stays where it is, because its scope is paused.
func (p *picker) skip(ctx context.Context, l *line, msg *jetstream.RawStreamMsg) (bool, error) {
	version, paused := p.c.scopes.Version()
	if !paused || p.keeps(l, msg.Sequence) {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	until, err := p.c.handler.waitsPaused(ctx, p.c.readDelivery(msg, 1, nil))
	if err != nil || !until.After(time.Now()) {
		return false, err
	}
	s := &l.skipped
	if s.number == 0 && version != s.version {
		*s = skipped{version: version, since: time.Now(), first: true}
	}
	s.number++
	if s.expires.IsZero() || until.Before(s.expires) {
		s.expires = until
	}
	return true, nil
}

// keeps reports whether a message was handed over.
func (p *picker) keeps(l *line, sequence uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return l.kept[sequence] != nil
}
