package roles_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backhaul/cmd/internal/cancel"
	"backhaul/cmd/internal/deadletter"
	"backhaul/cmd/internal/doctor"
	"backhaul/cmd/internal/eventlog"
	"backhaul/cmd/internal/history"
	"backhaul/cmd/internal/operator"
	"backhaul/cmd/internal/protection"
	"backhaul/cmd/internal/protection/watch"
	"backhaul/cmd/internal/provision"
	"backhaul/cmd/internal/queue"
	"backhaul/consumer"
	"backhaul/consumer/budget"
	"backhaul/consumer/scope"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
)

var update = flag.Bool("update", false, "write deploy/nats/roles.txt")

// job is an action that a user must be able to do.
type job struct {
	user, what string
	do         func(g *guarded) error
}

// jobs run in this order, after the service's own work (see everything).
var jobs = []job{
	{"provisioner", "backhaul setup --trigger --archive: finds or creates every stream and consumer", func(g *guarded) error {
		js := g.jetstream("provisioner")
		_, err := provision.Apply(g.within(), js, 1, true)
		_, triggerErr := provision.ApplyTrigger(g.within(), js, 1, true)
		_, markErr := provision.ApplyMark(g.within(), js, 1)
		_, digestErr := provision.ApplyDigests(g.within(), js, 1)
		_, archiveErr := provision.ApplyArchive(g.within(), js, true)
		return errors.Join(err, triggerErr, markErr, digestErr, archiveErr)
	}},
	{"backhaul", "works on requests: starts jobs, pauses, counts, keeps dead letters, sweeps", func(g *guarded) error {
		return readTriggerState(g, "backhaul") // as the page does; everything did the rest
	}},
	{"backhaul", "drops a dead letter, for a user of the page", dropOne},
	{"backhaul", "backhaul check: reads its own permissions and the account's limits", func(g *guarded) error {
		for _, f := range doctor.NATS(g.within(), g.as("backhaul"), g.jetstream("backhaul")) {
			if f.Check == "nats permissions" && f.Level != doctor.OK {
				return fmt.Errorf("%s: %s", f.Level, f.What)
			}
		}
		return nil
	}},
	{"billing", "publishes a request and receives its acknowledgement", func(g *guarded) error {
		return publishRequest(g, "billing", "billing")
	}},
	{"crm", "publishes a request with the priority that it was given", func(g *guarded) error {
		priority, err := publisher.RequestMsg("crm", publisher.High, sample("urgent"))
		if err != nil {
			return err
		}
		_, err = g.jetstream("crm").PublishMsg(g.within(), priority)
		return err
	}},
	{"store", "publishes a notification without asking for an acknowledgement", func(g *guarded) error {
		nc := g.as("store")
		return errors.Join(nc.Publish("storage.event.minio", []byte(`{}`)), nc.Flush())
	}},
	{"auditor", "reads events through its durable consumer, and one by its sequence", func(g *guarded) error {
		if err := g.takeOne("auditor", publisher.EventsStream, "audit"); err != nil {
			return err
		}
		events, err := g.jetstream("auditor").Stream(g.within(), publisher.EventsStream)
		if err != nil {
			return err
		}
		_, err = events.GetMsg(g.within(), 1)
		_, lastErr := events.GetLastMsgForSubject(g.within(), "backup.event.*.billing.one")
		return errors.Join(err, lastErr)
	}},
	{"reader", "backhaul events, status, protection", func(g *guarded) error {
		js := g.jetstream("reader")
		if n, err := countEvents(g, js); err != nil || n < 7 {
			return errors.Join(fmt.Errorf("%d events", n), err)
		}
		_, queueErr := queue.Look(g.within(), js)
		triggerErr := errors.Join(readTriggerState(g, "reader"), compareLedger(g, "reader"), readBudget(g, "reader"))
		found, err := history.Find(g.within(), js, "billing", "one")
		if err != nil || len(found) != 1 {
			return errors.Join(fmt.Errorf("found %v", found), err)
		}
		_, historyErr := found[0].Read(g.within(), js)
		fold, _, foldErr := protection.Load(g.within(), js)
		if foldErr == nil && len(fold.Groups()) == 0 {
			foldErr = errors.New("no content group is known")
		}
		return errors.Join(queueErr, triggerErr, historyErr, foldErr)
	}},
	{"backhaul", "publishes that a content group leaves its objective", publishABreach},
	{"backhaul", "writes digests of the events", func(g *guarded) error {
		pub, err := publisher.New(g.as("backhaul"))
		if err != nil {
			return err
		}
		_, err = pub.AppendDigest(g.within(), 7, 0, []byte("a digest"))
		return errors.Join(err, readDigest(g, "backhaul"))
	}},
	{"reader", "reads digests of the events", func(g *guarded) error { return readDigest(g, "reader") }},
	{"operator", "reads digests of the events", func(g *guarded) error { return readDigest(g, "operator") }},
	{"protection", "reads the events about content groups, and no others", func(g *guarded) error {
		seen := 0
		q := eventlog.Query{Filters: []string{publisher.AnyProtection}, Protection: func(e eventlog.ProtectionEvent) error { seen++; return nil }}
		err := eventlog.Read(g.within(), g.jetstream("protection"), q, func(e eventlog.Event) error { return fmt.Errorf("read %s of %s", e.Kind, e.Key) })
		if err == nil && seen == 0 {
			return errors.New("it reads none")
		}
		return err
	}},
	{"operator", "backhaul cancel, pause, resume, also of a scope, dlq ls, show, replay, drop", func(g *guarded) error {
		js, ctx := g.jetstream("operator"), g.within()
		if n, err := countEvents(g, js); err != nil || n < 7 {
			return errors.Join(fmt.Errorf("%d events", n), err)
		}
		nc := g.as("operator")
		pub, err := publisher.New(nc)
		if err != nil {
			return err
		}
		by := operator.By{Actor: "ann@ops", Reason: "CHG-17"}
		_, pauseErr := queue.Pause(ctx, js, pub, time.Minute, by)
		billing := scope.Scope{Source: "billing"}
		_, scopeErr := queue.PauseScope(ctx, js, pub, billing, time.Minute, by)
		_, unseenErr := queue.Unseen(ctx, js, billing)
		_, scopeEndErr := queue.ResumeScope(ctx, js, pub, billing, by)
		_, resumeErr := queue.Resume(ctx, js, pub, by, false)
		dlq, err := deadletter.New(nc)
		if err != nil {
			return err
		}
		dead, _, err := dlq.List(ctx, deadletter.Filter{})
		if err != nil || len(dead) != 1 {
			return errors.Join(fmt.Errorf("dead letters %v", dead), err)
		}
		one, err := dlq.Get(ctx, dead[0].Number)
		if err != nil {
			return err
		}
		_, replayErr := dlq.Replay(ctx, one, deadletter.Order{By: by, Payload: sample("corrected").JSON()})
		return errors.Join(cancelOne(g, nc, by), pauseErr, scopeErr, unseenErr, scopeEndErr, resumeErr, replayErr, dlq.Drop(ctx, one, by), readTriggerState(g, "operator"), compareLedger(g, "operator"), readBudget(g, "operator"))
	}},
	{"snapshot", "takes a snapshot of a stream", func(g *guarded) error {
		natstest.TakeSnapshot(g.t, g.as("snapshot"), publisher.EventsStream)
		return nil
	}},
	{"admin", "deletes a stream and restores it from a snapshot", func(g *guarded) error {
		nc, js := g.as("admin"), g.jetstream("admin")
		kept := natstest.TakeSnapshot(g.t, nc, publisher.DeadLetterStream)
		if err := js.DeleteStream(g.within(), publisher.DeadLetterStream); err != nil {
			return err
		}
		kept.Restore(g.t, nc)
		return nil
	}},
	{"system", "queries the servers' state", func(g *guarded) error {
		_, err := g.as("system").RequestWithContext(g.within(), "$SYS.REQ.SERVER.PING", nil)
		return err
	}},
	{"trigger", "backhaul trigger: turns notifications into a request and a dead letter", runTheTrigger},
	{"archiver", "backhaul archive: keeps every event, and publishes a checkpoint", runTheArchiver},
}

