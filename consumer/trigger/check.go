package trigger

import (
	"fmt"
	"slices"
	"strings"

	"backhaul/schemas"
)

// Finding is something about routes that can be loaded but may not do what was
// meant.
type Finding struct {
	Line int
	// Fault: a part of the file cannot have any effect, or cannot work. Anything
	// else is a warning.
	Fault bool
	Text  string
}

// Check looks for what Load does not refuse: routes that no change can reach,
// and directives that cannot be read or hide data.
func (rs *Routes) Check() []Finding {
	var found []Finding
	add := func(r *Route, fault bool, format string, args ...any) {
		found = append(found, Finding{Line: r.Line, Fault: fault, Text: fmt.Sprintf("route %s: ", r.label()) + fmt.Sprintf(format, args...)})
	}
	rs.unreachable(func(r, by *Route) {
		add(r, true, "cannot be reached: %s, before it, takes all that it would", by.label())
	})
	users := make(map[Directive]*Route)
	for _, r := range rs.routes {
		for _, d := range rs.directives {
			switch {
			case r.Ignore || !strings.HasPrefix(r.place.prefix, d.prefix) || r.place.container != d.container:
			case d.account == "" || d.account == r.place.account:
				add(r, true, "cannot be reached: it lies in the directive prefix /%s/%s, and what is there starts nothing", d.container, d.prefix)
			}
		}
		switch prefix, suffix := r.place.prefix, r.place.suffix; {
		case strings.HasPrefix(prefix, "/"):
			add(r, false, "the prefix %q begins with a slash, and names of objects hardly ever do; leave it out", prefix)
		case strings.ContainsAny(prefix+suffix, "*?"):
			add(r, false, "prefix and suffix are no patterns: %q and %q are looked for as they are", prefix, suffix)
		}
		if level := r.Request.BackupLevel; level != "" && level != schemas.LevelIncremental {
			add(r, false, "asks for %s at the end of each window, that is as often as every %s", level, r.Window.Quiet)
		}
		if r.Directive == nil {
			continue
		}
		if r.place.container == anyContainer {
			add(r, false, "lists paths of any container into %s; all must be in the account of instance %s, or the vendor looks for them in vain", r.Directive.Container, r.Request.InstanceName)
		}
		if slices.Contains(r.events, KindDeleted) {
			add(r, false, "has a directive and the event deleted: what is gone cannot be listed, so a window with a deletion asks for a plain INCREMENTAL")
		}
		first := users[*r.Directive]
		if first == nil {
			users[*r.Directive] = r
			continue
		}
		if first.place.account != r.place.account || first.Request.ClientName != r.Request.ClientName || first.Request.InstanceName != r.Request.InstanceName {
			add(r, false, "writes its directive files to /%s/%s like %s, for another instance; a file is read with the credentials of the instance, so that container must be in the account of both",
				r.Directive.Container, r.Directive.Prefix, first.label())
		}
	}
	slices.SortStableFunc(found, func(a, b Finding) int { return a.Line - b.Line })
	return found
}

// label is how a route is called in a sentence.
func (r *Route) label() string {
	if r.named {
		return fmt.Sprintf("%q (line %d)", r.Name, r.Line)
	}
	return fmt.Sprintf("of line %d", r.Line)
}

// unreachable calls report with each route that a single one before it hides. A
// route that only several together hide is not found.
func (rs *Routes) unreachable(report func(r, by *Route)) {
	byContainer := make(map[string][]*Route)
	for _, r := range rs.routes {
		earlier := byContainer[r.place.container]
		if r.place.container != anyContainer {
			earlier = slices.Concat(earlier, byContainer[anyContainer])
		}
		if i := slices.IndexFunc(earlier, func(e *Route) bool { return e.hides(r) }); i >= 0 {
			report(r, earlier[i])
		}
		byContainer[r.place.container] = append(byContainer[r.place.container], r)
	}
}

// hides tells whether r takes every change that other, after it, would.
func (r *Route) hides(other *Route) bool {
	p, q := &r.place, &other.place
	for _, kind := range other.events {
		if !slices.Contains(r.events, kind) {
			return false
		}
	}
	return (p.container == anyContainer || p.container == q.container) &&
		(p.account == "" || p.account == q.account) &&
		strings.HasPrefix(q.prefix, p.prefix) && strings.HasSuffix(q.suffix, p.suffix)
}
