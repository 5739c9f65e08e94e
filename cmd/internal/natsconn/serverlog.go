package natsconn

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

// serverLog takes what the embedded server logs: warnings and errors are ours as well.
// It is a server.Logger; its methods may be called at any time.
type serverLog struct {
	zerolog.Logger
	// broken is signalled when writeError is set.
	broken     chan struct{}
	writeError atomic.Pointer[error]
	// fatal is why the server cannot start.
	fatal atomic.Pointer[error]

	mu    sync.Mutex
	since time.Time       // the current minute's beginning
	said  map[string]bool // in it
}

// maxSaid bounds how many lines are logged in a minute: who connects to the server can
// make it log.
const maxSaid = 100

func newServerLog(log zerolog.Logger) *serverLog {
	return &serverLog{Logger: log, broken: make(chan struct{}, 1), said: make(map[string]bool)}
}

// writeFailed reports whether a text of the server says that a stream takes no writes
// any more. The server has no other word for it (nats-server 2.15: setWriteErr of
// filestore.go and stream.go, healthz of monitor.go, handleOutOfSpace of jetstream.go).
func writeFailed(text string) bool {
	text = strings.ToLower(text)
	return strings.Contains(text, "write error") && !strings.Contains(text, "non-write error") ||
		strings.Contains(text, "will be disabled") || strings.Contains(text, "disabling jetstream")
}

// forget makes it the log of another server.
func (l *serverLog) forget() {
	l.writeError.Store(nil)
	select {
	case <-l.broken:
	default:
	}
}

func (l *serverLog) take(level zerolog.Level, format string, args []any) {
	text := fmt.Sprintf(format, args...)
	if writeFailed(text) {
		err := errors.New(text)
		l.writeError.Store(&err)
		select {
		case l.broken <- struct{}{}:
		default:
		}
	}
	if l.isNews(text) {
		l.WithLevel(level).Str("server", "embedded NATS").Msg(text)
	}
}

// isNews reports whether a text is to be logged: once in a minute.
func (l *serverLog) isNews(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.since) >= time.Minute {
		l.since = time.Now()
		clear(l.said)
	}
	if l.said[text] || len(l.said) >= maxSaid {
		return false
	}
	l.said[text] = true
	return true
}

func (l *serverLog) Warnf(format string, args ...any)  { l.take(zerolog.WarnLevel, format, args) }
func (l *serverLog) Errorf(format string, args ...any) { l.take(zerolog.ErrorLevel, format, args) }

// Fatalf keeps why the server cannot start, for [Embedded.serve]: an error among the
// arguments, else the text. It does not end the process.
func (l *serverLog) Fatalf(format string, args ...any) {
	err := fmt.Errorf(format, args...)
	for _, arg := range args {
		if cause, ok := arg.(error); ok {
			err = cause
		}
	}
	l.fatal.CompareAndSwap(nil, &err)
}

func (*serverLog) Noticef(string, ...any) {}
func (*serverLog) Debugf(string, ...any)  {}
func (*serverLog) Tracef(string, ...any)  {}
