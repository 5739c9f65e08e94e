package mutants

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

// Runner runs mutants of the module at Root. Dir is a directory for sources and binaries.
type Runner struct {
	Root, Dir string
	// Timeout bounds the named tests of one mutant. A whole package may take this time in
	// addition to twice the time that it takes without a mutant.
	Timeout time.Duration
	// NamedOnly runs only the tests that a mutant names, if it names any.
	NamedOnly bool
}

// Area is a list whose mutants are ready to run.
type Area struct {
	Runner
	list     List
	numbers  map[string]int // of the mutants in the combined source
	combined *binaries
	whole    map[string]time.Duration // what a package takes without a mutant
}

// Prepare builds the test binaries of a list.
func (r Runner) Prepare(ctx context.Context, list List) (*Area, error) {
	a := &Area{Runner: r, list: list, numbers: make(map[string]int), whole: make(map[string]time.Duration)}
	all := &combined{root: r.Root, files: make(map[string]*combinedFile), baseline: a.baseline()}
	for i, m := range list.Mutants {
		if m.Equivalent != "" {
			continue
		}
		switched, err := all.add(i+1, m)
		if err != nil {
			return nil, err
		}
		if switched {
			a.numbers[m.Name] = i + 1
		}
	}
	var err error
	if a.combined, err = r.binaries(all.sources()); err != nil {
		return nil, err
	}
	for _, pkg := range list.Packages {
		if _, err := a.combined.of(ctx, pkg); err != nil {
			return nil, list.nameMutants(err)
		}
	}
	return a, nil
}

func (r Runner) binaries(sources map[string]string) (*binaries, error) {
	dir, err := os.MkdirTemp(r.Dir, "build-")
	if err != nil {
		return nil, err
	}
	return newBinaries(r.Root, dir, sources)
}

// baseline is the number of the run without a mutant.
func (a *Area) baseline() int { return len(a.list.Mutants) + 1 }

// Baseline runs the tests without a mutant, but with variants of all mutated functions.
// They must pass, otherwise a mutant that they kill proves nothing.
func (a *Area) Baseline(ctx context.Context) error {
	for _, pkg := range a.list.Packages {
		began := time.Now()
		o, err := a.test(ctx, a.combined, pkg, run{number: a.baseline(), timeout: 10 * time.Minute})
		if err != nil {
			return err
		}
		if o.Killed {
			return fmt.Errorf("%s fails without a mutant: %s", pkg, o.By)
		}
		a.whole[pkg] = time.Since(began)
	}
	return nil
}

// Run runs the tests that may find the mutant and returns their result: first the named
// ones of its package, then all of the area.
func (a *Area) Run(ctx context.Context, m Mutant) (Outcome, error) {
	number, built := a.numbers[m.Name], a.combined
	if number == 0 {
		var err error
		if built, err = a.alone(m); err != nil {
			return Outcome{}, err
		}
		defer func() { _ = os.RemoveAll(built.dir) }()
	}
	if m.Tests != "" {
		o, err := a.test(ctx, built, m.Package(), run{number: number, tests: m.Tests, timeout: a.Timeout})
		if err != nil || o.Killed || a.NamedOnly {
			return o, err
		}
	}
	for _, pkg := range a.list.Packages {
		o, err := a.test(ctx, built, pkg, run{number: number, timeout: a.Timeout + 2*a.whole[pkg]})
		if err != nil || o.Killed {
			return o, err
		}
	}
	return Outcome{}, nil
}

// alone returns the binaries of a module that has only this mutant.
func (a *Area) alone(m Mutant) (*binaries, error) {
	content, err := os.ReadFile(filepath.Join(a.Root, m.File))
	if err != nil {
		return nil, err
	}
	mutated, err := m.Apply(string(content))
	if err != nil {
		return nil, err
	}
	return a.binaries(map[string]string{m.File: mutated})
}

func (a *Area) test(ctx context.Context, built *binaries, pkg string, r run) (Outcome, error) {
	var err error
	if r.binary, err = built.of(ctx, pkg); err != nil {
		return Outcome{}, err
	}
	r.dir, r.overlay = filepath.Join(a.Root, pkg), built.overlay
	return r.do(ctx)
}

var variantFile = regexp.MustCompile(`mutant-(\d+)\.go`)

// nameMutants replaces the file names of variants in a compiler's error with the names of
// their mutants.
func (l List) nameMutants(err error) error {
	return errors.New(variantFile.ReplaceAllStringFunc(err.Error(), func(file string) string {
		number, err := strconv.Atoi(variantFile.FindStringSubmatch(file)[1])
		if err != nil || number < 1 || number > len(l.Mutants) {
			return file
		}
		return fmt.Sprintf("mutant %q", l.Mutants[number-1].Name)
	}))
}
