package systemtest

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"backhaul/cmd/internal/programtest"
	"backhaul/consumer/trigger/objectstore/objectstoretest"
	"backhaul/publisher"
	"backhaul/publisher/natstest/waittest"
	"backhaul/vendorapi/simulator"
	"backhaul/vendorapi/simulator/simulatortest"
)

// objectivesOf promises that a change of the sample group is in a backup after rpo.
func objectivesOf(rpo string) string {
	return "objectives:\n- {name: gold, owner: team, clientName: [s-adhoc-object-storage], subclientName: [stestgroup], rpo: " + rpo + "}\n"
}

// protected are two replicas with objectives, and a trigger.
type protected struct {
	*programtest.Service // the first replica
	second               *programtest.Service
	file                 string
}

func startProtected(t *testing.T, objectives string) *protected {
	t.Helper()
	file := filepath.Join(t.TempDir(), "objectives.yaml")
	programtest.PutFile(t, file, objectives)
	sim, endpoint := simulatortest.Start(t, simulator.Config{World: programtest.World(), JobDuration: 100 * time.Millisecond})
	url := programtest.NATSServer(t)
	client := programtest.Connect(t, url)
	env := slices.Concat(programtest.ServiceEnv(url, endpoint), fastFollow, []string{"BACKHAUL_OBJECTIVES_FILE=" + file})
	p := &protected{
		Service: &programtest.Service{Client: client, Sim: sim, Env: env},
		second:  &programtest.Service{Client: client, Sim: sim, Env: env}, file: file,
	}
	p.StartRun(t)
	p.second.StartRun(t)
	trigger := programtest.Start(t, programtest.TriggerEnv(t, url, objectstoretest.Start(t, "lists"), `routes:
- {container: invoices, clientName: s-adhoc-object-storage, subclientName: stestgroup, storagePolicyName: default-plan, window: {quiet: 100ms}}
`), "backhaul", "trigger")
	trigger.WaitFor(t, "reading notifications")
	return p
}

// An object is stored and its backup fails: the group is exposed, is breached within a minute of
// the limit though nothing happens then, and is restored by the next good backup. Two replicas
// publish each state once, also when the one that publishes is killed.
func TestAContentGroupLeavesItsObjective(t *testing.T) {
	t.Parallel()
	p := startProtected(t, objectivesOf("4s"))
	heard := subscribe(t, p.Client)
	subject := "backup.event.protection."

	p.Sim.ScriptLives(simulator.MustParseLife("running:1ms,failed(Failed to access the object storage)"))
	stored := time.Now()
	p.Publish("storage.event.minio", nil, programtest.Notification("invoices", "a"))
	breached := heard.next(t, subject)
	if breached["state"] != "breached" || breached["cause"] != "rpo" || breached["owner"] != "team" || breached["subclientName"] != "stestgroup" {
		t.Errorf("the breach says %v", breached)
	}
	if reason := fmt.Sprint(breached["reason"]); !strings.Contains(reason, "the objective allows 4s") || !strings.Contains(reason, "ended as failed") {
		t.Errorf("the reason is %q", reason)
	}
	since, err := time.Parse(time.RFC3339Nano, fmt.Sprint(breached["since"]))
	if late := time.Since(since); err != nil || late > time.Minute || since.Sub(stored) < 4*time.Second || since.Sub(stored) > 10*time.Second {
		t.Errorf("stored at %s, the limit was at %s, published %s later, %v", stored, since, late, err)
	} else {
		t.Logf("breached %s after the object was stored, published %s after the limit", since.Sub(stored), late)
	}
	for _, s := range []*programtest.Service{p.Service, p.second} {
		for series, want := range map[string]float64{`backhaul_protection_groups{objective="gold",owner="team",status="breached"}`: 1, `backhaul_condition_ok{condition="protection"}`: 1} {
			waittest.Eventually(t, fmt.Sprintf("%s %g", series, want), func() bool { return programtest.Metric(t, s, series) == want })
		}
	}

	page := openPage(t, programtest.AdminURL(t, p.Run))
	page.open("/protection?state=breached")
	page.waitFor("the breached group", `document.querySelector("#rows tr .status")?.innerText.toLowerCase() === "breached" && document.querySelector("#rows tr .error").innerText.includes("ended as failed")`)
	page.open(page.text(`document.querySelector("#rows th a").getAttribute("href")`))
	page.waitFor("the vendor's reason", `document.querySelector("#jobs")?.innerText.includes("Failed to access the object storage")`)

	// The replica that follows jobs, and publishes, is killed.
	reading := func(s *programtest.Service) bool { return programtest.Metric(t, s, "backhaul_follow_reading") == 1 }
	left := p.second
	if reading(p.second) {
		left = p.Service
		p.second.Run.Kill()
	} else {
		p.Service.Run.Kill()
	}
	waittest.Eventually(t, "another replica", func() bool { return reading(left) })
	good := time.Now()
	p.Publish("storage.event.minio", nil, programtest.Notification("invoices", "b"))
	restored := heard.next(t, subject)
	if restored["state"] != "restored" || restored["cause"] != "covered" || !strings.Contains(fmt.Sprint(restored["reason"]), "a good backup started at") {
		t.Errorf("the end of the breach says %v", restored)
	}
	t.Logf("restored %s after the next object was stored", time.Since(good))
	page = openPage(t, programtest.AdminURL(t, left.Run))
	page.open("/protection")
	page.waitFor("the covered group", `document.querySelector("#rows tr .status")?.innerText.toLowerCase() === "covered" && document.querySelector("#rows svg rect.p-breached") !== null`)
	events := p.Stored(publisher.EventsStream, publisher.AnyProtection)
	if len(events) != 2 {
		t.Errorf("%d events, want 2", len(events))
	}
	if out := once(t, p.Env, programtest.ExitDone, "events", "--kind", "protection"); strings.Count(out, "\n") != 2 || !strings.Contains(out, "breached") || !strings.Contains(out, "restored") {
		t.Errorf("events shows\n%s", out)
	}
}

