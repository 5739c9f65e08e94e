package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"backhaul/vendorapi/secretstest"
)

func TestConfig_checksAdminSettings(t *testing.T) {
	t.Parallel()
	file := func(content string) string {
		path := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const short = "kurz-7f3a"
	for name, test := range map[string]struct {
		env  map[string]string
		want string // "" for settings that are in order
	}{
		"nothing":        {nil, ""},
		"a token":        {map[string]string{"BACKHAUL_ADMIN_TOKEN_FILE": file("0123456789abcdef012345\n")}, ""},
		"a short token":  {map[string]string{"BACKHAUL_ADMIN_TOKEN_FILE": file(short)}, "at least 22"},
		"a weak token":   {map[string]string{"BACKHAUL_ADMIN_TOKEN_FILE": file(strings.Repeat("ab12", 8))}, "different characters"},
		"no such file":   {map[string]string{"BACKHAUL_ADMIN_TOKEN_FILE": "/no/such/file"}, "BACKHAUL_ADMIN_TOKEN_FILE"},
		"an empty file":  {map[string]string{"BACKHAUL_ADMIN_TOKEN_FILE": file("\n")}, "is empty"},
		"a job's URL":    {map[string]string{"BACKHAUL_ADMIN_COMMAND_CENTER_URL": "https://cc.example.com/commandcenter/#/jobs/{jobId}"}, ""},
		"no place":       {map[string]string{"BACKHAUL_ADMIN_COMMAND_CENTER_URL": "https://cc.example.com/"}, "{jobId}"},
		"a script":       {map[string]string{"BACKHAUL_ADMIN_COMMAND_CENTER_URL": "javascript:alert({jobId})"}, "must be an address"},
		"the job's host": {map[string]string{"BACKHAUL_ADMIN_COMMAND_CENTER_URL": "//cc/{jobId}"}, "must be an address"},
	} {
		cfg, err := loadWith(t, test.env)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var e Error
		cfg.Admin.check(&e)
		said := strings.Join(e.Problems, "\n")
		if (test.want == "") != (said == "") || !strings.Contains(said, test.want) {
			t.Errorf("%s: %q, want %q", name, said, test.want)
		}
		secretstest.NotShown(t, []string{short}, said)
	}
}

func TestAdmin_Listen(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{"": "", "off": "", "127.0.0.1:0": "127.0.0.1:0"} {
		a := Admin{Addr: addr}
		if got := a.Listen(); got != want || a.Off() != (want == "") {
			t.Errorf("%q: listens on %q, off %v; want %q", addr, got, a.Off(), want)
		}
	}
}

// The trigger has a default of its own, which what is given replaces.
func TestConfig_AdminByDefault(t *testing.T) {
	for want, environ := range map[string][]string{TriggerAdminAddr: nil, "127.0.0.1:9": {"BACKHAUL_ADMIN_ADDR=127.0.0.1:9"}, "127.0.0.1:9090": {"BACKHAUL_ADMIN_ADDR=127.0.0.1:9090"}} {
		c, err := Load(pflag.NewFlagSet("test", pflag.ContinueOnError), environ)
		if err != nil {
			t.Fatal(err)
		}
		if c.AdminByDefault(TriggerAdminAddr); c.Admin.Addr != want {
			t.Errorf("%q: %s, want %s", environ, c.Admin.Addr, want)
		}
	}
}
