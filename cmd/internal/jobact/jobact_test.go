package jobact

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/operator"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
	"backhaul/vendorapi"
	"backhaul/vendorapi/simulator"
	"backhaul/vendorapi/simulator/simulatortest"
)

var ann = operator.By{Actor: "ann@ops", Reason: "wrong content group, CHG-17"}

// rig is a job that runs at the simulator and is on our ledger.
type rig struct {
	*testing.T
	js     jetstream.JetStream
	pub    *publisher.Publisher
	sim    *simulator.Simulator
	client *vendorapi.Client
	job    Job
}

func newRig(t *testing.T, timeout time.Duration) *rig {
	t.Helper()
	nc := natstest.Start(t).Connect(t)
	r := &rig{T: t, js: natstest.JetStream(t, nc)}
	var err error
	if r.pub, err = publisher.New(nc); err != nil {
		t.Fatal(err)
	}
	sim, endpoint := simulatortest.Start(t, simulator.Config{JobDuration: time.Hour})
	r.sim = sim
	r.client, err = vendorapi.New(vendorapi.Config{Endpoint: endpoint, Timeout: timeout, Auth: vendorapi.Auth{
		Mode: vendorapi.AuthLogin, Username: "backhaul", Password: func() (vendorapi.Secret, error) { return "simulator", nil },
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.client.Close(context.Background()) })
	task := vendorapi.Task{Marker: "backhaul:billing/inv-7", BackupRequest: schemas.BackupRequest{
		ClientName: "s-adhoc-object-storage", InstanceName: "s-adhoc-object-storage", BackupsetName: "defaultBackupSet", SubclientName: "stestgroup",
		StoragePolicyName: "default-plan", AppName: "Cloud Apps", BackupLevel: "INCREMENTAL",
	}}
	started, err := r.client.CreateTask(t.Context(), task)
	if err != nil {
		t.Fatal(err)
	}
	r.record(started.ID, "stestgroup")
	if r.job, err = find(t, r.js, started.ID); err != nil {
		t.Fatal(err)
	}
	return r
}

// record writes that a request has started a job.
func (r *rig) record(id, group string) {
	r.Helper()
	e := &schemas.JobStarted{
		Naming:  schemas.Naming{RequestID: "inv-7-" + group, Source: "billing", ClientName: "S-Adhoc-Object-Storage", SubclientName: group},
		Message: schemas.Message{RequestedAt: time.Now().UTC()}, JobID: id, JobIDs: []string{id}, StartedAt: time.Now().UTC(),
	}
	if _, err := r.pub.Append(r.Context(), publisher.NewKey("billing", e.RequestID), 0, e, ""); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) act(action vendorapi.JobAction) (Result, error) {
	return Act(r.Context(), r.pub, r.client, r.job, action, ann)
}

// recorded returns the operator's events.
func (r *rig) recorded() (all []schemas.OperatorEvent) {
	r.Helper()
	for _, msg := range natstest.Stored(r, r.js, publisher.EventsStream, publisher.AnyOperator) {
		e, err := schemas.DecodeOperatorEvent(msg.Data)
		if err != nil {
			r.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

func TestAct(t *testing.T) {
	t.Parallel()
	r := newRig(t, 5*time.Second)
	for _, step := range []struct {
		action        vendorapi.JobAction
		before, after string
		event         schemas.Action
	}{
		{vendorapi.SuspendJob, "Running", "Suspended", schemas.ActionJobSuspend},
		{vendorapi.ResumeJob, "Suspended", "Running", schemas.ActionJobResume},
		{vendorapi.KillJob, "Running", "Killed", schemas.ActionJobKill},
	} {
		got, err := r.act(step.action)
		if err != nil || got.Before != step.before || got.After != step.after || got.Unclear != "" {
			t.Errorf("%s: %+v, %v", step.action, got, err)
		}
		events := r.recorded()
		if e := events[len(events)-1]; e.Action != step.event || e.JobID != r.job.ID || e.Request.RequestID != "inv-7-stestgroup" || e.Actor != ann.Actor || e.Reason != ann.Reason {
			t.Errorf("%s is recorded as %+v", step.action, e)
		}
	}
	_, err := r.act(vendorapi.KillJob)
	if _, refused := errors.AsType[*RefusedError](err); !refused || !strings.Contains(err.Error(), "has ended already: Killed") || len(r.recorded()) != 3 {
		t.Errorf("killed again: %v, %d events", err, len(r.recorded()))
	}
}

// Only jobs on our ledger are touched, and of an id that was given again only the newest.
func TestOtherJobsAreNotTouched(t *testing.T) {
	t.Parallel()
	r := newRig(t, 5*time.Second)
	if _, err := Find(t.Context(), r.js, "12"); err == nil || !strings.Contains(err.Error(), "job 12 is on record for no request") {
		t.Errorf("a job of nobody: %v", err)
	}
	r.record(r.job.ID, "load-1")
	var err error
	if r.job, err = find(t, r.js, r.job.ID); err != nil || r.job.Started.SubclientName != "load-1" {
		t.Fatalf("found %+v, %v", r.job, err)
	}
	_, err = r.act(vendorapi.KillJob)
	if err == nil || !strings.Contains(err.Error(), "the vendor has given the id again") {
		t.Errorf("another content group's job: %v", err)
	}
	started := *r.job.Started
	started.ClientName, started.SubclientName = "other", "stestgroup"
	r.job.Started = &started
	if _, err = r.act(vendorapi.KillJob); err == nil || !strings.Contains(err.Error(), "the vendor has given the id again") {
		t.Errorf("another client's job: %v", err)
	}
	started.ClientName = "S-Adhoc-Object-Storage"
	if _, err = Act(t.Context(), r.pub, nameless{r.client}, r.job, vendorapi.KillJob, ann); err == nil || !strings.Contains(err.Error(), "does not show whose backup") {
		t.Errorf("a job without names: %v", err)
	}
	if calls := r.sim.Account().Calls["JobAction"]; calls != 0 || len(r.recorded()) != 0 {
		t.Errorf("%d calls, %d events", calls, len(r.recorded()))
	}
}

// nameless leaves the names out, as a vendor may.
type nameless struct{ *vendorapi.Client }

func (v nameless) Job(ctx context.Context, id string) (vendorapi.JobInfo, error) {
	info, err := v.Client.Job(ctx, id)
	info.Names = vendorapi.JobNames{}
	return info, err
}

func TestAJobThatCannotBeLookedAt(t *testing.T) {
	t.Parallel()
	r := newRig(t, 5*time.Second)
	r.sim.SetFaults([]simulator.Chance{{Endpoint: "Job", Probability: 1, Fault: simulator.Fault{Kind: simulator.Status, Status: 403, Body: "no"}}})
	_, err := r.act(vendorapi.KillJob)
	if _, refused := errors.AsType[*RefusedError](err); !refused || !strings.Contains(err.Error(), "cannot be looked at, and nothing was done") {
		t.Errorf("%v", err)
	}
	if calls := r.sim.Account().Calls["JobAction"]; calls != 0 || len(r.recorded()) != 0 {
		t.Errorf("%d calls, %d events", calls, len(r.recorded()))
	}
}

// interrupted ends the operator's context as soon as the vendor has answered.
type interrupted struct {
	*vendorapi.Client
	end context.CancelFunc
}

func (v interrupted) Act(ctx context.Context, id string, action vendorapi.JobAction) error {
	defer v.end()
	return v.Client.Act(ctx, id, action)
}

// What became of the job is said also after an interrupt.
func TestAnInterruptAfterTheAction(t *testing.T) {
	t.Parallel()
	r := newRig(t, 5*time.Second)
	ctx, end := context.WithCancel(t.Context())
	got, err := Act(ctx, r.pub, interrupted{r.client, end}, r.job, vendorapi.KillJob, ann)
	if err != nil || got.After != "Killed" {
		t.Errorf("%+v, %v", got, err)
	}
}

// Two operators act on one job: each action is recorded, and the vendor is asked in turn.
func TestTwoOperatorsAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, 20*time.Second)
	done := make(chan error, 8)
	for i := range cap(done) {
		go func() {
			_, err := Act(t.Context(), r.pub, r.client, r.job, vendorapi.KillJob, operator.By{Actor: []string{"ann", "bob"}[i%2], Reason: "both"})
			done <- err
		}()
	}
	killed := 0
	for range cap(done) {
		err := <-done
		if _, refused := errors.AsType[*RefusedError](err); err != nil && !refused {
			t.Error(err)
		}
		if err == nil {
			killed++
		}
	}
	if calls := r.sim.Account().Calls["JobAction"]; killed != 1 || calls != len(r.recorded()) {
		t.Errorf("%d were told that they killed it; %d calls, %d events", killed, calls, len(r.recorded()))
	}
}

// Without the record nothing is asked of the vendor, nor without a reason.
func TestNothingIsDoneWithoutARecord(t *testing.T) {
	t.Parallel()
	r := newRig(t, 5*time.Second)
	if _, err := Act(t.Context(), r.pub, r.client, r.job, vendorapi.KillJob, operator.By{Actor: "ann"}); err == nil || !strings.Contains(err.Error(), "the reason is missing") {
		t.Errorf("without a reason: %v", err)
	}
	if _, err := Act(t.Context(), r.pub, r.client, r.job, vendorapi.KillJob, operator.By{Actor: "ann", Reason: "a\nb"}); err == nil || !strings.Contains(err.Error(), "text on one line") {
		t.Errorf("a reason on two lines: %v", err)
	}
	r.js.Conn().Close()
	_, err := r.act(vendorapi.KillJob)
	if _, refused := errors.AsType[*RefusedError](err); !refused || !strings.Contains(err.Error(), "nothing was done") {
		t.Errorf("without the stream: %v", err)
	}
	if calls := r.sim.Account().Calls["JobAction"]; calls != 0 {
		t.Errorf("the vendor was asked %d times", calls)
	}
}

// A lost answer is not repeated: the job is looked at.
func TestALostAnswerOfAnAction(t *testing.T) {
	t.Parallel()
	for _, kind := range []simulator.Kind{simulator.CutAfterStart, simulator.HangAfterStart} {
		r := newRig(t, 2*time.Second)
		r.sim.ScriptFor("JobAction", simulator.Fault{Kind: kind})
		got, err := r.act(vendorapi.KillJob)
		if err != nil || got.Unclear == "" || got.After != "Killed" {
			t.Errorf("%s: %+v, %v", kind, got, err)
		}
		if calls := r.sim.Account().Calls["JobAction"]; calls != 1 {
			t.Errorf("%s: the vendor was asked %d times", kind, calls)
		}
	}
}

// What the vendor refuses, or has not got, leaves the job as it is.
func TestTheVendorRefusesAnAction(t *testing.T) {
	t.Parallel()
	r := newRig(t, 5*time.Second)
	r.sim.ScriptFor("JobAction", simulator.Fault{Kind: simulator.TooManyRequests})
	for says, action := range map[string]vendorapi.JobAction{"recorded, but not done: JobAction: throttled": vendorapi.KillJob} {
		_, err := r.act(action)
		if _, refused := errors.AsType[*RefusedError](err); !refused || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
	_, err := r.act(vendorapi.ResumeJob)
	if err == nil || !strings.Contains(err.Error(), "is running") {
		t.Errorf("a running job is resumed: %v", err)
	}
}

// A job that was started just now is found in the newest part of the stream, the rest of which is not
// read. An older start under the same id does not count.
func TestFind_newestFirst(t *testing.T) {
	t.Parallel()
	r := newRig(t, time.Second)
	r.record("78", "oldest")
	for i := range 1100 {
		r.record("77", fmt.Sprint("old-", i))
	}
	r.record("78", "older")
	r.record("78", "newer")
	made, err := r.js.Conn().SubscribeSync("$JS.API.CONSUMER.CREATE." + publisher.EventsStream + ".>")
	if err != nil {
		t.Fatal(err)
	}
	if job, err := find(t, r.js, "78"); err != nil || job.Started.SubclientName != "newer" {
		t.Errorf("%+v, %v", job.Started, err)
	}
	if err := r.js.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
	if n, _, err := made.Pending(); n != 1 || err != nil {
		t.Errorf("%d consumers, %v", n, err)
	}
	msg, err := made.NextMsg(time.Second)
	if err != nil || !strings.Contains(string(msg.Data), `"opt_start_seq":10`) {
		t.Errorf("read by %s, %v", msg.Data, err)
	}
	jobs, err := Find(t.Context(), r.js, "78", r.job.ID)
	if err != nil || len(jobs) != 2 || jobs[0].Started.SubclientName != "newer" || jobs[1].ID != r.job.ID {
		t.Errorf("%+v, %v", jobs, err)
	}
}

// find returns one job.
func find(t *testing.T, js jetstream.JetStream, id string) (Job, error) {
	t.Helper()
	return (&Desk{js: js}).Find(t.Context(), id)
}