// A broken file changes nothing and is a condition. A change of the objectives publishes what is
// true by the new ones, and says that it was no backup.
func TestObjectivesAreReloaded(t *testing.T) {
	t.Parallel()
	p := startProtected(t, objectivesOf("24h"))
	heard := subscribe(t, p.Client)
	admin := programtest.AdminURL(t, p.Run)
	p.Sim.ScriptLives(simulator.MustParseLife("running:1ms,failed(no)"))
	p.Publish("storage.event.minio", nil, programtest.Notification("invoices", "a"))
	exposed := `backhaul_protection_groups{objective="gold",owner="team",status="exposed"}`
	waittest.Eventually(t, "an exposed group", func() bool { return programtest.Metric(t, p.Service, exposed) == 1 })

	programtest.PutFile(t, p.file, strings.ReplaceAll(objectivesOf("1s"), "clientName", "clintName"))
	p.Run.WaitFor(t, "objectives file refused")
	waittest.Eventually(t, "the condition", func() bool {
		_, text := programtest.Probe(t, admin+"/readyz?verbose")
		return strings.Contains(text, "did you mean clientName?") && strings.Contains(text, "backhaul protection check "+p.file)
	})
	if n := programtest.Metric(t, p.Service, exposed); n != 1 || len(p.Stored(publisher.EventsStream, publisher.AnyProtection)) != 0 {
		t.Errorf("with a broken file %g groups are exposed", n)
	}

	apply := func(text string) {
		t.Helper()
		programtest.PutFile(t, p.file, text)
		for _, s := range []*programtest.Service{p.Service, p.second} {
			s.Run.Signal(t, syscall.SIGHUP)
		}
	}
	apply(objectivesOf("1s"))
	if e := heard.next(t, "backup.event.protection."); e["state"] != "breached" || e["cause"] != "rpo" {
		t.Errorf("after a tighter objective: %v", e)
	}
	apply(objectivesOf("24h"))
	if e := heard.next(t, "backup.event.protection."); e["state"] != "restored" || e["cause"] != "objective" || !strings.Contains(fmt.Sprint(e["reason"]), "changed") {
		t.Errorf("after a looser objective: %v", e)
	}
	apply("objectives: []\n")
	p.Run.WaitFor(t, `"objectives":0`)
	if n := len(p.Stored(publisher.EventsStream, publisher.AnyProtection)); n != 2 {
		t.Errorf("%d events, want 2", n)
	}
}
