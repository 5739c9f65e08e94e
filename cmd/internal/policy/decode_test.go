package policy

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"backhaul/cmd/internal/strictyaml"
	"backhaul/schemas"
)

// in returns a policy with one rule for billing that has these additional lines.
func in(lines string) string {
	return "sources:\n  billing:\n    allow:\n      - clientName: [a]\n        subclientName: [b]\n" + lines
}

func TestParse_RefusesInvalidFiles(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text string
		says string // follows the file's name if it begins with a colon
	}{
		"empty":                   {"", ":1: is empty"},
		"comment only":            {"# nothing\n", ":1: is empty"},
		"null":                    {"~\n", ":1: is empty"},
		"not YAML":                {"sources:\n  billing: [\n", ":2: is not valid YAML"},
		"tab":                     {"sources:\n\tbilling:\n", ":2: is not valid YAML"},
		"not UTF-8":               {"sources: \"\xff\"\n", ": is not valid YAML"},
		"two documents":           {in("") + "---\nsources: {}\n", ":6: has more than one document"},
		"list":                    {"- a\n", ":1: a policy must be a mapping"},
		"no sources":              {"{}\n", ":1: the key sources is missing"},
		"empty sources":           {"sources:\n", ":1: sources must be a mapping, here is nothing"},
		"unknown key":             {"source: {}\n", `:1: a policy has no key "source"; did you mean sources?`},
		"unknown key of an entry": {"sources:\n  a:\n    alow: []\n", `:3: the entry of "a" has no key "alow"; did you mean allow?`},
		"unknown key of a rule":   {in("        subclientname: [x]\n"), `:6: a rule has no key "subclientname"; did you mean subclientName?`},
		"everyday word":           {in("        contentGroups: [x]\n"), `:6: a rule has no key "contentGroups"; did you mean subclientName?`},
		"far from any key":        {in("        zzzzzzzzzzzzzzzz: [x]\n"), `:6: a rule has no key "zzzzzzzzzzzzzzzz"` + "\n"},
		"repeated key":            {in("        clientName: [x]\n"), `:6: the key "clientName" is given twice, first in line 4`},
		"repeated source":         {"sources:\n  a: {allow: []}\n  a: {allow: []}\n", `:3: the key "a" is given twice, first in line 2`},
		"source with a dot":       {"sources:\n  a.b: {allow: []}\n", `:2: source "a.b" must be one token`},
		"source with a pattern":   {"sources:\n  \"a*\": {allow: []}\n", `:2: source "a*" must be one token`},
		"source that is a number": {"sources:\n  7: {allow: []}\n", `:2: sources: the key "7" is not a string; put it into quotes`},
		"no allow":                {"sources:\n  a: {requestsPerHour: 1}\n", `:2: the entry of "a" has no key allow`},
		"entry that is a list":    {"sources:\n  a: []\n", `:2: the entry of "a" must be a mapping, here is a list`},
		"entry of nothing":        {"sources:\n  a:\n", `:2: the entry of "a" must be a mapping, here is nothing`},
		"allow that is a mapping": {"sources:\n  a:\n    allow: {clientName: [x]}\n", ":3: allow must be a list of rules"},
		"rule that is a text":     {"sources:\n  a: {allow: [x]}\n", `:2: a rule must be a mapping, here is "x"`},
		"no client":               {"sources:\n  a:\n    allow:\n      - subclientName: [x]\n", ":4: the rule has no clientName"},
		"no content group":        {"sources:\n  a:\n    allow:\n      - clientName: [x]\n", ":4: the rule has no subclientName"},
		"one value":               {in("        backupLevel: FULL\n"), `:6: backupLevel must be a list of values such as backupLevel: ["*"]; here is "FULL"`},
		"no value":                {in("        backupLevel: []\n"), ":6: backupLevel has no items"},
		"number":                  {in("        appName: [1]\n"), `:6: each value of appName must be a string; put "1" into quotes`},
		"date":                    {in("        appName: [2026-01-01]\n"), `:6: each value of appName must be a string; put "2026-01-01"`},
		"nothing in a list":       {in("        appName:\n          - x\n          -\n"), ":8: each value of appName must be a string, here is nothing"},
		"list in a list":          {in("        appName: [[x]]\n"), ":6: each value of appName must be a string, here is a list"},
		"alias":                   {in("        instanceName: &x [i]\n        appName: *x\n"), ":7: appName must be a list of values such as appName: [\"*\"]; here is an alias"},
		"merge":                   {"x: &x {allow: []}\nsources:\n  a:\n    <<: *x\n", `:4: the entry of "a": merge keys are not supported`},
		"empty name":              {in("        appName: [\"\"]\n"), `:6: appName: "" can never be the value of a request`},
		"control character":       {in("        appName: [\"a\\nb\"]\n"), "has control characters"},
		"level":                   {in("        backupLevel: [full]\n"), `:6: backupLevel: "full" must be one of FULL, INCREMENTAL, DIFFERENTIAL, SYNTHETIC_FULL; did you mean FULL?`},
		"pattern of levels":       {in("        backupLevel: [\"*FULL\"]\n"), `"*FULL" must be one of`},
		"ad hoc":                  {in("        adHocBackup: [\"true\"]\n"), ":6: each value of adHocBackup must be true or false, here is \"true\""},
		"relative path":           {in("        onDemandInputFile: [sk/]\n"), `:6: onDemandInputFile: "sk/" is not absolute`},
		"path with a pattern":     {in("        onDemandInputFile: [\"/sk/*\"]\n"), `"/sk/*" has a *`},
		"path that climbs":        {in("        onDemandInputFile: [/sk/..]\n"), `"/sk/.." has the segment ".."`},
		"path with two slashes":   {in("        onDemandInputFile: [/sk//]\n"), `"/sk//" has an empty segment`},
		"no requests":             {"sources:\n  a:\n    requestsPerHour: 0\n    allow: []\n", ":3: requestsPerHour must be a whole number from 1"},
		"fraction of requests":    {"sources:\n  a:\n    requestsPerHour: 1.5\n    allow: []\n", ":3: requestsPerHour must be"},
		"requests as a text":      {"sources:\n  a:\n    requestsPerHour: \"5\"\n    allow: []\n", ":3: requestsPerHour must be"},
		"large":                   {in(strings.Repeat("# ........\n", maxFile/10)), ": has more than 1048576 bytes"},
		"long name":               {in("        appName: [" + strings.Repeat("x", 5000) + "]\n"), "has more than 4096 characters"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := Parse("dir/p.yaml", []byte(test.text))
			if p != nil || err == nil {
				t.Fatalf("got %+v, %v", p, err)
			}
			want := test.says
			if want[0] == ':' {
				want = "dir/p.yaml" + want
			}
			if !strings.Contains(err.Error()+"\n", want) {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
}

// One call reports every problem, in the order of the file.
func TestParse_ReportsEveryProblem(t *testing.T) {
	t.Parallel()
	_, err := Parse("p.yaml", []byte(in("        plan: [x]\n        backupLevel: [full]\n  crm:\n    requestsPerHour: no\n    allow: []\n")))
	e, ok := errors.AsType[*strictyaml.Error](err)
	if !ok {
		t.Fatalf("got %v", err)
	}
	var lines []int
	for _, p := range e.Problems {
		lines = append(lines, p.Line)
	}
	if !slices.Equal(lines, []int{6, 7, 9}) || strings.Count(err.Error(), "\n  p.yaml:") != 3 {
		t.Errorf("problems in the lines %v: %v", lines, err)
	}

	_, err = Parse("p.yaml", []byte("sources:\n"+strings.Repeat("  \"a b\": {}\n", 500)))
	if e, ok := errors.AsType[*strictyaml.Error](err); !ok || len(e.Problems) != strictyaml.MaxProblems+1 {
		t.Errorf("500 wrong lines: %.300v", err)
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "p.yaml")
	if err := os.WriteFile(file, []byte(in("")), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := Load(file)
	if err != nil || p.File != file || len(p.Sum) != 64 {
		t.Errorf("got %+v, %v", p, err)
	}
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{filepath.Join(dir, "none.yaml"), dir, fifo} {
		if _, err := Load(file); err == nil || strings.Count(err.Error(), file) != 1 {
			t.Errorf("%s: %v", file, err)
		} else if _, ok := errors.AsType[*strictyaml.Error](err); !ok {
			t.Errorf("%s: the error is a %T", file, err)
		}
	}
}

// For any input, Parse returns a policy or an error, and Allows and Explain agree.
func FuzzParse(f *testing.F) {
	example, err := os.ReadFile(filepath.Join("..", "..", "..", "deploy", "policy.example.yaml"))
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{string(example), everyDimension, in(""), "sources: {}", "a: &a [*a]", "sources: {a: {allow: [{clientName: [\"*\"], subclientName: [\"*\"]}]}}", "- - - ?", "\xff", "%YAML 1.1\n---\n"} {
		f.Add([]byte(seed))
	}
	unknown := schemas.BackupRequest{ClientName: "\x00", InstanceName: "\x00\x00", BackupsetName: "\x00", SubclientName: "\x00", AppName: "\x00", BackupLevel: "\x00", OnDemandInputFile: "/\x00"}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Parse("p.yaml", data)
		if (p == nil) != (err != nil) {
			t.Fatalf("got %v and %v", p, err)
		}
		if err != nil {
			if e, ok := errors.AsType[*strictyaml.Error](err); !ok || len(e.Problems) == 0 || e.Error() == "" {
				t.Fatalf("the error is %#v", err)
			}
			return
		}
		for _, r := range []schemas.BackupRequest{{}, unknown, {ClientName: "a", InstanceName: "a", SubclientName: "b"}} {
			for source := range p.sources {
				ok, perHour := p.Allows(source, &r)
				v := p.Explain(source, r)
				if ok != v.Allowed || perHour != v.RequestsPerHour || !ok && v.Reason() == "" {
					t.Fatalf("Allows says %t, %d; Explain says %+v", ok, perHour, v)
				}
			}
		}
		if again, err := Parse("p.yaml", data); err != nil || !reflect.DeepEqual(again, p) {
			t.Fatalf("parsed again: %v, %v", again, err)
		}
	})
}
