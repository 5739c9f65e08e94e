package objectives

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"backhaul/cmd/internal/protection"
	"backhaul/schemas"
)

var update = flag.Bool("update", false, "write deploy/objectives.schema.json again")

func inDeploy(name string) string { return filepath.Join("..", "..", "..", "deploy", name) }

func group(client, subclient string) protection.Group {
	return protection.Group{Client: client, Instance: client, Backupset: schemas.DefaultBackupsetName, Subclient: subclient}
}

func TestExample(t *testing.T) {
	t.Parallel()
	o, err := Load(inDeploy("objectives.example.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if all := o.All(); len(all) != 3 || all[0].Owner != "finance-it" || len(o.Sum) != 64 {
		t.Errorf("got %+v", o)
	}
	partly := protection.NewOutcomes(schemas.OutcomeCompleted, schemas.OutcomeCompletedWithWarnings, schemas.OutcomeCompletedWithErrors)
	for name, test := range map[string]struct {
		group protection.Group
		want  protection.Objective
	}{
		"a pattern":       {group("s-adhoc-object-storage", "finance-eu"), protection.Objective{Name: "finance", Owner: "finance-it", RPO: time.Hour, MaxAge: 26 * time.Hour}},
		"a name":          {group("s-adhoc-object-storage", "ledger"), protection.Objective{Name: "finance", Owner: "finance-it", RPO: time.Hour, MaxAge: 26 * time.Hour}},
		"another client":  {group("other", "finance-eu"), protection.Objective{Name: "everything-else", RPO: 8 * time.Hour}},
		"other outcomes":  {group("other", "media-1"), protection.Objective{Name: "media", Owner: "media-team", RPO: 24 * time.Hour, Accept: partly}},
		"the first fits":  {group("s-adhoc-object-storage", "media-1"), protection.Objective{Name: "media", Owner: "media-team", RPO: 24 * time.Hour, Accept: partly}},
		"everything else": {group("x", "y"), protection.Objective{Name: "everything-else", RPO: 8 * time.Hour}},
	} {
		if got, ok := o.For(test.group); !ok || got != test.want {
			t.Errorf("%s: got %+v, want %+v", name, got, test.want)
		}
	}
}

// An objective that no group has is named, also if another one takes all that its patterns fit.
func TestUnused(t *testing.T) {
	t.Parallel()
	o, err := Parse("o.yaml", []byte(`objectives:
- {name: all-of-c, clientName: [c], subclientName: ["*"], rpo: 1h}
- {name: hidden, clientName: [c], subclientName: [g], rpo: 1h}
- {name: used, clientName: [d], subclientName: [g], rpo: 1h}
- {name: mistyped, clientName: [d], subclientName: [gg], rpo: 1h}
`))
	if err != nil {
		t.Fatal(err)
	}
	got := o.Unused([]protection.Group{group("c", "g"), group("d", "g"), group("e", "g")})
	if want := []string{"hidden", "mistyped"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := (*Objectives)(nil).Unused([]protection.Group{group("c", "g")}); got != nil {
		t.Errorf("without a file: %q", got)
	}
}

// with returns a file of one objective with additional lines.
func with(lines string) string {
	return "objectives:\n- name: a\n  clientName: [c]\n  subclientName: [g]\n  rpo: 1h\n" + lines
}

func TestFor_ComparesEachName(t *testing.T) {
	t.Parallel()
	o, err := Parse("o.yaml", []byte(with("  instanceName: [i]\n  backupsetName: [\"s*\"]\n")))
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		group protection.Group
		want  bool
	}{
		"all fit":         {protection.Group{Client: "c", Instance: "i", Backupset: "s1", Subclient: "g"}, true},
		"another client":  {protection.Group{Client: "d", Instance: "i", Backupset: "s1", Subclient: "g"}, false},
		"another group":   {protection.Group{Client: "c", Instance: "i", Backupset: "s1", Subclient: "h"}, false},
		"instance":        {protection.Group{Client: "c", Instance: "j", Backupset: "s1", Subclient: "g"}, false},
		"another set":     {protection.Group{Client: "c", Instance: "i", Backupset: "t", Subclient: "g"}, false},
		"nothing like it": {protection.Group{}, false},
	} {
		if _, ok := o.For(test.group); ok != test.want {
			t.Errorf("%s: %t", name, ok)
		}
	}
	var none *Objectives
	if _, ok := none.For(group("c", "g")); ok || none.All() != nil {
		t.Error("no objectives have one")
	}
}

// A list of ten thousand names costs each content group no more than a list of one.
func TestFor_ManyNames(t *testing.T) {
	t.Parallel()
	long := []string{"group-0"}
	for i := range 10_000 {
		long = append(long, fmt.Sprint("group-", i))
	}
	took := func(names ...string) time.Duration {
		o, err := Parse("o.yaml", []byte("objectives:\n- {name: a, clientName: [c], subclientName: ["+strings.Join(names, ",")+"], rpo: 1h}\n"))
		if err != nil {
			t.Fatal(err)
		}
		least := time.Hour
		for range 20 { // the least is the one without a pause
			began := time.Now()
			for range 100 {
				if _, ok := o.For(group("c", names[len(names)-1])); !ok {
					t.Fatal("a name that is listed has no objective")
				}
			}
			least = min(least, time.Since(began))
		}
		return least
	}
	if one, many := took("group-0"), took(long...); many > 50*one {
		t.Errorf("100 groups take %s with one name, and %s with many", one, many)
	}
}

// faults are files that cannot be used, with what the error says. schema is true if the JSON
// Schema refuses the file as well.
var faults = map[string]struct {
	text, says string
	schema     bool
}{
	"empty":               {"", ":1: is empty; it must have the key objectives", true},
	"no objectives":       {"{}\n", ":1: the key objectives is missing", true},
	"a mapping":           {"objectives: {}\n", ":1: objectives must be a list of objectives", true},
	"unknown key":         {"objective: []\n", `:1: the file has no key "objective"; did you mean objectives?`, true},
	"an everyday word":    {with("  contentGroup: [x]\n"), `:6: an objective has no key "contentGroup"; did you mean subclientName?`, true},
	"case":                {with("  maxage: 1h\n"), `:6: an objective has no key "maxage"; did you mean maxAge?`, true},
	"a key twice":         {with("  rpo: 1h\n"), `:6: the key "rpo" is given twice, first in line 5`, false},
	"no name":             {"objectives:\n- clientName: [c]\n  subclientName: [g]\n  rpo: 1h\n", ":2: the objective has no name", true},
	"a name with spaces":  {"objectives:\n- name: a b\n  clientName: [c]\n  subclientName: [g]\n  rpo: 1h\n", `:2: name "a b" must have letters`, true},
	"a name twice":        {with("") + strings.TrimPrefix(with(""), "objectives:\n"), ":6: the name a is given twice, first in line 2", false},
	"no client":           {"objectives:\n- name: a\n  subclientName: [g]\n  rpo: 1h\n", ":2: the objective has no clientName", true},
	"no content group":    {"objectives:\n- name: a\n  clientName: [g]\n  rpo: 1h\n", ":2: the objective has no subclientName", true},
	"no promise":          {"objectives:\n- name: a\n  clientName: [c]\n  subclientName: [g]\n", ":2: the objective promises nothing", true},
	"one pattern":         {with("  instanceName: i\n"), `:6: instanceName must be a list of patterns such as instanceName: ["*"]; here is "i"`, true},
	"no pattern":          {with("  instanceName: []\n"), ":6: instanceName has no items", true},
	"an empty pattern":    {with("  instanceName: [\"\"]\n"), ":6: each pattern of instanceName is empty", true},
	"a number":            {with("  instanceName: [7]\n"), `:6: each pattern of instanceName must be a string; put "7" into quotes`, true},
	"a control character": {with("  instanceName: [\"a\\n\"]\n"), ":6: each pattern of instanceName has control characters", false},
	"a long owner":        {with("  owner: " + strings.Repeat("x", 257) + "\n"), ":6: owner has more than 256 characters", true},
	"no duration":         {with("  maxAge: 1 day\n"), `:6: maxAge must be a duration such as 30s`, true},
	"a short duration":    {with("  maxAge: 10ms\n"), ":6: maxAge must be a duration such as 30s, from 1s to", false},
	"a negative duration": {with("  maxAge: -1h\n"), ":6: maxAge must be a duration", true},
	"a lossy outcome":     {with("  accept: [failed]\n"), `:6: accept: "failed" must be one of completed, completed-with-warnings, completed-with-errors, committed; other outcomes keep no data`, true},
	"a typo":              {with("  accept: [complete]\n"), "did you mean completed?", true},
	"no outcome":          {with("  accept: []\n"), ":6: accept has no items", true},
	"an alias":            {with("  instanceName: &x [i]\n  backupsetName: *x\n"), "an alias", false},
}

func TestParse_RefusesInvalidFiles(t *testing.T) {
	t.Parallel()
	for name, test := range faults {
		if _, err := Parse("o.yaml", []byte(test.text)); err == nil || !strings.Contains(err.Error(), "objectives: o.yaml") || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: got %v, want %q", name, err, test.says)
		}
	}
	var many strings.Builder
	many.WriteString("objectives:\n")
	for i := range MaxObjectives + 1 {
		fmt.Fprintf(&many, "- {name: n%d, clientName: [c], subclientName: [g], rpo: 1h}\n", i)
	}
	if _, err := Parse("o.yaml", []byte(many.String())); err == nil || !strings.Contains(err.Error(), "more than 200 objectives") {
		t.Errorf("got %v", err)
	}
}

