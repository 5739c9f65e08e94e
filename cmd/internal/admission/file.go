package admission

import (
	"context"
	"os"

	"github.com/rs/zerolog"

	"backhaul/cmd/internal/livefile"
	"backhaul/cmd/internal/policy"
)

// File is a policy file and the policy in force.
type File struct {
	live *livefile.File[*policy.Policy]
}

// Open reads a file. The error is a [*strictyaml.Error]. A policy is not applied, now and later,
// if fits returns an error for it; nil permits every policy.
func Open(path string, fits func(*policy.Policy) error, log zerolog.Logger) (*File, error) {
	live, err := livefile.Open(livefile.Kind[*policy.Policy]{
		Name: "policy", Stay: "stays in force", Check: "backhaul policy check", Read: policy.Read,
		Parse: func(path string, data []byte) (*policy.Policy, error) {
			p, err := policy.Parse(path, data)
			if err == nil && fits != nil {
				err = fits(p)
			}
			return p, err
		},
		Describe: func(line *zerolog.Event, p *policy.Policy) *zerolog.Event {
			sources, rules := p.Size()
			return line.Int("sources", sources).Int("rules", rules).Int("groups", p.Groups())
		},
	}, path, log)
	if err != nil {
		return nil, err
	}
	return &File{live}, nil
}

// Policy returns the policy in force.
func (f *File) Policy() *policy.Policy { return f.live.Content() }

// Trouble returns why the file's current content is not in force, or nil if it is.
func (f *File) Trouble() error { return f.live.Trouble() }

// Follow applies changes of the file until ctx ends. It reads the file every
// [livefile.Interval], and immediately on each signal from reload.
func (f *File) Follow(ctx context.Context, reload <-chan os.Signal) { f.live.Follow(ctx, reload, nil) }
