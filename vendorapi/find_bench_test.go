package vendorapi

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"backhaul/vendorapi/simulator"
)

// BenchmarkFind is 64 requests in doubt at a time, among 3,000 jobs.
func BenchmarkFind(b *testing.B) {
	const jobs, lookers = 3000, 64
	sim, c := onLoopback(b, simulator.Config{JobDuration: time.Hour})
	since := time.Now()
	for i := range jobs {
		if _, err := c.CreateTask(context.Background(), loadTask(i)); err != nil {
			b.Fatal(err)
		}
	}
	c.forget()
	before := sim.Account().Calls
	var looks atomic.Int64
	b.ReportAllocs()
	b.ResetTimer()
	var group sync.WaitGroup
	for range lookers {
		group.Go(func() {
			for n := looks.Add(1); n <= int64(b.N); n = looks.Add(1) {
				found, err := c.Find(context.Background(), loadTask(int(n*37)%jobs), since)
				if err != nil || found.Job.ID == "" {
					b.Errorf("found %+v: %v", found, err)
				}
			}
		})
	}
	group.Wait()
	b.StopTimer()
	after := sim.Account().Calls
	b.ReportMetric(float64(after[opJobList]-before[opJobList])/float64(b.N), "lists/op")
	b.ReportMetric(float64(after[opTaskDetails]-before[opTaskDetails])/float64(b.N), "TaskDetails/op")
}
