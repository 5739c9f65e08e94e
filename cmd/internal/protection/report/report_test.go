package report

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"backhaul/cmd/internal/objectives"
	"backhaul/cmd/internal/protection"
	"backhaul/publisher"
	"backhaul/schemas"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// fold returns a fold in which a change of each group at noon was in a finished backup at 15:00, as
// events 1 and 2 of the group say.
func fold(groups ...string) *protection.Fold {
	f := protection.New()
	for i, group := range groups {
		key := publisher.NewKey("storage", group)
		names := schemas.Naming{RequestID: group, Source: "storage", ClientName: "c", InstanceName: "c", BackupsetName: schemas.DefaultBackupsetName, SubclientName: group,
			Labels: map[string]string{"trigger.since": noon.Format(time.RFC3339)}}
		about := schemas.Message{RequestedAt: noon.Add(time.Minute)}
		started := &schemas.JobStarted{Naming: names, Message: about, JobID: "7", JobIDs: []string{"7"}}
		ended := &schemas.JobFinished{Naming: names, Message: about, JobRef: schemas.JobRef{JobID: "7"}, Outcome: schemas.OutcomeCompleted}
		for n, e := range []schemas.Event{started, ended} {
			subject := key.Subject(e.Kind())
			if j, ok := e.(schemas.JobEvent); ok {
				subject = key.JobSubject(e.Kind(), j.Job())
			}
			f.Add(protection.Message{
				Subject: subject, Header: map[string][]string{"ce-id": {publisher.EventID(key, e)}}, Data: schemas.EncodeEvent(e),
				Sequence: uint64(2*i + n + 1), Stored: noon.Add(time.Duration(1+2*n) * time.Hour),
			})
		}
	}
	return f
}

func made(t *testing.T, groups ...string) *Report {
	t.Helper()
	all, err := objectives.Parse("o.yaml", []byte("objectives:\n- {name: gold, owner: \"=team\", clientName: [c], subclientName: [\"g*\", \"=*\"], rpo: 1h}\n"+
		"- {name: mistyped, clientName: [d], subclientName: [g], rpo: 1h}\n"))
	if err != nil {
		t.Fatal(err)
	}
	lookups := make(map[uint64]int)
	r, err := Make(t.Context(), fold(groups...), all, noon.Add(-time.Hour), noon.Add(4*time.Hour),
		func(g protection.Group) bool { return g.Subclient != "g-hidden" },
		func(_ context.Context, sequence uint64) (Event, error) {
			if lookups[sequence]++; lookups[sequence] > 1 {
				t.Errorf("the event %d is looked up again", sequence)
			}
			if sequence == 1 {
				return Event{Sequence: 1}, nil // expired
			}
			return Event{Sequence: sequence, ID: "the/end", Stored: noon.Add(3 * time.Hour)}, nil
		})
	if err != nil {
		t.Fatal(err)
	}
	r.Made = noon.Add(5 * time.Hour)
	return r
}

func TestMake(t *testing.T) {
	t.Parallel()
	r := made(t, "g-1", "other", "g-hidden")
	if len(r.Groups) != 1 || len(r.Groups[0].Breaches) != 1 {
		t.Fatalf("got %+v", r)
	}
	g := r.Groups[0]
	if g.Subclient != "g-1" || g.Objective != "gold" || g.RPOSeconds != 3600 || g.KnownSeconds != 4*3600 || g.KeptSeconds != 2*3600 || *g.Share != 0.5 {
		t.Errorf("got %+v", g)
	}
	b := g.Breaches[0]
	if b.Promise != protection.PromiseRPO || !b.From.Equal(noon.Add(time.Hour)) || b.Seconds != 2*3600 || len(b.Events) != 2 || b.Events[0].ID != "" || b.Events[1].ID != "the/end" {
		t.Errorf("got %+v", b)
	}
}

func TestMake_ReportsAFailedLookup(t *testing.T) {
	t.Parallel()
	all, err := objectives.Parse("o.yaml", []byte("objectives:\n- {name: gold, clientName: [c], subclientName: [g], rpo: 1h}\n"))
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("no answer")
	_, err = Make(t.Context(), fold("g"), all, noon, noon.Add(4*time.Hour), func(protection.Group) bool { return true },
		func(context.Context, uint64) (Event, error) { return Event{}, broken })
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestCSV(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := made(t, "g-1", "=1+1").CSV(&out); err != nil {
		t.Fatal(err)
	}
	lines, err := csv.NewReader(&out).ReadAll()
	if err != nil || len(lines) != 3 {
		t.Fatalf("got %q, %v", lines, err)
	}
	row := make(map[string]string)
	for i, name := range lines[0] {
		row[name] = lines[2][i]
	}
	for name, want := range map[string]string{
		"content_group": "g-1", "objective": "gold", "owner": "'=team", "share": "0.500000", "promise": "rpo", "breach_from": "2026-11-23T13:00:00.000Z",
		"breach_until": "2026-11-23T15:00:00.000Z", "breach_seconds": "7200.000", "counted_from": "2026-11-23T12:00:00.000Z", "why": "running",
		"event_sequences": "1 2", "event_ids": "the/end", "lasts": "false",
	} {
		if row[name] != want {
			t.Errorf("%s is %q, want %q", name, row[name], want)
		}
	}
	if got := lines[1][3]; got != "'=1+1" {
		t.Errorf("a spreadsheet takes %q for a formula", got)
	}
	out.Reset()
	none := made(t)
	none.Groups = []Group{{Objective: "gold"}}
	if err := none.CSV(&out); err != nil || !strings.Contains(out.String(), ",0.000,0.000,,,") {
		t.Errorf("a group without a breach: %v\n%s", err, &out)
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(made(t, "g-1"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"unusedObjectives":["mistyped"]`, `"clientName":"c"`, `"subclientName":"g-1"`, `"share":0.5`, `"promise":"rpo"`,
		`"events":[{"sequence":1},{"sequence":2,"id":"the/end","stored":"2026-11-23T15:00:00Z"}]`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
}

func TestHTML(t *testing.T) {
	t.Parallel()
	r := made(t, "g-<script>")
	var out bytes.Buffer
	if err := r.HTML(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"g-&lt;script&gt;", "50.000 %", "the job has not ended", "2026-11-23T13:00:00.000Z", "1 (expired)", "2 the/end", "2h0m0s", "no content group on record: mistyped."} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in %s", want, &out)
		}
	}
	if strings.Contains(out.String(), "<script") {
		t.Error("a name is markup")
	}
	out.Reset()
	if err := made(t).HTML(&out); err != nil || !strings.Contains(out.String(), "No content group has an objective.") {
		t.Errorf("%v: %s", err, &out)
	}
}
