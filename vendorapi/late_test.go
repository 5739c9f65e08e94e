package vendorapi

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"backhaul/vendorapi/simulator"
)

// TestPauseWhileWaitingForAConnection: calls that wait for a connection while
// those that have one are told to leave the vendor alone do not go out when
// their turn comes.
func TestPauseWhileWaitingForAConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, c := onPipe(t, simulator.Config{}, func(cfg *Config) { cfg.MaxConns = 1 })
		job, err := c.CreateTask(t.Context(), testTask())
		wantJob(t, job, err)
		transportOf(c).CloseIdleConnections()
		sim.SetFaults([]simulator.Chance{
			{Fault: simulator.Fault{Kind: simulator.Delay, For: time.Second}, Probability: 1},
			{Fault: simulator.Fault{Kind: simulator.TooManyRequests, For: time.Minute}, Probability: 1},
		})
		var all sync.WaitGroup
		atOnce := transportOf(c).MaxConns
		for i := range 4 * atOnce {
			all.Go(func() {
				_, err := c.CreateTask(t.Context(), loadTask(i))
				if e := wantVerdict(t, err, Throttled); e.RetryAfter <= 0 || e.RetryAfter > time.Minute {
					t.Errorf("%+v", e)
				}
			})
		}
		all.Wait()
		if a := sim.Account(); a.CreateTaskCalls > 1+atOnce || a.JobsStarted != 1 {
			t.Errorf("%d calls, %d jobs, want the one before and at most the %d that had a connection", a.CreateTaskCalls, a.JobsStarted, atOnce)
		}
		transportOf(c).CloseIdleConnections()
	})
}
