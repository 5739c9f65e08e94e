package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"backhaul/cmd/internal/programtest"
)

// eachCommand calls visit with every command that people can see.
func eachCommand(cmd *cobra.Command, visit func(*cobra.Command)) {
	if cmd.Hidden {
		return
	}
	visit(cmd)
	for _, sub := range cmd.Commands() {
		eachCommand(sub, visit)
	}
}

// completions is what a shell offers behind a command line.
func completions(t *testing.T, args ...string) (offers []string, directive string) {
	t.Helper()
	root := newRootCommand()
	completeFlags(root)
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetArgs(append([]string{cobra.ShellCompNoDescRequestCmd}, args...))
	if err := root.ExecuteContext(t.Context()); err != nil {
		t.Fatalf("complete %v: %v", args, err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	i := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, ":") })
	if i < 0 {
		t.Fatalf("complete %v: no directive in %q", args, lines)
	}
	return lines[:i], lines[i]
}

const (
	anyFile = ":0"
	noFile  = ":4"
	anyDir  = ":16"
)

func TestCompletions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ line, offers, directive string }{
		{"version --output ", "table json", noFile},
		{"status --output ", "table json", noFile},
		{"schema ls --output ", "table json", noFile},
		{"events --kind ", "job-submitting job-started job-failed request-rejected job-changed job-finished job-unfollowed operator protection", noFile},
		{"events --error-code ", "INVALID_REQUEST NOT_ALLOWED EXPIRED VENDOR_UNAVAILABLE AUTH_FAILED OUTCOME_UNKNOWN CANCELLED", noFile},
		{"events --source ", "", noFile},
		{"run --vendor-auth ", "login token bearer", noFile},
		{"run --vendor-format ", "xml json", noFile},
		{"run --in-doubt ", "reconcile fail", noFile},
		{"run --log-level ", "debug info warn error", noFile},
		{"run --log-format ", "auto console json", noFile},
		{"run --vendor-ca ", "", anyFile},
		{"run --nats-creds ", "", anyFile},
		{"run --store-dir ", "", anyDir},
		{"run --vendor-timeout ", "", noFile},
		{"request --backup-level ", "FULL INCREMENTAL DIFFERENTIAL SYNTHETIC_FULL", noFile},
		{"request --file ", "", anyFile},
		{"schema show ", "backup-request.v1 job-changed.v1 job-failed.v1 job-finished.v1 job-started.v1 job-submitting.v1 job-unfollowed.v1 operator.v1 protection.v1 request-rejected.v1", noFile},
		{"schema ", "asyncapi ls show validate", noFile},
		{"schema validate ", "", anyFile},
	} {
		offers, directive := completions(t, strings.Split(c.line, " ")...)
		if strings.Join(offers, " ") != c.offers || directive != c.directive {
			t.Errorf("%q: got %q %s, want %q %s", c.line, offers, directive, c.offers, c.directive)
		}
	}
}

// A flag whose usage lists its values offers them.
func TestChoicesAreOffered(t *testing.T) {
	t.Parallel()
	found := 0
	eachCommand(newRootCommand(), func(cmd *cobra.Command) {
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			place, _ := pflag.UnquoteUsage(f)
			if !strings.Contains(place, "|") {
				return
			}
			found++
			path := strings.Fields(cmd.CommandPath())[1:]
			asked := append(path, "--"+f.Name, "")
			if f.NoOptDefVal != "" { // its value is part of the argument
				asked = append(path, "--"+f.Name+"=")
			}
			offers, _ := completions(t, asked...)
			if got := strings.Join(offers, "|"); got != place {
				t.Errorf("%s --%s offers %s, and its usage says %s", cmd.CommandPath(), f.Name, got, place)
			}
		})
	})
	if found < 10 {
		t.Errorf("%d such flags", found)
	}
}

// The program offers the values of flags, and not only a root command that a test completes.
func TestCompletions_ofTheProgram(t *testing.T) {
	t.Parallel()
	for _, request := range []string{cobra.ShellCompRequestCmd, cobra.ShellCompNoDescRequestCmd} {
		code, out, stderr := programtest.Once(t, nil, "", request, "run", "--vendor-format", "")
		if code != exitDone || !strings.HasPrefix(out, "xml\njson\n:4") {
			t.Errorf("%s: exit code %d, %q %s", request, code, out, stderr)
		}
	}
}

func TestEveryShellHasACompletion(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if code, out, stderr := programtest.Once(t, nil, "", "completion", shell); code != exitDone || !strings.Contains(out, "backhaul") {
			t.Errorf("%s: exit code %d, %s", shell, code, stderr)
		}
	}
}