func TestSchemaIsCurrent(t *testing.T) {
	t.Parallel()
	file := inDeploy("objectives.schema.json")
	if *update {
		if err := os.WriteFile(file, Schema(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if data, err := os.ReadFile(file); err != nil || !bytes.Equal(data, Schema()) {
		t.Errorf("%s is not current, %v: run `make docs`", file, err)
	}
}

func TestSchema_AgreesWithParse(t *testing.T) {
	t.Parallel()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("objectives.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("objectives.json")
	if err != nil {
		t.Fatal(err)
	}
	valid := func(text string) error {
		var value any
		if err := yaml.Unmarshal([]byte(text), &value); err != nil {
			return nil // not even YAML
		}
		return schema.Validate(value)
	}
	example, err := os.ReadFile(inDeploy("objectives.example.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, good := range []string{string(example), with(""), with("  accept: [committed]\n"), "objectives: []\n"} {
		if err := valid(good); err != nil {
			t.Errorf("the schema refuses\n%s\n%v", good, err)
		}
		if _, err := Parse("o.yaml", []byte(good)); err != nil {
			t.Errorf("Parse refuses\n%s\n%v", good, err)
		}
	}
	for name, test := range faults {
		if err := valid(test.text); (err != nil) != test.schema {
			t.Errorf("%s: the schema says %v", name, err)
		}
	}
}
