package mutants

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Outcome is the result of a mutant's tests.
type Outcome struct {
	Killed bool
	// By is the test that failed, or "timeout".
	By string
}

// Runner runs mutants of the module at Root. Dir is a directory for overlays.
type Runner struct {
	Root, Dir string
	// Timeout bounds the tests of one mutant.
	Timeout time.Duration
	// NamedOnly runs only the tests that a mutant names, if it names any.
	NamedOnly bool
}

var (
	failedTest = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)
	notBuilt   = regexp.MustCompile(`(?m)\[build failed\]|\[setup failed\]`)
)

// Run runs the tests that may find the mutant and returns their result.
func (r Runner) Run(ctx context.Context, list List, m Mutant) (Outcome, error) {
	overlay, err := r.overlay(m)
	if err != nil {
		return Outcome{}, err
	}
	if m.Tests != "" {
		o, err := r.test(ctx, namedIn(list, m), overlay, m.Tests)
		if err != nil || o.Killed || r.NamedOnly {
			return o, err
		}
	}
	return r.test(ctx, list.Packages, overlay, "")
}

// namedIn returns the packages in which to run the tests that a mutant names: its own
// package if the list has it, otherwise all of the list.
func namedIn(list List, m Mutant) []string {
	if own := "./" + filepath.ToSlash(filepath.Dir(m.File)); slices.Contains(list.Packages, own) {
		return []string{own}
	}
	return list.Packages
}

// overlay writes the mutated file and returns the name of an overlay for go test.
func (r Runner) overlay(m Mutant) (string, error) {
	path := filepath.Join(r.Root, m.File)
	content, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	mutated, err := m.Apply(string(content))
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(r.Dir, "mutant-")
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, filepath.Base(path))
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {path: file}})
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(file, []byte(mutated), 0o600); err != nil {
		return "", err
	}
	overlay := filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, replace, 0o600)
}

// test runs tests until the first of them fails.
func (r Runner) test(ctx context.Context, packages []string, overlay, tests string) (Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	args := []string{"test", "-overlay", overlay, "-failfast", "-vet=off", "-count=1", "-ldflags=-s -w", "-timeout", (2 * r.Timeout).String(), "-v", "-run", cmp.Or(tests, ".")}
	cmd := exec.CommandContext(ctx, "go", append(args, packages...)...)
	cmd.Dir = r.Root
	// The processes of the test end with it, even if it is cancelled.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	out := &firstFailure{found: cancel}
	cmd.Stdout, cmd.Stderr = out, out
	err := cmd.Run()
	text := out.String()
	switch failed := failedTest.FindStringSubmatch(text); {
	case notBuilt.MatchString(text):
		return Outcome{}, fmt.Errorf("does not compile:\n%s", tail(text))
	case failed != nil:
		return Outcome{Killed: true, By: failed[1]}, nil
	case strings.Contains(text, "panic: "):
		return Outcome{Killed: true, By: "panic"}, nil
	case strings.Contains(text, "goleak: Errors"):
		return Outcome{Killed: true, By: "goleak"}, nil
	case ctx.Err() != nil:
		return Outcome{Killed: true, By: "timeout"}, nil
	case err != nil:
		return Outcome{}, fmt.Errorf("%w:\n%s", err, tail(text))
	}
	return Outcome{}, nil
}

// firstFailure keeps the output of the tests and calls found when one of them has failed.
type firstFailure struct {
	bytes.Buffer
	found func()
}

func (f *firstFailure) Write(p []byte) (int, error) {
	n, err := f.Buffer.Write(p)
	if failedTest.Match(p) {
		f.found()
	}
	return n, err
}

func tail(text string) string { return text[max(0, len(text)-2000):] }
