package telemetry

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write deploy/grafana/backhaul.json anew, and the chart's copies")

// panel is a picture of some queries.
type panel struct {
	title, about string
	kind         string // stat, timeseries or table
	unit         string
	queries      []query
	// bad: any value above zero is shown in red.
	bad bool
}

type query struct{ expr, legend string }

// rows are the dashboard. $s stands for the chosen deployment and replicas.
var rows = []struct {
	title  string
	panels []panel
}{
	{"The promise", []panel{
		{kind: "stat", title: "Jobs started", about: "In the chosen time.", queries: []query{{`sum(increase(backhaul_requests_total{result="started", $s}[$__range]))`, ""}}},
		{kind: "stat", title: "Duplicates held back", about: "Requests that came again after their outcome, and were not started again.", queries: []query{{`sum(increase(backhaul_duplicates_total{$s}[$__range]))`, ""}}},
		{kind: "stat", title: "Answers lost", about: "Attempts of which it was not known whether the vendor had started a job.", queries: []query{{`sum(increase(backhaul_vendor_attempts_total{verdict="unknown", $s}[$__range]))`, ""}}},
		{kind: "stat", title: "Jobs found again", about: "Jobs whose answer was lost and that were adopted.", queries: []query{{`sum(increase(backhaul_jobs_adopted_total{$s}[$__range]))`, ""}}},
		{kind: "stat", title: "Claims taken over", about: "Of replicas that died with a request in flight, or that released it.", queries: []query{{`sum(increase(backhaul_ledger_writes_total{step="take_over", result="ok", $s}[$__range]))`, ""}}},
		{kind: "stat", title: "Outcome unknown", about: "Somebody has to look: deploy/RUNBOOK.md, BackhaulOutcomeUnknown.", bad: true, queries: []query{{`sum(increase(backhaul_requests_total{result="outcome_unknown", $s}[$__range]))`, ""}}},
	}},
	{"Requests", []panel{
		{title: "Requests by result", unit: "reqps", queries: []query{{`sum by (result) (rate(backhaul_requests_total{$s}[$__rate_interval]))`, "{{result}}"}}},
		{title: "From publication to outcome", unit: "s", about: "Waits for a vendor that is down or limits are in it.", queries: quantiles("backhaul_request_duration_seconds", `kind=~"job-started|job-failed", `)},
		{title: "Attempts per request", queries: []query{{`sum(rate(backhaul_request_attempts_sum{$s}[$__rate_interval])) / sum(rate(backhaul_request_attempts_count{$s}[$__rate_interval]))`, "mean"}}},
		{title: "Deliveries without an outcome", unit: "ops", about: "They come again.", queries: []query{{`sum by (reason) (rate(backhaul_postponements_total{$s}[$__rate_interval]))`, "{{reason}}"}, {`sum(rate(backhaul_redeliveries_total{$s}[$__rate_interval]))`, "redelivered"}}},
	}},
	{"The queue", []panel{
		{title: "Requests", about: "The same from every replica.", queries: []query{{`max(backhaul_queue_pending{$s})`, "waiting"}, {`max(backhaul_queue_ack_pending{$s})`, "in flight"}, {`max(backhaul_queue_redelivered{$s})`, "delivered more than once"}}},
		{title: "Age of the oldest request", unit: "s", queries: []query{{`max(backhaul_queue_oldest_request_age_seconds{$s})`, "oldest"}}},
		{title: "Dead letters", queries: []query{{`max(backhaul_dead_letters{$s})`, "on the stream"}}},
		{title: "Paused, and pulls that wait", about: "No pull waits: all workers are busy, or nobody asks.", queries: []query{{`max(backhaul_queue_paused{$s})`, "paused"}, {`max(backhaul_paused_scopes{$s})`, "paused scopes"}, {`max(backhaul_queue_waiting_pulls{$s})`, "pulls"}}},
	}},
	{"The vendor", []panel{
		{title: "Calls by operation and code", unit: "reqps", queries: []query{{`sum by (operation, code) (rate(backhaul_vendor_request_duration_seconds_count{$s}[$__rate_interval]))`, "{{operation}} {{code}}"}}},
		{title: "Calls, 90 % within", unit: "s", queries: []query{{`histogram_quantile(0.9, sum by (le, operation) (rate(backhaul_vendor_request_duration_seconds_bucket{$s}[$__rate_interval])))`, "{{operation}}"}}},
		{title: "Attempts by verdict", unit: "ops", queries: []query{{`sum by (verdict) (rate(backhaul_vendor_attempts_total{$s}[$__rate_interval]))`, "{{verdict}}"}}},
		{title: "Repeated within a delivery", unit: "ops", queries: []query{{`sum by (class) (rate(backhaul_retries_total{$s}[$__rate_interval]))`, "{{class}}"}}},
		{title: "Breaker, replicas by state", queries: []query{{`sum by (state) (backhaul_vendor_breaker_state{$s})`, "{{state}}"}, {`min(backhaul_vendor_up{$s})`, "last call well"}}},
		{title: "Held back for", unit: "s", about: "How long no attempt is made yet, and how long attempts were told to wait, for each second.", queries: []query{{`max by (reason) (backhaul_vendor_hold_seconds{$s})`, "{{reason}}"}, {`sum by (reason) (rate(backhaul_vendor_wait_seconds_total{$s}[$__rate_interval]))`, "waits, {{reason}}"}}},
		{title: "Budget of writing calls", about: "Of all replicas, in the last hour. Only with BACKHAUL_WRITES_PER_HOUR.", queries: []query{{`max(backhaul_budget_writes_limit{$s})`, "limit"}, {`max(backhaul_budget_writes_spent{$s})`, "spent"}, {`min(backhaul_budget_writes_left{$s})`, "left"}}},
		{title: "Next writing call", unit: "s", about: "How long none may be made, 0 if one may.", queries: []query{{`max(backhaul_budget_next_seconds{$s})`, "next"}}},
	}},
	{"What became of the jobs", []panel{
		{kind: "stat", title: "Backups that kept all data", about: "In the chosen time.", queries: []query{{`sum(increase(backhaul_jobs_finished_total{outcome=~"completed|completed-with-warnings", $s}[$__range]))`, ""}}},
		{kind: "stat", title: "Backups that did not", about: "deploy/RUNBOOK.md, BackhaulBackupsFail.", bad: true, queries: []query{{`sum(increase(backhaul_jobs_finished_total{outcome!~"completed|completed-with-warnings", $s}[$__range]))`, ""}}},
		{kind: "stat", title: "No longer followed", about: "Given up without an end.", bad: true, queries: []query{{`sum(increase(backhaul_jobs_unfollowed_total{$s}[$__range]))`, ""}}},
		{kind: "stat", title: "Followed", about: "Jobs without an end.", queries: []query{{`sum(backhaul_jobs_followed{$s})`, ""}}},
		{kind: "stat", title: "Reads left in this hour", about: "Of BACKHAUL_FOLLOW_READS_PER_HOUR.", queries: []query{{`sum(backhaul_follow_reads_left{$s})`, ""}}},
		{kind: "stat", title: "Replicas that follow", about: "One; the others stand by.", queries: []query{{`sum(backhaul_follow_reading{$s})`, ""}}},
		{title: "Ends by outcome", unit: "ops", queries: []query{{`sum by (outcome) (rate(backhaul_jobs_finished_total{$s}[$__rate_interval]))`, "{{outcome}}"}}},
		{title: "From a job's end to its event", unit: "s", queries: quantiles("backhaul_job_end_lag_seconds", "")},
		{title: "Oldest job, and ends that may be missing", unit: "s", queries: []query{{`max(backhaul_job_oldest_followed_age_seconds{$s})`, "oldest job"}, {`max(backhaul_follow_uncovered_seconds{$s})`, "ends known up to, ago"}}},
		{title: "Reads and changes", unit: "ops", queries: []query{{`sum by (call, result) (rate(backhaul_follow_reads_total{$s}[$__rate_interval]))`, "{{call}} {{result}}"}, {`sum by (state) (rate(backhaul_jobs_changed_total{$s}[$__rate_interval]))`, "to {{state}}"}, {`sum(increase(backhaul_follow_sessions_total{$s}[$__rate_interval]))`, "began to follow"}}},
	}},
	{"Protected until", []panel{
		{kind: "stat", title: "Groups that are breached", about: "Not within their objective: deploy/RUNBOOK.md, BackhaulProtectionBreached.", bad: true, queries: []query{{`sum(max by (objective) (backhaul_protection_groups{status="breached", $s}))`, ""}}},
		{kind: "stat", title: "Exposed", about: "With changes that no finished backup has, within their objective.", queries: []query{{`sum(max by (objective) (backhaul_protection_groups{status="exposed", $s}))`, ""}}},
		{kind: "stat", title: "Never backed up", about: "Nothing is exposed, and no good backup is on record.", queries: []query{{`sum(max by (objective) (backhaul_protection_groups{status="unproven", $s}))`, ""}}},
		{kind: "stat", title: "Covered", queries: []query{{`sum(max by (objective) (backhaul_protection_groups{status="covered", $s}))`, ""}}},
		{kind: "stat", title: "Breaches published", about: "In the chosen time.", queries: []query{{`sum(increase(backhaul_protection_events_total{state="breached", $s}[$__range]))`, ""}}},
		{kind: "stat", title: "Computed", about: "1 if every replica can compute it.", queries: []query{{`min(backhaul_condition_ok{condition="protection", $s})`, ""}}},
		{title: "Oldest exposed change", unit: "s", queries: []query{{`max by (objective) (backhaul_protection_exposed_seconds{$s})`, "{{objective}}"}}},
		{title: "Time to the next breach", unit: "s", about: "If nothing happens. Negative: since a breach.", queries: []query{{`min by (objective) (backhaul_protection_margin_seconds{$s})`, "{{objective}}"}}},
		{title: "Groups by how they stand", queries: []query{{`sum by (status) (max by (objective, status) (backhaul_protection_groups{$s}))`, "{{status}}"}}},
		{kind: "table", title: "Breached groups", queries: []query{{`max by (owner, objective, client, group, id) (backhaul_protection_breached{$s})`, ""}}},
	}},
	{"The ledger and NATS", []panel{
		{title: "Writes to the ledger", unit: "ops", queries: []query{{`sum by (step, result) (rate(backhaul_ledger_writes_total{$s}[$__rate_interval]))`, "{{step}} {{result}}"}}},
		{title: "A write takes", unit: "s", queries: quantiles("backhaul_ledger_write_duration_seconds", "")},
		{title: "Events on record", unit: "ops", queries: []query{{`sum by (kind) (rate(backhaul_events_published_total{$s}[$__rate_interval]))`, "{{kind}}"}}},
		{title: "Connection", queries: []query{{`min(backhaul_nats_connected{$s})`, "connected"}, {`min(backhaul_queue_up{$s})`, "JetStream answers"}, {`sum(increase(backhaul_nats_reconnects_total{$s}[$__rate_interval]))`, "reconnects"}, {`min by (condition) (backhaul_condition_ok{$s})`, "{{condition}}"}}},
	}},
	{"The trigger", []panel{
		{title: "Changes by reason", unit: "ops", about: "What notifications were about, and whether it starts a backup.", queries: []query{{`sum by (reason) (rate(backhaul_trigger_changes_total{$s}[$__rate_interval]))`, "{{reason}}"}, {`sum by (reason) (rate(backhaul_trigger_dead_letters_total{$s}[$__rate_interval]))`, "dead letter, {{reason}}"}}},
		{title: "Requests by directive", unit: "reqps", queries: []query{{`sum by (directive) (rate(backhaul_trigger_requests_total{$s}[$__rate_interval]))`, "{{directive}}"}, {`sum(rate(backhaul_trigger_windows_cancelled_total{$s}[$__rate_interval]))`, "nothing left to ask for"}}},
		{title: "From the first change to the request", unit: "s", queries: quantiles("backhaul_trigger_request_wait_seconds", "")},
		{title: "Age of the oldest change", unit: "s", about: "Beyond the longest window it is in trouble.", queries: []query{{`max(backhaul_trigger_oldest_change_age_seconds{$s})`, "oldest"}}},
		{title: "Held and waiting", queries: []query{{`sum(backhaul_trigger_windows{$s})`, "windows"}, {`sum(backhaul_trigger_held_changes{$s})`, "changes"}, {`sum(backhaul_trigger_held_notifications{$s})`, "notifications"}, {`max(backhaul_trigger_pending{$s})`, "delivered to nobody"}}},
		{title: "Changes per request", queries: []query{{`sum(rate(backhaul_trigger_request_changes_sum{$s}[$__rate_interval])) / sum(rate(backhaul_trigger_request_changes_count{$s}[$__rate_interval]))`, "mean"}}},
		{title: "Directive files", unit: "ops", queries: []query{{`sum by (result) (rate(backhaul_trigger_directive_uploads_total{$s}[$__rate_interval]))`, "{{result}}"}}},
		{title: "Who reads", about: "One replica; the others stand by.", queries: []query{{`backhaul_trigger_reading{$s}`, "{{instance}}"}, {`sum(increase(backhaul_trigger_sessions_total{$s}[$__rate_interval]))`, "began anew"}}},
	}},
	{"The archive", []panel{
		{title: "Archived", unit: "ops", queries: []query{{`sum(rate(backhaul_archive_events_total{$s}[$__rate_interval]))`, "events"}, {`sum(increase(backhaul_archive_missing_events_total{$s}[$__rate_interval]))`, "lost before"}, {`sum(increase(backhaul_archive_failures_total{$s}[$__rate_interval]))`, "failures"}}},
		{title: "Still to be archived", queries: []query{{`max(backhaul_archive_lag_events{$s})`, "events"}}},
		{title: "Age of the archive", unit: "s", about: "Without new events it grows, and nothing is wrong.", queries: []query{{`time() - max(backhaul_archive_until_timestamp_seconds{$s})`, "last event"}, {`time() - max(backhaul_archive_checkpoint_timestamp_seconds{$s})`, "last checkpoint"}}},
		{title: "To write and sign", unit: "s", queries: quantiles("backhaul_archive_write_duration_seconds", "")},
		{title: "Bytes archived", unit: "Bps", queries: []query{{`sum(rate(backhaul_archive_bytes_total{$s}[$__rate_interval]))`, "bytes"}}},
		{title: "Who archives", about: "One replica; the others stand by.", queries: []query{{`backhaul_archive_active{$s}`, "{{instance}}"}}},
	}},
	{"The process", []panel{
		{title: "Ready", queries: []query{{`backhaul_ready{$s}`, "{{instance}}"}}},
		{title: "Requests in work", queries: []query{{`backhaul_requests_in_flight{$s}`, "{{instance}}"}, {`sum(backhaul_vendor_attempts_in_flight{$s})`, "at the vendor"}}},
		{title: "CPU", unit: "percentunit", queries: []query{{`rate(process_cpu_seconds_total{$s}[$__rate_interval])`, "{{instance}}"}}},
		{title: "Memory", unit: "bytes", queries: []query{{`process_resident_memory_bytes{$s}`, "{{instance}}"}}},
		{title: "Goroutines and files", queries: []query{{`go_goroutines{$s}`, "goroutines {{instance}}"}, {`process_open_fds{$s}`, "files {{instance}}"}}},
		{kind: "table", title: "Versions", queries: []query{{`max by (version, commit, goversion, instance) (backhaul_build_info{$s})`, ""}}},
	}},
}

