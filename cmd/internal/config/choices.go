package config

// Choices are the values that flags may have, for those that may not have any.
func Choices() map[string][]string {
	choices := make(map[string][]string)
	for _, s := range new(Config).settings() {
		if s.flag != "" && s.oneOf != nil {
			choices[s.flag] = s.oneOf
		}
	}
	return choices
}
