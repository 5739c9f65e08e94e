package config

// Choices returns the allowed values of the flags that do not take any value.
func Choices() map[string][]string {
	choices := make(map[string][]string)
	for _, s := range allSettings() {
		if s.flag != "" && s.oneOf != nil {
			choices[s.flag] = s.oneOf
		}
	}
	return choices
}
