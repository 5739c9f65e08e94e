package mutants

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
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
			if !slices.Contains(list.Packages, m.Package()) {
				t.Errorf("mutant %q: %s is no package of the list", m.Name, m.Package())
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

// Each alternative of a mutant's "?" begins with the name of a test of its package.
func TestLists_nameTests(t *testing.T) {
	t.Parallel()
	names := make(map[string]string) // by package, one name a line
	for _, list := range lists(t) {
		for _, pkg := range list.Packages {
			names[pkg] = testNames(t, pkg)
		}
		for _, m := range list.Mutants {
			if m.Tests == "" || m.Equivalent != "" {
				continue
			}
			alternatives := []string{m.Tests}
			if !strings.Contains(m.Tests, "(") {
				alternatives = strings.Split(m.Tests, "|")
			}
			for _, a := range alternatives {
				test, _, _ := strings.Cut(a, "/")
				if ok, err := regexp.MatchString("(?m)"+test, names[m.Package()]); err != nil || !ok {
					t.Errorf("%s: mutant %q: %q is the name of no test in %s (%v)", list.Area, m.Name, test, m.Package(), err)
				}
			}
		}
	}
}

func testNames(t *testing.T, pkg string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, pkg, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	var names strings.Builder
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if decl, ok := d.(*ast.FuncDecl); ok && decl.Recv == nil && testName.MatchString(decl.Name.Name) {
				names.WriteString(decl.Name.Name + "\n")
			}
		}
	}
	return names.String()
}

var testName = regexp.MustCompile(`^(Test|Fuzz|Example)`)
