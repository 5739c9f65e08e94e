package trigger

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"go.yaml.in/yaml/v3"

	"backhaul/publisher"
	"backhaul/schemas"
	"backhaul/schemas/strictyaml"
)

const (
	// fileKind is what a file is called in its errors.
	fileKind = "routes"
	// maxFile is the largest routes file in bytes.
	maxFile = 8 << 20
	// maxRouteLabels leaves room for the labels that the trigger adds.
	maxRouteLabels = 24
	// LabelPrefix is how the labels begin that the trigger adds to requests.
	LabelPrefix = "trigger."
	// DefaultSource is who asks, unless the file says otherwise.
	DefaultSource = "storage"
)

// DefaultWindow is the window of a route that says nothing about it.
var DefaultWindow = Window{Quiet: 30 * time.Second, Max: 5 * time.Minute, MaxPaths: 1000}

// The limits of a window. Its messages wait unacknowledged, each in memory.
const (
	minQuiet  = 100 * time.Millisecond
	maxWindow = 24 * time.Hour
	maxPaths  = 100_000
)

// Keys of a routes file. Those of a request are read by the contract of requests.
var (
	fileKeys    = []string{"source", "routes"}
	requestKeys = []string{
		"clientName", "instanceName", "backupsetName", "subclientName", "storagePolicyName", "appName", "backupLevel", "labels",
	}
	routeKeys     = append([]string{"name", "account", "container", "prefix", "suffix", "events", "ignore", "window", "directive"}, requestKeys...)
	windowKeys    = []string{"quiet", "max", "maxPaths"}
	directiveKeys = []string{"container", "prefix"}
)

// words are what people call some of the keys.
var words = map[string]string{
	"bucket": "container", "client": "clientName", "instance": "instanceName", "backupset": "backupsetName",
	"contentgroup": "subclientName", "subclient": "subclientName", "plan": "storagePolicyName", "storagepolicy": "storagePolicyName",
	"agent": "appName", "level": "backupLevel", "quiettime": "quiet", "maxwait": "max", "paths": "maxPaths", "route": "routes", "event": "events",
}

// Load reads a routes file. Any error is a [*strictyaml.Error].
func Load(file string) (*Routes, error) {
	data, err := strictyaml.ReadFile(fileKind, file, maxFile)
	if err != nil {
		return nil, err
	}
	return Parse(file, data)
}

// Parse reads the content of a routes file. Any error is a [*strictyaml.Error].
func Parse(file string, data []byte) (*Routes, error) {
	l := &loader{strictyaml.Reader{Words: words, Aliases: true}}
	rs := &Routes{File: file, Source: DefaultSource}
	if root := l.Document(data, maxFile, "routes"); root != nil {
		l.file(root, rs)
	}
	l.agree(rs.routes)
	if err := l.Err(fileKind, file); err != nil {
		return nil, err
	}
	rs.index()
	return rs, nil
}

func (l *loader) file(root *yaml.Node, rs *Routes) {
	var list *yaml.Node
	whole := l.Mapping(root, "the file", fileKeys, func(key string, value *yaml.Node) {
		switch key {
		case "source":
			rs.Source = l.text(value, key)
			if err := publisher.CheckSource(rs.Source); err != nil && rs.Source != "" {
				l.Problem(value.Line, "%v", err)
			}
		case "routes":
			list = value
		}
	})
	if list == nil {
		if whole {
			l.Problem(root.Line, "the key routes is missing")
		}
		return
	}
	names := make(map[string]int)
	l.Sequence(list, "routes", "routes, each with its - container", func(item *yaml.Node) {
		r := l.route(item)
		if first, ok := names[r.Name]; ok {
			l.Problem(r.Line, "the name %q is given twice, first in line %d", r.Name, first)
		}
		names[r.Name] = r.Line
		rs.routes = append(rs.routes, r)
	})
	if list.Kind == yaml.SequenceNode && len(list.Content) == 0 {
		l.Problem(list.Line, "routes is empty; list at least one route")
	}
}

