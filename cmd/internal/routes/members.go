package routes

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"backhaul/cmd/internal/strictyaml"
	"backhaul/consumer/trigger"
)

// literal returns a text that may have no placeholder.
func (l *loader) literal(n *yaml.Node, what string) string {
	text, err := trigger.Literal(l.Text(n, what))
	if err != nil {
		l.Problem(n.Line, "%s %v", what, err)
	}
	return text
}

// template returns a text that may have placeholders.
func (l *loader) template(n *yaml.Node, what string) string {
	if n.Kind == yaml.MappingNode && len(n.Content) == 2 && n.Content[1].ShortTag() == "!!null" {
		l.Problem(n.Line, "%s is {%s} without quotes, which is a mapping in YAML; write \"{%[2]s}\"", what, n.Content[0].Value)
		return ""
	}
	text := l.Text(n, what)
	if err := trigger.CheckTemplate(text); err != nil {
		l.Problem(n.Line, "%s %v", what, err)
		return ""
	}
	return text
}

// unrouted reports whether changes that no route takes are kept.
func (l *loader) unrouted(n *yaml.Node) bool {
	text := l.Text(n, "unrouted")
	if text != "" && text != "keep" && text != "count" {
		l.Problem(n.Line, "unrouted is %s, must be count (the default) or keep: a change that no route takes is counted, or its notification becomes a dead letter too", strictyaml.Quoted(text))
	}
	return text == "keep"
}

func (l *loader) keys(n *yaml.Node) trigger.Keys {
	known := []string{string(trigger.KeysForm), string(trigger.KeysRaw)}
	text := l.Text(n, "keys")
	if text != "" && !slices.Contains(known, text) {
		l.Problem(n.Line, "keys is %s, must be form or raw%s", strictyaml.Quoted(text), l.Nearest(text, known))
		return ""
	}
	return trigger.Keys(text)
}

func (l *loader) events(n *yaml.Node) []trigger.Kind {
	known := []string{string(trigger.KindCreated), string(trigger.KindDeleted)}
	var events []trigger.Kind
	l.Sequence(n, "events", "created, deleted or both", func(item *yaml.Node) {
		switch kind := l.Text(item, "events"); {
		case kind == "":
		case !slices.Contains(known, kind):
			l.Problem(item.Line, "events has %s, must be created or deleted%s", strictyaml.Quoted(kind), l.Nearest(kind, known))
		default:
			events = append(events, trigger.Kind(kind))
		}
	})
	if n.Kind == yaml.SequenceNode && len(n.Content) == 0 {
		l.Problem(n.Line, "events is empty, so nothing would match; leave it out for created")
	}
	return events
}

func (l *loader) window(n *yaml.Node) trigger.Window {
	w, at := trigger.DefaultWindow, n.Line
	maxGiven := false
	l.Mapping(n, "a window", windowKeys, func(key string, value *yaml.Node) {
		switch key {
		case "quiet":
			w.Quiet = l.Duration(value, key, trigger.MinQuiet, trigger.MaxWindow)
		case "max":
			w.Max, maxGiven, at = l.Duration(value, key, trigger.MinQuiet, trigger.MaxWindow), true, value.Line
		case "maxPaths":
			w.MaxPaths = l.Int(value, key, 1, trigger.MaxPaths)
		}
	})
	if w.Quiet > w.Max && w.Max > 0 {
		hint := ""
		if !maxGiven {
			hint = ", its default; give both"
		}
		l.Problem(at, "quiet is %s, longer than max, %s%s", w.Quiet, w.Max, hint)
	}
	return w
}

func (l *loader) directive(n *yaml.Node) *trigger.Directive {
	d, given := &trigger.Directive{}, make(map[string]bool)
	whole := l.Mapping(n, "a directive", directiveKeys, func(key string, value *yaml.Node) {
		given[key] = true
		s := l.template(value, key)
		switch {
		case s == "":
		case key == "container":
			// The vendor gets the path of the file, and must find it by that.
			_, why := trigger.Change{Kind: trigger.KindCreated, Container: s, Key: "x"}.Path()
			if d.Container = s; strings.Contains(s, "*") || why != "" {
				l.Problem(value.Line, "the directive's container is %q, must be the name of one bucket or container, or have a placeholder such as {container}", s)
			}
		case !strings.HasSuffix(s, "/"):
			l.Problem(value.Line, "the directive's prefix is %q, must end in a slash: all that begins with it is taken for a directive file", s)
		case templateInFolder(s):
			l.Problem(value.Line, "the directive's prefix is %q, must have a folder of its own before the first placeholder, such as .backhaul/{container}/: all below it starts nothing", s)
		default:
			d.Prefix = s
			file := trigger.Change{Kind: trigger.KindCreated, Container: "c", Key: s + "x"}
			if _, why := file.Path(); why != "" {
				l.Problem(value.Line, "the directive's prefix is %q, which is not a path: %s", s, strings.Replace(why, "its key", "it", 1))
			}
		}
	})
	for _, key := range directiveKeys {
		if whole && !given[key] {
			l.Problem(n.Line, "the directive has no %s; give a container and a prefix of their own, such as prefix: backhaul/", key)
		}
	}
	return d
}

// templateInFolder reports whether the first placeholder of a prefix does not follow a slash.
func templateInFolder(prefix string) bool {
	before, after, has := strings.Cut(prefix, "{")
	return has && !strings.HasPrefix(after, "{") && !strings.HasSuffix(before, "/")
}

func (l *loader) labels(n *yaml.Node) map[string]string {
	labels := make(map[string]string)
	l.Mapping(n, "labels", nil, func(key string, value *yaml.Node) {
		if strings.HasPrefix(key, trigger.LabelPrefix) {
			l.Problem(value.Line, "the label %s is taken: names that begin with %s are the trigger's own", strictyaml.Quoted(key), trigger.LabelPrefix)
		}
		if s := l.template(value, "the label "+strictyaml.Quoted(key)); s != "" {
			labels[key] = s
		}
	})
	if len(labels) > trigger.MaxLabels {
		l.Problem(n.Line, "labels has %d labels, a route may have %d; the trigger adds its own", len(labels), trigger.MaxLabels)
		return nil
	}
	return labels
}
