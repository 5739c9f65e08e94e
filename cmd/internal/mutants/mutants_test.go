package mutants

import (
	"flag"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	area     = flag.String("mutants.area", "", "run the mutants of this `area`, or of all")
	only     = flag.String("mutants.only", "", "run mutants whose names match this `regexp`")
	named    = flag.Bool("mutants.named", false, "run only the tests that the list names for each mutant")
	parallel = flag.Int("mutants.parallel", 2, "mutants at a time")
	timeout  = flag.Duration("mutants.timeout", 4*time.Minute, "longest time of one mutant's tests")
)

const root = "../../.."

func lists(t *testing.T) []List {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no lists: %v", err)
	}
	var all []List
	for _, file := range files {
		list, err := ReadList(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, list)
	}
	return all
}

// Each listed mutant applies exactly once and is valid Go, so that a change of the code
// cannot make a list stale.
func TestLists_apply(t *testing.T) {
	t.Parallel()
	for _, list := range lists(t) {
		if len(list.Packages) == 0 {
			t.Errorf("%s names no package", list.Area)
		}
		for _, m := range list.Mutants {
			content, err := os.ReadFile(filepath.Join(root, m.File))
			if err != nil {
				t.Error(err)
				continue
			}
			mutated, err := m.Apply(string(content))
			if err != nil {
				t.Error(err)
				continue
			}
			if mutated == string(content) {
				t.Errorf("mutant %q changes nothing", m.Name)
			}
			if _, err := parser.ParseFile(token.NewFileSet(), m.File, mutated, parser.SkipObjectResolution); err != nil {
				t.Errorf("mutant %q: %v", m.Name, err)
			}
		}
	}
}

func TestMutant_Apply(t *testing.T) {
	t.Parallel()
	const content = "one\n\ttwo\nthree\ntwo\n"
	for name, c := range map[string]struct {
		m    Mutant
		want string // "" for an error
	}{
		"part of a line":  {Mutant{Old: []string{"hre"}, New: []string{"o"}}, "one\n\ttwo\ntoe\ntwo\n"},
		"not there":       {Mutant{Old: []string{"four"}}, ""},
		"more than once":  {Mutant{Old: []string{"two"}}, ""},
		"lines":           {Mutant{Old: []string{"one", "two"}, New: []string{"x"}}, "x\nthree\ntwo\n"},
		"lines, removed":  {Mutant{Old: []string{"three", "two"}}, "one\n\ttwo\n"},
		"lines not there": {Mutant{Old: []string{"one", "three"}}, ""},
	} {
		if got, err := c.m.Apply(content); got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s: %q, %v, want %q", name, got, err, c.want)
		}
	}
}

// TestMutants runs the mutants of an area. It needs a flag: `make mutants`.
func TestMutants(t *testing.T) {
	if *area == "" {
		t.Log("nothing to do without -mutants.area; make mutants")
		return
	}
	pattern, err := regexp.Compile(*only)
	if err != nil {
		t.Fatal(err)
	}
	absolute, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	r := Runner{Root: absolute, Dir: t.TempDir(), Timeout: *timeout, NamedOnly: *named}
	ran := false
	for _, list := range lists(t) {
		if *area == "all" || *area == list.Area {
			ran = true
			runList(t, r, list, pattern)
		}
	}
	if !ran {
		t.Fatalf("unknown area %q: must be the name of a list in testdata", *area)
	}
}

func runList(t *testing.T, r Runner, list List, pattern *regexp.Regexp) {
	t.Helper()
	var (
		all   sync.WaitGroup
		mu    sync.Mutex
		slots = make(chan struct{}, *parallel)

		killed, survived, equivalent, timeouts int
	)
	for _, m := range list.Mutants {
		if !pattern.MatchString(m.Name) {
			continue
		}
		if m.Equivalent != "" {
			equivalent++
			continue
		}
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			began := time.Now()
			o, err := r.Run(t.Context(), list, m)
			mu.Lock()
			defer mu.Unlock()
			took := time.Since(began).Round(100 * time.Millisecond)
			switch {
			case err != nil:
				t.Errorf("%s: %q: %v", list.Area, m.Name, err)
			case o.Killed:
				if killed++; o.By == "timeout" {
					timeouts++
				}
				t.Logf("killed    %-60s %s, %s", m.Name, o.By, took)
			default:
				survived++
				t.Errorf("survived  %-60s %s\n  - %s\n  + %s", m.Name, took, strings.Join(m.Old, "\n    "), strings.Join(m.New, "\n    "))
			}
		})
	}
	all.Wait()
	total := killed + survived
	if total == 0 {
		return
	}
	t.Logf("%s: %d of %d killed (%d %%), %d of them by a timeout; %d change nothing", list.Area, killed, total, 100*killed/total, timeouts, equivalent)
	if 100*killed < 95*total {
		t.Errorf("%s: fewer than 95 %% are killed", list.Area)
	}
}
