package console

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"backhaul/cmd/internal/show"
)

// Check is one condition of readiness.
type Check struct {
	Name string
	// Probe returns nil if the check passes. It is called for every request, so it must
	// answer from memory.
	Probe func() error
	// Note, if non-nil, returns what to add to a check that passes, or "".
	Note func() string
	// Until, if non-nil, returns when what the check says is tried again, or zero.
	Until func() time.Time
	// Condition is true if the check is shown but does not decide readiness.
	Condition bool
	// HoldsUp is true if no request is started while the check fails.
	HoldsUp bool
}

// Result is a check's answer.
type Result struct {
	Name      string    `json:"name"`
	OK        bool      `json:"ok"`
	Condition bool      `json:"condition,omitempty"`
	HoldsUp   bool      `json:"holdsUp,omitempty"`
	Error     string    `json:"error,omitempty"`
	Note      string    `json:"note,omitempty"`
	Until     time.Time `json:"until,omitzero"`
}

// Ask returns the answers of the checks.
func Ask(checks []Check) (results []Result) {
	for _, check := range checks {
		one := Result{Name: check.Name, OK: true, Condition: check.Condition, HoldsUp: check.HoldsUp}
		if err := check.Probe(); err != nil {
			one.OK, one.Error = false, inOneLine(err)
		} else if check.Note != nil {
			one.Note = check.Note()
		}
		if check.Until != nil {
			one.Until = check.Until()
		}
		results = append(results, one)
	}
	return results
}

func live(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "alive") }

// ready writes 200, or 503 with the reason.
func (c *Console) ready(w http.ResponseWriter, r *http.Request) {
	results := Ask(*c.checks.Load())
	var failed []string
	for _, one := range results {
		if !one.OK && !one.Condition {
			failed = append(failed, one.Name+": "+one.Error)
		}
	}
	status := http.StatusOK
	if len(failed) > 0 {
		status = http.StatusServiceUnavailable
	}
	switch {
	case r.URL.Query().Has("verbose"):
		var ledger time.Time
		if name := c.ledger.Load(); name != nil {
			ledger = (*name)()
		}
		answerJSON(w, status, struct {
			Ready  bool      `json:"ready"`
			Ledger time.Time `json:"ledger,omitzero"`
			Checks []Result  `json:"checks"`
		}{len(failed) == 0, ledger, results})
	case len(failed) > 0:
		answer(w, status, "not ready: "+strings.Join(failed, "; "))
	default:
		answer(w, status, "ready")
	}
}

// inOneLine returns the text of an error that may be several, each on a line.
func inOneLine(err error) string {
	lines := strings.FieldsFunc(err.Error(), func(c rune) bool { return c == '\n' || c == '\r' })
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	return strings.Join(lines, "; ")
}

// Errors of writing are dropped: the caller has gone.

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	fmt.Fprintln(w, show.Line(text))
}

func answerJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	text, err := json.Marshal(v)
	if err == nil {
		_, _ = w.Write(append(show.Escape(text), '\n'))
	}
}
