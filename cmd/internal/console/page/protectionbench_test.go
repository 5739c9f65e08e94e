//go:build unix

package page_test

import (
	"flag"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
	"backhaul/publisher/natstest/waittest"
	"backhaul/schemas"
)

var protectionGroups = flag.Int("page.groups", 100, "content groups of BenchmarkProtection")
var protectionRequests = flag.Int("page.per-group", 6, "requests of each of them, three events for each")

// fillGroups writes claims, starts and ends of requests of many groups over the last week.
func (b *bench) fillGroups(groups, requests int) {
	b.t.Helper()
	js, err := jetstream.New(b.nats.Connect(b.t), jetstream.WithPublishAsyncMaxPending(4096))
	if err != nil {
		b.t.Fatal(err)
	}
	empty := false
	for i := range groups * requests {
		since := time.Now().Add(-7 * 24 * time.Hour * time.Duration(groups*requests-i) / time.Duration(groups*requests)).UTC()
		key := publisher.NewKey("storage", fmt.Sprintf("changes-%032x", i))
		r := schemas.BackupRequest{ClientName: string(gold), InstanceName: string(gold), BackupsetName: schemas.DefaultBackupsetName, SubclientName: fmt.Sprintf("content-group-%d", i%groups)}
		r.Labels = map[string]string{"trigger.since": since.Format(time.RFC3339Nano), "trigger.until": since.Add(time.Second).Format(time.RFC3339Nano)}
		message := schemas.Message{RequestedAt: since.Add(time.Minute), PayloadHash: schemas.HashBytes(nil)}
		claim, job := &schemas.JobSubmitting{RequestID: key.Name, Source: key.Source, Request: r, Message: message}, fmt.Sprint(i+1)
		outcome := schemas.OutcomeCompleted
		if i%7 == 0 {
			outcome = schemas.OutcomeFailed
		}
		for _, e := range []schemas.Event{
			claim, &schemas.JobStarted{Naming: claim.Names(), Message: message, JobID: job, JobIDs: []string{job}, StartedAt: time.Now().UTC()},
			&schemas.JobFinished{
				Naming: claim.Names(), Message: message, JobRef: schemas.JobRef{JobID: job}, Outcome: outcome, VendorStatus: string(outcome),
				JobSizes: schemas.JobSizes{Empty: &empty}, JobTimes: schemas.JobTimes{ObservedAt: time.Now().UTC()},
			},
		} {
			subject := key.Subject(e.Kind())
			if e.Kind().PerJob() {
				subject = key.JobSubject(e.Kind(), job)
			}
			msg := &nats.Msg{Subject: subject, Data: schemas.EncodeEvent(e), Header: nats.Header(schemas.NewCloudEvent(publisher.EventID(key, e), e, "").BinaryHeader())}
			if _, err := js.PublishMsgAsync(msg, jetstream.WithStallWait(time.Minute)); err != nil {
				b.t.Fatal(err)
			}
		}
	}
	<-js.PublishAsyncComplete()
}

// BenchmarkProtection measures a view of the page of content groups after the first one, over HTTP.
func BenchmarkProtection(b *testing.B) {
	bench := newPromising(b, gold)
	bench.fillGroups(*protectionGroups, *protectionRequests)
	waittest.Eventually(b, "page of groups", func() bool {
		return strings.Count(bench.get("/protection"), `<tr role="row" id="g`) >= min(50, *protectionGroups)
	})
	before := processorTime(b)
	for b.Loop() {
		bench.get("/protection")
	}
	b.ReportMetric(float64((processorTime(b)-before).Microseconds())/1000/float64(b.N), "cpu-ms/op")
}

// processorTime returns the CPU time of the process: of the page, the browser and the broker.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
