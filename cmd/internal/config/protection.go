package config

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
			doc:   "See PROTECTION.md.",
		},
	}
}
