package strictyaml_test

import (
	"testing"

	"backhaul/cmd/internal/strictyaml"
)

func TestMatchName(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		listed, name string
		want         bool
	}{
		{"a", "a", true},
		{"a", "A", false},
		{"a", "ab", false},
		{"a", "", false},
		{"", "", true},
		{"*", "", true},
		{"*", "anything/at all", true},
		{"load-*", "load-1", true},
		{"load-*", "load-", true},
		{"load-*", "load", false},
		{"load-*", "reload-1", false},
		{"*-prod", "eu-prod", true},
		{"*-prod", "eu-prod2", false},
		{"ab*b", "ab", false},
		{"ab*b", "abb", true},
		{"a*b*c", "abc", true},
		{"a*b*c", "a-b-b-c", true},
		{"a*b*c", "a-c-b", false},
		{"a**c", "ac", true},
		{"*a*a*", "a", false},
		{"gr*n", "grün", true},
		{"[a-z]", "b", false},
		{"a?c", "abc", false},
		{`\*`, "*", false},
	} {
		if got := strictyaml.MatchName(test.listed, test.name); got != test.want {
			t.Errorf("%q for %q: %t", test.listed, test.name, got)
		}
	}
}
