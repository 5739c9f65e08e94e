package programtest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"backhaul/publisher/natstest/waittest"
)

// AdminURL returns the address that a process logged for its admin listener.
func AdminURL(t *testing.T, p *Process) string {
	t.Helper()
	return Logged(t, p.Output.String(), "admin")
}

// Logged returns the first value that a log has under a name.
func Logged(t *testing.T, log, name string) string {
	t.Helper()
	for line := range strings.Lines(log) {
		var entry map[string]any
		if json.Unmarshal([]byte(line), &entry) == nil {
			if value, ok := entry[name].(string); ok && value != "" {
				return value
			}
		}
	}
	t.Fatalf("no %q in %s", name, log)
	return ""
}

// Probe asks as a supervisor does. The status is 0 without an answer.
func Probe(t *testing.T, url string) (status int, text string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(body)
}

// WaitForStatus waits until the URL answers with a status.
func WaitForStatus(t *testing.T, url string, want int) {
	t.Helper()
	waittest.Eventually(t, fmt.Sprintf("status %d at %s", want, url), func() bool {
		status, _ := Probe(t, url)
		return status == want
	})
}
