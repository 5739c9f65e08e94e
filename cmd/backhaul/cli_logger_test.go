package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"backhaul/cmd/internal/config"
)

// A line of the log has the text of others, and is read on terminals as well.
func TestNewLogger_EscapesTheTextOfOthers(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"json", "console"} {
		var b bytes.Buffer
		log := newLogger(&b, config.Log{Level: "info", Format: format})
		log.Info().Str("requestId", foul).Msg("request")
		if strings.ContainsAny(b.String(), raw) {
			t.Errorf("%s: %q", format, b.String())
		}
		var line map[string]any
		if format == "json" && (json.Unmarshal(b.Bytes(), &line) != nil || line["requestId"] != foul) {
			t.Errorf("%s is %q", b.String(), line)
		}
	}
}
