package telemetry

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// alertRules are deploy/prometheus/alerts.yaml, read strictly.
type alertRules struct {
	Groups []struct {
		Name  string
		Rules []alertRule
	}
}

type alertRule struct {
	Alert       string
	Expr        string
	For         string
	Labels      map[string]string
	Annotations map[string]string
}

func deployed(t *testing.T, elements ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(append([]string{"..", "..", "..", "deploy"}, elements...)...))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func readAlerts(t *testing.T) (rules []alertRule) {
	t.Helper()
	var file alertRules
	decoder := yaml.NewDecoder(bytes.NewReader(deployed(t, "prometheus", "alerts.yaml")))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		rules = append(rules, g.Rules...)
	}
	if len(rules) < 10 {
		t.Fatalf("only %d rules", len(rules))
	}
	return rules
}

var labelUse = regexp.MustCompile(`\$labels\.([a-z_]+)`)

// Each rule is about metrics that there are, and has a heading in the runbook; the
// runbook has no other headings, and promtool tries every rule.
func TestAlerts(t *testing.T) {
	c, runbook, tried := newCatalog(t), string(deployed(t, "RUNBOOK.md")), string(deployed(t, "prometheus", "alerts.test.yaml"))
	var names []string
	for _, rule := range readAlerts(t) {
		names = append(names, rule.Alert)
		for _, problem := range c.check(rule.Expr) {
			t.Errorf("%s: %s", rule.Alert, problem)
		}
		if !slices.Contains([]string{"critical", "warning"}, rule.Labels["severity"]) {
			t.Errorf("%s has the severity %q", rule.Alert, rule.Labels["severity"])
		}
		a := rule.Annotations
		if a["summary"] == "" || a["description"] == "" || a["runbook_url"] != "deploy/RUNBOOK.md#"+strings.ToLower(rule.Alert) {
			t.Errorf("%s has the annotations %q", rule.Alert, a)
		}
		for _, use := range labelUse.FindAllStringSubmatch(a["summary"]+a["description"], -1) {
			if grouped := grouping.FindString(rule.Expr); slices.Contains(word.FindAllString(grouped, -1), use[1]) {
				continue
			}
			if !slices.Contains(targetLabels, use[1]) || use[1] == "instance" && strings.Contains(rule.Expr, " by (") {
				t.Errorf("%s tells %s, which its expression has not", rule.Alert, use[0])
			}
		}
		if !strings.Contains(tried, "alertname: "+rule.Alert+"\n") {
			t.Errorf("alerts.test.yaml does not try %s", rule.Alert)
		}
	}
	var headings []string
	for _, h := range regexp.MustCompile(`(?m)^## (Backhaul\w+)$`).FindAllStringSubmatch(runbook, -1) {
		headings = append(headings, h[1])
	}
	if !slices.Equal(headings, names) {
		t.Errorf("the runbook has headings for %q, the rules are %q", headings, names)
	}
	for section := range strings.SplitSeq(runbook, "\n## ") {
		name, text, _ := strings.Cut(section, "\n")
		if strings.HasPrefix(name, "Backhaul") && (!strings.Contains(text, "```sh\n") || !strings.Contains(text, "**To do.**")) {
			t.Errorf("the runbook's %s does not say what to look at and what to do", name)
		}
	}
}
