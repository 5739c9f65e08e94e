// Package programtest runs the built program for the tests of other packages, as its
// users run it: the binary, a separate nats-server, plain NATS clients and a simulated
// vendor. No test reaches into the program's memory.
//
// The first test of a package that needs a binary builds both; [Main] removes them. Every
// helper stops what it started when the test ends, and fails the test if a process printed
// a secret.
package programtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"backhaul/publisher/natstest/waittest"
	"backhaul/vendorapi/secretstest"
)

// Password is the vendor user's. No other text contains it.
const Password = "geheim-Ü-7f3a"

// The exit codes that deploy/COMMANDS.md promises.
const (
	ExitDone        = 0
	ExitFailed      = 1
	ExitUsage       = 2
	ExitUnreachable = 3
	ExitInterrupted = 130
)

// built is the directory of the binaries, "" until a test needed one.
var built string

var build = sync.OnceValues(func() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "backhaul-test-"); err != nil {
		return "", err
	}
	built = dir
	for name, pkg := range map[string]string{"backhaul": "backhaul/cmd/backhaul", "nats-server": "github.com/nats-io/nats-server/v2"} {
		cmd := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(dir, name), pkg)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as it is shipped; and an image needs nothing else
		out, err := cmd.CombinedOutput()
		if err != nil {
			return dir, fmt.Errorf("build %s: %w\n%s", pkg, err, out)
		}
	}
	return dir, nil
})

// Main runs the tests of a package, and removes what was built for them.
func Main(m *testing.M) {
	code := m.Run()
	if built != "" {
		_ = os.RemoveAll(built)
	}
	os.Exit(code)
}

// Binary returns the path of a built program: backhaul or nats-server.
func Binary(t *testing.T, name string) string {
	t.Helper()
	dir, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}

// Process is a program that runs while the test does. Done is closed when it has ended; then
// Err is set.
type Process struct {
	Cmd    *exec.Cmd
	Output *waittest.Log
	Done   chan struct{}
	Err    error
}

// NoSecrets fails the test if something that was printed shows a secret.
func NoSecrets(t testing.TB, printed ...any) {
	t.Helper()
	secretstest.NotShown(t, []string{Password, "QSDK "}, printed...)
}

// Start starts a built program; env is added to a clean environment.
func Start(t *testing.T, env []string, name string, args ...string) *Process {
	t.Helper()
	return StartCommand(t, exec.Command(Binary(t, name), args...), env)
}

// StartCommand starts cmd as [Start] does.
func StartCommand(t *testing.T, cmd *exec.Cmd, env []string) *Process {
	t.Helper()
	p := &Process{Cmd: cmd, Output: &waittest.Log{}, Done: make(chan struct{})}
	p.Cmd.Env = append(CleanEnv(), env...)
	p.Cmd.Stdout, p.Cmd.Stderr = p.Output, p.Output
	if err := p.Cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.Err = p.Cmd.Wait()
		close(p.Done)
	}()
	t.Cleanup(func() {
		p.Kill()
		NoSecrets(t, p.Output.String())
		if t.Failed() {
			t.Logf("%v:\n%s", cmd.Args, p.Output)
		}
	})
	return p
}

// CleanEnv returns the environment without settings of the program.
func CleanEnv() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "BACKHAUL_") {
			env = append(env, v)
		}
	}
	return env
}

// Kill ends the process with SIGKILL.
func (p *Process) Kill() {
	_ = p.Cmd.Process.Kill()
	<-p.Done
}

// Signal sends the process a signal.
func (p *Process) Signal(t *testing.T, signal syscall.Signal) {
	t.Helper()
	if err := p.Cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
}

// Stop asks the process to stop and returns its exit code.
func (p *Process) Stop(t *testing.T) int {
	t.Helper()
	p.Signal(t, syscall.SIGTERM)
	select {
	case <-p.Done:
	case <-time.After(time.Minute):
		t.Fatal("still running a minute after SIGTERM")
	}
	return p.ExitCode()
}

// ExitCode waits for the end of the process and returns its exit code.
func (p *Process) ExitCode() int {
	<-p.Done
	return p.Cmd.ProcessState.ExitCode()
}

// WaitFor waits until the process has printed text.
func (p *Process) WaitFor(t *testing.T, text string) {
	t.Helper()
	waittest.Eventually(t, fmt.Sprintf("output with %q", text), func() bool {
		select {
		case <-p.Done:
			if !strings.Contains(p.Output.String(), text) {
				t.Fatalf("process ended (%v) before it printed %q:\n%s", p.Err, text, p.Output)
			}
		default:
		}
		return strings.Contains(p.Output.String(), text)
	})
}

// Once runs the program to its end, in an empty directory.
func Once(t *testing.T, env []string, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, Binary(t, "backhaul"), args...)
	cmd.Env = append(CleanEnv(), env...)
	cmd.Dir = t.TempDir()
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	NoSecrets(t, out.String(), errs.String())
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// NATSServer runs a separate nats-server and returns its URL.
func NATSServer(t *testing.T) string {
	t.Helper()
	_, url := NATSServerProcess(t)
	return url
}

// NATSServerProcess runs a separate nats-server and returns it with its URL.
func NATSServerProcess(t *testing.T) (*Process, string) {
	t.Helper()
	address := FreeAddress(t)
	_, port, _ := strings.Cut(address, ":")
	p := Start(t, nil, "nats-server", "-a", "127.0.0.1", "-p", port, "-js", "-sd", t.TempDir())
	p.WaitFor(t, "Server is ready")
	return p, "nats://" + address
}
