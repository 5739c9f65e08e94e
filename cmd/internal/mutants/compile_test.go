package mutants

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestLists_compile checks the types of each mutant, so that a change of a name or a signature
// cannot make a list stale. It builds nothing but what the packages import.
func TestLists_compile(t *testing.T) {
	t.Parallel()
	all := lists(t)
	var packages []string
	for _, list := range all {
		packages = append(packages, list.Packages...)
	}
	c, err := newCompiler(t, packages)
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range all {
		for _, err := range c.check(list) {
			t.Errorf("%s: %v", list.Area, err)
		}
	}
}

func TestCompiler_namesMutants(t *testing.T) {
	t.Parallel()
	list := fixtureList(t)
	c, err := newCompiler(t, list.Packages)
	if err != nil {
		t.Fatal(err)
	}
	if errs := c.check(list); len(errs) > 0 {
		t.Errorf("%v, want no error", errs)
	}
	list.Mutants = append(list.Mutants,
		Mutant{Name: "in a function", File: fixture, Old: []string{"c.n += n"}, New: []string{"c.n += unknown"}},
		Mutant{Name: "unused", File: fixture, Old: []string{"c.n += n"}, New: []string{"m := n"}},
		Mutant{Name: "outside", File: fixture, Old: []string{"const limit = 10"}, New: []string{"const limit = gone"}},
	)
	got := fmt.Sprint(c.check(list))
	for _, want := range []string{`mutant "in a function"`, "undefined: unknown", `mutant "unused"`, "declared and not used: m", `mutant "outside"`, "undefined: gone"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s, want %s in it", got, want)
		}
	}
}

// compiler checks the types of packages.
type compiler struct {
	root     string
	packages map[string]listed // by directory, as a list names it
	imports  types.Importer
	fset     *token.FileSet
}

// listed is a package in the output of go list.
type listed struct {
	Dir, ImportPath, Export string
	GoFiles                 []string
	DepOnly                 bool
}

// newCompiler reads these packages, and builds what they and switchFile import.
func newCompiler(t *testing.T, packages []string) (*compiler, error) {
	absolute, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-export", "-deps", "-json=Dir,ImportPath,Export,GoFiles,DepOnly", "os", "strconv"}, packages...)...)
	cmd.Dir = absolute
	var failed bytes.Buffer
	cmd.Stderr = &failed
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, &failed)
	}
	c := &compiler{root: absolute, packages: make(map[string]listed), fset: token.NewFileSet()}
	exports := make(map[string]string)
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		exports[p.ImportPath] = p.Export
		if p.DepOnly {
			continue
		}
		dir, err := filepath.Rel(absolute, p.Dir)
		if err != nil {
			return nil, err
		}
		c.packages["./"+filepath.ToSlash(dir)] = p
	}
	c.imports = importer.ForCompiler(c.fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	return c, nil
}

// check returns the errors of the types in a list's mutants. As for a run, the mutants that can be
// switched are in one source.
func (c *compiler) check(list List) []error {
	all := &combined{root: c.root, files: make(map[string]*combinedFile), baseline: len(list.Mutants) + 1}
	var errs []error
	for i, m := range list.Mutants {
		if m.Equivalent != "" {
			continue
		}
		if switched, err := all.add(i+1, m); err != nil {
			errs = append(errs, err)
		} else if !switched {
			errs = append(errs, c.checkAlone(m)...)
		}
	}
	sources := all.sources()
	changed := make(map[string]bool)
	for name := range sources {
		changed["./"+filepath.ToSlash(filepath.Dir(name))] = true
	}
	for _, pkg := range slices.Sorted(maps.Keys(changed)) {
		for _, err := range c.checkPackage(pkg, sources) {
			errs = append(errs, list.nameMutants(err))
		}
	}
	return errs
}

func (c *compiler) checkAlone(m Mutant) []error {
	content, err := os.ReadFile(filepath.Join(c.root, m.File))
	if err != nil {
		return []error{err}
	}
	mutated, err := m.Apply(string(content))
	if err != nil {
		return []error{err}
	}
	errs := c.checkPackage(m.Package(), map[string]string{m.File: mutated})
	for i, err := range errs {
		errs[i] = fmt.Errorf("mutant %q: %w", m.Name, err)
	}
	return errs
}

// checkPackage returns the errors of a package, of which these files have another text. A file that
// is not the package's own is added.
func (c *compiler) checkPackage(pkg string, sources map[string]string) (errs []error) {
	p, ok := c.packages[pkg]
	if !ok {
		return []error{fmt.Errorf("%s is no package of a list", pkg)}
	}
	texts := make(map[string]any)
	for _, name := range p.GoFiles {
		texts[filepath.Join(pkg, name)] = nil // as it is
	}
	for name, text := range sources {
		if "./"+filepath.ToSlash(filepath.Dir(name)) == pkg {
			texts[name] = text
		}
	}
	var files []*ast.File
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		file, err := parser.ParseFile(c.fset, filepath.Join(c.root, name), texts[name], parser.SkipObjectResolution)
		if err != nil {
			return []error{err}
		}
		files = append(files, file)
	}
	config := types.Config{Importer: c.imports, Error: func(err error) { errs = append(errs, err) }}
	_, _ = config.Check(p.ImportPath, c.fset, files, nil) // its error is one of errs
	return errs
}