func (l *loader) route(n *yaml.Node) *Route {
	r := &Route{Line: n.Line, Name: fmt.Sprintf("line %d", n.Line), Window: DefaultWindow, events: []Kind{KindCreated}}
	request := make(map[string]any)
	lines := make(map[string]int)
	whole := l.Mapping(n, "a route", routeKeys, func(key string, value *yaml.Node) {
		lines[key] = value.Line
		switch key {
		case "name":
			if name := l.text(value, key); name != "" {
				r.Name, r.named = name, true
			}
		case "account":
			r.place.account = l.text(value, key)
		case "container":
			r.place.container = l.text(value, key)
		case "prefix":
			r.place.prefix = l.text(value, key)
		case "suffix":
			r.place.suffix = l.text(value, key)
		case "events":
			r.events = l.events(value)
		case "ignore":
			r.Ignore = l.boolean(value, key)
		case "window":
			r.Window = l.window(value)
		case "directive":
			r.Directive = l.directive(value)
		case "labels":
			if labels := l.labels(value); len(labels) > 0 {
				request[key] = labels
			}
		default:
			if s := l.text(value, key); s != "" {
				request[key] = s
			}
		}
	})
	if n.Kind != yaml.MappingNode {
		return r
	}
	switch container := r.place.container; {
	case lines["container"] == 0:
		if whole {
			l.Problem(n.Line, "the route has no container; name the bucket or container, or \"*\" for any")
		}
	case strings.Contains(container, "/"), container != anyContainer && strings.Contains(container, "*"):
		l.Problem(lines["container"], "container is %q, must be the name of one bucket or container, or \"*\" for any", container)
	}
	l.pairs(r, lines, request, whole)
	return r
}

// pairs holds keys against each other: what goes together and what does not.
func (l *loader) pairs(r *Route, lines map[string]int, request map[string]any, whole bool) {
	if r.Ignore {
		for _, key := range append([]string{"window", "directive"}, requestKeys...) {
			if lines[key] != 0 {
				l.Problem(lines[key], "%s does not go with ignore: such a route asks for nothing", key)
			}
		}
		if lines["events"] == 0 {
			r.events = []Kind{KindCreated, KindDeleted}
		}
		return
	}
	r.Request = l.request(request, r.Line, lines, whole)
	level := r.Request.BackupLevel
	if r.Directive != nil && level != "" && level != schemas.LevelIncremental {
		l.Problem(lines["directive"], "directive does not go with the level %s: the vendor takes a directive file for INCREMENTAL only", level)
	}
}

// request reads the members of a request by the contract of requests.
func (l *loader) request(members map[string]any, line int, lines map[string]int, whole bool) schemas.BackupRequest {
	data, err := json.Marshal(members)
	if err != nil {
		l.Problem(line, "%v", err)
		return schemas.BackupRequest{}
	}
	message, err := schemas.DecodeRequest(nil, data)
	if err == nil {
		return message.Request
	}
	invalid, ok := errors.AsType[*schemas.InvalidError](err)
	if !ok {
		l.Problem(line, "%v", err)
		return schemas.BackupRequest{}
	}
	for _, p := range invalid.Problems {
		name, rest, _ := strings.Cut(strings.TrimPrefix(p.Field, "/"), "/")
		at := line
		if lines[name] != 0 {
			at = lines[name]
		}
		if members[name] == nil && (lines[name] != 0 || !whole) {
			continue // what is wrong with it was said already
		}
		if rest != "" {
			name += "." + strings.NewReplacer("~1", "/", "~0", "~").Replace(rest)
		}
		l.Problem(at, "%s %s", name, p.Text)
	}
	return schemas.BackupRequest{}
}

