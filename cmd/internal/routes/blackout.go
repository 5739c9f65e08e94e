package routes

import (
	"time"

	"go.yaml.in/yaml/v3"

	"backhaul/cmd/internal/strictyaml"
	"backhaul/consumer/trigger/blackout"
)

// blackout returns the times in which a route requests nothing.
func (l *loader) blackout(n *yaml.Node) blackout.Windows {
	if n.Kind == yaml.SequenceNode && len(n.Content) == 0 {
		l.Problem(n.Line, "blackout is empty; leave it out")
		return blackout.Windows{}
	}
	if ws, ok := l.blackouts[first(n)]; ok {
		return ws
	}
	var all []blackout.Window
	good := true
	l.Sequence(n, "blackout", "times, each with its - schedule", func(item *yaml.Node) {
		w, ok := l.blackoutWindow(item)
		all, good = append(all, w), good && ok
	})
	if !good {
		all = nil // they have problems already
	}
	ws, err := blackout.NewWindows(all...)
	if err != nil {
		l.Problem(n.Line, "blackout %v", err)
	}
	if l.blackouts == nil {
		l.blackouts = make(map[*yaml.Node]blackout.Windows)
	}
	l.blackouts[first(n)] = ws
	return ws
}

// first returns the first part of a node, which is the same where the node is used again by an
// alias.
func first(n *yaml.Node) *yaml.Node {
	if len(n.Content) == 0 {
		return n
	}
	return n.Content[0]
}

func (l *loader) blackoutWindow(n *yaml.Node) (blackout.Window, bool) {
	schedule, line, lasts, zone, good := "", 0, time.Duration(0), time.UTC, true
	whole := l.Mapping(n, "a blackout", blackoutKeys, func(key string, value *yaml.Node) {
		switch key {
		case "schedule":
			schedule, line = l.Text(value, key), value.Line
			good = good && schedule != ""
		case "duration":
			lasts = l.Duration(value, key, blackout.Shortest, blackout.Longest)
			good = good && lasts > 0
		case "timeZone":
			var ok bool
			zone, ok = l.zone(value)
			good = good && ok
		}
	})
	if !whole || !good {
		return blackout.Window{}, false
	}
	if line == 0 || lasts == 0 {
		l.Problem(n.Line, "the blackout needs a schedule, such as \"0 8 * * mon-fri\", and a duration, such as 10h")
		return blackout.Window{}, false
	}
	w, err := blackout.New(schedule, lasts, zone)
	if err != nil {
		l.Problem(line, "schedule %v", err)
	}
	return w, err == nil
}

// zone returns a time zone by its name.
func (l *loader) zone(n *yaml.Node) (*time.Location, bool) {
	name := l.Text(n, "timeZone")
	if name == "" {
		return nil, false
	}
	zone, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		l.Problem(n.Line, "timeZone is %s, must be a name of the time zone database, such as Europe/Berlin; the default is UTC", strictyaml.Quoted(name))
		return nil, false
	}
	return zone, true
}
