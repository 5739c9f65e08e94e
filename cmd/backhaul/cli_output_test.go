package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/programtest"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
)

// foul has control sequences of terminals and invisible characters.
const foul = "x\u009b31m\u202ey\u200bz\ufeff"

// raw are the characters of it that no output may have.
const raw = "\u009b\u202e\u200b\ufeff\x1b"

// keepLetter keeps a dead letter of billing.
func keepLetter(t *testing.T, s *natstest.Server, sequence uint64, id, reason string, data []byte) {
	t.Helper()
	pub, err := publisher.New(s.Connect(t))
	if err != nil {
		t.Fatal(err)
	}
	err = pub.DeadLetter(t.Context(), publisher.DeadLetter{
		Subject: "backup.request.billing", Data: data, Key: publisher.SequenceKey("billing", sequence, time.Now()), RequestID: id,
		Sequence: sequence, Time: time.Now(), Code: "INVALID_REQUEST", Reason: reason,
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Printed content of a message never controls the terminal, hides
// nothing, and is the same value in JSON.
func TestOutputsAreHarmless(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	keepLetter(t, s, 1, "inv-7\u200b", "reason "+foul, []byte(`{"`+foul+`":"`+foul+`"}`))
	env := []string{"BACKHAUL_NATS_URL=" + s.URL}
	file := someRoutes(t, "{\n\""+foul+"\": 1}") // a file
	for _, args := range [][]string{
		{"dlq", "ls"}, {"dlq", "show", "1"}, {"dlq", "ls", "-o", "json"}, {"dlq", "show", "1", "-o", "json"}, {"dlq", "replay", "1", "--yes"},
		{"schema", "validate", file}, {"schema", "validate", "-o", "json", file}, {"request", "--file", file}, {"dlq", "show", foul},
		{"request", "--dry-run", "--client-name", foul, "--subclient-name", "s"}, {"request", "--dry-run", "-o", "json", "--client-name", foul, "--subclient-name", "s"},
	} {
		_, stdout, stderr := programtest.Once(t, env, "", args...)
		if strings.ContainsAny(stdout+stderr, raw) {
			t.Errorf("%q prints %q, %q", args, stdout, stderr)
		}
		if strings.Contains(strings.Join(args, " "), "json") {
			all := lines(t, stdout)
			if strings.HasPrefix(args[0], "dlq") && (len(all) != 1 || all[0]["requestId"] != "inv-7\u200b" || all[0]["reason"] != "reason "+foul) {
				t.Errorf("%q has the values %q", args, all)
			}
		}
	}
	if _, out, _ := programtest.Once(t, env, "", "dlq", "ls"); !strings.Contains(out, `inv-7\u200b`) {
		t.Errorf("the character without a width is not visible:\n%s", out)
	}
}

// What is printed has a bound that does not depend on how a message is nested, nor on the
// longest of its names.
func TestOutputsAreBounded(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	keepLetter(t, s, 1, "deep", "deep", []byte(strings.Repeat("[", 9_999)+strings.Repeat("]", 9_999)))
	keepLetter(t, s, 2, "long", "long", []byte(strings.Repeat("line\n", 100_000)))
	records := make([]string, 1000)
	for i := range records {
		records[i] = fmt.Sprintf(`{"eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":"k%d"}}}`, i)
	}
	records[0] = strings.Replace(records[0], `"k0"`, `"`+strings.Repeat("k", 100_000)+`"`, 1)
	notification := `{"Records":[` + strings.Join(records, ",") + `]}`
	routes := someRoutes(t, "routes:\n- {container: a, clientName: c, subclientName: g}\n")
	env := []string{"BACKHAUL_NATS_URL=" + s.URL}
	for _, c := range []struct {
		most int
		in   string
		args []string
	}{
		{100 << 10, "", []string{"dlq", "show", "1"}},
		{100 << 10, "", []string{"dlq", "show", "2"}},
		{2 << 20, notification, []string{"trigger", "explain", "-", "--routes", routes}},
	} {
		code, stdout, stderr := programtest.Once(t, env, c.in, c.args...)
		if code != exitDone || len(stdout) > c.most || len(stdout) < 1000 {
			t.Errorf("%q: exit code %d, %d bytes, %.500s", c.args, code, len(stdout), stderr)
		}
	}
}

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
