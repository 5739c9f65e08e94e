package trigger

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"backhaul/consumer/trigger/blackout"
	"backhaul/consumer/turn"
	"backhaul/schemas"
)

// parse returns the routes of a YAML text that is not checked. Files of people are read by
// cmd/internal/routes.
func parse(t testing.TB, text string) *Routes {
	t.Helper()
	source, routes := readRoutes(t, text)
	rs, err := NewRoutes("routes.yaml", source, routes)
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

// routesOf returns the routes of a file, each by itself complete.
func routesOf(t testing.TB, text string) (all []*Route) {
	t.Helper()
	_, routes := readRoutes(t, text)
	for i := range routes {
		if err := routes[i].complete(); err != nil {
			t.Fatal(err)
		}
		all = append(all, &routes[i])
	}
	return all
}

func readRoutes(t testing.TB, text string) (source string, routes []Route) {
	t.Helper()
	var file struct {
		Source string
		Routes []struct {
			Name      string
			Place     `yaml:",inline"`
			Keys      Keys
			Events    []Kind
			Ignore    bool
			Directive *Directive
			Labels    map[string]string
			Window    struct {
				Quiet, Max time.Duration
				MaxPaths   int `yaml:"maxPaths"`
			}
			Client    string `yaml:"clientName"`
			Instance  string `yaml:"instanceName"`
			Subclient string `yaml:"subclientName"`
			Plan      string `yaml:"storagePolicyName"`

			OnRunning   string        `yaml:"onRunning"`
			MinInterval time.Duration `yaml:"minInterval"`
			Blackout    []struct {
				Schedule string
				Duration time.Duration
			}
		}
	}
	if err := yaml.Unmarshal([]byte(text), &file); err != nil {
		t.Fatal(err)
	}
	routes = make([]Route, len(file.Routes))
	for i, r := range file.Routes {
		var times []blackout.Window
		for _, b := range r.Blackout {
			w, err := blackout.New(b.Schedule, b.Duration, time.UTC)
			if err != nil {
				t.Fatal(err)
			}
			times = append(times, w)
		}
		dark, err := blackout.NewWindows(times...)
		if err != nil {
			t.Fatal(err)
		}
		routes[i] = Route{
			Name: r.Name, Place: r.Place, Keys: r.Keys, Events: r.Events, Ignore: r.Ignore, Window: Window(r.Window), Directive: r.Directive,
			Rule: turn.Rule{Queue: r.OnRunning == turn.OnRunningQueue, MinInterval: r.MinInterval}, Blackout: dark,
			Request: schemas.BackupRequest{
				ClientName: r.Client, InstanceName: r.Instance, SubclientName: r.Subclient, StoragePolicyName: r.Plan, Labels: r.Labels,
			},
		}
	}
	return file.Source, routes
}

// to is the rest of a route to the content group c/<group>.
func to(group string) string { return ", clientName: c, subclientName: " + group + "}\n" }

func TestMatch_takesTheFirst(t *testing.T) {
	rs := parse(t, `routes:
- {container: a, prefix: tmp/, ignore: true}
- {container: a, prefix: x/, suffix: .log`+to("logs")+
		`- {container: a, prefix: x/, events: [deleted]`+to("gone")+
		`- {container: a, prefix: x/y/`+to("xy")+
		`- {container: "*", account: acc, prefix: x/`+to("any-x")+
		`- {container: a, prefix: x/, events: [created, deleted]`+to("x")+
		`- {container: b, directive: {container: b, prefix: lists/}`+to("b")+
		`- {container: "*", prefix: z`+to("z")+
		`- {container: "*", account: own, prefix: q, directive: {container: d, prefix: lists/}`+to("q")+
		`- {container: i, events: [deleted], ignore: true}
- {container: i`+to("i"))
	for _, c := range []struct {
		container, key string
		kind           Kind
		want           string
	}{
		{"a", "x/1.log", KindCreated, "logs"},
		{"a", "x/1.txt", KindCreated, "x"},
		{"a", "x/y/1.txt", KindCreated, "xy"},
		{"a", "x/1.log", KindDeleted, "gone"},
		{"a", "x", KindCreated, "no-route"},
		{"a", "tmp/1", KindCreated, "ignored"},
		{"a", "tmp/1", KindDeleted, "ignored"},
		{"a", "tmp/1", KindNone, "no-change"},
		{"b", "1", KindCreated, "b"},
		{"b", "1", KindDeleted, "no-route"},
		{"b", "lists/1", KindCreated, "directive"},
		{"b", "lists", KindCreated, "b"},
		{"own:d", "lists/1", KindCreated, "directive"},
		{"acc:d", "lists/1", KindCreated, "no-route"},
		{"i", "1", KindCreated, "i"},
		{"i", "1", KindDeleted, "ignored"},
		{"q", "zebra", KindCreated, "z"},
		{"q", "x/1", KindCreated, "no-route"},
		{"acc:q", "x/1", KindCreated, "any-x"},
		{"acc:a", "x/1", KindCreated, "any-x"},
		{"acc:a", "x/y/1", KindCreated, "xy"},
		{"*", "a", KindCreated, "no-route"},
	} {
		change := Change{Kind: c.kind, Container: c.container, Key: c.key}
		if account, container, ok := strings.Cut(c.container, ":"); ok {
			change.Account, change.Container = account, container
		}
		routes, reason := rs.Match(change)
		got := string(reason)
		if len(routes) == 1 && reason == ReasonRouted {
			got = routes[0].Request.SubclientName
		}
		if len(routes) > 1 || got != c.want {
			t.Errorf("%s %s/%s: %d routes, %s, want %s", c.kind, c.container, c.key, len(routes), got, c.want)
		}
	}
}

// The index finds what going through the routes one by one would.
// manyPlaces returns routes with containers, patterns, prefixes and suffixes of all kinds.
func manyPlaces(t *testing.T) *Routes {
	t.Helper()
	var text strings.Builder
	text.WriteString("routes:\n")
	prefixes := []string{"a/b/", "", "a", "a/", "ab", "b"} // not by their lengths
	for i := range 300 {
		prefix, suffix, container := prefixes[i*7%6], []string{"", "x", "yx"}[i*5%3], []string{"c", "d", `"*"`, "c*", `"*c"`, "c*c*", `"*a*"`}[i*11%7]
		events := []string{"[created]", "[deleted]", "[created, deleted]"}[i/3%3]
		fmt.Fprintf(&text, "- {container: %s, events: %s", container, events)
		if prefix != "" {
			fmt.Fprintf(&text, ", prefix: %s", prefix)
		}
		if suffix != "" {
			fmt.Fprintf(&text, ", suffix: %s", suffix)
		}
		text.WriteString(to(fmt.Sprintf("g%d", i)))
	}
	return parse(t, text.String())
}

// A directory leads to every route that may have a part of it, up to the first that takes all of it.
func TestMatch_ofDirectoriesAgreesWithASimpleSearch(t *testing.T) {
	rs := manyPlaces(t)
	for _, container := range []string{"c", "d", "e", "cc", "ca", "ac", "cac", ""} {
		for _, key := range []string{"a/", "a/b/", "a/b/c/", "ab/", "b/", "z/", ""} {
			c := Change{Kind: KindCreated, Container: container, Key: key, Tree: true}
			var want []*Route
			for _, r := range rs.All() {
				if !slices.Contains(r.Events, c.Kind) || !matches(r.Place.Container, container) || !strings.HasPrefix(key, r.Place.Prefix) && !strings.HasPrefix(r.Place.Prefix, key) {
					continue
				}
				want = append(want, r)
				if r.Place.Suffix == "" && strings.HasPrefix(key, r.Place.Prefix) {
					break
				}
			}
			if got, _ := rs.Match(c); !slices.Equal(got, want) {
				t.Errorf("%s/%s: %d routes, want %d", container, key, len(got), len(want))
			}
		}
	}
}

func TestMatch_agreesWithASimpleSearch(t *testing.T) {
	rs := manyPlaces(t)
	n := 0
	for _, container := range []string{"c", "d", "e", "cc", "ca", "ac", "cac", ""} {
		for _, key := range []string{"a", "a/", "ab", "abx", "a/b/", "a/b/yx", "b", "x", "yx", "a/x", "zz"} {
			for _, kind := range []Kind{KindCreated, KindDeleted} {
				c := Change{Kind: kind, Container: container, Key: key}
				var want *Route
				for _, r := range rs.All() {
					if r.Place.contains(&c) && strings.Contains(fmt.Sprint(r.Events), string(kind)) {
						want = r
						break
					}
				}
				var got *Route
				if routes, _ := rs.Match(c); len(routes) > 0 {
					got = routes[0]
				}
				if got != want {
					t.Errorf("%s: got %+v, want %+v", brief(c), got, want)
				}
				n++
			}
		}
	}
	if n == 0 {
		t.Error("nothing was compared")
	}
}

func TestMatch_ofDirectories(t *testing.T) {
	rs := parse(t, `routes:
- {container: a, prefix: d/1/`+to("one")+
		`- {container: a, prefix: d/2/, suffix: .x`+to("two")+
		`- {container: a, prefix: other/`+to("other")+
		`- {container: a, prefix: d/3/, ignore: true}
- {container: a, prefix: d`+to("three")+
		`- {container: a`+to("rest"))
	match := func(key string, kind Kind) string {
		routes, reason := rs.Match(Change{Kind: kind, Container: "a", Key: key, Tree: true})
		names := []string{string(reason)}
		for _, r := range routes {
			names = append(names, r.Request.SubclientName)
		}
		return strings.Join(names, " ")
	}
	for key, want := range map[string]string{
		"d/":     "routed one two three",
		"d/1/":   "routed one",
		"d/1/x/": "routed one",
		"d/2/":   "routed two three",
		"d/3/":   "ignored",
		"e/":     "routed rest",
	} {
		if got := match(key, KindCreated); got != want {
			t.Errorf("%s: %s, want %s", key, got, want)
		}
	}
	if got := match("d/", KindDeleted); got != "ignored" {
		t.Errorf("deleted: %s", got)
	}
	own := parse(t, "routes:\n- {container: a, events: [created, deleted], directive: {container: a, prefix: lists/}"+to("g"))
	if routes, reason := own.Match(Change{Kind: KindDeleted, Container: "a", Key: "lists/old/", Tree: true}); len(routes) != 0 || reason != ReasonDirective {
		t.Errorf("a directory of directive files: %v, %s", routes, reason)
	}
	wide := Change{Kind: KindCreated, Container: "a", Key: "d/", Tree: true}
	for i, want := range []string{"/a/d/1/", "/a/d/2/", "", "", "", "/a/d/"} {
		if path, _ := rs.All()[i].Path(wide); path != want && want != "" {
			t.Errorf("route %d lists %q of a wide directory, want %q", i, path, want)
		}
	}
	if path, why := rs.All()[4].Path(Change{Kind: KindCreated, Container: "a", Key: "", Tree: true}); path != "" || why == "" {
		t.Errorf("a route that is no directory lists %q, %q", path, why)
	}
}

func TestHolders_ofADeletion(t *testing.T) {
	rs := parse(t, "routes:\n- {container: a, events: [deleted]"+to("gone")+"- {container: a"+to("kept"))
	c := Change{Kind: KindDeleted, Container: "a", Key: "k"}
	if routes := rs.Holders(c); len(routes) != 1 || routes[0].Request.SubclientName != "kept" {
		t.Errorf("got %v", routes)
	}
	c.Kind = KindCreated
	if routes := rs.Holders(c); routes != nil {
		t.Errorf("a creation: got %v", routes)
	}
}

// A decision is about one set of routes: whatever sends a change elsewhere makes another
// mark, and what does not leaves it.
func TestRoutes_mark(t *testing.T) {
	const list = ", directive: {container: l, prefix: x/}"
	first := parse(t, "routes:\n- {container: a"+to("g")+"- {container: b"+to("h"))
	for name, text := range map[string]string{
		"source":    "source: s\nroutes:\n- {container: a" + to("g") + "- {container: b" + to("h"),
		"container": "routes:\n- {container: c" + to("g") + "- {container: b" + to("h"),
		"prefix":    "routes:\n- {container: a, prefix: x" + to("g") + "- {container: b" + to("h"),
		"events":    "routes:\n- {container: a, events: [deleted]" + to("g") + "- {container: b" + to("h"),
		"group":     "routes:\n- {container: a" + to("h") + "- {container: b" + to("h"),
		"instance":  "routes:\n- {container: a, instanceName: i" + to("g") + "- {container: b" + to("h"),
		"order":     "routes:\n- {container: b" + to("h") + "- {container: a" + to("g"),
		"template":  "routes:\n- {container: a" + to("g") + "- {container: b, clientName: c, subclientName: \"{container}\"}",
		"directive": "routes:\n- {container: a" + list + to("g") + "- {container: b" + to("h"),
	} {
		if other := parse(t, text); other.mark == first.mark {
			t.Errorf("another %s leaves the mark", name)
		}
	}
	const conditions = "routes:\n- {container: a, system: x, subject: y, keys: raw"
	for _, other := range []string{"system: z, subject: y, keys: raw", "system: x, subject: z, keys: raw", "system: x, subject: y, keys: form", "system: x"} {
		if parse(t, conditions+to("g")).mark == parse(t, "routes:\n- {container: a, "+other+to("g")).mark {
			t.Errorf("%s leaves the mark", other)
		}
	}
	const group = "routes: [{container: a, clientName: c, subclientName: \""
	if parse(t, group+"{{container}}\"}]").mark == parse(t, group+"{container}\"}]").mark {
		t.Error("a template has the mark of a route to a group of its name")
	}
	same := parse(t, "routes:\n- {container: a, window: {quiet: 1s}, labels: {x: y}"+to("g")+"- {name: n, container: b, storagePolicyName: p"+to("h"))
	if same.mark != first.mark {
		t.Error("another window, label, name or plan makes another mark")
	}
	pinned := parse(t, "source: s\nroutes:\n- {container: i, account: acc, prefix: p, suffix: x, ignore: true}\n"+
		"- {container: a, events: [deleted, created], directive: {container: l, prefix: x/}"+to("g"))
	if first.mark != "fb892537b8f8a9a2" || pinned.mark != "55793bfe3953eb6a" {
		t.Errorf("marks %s and %s; after an upgrade, the decisions of the version before would not count", first.mark, pinned.mark)
	}
	// Of the routes' own: what one ignores has no other member.
	ignores := Routes{routes: []*Route{{Ignore: true}}}
	takes := Routes{routes: []*Route{{}}}
	ignores.complete()
	takes.complete()
	if ignores.mark == takes.mark {
		t.Error("what a route ignores leaves the mark")
	}
}
