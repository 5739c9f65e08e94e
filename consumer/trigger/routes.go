package trigger

import (
	"slices"
	"strings"
	"time"

	"backhaul/consumer/trigger/blackout"
	"backhaul/consumer/turn"
	"backhaul/schemas"
)

// Routes say which changes start a backup of which content group. [NewRoutes] returns
// them. They are never changed, and safe for concurrent use.
type Routes struct {
	// Source is the source of the requests, which go to backup.request.<source>.
	Source string
	// File is the name of the file that has the routes.
	File string
	// KeepUnrouted is set if a notification with a change that no route takes becomes a dead
	// letter with the code [CodeNoRoute].
	KeepUnrouted bool
	routes       []*Route
	index        placeIndex // of routes
	// directives has the places of directive files.
	directives     []Place
	directiveIndex placeIndex
	instances      *instances
	// mark differs for routes by which a change may go elsewhere: see [decision].Routes.
	mark string
}

// Route leads from the changes of some objects to a content group.
type Route struct {
	// Name is the operator's name of the route, or names its line.
	Name string
	// Line is the line of the file that the route begins in.
	Line int
	// Place has the objects.
	Place Place
	// Keys is how senders that cannot be told apart write the keys of objects; "" if both are
	// possible.
	Keys Keys
	// Events are the kinds of changes that count. Defaults to created, and with Ignore to
	// created and deleted.
	Events []Kind
	// Ignore is set if the changes start nothing. The fields below are empty then.
	Ignore bool
	// Request is the request of each window, without request id and directive file. Its names, plan
	// and labels may have [Placeholders], and so may the directive. {{ stands for a brace.
	Request schemas.BackupRequest
	Window  Window
	// Directive is where lists of changed paths are written. Nil for none.
	Directive *Directive
	// Rule says how the requests of the content group follow each other.
	Rule turn.Rule
	// Blackout has the times in which nothing is requested.
	Blackout blackout.Windows
	// uses has the placeholders of the request and the directive.
	uses []string
}

// Keys is how the keys of objects are written in notifications of S3 and what imitates it.
type Keys string

const (
	// KeysForm: keys are form encoded, as AWS and MinIO write them.
	KeysForm Keys = "form"
	// KeysRaw: keys are written as they are.
	KeysRaw Keys = "raw"
)

// read returns the change as the route reads it.
func (r *Route) read(c Change) Change {
	switch {
	case c.Raw == "" || r.Keys == "":
	case r.Keys == KeysRaw:
		c.Key, c.Raw = c.Raw, ""
	default:
		c.Raw = ""
	}
	return c
}

// says reports whether two routes have the same change of one content group.
func (r *Route) says(c Change, other *Route) bool {
	a, b := r.read(c), other.read(c)
	return r.Group() == other.Group() && a.Key == b.Key && a.Raw == b.Raw
}

// AnyContainer stands for every container in the place of a route.
const AnyContainer = "*"

// IsPattern reports whether the name of a container stands for several.
func IsPattern(container string) bool { return strings.Contains(container, "*") }

// Place is a set of objects.
type Place struct {
	// System, Subject and Source have * for any text; "" for any.
	System    string
	Subject   string
	Source    string
	Account   string // "" for any
	Container string // * for any text
	Prefix    string
	Suffix    string
	Size      Sizes
}

// Window limits how long changes are collected before they become a request.
type Window struct {
	// Quiet is how long nothing has changed when the window ends. Defaults to 30 s.
	Quiet time.Duration
	// Max is the longest that a change waits. Defaults to 5 min.
	Max time.Duration
	// MaxPaths is how many paths end the window at once, if they are listed. Defaults to 1000.
	MaxPaths int
}

// Directive is a place for directive files: objects whose names begin with
// Prefix, which ends in a slash. Changes there never start a backup.
type Directive struct {
	Container string
	Prefix    string
}

// Group identifies a content group. All routes of a group have the same request, window
// and directive, because one window makes one request.
type Group struct {
	Client, Instance, Backupset, Subclient, App string
}

func (g Group) String() string {
	if g.Instance != g.Client {
		return g.Client + "/" + g.Instance + "/" + g.Subclient
	}
	return g.Client + "/" + g.Subclient
}

// Group returns the content group that the route leads to.
func (r *Route) Group() Group {
	return Group{r.Request.ClientName, r.Request.InstanceName, r.Request.BackupsetName, r.Request.SubclientName, r.Request.AppName}
}

// Changes describes the changes that the route takes.
func (r *Route) Changes() string {
	var b strings.Builder
	for i, kind := range r.Events {
		if i > 0 {
			b.WriteString("/")
		}
		b.WriteString(string(kind))
	}
	b.WriteString(" in ")
	for _, part := range []string{r.Place.System, r.Place.Subject, r.Place.Source, r.Place.Account} {
		if part != "" {
			b.WriteString(part + ":")
		}
	}
	b.WriteString(r.Place.Container + "/" + r.Place.Prefix + "*" + r.Place.Suffix + r.Place.Size.String())
	return b.String()
}

// takes reports whether the route takes such a change in its place.
func (r *Route) takes(c *Change) bool {
	return slices.Contains(r.Events, c.Kind) && (r.Keys == "" || c.reading == "" || r.Keys == c.reading)
}

// Path returns a change as a line of the route's directive file, see [Change.Path]. For a
// directory that is wider than the route it returns the route's part of it.
func (r *Route) Path(c Change) (path, why string) {
	c = r.read(c)
	if c.Tree && !c.Broken && strings.HasPrefix(r.Place.Prefix, c.Key) {
		if !strings.HasSuffix(r.Place.Prefix, "/") {
			return "", "only a part of the directory belongs to the route"
		}
		c.Key = r.Place.Prefix
	}
	return c.Path()
}

