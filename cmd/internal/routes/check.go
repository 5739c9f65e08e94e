package routes

import (
	"fmt"
	"slices"
	"strings"

	"backhaul/cmd/internal/strictyaml"
	"backhaul/consumer/trigger"
	"backhaul/consumer/turn"
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
	directives := make(map[string][]trigger.Place) // by prefix
	for _, d := range rs.Directives() {
		directives[d.Prefix] = append(directives[d.Prefix], d)
	}
	users := make(map[trigger.Directive]*trigger.Route)
	for _, r := range rs.All() {
		for length := range len(r.Place.Prefix) + 1 {
			for _, d := range directives[r.Place.Prefix[:length]] {
				if !r.Ignore && within(&r.Place, &d) {
					add(r, true, "cannot be reached: it lies in the directive prefix /%s/%s, and what is there starts nothing", d.Container, d.Prefix)
				}
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
		if loose := r.Loose(); loose != "" {
			add(r, false, "has {%s} in its plan, labels or directive, and not in the names of the content group: a request has the changes of several, and the value of the first", loose)
		}
		if r.Directive == nil {
			continue
		}
		if trigger.IsPattern(r.Place.Container) && !strings.Contains(r.Directive.Container, "{") {
			add(r, false, "lists paths of any container that it takes into %s; all must be in the account of instance %s, or the vendor looks for them in vain", r.Directive.Container, r.Request.InstanceName)
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
	for _, d := range trigger.Disagreements(rs.All()) {
		if d.Perhaps {
			add(d.Route, false, "may lead to the same content group as %s (%s and %s), which has another %s: the settings of the change that comes first count; give both the same, or names that differ",
				label(d.Earlier), d.Earlier.Group(), d.Route.Group(), d.What)
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
	type place struct{ container, prefix string }
	earlier := make(map[place][]*trigger.Route)
	var patterns []string // containers of earlier, with a *
	for _, r := range routes {
		containers := []string{r.Place.Container}
		for _, p := range patterns {
			if p != r.Place.Container && covers(p, r.Place.Container) {
				containers = append(containers, p)
			}
		}
		var by *trigger.Route
		for _, container := range containers {
			for length := 0; length <= len(r.Place.Prefix) && by == nil; length++ {
				same := earlier[place{container, r.Place.Prefix[:length]}]
				if i := slices.IndexFunc(same, func(e *trigger.Route) bool { return hides(e, r) }); i >= 0 {
					by = same[i]
				}
			}
		}
		if by != nil {
			report(r, by)
		}
		if trigger.IsPattern(r.Place.Container) && !slices.Contains(patterns, r.Place.Container) {
			patterns = append(patterns, r.Place.Container)
		}
		at := place{r.Place.Container, r.Place.Prefix}
		earlier[at] = append(earlier[at], r)
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
	return r.TakesAll() && covers(p.Container, q.Container) &&
		includes(p.Account, q.Account) && includes(p.System, q.System) && includes(p.Subject, q.Subject) && includes(p.Source, q.Source) &&
		(p.Size == (trigger.Sizes{}) || p.Size == q.Size) &&
		(r.Keys == "" || r.Keys == other.Keys) &&
		strings.HasPrefix(q.Prefix, p.Prefix) && strings.HasSuffix(q.Suffix, p.Suffix)
}

// within reports whether a place surely lies in that of a directive, whose prefix is one of its own.
func within(p, directive *trigger.Place) bool {
	return covers(directive.Container, p.Container) && includes(directive.Account, p.Account) &&
		includes(directive.System, p.System) && includes(directive.Subject, p.Subject)
}

// covers reports whether a pattern surely takes every container that another one takes.
func covers(pattern, other string) bool {
	if pattern == other || pattern == trigger.AnyContainer {
		return true
	}
	head, tail, has := strings.Cut(pattern, "*")
	return has && !strings.Contains(tail, "*") && len(other) >= len(head)+len(tail) &&
		strings.HasPrefix(other, head) && strings.HasSuffix(other, tail)
}

// includes reports whether a condition of a place surely holds where another does.
func includes(condition, other string) bool {
	return condition == "" || condition == "*" || condition == other
}

// NeedFollowing returns a [*strictyaml.Error] with the routes whose rule needs jobs to be followed,
// nil if there are none.
func NeedFollowing(rs *trigger.Routes) error {
	var problems []strictyaml.Problem
	for _, r := range rs.All() {
		if r.Rule.Applies() {
			problems = append(problems, strictyaml.Problem{Line: r.Line, Text: turn.NeedsFollowing})
		}
	}
	if len(problems) == 0 {
		return nil
	}
	return &strictyaml.Error{What: fileKind, File: rs.File, Problems: problems}
}
