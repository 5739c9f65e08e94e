package routes

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"backhaul/cmd/internal/strictyaml"
	"backhaul/consumer/trigger"
	"backhaul/consumer/turn"
	"backhaul/schemas"
)

// parse parses a file that must be valid.
func parse(t testing.TB, text string) *trigger.Routes {
	t.Helper()
	rs, err := Parse("routes.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

// to returns the rest of a route to the content group c/<group>.
func to(group string) string { return ", clientName: c, subclientName: " + group + "}\n" }

func TestLoad_readsTheExample(t *testing.T) {
	rs, err := Load(filepath.Join("..", "..", "..", "deploy", "routes.example.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range Check(rs) {
		t.Errorf("line %d: %s", f.Line, f.Text)
	}
	routes, reason := rs.Match(trigger.Change{Kind: trigger.KindCreated, Container: "invoices", Key: "2026/a.pdf"})
	if reason != trigger.ReasonRouted || len(routes) != 1 || routes[0].Name != "invoices" || rs.Source != "storage" {
		t.Fatalf("got %v, %s", routes, reason)
	}
	r := routes[0]
	if r.Window != trigger.DefaultWindow || r.Request.Labels["team"] != "finance" || r.Request.InstanceName != "s-adhoc-object-storage" ||
		r.Request.BackupsetName != schemas.DefaultBackupsetName || r.Request.AdHocBackup {
		t.Errorf("got %+v", r)
	}
	photos := rs.All()[3]
	if photos.Window != (trigger.Window{Quiet: 2 * time.Minute, Max: 30 * time.Minute, MaxPaths: 5000}) || photos.Group().String() != "azure-archive/contoso/photos" {
		t.Errorf("got %+v", photos)
	}
}

func TestParse_passesEveryKeyOn(t *testing.T) {
	rs := parse(t, `source: billing
routes:
- {name: n, account: acc, source: "x:s3", container: a, prefix: p/, suffix: .s, minSize: 1, maxSize: 2MiB, events: [deleted, created], clientName: c, instanceName: i, backupsetName: b,
   subclientName: s, storagePolicyName: sp, appName: app, backupLevel: INCREMENTAL, labels: {k: v},
   window: {quiet: 1s, max: 2s, maxPaths: 3}, blackout: [{schedule: 0 8 * * mon-fri, duration: 10h, timeZone: Europe/Berlin}], directive: {container: l, prefix: d/}}
- {container: a, ignore: true}
`)
	request, err := schemas.DecodeRequest(nil, []byte(`{"clientName": "c", "instanceName": "i", "backupsetName": "b", "subclientName": "s",
		"storagePolicyName": "sp", "appName": "app", "backupLevel": "INCREMENTAL", "labels": {"k": "v"}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := &trigger.Route{
		Name: "n", Line: 3, Place: trigger.Place{
			Source: "x:s3", Account: "acc", Container: "a", Prefix: "p/", Suffix: ".s", Size: trigger.Sizes{Min: 1, Max: 2 << 20},
		},
		Events: []trigger.Kind{trigger.KindDeleted, trigger.KindCreated}, Request: request.Request,
		Window:    trigger.Window{Quiet: time.Second, Max: 2 * time.Second, MaxPaths: 3},
		Directive: &trigger.Directive{Container: "l", Prefix: "d/"},
	}
	if got := rs.All()[0].Blackout.String(); got != `"0 8 * * mon-fri" for 10h0m0s in Europe/Berlin` {
		t.Errorf("the blackout is %s", got)
	}
	rs.All()[0].Blackout = want.Blackout
	if all := rs.All(); rs.Source != "billing" || rs.File != "routes.yaml" || len(all) != 2 || !reflect.DeepEqual(all[0], want) {
		t.Errorf("got %+v: %+v, want %+v", rs, all[0], want)
	} else if r := all[1]; !r.Ignore || r.Name != "line 6" || r.Line != 6 {
		t.Errorf("got %+v", r)
	}
}

// labels returns n labels of a route.
func labels(n int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("l%d: v", i))
	}
	return strings.Join(all, ", ")
}

// A brace itself is doubled, in places as in names.
func TestParse_readsUnrouted(t *testing.T) {
	for text, want := range map[string]bool{"": false, "unrouted: count\n": false, "unrouted: keep\n": true} {
		if rs := parse(t, text+"routes:\n- {container: a"+to("g")); rs.KeepUnrouted != want {
			t.Errorf("%q: %t", text, rs.KeepUnrouted)
		}
	}
}

func TestParse_readsBraces(t *testing.T) {
	r := parse(t, `routes: [{container: a, prefix: "x{{/", clientName: c, subclientName: "g{{1}}", labels: {l: "{{}}"}}]`).All()[0]
	if r.Place.Prefix != "x{/" || r.Request.SubclientName != "g{1}" || r.Request.Labels["l"] != "{}" || r.IsTemplate() {
		t.Errorf("got %+v", r)
	}
}

func TestParse_reportsProblems(t *testing.T) {
	for name, c := range problems {
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
	many := "routes:\n" + strings.Repeat("- {}\n", 100)
	_, err := Parse("r", []byte(many))
	if e, ok := errors.AsType[*strictyaml.Error](err); !ok || len(e.Problems) != strictyaml.MaxProblems+1 {
		t.Errorf("100 faults: %v", err)
	}
}

func TestLoad_namesAFileThatCannotBeRead(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none.yaml")
	if _, err := Load(missing); err == nil || strings.Count(err.Error(), missing) != 1 || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("no file: %v", err)
	}
	if _, err := Load(t.TempDir()); err == nil || !strings.Contains(err.Error(), "directory") {
		t.Errorf("a directory: %v", err)
	}
}

// Templates of one text lead to one content group only if they take the same containers.
func TestParse_takesTemplatesOfOneText(t *testing.T) {
	parse(t, "routes:\n- {container: team-*, clientName: c, subclientName: \"{container}\", window: {quiet: 1s}}\n"+
		"- {container: proj-*, clientName: c, subclientName: \"{container}\"}\n- {container: \"*\", clientName: c, subclientName: \"{container}\", window: {quiet: 2s}}\n")
}

func TestParse_resolvesAliases(t *testing.T) {
	rs := parse(t, "routes:\n- {container: a, window: &w {quiet: 1s}"+to("g")+"- {container: b, window: *w"+to("h"))
	if got := rs.All()[1].Window.Quiet; got != time.Second {
		t.Errorf("got %s", got)
	}
}

func FuzzParse(f *testing.F) {
	example, err := os.ReadFile(filepath.Join("..", "..", "..", "deploy", "routes.example.yaml"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(example)
	f.Add([]byte("routes:\n- {container: a, window: &w {quiet: 1s}" + to("g") + "- {container: b, window: *w" + to("h")))
	f.Add([]byte("routes: &a [*a]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		rs, err := Parse("r", data)
		if err != nil {
			e, ok := errors.AsType[*strictyaml.Error](err)
			if !ok || len(e.Problems) == 0 {
				t.Fatalf("a %T: %v", err, err)
			}
			if strings.HasPrefix(e.Problems[0].Text, "route ") {
				t.Errorf("the reader accepts what the trigger does not: %v", err)
			}
			return
		}
		for _, r := range rs.All() {
			if !r.Ignore && (r.Request.SubclientName == "" || r.Window.Quiet > r.Window.Max || r.Window.MaxPaths < 1) {
				t.Errorf("a route with %+v", r)
			}
		}
		Check(rs)
	})
}

// Routes with a rule need jobs to be followed.
func TestNeedFollowing(t *testing.T) {
	rs := parse(t, "routes:\n- {container: a, onRunning: queue"+to("g")+"- {container: b, minInterval: 5m"+to("h")+"- {container: d, onRunning: start"+to("i"))
	if got := rs.All(); got[0].Rule != (turn.Rule{Queue: true}) || got[1].Rule != (turn.Rule{MinInterval: 5 * time.Minute}) || got[2].Rule.Applies() {
		t.Errorf("the rules are %+v, %+v, %+v", got[0].Rule, got[1].Rule, got[2].Rule)
	}
	err := NeedFollowing(rs)
	if err == nil || strings.Count(err.Error(), "BACKHAUL_FOLLOW") != 2 || !strings.Contains(err.Error(), "routes.yaml:2: ") || !strings.Contains(err.Error(), "routes.yaml:3: ") {
		t.Errorf("got %v", err)
	}
	if err := NeedFollowing(parse(t, "routes:\n- {container: a"+to("g"))); err != nil {
		t.Error(err)
	}
}

// problems are files that cannot be loaded, with what the error says.
var problems = map[string]struct {
	text string
	want []string
}{
	"nothing":          {"# nothing\n", []string{"routes.yaml:1: is empty"}},
	"no YAML":          {"routes: [\n", []string{"is not valid YAML"}},
	"a list":           {"- a\n", []string{"routes.yaml:1: the file must be a mapping"}},
	"two documents":    {"routes: []\n---\nroutes: []\n", []string{"more than one document"}},
	"no routes":        {"source: s\n", []string{"the key routes is missing"}},
	"empty routes":     {"routes: []\n", []string{"routes is empty"}},
	"unrouted":         {"unrouted: drop\nroutes:\n- {container: a" + to("g"), []string{"unrouted is \"drop\", must be count (the default) or keep"}},
	"a bad source":     {"source: a.b\nroutes:\n- {container: a" + to("g"), []string{"routes.yaml:1: source \"a.b\""}},
	"an unknown key":   {"routes:\n- contaner: a\n  clientName: c\n  subclientName: g\n", []string{":2: a route has no key \"contaner\"; did you mean container?"}},
	"other words":      {"routes:\n- bucket: a\n  contentGroup: g\n  client: c\n  level: FULL\n", []string{"mean container?", "mean subclientName?", "mean clientName?", "mean backupLevel?"}},
	"a key twice":      {"routes:\n- container: a\n  container: b\n  clientName: c\n  subclientName: g\n", []string{":3: the key \"container\" is given twice, first in line 2"}},
	"all at once":      {"routes:\n- container: a/b\n  backupLevel: FUL\n  events: [create]\n  window: {quiet: 5}\n", []string{":2: container is", ":2: clientName is required", ":2: subclientName is required", ":3: backupLevel is \"FUL\"", ":4: events has \"create\", must be created or deleted; did you mean created?", ":5: quiet must be a duration"}},
	"empty text":       {"routes:\n- {container: a, prefix: \"\"" + to("g"), []string{"prefix is empty; leave it out"}},
	"a number":         {"routes:\n- {container: a, prefix: 2026" + to("g"), []string{"prefix must be a string; put \"2026\" into quotes"}},
	"only once said":   {"routes:\n- {container: a, clientName: 7, subclientName: g}\n", []string{"clientName must be a string"}},
	"a question mark":  {"routes:\n- {container: \"a?\"" + to("g"), []string{"container is \"a?\", must be the name of a bucket or container; a * in it stands for any text"}},
	"a star first":     {"routes:\n- {container: *-a" + to("g"), []string{"put a text that begins with * into quotes"}},
	"a placeholder":    {"routes:\n- {container: a*, clientName: c, subclientName: \"{contaner}\"}\n", []string{"subclientName has {contaner}, which is no placeholder: write {container}, {account}, {system} or {prefix:1}"}},
	"a brace":          {"routes:\n- {container: a, clientName: c, subclientName: \"g{1\"}\n", []string{"subclientName has a single brace; write {{ or }}"}},
	"a place's brace":  {"routes:\n- {container: \"{container}\", prefix: \"a{/\"" + to("g"), []string{"container has a placeholder or a brace; placeholders may be in the names", "prefix has a placeholder"}},
	"a fixed member":   {"routes:\n- {container: a, appName: \"{container}\"" + to("g"), []string{"appName has a placeholder"}},
	"without quotes":   {"routes:\n- {container: a, clientName: c, subclientName: {container}}\n", []string{`subclientName is {container} without quotes, which is a mapping in YAML; write "{container}"`}},
	"a label's brace":  {"routes:\n- {container: a, labels: {x: \"{y}\"}" + to("g"), []string{"the label \"x\" has {y}, which is no placeholder"}},
	"a folder":         {"routes:\n- {container: a, directive: {container: a, prefix: \"x-{container}/\"}" + to("g"), []string{"must have a folder of its own before the first placeholder"}},
	"a folder, alone":  {"routes:\n- {container: a, directive: {container: a, prefix: \"{container}/\"}" + to("g"), []string{"must have a folder of its own before the first placeholder"}},
	"no events":        {"routes:\n- {container: a, events: []" + to("g"), []string{"events is empty"}},
	"window backwards": {"routes:\n- container: a\n  clientName: c\n  subclientName: g\n  window:\n    quiet: 10m\n", []string{"quiet is 10m0s, longer than max, 5m0s, its default; give both"}},
	"too many paths":   {"routes:\n- {container: a, window: {maxPaths: 0}" + to("g"), []string{"maxPaths must be a whole number from 1 to 100000"}},
	"directive, half":  {"routes:\n- {container: a, directive: {container: a}" + to("g"), []string{"the directive has no prefix"}},
	"directive, all":   {"routes:\n- {container: a, directive: {container: a, prefix: x}" + to("g"), []string{"must end in a slash"}},
	"directive, path":  {"routes:\n- {container: a, directive: {container: a, prefix: /x/}" + to("g"), []string{"is not a path: it has an empty part"}},
	"directive, up":    {"routes:\n- {container: a, directive: {container: .., prefix: x/}" + to("g"), []string{`container is "..", must be the name of one bucket`}},
	"directive, line":  {"routes:\n- {container: a, directive: {container: \"a\\u2028b\", prefix: x/}" + to("g"), []string{"must be the name of one bucket"}},
	"directive, any":   {"routes:\n- {container: a, directive: {container: \"*\", prefix: x/}" + to("g"), []string{"must be the name of one bucket"}},
	"directive, full":  {"routes:\n- {container: a, backupLevel: FULL, directive: {container: a, prefix: x/}" + to("g"), []string{"does not go with the level FULL"}},
	"ignore":           {"routes:\n- {container: a, ignore: true, window: {quiet: 1s}" + to("g"), []string{"window does not go with ignore", "clientName does not go with ignore", "subclientName does not go with ignore"}},
	"ignore and wait":  {"routes:\n- {container: a, ignore: true, onRunning: queue, minInterval: 1m}\n", []string{"onRunning does not go with ignore", "minInterval does not go with ignore"}},
	"on running":       {"routes:\n- {container: a, onRunning: wait" + to("g"), []string{`onRunning is "wait", must be start or queue`}},
	"short interval":   {"routes:\n- {container: a, minInterval: 100ms" + to("g"), []string{"minInterval must be a duration such as 30s, from 1s"}},
	"dark, no list":    {"routes:\n- {container: a, blackout: {schedule: x}" + to("g"), []string{"blackout must be a list of times, each with its - schedule"}},
	"dark, empty":      {"routes:\n- {container: a, blackout: []" + to("g"), []string{"blackout is empty; leave it out"}},
	"dark, half":       {"routes:\n- {container: a, blackout: [{schedule: 0 8 * * *}]" + to("g"), []string{"the blackout needs a schedule, such as \"0 8 * * mon-fri\", and a duration, such as 10h"}},
	"dark, no times":   {"routes:\n- {container: a, blackout: [{duration: 1h}]" + to("g"), []string{"the blackout needs a schedule"}},
	"dark, words":      {"routes:\n- {container: a, blackout: [{cron: 0 8 * * *, for: 1h, zone: UTC}]" + to("g"), []string{`no key "cron"; did you mean schedule?`, `no key "for"; did you mean duration?`, `no key "zone"; did you mean timeZone?`}},
	"dark, schedule":   {"routes:\n- container: a\n  blackout:\n  - duration: 1h\n    schedule: 0 25 * * *\n  clientName: c\n  subclientName: g\n", []string{`:5: schedule has "25" as hour, must be *, a number from 0 to 23`}},
	"dark, too short":  {"routes:\n- {container: a, blackout: [{schedule: 0 8 * * *, duration: 30s}]" + to("g"), []string{"duration must be a duration such as 30s, from 1m0s to 744h0m0s, here is"}},
	"dark, zone":       {"routes:\n- {container: a, blackout: [{schedule: 0 8 * * *, duration: 1h, timeZone: CEST}]" + to("g"), []string{`timeZone is "CEST", must be a name of the time zone database, such as Europe/Berlin; the default is UTC`}},
	"dark, here":       {"routes:\n- {container: a, blackout: [{schedule: 0 8 * * *, duration: 1h, timeZone: Local}]" + to("g"), []string{`timeZone is "Local", must be`}},
	"dark, for ever":   {"routes:\n- {container: a, blackout: [{schedule: 0 0 * * *, duration: 24h}]" + to("g"), []string{"blackout never ends: its windows leave no time for a request"}},
	"dark, two":        {"routes:\n- {container: a, blackout: [{schedule: 0 8 * * *, duration: 1h}]" + to("g") + "- {container: b" + to("g"), []string{"another blackout in the route of line 2"}},
	"dark, ignored":    {"routes:\n- {container: a, ignore: true, blackout: [{schedule: 0 8 * * *, duration: 1h}]}\n", []string{"blackout does not go with ignore"}},
	"dark, shared":     {"routes:\n- {container: a, blackout: &b [{schedule: 0 25 * * *, duration: 1h}]" + to("g") + "- {container: b, blackout: *b" + to("h"), []string{`schedule has "25" as hour`}},
	"two rules":        {"routes:\n- {container: a, onRunning: queue" + to("g") + "- {container: b" + to("g"), []string{"the content group c/g has another onRunning or minInterval in the route of line 2"}},
	"ignore perhaps":   {"routes:\n- {container: a, ignore: perhaps" + to("g"), []string{"ignore must be true or false"}},
	"names":            {"routes:\n- {name: n, container: a" + to("g") + "- {name: n, container: b" + to("g"), []string{":3: the name \"n\" is given twice, first in line 2"}},
	"our label":        {"routes:\n- {container: a, labels: {trigger.x: y}" + to("g"), []string{"names that begin with trigger. are the trigger's own"}},
	"a bad label":      {"routes:\n- {container: a, labels: {-x: y}" + to("g"), []string{"labels.-x is not a label name"}},
	"a merge":          {"routes:\n- &a {container: a" + to("g") + "- {<<: *a, prefix: x}\n", []string{"merge keys are not supported"}},
	"two windows":      {"routes:\n- {container: a" + to("g") + "- {container: b, window: {quiet: 1s}" + to("g"), []string{":3: the content group c/g has another window in the route of line 2"}},
	"two templates":    {"routes:\n- {container: a-*, prefix: x/, clientName: c, subclientName: \"{container}\"}\n- {container: a-*, clientName: c, subclientName: \"{container}\", window: {quiet: 1s}}\n", []string{":3: the content group c/{container} has another window in the route of line 2"}},
	"two levels":       {"routes:\n- {container: a" + to("g") + "- {container: b, backupLevel: FULL" + to("g"), []string{"another backupLevel"}},
	"no quiet time":    {"routes:\n- {container: a, window: {quiet: 0s}" + to("g"), []string{"quiet must be a duration such as 30s, from 100ms to 24h0m0s, here is"}},
	"two days":         {"routes:\n- {container: a, window: {max: 48h}" + to("g"), []string{"max must be a duration such as 30s, from 100ms to 24h0m0s, here is"}},
	"many labels":      {"routes:\n- {container: a, labels: {" + labels(25) + "}" + to("g"), []string{"labels has 25 labels, a route may have 24"}},
	"no size":          {"routes:\n- {container: a, minSize: 0" + to("g"), []string{"minSize must be a number of bytes such as 500, 64KiB"}},
	"a size in MB":     {"routes:\n- {container: a, maxSize: 10MB" + to("g"), []string{"maxSize must be a number of bytes"}},
	"a size beyond":    {"routes:\n- {container: a, maxSize: 9000000TiB" + to("g"), []string{"maxSize must be a number of bytes"}},
	"sizes backwards":  {"routes:\n- {container: a, minSize: 2KiB, maxSize: 1KiB" + to("g"), []string{"maxSize is 1024 bytes, less than minSize, 2048 bytes"}},
	"two prefixes":     {"routes:\n- {container: a, directive: {container: b, prefix: x/}" + to("g") + "- {container: b, directive: {container: b, prefix: y/}" + to("g"), []string{"another directive"}},
	"two directives":   {"routes:\n- {container: a" + to("g") + "- {container: b, directive: {container: b, prefix: x/}" + to("g"), []string{"another directive"}},
}