func (l *loader) events(n *yaml.Node) []Kind {
	known := []string{string(KindCreated), string(KindDeleted)}
	var events []Kind
	l.Sequence(n, "events", "created, deleted or both", func(item *yaml.Node) {
		switch kind := l.text(item, "events"); {
		case kind == "":
		case !slices.Contains(known, kind):
			l.Problem(item.Line, "events has %s, must be created or deleted%s", strictyaml.Quoted(kind), l.Nearest(kind, known))
		default:
			events = append(events, Kind(kind))
		}
	})
	if n.Kind == yaml.SequenceNode && len(n.Content) == 0 {
		l.Problem(n.Line, "events is empty, so nothing would match; leave it out for created")
	}
	return events
}

func (l *loader) window(n *yaml.Node) Window {
	w, at := DefaultWindow, n.Line
	maxGiven := false
	l.Mapping(n, "a window", windowKeys, func(key string, value *yaml.Node) {
		switch key {
		case "quiet":
			w.Quiet = l.duration(value, key, minQuiet, maxWindow)
		case "max":
			w.Max, maxGiven, at = l.duration(value, key, minQuiet, maxWindow), true, value.Line
		case "maxPaths":
			w.MaxPaths = l.number(value, key, 1, maxPaths)
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

func (l *loader) directive(n *yaml.Node) *Directive {
	d, given := &Directive{}, make(map[string]bool)
	whole := l.Mapping(n, "a directive", directiveKeys, func(key string, value *yaml.Node) {
		given[key] = true
		s := l.text(value, key)
		switch {
		case s == "":
		case key == "container":
			if d.Container = s; strings.ContainsAny(s, "/*") {
				l.Problem(value.Line, "the directive's container is %q, must be the name of one bucket or container", s)
			}
		case !strings.HasSuffix(s, "/"):
			l.Problem(value.Line, "the directive's prefix is %q, must end in a slash: all that begins with it is taken for a directive file", s)
		default:
			d.Prefix = s
			// The vendor gets the path of the file, and must find it by that.
			file := Change{Kind: KindCreated, Container: "c", Key: s + "x"}
			if _, why := file.Path(); why != "" {
				l.Problem(value.Line, "the directive's prefix is %q, which is no path: %s", s, strings.Replace(why, "its key", "it", 1))
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

func (l *loader) labels(n *yaml.Node) map[string]string {
	labels := make(map[string]string)
	l.Mapping(n, "labels", nil, func(key string, value *yaml.Node) {
		if strings.HasPrefix(key, LabelPrefix) {
			l.Problem(value.Line, "the label %s is taken: names that begin with %s are the trigger's own", strictyaml.Quoted(key), LabelPrefix)
		}
		if s := l.text(value, "the label "+strictyaml.Quoted(key)); s != "" {
			labels[key] = s
		}
	})
	if len(labels) > maxRouteLabels {
		l.Problem(n.Line, "labels has %d labels, a route may have %d; the trigger adds its own", len(labels), maxRouteLabels)
		return nil
	}
	return labels
}

// agree holds the routes of one content group against its first: one window
// makes one request, so they cannot differ.
func (l *loader) agree(routes []*Route) {
	first := make(map[Group]*Route)
	for _, r := range routes {
		if r.Ignore || r.Request.ClientName == "" {
			continue
		}
		f := first[r.Group()]
		if f == nil {
			first[r.Group()] = r
			continue
		}
		differ := ""
		switch {
		case r.Window != f.Window:
			differ = "window"
		case (r.Directive == nil) != (f.Directive == nil) || r.Directive != nil && *r.Directive != *f.Directive:
			differ = "directive"
		case r.Request.Hash() != f.Request.Hash():
			differ = "backupLevel, storagePolicyName or labels"
		default:
			continue
		}
		l.Problem(r.Line, "the content group %s has another %s in the route of line %d; its changes are collected into one request, so its routes must agree",
			r.Group(), differ, f.Line)
	}
}
