package show

import (
	"io"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

const (
	// linesFor is how long lines are gathered at most.
	linesFor = 10 * time.Millisecond
	// maxLines is how many bytes of lines are gathered at most.
	maxLines = 32 << 10
)

// LogLines gathers the lines of a log that come within 10 ms into one write, because under load each
// request has one. The first line after a pause, and a warning or error with all that came before
// it, are written at once. If the process is killed, the lines of the last 10 ms are lost.
type LogLines struct {
	w     io.Writer
	timer *time.Timer

	mu       sync.Mutex
	gathered []byte
	last     time.Time // of the last write
}

var _ zerolog.LevelWriter = (*LogLines)(nil)

// NewLogLines returns LogLines that writes to w. Flush must be called at the end.
func NewLogLines(w io.Writer) *LogLines {
	l := &LogLines{w: w}
	l.timer = time.AfterFunc(time.Hour, l.Flush)
	l.timer.Stop()
	return l
}

// Write writes a line, and those before it, at once.
func (l *LogLines) Write(p []byte) (int, error) { return l.WriteLevel(zerolog.NoLevel, p) }

// WriteLevel writes a line of a level.
func (l *LogLines) WriteLevel(level zerolog.Level, p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	wait := linesFor - now.Sub(l.last)
	if len(l.gathered) == 0 && (wait <= 0 || level > zerolog.InfoLevel) {
		l.last = now
		return l.w.Write(p)
	}
	if len(l.gathered) == 0 {
		l.timer.Reset(wait)
	}
	l.gathered = append(l.gathered, p...)
	if wait <= 0 || level > zerolog.InfoLevel || len(l.gathered) >= maxLines {
		return len(p), l.flush()
	}
	return len(p), nil
}

// Flush writes what was gathered.
func (l *LogLines) Flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.flush()
}

func (l *LogLines) flush() error {
	if len(l.gathered) == 0 {
		return nil
	}
	l.last = time.Now()
	_, err := l.w.Write(l.gathered)
	l.gathered = l.gathered[:0]
	return err
}
