package systemtest

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"backhaul/cmd/internal/programtest"
	"backhaul/consumer/trigger/objectstore/objectstoretest"
	"backhaul/publisher"
	"backhaul/publisher/natstest/waittest"
	"backhaul/vendorapi/simulator"
)

// protectedGroup is what `backhaul protection` says of a content group.
type protectedGroup struct {
	Status, Why                                              string
	SubclientName                                            string
	LastChange, LastCovered, LastGoodStart, ExposedSince, At time.Time
	Exposed                                                  []struct{ Event, Outcome, End uint64 }
	Running                                                  []struct{ JobID string }
	Last                                                     *struct{ Outcome string }
	Broken                                                   []struct{ Promise string }
	Objective                                                *struct{ Name, RPO string }
}

// An object is stored, exposed, part of a window and a backup, and covered when the backup has
// ended. The times are those of the server. A failed backup exposes the next change, breaches the
// objective, and is in the report with the events that prove it.
func TestAChangeIsProtected(t *testing.T) {
	t.Parallel()
	s := programtest.StartServiceIn(t, fastFollow, simulator.Config{JobDuration: time.Second})
	dir := t.TempDir()
	objectives := filepath.Join(dir, "objectives.yaml")
	programtest.PutFile(t, objectives, "objectives:\n- {name: gold, clientName: [\"*\"], subclientName: [stest*], rpo: 3s}\n"+
		"- {name: mistyped, clientName: [\"*\"], subclientName: [tsest*], rpo: 3s}\n")
	env := append(s.Env, "BACKHAUL_OBJECTIVES_FILE="+objectives)
	once(t, env, programtest.ExitDone, "setup", "--trigger")
	look := func() (p protectedGroup) {
		t.Helper()
		out := once(t, env, programtest.ExitDone, "protection", "--group", "stestgroup", "--output", "json")
		if out == "" {
			return p
		}
		if err := json.Unmarshal([]byte(out), &p); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return p
	}
	wait := func(what string, ok func(p protectedGroup) bool) (p protectedGroup) {
		t.Helper()
		waittest.Eventually(t, what, func() bool { p = look(); return ok(p) })
		return p
	}
	pause := func(d time.Duration) {
		t.Helper()
		if _, err := s.JS.PauseConsumer(t.Context(), publisher.RequestsStream, publisher.RequestsConsumer, time.Now().Add(d)); err != nil {
			t.Fatal(err)
		}
	}
	store := func(key string) time.Time {
		t.Helper()
		ack, err := s.JS.Publish(t.Context(), "storage.event.minio", programtest.Notification("invoices", key))
		if err != nil {
			t.Fatal(err)
		}
		stream, err := s.JS.Stream(t.Context(), publisher.StorageStream)
		if err != nil {
			t.Fatal(err)
		}
		msg, err := stream.GetMsg(t.Context(), ack.Sequence)
		if err != nil {
			t.Fatal(err)
		}
		return msg.Time
	}

	pause(time.Hour)
	changed := store("a.pdf") // before the trigger runs, which deletes it when it is part of a request
	programtest.Start(t, programtest.TriggerEnv(t, s.NC.ConnectedUrl(), objectstoretest.Start(t, "lists"), `routes:
- {container: invoices, clientName: s-adhoc-object-storage, subclientName: stestgroup, storagePolicyName: default-plan, window: {quiet: 1s}}
`), "backhaul", "trigger")
	p := wait("the change in the queue", func(p protectedGroup) bool { return p.Status == "exposed" })
	if !p.ExposedSince.Equal(changed) || !p.LastChange.Equal(changed) || p.Why != "waiting" || p.Objective == nil || p.Objective.Name != "gold" || !p.LastCovered.IsZero() {
		t.Errorf("stored at %s: %+v", changed, p)
	}
	s.Sim.ScriptLives(simulator.MustParseLife("running:forever"))
	pause(0)
	p = wait("the running job", func(p protectedGroup) bool { return p.Why == "running" })
	if !p.ExposedSince.Equal(changed) || len(p.Running) != 1 {
		t.Errorf("while the job runs: %+v", p)
	}
	if err := s.Sim.SetLife(p.Running[0].JobID, simulator.MustParseLife("running:1ms,completed")); err != nil {
		t.Fatal(err)
	}
	p = wait("the end of the job", func(p protectedGroup) bool { return p.Status == "covered" })
	claims := s.Stored(publisher.EventsStream, "backup.event.job-submitting.>")
	claim, err := claims[len(claims)-1].Metadata()
	if err != nil {
		t.Fatal(err)
	}
	if !p.LastGoodStart.Equal(claim.Timestamp) || !p.LastCovered.Equal(changed) || p.Last.Outcome != "completed" {
		t.Errorf("claimed at %s: %+v", claim.Timestamp, p)
	}
	once(t, env, programtest.ExitDone, "protection", "--breached")

	s.Sim.ScriptLives(simulator.MustParseLife("running:1ms,failed(Failed to access the object storage)"))
	before := time.Now()
	s.Publish("storage.event.minio", nil, programtest.Notification("invoices", "b.pdf"))
	p = wait("the breach", func(p protectedGroup) bool { return p.Status == "breached" && p.Why == "outcome" })
	if p.ExposedSince.Before(before.Add(-time.Second)) || p.Broken[0].Promise != "rpo" || p.At.Sub(p.ExposedSince) < 3*time.Second || p.Exposed[0].End == 0 {
		t.Errorf("after the failed job: %+v", p)
	}
	if out := once(t, env, programtest.ExitFailed, "protection", "--breached"); !strings.Contains(out, "rpo broken for") || !strings.Contains(out, "(failed)") || !strings.Contains(out, "\n1 breached content group, as of ") {
		t.Errorf("the breach as a table:\n%s", out)
	}
	if out := once(t, env, programtest.ExitDone, "protection", "--breached", "--group", "other"); !strings.Contains(out, "\n0 breached content groups, as of ") {
		t.Errorf("another group:\n%s", out)
	}
	once(t, env, programtest.ExitDone, "protection", "--breached", "--at", before.UTC().Format(time.RFC3339Nano))

	s.Publish("storage.event.minio", nil, programtest.Notification("invoices", "c.pdf"))
	wait("the next good backup", func(p protectedGroup) bool { return p.Status == "covered" })
	out := once(t, env, programtest.ExitDone, "protection", "report", "--from", "1h", "--output", "json")
	var report struct {
		Groups []struct {
			Share    float64
			Breaches []struct {
				Promise, Why string
				Lasts        bool
				Events       []struct{ ID string }
			}
		}
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil || len(report.Groups) != 1 || len(report.Groups[0].Breaches) == 0 {
		t.Fatalf("%v: %s", err, out)
	}
	g := report.Groups[0]
	b := g.Breaches[len(g.Breaches)-1] // on a slow machine the first backup is too late, too
	if g.Share <= 0 || g.Share >= 1 || b.Promise != "rpo" || b.Lasts || len(b.Events) < 3 || !strings.Contains(b.Events[0].ID, "/job-started") || !strings.Contains(b.Events[len(b.Events)-1].ID, "/job-finished/") {
		t.Errorf("the report says %s", out)
	}
	for _, args := range [][]string{{"protection", "--breached"}, {"protection", "report"}} {
		if code, _, stderr := programtest.Once(t, env, "", args...); code != programtest.ExitDone || stderr != "objectives of no content group on record: mistyped\n" {
			t.Errorf("%q: exit code %d: %q", args, code, stderr)
		}
	}
	if out := once(t, env, programtest.ExitDone, "protection", "report", "--from", "1h", "--output", "html"); !strings.Contains(out, "s-adhoc-object-storage/stestgroup") {
		t.Errorf("the report as a page:\n%s", out)
	}
}
