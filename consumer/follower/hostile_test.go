package follower

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"backhaul/publisher"
	"backhaul/schemas"
	"backhaul/vendorapi"
)

// A message on a subject of the job that was not published as an event about it, such as an answer
// of JetStream to a client that named the subject for it, is no end.
func TestAForeignMessageIsNoEnd(t *testing.T) {
	t.Parallel()
	key := publisher.NewKey("billing", "r")
	for _, kind := range []schemas.Kind{schemas.KindJobFinished, schemas.KindJobUnfollowed, schemas.KindJobChanged} {
		for _, when := range []string{"before the follower runs", "while the job is followed"} {
			t.Run(string(kind)+" "+when, func(t *testing.T) {
				t.Parallel()
				b := newBench(t)
				foreign := &nats.Msg{Subject: key.JobSubject(kind, "1"), Data: []byte(`{"type":"io.nats.jetstream.api.v1.stream_info_response"}`), Header: nats.Header{
					"ce-id": {"billing/r/job-finished/2"},
				}}
				b.started("r", "1")
				b.vendor.put("1", "Running")
				if strings.HasPrefix(when, "before") {
					b.publish(foreign)
					w := b.run()
					b.eventually("it is followed", func() bool { return w.State().Followed == 1 })
				} else {
					w := b.run()
					b.eventually("it is followed", func() bool { return w.State().Followed == 1 })
					b.publish(foreign)
				}
				b.vendor.put("1", "Failed")
				b.tells("finished 1 failed")
				b.settled()
			})
		}
	}
}

// A foreign message behind the end does not hide it.
func TestAForeignMessageBehindTheEnd(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.vendor.put("1", "Completed")
	b.vendor.put("2", "Running")
	b.started("r", "1", "2")
	first := b.run()
	b.tells("finished 1 completed")
	first.kill()
	b.publish(&nats.Msg{Subject: publisher.NewKey("billing", "r").JobSubject(schemas.KindJobChanged, "1"), Data: []byte("{}")})
	second := b.run()
	b.eventually("it follows the other job", func() bool { return second.State().Followed == 1 })
	b.vendor.put("2", "Completed")
	b.tells("finished 1 completed", "finished 2 completed")
	b.settled()
}

func (b *bench) publish(msg *nats.Msg) {
	b.Helper()
	if _, err := b.js.PublishMsg(b.Context(), msg); err != nil {
		b.Fatal(err)
	}
}

// What is no job id cannot be looked up and has no event. It does not hinder the other jobs.
func TestAJobIDThatIsNone(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.vendor.put("2", "Completed")
	old := time.Now().Add(-3 * time.Hour)
	b.startedAt(old, "r", "job-1", "2", "2", "-7", "1.*", strings.Repeat("9", 200))
	b.startedAt(old, "s", "none")
	b.run(func(c *Config) { c.For = time.Hour })
	b.tells("finished 2 completed")
	b.settled()
	if n := b.vendor.asked("job"); n > 0 {
		t.Errorf("%d reads of jobs without an id", n)
	}
	if !strings.Contains(b.log.String(), "names no job") {
		t.Error("nothing was logged about the event without a job")
	}
}

// A job whose own read is refused, as for one that was pruned, is followed on. The other jobs are
// looked for as before.
func TestAJobThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for _, status := range []int{400, 403, 404, 405, 500, 501, 200} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.startedAt(time.Now().Add(-6*time.Hour), "gone", "1", "2", "3")
			b.startedAt(time.Now().Add(-5*time.Hour), "r", "9")
			b.vendor.put("9", "Completed", func(i *vendorapi.JobInfo) { i.Ended = time.Now().Add(-30 * time.Hour) })
			b.vendor.refuse = func(id string) error {
				if id == "9" {
					return nil
				}
				return &vendorapi.Error{Op: "Job", Status: status, Message: "job not found"}
			}
			w := b.run(func(c *Config) { c.IntervalMin, c.IntervalMax = time.Second, time.Minute })
			b.tells("finished 9 completed")
			b.eventually("the others are followed", func() bool { return w.State().Followed == 3 })
			if err := w.Ready(); err != nil {
				t.Error(err)
			}
			if held := w.State().HeldUntil; !held.IsZero() {
				t.Errorf("reads are held until %s", held)
			}
			if n := b.vendor.asked("job"); n > 4 {
				t.Errorf("%d reads of 4 jobs", n)
			}
		})
	}
}

// A refusal of the events about one job holds no list.
func TestEventsThatAreRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.vendor.breaks(func(call string) error {
		if call == "events" {
			return &vendorapi.Error{Op: "Events", Status: 403}
		}
		return nil
	})
	w := b.run(func(c *Config) { c.IntervalMin, c.IntervalMax = time.Second, time.Second })
	var want []string
	for i := range 20 {
		id := fmt.Sprint(i + 1)
		b.vendor.put(id, "Failed")
		b.started("r"+id, id)
		want = append(want, "finished "+id+" failed")
	}
	b.tells(want...)
	if n := b.vendor.asked("events"); n != 20 {
		t.Errorf("%d reads of events, want one for each job", n)
	}
	if held := w.State().HeldUntil; !held.IsZero() {
		t.Errorf("reads are held until %s", held)
	}
}

