package config

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write deploy/CONFIGURATION.md anew")

// The reference is made from the table of settings. `make docs` writes it.
func TestReferenceIsCurrent(t *testing.T) {
	file := filepath.Join("..", "..", "..", "deploy", "CONFIGURATION.md")
	want := reference()
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("deploy/CONFIGURATION.md is not what the settings say; run `make docs`")
	}
}

const referenceHead = `# Configuration

Every setting of Backhaul. This page is made from the code by ` + "`make docs`" + `; a test fails when it is not current.

## Where a value comes from

The strongest last: its default, the YAML file, the environment, a flag. The file is the one that ` + "`--config FILE`" + ` or
` + "`BACKHAUL_CONFIG`" + ` names; there is no place where one is looked for. An empty environment variable is one that is not set.
A variable that begins with ` + "`BACKHAUL_`" + ` and is not listed here is refused, with the nearest name. Accepted are those that Kubernetes
makes for a service whose name begins with backhaul (` + "`BACKHAUL_SERVICE_HOST`, `BACKHAUL_TRIGGER_PORT_9090_TCP`" + ` and so on) and Compose's ` + "`BACKHAUL_IMAGE`" + `.
Relative paths are relative to where the program was started, wherever they are written.

` + "```yaml" + `
nats:
  url: [nats://n1.example.com:4222, nats://n2.example.com:4222]
vendor:
  endpoint: https://m6.metallic.io/webconsole/api
  username: svc-backhaul
  passwordFile: /run/secrets/commvault
work:
  maxInFlight: 32
` + "```" + `

The file is read strictly. What is not known, is given twice or has another type is an error with its line. A duration is
text such as ` + "`30s`, `5m` or `1h30m`" + `.

` + "`backhaul config show`" + ` prints every value and where it came from. ` + "`backhaul config check`" + ` says everything for which
` + "`backhaul run`" + ` would refuse the settings, at once and without reaching for anything over the network; its exit code is 0 or 2.

## Secrets

A secret is never a flag and never stands in the file. For a secret of the environment name ` + "`X`" + ` and the key ` + "`s.y`" + ` there is:

- ` + "`X_FILE`" + ` or, in the file, ` + "`s.yFile`" + `: the file that has it. It is read each time that it is needed, so it may be replaced.
  The end of its last line and a UTF-8 byte order mark do not count; UTF-16 is refused. ` + "`" + `~/` + "`" + ` is the home directory.
- ` + "`X`" + `: the secret itself. Other processes of the same user can read a process's environment; a file is better.
- ` + "`$CREDENTIALS_DIRECTORY/s.y`" + `, if nothing else gives it: ` + "`LoadCredential=vendor.password:/etc/backhaul/commvault`" + ` in a unit of
  systemd is enough.

Where ` + "`$CREDENTIALS_DIRECTORY`" + ` is set, a file's name without a slash is looked up there, for secrets and for the settings marked †.

## Settings
`

// reference is deploy/CONFIGURATION.md.
func reference() string {
	var b strings.Builder
	b.WriteString(referenceHead)
	section := ""
	for _, s := range new(Config).settings() {
		if group, _, _ := strings.Cut(s.key, "."); group != section {
			section = group
			fmt.Fprintf(&b, "\n### %s\n\n| key | environment | flag | default | what it is |\n|---|---|---|---|---|\n", section)
		}
		key, env, flag := code(s.key), code(s.env), "–"
		if s.flag != "" {
			flag = code("--" + s.flag)
		}
		if s.secret() {
			key, env = code(s.key)+", in the file "+code(fileKey(s.key)), env+", "+code(s.env+"_FILE")
		}
		if s.reads {
			key += " †"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", key, env, flag, code(s.fallback), s.described())
	}
	return b.String()
}

// described is what a setting is and what it may be, as text of a table.
func (s setting) described() string {
	text := strings.ReplaceAll(s.usage, "`", "")
	text = strings.ToUpper(text[:1]) + text[1:] + "."
	if s.oneOf != nil {
		text += " One of `" + strings.Join(s.oneOf, "`, `") + "`."
	}
	switch s.field.(type) {
	case *bool:
		text += " `true` or `false`."
	case *int:
		text += fmt.Sprintf(" A whole number of at least %d.", s.least)
	case *time.Duration:
		if s.least > 1 {
			text += fmt.Sprintf(" A duration of at least %s.", time.Duration(s.least))
		} else {
			text += " A duration."
		}
	}
	if s.doc != "" {
		text += " " + s.doc
	}
	return strings.ReplaceAll(text, "|", `\|`)
}

func code(text string) string {
	if text == "" {
		return "–"
	}
	return "`" + text + "`"
}
