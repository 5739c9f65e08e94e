package systemtest

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"backhaul/cmd/internal/programtest"
)

// The files of deploy/ that are not programs. `make compose-demo` and TestImage run
// what they describe.

// composeService has the members of a service that the tests read.
type composeService struct {
	Image       string
	Profiles    []string
	ReadOnly    bool     `yaml:"read_only"`
	CapDrop     []string `yaml:"cap_drop"`
	SecurityOpt []string `yaml:"security_opt"`
	Privileged  bool
	NetworkMode string `yaml:"network_mode"`
	Ports       []string
	Volumes     []composeVolume
	Environment map[string]string
}

// composeVolume is a volume in the short form, SOURCE:TARGET[:ro].
type composeVolume string

// UnmarshalYAML implements [yaml.Unmarshaler]: a volume may also have the long form.
func (v *composeVolume) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		*v = composeVolume(node.Value)
		return nil
	}
	var long struct {
		Source, Target string
		ReadOnly       bool `yaml:"read_only"`
	}
	err := node.Decode(&long)
	*v = composeVolume(long.Source + ":" + long.Target)
	if long.ReadOnly {
		*v += ":ro"
	}
	return err
}

// Nothing is reachable from another machine, nothing of ours has rights that it does
// not need, and no secret is written down.
func TestComposeFileIsConfined(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(programtest.InRepository(t, "deploy", "compose", "compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Services map[string]composeService }
	if err := yaml.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"nats-1", "nats-2", "nats-3", "backhaul-1", "backhaul-2", "commvault", "setup", "setup-trigger", "trigger", "setup-archive", "archive", "prometheus", "grafana"} {
		if _, ok := file.Services[want]; !ok {
			t.Errorf("no service %s", want)
		}
	}
	for name, s := range file.Services {
		for _, port := range s.Ports {
			if !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("%s publishes %s, not on loopback", name, port)
			}
		}
		if s.Privileged || s.NetworkMode != "" {
			t.Errorf("%s is privileged or not in a network of its own", name)
		}
		for _, volume := range s.Volumes {
			if strings.HasPrefix(string(volume), ".") && !strings.HasSuffix(string(volume), ":ro") {
				t.Errorf("%s may write to %s", name, volume)
			}
		}
		for key := range s.Environment {
			if strings.HasSuffix(key, "PASSWORD") || strings.HasSuffix(key, "TOKEN") || strings.HasSuffix(key, "_KEY") {
				t.Errorf("%s has the secret %s in its environment", name, key)
			}
		}
		if slices.Contains(s.Profiles, "monitoring") {
			continue // not ours
		}
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("%s is not confined: %+v", name, s)
		}
		var profiles []string
		for _, profile := range []string{"trigger", "archive"} {
			if strings.HasSuffix(name, profile) {
				profiles = []string{profile}
			}
		}
		if !slices.Equal(s.Profiles, profiles) {
			t.Errorf("%s has the profiles %q", name, s.Profiles)
		}
	}
	routes := file.Services["trigger"]
	if got := routes.Environment["BACKHAUL_TRIGGER_ROUTES"]; !slices.Contains(routes.Volumes, composeVolume("./routes.yaml:"+got+":ro")) {
		t.Errorf("the trigger's routes %s are none of %q", got, routes.Volumes)
	}
	if code, _, stderr := programtest.Once(t, nil, "", "trigger", "check", "--routes", programtest.InRepository(t, "deploy", "compose", "routes.yaml")); code != programtest.ExitDone {
		t.Errorf("routes.yaml: exit code %d: %s", code, stderr)
	}
}

// Compose takes the file, where there is one.
func TestComposeTakesTheFile(t *testing.T) {
	t.Parallel()
	command := []string{"docker-compose"}
	if exec.CommandContext(t.Context(), "docker", "compose", "version").Run() == nil {
		command = []string{"docker", "compose"}
	} else if _, err := exec.LookPath(command[0]); err != nil {
		programtest.Missing(t, "no Compose to ask; on Debian: apt-get install --no-install-recommends docker-compose")
	}
	file := programtest.InRepository(t, "deploy", "compose", "compose.yaml")
	for _, profiles := range [][]string{nil, {"--profile", "trigger"}, {"--profile", "archive"}, {"--profile", "trigger", "--profile", "archive", "--profile", "monitoring"}} {
		args := slices.Concat(command, []string{"-f", file}, profiles, []string{"config", "-q"})
		if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Errorf("%q: %v\n%s", profiles, err, out)
		}
	}
}

// A setting that is mistyped in a file is one that is not set.
func TestDeployedSettingsExist(t *testing.T) {
	t.Parallel()
	reference, err := os.ReadFile(programtest.InRepository(t, "deploy", "CONFIGURATION.md"))
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile(`\bBACKHAUL_[A-Z_]+[A-Z]\b`)
	known := name.FindAllString(string(reference), -1)
	for _, file := range []string{"Dockerfile", "compose/compose.yaml", "compose/demo.sh", "systemd/backhaul.service", "systemd/backhaul.env",
		"systemd/backhaul-trigger.service", "systemd/trigger.env", "systemd/backhaul-archive.service", "systemd/archive.env"} {
		data, err := os.ReadFile(programtest.InRepository(t, "deploy", file))
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, setting := range name.FindAllString(string(data), -1) {
			found++
			if setting == "BACKHAUL_IMAGE" { // Compose's own
				continue
			}
			if !slices.Contains(known, strings.TrimSuffix(setting, "_FILE")) && !slices.Contains(known, setting) {
				t.Errorf("%s: there is no setting %s", file, setting)
			}
		}
		if found == 0 {
			t.Errorf("%s has no settings", file)
		}
	}
}
