package service

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"backhaul/cmd/internal/admission"
	"backhaul/cmd/internal/console"
	"backhaul/cmd/internal/natsconn"
	"backhaul/cmd/internal/protection/watch"
	"backhaul/cmd/internal/routes"
	"backhaul/consumer/follower"
)

// The runbook names the alert of each check of /readyz?verbose, or why it has none.
func TestRunChecks_AreInTheRunbook(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "deploy", "RUNBOOK.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "\n## BackhaulConditionLasts\n")
	table, _, _ = strings.Cut(table, "\n## ")
	checks := slices.Concat(runChecks(nil, nil, nil, new(natsconn.Embedded), new(admission.File)), followChecks(new(follower.Follower)), protectChecks(new(objectivesFile), new(watch.Watch)), triggerChecks(nil, nil, new(routes.File)), []console.Check{new(triggerWatch).check()})
	for _, check := range checks {
		if !strings.Contains(table, "`"+check.Name+"`") {
			t.Errorf("deploy/RUNBOOK.md, BackhaulConditionLasts, has no row for %s", check.Name)
		}
	}
	if len(checks) < 10 {
		t.Errorf("only %d checks", len(checks))
	}
}
