package mutants

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const fixture = "cmd/internal/mutants/testdata/fixture/fixture.go"

func runner(t *testing.T) Runner {
	t.Helper()
	absolute, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	return Runner{Root: absolute, Dir: t.TempDir(), Timeout: time.Minute}
}

func fixtureList(t *testing.T) List {
	t.Helper()
	list, err := ReadList("testdata/fixture/mutants.txt")
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestRunner_findsWhatTheTestsFind(t *testing.T) {
	t.Parallel()
	list := fixtureList(t)
	a, err := runner(t).Prepare(t.Context(), list)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Baseline(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"a generic function":                    "TestBounded",
		"a variadic function":                   "TestBounded",
		"a method":                              "TestCounter",
		"found by a test that is not named":     "TestCounter",
		"a constant":                            "TestBounded",
		"a panic":                               "TestBounded",
		"found by a program that a test builds": "TestProgram",
		"the same result":                       "",
	}
	for _, m := range list.Mutants {
		if m.Equivalent != "" {
			continue
		}
		o, err := a.Run(t.Context(), m)
		if by, ok := want[m.Name]; err != nil || !ok || o.By != by || o.Killed != (by != "") {
			t.Errorf("%q: %+v, %v, want %q", m.Name, o, err, by)
		}
	}
	if _, switched := a.numbers["a constant"]; switched || len(a.numbers) != len(want)-1 {
		t.Errorf("%v are in one binary, want all but the constant", a.numbers)
	}
}

func TestRunner_killsByTimeout(t *testing.T) {
	t.Parallel()
	list := fixtureList(t)
	list.Mutants = []Mutant{{
		Name: "an endless wait", File: fixture, Tests: "TestCounter",
		Old: []string{"c.n += n"}, New: []string{"for c.n == 0 {\n}"},
	}}
	r := runner(t)
	r.Timeout = time.Second
	a, err := r.Prepare(t.Context(), list)
	if err != nil {
		t.Fatal(err)
	}
	if o, err := a.Run(t.Context(), list.Mutants[0]); err != nil || o != (Outcome{Killed: true, By: "timeout"}) {
		t.Errorf("%+v, %v, want a timeout", o, err)
	}
}

func TestRunner_namesMistakesInLists(t *testing.T) {
	t.Parallel()
	list := fixtureList(t)
	m := Mutant{Name: "wrong", File: fixture, Old: []string{"c.n += n"}, New: []string{"c.n = n"}, Tests: "TestGone"}
	list.Mutants = []Mutant{m}
	a, err := runner(t).Prepare(t.Context(), list)
	if err != nil {
		t.Fatal(err)
	}
	if o, err := a.Run(t.Context(), m); err == nil || !strings.Contains(err.Error(), `"TestGone" is the name of no test`) {
		t.Errorf("%+v, %v, want an error that names the test", o, err)
	}
	list.Mutants[0].New = []string{"c.n += unknown"}
	if _, err := runner(t).Prepare(t.Context(), list); err == nil || !strings.Contains(err.Error(), `mutant "wrong":2: undefined: unknown`) {
		t.Errorf("%v, want an error that names the mutant that does not compile", err)
	}
}

func TestSummary(t *testing.T) {
	t.Parallel()
	s := Summary{Area: "x", Equivalent: 6}
	for range 19 {
		s.Add(Mutant{Name: "m"}, Outcome{Killed: true, By: "TestX"})
	}
	if got := s.String(); got != "x: 19 of 19 killed, 6 equivalent" || s.Err() != nil {
		t.Errorf("%q, %v", got, s.Err())
	}
	s.Add(Mutant{Name: "m"}, Outcome{})
	if err := s.Err(); err == nil || !strings.Contains(err.Error(), "1 survived") {
		t.Errorf("%v, want an error for one survivor", err)
	}
	s.Add(Mutant{Name: "m"}, Outcome{})
	if err := s.Err(); err == nil || !strings.Contains(err.Error(), "fewer than 95 %") {
		t.Errorf("%v, want an error for 19 of 21", err)
	}
	s.Add(Mutant{Name: "m"}, Outcome{Killed: true, By: "timeout"})
	if got := s.String(); got != `x: 20 of 22 killed, 6 equivalent; 1 only by a timeout: "m"` {
		t.Errorf("%q", got)
	}
}
