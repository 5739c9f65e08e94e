package trigger

import (
	"slices"
	"strings"
)

// Disagreement is about two routes that lead to one content group and have different settings. Its
// changes are collected in one window and become one request.
type Disagreement struct {
	Route, Earlier *Route
	// What differs, in the words of a routes file.
	What string
	// Perhaps is set if the placeholders of both may be replaced so that the group is the same,
	// and need not. The settings of the change that comes first count then.
	Perhaps bool
}

// Disagreements returns where routes disagree. A route without placeholders wins over a template
// that leads to its content group, so they cannot disagree.
func Disagreements(routes []*Route) (found []Disagreement) {
	fixed := make(map[Group]*Route)
	var templates []template
	for _, r := range routes {
		if r.Ignore {
			continue
		}
		uses, err := r.placeholders()
		if err != nil || len(uses) == 0 {
			if f := fixed[r.Group()]; f == nil {
				fixed[r.Group()] = r
			} else if what := r.Differs(f); what != "" {
				found = append(found, Disagreement{Route: r, Earlier: f, What: what})
			}
			continue
		}
		t := newTemplate(r, uses)
		for i := range templates {
			if f := &templates[i]; f.mayShare(&t) {
				if what := r.named(f.Route).Differs(f.Route); what != "" {
					found = append(found, Disagreement{Route: r, Earlier: f.Route, What: what, Perhaps: f.Group() != r.Group()})
					break
				}
			}
		}
		templates = append(templates, t)
	}
	return found
}

// template is a route with placeholders, and what its names may be: * stands for any text.
type template struct {
	*Route
	uses     []string
	patterns [5]string
}

func newTemplate(r *Route, uses []string) template {
	g := r.Group()
	t := template{Route: r, uses: uses, patterns: [5]string{g.Client, g.Subclient, g.Instance, g.Backupset, g.App}}
	for i, text := range t.patterns {
		t.patterns[i], _ = fill(text, r.possible)
	}
	return t
}

// named returns a copy of the route with the names of another one's content group.
func (r *Route) named(other *Route) *Route {
	named, req := *r, other.Request
	named.Request.ClientName, named.Request.InstanceName, named.Request.BackupsetName = req.ClientName, req.InstanceName, req.BackupsetName
	named.Request.SubclientName, named.Request.AppName = req.SubclientName, req.AppName
	return &named
}

// possible returns a pattern of what a placeholder of the route may stand for.
func (r *Route) possible(placeholder string) string {
	known := ""
	switch placeholder {
	case placeContainer:
		known = r.Place.Container
	case placeAccount:
		known = strings.ToLower(r.Place.Account)
	case placeSystem:
		known = r.Place.System
	default:
		folders := strings.Split(r.Place.Prefix, "/") // the last one may go on
		if n := folderOf(placeholder); n < len(folders) {
			known = folders[n-1]
		}
	}
	if known == "" {
		return "*"
	}
	return known
}

// mayShare reports whether changes may lead to one content group by t and by a later template.
func (t *template) mayShare(later *template) bool {
	for i := range t.patterns {
		if !meet(t.patterns[i], later.patterns[i]) {
			return false
		}
	}
	return !t.takesContainers() || !sameContainer(t.Route, later.Route) || !includesAll(t.Events, later.Events)
}

// takesContainers reports whether the route takes all changes in the containers that it takes.
func (t *template) takesContainers() bool {
	for _, name := range t.uses {
		if name == placeAccount || folderOf(name) > 0 {
			return false
		}
	}
	return t.Place == Place{Container: t.Place.Container} && t.Keys == ""
}

// sameContainer reports whether one content group of both routes means one container.
func sameContainer(a, b *Route) bool {
	of := func(r *Route) []string {
		g := r.Group()
		return []string{g.Client, g.Subclient, g.Instance, g.Backupset}
	}
	others := of(b)
	for i, text := range of(a) {
		if all, err := parts(text); err == nil && text == others[i] && len(all) == 3 && all[1].placeholder == placeContainer {
			return true
		}
	}
	return false
}

func includesAll(events, others []Kind) bool {
	known := func(events []Kind) []Kind {
		if len(events) == 0 {
			return []Kind{KindCreated}
		}
		return events
	}
	return !slices.ContainsFunc(known(others), func(kind Kind) bool { return !slices.Contains(known(events), kind) })
}

// meet reports whether a text may be as both patterns say. A * stands for any text.
func meet(a, b string) bool {
	if !strings.Contains(a, "*") {
		return matches(b, a)
	}
	if !strings.Contains(b, "*") {
		return matches(a, b)
	}
	headA, headB := a[:strings.IndexByte(a, '*')], b[:strings.IndexByte(b, '*')]
	tailA, tailB := a[strings.LastIndexByte(a, '*')+1:], b[strings.LastIndexByte(b, '*')+1:]
	return (strings.HasPrefix(headA, headB) || strings.HasPrefix(headB, headA)) && (strings.HasSuffix(tailA, tailB) || strings.HasSuffix(tailB, tailA))
}

// Loose returns a placeholder of the route's plan, labels or directive that is not in the names of
// the content group, "" without one: a request has the value of the change that came first.
func (r *Route) Loose() string {
	names := *r
	names.Directive, names.Request.Labels, names.Request.StoragePolicyName = nil, nil, ""
	inNames, err := names.placeholders()
	if err != nil {
		return ""
	}
	all, _ := r.placeholders()
	for _, name := range all {
		if !slices.Contains(inNames, name) && strings.Contains(r.possible(name), "*") {
			return name
		}
	}
	return ""
}