func quantiles(histogram, matchers string) (queries []query) {
	for _, q := range []string{"50", "90", "99"} {
		queries = append(queries, query{`histogram_quantile(0.` + q + `, sum by (le) (rate(` + histogram + `_bucket{` + matchers + `$s}[$__rate_interval])))`, "p" + q})
	}
	return queries
}

const chosen = `namespace=~"$namespace", job=~"$job", instance=~"$instance"`

type anything = map[string]any

var source = anything{"type": "prometheus", "uid": "${datasource}"}

// dashboard is the document that Grafana imports.
func dashboard() []byte {
	var panels []any
	y, id := 0, 0
	for _, row := range rows {
		id++
		panels = append(panels, anything{"id": id, "type": "row", "title": row.title, "gridPos": anything{"x": 0, "y": y, "w": 24, "h": 1}})
		y++
		x := 0
		for _, p := range row.panels {
			id++
			w, h := 12, 8
			if p.kind == "stat" {
				w, h = 4, 4
			}
			if x+w > 24 {
				x, y = 0, y+h
			}
			panels = append(panels, p.document(id, anything{"x": x, "y": y, "w": w, "h": h}))
			if x += w; x == 24 {
				x, y = 0, y+h
			}
		}
	}
	variable := func(name, label, from string) anything {
		expr := "label_values(backhaul_build_info" + from + ", " + name + ")"
		return anything{"name": name, "label": label, "type": "query", "datasource": source, "query": anything{"query": expr, "refId": name}, "definition": expr,
			"refresh": 2, "sort": 1, "multi": true, "includeAll": true, "allValue": ".*", "current": anything{"text": "All", "value": "$__all"}}
	}
	document, err := marshal(anything{
		"title": "Backhaul", "uid": "backhaul", "tags": []string{"backhaul"}, "schemaVersion": 39, "editable": true,
		"time": anything{"from": "now-6h", "to": "now"}, "refresh": "30s", "timezone": "", "panels": panels,
		"templating": anything{"list": []any{
			anything{"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"},
			variable("namespace", "Namespace", ""),
			variable("job", "Job", `{namespace=~"$namespace"}`),
			variable("instance", "Replica", `{namespace=~"$namespace", job=~"$job"}`),
		}},
	})
	if err != nil {
		panic(err) // it is made of maps and texts
	}
	return document
}

