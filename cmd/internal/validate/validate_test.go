package validate

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"backhaul/schemas"
)

func verdicts(t *testing.T, schema, text string) []string {
	t.Helper()
	v, err := New(schema)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	err = v.Read([]byte(text), func(d Document) error {
		line := fmt.Sprintf("%d %s", d.Line, d.Schema)
		for _, p := range d.Problems {
			line += fmt.Sprintf("; %d %s", p.Line, strings.TrimSpace(p.Pointer+" "+p.Text))
		}
		got = append(got, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

const good = `{"clientName":"c","subclientName":"g"}`

func event(kind schemas.Kind, data string) string {
	return fmt.Sprintf("{\"specversion\":\"1.0\",\"id\":\"i\",\"source\":\"/backhaul\",\"type\":%q,\n\"data\":%s}", kind.Type(), data)
}

func TestValidator_Read(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		schema, text string
		want         []string
	}{
		"nothing": {"", "  \n", nil},
		"good":    {"", good, []string{"1 backup-request.v1"}},
		"several": {"", good + "\n\n" + good + good, []string{"1 backup-request.v1", "3 backup-request.v1", "3 backup-request.v1"}},
		"every problem, with its line": {"", "\n{\"clientName\":7,\n \"subclientname\":\"g\",\n \"labels\":{\"a b\":\"x\"}}", []string{
			"2 backup-request.v1; 2 /clientName must be a string, not a number" +
				"; 2 /subclientName is required: the name of the content group" +
				"; 3 /subclientname is not a member of a backup request; did you mean subclientName?" +
				"; 4 /labels/a b is not a label name: 1 to 63 letters, digits and . _ / -, starting with a letter or digit",
		}},
		"twice": {"", `{"clientName":"c","clientName":"c","subclientName":"g"}`, []string{"1 backup-request.v1; 1 /clientName is given twice"}},
		"continues after what is not JSON": {"", "{\"clientName\":\n{\"clientName\" \"c\"}\n" + good, []string{
			"1 backup-request.v1; 2 is not valid JSON: invalid character '\"' after object name (expecting ':')",
			"2 backup-request.v1; 2 is not valid JSON: invalid character '\"' after object name (expecting ':')",
			"3 backup-request.v1",
		}},
		"cut off": {"", good + "\n{\"clientName\":\"c\"", []string{
			"1 backup-request.v1", "2 backup-request.v1; 2 is not valid JSON: it does not end",
		}},
		"a request in an event": {"", `{"specversion":"1.0","id":"i","source":"s","type":"t","data":{"clientName":"c"}}`, []string{
			"1 backup-request.v1; 1 /data/subclientName is required: the name of the content group",
		}},
		"an event": {"", event(schemas.KindJobStarted, `{"requestId":"r","source":"s","jobId":"x","jobIds":["1"],"requestedAt":"2026-11-23T09:00:00Z",
"payloadHash":"`+strings.Repeat("0", 64)+`","attempts":1,"startedAt":"yesterday"}`), []string{
			"1 job-started.v1; 2 /data/adopted is required; 2 /data/jobId 'x' does not match pattern '^[1-9][0-9]*$'" +
				"; 3 /data/startedAt 'yesterday' is not valid date-time: must be a time as in RFC 3339, such as 2026-11-23T09:00:00Z",
		}},
		"an event without data": {"", `{"specversion":"1.0","type":"backhaul.job.failed.v1"}`, []string{
			"1 job-failed.v1; 1 /data is required: the data of the event",
		}},
		"data alone": {"request-rejected.v1", `{"requestId":""}`, []string{
			"1 request-rejected.v1; 1 /first is required; 1 /payloadHash is required; 1 /reason is required; 1 /rejectedAt is required; 1 /requestId minLength: got 0, want 1; 1 /requestedAt is required; 1 /source is required",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := verdicts(t, c.schema, c.text)
			if !slices.Equal(got, c.want) {
				t.Errorf("got  %s\nwant %s", strings.Join(got, "\n     "), strings.Join(c.want, "\n     "))
			}
		})
	}
}

func TestEventSchemas_Compile(t *testing.T) {
	t.Parallel()
	for _, kind := range schemas.Kinds {
		if _, err := newEventSchemas().get(string(kind) + ".v1"); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
	if _, err := New("no-such.v1"); err == nil {
		t.Error("New accepts an unknown schema")
	}
}
