package admission

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

	"backhaul/cmd/internal/policy"
	"backhaul/cmd/internal/strictyaml"
)

// Interval is how often a file is read. A change takes effect after two reads.
const Interval = 2 * time.Second

// File is a policy file and the policy in force.
type File struct {
	path    string
	log     zerolog.Logger
	fits    func(*policy.Policy) error
	current atomic.Pointer[policy.Policy]

	mu      sync.Mutex // guards the fields below
	seen    string     // result of the last read: a hash or an error's text
	refused string     // result of the read whose refusal was logged last
	trouble error
}

// Open reads a file. The error is a [*strictyaml.Error]. A policy is not applied, now and later,
// if fits returns an error for it; nil permits every policy.
func Open(path string, fits func(*policy.Policy) error, log zerolog.Logger) (*File, error) {
	if fits == nil {
		fits = func(*policy.Policy) error { return nil }
	}
	p, err := policy.Load(path)
	if err == nil {
		err = fits(p)
	}
	if err != nil {
		return nil, err
	}
	f := &File{path: path, log: log, fits: fits, seen: p.Sum}
	f.current.Store(p)
	f.logPolicy(p, "policy in force")
	return f, nil
}

// Policy returns the policy in force.
func (f *File) Policy() *policy.Policy { return f.current.Load() }

// Trouble returns why the file's current content is not in force, or nil if it is.
func (f *File) Trouble() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.trouble
}

// Follow applies changes of the file until ctx ends. It reads the file at the given
// interval, and immediately on each signal from reload.
func (f *File) Follow(ctx context.Context, every time.Duration, reload <-chan os.Signal) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			f.update(false)
		case <-reload:
			f.update(true)
		case <-ctx.Done():
			return
		}
	}
}

// update reads the file and applies its content. Unless requested by a signal, new
// content is applied only when the next read finds it too: it may be half written.
func (f *File) update(requested bool) {
	data, err := policy.Read(f.path) // without the lock: it may take long
	f.mu.Lock()
	defer f.mu.Unlock()
	found := ""
	if err != nil {
		found = err.Error()
	} else {
		sum := sha256.Sum256(data)
		found = hex.EncodeToString(sum[:])
	}
	again := found == f.seen
	if f.seen = found; !again && !requested {
		return
	}

	current := f.current.Load()
	if found == current.Sum {
		if f.trouble != nil || requested {
			f.logPolicy(current, "policy unchanged")
		}
		f.trouble, f.refused = nil, ""
		return
	}
	p := current
	if err == nil {
		p, err = policy.Parse(f.path, data)
	}
	if err == nil {
		err = f.fits(p)
	}
	if err != nil {
		f.refuse(found, requested, err)
		return
	}
	f.current.Store(p)
	f.trouble, f.refused = nil, ""
	f.logPolicy(p, "policy reloaded")
}

// refuse keeps the policy in force and logs why: once for each content, and on every
// signal.
func (f *File) refuse(found string, requested bool, err error) {
	current := f.current.Load()
	if f.refused == found && !requested {
		return
	}
	f.refused = found
	short := err.Error() // a condition has one line
	if e, ok := errors.AsType[*strictyaml.Error](err); ok {
		short = e.First()
	}
	f.trouble = fmt.Errorf("since %s: %s; the policy with SHA-256 %s stays in force; fix the file: `backhaul policy check %s` lists every problem",
		time.Now().UTC().Format(time.RFC3339), short, prefix(current), f.path)
	f.log.Error().Err(err).Str("file", f.path).Str("sha256", prefix(current)).Msg("policy file refused, the old policy stays in force")
}

func (f *File) logPolicy(p *policy.Policy, message string) {
	sources, rules := p.Size()
	f.log.Info().Str("file", f.path).Str("sha256", prefix(p)).Int("sources", sources).Int("rules", rules).Int("groups", p.Groups()).Msg(message)
}

// prefix returns the first 12 digits of a policy's hash, enough for people to compare.
func prefix(p *policy.Policy) string { return p.Sum[:12] }
