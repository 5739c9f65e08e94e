package follower

import (
	"strings"
	"testing"
	"time"

	"backhaul/publisher/natstest"
	"backhaul/schemas"
	"backhaul/vendorapi"
)

// A crash at every place where one can make a difference. The first reader's connection breaks
// there and it is killed; the second one takes over. Each job has exactly one end, and every
// message is acknowledged.
func TestACrashAtEveryStep(t *testing.T) {
	t.Parallel()
	const (
		finished   = "HPUB backup.event.job-finished."
		changed    = "HPUB backup.event.job-changed."
		unfollowed = "HPUB backup.event.job-unfollowed."
		ack        = "PUB $JS.ACK."
	)
	ended := []string{"finished 1 completed", "finished 2 failed", "finished 3 killed"}
	for name, test := range map[string]struct {
		op     string
		action natstest.Action
		want   []string
	}{
		"reset":                      {"CONSUMER.RESET", natstest.Deafen, ended},
		"finished":                   {finished, natstest.Swallow, ended},
		"finished, unacknowledged":   {finished, natstest.Deafen, ended},
		"some finished":              {ack, natstest.Swallow, ended},
		"acks, unseen":               {ack, natstest.Deafen, ended},
		"changed":                    {changed, natstest.Swallow, nil},
		"changed, unacknowledged":    {changed, natstest.Deafen, nil},
		"unfollowed":                 {unfollowed, natstest.Swallow, []string{"unfollowed 1", "unfollowed 2", "unfollowed 3"}},
		"unfollowed, unacknowledged": {unfollowed, natstest.Deafen, []string{"unfollowed 1", "unfollowed 2", "unfollowed 3"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			proxy := natstest.StartProxy(t, b.nats)
			here := proxy.Once(test.op, test.action)
			var changes []func(*Config)
			switch test.op {
			case changed:
				b.vendor.put("1", "Pending")
			case unfollowed:
				changes = append(changes, func(c *Config) { c.For = time.Hour })
				for _, id := range []string{"1", "2", "3"} {
					b.vendor.put(id, "Suspended")
				}
			default:
				b.vendor.put("1", "Completed")
				b.vendor.put("2", "Failed")
				b.vendor.put("3", "Killed")
			}
			at := time.Now()
			if test.op == unfollowed {
				at = at.Add(-2 * time.Hour)
			}
			b.startedAt(at, "r", "1", "2")
			b.startedAt(at, "s", "3")
			first := b.start(proxy.Connect(t), changes...)
			b.wait("the first reader comes to the step", here)
			if test.action == natstest.Deafen && strings.HasPrefix(test.op, "HPUB") {
				b.eventually("what was sent has arrived", func() bool { return len(b.told()) > 0 })
			}
			first.kill()
			b.run(changes...)
			if test.op == changed {
				b.tells("changed 1 pending")
				b.vendor.put("1", "Running")
				b.tells("changed 1 pending", "changed 1 running")
				return
			}
			b.eventually("every end", func() bool {
				n := 0
				for _, e := range b.told() {
					if !strings.HasPrefix(e, "changed") {
						n++
					}
				}
				return n >= len(test.want)
			})
			b.settled()
			var got []string
			for _, e := range b.told() {
				if !strings.HasPrefix(e, "changed") {
					got = append(got, e)
				}
			}
			same(t, got, test.want)
		})
	}
}

// A message of several jobs, of which one has ended, is not acknowledged: the next reader follows
// the other one, and writes no second end of the first.
func TestACrashBetweenTwoEndsOfARequest(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.vendor.put("1", "Completed")
	b.vendor.put("2", "Running")
	b.started("r", "1", "2")
	first := b.run()
	b.tells("finished 1 completed")
	first.kill()
	second := b.run()
	b.eventually("the next reader follows one job", func() bool { return second.State().Followed == 1 })
	b.vendor.put("2", "Failed")
	b.tells("finished 1 completed", "finished 2 failed")
	b.settled()
}

// What was told of a job is known to the next reader: it tells the same state once, and that the
// job runs again.
func TestACrashAfterAChange(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.vendor.put("1", "Pending", func(i *vendorapi.JobInfo) { i.Reason.Text = "no contact" })
	b.started("r", "1")
	first := b.run()
	b.tells("changed 1 pending")
	first.kill()
	b.vendor.put("1", "Pending") // without the reason
	second := b.run()
	looks := b.vendor.asked("list All")
	b.eventually("three more looks", func() bool { return second.State().Reading && b.vendor.asked("list All") >= looks+3 })
	b.vendor.put("1", "Failed")
	b.tells("changed 1 pending", "finished 1 failed")
	if e := b.stored()[1].(*schemas.JobFinished); len(e.Reasons) != 1 || e.Reasons[0].Text != "no contact" {
		t.Errorf("the end has the reasons %+v", e.Reasons)
	}
}
