package mutants

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// Outcome is the result of a mutant's tests.
type Outcome struct {
	Killed bool
	// By is the test that failed, or one of panic, fatal error, goleak, timeout.
	By string
}

// run is one run of a test binary.
type run struct {
	binary, dir string
	overlay     string // for programs that the tests build
	number      int    // of the variants
	tests       string // regular expression, "" for all
	timeout     time.Duration
}

var failedTest = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)

// do runs the tests until the first of them fails.
func (r run) do(ctx context.Context) (Outcome, error) {
	limited, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	cmd := exec.CommandContext(limited, r.binary, "-test.v", "-test.failfast", "-test.paniconexit0", "-test.run", cmp.Or(r.tests, "."))
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", environment, r.number),
		strings.TrimSpace("GOFLAGS="+os.Getenv("GOFLAGS")+" -overlay="+r.overlay))
	// The processes of the test end with it, even if it is cancelled.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	out := &firstFailure{found: cancel}
	cmd.Stdout, cmd.Stderr = out, out
	err := cmd.Run()
	text := out.String()
	killed := func(by string) Outcome { return Outcome{Killed: true, By: by} }
	switch failed := failedTest.FindStringSubmatch(text); {
	case ctx.Err() != nil:
		return Outcome{}, context.Cause(ctx)
	case failed != nil:
		return killed(failed[1]), nil
	case err == nil && strings.Contains(text, "testing: warning: no tests to run"):
		return Outcome{}, fmt.Errorf("%q is the name of no test in %s", r.tests, filepath.Base(r.dir))
	case err == nil:
		return Outcome{}, nil
	case limited.Err() != nil:
		return killed("timeout"), nil
	case strings.Contains(text, "goleak: Errors"):
		return killed("goleak"), nil
	case strings.Contains(text, "panic: "):
		return killed("panic"), nil
	case strings.Contains(text, "fatal error: "):
		return killed("fatal error"), nil
	}
	return Outcome{}, fmt.Errorf("the tests end with %w, without a failed test:\n%s", err, text[max(0, len(text)-2000):])
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
