package routes

import (
	"strings"
	"testing"
)

func TestCheck_findsRoutesWithoutEffect(t *testing.T) {
	directive := func(container, prefix string) string {
		return ", directive: {container: " + container + ", prefix: " + prefix + "}"
	}
	for name, c := range map[string]struct {
		text string
		want []string // "fault" or "warning", then a part of the text
	}{
		"nothing":             {"- {container: a, prefix: x/" + to("g") + "- {container: a" + to("h"), nil},
		"behind a wider one":  {"- {container: a" + to("g") + "- {name: n, container: a, prefix: x/" + to("h"), []string{`fault route "n" (line 3): cannot be reached: of line 2, before it`}},
		"behind any":          {`- {container: "*"` + to("g") + "- {container: a" + to("h"), []string{"fault cannot be reached"}},
		"behind a pattern":    {"- {container: team-*" + to("g") + "- {container: team-a" + to("h"), []string{"fault cannot be reached"}},
		"behind a shorter":    {"- {container: team-*-x" + to("g") + "- {container: team-a*b-x" + to("h"), []string{"fault cannot be reached"}},
		"before a pattern":    {"- {container: team-a" + to("g") + "- {container: team-*" + to("h"), nil},
		"another pattern":     {"- {container: team-*" + to("g") + "- {container: \"*-team\"" + to("h"), nil},
		"overlapping":         {"- {container: ab*ba" + to("g") + "- {container: aba" + to("h"), nil},
		"behind a template":   {"- {container: team-*, clientName: c, subclientName: \"{container}\"}\n- {container: team-a" + to("h"), []string{"fault cannot be reached"}},
		"behind a folder":     {"- {container: a, clientName: c, subclientName: \"{prefix:1}\"}\n- {container: a" + to("h"), nil},
		"each its own list":   {"- {container: team-*, clientName: c, subclientName: \"{container}\", directive: {container: \"{container}\", prefix: .b/}}\n", nil},
		"in a template's":     {"- {container: team-*, clientName: c, subclientName: \"{container}\", directive: {container: \"{container}\", prefix: .b/}}\n- {container: team-x, prefix: .b/y" + to("h"), []string{"fault cannot be reached", "fault lies in the directive prefix /team-*/.b/"}},
		"one group perhaps":   {"- {container: a, clientName: c, subclientName: \"{prefix:1}\"}\n- {container: b, clientName: c, subclientName: \"x-{prefix:1}\", window: {max: 1h}}\n", []string{"warning may lead to the same content group as of line 2 (c/{prefix:1} and c/x-{prefix:1}), which has another window"}},
		"a label of several":  {"- {container: a, clientName: c, subclientName: all, labels: {folder: \"{prefix:1}\"}}\n", []string{"warning has {prefix:1} in its plan, labels or directive, and not in the names"}},
		"behind ignore":       {"- {container: a, ignore: true}\n- {container: a" + to("h"), []string{"fault cannot be reached"}},
		"other events":        {"- {container: a" + to("g") + "- {container: a, events: [created, deleted]" + to("h"), nil},
		"other suffix":        {"- {container: a, suffix: .a" + to("g") + "- {container: a" + to("h"), nil},
		"narrower suffix":     {"- {container: a, suffix: a" + to("g") + "- {container: a, suffix: .a" + to("h"), []string{"fault cannot be reached"}},
		"other system":        {"- {container: a, system: x" + to("g") + "- {container: a" + to("h"), nil},
		"same system":         {"- {container: a, system: x" + to("g") + "- {container: a, system: x" + to("h"), []string{"fault cannot be reached"}},
		"other subject":       {"- {container: a, subject: storage.event.x" + to("g") + "- {container: a" + to("h"), nil},
		"other source":        {"- {container: a, source: \"x:s3\"" + to("g") + "- {container: a" + to("h"), nil},
		"same source":         {"- {container: a, source: \"x:s3\"" + to("g") + "- {container: a, source: \"x:s3\"" + to("h"), []string{"fault cannot be reached"}},
		"other sizes":         {"- {container: a, minSize: 1KiB" + to("g") + "- {container: a" + to("h"), nil},
		"same sizes":          {"- {container: a, minSize: 1KiB" + to("g") + "- {container: a, minSize: 1024" + to("h"), []string{"fault cannot be reached"}},
		"other keys":          {"- {container: a, keys: raw" + to("g") + "- {container: a" + to("h"), nil},
		"other account":       {"- {container: a, account: x" + to("g") + "- {container: a" + to("h"), nil},
		"in a directive":      {"- {container: a, prefix: d/l/x" + to("g") + "- {container: b" + directive("a", "d/") + to("h"), []string{"fault lies in the directive prefix /a/d/"}},
		"own directive":       {"- {container: a, prefix: d/" + directive("a", "d/") + to("g"), []string{"fault lies in the directive prefix /a/d/"}},
		"a leading slash":     {"- {container: a, prefix: /x/" + to("g"), []string{`warning the prefix "/x/" begins with a slash`}},
		"a pattern":           {`- {container: a, prefix: x/, suffix: "*.pdf"` + to("g"), []string{"warning not patterns"}},
		"FULL":                {"- {container: a, backupLevel: FULL" + to("g"), []string{"warning FULL"}},
		"any, listed":         {`- {container: "*"` + directive("a", "d/") + to("g"), []string{"warning any container"}},
		"deletions, listed":   {"- {container: a, events: [deleted]" + directive("a", "d/") + to("g"), []string{"warning what is gone cannot be listed"}},
		"two instances":       {"- {container: a" + directive("a", "d/") + to("g") + "- {container: b, instanceName: i" + directive("a", "d/") + to("g"), []string{"warning for another instance"}},
		"one instance, twice": {"- {container: a" + directive("a", "d/") + to("g") + "- {container: b" + directive("a", "d/") + to("h"), nil},
	} {
		found := Check(parse(t, "routes:\n"+c.text))
		if len(found) != len(c.want) {
			t.Errorf("%s: got %+v, want %q", name, found, c.want)
			continue
		}
		for i, f := range found {
			severity, part, _ := strings.Cut(c.want[i], " ")
			if f.Fault != (severity == "fault") || !strings.Contains(f.Text, part) || f.Line == 0 {
				t.Errorf("%s: got %+v, want %q", name, f, c.want[i])
			}
		}
	}
}
