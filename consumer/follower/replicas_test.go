package follower

import (
	"fmt"
	"testing"
	"time"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
	"backhaul/vendorapi"
)

// One replica reads, the other stands by, and takes over when the first one ends or is killed.
func TestTwoReplicas(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*worker){"killed": (*worker).kill, "stopped": (*worker).drain} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			first := b.run()
			b.eventually("the first one reads", func() bool { return first.State().Reading })
			second := b.run()
			b.eventually("the second one is ready", func() bool { return second.Ready() == nil })
			if second.State().Reading {
				t.Error("both read")
			}
			b.vendor.put("1", "Running")
			b.started("r", "1")
			b.eventually("the first one follows", func() bool { return first.State().Followed == 1 })
			end(first)
			b.eventually("the second one follows", func() bool { return second.State().Followed == 1 })
			b.vendor.put("1", "Completed")
			b.tells("finished 1 completed")
			b.settled()
		})
	}
}

// A reader that was cut off while it was about to write wakes up after another one has written an
// end: it writes nothing behind that, neither a second end nor a change.
func TestAFrozenReader(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.vendor.put("1", "Running")
	b.vendor.put("2", "Running")
	b.started("r", "1", "2")
	frozen := make(chan struct{})
	b.vendor.events["1"] = []vendorapi.JobEvent{{Code: "19:857"}}
	first := b.run()
	b.eventually("it follows", func() bool { return first.State().Followed == 2 })

	// The session of the first one holds news that are old when it writes them.
	s := newSession(first.Follower)
	events, err := b.js.Stream(t.Context(), "BACKUP_EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	close(frozen)
	first.kill()
	second := b.run()
	b.eventually("it takes over", func() bool { return second.State().Followed == 2 })
	b.vendor.put("1", "Completed")
	b.vendor.put("2", "Killed")
	b.tells("finished 1 completed", "finished 2 killed")

	woken, err := New(Config{}, b.nats.Connect(t), b.vendor, first.log)
	if err != nil {
		t.Fatal(err)
	}
	woken.events = publisher.NewLastReader(events)
	s.follower = woken
	for _, f := range []*flight{
		{news: news{state: schemas.StatePending, info: vendorapi.JobInfo{ID: "1", Status: "Pending"}}},
		{news: news{outcome: schemas.OutcomeCompleted, info: vendorapi.JobInfo{ID: "1", Status: "Completed"}}},
		{why: "too old"},
	} {
		f.job = &job{id: "1", of: &message{sequence: 1}}
		if err := s.write(t.Context(), f); err != nil || !f.over {
			t.Errorf("the write of %+v ends with over %v, %v", f.news, f.over, err)
		}
	}
	b.tells("finished 1 completed", "finished 2 killed")
}

// A reader whose connection hangs is replaced when its pull expires.
func TestAReaderThatIsCutOff(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	proxy := natstest.StartProxy(t, b.nats)
	first := b.start(proxy.Connect(t))
	b.vendor.put("1", "Running")
	b.started("r", "1")
	b.eventually("the first one follows", func() bool { return first.State().Followed == 1 })
	second := b.run()
	here := proxy.Once("CONSUMER.MSG.NEXT", natstest.Swallow) // its next pull
	b.wait("it is cut off", here)
	began := time.Now()
	b.eventually("the second one follows", func() bool { return second.State().Followed == 1 })
	t.Logf("taken over after %s", time.Since(began).Round(100*time.Millisecond))
	b.vendor.put("1", "Completed")
	b.tells("finished 1 completed")
	b.settled()
}

// The server restarts: nothing is lost, nothing is written twice.
func TestTheServerRestarts(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.run()
	var want []string
	for i := range 20 {
		id := fmt.Sprint(i + 1)
		b.vendor.put(id, "Running")
		b.started("r"+id, id)
		want = append(want, "finished "+id+" completed")
	}
	b.eventually("they are followed", func() bool { return w.State().Followed == 20 })
	for i := range 10 {
		b.vendor.put(fmt.Sprint(i+1), "Completed")
	}
	b.nats.Stop()
	for i := range 10 {
		b.vendor.put(fmt.Sprint(i+11), "Completed")
	}
	b.nats.Restart()
	b.eventually("it is connected again", b.nc.IsConnected)
	b.tells(want...)
	b.settled()
}
