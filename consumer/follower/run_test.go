package follower

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"backhaul/publisher/natstest"
	"backhaul/schemas"
	"backhaul/vendorapi"
)

// A job is followed from its start to its end: one event, and the message is acknowledged.
func TestFollow(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.run()
	b.started("r", "1")
	b.vendor.put("1", "Running")
	b.eventually("it is followed", func() bool { return w.State().Followed == 1 })
	b.vendor.put("1", "Completed")
	b.tells("finished 1 completed")
	b.settled()
	b.eventually("nothing is followed", func() bool { return w.State().Followed == 0 })
	if err := w.Ready(); err != nil {
		t.Error(err)
	}
}

// Each job of a request has an end of its own, and the message is acknowledged with the last one.
func TestFollow_severalJobs(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.run()
	b.started("r", "1", "2", "3")
	b.vendor.put("1", "Completed")
	b.vendor.put("2", "Running")
	b.vendor.put("3", "Failed")
	b.tells("finished 1 completed", "finished 3 failed")
	b.vendor.put("2", "Killed")
	b.tells("finished 1 completed", "finished 3 failed", "finished 2 killed")
	b.settled()
}

// A state in which the job does not run is told when two looks running have shown it, with the
// reason; and once that the job runs again.
func TestFollow_changes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.run()
	b.vendor.put("1", "Pending", func(i *vendorapi.JobInfo) {
		i.Reason = vendorapi.JobReason{Code: "13:30", Text: "no contact with MediaAgent"}
	})
	b.started("r", "1")
	b.tells("changed 1 pending")
	b.vendor.put("1", "Running")
	b.tells("changed 1 pending", "changed 1 running")
	b.vendor.put("1", "Failed")
	b.tells("changed 1 pending", "changed 1 running", "finished 1 failed")
	events := b.stored()
	for i, want := range []int{1, 0, 1} {
		var got []schemas.Reason
		switch e := events[i].(type) {
		case *schemas.JobChanged:
			got = e.Reasons
		case *schemas.JobFinished:
			got = e.Reasons
		}
		if len(got) != want || want > 0 && got[0] != (schemas.Reason{Code: "13:30", Text: "no contact with MediaAgent", From: schemas.ReasonFromPending}) {
			t.Errorf("event %d has the reasons %+v", i, got)
		}
	}
}

// Who killed a job comes before the reason for which it was pending then.
func TestFollow_aKilledJobThatWasPending(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.vendor.events["1"] = []vendorapi.JobEvent{{Code: "19:1081", Text: "Job [1] was killed by [admin]."}}
	b.run()
	b.vendor.put("1", "Pending", func(i *vendorapi.JobInfo) { i.Reason = vendorapi.JobReason{Code: "13:30", Text: "no contact"} })
	b.started("r", "1")
	b.tells("changed 1 pending")
	b.vendor.put("1", "Killed")
	b.tells("changed 1 pending", "finished 1 killed")
	if e := b.stored()[1].(*schemas.JobFinished); len(e.Reasons) != 2 || e.Reasons[0].Code != "19:1081" || e.Reasons[1].Code != "13:30" {
		t.Errorf("the reasons are %+v", e.Reasons)
	}
}

// Nothing followed costs nothing.
func TestFollow_nothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.run()
	b.eventually("it reads", func() bool { return w.State().Reading })
	// It has had the time for a list when a job that is followed then has its end.
	b.vendor.put("1", "Completed")
	if n := b.vendor.total(); n > 0 {
		t.Errorf("%d reads without a job", n)
	}
	b.started("r", "1")
	b.tells("finished 1 completed")
	b.eventually("nothing is followed", func() bool { return w.State().Followed == 0 })
}

// A new job costs no write and no read: neither of the stream nor, by itself, of the vendor. Its end
// costs one write.
func TestFollow_costs(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	proxy := natstest.StartProxy(t, b.nats)
	var mu sync.Mutex
	ops := make(map[string]int)
	proxy.On(func(op string) natstest.Action {
		mu.Lock()
		defer mu.Unlock()
		for _, of := range []string{"STREAM.MSG.GET", "HPUB backup.event."} {
			if strings.Contains(op, of) {
				ops[of]++
			}
		}
		return natstest.Forward
	})
	w := b.start(proxy.Connect(t), func(c *Config) { c.IntervalMin, c.IntervalMax = time.Hour, time.Hour })
	b.eventually("it reads", func() bool { return w.State().Reading })
	for i := range 100 {
		b.vendor.put(fmt.Sprint(i+1), "Running")
		b.started(fmt.Sprint("r", i), fmt.Sprint(i+1))
	}
	b.eventually("all are followed, and seen once", func() bool { return w.State().Followed == 100 && !w.State().LastList.IsZero() })
	mu.Lock()
	defer mu.Unlock()
	if len(ops) > 0 {
		t.Errorf("following 100 new jobs costs %v", ops)
	}
	if lists, all := b.vendor.asked("list All"), b.vendor.total(); lists != all || lists != 1 {
		t.Errorf("%d reads of the vendor, %d of them lists; want one list", all, lists)
	}
}