// Reason is why a change starts a backup, or why not. There are few values, so it can be a
// metric's label.
type Reason string

const (
	// ReasonRouted: the change starts a backup of each route.
	ReasonRouted Reason = "routed"
	// ReasonNoChange: no content changed, see [Change].Note.
	ReasonNoChange Reason = "no-change"
	// ReasonDirective: it is a directive file of the trigger.
	ReasonDirective Reason = "directive"
	// ReasonIgnored: the first route that matches says to ignore it.
	ReasonIgnored Reason = "ignored"
	// ReasonNoRoute: no route matches.
	ReasonNoRoute Reason = "no-route"
)

// All returns the routes in order. Callers must not change the slice.
func (rs *Routes) All() []*Route { return rs.routes }

// HasDirectives reports whether any route writes directive files.
func (rs *Routes) HasDirectives() bool { return len(rs.directives) > 0 }

// Directives returns the places of directive files. Callers must not change the slice.
func (rs *Routes) Directives() []Place { return rs.directives }

// Match returns the first route for a change. A renamed or deleted directory may be wider
// than routes: then Match returns every matching route up to the first that takes all of
// the directory. For other changes it returns at most one. Callers must not change the
// slice.
//
// If it is not known whether the key is encoded, the routes of both readings are returned,
// unless a directive file would be one of them.
func (rs *Routes) Match(c Change) ([]*Route, Reason) {
	if c.Kind == KindNone {
		return nil, ReasonNoChange
	}
	if c.Raw == "" {
		return rs.match(c)
	}
	c.reading = KeysForm
	routes, reason := rs.match(c)
	c.Key, c.reading = c.Raw, KeysRaw
	others, why := rs.match(c)
	if reason == ReasonDirective || why == ReasonDirective {
		return nil, ReasonDirective
	}
	for _, r := range others {
		if !slices.Contains(routes, r) {
			routes = append(routes, r)
		}
	}
	switch {
	case len(routes) > 0:
		reason = ReasonRouted
	case reason == ReasonNoRoute:
		reason = why
	}
	return routes, reason
}

func (rs *Routes) match(c Change) ([]*Route, Reason) {
	if rs.directiveIndex.first(&c, func(i int) bool { return rs.directives[i].contains(&c) }) != none {
		return nil, ReasonDirective
	}
	if c.Tree {
		return rs.matchTree(&c)
	}
	var found []*Route
	first := rs.index.first(&c, func(i int) bool {
		r := rs.routes[i]
		if !r.takes(&c) || !r.Place.contains(&c) {
			return false
		}
		of := rs.instance(i, &c)
		if of != nil {
			found = of // the first so far
		}
		return of != nil
	})
	switch {
	case first == none:
		return nil, ReasonNoRoute
	case rs.routes[first].Place.Size.unsure(&c):
		return rs.matchUnsized(&c, first)
	case rs.routes[first].Ignore:
		return nil, ReasonIgnored
	default:
		return found, ReasonRouted
	}
}

func (rs *Routes) matchTree(c *Change) ([]*Route, Reason) {
	var found []*Route
	reason := ReasonNoRoute
	for _, i := range rs.index.overlapping(c) {
		r := rs.routes[i]
		if !r.takes(c) || !r.Place.overlaps(c) {
			continue
		}
		if r.Ignore && r.Place.Size.unsure(c) {
			continue
		}
		of := rs.instance(i, c)
		switch {
		case of == nil:
			continue // it has no value for a placeholder
		case r.Ignore:
			reason = ReasonIgnored
		default:
			found = append(found, of...)
		}
		if r.Place.Suffix == "" && !r.Place.Size.unsure(c) && strings.HasPrefix(c.Key, r.Place.Prefix) {
			break // it takes all of the rest
		}
	}
	if len(found) > 0 {
		reason = ReasonRouted
	}
	return found, reason
}

// Holders returns the routes whose windows may have the creation of what c deletes. A
// deletion removes it from the window, whether it starts a backup itself or not. Holders
// returns nil unless c is a deletion.
func (rs *Routes) Holders(c Change) []*Route {
	if c.Kind != KindDeleted {
		return nil
	}
	c.Kind, c.Size = KindCreated, -1
	routes, _ := rs.Match(c)
	return routes
}

// where reports whether the place is in the container of a change.
func (p *Place) where(c *Change) bool {
	return (p.Container == c.Container || matches(p.Container, c.Container)) && (p.Account == "" || strings.EqualFold(p.Account, c.Account)) &&
		(p.System == "" || matches(p.System, c.System)) && (p.Subject == "" || matches(p.Subject, c.Subject)) &&
		(p.Source == "" || matches(p.Source, c.Source))
}

// matches reports whether a text is as the pattern says, in which a * stands for any text.
func matches(pattern, text string) bool {
	head, rest, more := strings.Cut(pattern, "*")
	if !more {
		return pattern == text
	}
	text, ok := strings.CutPrefix(text, head)
	for ok {
		var part string
		if part, rest, more = strings.Cut(rest, "*"); !more {
			return strings.HasSuffix(text, part)
		}
		_, text, ok = strings.Cut(text, part)
	}
	return false
}

func (p *Place) contains(c *Change) bool {
	return p.where(c) && strings.HasPrefix(c.Key, p.Prefix) && strings.HasSuffix(c.Key, p.Suffix) && p.Size.take(c)
}

// overlaps reports whether an object below the tree may be in the place.
func (p *Place) overlaps(tree *Change) bool {
	return p.where(tree) && (strings.HasPrefix(tree.Key, p.Prefix) || strings.HasPrefix(p.Prefix, tree.Key))
}
