package routes

import (
	"github.com/rs/zerolog"

	"backhaul/cmd/internal/livefile"
	"backhaul/cmd/internal/strictyaml"
	"backhaul/consumer/trigger"
)

// File is a routes file and the routes in force.
type File = livefile.File[*trigger.Routes]

// Open reads a routes file. The error is a [*strictyaml.Error]. Unless following is set, routes whose
// rule needs jobs to be followed are refused, now and later.
func Open(path string, following bool, log zerolog.Logger) (*File, error) {
	return livefile.Open(livefile.Kind[*trigger.Routes]{
		Name: "routes", Stay: "stay in force", Check: "backhaul trigger check --routes",
		Read: func(path string) ([]byte, error) { return strictyaml.ReadFile(fileKind, path, maxFile) },
		Parse: func(path string, data []byte) (*trigger.Routes, error) {
			rs, err := Parse(path, data)
			if err == nil && !following {
				err = NeedFollowing(rs)
			}
			return rs, err
		},
		Describe: func(line *zerolog.Event, rs *trigger.Routes) *zerolog.Event {
			return line.Str("source", rs.Source).Int("routes", len(rs.All()))
		},
	}, path, log)
}
