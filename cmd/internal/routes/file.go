package routes

import (
	"github.com/rs/zerolog"

	"backhaul/cmd/internal/livefile"
	"backhaul/cmd/internal/strictyaml"
	"backhaul/consumer/trigger"
)

// File is a routes file and the routes in force.
type File = livefile.File[*trigger.Routes]

// Open reads a routes file. The error is a [*strictyaml.Error].
func Open(path string, log zerolog.Logger) (*File, error) {
	return livefile.Open(livefile.Kind[*trigger.Routes]{
		Name: "routes", Stay: "stay in force", Check: "backhaul trigger check --routes",
		Read:  func(path string) ([]byte, error) { return strictyaml.ReadFile(fileKind, path, maxFile) },
		Parse: Parse,
		Describe: func(line *zerolog.Event, rs *trigger.Routes) *zerolog.Event {
			return line.Str("source", rs.Source).Int("routes", len(rs.All()))
		},
	}, path, log)
}
