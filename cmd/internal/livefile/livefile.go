// Package livefile keeps the content of a configuration file in force while the file changes.
//
// The file is read every [Interval], and immediately on a signal. New content is in force if
// it is valid, and if a second read or a signal confirms it: a file may be half written. A file
// that cannot be read or is not valid changes nothing. The reason is logged once for each content,
// and [File.Trouble] returns it until the file is fixed.
package livefile

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"backhaul/cmd/internal/strictyaml"
)

// Interval is how often a file is read. A change takes effect after two reads.
const Interval = 2 * time.Second

// Kind describes files with content of the type T.
type Kind[T any] struct {
	// Name is what the file has, in logs, such as "policy".
	Name string
	// Stay is "stays in force" or "stay in force", as the name needs.
	Stay string
	// Check is the command that lists every problem of a file.
	Check string
	// Read returns the bytes of a file. Its error and that of Parse are a [*strictyaml.Error].
	Read  func(path string) ([]byte, error)
	Parse func(path string, data []byte) (T, error)
	// Describe adds to a line of the log what the content is.
	Describe func(line *zerolog.Event, content T) *zerolog.Event
}

// File is a file and the content in force.
type File[T any] struct {
	kind    Kind[T]
	path    string
	log     zerolog.Logger
	current atomic.Pointer[inForce[T]]

	mu      sync.Mutex // guards the fields below
	seen    string     // result of the last read: a hash or an error's text
	refused string     // result of the read whose refusal was logged last
	trouble error
}

type inForce[T any] struct {
	content T
	sum     string // SHA-256 of the file, in hex
}

// prefix returns the first 12 digits of the hash, enough for people to compare.
func (c *inForce[T]) prefix() string { return c.sum[:12] }

// Open reads a file.
func Open[T any](kind Kind[T], path string, log zerolog.Logger) (*File[T], error) {
	data, err := kind.Read(path)
	if err != nil {
		return nil, err
	}
	content, err := kind.Parse(path, data)
	if err != nil {
		return nil, err
	}
	f := &File[T]{kind: kind, path: path, log: log, seen: hashOf(data)}
	f.current.Store(&inForce[T]{content, f.seen})
	f.logContent(" in force")
	return f, nil
}

func hashOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// Content returns the content in force.
func (f *File[T]) Content() T { return f.current.Load().content }

// Trouble returns why the file's current content is not in force, or nil if it is.
func (f *File[T]) Trouble() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.trouble
}

// Follow applies changes of the file until ctx ends. It reads the file every [Interval], and
// immediately on each signal from reload. apply, if not nil, is called with new content before that
// is in force. If it returns an error, the content is refused.
func (f *File[T]) Follow(ctx context.Context, reload <-chan os.Signal, apply func(T) error) {
	ticker := time.NewTicker(Interval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			f.update(false, apply)
		case <-reload:
			f.update(true, apply)
		case <-ctx.Done():
			return
		}
	}
}

// update reads the file and applies its content. Unless requested by a signal, new
// content is applied only when the next read finds it too: it may be half written.
func (f *File[T]) update(requested bool, apply func(T) error) {
	data, err := f.kind.Read(f.path) // without the lock: it may take long
	f.mu.Lock()
	defer f.mu.Unlock()
	found := ""
	if err != nil {
		found = err.Error()
	} else {
		found = hashOf(data)
	}
	again := found == f.seen
	if f.seen = found; !again && !requested {
		return
	}

	if found == f.current.Load().sum {
		if f.trouble != nil || requested {
			f.logContent(" unchanged")
		}
		f.trouble, f.refused = nil, ""
		return
	}
	if f.refused == found && !requested {
		return // not parsed again
	}
	var content T
	if err == nil {
		content, err = f.kind.Parse(f.path, data)
	}
	if err == nil && apply != nil {
		err = apply(content)
	}
	if err != nil {
		f.refuse(found, err)
		return
	}
	f.current.Store(&inForce[T]{content, found})
	f.trouble, f.refused = nil, ""
	f.logContent(" reloaded")
}

// refuse keeps the content in force and logs why: once for each content, and on every
// signal.
func (f *File[T]) refuse(found string, err error) {
	current := f.current.Load()
	f.refused = found
	short := err.Error() // a condition has one line
	if e, ok := errors.AsType[*strictyaml.Error](err); ok {
		short = e.First()
	}
	f.trouble = fmt.Errorf("since %s: %s; the %s with SHA-256 %s %s; fix the file: `%s %s` lists every problem",
		time.Now().UTC().Format(time.RFC3339), short, f.kind.Name, current.prefix(), f.kind.Stay, f.kind.Check, f.path)
	f.log.Error().Err(err).Str("file", f.path).Str("sha256", current.prefix()).
		Msgf("%s file refused, the old %s %s", f.kind.Name, f.kind.Name, f.kind.Stay)
}

func (f *File[T]) logContent(happened string) {
	current := f.current.Load()
	f.kind.Describe(f.log.Info().Str("file", f.path).Str("sha256", current.prefix()), current.content).Msg(f.kind.Name + happened)
}
