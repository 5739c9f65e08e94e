package trigger

import (
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"backhaul/schemas/strictyaml"
)

// loader walks a YAML document and collects what is wrong with it.
type loader struct{ strictyaml.Reader }

// text is a string that is not empty; "" after a problem.
func (l *loader) text(n *yaml.Node, what string) string {
	switch {
	case n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null":
		l.Problem(n.Line, "%s must be a string, here is %s", what, l.Describe(n))
	case n.ShortTag() != "!!str":
		l.Problem(n.Line, "%s must be a string; put %s into quotes", what, strictyaml.Quoted(n.Value))
	case n.Value == "":
		l.Problem(n.Line, "%s is empty; leave it out", what)
	default:
		return n.Value
	}
	return ""
}

func (l *loader) boolean(n *yaml.Node, what string) bool {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!bool" {
		l.Problem(n.Line, "%s must be true or false, here is %s", what, l.Describe(n))
		return false
	}
	return strings.EqualFold(n.Value, "true")
}

func (l *loader) number(n *yaml.Node, what string, least, most int) int {
	number, err := strconv.Atoi(n.Value)
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" || err != nil || number < least || number > most {
		l.Problem(n.Line, "%s must be a whole number from %d to %d, here is %s", what, least, most, l.Describe(n))
	}
	return number
}

func (l *loader) duration(n *yaml.Node, what string, least, most time.Duration) time.Duration {
	d, err := time.ParseDuration(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil || d < least || d > most {
		l.Problem(n.Line, "%s must be a duration such as 30s, from %s to %s, here is %s", what, least, most, l.Describe(n))
		return 0
	}
	return d
}
