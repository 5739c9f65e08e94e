package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"
)

// What makes documents out of the commands is in tests, so that the program does
// not link it: `make docs` and `make man` run them.

var manDir = flag.String("man.dir", "", "write the man pages to this `directory`")

const commandsHead = `# Commands

Made by ` + "`make docs`" + ` from the code; a test compares. Settings that several commands share are only named here:
[CONFIGURATION.md](CONFIGURATION.md) says what they mean, and how to give them in the environment or in a file.

Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 out of reach, 130 interrupted. Output is on standard output,
logs and errors are on standard error.
`

// settingName finds the environment variable of a flag that is a setting, which is
// documented once, in CONFIGURATION.md.
var settingName = regexp.MustCompile(` \((BACKHAUL_[A-Z_]+)\)$`)

// reference is deploy/COMMANDS.md.
func reference(root *cobra.Command) string {
	var b strings.Builder
	b.WriteString(commandsHead)
	eachCommand(root, func(cmd *cobra.Command) {
		if cmd.Name() == "help" {
			return
		}
		describe(&b, cmd)
	})
	return b.String()
}

func describe(b *strings.Builder, cmd *cobra.Command) {
	fmt.Fprintf(b, "\n## %s\n\n%s.\n", cmd.CommandPath(), cmd.Short)
	if cmd.Runnable() && cmd.HasParent() && !cmd.HasSubCommands() {
		fmt.Fprintf(b, "\n```text\n%s\n```\n", cmd.UseLine())
	}
	if long := strings.TrimSpace(cmd.Long); long != "" && !isCompletion(cmd) { // fenced: it has columns and <placeholders>
		fmt.Fprintf(b, "\n```text\n%s\n```\n", long)
	}
	if cmd.HasExample() {
		fmt.Fprintf(b, "\n```sh\n%s\n```\n", regexp.MustCompile(`(?m)^  `).ReplaceAllString(cmd.Example, ""))
	}
	var rows, settings []string
	cmd.NonInheritedFlags().VisitAll(func(f *pflag.Flag) {
		switch {
		case f.Hidden || f.Name == "help":
		case settingName.MatchString(f.Usage):
			settings = append(settings, "`--"+f.Name+"`")
		default:
			rows = append(rows, flagRow(f))
		}
	})
	if len(rows) > 0 {
		fmt.Fprintf(b, "\n| flag | default | |\n|---|---|---|\n%s", strings.Join(rows, ""))
	}
	if len(settings) > 0 {
		fmt.Fprintf(b, "\nSettings: %s.\n", strings.Join(settings, ", "))
	}
}

// isCompletion: cobra's texts about each shell are long, and in its --help.
func isCompletion(cmd *cobra.Command) bool {
	return cmd.Name() == "completion" || cmd.HasParent() && cmd.Parent().Name() == "completion"
}

func flagRow(f *pflag.Flag) string {
	name := "--" + f.Name
	if f.Shorthand != "" {
		name = "-" + f.Shorthand + ", " + name
	}
	place, usage := pflag.UnquoteUsage(f)
	if place != "" {
		name += " " + place
	}
	fallback := f.DefValue
	if slices.Contains([]string{"false", "[]", "0", "0s"}, fallback) {
		fallback = ""
	}
	escape := strings.NewReplacer("|", `\|`)
	return fmt.Sprintf("| `%s` | %s | %s |\n", escape.Replace(name), escape.Replace(fallback), escape.Replace(usage))
}

// documented is the root with what cobra adds when it runs.
func documented() *cobra.Command {
	root := newRootCommand()
	root.InitDefaultCompletionCmd()
	root.DisableAutoGenTag = true
	return root
}

// Every command and every flag is in the reference, which is as it would be made.
func TestCommandsReference(t *testing.T) {
	t.Parallel()
	root := documented()
	text := reference(root)
	compareWithFile(t, filepath.Join("..", "..", "deploy", "COMMANDS.md"), text)
	for section := range strings.SplitSeq(text, "\n## ") {
		name, body, _ := strings.Cut(section, "\n")
		cmd, _, err := root.Find(strings.Fields(name)[1:])
		if strings.HasPrefix(name, "# ") || err != nil {
			continue
		}
		cmd.NonInheritedFlags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden && f.Name != "help" && !strings.Contains(body, "--"+f.Name) {
				t.Errorf("%s has no --%s", name, f.Name)
			}
		})
	}
}

// Each command has a man page; with -man.dir they are kept.
func TestManPages(t *testing.T) {
	t.Parallel()
	dir := *manDir
	if dir == "" {
		dir = t.TempDir()
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	root := documented()
	header := &doc.GenManHeader{Title: "BACKHAUL", Section: "1", Source: "Backhaul", Manual: "Backhaul"}
	if err := doc.GenManTree(root, header, dir); err != nil {
		t.Fatal(err)
	}
	eachCommand(root, func(cmd *cobra.Command) {
		if cmd.Name() == "help" {
			return
		}
		name := strings.ReplaceAll(cmd.CommandPath(), " ", "-") + ".1"
		page, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !strings.Contains(string(page), ".SH NAME") {
			t.Errorf("%s: %v, %d bytes", name, err, len(page))
		}
	})
}
