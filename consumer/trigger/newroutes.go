package trigger

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"backhaul/publisher"
	"backhaul/schemas"
)

const (
	// LabelPrefix begins the names of the labels that the trigger adds to requests.
	LabelPrefix = "trigger."
	// MaxLabels is how many labels a route may have. A request may have more: those that
	// the trigger adds.
	MaxLabels = 24
	// DefaultSource is the source of requests unless another is given.
	DefaultSource = "storage"
)

// DefaultWindow is the window of a route that has none.
var DefaultWindow = Window{Quiet: 30 * time.Second, Max: 5 * time.Minute, MaxPaths: 1000}

// The limits of a window. Its messages stay unacknowledged and in memory.
const (
	MinQuiet  = 100 * time.Millisecond
	MaxWindow = 24 * time.Hour
	MaxPaths  = 100_000
)

// NewRoutes returns routes with their defaults filled in. source is the source of requests,
// "" for [DefaultSource]. file names the routes in logs. The error names the first route
// that the trigger could not work with.
func NewRoutes(file, source string, routes []Route) (*Routes, error) {
	rs := &Routes{File: file, Source: cmp.Or(source, DefaultSource), routes: make([]*Route, len(routes))}
	if err := publisher.CheckSource(rs.Source); err != nil {
		return nil, err
	}
	for i, r := range routes {
		if err := r.complete(); err != nil {
			return nil, fmt.Errorf("route %q: %w", r.Name, err)
		}
		rs.routes[i] = &r
	}
	for _, d := range Disagreements(rs.routes) {
		if !d.Perhaps {
			return nil, fmt.Errorf("route %q: has another %s than route %q of the same content group %s; they must agree", d.Route.Name, d.What, d.Earlier.Name, d.Route.Group())
		}
	}
	rs.complete()
	return rs, nil
}

// complete fills in defaults and returns an error for a route that cannot work.
func (r *Route) complete() error {
	if r.Place.Container == "" {
		return fmt.Errorf("has no container; name one, or %q for any", AnyContainer)
	}
	if len(r.Events) == 0 {
		r.Events = []Kind{KindCreated}
		if r.Ignore {
			r.Events = []Kind{KindCreated, KindDeleted}
		}
	}
	if r.Ignore {
		return nil
	}
	w := &r.Window
	*w = Window{cmp.Or(w.Quiet, DefaultWindow.Quiet), cmp.Or(w.Max, DefaultWindow.Max), cmp.Or(w.MaxPaths, DefaultWindow.MaxPaths)}
	if w.Quiet < MinQuiet || w.Max < w.Quiet || w.Max > MaxWindow || w.MaxPaths < 1 || w.MaxPaths > MaxPaths {
		return fmt.Errorf("has the window %+v; Quiet must be from %s to Max, Max at most %s, and MaxPaths from 1 to %d", *w, MinQuiet, MaxWindow, MaxPaths)
	}
	var err error
	if r.uses, err = r.placeholders(); err != nil {
		return err
	}
	if !r.IsTemplate() {
		_ = r.fill(nil) // braces only; its error would have been that of placeholders
	}
	if n := len(r.Request.Labels); n > MaxLabels {
		return fmt.Errorf("has %d labels; a route may have %d", n, MaxLabels)
	}
	message, err := schemas.DecodeRequest(nil, r.Request.JSON())
	if err != nil {
		return err
	}
	r.Request = message.Request
	switch d := r.Directive; {
	case d == nil:
	case d.Container == "" || !strings.HasSuffix(d.Prefix, "/") || !strings.HasSuffix(head(d.Prefix), "/"):
		return fmt.Errorf("has the directive %+v; it needs a container, and a prefix that ends in a slash, also before its first placeholder", *d)
	case r.Request.BackupLevel != schemas.LevelIncremental:
		return fmt.Errorf("has a directive and the level %s; the vendor takes a directive file for %s only", r.Request.BackupLevel, schemas.LevelIncremental)
	}
	return nil
}

// Differs returns what keeps r from sharing a content group with other, in the words of a
// routes file, or "". Routes of one group must agree: one window makes one request.
func (r *Route) Differs(other *Route) string {
	switch d, o := r.Directive, other.Directive; {
	case r.Window != other.Window:
		return "window"
	case (d == nil) != (o == nil) || d != nil && *d != *o:
		return "directive"
	case r.Rule != other.Rule:
		return "onRunning or minInterval"
	case !r.Blackout.Equal(other.Blackout):
		return "blackout"
	case r.Request.Hash() != other.Request.Hash():
		return "backupLevel, storagePolicyName or labels"
	}
	return ""
}