// own is a job that only a source in the account of the streams can do.
var own = job{"crm", "follows its own outcomes, and no others", func(g *guarded) error {
	js := g.jetstream("crm")
	var keys []string
	err := eventlog.Read(g.within(), js, eventlog.Query{Filters: []string{publisher.EventFilter("", "crm")}}, func(e eventlog.Event) error {
		if e.Kind != schemas.KindJobChanged { // depends on when the follower looks
			keys = append(keys, string(e.Kind)+" "+e.Key.String())
		}
		return nil
	})
	keys = slices.Compact(keys) // a claim may be renewed
	if got := strings.Join(keys, ", "); err == nil && got != "job-submitting crm/two, job-started crm/two, job-finished crm/two" {
		return fmt.Errorf("read %s", got)
	}
	return err
}}

func publishRequest(g *guarded, user, source string) error {
	pub, err := publisher.New(g.as(user))
	if err != nil {
		return err
	}
	_, err = pub.Request(g.within(), source, sample(user+"-works"))
	return err
}

func countEvents(g *guarded, js jetstream.JetStream) (n int, err error) {
	err = eventlog.Read(g.within(), js, eventlog.Query{}, func(eventlog.Event) error { n++; return nil })
	return n, err
}

// takeOne reads a message from a durable consumer and waits for the confirmation of its
// acknowledgement.
func (g *guarded) takeOne(user, stream, durable string) error {
	c, err := g.jetstream(user).Consumer(g.within(), stream, durable)
	if err != nil {
		return err
	}
	msg, err := c.Next(jetstream.FetchContext(g.within()))
	if err != nil {
		return err
	}
	return msg.DoubleAck(g.within())
}

