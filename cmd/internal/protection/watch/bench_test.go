//go:build unix

package watch

import (
	"flag"
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/protection"
	"backhaul/publisher"
	"backhaul/schemas"
)

var (
	manyEvents = flag.Int("watch.events", 9_000, "events in the stream for BenchmarkLook")
	manyGroups = flag.Int("watch.groups", 200, "content groups that they are about")
)

// everything promises the same for every group.
type everything struct{}

func (everything) For(protection.Group) (protection.Objective, bool) {
	return protection.Objective{Name: "all", RPO: time.Hour}, true
}
func (everything) All() []protection.Objective { return nil }

// fill writes claims, starts and ends of requests of many groups, many at a time.
func (b *bench) fill(events, groups int) {
	b.Helper()
	js, err := jetstream.New(b.nc, jetstream.WithPublishAsyncMaxPending(4096))
	if err != nil {
		b.Fatal(err)
	}
	empty := false
	for i := range events / 3 {
		key := publisher.NewKey("storage", fmt.Sprintf("changes-%032x", i))
		r := schemas.BackupRequest{ClientName: "s-adhoc-object-storage", InstanceName: "s-adhoc-object-storage", BackupsetName: schemas.DefaultBackupsetName, SubclientName: fmt.Sprintf("content-group-%d", i%groups)}
		r.Labels = map[string]string{"trigger.since": time.Now().Add(-time.Minute).UTC().Format(time.RFC3339Nano)}
		message := schemas.Message{RequestedAt: time.Now().UTC(), PayloadHash: schemas.HashBytes(nil)}
		claim := &schemas.JobSubmitting{RequestID: key.Name, Source: key.Source, Request: r, Message: message}
		job := fmt.Sprint(i + 1)
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
				b.Fatal(err)
			}
		}
	}
	<-js.PublishAsyncComplete()
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// used returns the CPU time that the process has used.
func used(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkLook reads many events and then looks at all groups, with the bars of one page.
func BenchmarkLook(b *testing.B) {
	bench := newBench(b, nil)
	bench.fill(*manyEvents, *manyGroups)
	cfg := bench.config()
	cfg.Objectives, cfg.Publishes, cfg.Every = func() Objectives { return everything{} }, nil, time.Second
	before, began, cpu := heap(), time.Now(), used(b)
	w, _ := bench.start(cfg)
	w.Caught(b.Context())
	read := time.Since(began)
	cpu = used(b) - cpu
	after := heap()
	for b.Loop() {
		v := w.Look()
		if len(v.Groups) != *manyGroups {
			b.Fatalf("%d groups", len(v.Groups))
		}
		for i := range min(50, len(v.Groups)) {
			w.Segments(&v.Groups[i], v.At.Add(-7*24*time.Hour), v.At)
		}
	}
	b.ReportMetric(read.Seconds(), "s/first")
	b.ReportMetric(cpu.Seconds(), "cpu-s/first") // with that of the server
	b.ReportMetric(float64(after-min(before, after))/(1<<20), "MiB")
}
