package telemetry

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"backhaul/publisher/natstest"
)

// catalog is what an expression may name: every metric with its labels and their
// values, as the program registers them.
type catalog struct {
	labels map[string][]string // of each metric of ours
	types  map[string]string
	values map[string][]string // of each label of ours
}

const histogram = "HISTOGRAM"

// targetLabels come from who scrapes.
var targetLabels = []string{"job", "instance", "namespace", "pod"}

func newCatalog(t *testing.T) catalog {
	t.Helper()
	nc := natstest.Start(t).Connect(t)
	m, storage, evidence := watched(t, nc), watchedTrigger(t, nc), watchedArchiver(nc)
	use(Consumer{Metrics: m}, &Vendor{Metrics: m})
	c := catalog{labels: everyMetric(t, m), types: make(map[string]string)}
	maps.Copy(c.labels, everyMetricOf(t, storage.registry))
	maps.Copy(c.labels, everyMetricOf(t, evidence.registry))
	for _, registry := range []*prometheus.Registry{m.registry, storage.registry, evidence.registry} {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			c.types[f.GetName()] = f.GetType().String()
		}
	}
	c.labels["backhaul_build_info"] = []string{"version", "commit", "goversion"}
	c.values = map[string][]string{
		"result": slices.Concat(results, []string{resultOK, resultConflict, resultError}), "kind": kinds, "reason": slices.Concat(reasons, waits, triggerReasons, refusals),
		"format": triggerFormats, "directive": directiveResults,
		"step": steps, "verdict": verdicts, "class": classes, "state": slices.Concat(states, jobStates, protectionStates), "status": protectionStatuses,
		"outcome": outcomes, "call": readCalls,
	}
	return c
}

var (
	// matcher is one of those in braces.
	matcher = regexp.MustCompile(`^\s*([a-z_]+)\s*(=~|!~|!=|=)\s*"([^"]*)"\s*$`)
	// selector is a word and what stands in braces behind it.
	selector = regexp.MustCompile(`([a-zA-Z_:][a-zA-Z0-9_:]*)?\s*\{([^{}]*)\}`)
	grouping = regexp.MustCompile(`\b(by|without|on|ignoring|group_left|group_right)\s*\(([^()]*)\)`)
	duration = regexp.MustCompile(`\[[^\]]*\]|\boffset\s+[0-9]+[smhdw]`)
	word     = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*`)
)

// functions and operators that expressions here use; another one is added on purpose.
var promQLWords = []string{
	"sum", "min", "max", "avg", "count", "rate", "increase", "delta", "absent", "time", "max_over_time", "min_over_time", "histogram_quantile",
	"label_values", "clamp_min", "and", "or", "unless", "bool",
}

// check returns the faults of an expression. It is not a parser: promtool is, and
// `make alerts-test` runs it. It knows what is registered, which promtool does not.
func (c catalog) check(expr string) (problems []string) {
	complain := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	allowed := slices.Clone(targetLabels)
	named := 0
	note := func(metric string) []string {
		labels, problem := c.labelsOf(metric)
		if problem != "" {
			complain("%s", problem)
			return nil
		}
		named++
		allowed = append(allowed, labels...)
		return labels
	}
	rest := selector.ReplaceAllStringFunc(expr, func(text string) string {
		part := selector.FindStringSubmatch(text)
		labels := append(note(part[1]), targetLabels...)
		for m := range strings.SplitSeq(part[2], ",") {
			if strings.TrimSpace(m) == "" {
				continue
			}
			found := matcher.FindStringSubmatch(m)
			if found == nil {
				complain("cannot read %q", m)
				continue
			}
			if !slices.Contains(labels, found[1]) {
				complain("%s has no label %s", part[1], found[1])
			}
			c.checkValues(found[1], found[3], complain)
		}
		return ""
	})
	var groups []string
	rest = grouping.ReplaceAllStringFunc(rest, func(text string) string {
		groups = append(groups, word.FindAllString(grouping.FindStringSubmatch(text)[2], -1)...)
		return ""
	})
	for _, w := range word.FindAllString(duration.ReplaceAllString(rest, ""), -1) {
		if !slices.Contains(promQLWords, w) {
			note(w)
		}
	}
	for _, g := range groups {
		if !slices.Contains(allowed, g) {
			complain("groups by %s, which nothing in it has", g)
		}
	}
	if named == 0 {
		complain("names no metric")
	}
	return problems
}

// labelsOf are the labels of a metric, or of a histogram's series.
func (c catalog) labelsOf(name string) (labels []string, problem string) {
	base := name
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if cut, ok := strings.CutSuffix(name, suffix); ok && c.types[cut] == histogram {
			base = cut
			if suffix == "_bucket" {
				labels = []string{"le"}
			}
		}
	}
	kind, known := c.types[base]
	switch own, ours := c.labels[base]; {
	case ours && known && base == name && kind == histogram:
		return nil, name + " is a histogram: it has _bucket, _sum and _count"
	case ours:
		return slices.Concat(labels, own), ""
	case known: // of Go or the process
		return labels, ""
	}
	return nil, fmt.Sprintf("%q is no metric that the program registers", name)
}

// checkValues compares alternatives with the values that a label can have.
func (c catalog) checkValues(label, pattern string, complain func(string, ...any)) {
	known, ours := c.values[label]
	if !ours {
		return // of the scraper, or as many as the vendor has operations
	}
	for value := range strings.SplitSeq(pattern, "|") {
		if !slices.Contains(known, value) {
			complain("%s is never %q", label, value)
		}
	}
}

func TestCatalog_check(t *testing.T) {
	c := newCatalog(t)
	for _, good := range []string{
		`sum by (result, job) (rate(backhaul_requests_total{result!~"started|id_reused"}[5m]))`,
		`histogram_quantile(0.9, sum by (le, operation) (rate(backhaul_vendor_request_duration_seconds_bucket{job=~"$job"}[$__rate_interval])))`,
		`backhaul_dead_letters - backhaul_dead_letters offset 1h > 10`,
		`rate(process_cpu_seconds_total[5m])`,
		`time() - max(backhaul_vendor_token_expiry_timestamp_seconds) > 3600`,
	} {
		if problems := c.check(good); problems != nil {
			t.Errorf("%s: %q", good, problems)
		}
	}
	for bad, want := range map[string]string{
		`rate(backhaul_request_total[5m])`:                         `"backhaul_request_total" is no metric`,
		`backhaul_requests_total{reslut="started"}`:                "has no label reslut",
		`backhaul_requests_total{result="unknown"}`:                `result is never "unknown"`,
		`sum by (verdict) (backhaul_requests_total)`:               "groups by verdict",
		`rate(backhaul_request_duration_seconds[5m])`:              "is a histogram",
		`backhaul_dead_letters_bucket`:                             "is no metric",
		`rates(backhaul_duplicates_total[5m])`:                     `"rates" is no metric`,
		`{job="backhaul"}`:                                         `"" is no metric`,
		`1 > 0`:                                                    "names no metric",
		`sum by (le) (rate(backhaul_request_attempts_count[5m]))`:  "groups by le",
		`backhaul_vendor_breaker_state{state="closed", job="x" y}`: "cannot read",
	} {
		if problems := strings.Join(c.check(bad), "; "); !strings.Contains(problems, want) {
			t.Errorf("%s: %q, want %q", bad, problems, want)
		}
	}
}
