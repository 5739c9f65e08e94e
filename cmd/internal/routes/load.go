// Package routes reads routes files, which say which changes in object storage start a
// backup of which content group, and returns them as routes of package trigger.
//
// [Load] rejects a file with any problem and reports all of them, each with its line.
// [Check] finds routes that can be loaded but have no effect, or probably not the one that
// was meant.
package routes

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"go.yaml.in/yaml/v3"

	"backhaul/cmd/internal/strictyaml"
	"backhaul/consumer/trigger"
	"backhaul/publisher"
	"backhaul/schemas"
)

const (
	// fileKind names the file in its errors.
	fileKind = "routes"
	// maxFile is the largest size of a routes file in bytes.
	maxFile = 8 << 20
)

// Keys of a routes file. The values of requestKeys are checked by [schemas.DecodeRequest].
var (
	fileKeys    = []string{"source", "routes"}
	requestKeys = []string{
		"clientName", "instanceName", "backupsetName", "subclientName", "storagePolicyName", "appName", "backupLevel", "labels",
	}
	routeKeys     = append([]string{"name", "system", "subject", "source", "account", "container", "prefix", "suffix", "minSize", "maxSize", "keys", "events", "ignore", "window", "directive"}, requestKeys...)
	windowKeys    = []string{"quiet", "max", "maxPaths"}
	directiveKeys = []string{"container", "prefix"}
)

// words maps everyday words, in lower case, to the keys that they stand for.
var words = map[string]string{
	"bucket": "container", "client": "clientName", "instance": "instanceName", "backupset": "backupsetName",
	"contentgroup": "subclientName", "subclient": "subclientName", "plan": "storagePolicyName", "storagepolicy": "storagePolicyName",
	"agent": "appName", "level": "backupLevel", "quiettime": "quiet", "maxwait": "max", "paths": "maxPaths", "route": "routes", "event": "events",
}

// Load reads and parses a routes file. The error is a [*strictyaml.Error].
func Load(file string) (*trigger.Routes, error) {
	data, err := strictyaml.ReadFile(fileKind, file, maxFile)
	if err != nil {
		return nil, err
	}
	return Parse(file, data)
}

// Parse parses the content of a routes file. The error is a [*strictyaml.Error].
func Parse(file string, data []byte) (*trigger.Routes, error) {
	l := &loader{strictyaml.Reader{Words: words, Aliases: true}}
	source, routes := "", []trigger.Route(nil)
	if root := l.Document(data, maxFile, "routes"); root != nil {
		source, routes = l.file(root)
	}
	l.agree(routes)
	if err := l.Err(fileKind, file); err != nil {
		return nil, err
	}
	rs, err := trigger.NewRoutes(file, source, routes)
	if err != nil {
		return nil, &strictyaml.Error{What: fileKind, File: file, Problems: []strictyaml.Problem{{Text: err.Error()}}}
	}
	return rs, nil
}

// loader walks a YAML document and collects its problems.
type loader struct{ strictyaml.Reader }