// A vendor that counts more jobs than it shows does not use up the budget, and hides no end: what a
// list lacks is read by itself.
func TestATotalThatLies(t *testing.T) {
	t.Parallel()
	for _, counts := range []int{7, 5000} {
		t.Run(fmt.Sprint(counts), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.vendor.counts = counts
			b.vendor.put("1", "Completed")
			b.vendor.put("2", "Completed", func(i *vendorapi.JobInfo) { i.Ended = time.Now().Add(-30 * time.Hour) })
			b.startedAt(time.Now().Add(-40*time.Hour), "r", "1", "2")
			w := b.run(func(c *Config) { c.IntervalMin, c.IntervalMax = time.Second, time.Second })
			b.tells("finished 1 completed", "finished 2 completed")
			if n := w.State().Reads; n > 60 {
				t.Errorf("%d reads", n)
			}
		})
	}
}

// A vendor that sends the first page for every page is asked for the second one and no further.
func TestAVendorThatDoesNotPage(t *testing.T) {
	t.Parallel()
	l := &look{category: vendorapi.FinishedJobs}
	asked := 0
	f := &Follower{cfg: Config{}.withDefaults(), pace: newPace(time.Second, time.Second, 1000), vendor: pagesOf(func(vendorapi.JobQuery) vendorapi.JobPage {
		asked++
		return vendorapi.JobPage{Total: 500, Jobs: []vendorapi.JobInfo{{ID: "3"}, {ID: "2"}, {ID: "1"}}}
	})}
	l.read(t.Context(), f)
	if _, short := errors.AsType[*shortError](l.err); !short || asked != 2 || l.complete {
		t.Errorf("%d reads, complete %v, %v", asked, l.complete, l.err)
	}
}

// pagesOf is a vendor that has lists only.
type pagesOf func(vendorapi.JobQuery) vendorapi.JobPage

func (p pagesOf) ListJobs(_ context.Context, q vendorapi.JobQuery) (vendorapi.JobPage, error) {
	return p(q), nil
}
func (pagesOf) Job(context.Context, string) (vendorapi.JobInfo, error) {
	return vendorapi.JobInfo{}, errors.ErrUnsupported
}
func (pagesOf) JobEvents(context.Context, string) ([]vendorapi.JobEvent, error) { return nil, nil }
func (pagesOf) JobDelayReason(context.Context, string) (string, error)          { return "", nil }

// Clocks may differ by hours: a job is neither started in the future, which no list would reach,
// nor so long ago that it is given up without a look.
func TestStartOf(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	for name, c := range map[string]struct{ said, stored, want time.Duration }{
		"as it should be":             {-2 * time.Second, -time.Second, -2 * time.Second},
		"no start":                    {-1 << 62, -time.Second, -time.Second},
		"the replica is ahead":        {3 * time.Hour, -time.Second, -time.Second},
		"both are ahead":              {3 * time.Hour, 3 * time.Hour, 0},
		"the server is ahead":         {-time.Second, 3 * time.Hour, -time.Second},
		"the replica is behind":       {-3 * time.Hour, -time.Second, -3 * time.Hour},
		"the replica is years behind": {-50_000 * time.Hour, -time.Second, -time.Second - maxGap},
	} {
		said := now.Add(c.said)
		if c.said == -1<<62 {
			said = time.Time{}
		}
		if got := startOf(said, now.Add(c.stored), now).Sub(now); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// The proof of an end with an unknown status is looked for by our clock, whatever the vendor's says.
func TestAnUnknownStatusAndTheVendorsClock(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	info := vendorapi.JobInfo{ID: "1", State: vendorapi.StateUnknown, Ended: now.Add(5 * time.Hour)}
	running := vendorapi.JobInfo{ID: "1", State: vendorapi.StateRunning}
	for name, c := range map[string]struct {
		looks []vendorapi.JobInfo
		want  time.Duration
	}{
		"at the first look":   {[]vendorapi.JobInfo{info, info}, -time.Hour},
		"after it was active": {[]vendorapi.JobInfo{running, running, info, info}, time.Minute},
		"not any more":        {[]vendorapi.JobInfo{info, running}, -1 << 62},
	} {
		b := newBook()
		b.add(&job{id: "1", of: &message{sequence: 1}, started: now.Add(-time.Hour)})
		for i, look := range c.looks {
			b.read(look, false, now.Add(time.Duration(i)*time.Minute))
		}
		if got := b.strange(); c.want == -1<<62 && !got.IsZero() || c.want != -1<<62 && !got.Equal(now.Add(c.want)) {
			t.Errorf("%s: ended after %s", name, got.Sub(now))
		}
	}
}
