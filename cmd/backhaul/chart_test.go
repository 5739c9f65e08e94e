package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"backhaul/cmd/internal/programtest"
)

// What needs Helm and Kubernetes' types is a module of its own: deploy/helm/test. It
// keeps what the chart renders in the same folder (TestOutputIsCurrent there), which is compared
// against this program here.

const chartTests = "../../deploy/helm/test"

// manifest has the parts of the rendered output that the tests need.
type manifest struct {
	Kind     string
	Metadata struct{ Name string }
	Data     map[string]string
	Spec     struct {
		Template struct {
			Spec struct {
				Containers []struct {
					Args  []string
					Ports []struct {
						ContainerPort int `yaml:"containerPort"`
					}
				}
			}
		}
	}
}

func rendered(t *testing.T) map[string][]manifest {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(chartTests, "testdata", "*.golden.yaml"))
	if err != nil || len(files) < 4 {
		t.Fatalf("%d outputs: %v", len(files), err)
	}
	all := make(map[string][]manifest)
	for _, file := range append(files, "../../deploy/kubernetes/backhaul.yaml") {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for decoder := yaml.NewDecoder(strings.NewReader(string(data))); ; {
			var m manifest
			if err := decoder.Decode(&m); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			all[file] = append(all[file], m)
		}
	}
	return all
}

var probed = regexp.MustCompile(`(?m)^\s*admin\.addr\s+:9090\s`)

// The program takes every configuration file, policy, routes and command line that the
// chart makes, and each setting comes from that file.
func TestChartFitsTheProgram(t *testing.T) {
	t.Parallel()
	for file, manifests := range rendered(t) {
		ran := 0
		for _, m := range manifests {
			if text := m.Data["backhaul.yaml"]; text != "" {
				name := filepath.Join(t.TempDir(), "backhaul.yaml")
				if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				code, shown, stderr := programtest.Once(t, nil, "", "config", "show", "--config", name)
				if code != exitDone {
					t.Errorf("%s: %s: exit code %d: %s", file, m.Metadata.Name, code, stderr)
				}
				if !strings.HasSuffix(m.Metadata.Name, "-setup") && !probed.MatchString(shown) {
					t.Errorf("%s: %s: the listener is not where the probes ask:\n%s", file, m.Metadata.Name, shown)
				}
			}
			if text := m.Data["objectives.yaml"]; text != "" {
				name := filepath.Join(t.TempDir(), "objectives.yaml")
				programtest.PutFile(t, name, text)
				if code, _, stderr := programtest.Once(t, nil, "", "protection", "check", name); code != exitDone {
					t.Errorf("%s: %s: exit code %d: %s", file, m.Metadata.Name, code, stderr)
				}
			}
			if text := m.Data["policy.yaml"]; text != "" {
				name := filepath.Join(t.TempDir(), "policy.yaml")
				if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				if code, _, stderr := programtest.Once(t, nil, "", "policy", "check", name); code != exitDone {
					t.Errorf("%s: %s: exit code %d: %s", file, m.Metadata.Name, code, stderr)
				}
			}
			if text := m.Data["routes.yaml"]; text != "" {
				name := filepath.Join(t.TempDir(), "routes.yaml")
				if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				if code, _, stderr := programtest.Once(t, nil, "", "trigger", "check", "--routes", name); code != exitDone {
					t.Errorf("%s: %s: exit code %d: %s", file, m.Metadata.Name, code, stderr)
				}
			}
			for _, c := range m.Spec.Template.Spec.Containers {
				ran++
				if problem := unknownCommand(c.Args); problem != "" {
					t.Errorf("%s: %s: %s", file, m.Metadata.Name, problem)
				}
				if len(c.Ports) > 0 && c.Ports[0].ContainerPort != 9090 {
					t.Errorf("%s: %s: ports %v", file, m.Metadata.Name, c.Ports)
				}
			}
		}
		if ran == 0 {
			t.Errorf("%s runs nothing", file)
		}
	}
}

// unknownCommand returns the part of a command line that the program does not know.
func unknownCommand(args []string) string {
	cmd, rest, err := newRootCommand().Find(args)
	if err != nil {
		return err.Error()
	}
	if !cmd.Runnable() || cmd.HasSubCommands() && cmd.Name() != "trigger" && cmd.Name() != "archive" { // which do something by themselves, too
		return fmt.Sprintf("%q is no command", args)
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return fmt.Sprintf("%q: %v", args, err)
	}
	if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil {
		return fmt.Sprintf("%q: %v", args, err)
	}
	return ""
}

// Every command of the runbook is one that there is.
func TestRunbookCommands(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../deploy/RUNBOOK.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, line := range regexp.MustCompile("(?m)(?:^|`|-- /)backhaul ([a-z][^`\n]*)").FindAllStringSubmatch(string(text), -1) {
		var args []string
		line, _, _ := strings.Cut(line[1], " | ") // what follows reads its output
		for _, word := range regexp.MustCompile(`"[^"]*"|\S+`).FindAllString(line, -1) {
			args = append(args, strings.Trim(word, `"`))
		}
		// `backhaul dlq replay` in a sentence stands for the command with what it needs.
		if slices.Equal(args, []string{"request", "--rate"}) {
			args = append(args, "1/s")
		}
		found++
		if problem := unknownCommand(args); problem != "" {
			t.Errorf("deploy/RUNBOOK.md: %s", problem)
		}
	}
	if found < 20 {
		t.Fatalf("only %d commands", found)
	}
	if problem := unknownCommand([]string{"status", "--no-such-flag"}); problem == "" {
		t.Error("any flag is taken")
	}
}
