package trigger

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"backhaul/schemas"
	"backhaul/schemas/strictyaml"
)

// parse reads routes that must be in order.
func parse(t testing.TB, text string) *Routes {
	t.Helper()
	rs, err := Parse("routes.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

// to is the rest of a route to the content group c/<group>.
func to(group string) string { return ", clientName: c, subclientName: " + group + "}\n" }

func TestExampleIsInOrder(t *testing.T) {
	rs, err := Load(filepath.Join("..", "..", "deploy", "routes.example.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range rs.Check() {
		t.Errorf("line %d: %s", f.Line, f.Text)
	}
	routes, reason := rs.Match(Change{Kind: KindCreated, Container: "invoices", Key: "2026/a.pdf"})
	if reason != ReasonRouted || len(routes) != 1 || routes[0].Name != "invoices" || rs.Source != "storage" {
		t.Fatalf("got %v, %s", routes, reason)
	}
	r := routes[0]
	if r.Window != DefaultWindow || r.Request.Labels["team"] != "finance" || r.Request.InstanceName != "s-adhoc-object-storage" ||
		r.Request.BackupsetName != schemas.DefaultBackupsetName || r.Request.AdHocBackup {
		t.Errorf("got %+v", r)
	}
	photos := rs.All()[3]
	if photos.Window != (Window{2 * time.Minute, 30 * time.Minute, 5000}) || photos.Group().String() != "azure-archive/contoso/photos" {
		t.Errorf("got %+v", photos)
	}
}

func TestTheFirstMatchWins(t *testing.T) {
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
func TestMatchAgreesWithASimpleSearch(t *testing.T) {
	var text strings.Builder
	text.WriteString("routes:\n")
	prefixes := []string{"a/b/", "", "a", "a/", "ab", "b"} // not by their lengths
	n := 0
	for i := range 300 {
		prefix, suffix, container := prefixes[i*7%6], []string{"", "x", "yx"}[i*5%3], []string{"c", "d", `"*"`}[i*11%3]
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
	rs := parse(t, text.String())
	for _, container := range []string{"c", "d", "e"} {
		for _, key := range []string{"a", "ab", "abx", "a/b/yx", "b", "x", "yx", "a/x", "zz"} {
			for _, kind := range []Kind{KindCreated, KindDeleted} {
				c := Change{Kind: kind, Container: container, Key: key}
				var want *Route
				for _, r := range rs.All() {
					if r.place.contains(&c) && strings.Contains(fmt.Sprint(r.events), string(kind)) {
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

func TestDirectoriesMayHaveSeveralRoutes(t *testing.T) {
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

func TestDeletionsReachTheWindowOfTheCreation(t *testing.T) {
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
		"directive": "routes:\n- {container: a" + list + to("g") + "- {container: b" + to("h"),
	} {
		if other := parse(t, text); other.mark == first.mark {
			t.Errorf("another %s leaves the mark", name)
		}
	}
	same := parse(t, "routes:\n- {container: a, window: {quiet: 1s}, labels: {x: y}"+to("g")+"- {name: n, container: b, storagePolicyName: p"+to("h"))
	if same.mark != first.mark {
		t.Error("another window, label, name or plan makes another mark")
	}
	// Of the routes' own: what one ignores has no other member.
	ignores := Routes{routes: []*Route{{Ignore: true}}}
	takes := Routes{routes: []*Route{{}}}
	ignores.index()
	takes.index()
	if ignores.mark == takes.mark {
		t.Error("what a route ignores leaves the mark")
	}
}

// labels are some labels of a route.
func labels(n int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("l%d: v", i))
	}
	return strings.Join(all, ", ")
}

func TestWhatCannotBeLoaded(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"nothing":          {"# nothing\n", []string{"routes.yaml:1: is empty"}},
		"no YAML":          {"routes: [\n", []string{"is not valid YAML"}},
		"a list":           {"- a\n", []string{"routes.yaml:1: the file must be a mapping"}},
		"two documents":    {"routes: []\n---\nroutes: []\n", []string{"more than one document"}},
		"no routes":        {"source: s\n", []string{"the key routes is missing"}},
		"empty routes":     {"routes: []\n", []string{"routes is empty"}},
		"a bad source":     {"source: a.b\nroutes:\n- {container: a" + to("g"), []string{"routes.yaml:1: source \"a.b\""}},
		"an unknown key":   {"routes:\n- contaner: a\n  clientName: c\n  subclientName: g\n", []string{":2: a route has no key \"contaner\"; did you mean container?"}},
		"other words":      {"routes:\n- bucket: a\n  contentGroup: g\n  client: c\n  level: FULL\n", []string{"mean container?", "mean subclientName?", "mean clientName?", "mean backupLevel?"}},
		"a key twice":      {"routes:\n- container: a\n  container: b\n  clientName: c\n  subclientName: g\n", []string{":3: the key \"container\" is given twice, first in line 2"}},
		"all at once":      {"routes:\n- container: a/b\n  backupLevel: FUL\n  events: [create]\n  window: {quiet: 5}\n", []string{":2: container is", ":2: clientName is required", ":2: subclientName is required", ":3: backupLevel is \"FUL\"", ":4: events has \"create\", must be created or deleted; did you mean created?", ":5: quiet must be a duration"}},
		"empty text":       {"routes:\n- {container: a, prefix: \"\"" + to("g"), []string{"prefix is empty; leave it out"}},
		"a number":         {"routes:\n- {container: a, prefix: 2026" + to("g"), []string{"prefix must be a string; put \"2026\" into quotes"}},
		"only once said":   {"routes:\n- {container: a, clientName: 7, subclientName: g}\n", []string{"clientName must be a string"}},
		"a glob":           {"routes:\n- {container: a*" + to("g"), []string{"container is \"a*\""}},
		"no events":        {"routes:\n- {container: a, events: []" + to("g"), []string{"events is empty"}},
		"window backwards": {"routes:\n- container: a\n  clientName: c\n  subclientName: g\n  window:\n    quiet: 10m\n", []string{"quiet is 10m0s, longer than max, 5m0s, its default; give both"}},
		"too many paths":   {"routes:\n- {container: a, window: {maxPaths: 0}" + to("g"), []string{"maxPaths must be a whole number from 1 to 100000"}},
		"directive, half":  {"routes:\n- {container: a, directive: {container: a}" + to("g"), []string{"the directive has no prefix"}},
		"directive, all":   {"routes:\n- {container: a, directive: {container: a, prefix: x}" + to("g"), []string{"must end in a slash"}},
		"directive, path":  {"routes:\n- {container: a, directive: {container: a, prefix: /x/}" + to("g"), []string{"is no path: it has an empty part"}},
		"directive, any":   {"routes:\n- {container: a, directive: {container: \"*\", prefix: x/}" + to("g"), []string{"must be the name of one bucket"}},
		"directive, full":  {"routes:\n- {container: a, backupLevel: FULL, directive: {container: a, prefix: x/}" + to("g"), []string{"does not go with the level FULL"}},
		"ignore":           {"routes:\n- {container: a, ignore: true, window: {quiet: 1s}" + to("g"), []string{"window does not go with ignore", "clientName does not go with ignore", "subclientName does not go with ignore"}},
		"ignore perhaps":   {"routes:\n- {container: a, ignore: perhaps" + to("g"), []string{"ignore must be true or false"}},
		"names":            {"routes:\n- {name: n, container: a" + to("g") + "- {name: n, container: b" + to("g"), []string{":3: the name \"n\" is given twice, first in line 2"}},
		"our label":        {"routes:\n- {container: a, labels: {trigger.x: y}" + to("g"), []string{"names that begin with trigger. are the trigger's own"}},
		"a bad label":      {"routes:\n- {container: a, labels: {-x: y}" + to("g"), []string{"labels.-x is not a label name"}},
		"a merge":          {"routes:\n- &a {container: a" + to("g") + "- {<<: *a, prefix: x}\n", []string{"merge keys are not supported"}},
		"two windows":      {"routes:\n- {container: a" + to("g") + "- {container: b, window: {quiet: 1s}" + to("g"), []string{":3: the content group c/g has another window in the route of line 2"}},
		"two levels":       {"routes:\n- {container: a" + to("g") + "- {container: b, backupLevel: FULL" + to("g"), []string{"another backupLevel"}},
		"no quiet time":    {"routes:\n- {container: a, window: {quiet: 0s}" + to("g"), []string{"quiet must be a duration such as 30s, from 100ms to 24h0m0s, here is"}},
		"two days":         {"routes:\n- {container: a, window: {max: 48h}" + to("g"), []string{"max must be a duration such as 30s, from 100ms to 24h0m0s, here is"}},
		"many labels":      {"routes:\n- {container: a, labels: {" + labels(25) + "}" + to("g"), []string{"labels has 25 labels, a route may have 24"}},
		"two prefixes":     {"routes:\n- {container: a, directive: {container: b, prefix: x/}" + to("g") + "- {container: b, directive: {container: b, prefix: y/}" + to("g"), []string{"another directive"}},
		"two directives":   {"routes:\n- {container: a" + to("g") + "- {container: b, directive: {container: b, prefix: x/}" + to("g"), []string{"another directive"}},
	} {
		_, err := Parse("routes.yaml", []byte(c.text))
		e, ok := errors.AsType[*strictyaml.Error](err)
		if !ok {
			t.Errorf("%s: got %v", name, err)
			continue
		}
		if len(e.Problems) != len(c.want) {
			t.Errorf("%s: got %d problems, want %d: %v", name, len(e.Problems), len(c.want), err)
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want %q", name, err, want)
			}
		}
	}
	missing := filepath.Join(t.TempDir(), "none.yaml")
	if _, err := Load(missing); err == nil || strings.Count(err.Error(), missing) != 1 || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("no file: %v", err)
	}
	if _, err := Load(t.TempDir()); err == nil || !strings.Contains(err.Error(), "directory") {
		t.Errorf("a directory: %v", err)
	}
	many := "routes:\n" + strings.Repeat("- {}\n", 100)
	_, err := Parse("r", []byte(many))
	if e, ok := errors.AsType[*strictyaml.Error](err); !ok || len(e.Problems) != strictyaml.MaxProblems+1 {
		t.Errorf("100 faults: %v", err)
	}
}

func TestAliasesStandForValues(t *testing.T) {
	rs := parse(t, "routes:\n- {container: a, window: &w {quiet: 1s}"+to("g")+"- {container: b, window: *w"+to("h"))
	if got := rs.All()[1].Window.Quiet; got != time.Second {
		t.Errorf("got %s", got)
	}
}

func TestCheckFindsWhatWasHardlyMeant(t *testing.T) {
	directive := func(container, prefix string) string {
		return ", directive: {container: " + container + ", prefix: " + prefix + "}"
	}
	for name, c := range map[string]struct {
		text string
		want []string // "fault" or "warning", then a part of the text
	}{
		"nothing":             {"- {container: a, prefix: x/" + to("g") + "- {container: a" + to("h"), nil},
		"behind a wider one":  {"- {container: a" + to("g") + "- {name: n, container: a, prefix: x/" + to("h"), []string{`fault route "n" (line 3): cannot be reached: of line 2, before it`}},
		"behind any":          {`- {container: "*"` + to("g") + "- {container: a" + to("h"), []string{"fault cannot be reached"}},
		"behind ignore":       {"- {container: a, ignore: true}\n- {container: a" + to("h"), []string{"fault cannot be reached"}},
		"other events":        {"- {container: a" + to("g") + "- {container: a, events: [created, deleted]" + to("h"), nil},
		"other suffix":        {"- {container: a, suffix: .a" + to("g") + "- {container: a" + to("h"), nil},
		"narrower suffix":     {"- {container: a, suffix: a" + to("g") + "- {container: a, suffix: .a" + to("h"), []string{"fault cannot be reached"}},
		"other account":       {"- {container: a, account: x" + to("g") + "- {container: a" + to("h"), nil},
		"in a directive":      {"- {container: a, prefix: d/l/x" + to("g") + "- {container: b" + directive("a", "d/") + to("h"), []string{"fault lies in the directive prefix /a/d/"}},
		"own directive":       {"- {container: a, prefix: d/" + directive("a", "d/") + to("g"), []string{"fault lies in the directive prefix /a/d/"}},
		"a leading slash":     {"- {container: a, prefix: /x/" + to("g"), []string{`warning the prefix "/x/" begins with a slash`}},
		"a pattern":           {`- {container: a, prefix: x/, suffix: "*.pdf"` + to("g"), []string{"warning no patterns"}},
		"FULL":                {"- {container: a, backupLevel: FULL" + to("g"), []string{"warning FULL"}},
		"any, listed":         {`- {container: "*"` + directive("a", "d/") + to("g"), []string{"warning any container"}},
		"deletions, listed":   {"- {container: a, events: [deleted]" + directive("a", "d/") + to("g"), []string{"warning what is gone cannot be listed"}},
		"two instances":       {"- {container: a" + directive("a", "d/") + to("g") + "- {container: b, instanceName: i" + directive("a", "d/") + to("g"), []string{"warning for another instance"}},
		"one instance, twice": {"- {container: a" + directive("a", "d/") + to("g") + "- {container: b" + directive("a", "d/") + to("h"), nil},
	} {
		found := parse(t, "routes:\n"+c.text).Check()
		if len(found) != len(c.want) {
			t.Errorf("%s: got %+v, want %q", name, found, c.want)
			continue
		}
		for i, f := range found {
			severity, part, _ := strings.Cut(c.want[i], " ")
			if f.Fault != (severity == "fault") || !strings.Contains(f.Text, part) || f.Line == 0 {
				t.Errorf("%s: got %+v, want %q", name, f, c.want[i])
			}
		}
	}
}

func FuzzParseRoutes(f *testing.F) {
	example, err := os.ReadFile(filepath.Join("..", "..", "deploy", "routes.example.yaml"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(example)
	f.Add([]byte("routes:\n- {container: a, window: &w {quiet: 1s}" + to("g") + "- {container: b, window: *w" + to("h")))
	f.Add([]byte("routes: &a [*a]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		rs, err := Parse("r", data)
		if err != nil {
			if e, ok := errors.AsType[*strictyaml.Error](err); !ok || len(e.Problems) == 0 {
				t.Errorf("a %T: %v", err, err)
			}
			return
		}
		for _, r := range rs.All() {
			if !r.Ignore && (r.Request.SubclientName == "" || r.Window.Quiet > r.Window.Max || r.Window.MaxPaths < 1) {
				t.Errorf("a route with %+v", r)
			}
		}
		rs.Check()
	})
}
