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
	"strings"

	"github.com/go-json-experiment/json"
	"go.yaml.in/yaml/v3"

	"backhaul/cmd/internal/strictyaml"
	"backhaul/consumer/trigger"
	"backhaul/consumer/trigger/blackout"
	"backhaul/consumer/turn"
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
	fileKeys    = []string{"source", "unrouted", "routes"}
	requestKeys = []string{
		"clientName", "instanceName", "backupsetName", "subclientName", "storagePolicyName", "appName", "backupLevel", "labels",
	}
	routeKeys     = append([]string{"name", "system", "subject", "source", "account", "container", "prefix", "suffix", "minSize", "maxSize", "keys", "events", "ignore", "window", "directive", "onRunning", "minInterval", "blackout"}, requestKeys...)
	windowKeys    = []string{"quiet", "max", "maxPaths"}
	blackoutKeys  = []string{"schedule", "duration", "timeZone"}
	directiveKeys = []string{"container", "prefix"}
)

// words maps everyday words, in lower case, to the keys that they stand for.
var words = map[string]string{
	"cron": "schedule", "for": "duration", "zone": "timeZone", "location": "timeZone", "blackouts": "blackout", "bucket": "container", "client": "clientName", "instance": "instanceName", "backupset": "backupsetName",
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
	l := &loader{Reader: strictyaml.Reader{Words: words, Aliases: true}}
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
	rs.KeepUnrouted = l.keepUnrouted
	return rs, nil
}

// loader walks a YAML document and collects its problems.
type loader struct {
	strictyaml.Reader
	keepUnrouted bool
	// blackouts are those read so far, because many routes may share one by an alias.
	blackouts map[*yaml.Node]blackout.Windows
}

func (l *loader) file(root *yaml.Node) (source string, routes []trigger.Route) {
	var list *yaml.Node
	whole := l.Mapping(root, "the file", fileKeys, func(key string, value *yaml.Node) {
		switch key {
		case "source":
			source = l.Text(value, key)
			if err := publisher.CheckSource(source); err != nil && source != "" {
				l.Problem(value.Line, "%v", err)
			}
		case "unrouted":
			l.keepUnrouted = l.unrouted(value)
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
		case "onRunning":
			r.Rule.Queue = l.Choice(value, key, turn.OnRunningStart, turn.OnRunningQueue) == turn.OnRunningQueue
		case "minInterval":
			r.Rule.MinInterval = l.Duration(value, key, turn.LeastInterval, turn.LongestInterval)
		case "blackout":
			r.Blackout = l.blackout(value)
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
		for _, key := range append([]string{"window", "directive", "onRunning", "minInterval", "blackout"}, requestKeys...) {
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

// agree checks that the routes of each content group have the same window, directive and
// request: the changes of the group become one request.
func (l *loader) agree(routes []trigger.Route) {
	var whole []*trigger.Route
	for i := range routes {
		if routes[i].Request.ClientName != "" {
			whole = append(whole, &routes[i])
		}
	}
	for _, d := range trigger.Disagreements(whole) {
		if !d.Perhaps {
			l.Problem(d.Route.Line, "the content group %s has another %s in the route of line %d; its changes are collected into one request, so its routes must agree",
				d.Route.Group(), d.What, d.Earlier.Line)
		}
	}
}

// lineName returns the name of a route without one.
func lineName(line int) string { return fmt.Sprintf("line %d", line) }
