package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"backhaul/cmd/internal/programtest"
)

func TestProtectionCheck(t *testing.T) {
	t.Parallel()
	good := programtest.InRepository(t, "deploy", "objectives.example.yaml")
	broken := filepath.Join(t.TempDir(), "broken.yaml")
	if err := os.WriteFile(broken, []byte("objectives:\n- {name: a, clientName: [c], subclientName: [g], rpo: 1 day}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		env  []string
		args []string
		code int
		says []string
	}{
		"a file":       {nil, []string{good}, exitDone, []string{"finance          1h", "is in order: 3 objectives, SHA-256 ", "completed, completed-with-warnings, completed-with-errors"}},
		"the setting":  {[]string{"BACKHAUL_OBJECTIVES_FILE=" + good}, nil, exitDone, []string{"3 objectives"}},
		"the flag":     {nil, []string{"--objectives-file", good}, exitDone, []string{"3 objectives"}},
		"as JSON":      {nil, []string{good, "-o", "json"}, exitDone, []string{`{"name":"finance","owner":"finance-it","rpo":"1h","maxAge":"26h","accept":["completed","completed-with-warnings"]}`}},
		"broken":       {nil, []string{broken}, exitUsage, []string{broken + ":2: rpo must be a duration such as 30s"}},
		"broken, JSON": {nil, []string{broken, "-o", "json"}, exitUsage, []string{`{"ok":false,"problems":["objectives: `}},
		"no such file": {nil, []string{broken + "x"}, exitUsage, []string{"cannot be read"}},
		"no file":      {nil, nil, exitUsage, []string{"BACKHAUL_OBJECTIVES_FILE", "deploy/objectives.example.yaml"}},
		"two files":    {nil, []string{good, good}, exitUsage, []string{"one FILE at most"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := programtest.Once(t, c.env, "", append([]string{"protection", "check"}, c.args...)...)
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			for _, want := range c.says {
				if !strings.Contains(stdout+stderr, want) {
					t.Errorf("nothing about %q in\n%s%s", want, stdout, stderr)
				}
			}
		})
	}
}