func (l *loader) file(root *yaml.Node) (source string, routes []trigger.Route) {
	var list *yaml.Node
	whole := l.Mapping(root, "the file", fileKeys, func(key string, value *yaml.Node) {
		switch key {
		case "source":
			source = l.Text(value, key)
			if err := publisher.CheckSource(source); err != nil && source != "" {
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
		return source, nil
	}
	names := make(map[string]int)
	l.Sequence(list, "routes", "routes, each with its - container", func(item *yaml.Node) {
		r := l.route(item)
		if first, ok := names[r.Name]; ok {
			l.Problem(r.Line, "the name %q is given twice, first in line %d", r.Name, first)
		}
		names[r.Name] = r.Line
		routes = append(routes, r)
	})
	if list.Kind == yaml.SequenceNode && len(list.Content) == 0 {
		l.Problem(list.Line, "routes is empty; list at least one route")
	}
	return source, routes
}

func (l *loader) route(n *yaml.Node) trigger.Route {
	r := trigger.Route{Line: n.Line, Name: lineName(n.Line), Window: trigger.DefaultWindow}
	request := make(map[string]any)
	lines := make(map[string]int)
	whole := l.Mapping(n, "a route", routeKeys, func(key string, value *yaml.Node) {
		lines[key] = value.Line
		switch key {
		case "name":
			if name := l.Text(value, key); name != "" {
				r.Name = name
			}
		case "system":
			r.Place.System = l.literal(value, key)
		case "subject":
			r.Place.Subject = l.literal(value, key)
		case "source":
			r.Place.Source = l.literal(value, key)
		case "minSize":
			r.Place.Size.Min = l.Bytes(value, key)
		case "maxSize":
			r.Place.Size.Max = l.Bytes(value, key)
		case "keys":
			r.Keys = l.keys(value)
		case "account":
			r.Place.Account = l.literal(value, key)
		case "container":
			r.Place.Container = l.literal(value, key)
		case "prefix":
			r.Place.Prefix = l.literal(value, key)
		case "suffix":
			r.Place.Suffix = l.literal(value, key)
		case "events":
			r.Events = l.events(value)
		case "ignore":
			r.Ignore = l.Bool(value, key)
		case "window":
			r.Window = l.window(value)
		case "directive":
			r.Directive = l.directive(value)
		case "labels":
			if labels := l.labels(value); len(labels) > 0 {
				request[key] = labels
			}
		case "appName", "backupLevel":
			if s := l.literal(value, key); s != "" {
				request[key] = s
			}
		default:
			if s := l.template(value, key); s != "" {
				request[key] = s
			}
		}
	})
	if n.Kind != yaml.MappingNode {
		return r
	}
	switch container := r.Place.Container; {
	case lines["container"] == 0:
		if whole {
			l.Problem(n.Line, "the route has no container; name the bucket or container, or \"*\" for any")
		}
	case strings.ContainsAny(container, "/?[]"):
		l.Problem(lines["container"], "container is %q, must be the name of a bucket or container; a * in it stands for any text, as in team-*", container)
	}
	l.pairs(&r, lines, request, whole)
	return r
}

// pairs checks keys that depend on each other, and reads the route's request.
func (l *loader) pairs(r *trigger.Route, lines map[string]int, request map[string]any, whole bool) {
	if size := r.Place.Size; size.Max > 0 && size.Min > size.Max {
		l.Problem(lines["maxSize"], "maxSize is %d bytes, less than minSize, %d bytes: no object has such a size", size.Max, size.Min)
	}
	if r.Ignore {
		for _, key := range append([]string{"window", "directive"}, requestKeys...) {
			if lines[key] != 0 {
				l.Problem(lines[key], "%s does not go with ignore: such a route asks for nothing", key)
			}
		}
		return
	}
	r.Request = l.request(request, r.Line, lines, whole)
	level := r.Request.BackupLevel
	if r.Directive != nil && level != "" && level != schemas.LevelIncremental {
		l.Problem(lines["directive"], "directive does not go with the level %s: the vendor takes a directive file for INCREMENTAL only", level)
	}
}

// request returns the request with the given members. lines has the line of each key.
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
			continue // has a problem already
		}
		if rest != "" {
			name += "." + strings.NewReplacer("~1", "/", "~0", "~").Replace(rest)
		}
		l.Problem(at, "%s %s", name, p.Text)
	}
	return schemas.BackupRequest{}
}

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
			if d.Container = s; strings.ContainsAny(s, "/*") {
				l.Problem(value.Line, "the directive's container is %q, must be the name of one bucket or container, or have a placeholder such as {container}", s)
			}
		case !strings.HasSuffix(s, "/"):
			l.Problem(value.Line, "the directive's prefix is %q, must end in a slash: all that begins with it is taken for a directive file", s)
		case templateInFolder(s):
			l.Problem(value.Line, "the directive's prefix is %q, must have a folder of its own before the first placeholder, such as .backhaul/{container}/: all below it starts nothing", s)
		default:
			d.Prefix = s
			// The vendor gets the path of the file, and must find it by that.
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

// agree checks that the routes of each content group have the same window, directive and
// request: the changes of the group become one request.
func (l *loader) agree(routes []trigger.Route) {
	first := make(map[trigger.Group]*trigger.Route)
	for i := range routes {
		r := &routes[i]
		if r.Ignore || r.Request.ClientName == "" {
			continue
		}
		f := first[r.Group()]
		if f == nil {
			first[r.Group()] = r
		} else if differ := r.Differs(f); differ != "" {
			l.Problem(r.Line, "the content group %s has another %s in the route of line %d; its changes are collected into one request, so its routes must agree",
				r.Group(), differ, f.Line)
		}
	}
}

// lineName returns the name of a route without one.
func lineName(line int) string { return fmt.Sprintf("line %d", line) }
