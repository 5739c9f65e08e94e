package mutants

import (
	"flag"
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
	timeout  = flag.Duration("mutants.timeout", 90*time.Second, "longest time of the tests that the list names for a mutant")
)

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
	began := time.Now()
	a, err := r.Prepare(t.Context(), list)
	if err != nil {
		t.Errorf("%s: %v", list.Area, err)
		return
	}
	if !r.NamedOnly {
		if err := a.Baseline(t.Context()); err != nil {
			t.Errorf("%s: %v", list.Area, err)
			return
		}
	}
	t.Logf("%s: %d mutants, ready after %s", list.Area, len(list.Mutants), time.Since(began).Round(time.Second))
	var (
		all     sync.WaitGroup
		mu      sync.Mutex
		slots   = make(chan struct{}, *parallel)
		summary = Summary{Area: list.Area}
	)
	for _, m := range list.Mutants {
		if !pattern.MatchString(m.Name) {
			continue
		}
		if m.Equivalent != "" {
			summary.Equivalent++
			continue
		}
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			began := time.Now()
			o, err := a.Run(t.Context(), m)
			took := time.Since(began).Round(100 * time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Errorf("%s: %q: %v", list.Area, m.Name, err)
				return
			}
			summary.Add(m, o)
			if o.Killed {
				t.Logf("killed    %-60s %s, %s", m.Name, o.By, took)
				return
			}
			t.Logf("survived  %-60s %s\n  - %s\n  + %s", m.Name, took, strings.Join(m.Old, "\n    "), strings.Join(m.New, "\n    "))
		})
	}
	all.Wait()
	t.Logf("%s (%s)", summary, time.Since(began).Round(time.Second))
	if err := summary.Err(); err != nil {
		t.Error(err)
	}
}
