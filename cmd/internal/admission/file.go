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
	"backhaul/schemas/strictyaml"
)

// Interval is how often a file is read. A change counts after two readings.
const Interval = 2 * time.Second

// File is a policy file, and the policy in force.
type File struct {
	path    string
	log     zerolog.Logger
	current atomic.Pointer[policy.Policy]

	mu      sync.Mutex // of what follows
	seen    string     // what the last reading found: a hash, or an error
	said    string     // what was found wrong and logged
	trouble error
}

// Open reads a file. The error is a [*policy.Error].
func Open(path string, log zerolog.Logger) (*File, error) {
	p, err := policy.Load(path)
	if err != nil {
		return nil, err
	}
	f := &File{path: path, log: log, seen: p.Sum}
	f.current.Store(p)
	f.tell(p, "policy in force")
	return f, nil
}

// Policy is the policy in force.
func (f *File) Policy() *policy.Policy { return f.current.Load() }

// Trouble is why the file is not in force as it is now, nil if it is.
func (f *File) Trouble() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.trouble
}

// Follow takes changes over until ctx ends: those that are found every so often,
// and at once those that there are on a signal.
func (f *File) Follow(ctx context.Context, every time.Duration, reload <-chan os.Signal) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			f.look(false)
		case <-reload:
			f.look(true)
		case <-ctx.Done():
			return
		}
	}
}

// look reads the file and takes it over. Unless it is asked for, what is found for
// the first time waits for the next reading: it may be half written.
func (f *File) look(asked bool) {
	data, err := policy.Read(f.path) // which may take long
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
	if f.seen = found; !again && !asked {
		return
	}

	current := f.current.Load()
	if found == current.Sum {
		if f.trouble != nil || asked {
			f.tell(current, "policy unchanged")
		}
		f.trouble, f.said = nil, ""
		return
	}
	p := current
	if err == nil {
		p, err = policy.Parse(f.path, data)
	}
	if err != nil {
		f.reject(found, asked, err)
		return
	}
	f.current.Store(p)
	f.trouble, f.said = nil, ""
	f.tell(p, "policy reloaded")
}

// reject keeps the policy in force and says so, once or when asked.
func (f *File) reject(found string, asked bool, err error) {
	current := f.current.Load()
	if f.said == found && !asked {
		return
	}
	f.said = found
	short := err.Error() // a condition is one line
	if e, ok := errors.AsType[*strictyaml.Error](err); ok {
		short = e.First()
	}
	f.trouble = fmt.Errorf("since %s: %s; the policy with SHA-256 %s stays in force; fix the file: `backhaul policy check %s` lists every problem",
		time.Now().UTC().Format(time.RFC3339), short, prefix(current), f.path)
	f.log.Error().Err(err).Str("file", f.path).Str("sha256", prefix(current)).Msg("policy file refused, the old policy stays in force")
}

func (f *File) tell(p *policy.Policy, what string) {
	sources, rules := p.Size()
	f.log.Info().Str("file", f.path).Str("sha256", prefix(p)).Int("sources", sources).Int("rules", rules).Msg(what)
}

// prefix is as much of a hash as people compare.
func prefix(p *policy.Policy) string { return p.Sum[:12] }
