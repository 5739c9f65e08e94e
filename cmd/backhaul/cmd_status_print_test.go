package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"backhaul/cmd/internal/replica"
	"backhaul/consumer/budget"
	"backhaul/consumer/scope"
)

// What keeps the replica from starting jobs is the first line, and the replica is not only "ready".
func TestPrintStatus_troubleFirst(t *testing.T) {
	t.Parallel()
	vendor := replica.Check{Name: "vendor", Condition: true, HoldsUp: true, Error: "login refused"}
	r := &replica.Replica{Address: "a:1", Answered: true, Ready: true, Checks: []replica.Check{{Name: "requests", OK: true, HoldsUp: true}, vendor, {Name: "doubt", Condition: true, Error: "1 request"}}}
	var out bytes.Buffer
	if err := printStatus(&out, outputTable, status{Replica: r, Jobs: &followStatus{Error: "not permitted"}}); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	if first, _, _ := strings.Cut(text, "\n"); strings.Join(strings.Fields(first), " ") != "nothing starts vendor: login refused" {
		t.Errorf("the first line is %q", first)
	}
	if !strings.Contains(text, "a:1 is ready, and starts nothing at the moment\n") || strings.Count(text, "nothing starts") != 1 {
		t.Error(text)
	}
	r.Checks[1] = replica.Check{Name: "vendor", OK: true, HoldsUp: true}
	out.Reset()
	if err := printStatus(&out, outputTable, status{Replica: r, Jobs: &followStatus{Error: "not permitted"}}); err != nil || !strings.HasPrefix(out.String(), "queue") || !strings.Contains(out.String(), "a:1 is ready\n") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestStatus_pullsText(t *testing.T) {
	t.Parallel()
	ready := &replica.Replica{Address: "a:1", Answered: true, Ready: true}
	waits := &replica.Replica{Address: "a:1", Answered: true, Ready: true, Checks: []replica.Check{{Name: "vendor", OK: true, HoldsUp: true, Until: time.Unix(1, 0)}}}
	spent := &budgetStatus{View: &budget.View{Limit: 100, Spent: 100}}
	paused := queueStatus{PausedScopes: []scope.Pause{{}}}
	for _, test := range []struct {
		status status
		want   string
	}{
		{status{}, "none: no replica asks for work at the moment, or starts are scarce"},
		{status{Replica: ready}, "none: no replica asks for work at the moment, or starts are scarce"},
		{status{Replica: ready, Queue: paused}, "none: a scope is paused"},
		{status{Queue: paused}, "none: no replica asks for work at the moment, or a scope is paused"},
		{status{Replica: ready, Budget: spent}, "none: the budget of writing calls is used up"},
		{status{Replica: waits}, "none: the replica at a:1 starts nothing (vendor)"},
	} {
		if got := test.status.pullsText(); got != test.want {
			t.Errorf("%s, want %s", got, test.want)
		}
	}
}
