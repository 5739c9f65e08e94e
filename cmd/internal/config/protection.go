package config

import (
	"errors"

	"backhaul/cmd/internal/objectives"
	"backhaul/cmd/internal/strictyaml"
)

// GroupProtection has the settings of what is promised for content groups.
const GroupProtection Group = "protection"

// Protection has the settings of what is promised for content groups.
type Protection struct {
	// ObjectivesFile is the file with the objectives. Defaults to none.
	ObjectivesFile string
}

func (p *Protection) settings() []setting {
	return []setting{
		{
			group: GroupProtection, key: "protection.objectivesFile", env: "BACKHAUL_OBJECTIVES_FILE", flag: "objectives-file",
			field: &p.ObjectivesFile, reads: true,
			usage: "YAML `file` that says what is promised for which content groups",
			doc: "See PROTECTION.md. `backhaul run` publishes when a group leaves its objective, and reads the file again " +
				"when it changes.",
		},
	}
}

// check adds what is wrong with the file of objectives, and with the settings together.
func (p Protection) check(e *Error, f Follow) {
	if p.ObjectivesFile == "" {
		return
	}
	_, err := objectives.Load(p.ObjectivesFile)
	if wrong, ok := errors.AsType[*strictyaml.Error](err); ok {
		e.Problems = append(e.Problems, wrong.Each()...)
	} else if err != nil {
		e.add("%v (BACKHAUL_OBJECTIVES_FILE)", err)
	}
	if !f.On {
		e.add("BACKHAUL_FOLLOW: is false, must be true with BACKHAUL_OBJECTIVES_FILE: without it the end of no backup is known")
	}
}