// With the shipped files, each role can do its work, nothing is denied to it meanwhile, and
// every forbidden action is denied. deploy/nats/roles.txt lists them.
func TestRoles_AllowAndDeny(t *testing.T) {
	t.Parallel()
	results := make(map[string]string)
	t.Run("files", func(t *testing.T) {
		for _, conf := range []string{oneAccount, separate} {
			var lines strings.Builder
			t.Cleanup(func() { results[conf] = lines.String() })
			t.Run(conf, func(t *testing.T) {
				g := startGuarded(t, conf)
				g.everything(never)
				fmt.Fprintf(&lines, "%s\n\n", conf)
				work := jobs
				if conf == oneAccount {
					work = append(jobs[:len(jobs):len(jobs)], own)
				}
				for _, j := range work {
					if err := j.do(g); err != nil {
						t.Errorf("%s: %s: %v", j.user, j.what, err)
					}
					fmt.Fprintf(&lines, "  %-11s  may      %s\n", j.user, j.what)
				}
				g.nothingDenied()
				lines.WriteString("\n")
				g.tryForbidden(t, &lines)
				lines.WriteString("\n")
			})
		}
	})
	const file = shipped + "/roles.txt"
	text := results[oneAccount] + strings.TrimSuffix(results[separate], "\n")
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; create it with -update", err)
	}
	if text != string(want) && !t.Failed() {
		t.Errorf("%s differs; run with -update if the change is intended\ngot:\n%s", file, text)
	}
	index, err := os.ReadFile(shipped + "/../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if begin := strings.Join(strings.SplitAfter(text, "\n")[:25], ""); !strings.Contains(string(index), begin) {
		t.Error("deploy/README.md does not show the beginning of roles.txt")
	}
}

// dropOne keeps a dead letter and drops it.
func dropOne(g *guarded) error {
	nc := g.as("backhaul")
	pub, err := publisher.New(nc)
	if err != nil {
		return err
	}
	key := publisher.NewKey("billing", "done-since")
	if err := pub.DeadLetter(g.within(), publisher.DeadLetter{Subject: "backup.request.billing", Data: sample("done-since").JSON(), Key: key, RequestID: key.Name, Code: "2"}); err != nil {
		return err
	}
	dlq, err := deadletter.New(nc)
	if err != nil {
		return err
	}
	found, _, err := dlq.List(g.within(), deadletter.Filter{RequestID: key.Name})
	if err != nil || len(found) != 1 {
		return errors.Join(fmt.Errorf("found %v", found), err)
	}
	return dlq.Drop(g.within(), found[0], operator.By{Actor: "ann@ops", Reason: "CHG-17"})
}

func readBudget(g *guarded, user string) error {
	_, err := budget.Read(g.within(), g.jetstream(user))
	return err
}

func compareLedger(g *guarded, user string) error {
	why, err := consumer.Differs(g.within(), g.jetstream(user))
	return errors.Join(why, err)
}

func readDigest(g *guarded, user string) error {
	_, _, err := publisher.LastDigest(g.within(), g.jetstream(user), 7)
	return err
}

// promises are objectives that no group keeps.
type promises struct{}

func (promises) For(protection.Group) (protection.Objective, bool) {
	return protection.Objective{Name: "gold", MaxAge: time.Nanosecond}, true
}
func (promises) All() []protection.Objective { return nil }

// publishABreach runs what `backhaul run` does with objectives until a breach is published.
func publishABreach(g *guarded) error {
	ctx, cancel := context.WithCancel(g.within())
	defer cancel()
	cfg := watch.Config{
		Objectives: func() watch.Objectives { return promises{} }, Publishes: func() bool { return true },
		Published: func(schemas.ProtectionEvent) { cancel() },
	}
	w, err := watch.New(g.as("backhaul"), cfg, zerolog.Nop())
	if err != nil {
		return err
	}
	w.Run(ctx)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return w.Trouble()
	}
	return nil
}

// cancelOne cancels a request that waits.
func cancelOne(g *guarded, nc *nats.Conn, by operator.By) error {
	if _, err := g.jetstream("billing").Publish(g.within(), "backup.request.billing", sample("by-mistake").JSON()); err != nil {
		return err
	}
	desk := cancel.New(nc)
	waiting, err := desk.Select(g.within(), cancel.Filter{IDs: map[string]bool{"by-mistake": true}})
	if err != nil || len(waiting) != 1 {
		return errors.Join(fmt.Errorf("%d requests wait, want 1", len(waiting)), err)
	}
	done, err := desk.Cancel(g.within(), waiting[0], by)
	if err == nil && done.Result != cancel.Cancelled {
		err = fmt.Errorf("cancel: %+v", done)
	}
	return err
}