func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	err := encoder.Encode(v)
	return b.Bytes(), err
}

func (p panel) document(id int, place anything) anything {
	if p.kind == "" {
		p.kind = "timeseries"
	}
	var targets []any
	for i, q := range p.queries {
		target := anything{"refId": string(rune('A' + i)), "datasource": source, "expr": strings.ReplaceAll(q.expr, "$s", chosen), "legendFormat": q.legend}
		if p.kind == "table" {
			target["instant"], target["format"] = true, "table"
		}
		targets = append(targets, target)
	}
	defaults := anything{"unit": p.unit, "min": 0}
	if p.kind == "stat" {
		steps := []any{anything{"color": "green", "value": nil}}
		if p.bad {
			steps = append(steps, anything{"color": "red", "value": 0.5}) // an increase is extrapolated: not exactly 1
		}
		defaults["decimals"], defaults["thresholds"] = 0, anything{"mode": "absolute", "steps": steps}
	}
	return anything{"id": id, "type": p.kind, "title": p.title, "description": p.about, "datasource": source, "gridPos": place,
		"targets": targets, "fieldConfig": anything{"defaults": defaults, "overrides": []any{}}}
}

// The dashboard is made here, `make docs` writes it, and each of its expressions is
// about metrics and labels that there are.
func TestDashboard(t *testing.T) {
	file := filepath.Join("..", "..", "..", "deploy", "grafana", "backhaul.json")
	if *update {
		if err := os.WriteFile(file, dashboard(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have := deployed(t, "grafana", "backhaul.json")
	if !bytes.Equal(have, dashboard()) {
		t.Error("deploy/grafana/backhaul.json is not what this file says; run `make docs`")
	}
	// The checked file is the one that Grafana loads.
	var document struct {
		Panels []struct {
			ID      int
			Title   string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr string }
		}
		Templating struct{ List []struct{ Definition string } }
	}
	if err := json.Unmarshal(have, &document); err != nil {
		t.Fatal(err)
	}
	c, seen := newCatalog(t), make(map[[2]int]string)
	for _, p := range document.Panels {
		for _, target := range p.Targets {
			for _, problem := range c.check(target.Expr) {
				t.Errorf("%s: %s", p.Title, problem)
			}
		}
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := seen[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%s lies over %q", p.Title, other)
				}
				seen[[2]int{x, y}] = p.Title
			}
		}
	}
	for _, v := range document.Templating.List[1:] {
		inner := strings.TrimSuffix(strings.TrimPrefix(v.Definition, "label_values("), ")")
		metric := inner[:strings.LastIndex(inner, ",")]
		for _, problem := range c.check(metric) {
			t.Errorf("%s: %s", v.Definition, problem)
		}
	}
	// Every metric is shown in a panel.
	for name := range c.labels {
		if !strings.Contains(string(have), name) && name != "backhaul_trace_exports_total" && name != "backhaul_vendor_waits_total" &&
			name != "backhaul_vendor_token_expiry_timestamp_seconds" {
			t.Errorf("the dashboard does not show %s", name)
		}
	}
}

// The chart carries both files, because a chart cannot reach outside its directory.
func TestChartHasTheSameFiles(t *testing.T) {
	for _, pair := range [][2]string{{"prometheus", "alerts.yaml"}, {"grafana", "backhaul.json"}} {
		if *update {
			file := filepath.Join("..", "..", "..", "deploy", "helm", "backhaul", "files", pair[1])
			if err := os.WriteFile(file, deployed(t, pair[0], pair[1]), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(deployed(t, pair[0], pair[1]), deployed(t, "helm", "backhaul", "files", pair[1])) {
			t.Errorf("deploy/helm/backhaul/files/%s is not deploy/%s/%s; run `make docs`", pair[1], pair[0], pair[1])
		}
	}
}
