package routes

import (
	"fmt"
	"slices"
	"strings"

	"backhaul/consumer/trigger"
	"backhaul/schemas"
)

// Finding is about a route that can be loaded.
type Finding struct {
	Line int
	// Fault is set if a part of the file can have no effect, or cannot work. Any other
	// finding is a warning.
	Fault bool
	Text  string
}

// Check finds what [Load] accepts: routes that no change can reach, and directives that the
// vendor cannot read or that hide data. The findings are sorted by line.
func Check(rs *trigger.Routes) []Finding {
	var found []Finding
	add := func(r *trigger.Route, fault bool, format string, args ...any) {
		found = append(found, Finding{Line: r.Line, Fault: fault, Text: fmt.Sprintf("route %s: ", label(r)) + fmt.Sprintf(format, args...)})
	}
	unreachable(rs.All(), func(r, by *trigger.Route) {
		add(r, true, "cannot be reached: %s, before it, takes all that it would", label(by))
	})
	users := make(map[trigger.Directive]*trigger.Route)
	for _, r := range rs.All() {
		for _, d := range rs.Directives() {
			switch {
			case r.Ignore || !strings.HasPrefix(r.Place.Prefix, d.Prefix) || r.Place.Container != d.Container:
			case includes(d.Account, r.Place.Account) && includes(d.System, r.Place.System) && includes(d.Subject, r.Place.Subject):
				add(r, true, "cannot be reached: it lies in the directive prefix /%s/%s, and what is there starts nothing", d.Container, d.Prefix)
			}
		}
		switch prefix, suffix := r.Place.Prefix, r.Place.Suffix; {
		case strings.HasPrefix(prefix, "/"):
			add(r, false, "the prefix %q begins with a slash, and names of objects hardly ever do; leave it out", prefix)
		case strings.ContainsAny(prefix+suffix, "*?"):
			add(r, false, "prefix and suffix are not patterns: %q and %q are compared as they are", prefix, suffix)
		}
		if level := r.Request.BackupLevel; level != "" && level != schemas.LevelIncremental {
			add(r, false, "asks for %s at the end of each window, that is as often as every %s", level, r.Window.Quiet)
		}
		if r.Directive == nil {
			continue
		}
		if r.Place.Container == trigger.AnyContainer {
			add(r, false, "lists paths of any container into %s; all must be in the account of instance %s, or the vendor looks for them in vain", r.Directive.Container, r.Request.InstanceName)
		}
		if slices.Contains(r.Events, trigger.KindDeleted) {
			add(r, false, "has a directive and the event deleted: what is gone cannot be listed, so a window with a deletion asks for a plain INCREMENTAL")
		}
		first := users[*r.Directive]
		if first == nil {
			users[*r.Directive] = r
			continue
		}
		if first.Place.Account != r.Place.Account || first.Request.ClientName != r.Request.ClientName || first.Request.InstanceName != r.Request.InstanceName {
			add(r, false, "writes its directive files to /%s/%s like %s, for another instance; a file is read with the credentials of the instance, so that container must be in the account of both",
				r.Directive.Container, r.Directive.Prefix, label(first))
		}
	}
	slices.SortStableFunc(found, func(a, b Finding) int { return a.Line - b.Line })
	return found
}

// label returns the route as it is called in a sentence.
func label(r *trigger.Route) string {
	if r.Name != lineName(r.Line) {
		return fmt.Sprintf("%q (line %d)", r.Name, r.Line)
	}
	return fmt.Sprintf("of line %d", r.Line)
}

// unreachable calls report with each route that a single route before it hides. It does
// not find a route that only several together hide.
func unreachable(routes []*trigger.Route, report func(r, by *trigger.Route)) {
	byContainer := make(map[string][]*trigger.Route)
	for _, r := range routes {
		earlier := byContainer[r.Place.Container]
		if r.Place.Container != trigger.AnyContainer {
			earlier = slices.Concat(earlier, byContainer[trigger.AnyContainer])
		}
		if i := slices.IndexFunc(earlier, func(e *trigger.Route) bool { return hides(e, r) }); i >= 0 {
			report(r, earlier[i])
		}
		byContainer[r.Place.Container] = append(byContainer[r.Place.Container], r)
	}
}

// hides reports whether r takes every change that other, after it, would take.
func hides(r, other *trigger.Route) bool {
	p, q := &r.Place, &other.Place
	for _, kind := range other.Events {
		if !slices.Contains(r.Events, kind) {
			return false
		}
	}
	return (p.Container == trigger.AnyContainer || p.Container == q.Container) &&
		includes(p.Account, q.Account) && includes(p.System, q.System) && includes(p.Subject, q.Subject) && includes(p.Source, q.Source) &&
		(p.Size == (trigger.Sizes{}) || p.Size == q.Size) &&
		(r.Keys == "" || r.Keys == other.Keys) &&
		strings.HasPrefix(q.Prefix, p.Prefix) && strings.HasSuffix(q.Suffix, p.Suffix)
}

// includes reports whether a condition of a place surely holds where another does.
func includes(condition, other string) bool {
	return condition == "" || condition == "*" || condition == other
}
